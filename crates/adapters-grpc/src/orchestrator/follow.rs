//! The stream of a task: pages of the run's events, pulled one after another and told as updates.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;
use tutti_a2a::task::{is_interrupted, is_terminal};
use tutti_a2a::v1::stream_response::Payload;
use tutti_a2a::v1::{self, StreamResponse, TaskState, TaskStatusUpdateEvent};
use tutti_core::ids::Namespace;
use tutti_core::ports::inbound::views::{EventPage, EventsRequest};
use tutti_core::report::{RunView, recovery_news};
use tutti_core::run::{Event, Recorded, RunStatus, decode};

use super::OrchestratorAgent;
use super::artifact::Product;
use super::refusal::of_task;
use super::task::{context_of, progress, state_of, status, status_with};
use crate::api::outbox::{self, Answer, Closing, GoOn, HEARTBEAT, Outbox};

/// Messages that wait for the reader.
const BUFFERED: usize = 64;

/// Events read at once.
const PAGE: usize = 256;

/// Where a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// At the end of the task.
    End,
    /// There, or where the task waits for a message.
    Turn,
}

impl Until {
    const fn reached(self, state: TaskState) -> bool {
        is_terminal(state) || (matches!(self, Self::Turn) && is_interrupted(state))
    }
}

/// A task to be followed: its run as its first message tells it.
pub(super) struct Following {
    pub(super) agent: OrchestratorAgent,
    pub(super) namespace: Namespace,
    pub(super) view: RunView,
    pub(super) until: Until,
}

impl OrchestratorAgent {
    /// Waits until the task's turn is over, or the moment has come.
    pub(super) async fn settle(
        &self,
        namespace: &Namespace,
        view: &mut RunView,
        deadline: Instant,
    ) -> Result<(), Status> {
        while !Until::Turn.reached(state_of(view)) {
            let wait = deadline.saturating_duration_since(Instant::now());
            let page = self.page(namespace, view, wait).await?;
            if page.events.is_empty() && (page.ended || Instant::now() >= deadline) {
                break;
            }
            for event in &page.events {
                view.apply(&decode(event).map_err(|error| Status::data_loss(error.to_string()))?);
            }
        }
        Ok(())
    }

    async fn page(&self, namespace: &Namespace, view: &RunView, wait: Duration) -> Result<EventPage, Status> {
        let run = view.run().ok_or_else(|| Status::data_loss("the run has no history"))?;
        let request = EventsRequest { namespace: namespace.clone(), run, from: view.seq() + 1, limit: PAGE, wait };
        self.views.events(request).await.map_err(|error| of_task(&error))
    }
}

impl Following {
    /// The task, and what happens from then on.
    pub(super) fn stream(self, first: v1::Task, closing: Closing) -> Answer<StreamResponse> {
        outbox::stream(BUFFERED, closing, |outbox| self.feed(first, outbox))
    }

    /// Sends the task and its updates until the stream's end is reached.
    async fn feed(mut self, first: v1::Task, outbox: Outbox<StreamResponse>) -> Result<(), Status> {
        send(&outbox, Payload::Task(first)).await?;
        while !self.until.reached(state_of(&self.view)) {
            let page = self.agent.page(&self.namespace, &self.view, HEARTBEAT).await?;
            if page.events.is_empty() {
                if page.ended {
                    return Ok(());
                }
                // So that a caller sees that its task is not forgotten.
                send(&outbox, self.status_update(status(&self.view))).await?;
            }
            for event in &page.events {
                let recorded = decode(event).map_err(|error| Status::data_loss(error.to_string()))?;
                self.tell(&recorded, &outbox).await?;
                if self.until.reached(state_of(&self.view)) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Takes an event in, and sends what it is to the reader.
    async fn tell(&mut self, recorded: &Recorded, outbox: &Outbox<StreamResponse>) -> Result<(), Status> {
        let before = state_of(&self.view);
        self.view.apply(recorded);
        let now = state_of(&self.view);
        if let (Event::ArtifactRecorded(artifact), Some(run)) = (&recorded.event, self.view.run()) {
            let product = self.agent.product(&self.namespace, run, artifact).await?;
            return self.artifact(product, outbox).await;
        }
        if now == TaskState::Completed && before != now {
            let result = self.agent.result(&self.namespace, &self.view).await?;
            self.artifact(result, outbox).await?;
        }
        let news = news(&recorded.event);
        if now == before && news.is_none() {
            return Ok(());
        }
        let says_itself = is_terminal(now) || is_interrupted(now) || self.view.status() == RunStatus::Paused;
        let status = match news.filter(|_| !says_itself) {
            Some(news) => status_with(&self.view, Some(&news)),
            None => status(&self.view),
        };
        send(outbox, self.status_update(status)).await
    }

    async fn artifact(&self, product: Product, outbox: &Outbox<StreamResponse>) -> Result<(), Status> {
        for piece in product.pieces() {
            let update = v1::TaskArtifactUpdateEvent {
                task_id: self.task_id(),
                context_id: context_of(&self.view),
                artifact: Some(piece.artifact),
                append: piece.append,
                last_chunk: piece.last,
                metadata: None,
            };
            send(outbox, Payload::ArtifactUpdate(update)).await?;
        }
        Ok(())
    }

    fn status_update(&self, status: v1::TaskStatus) -> Payload {
        Payload::StatusUpdate(TaskStatusUpdateEvent {
            task_id: self.task_id(),
            context_id: context_of(&self.view),
            status: Some(status),
            metadata: progress(&self.view),
        })
    }

    fn task_id(&self) -> String {
        self.view.run().map(|run| run.to_string()).unwrap_or_default()
    }
}

/// What is worth telling of an event, for a person.
fn news(event: &Event) -> Option<String> {
    Some(match event {
        Event::AttemptStarted(started) if started.attempt == 1 => {
            format!("step {} is asked of {}", started.step, started.agent)
        }
        Event::AttemptStarted(started) => {
            format!("step {} is asked of {}, attempt {}", started.step, started.agent, started.attempt)
        }
        Event::AttemptFailed(failed) if failed.retry_at.is_some() => {
            format!("step {} failed and will be tried again: {}", failed.step, failed.error)
        }
        Event::AttemptSuspended(asks) => format!("step {} asks: {}", asks.step, asks.message),
        Event::AttemptResumed(resumed) => format!("step {} has its answer", resumed.step),
        Event::StepCompleted(completed) => format!("step {} is complete", completed.step),
        Event::StepFailed(failed) => format!("step {} failed: {}", failed.step, failed.error),
        Event::RunPaused(_) => "the run is held".to_owned(),
        Event::RunAdmitted(_) => "the run has left the queue".to_owned(),
        Event::RunResumed(_) => "the run goes on".to_owned(),
        event => {
            let (step, what) = recovery_news(event)?;
            step.map_or_else(|| what.clone(), |step| format!("step {step}: {what}"))
        }
    })
}

async fn send(outbox: &Outbox<StreamResponse>, payload: Payload) -> Result<(), Status> {
    let go_on = || GoOn { message: "subscribe to the task to go on".to_owned(), at: None };
    outbox.send(StreamResponse { payload: Some(payload) }, go_on).await
}
