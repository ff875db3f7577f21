//! A run as a task.

use std::time::Duration;

use prost::Message as _;
use prost_types::Struct;
use serde_json::{Value, json};
use tonic::Status;
use tutti_a2a::v1::{self, Role, TaskState, part::Content};
use tutti_a2a::{MAX_MESSAGE_BYTES, json};
use tutti_core::ids::{Namespace, RunId};
use tutti_core::limits::EVENTS_PAGE;
use tutti_core::ports::agent::Need;
use tutti_core::ports::inbound::views::EventsRequest;
use tutti_core::ports::query::RunSummary;
use tutti_core::report::{RunView, StepView};
use tutti_core::run::{Event, RunStatus, decode};
use tutti_core::value::{Json, Payload};

use super::OrchestratorAgent;
use super::artifact::{Product, value_part};
use super::labels::{self, Labels};
use super::refusal::of_task;
use crate::api::convert::moment;

/// Bytes of a message that are kept free of artifacts, for what stands around them.
const ENVELOPE: usize = 64 * 1024;

/// What is told of a task beside its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Telling {
    /// The newest messages, so many.
    pub(super) history: usize,
    /// Artifacts and the result.
    pub(super) artifacts: bool,
}

/// Room for artifacts in one message of the wire.
pub(super) struct Room(usize);

impl Room {
    pub(super) const fn new() -> Self {
        Self(MAX_MESSAGE_BYTES - ENVELOPE)
    }

    fn take(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.0;
        if fits {
            self.0 -= bytes;
        }
        fits
    }
}

impl OrchestratorAgent {
    /// A run as a task. What does not fit into the room is a link.
    pub(super) async fn task(
        &self,
        namespace: &Namespace,
        view: &RunView,
        telling: Telling,
        room: &mut Room,
    ) -> Result<v1::Task, Status> {
        let (Some(run), Some(state)) = (view.run(), view.state()) else {
            return Err(Status::data_loss("the run has no history"));
        };
        let summary = state.summary();
        let mut task = v1::Task {
            status: Some(status(view)),
            metadata: task_metadata(&summary, &waiting(view)),
            ..bare(&summary)
        };
        if telling.history > 0 {
            let mut history = self.history(namespace, view, &summary.labels).await?;
            history.drain(..history.len().saturating_sub(telling.history));
            task.history = history;
        }
        room.take(task.encoded_len());
        if telling.artifacts {
            // First, so that what the caller came for is not crowded out by what comes with it.
            let mut result = None;
            if view.status() == RunStatus::Completed {
                let product = self.result(namespace, view).await?;
                let product = if room.take(product.len()) { product } else { product.into_link(run) };
                result = Some(product.whole());
            }
            for recorded in view.all_steps().flat_map(|step| step.artifacts) {
                let fits = usize::try_from(recorded.content.len).is_ok_and(|bytes| room.take(bytes));
                let product =
                    if fits { self.product(namespace, run, recorded).await? } else { Product::link(run, recorded) };
                task.artifacts.push(product.whole());
            }
            task.artifacts.extend(result);
        }
        Ok(task)
    }

    /// The messages of a task: the one that started it, and each question with its answer.
    async fn history(
        &self,
        namespace: &Namespace,
        view: &RunView,
        labels: &Labels,
    ) -> Result<Vec<v1::Message>, Status> {
        let (Some(run), Some(created)) = (view.run(), view.created()) else { return Ok(Vec::new()) };
        let speaker = Speaker::of(run, labels);
        let id = labels::get(labels, labels::MESSAGE).unwrap_or_else(|| run.to_string());
        let mut history = vec![speaker.message(id, Role::User, vec![payload_part(run, &created.data)])];
        let asked = view.all_steps().flat_map(|step| step.attempts).any(|attempt| attempt.suspended.is_some());
        if !asked {
            return Ok(history);
        }
        let mut request =
            EventsRequest { namespace: namespace.clone(), run, from: 1, limit: EVENTS_PAGE, wait: Duration::ZERO };
        let mut questions = Vec::new();
        while request.from <= view.seq() {
            let page = self.views.events(request.clone()).await.map_err(|error| of_task(&error))?;
            let Some(last) = page.events.last() else { break };
            request.from = last.seq + 1;
            for event in &page.events {
                let recorded = decode(event).map_err(|error| Status::data_loss(error.to_string()))?;
                match recorded.event {
                    Event::AttemptSuspended(asks) => questions.push((asks.step, recorded.seq, asks.message)),
                    Event::SignalReceived(signal) => {
                        if let Some(at) = questions.iter().position(|(step, ..)| *step == signal.step) {
                            let (_, seq, text) = questions.swap_remove(at);
                            history.push(speaker.says(seq, &text));
                        }
                        let id = message_of(&signal.order.reason).unwrap_or_else(|| speaker.id(recorded.seq));
                        history.push(speaker.message(id, Role::User, vec![payload_part(run, &signal.answer)]));
                    }
                    _ => {}
                }
            }
        }
        Ok(history)
    }
}

/// A task of which lists tell no more than stands in them; none for a run that waits: for whom is told by its history.
pub(super) fn of_summary(summary: &RunSummary) -> Option<v1::Task> {
    if summary.status == RunStatus::Waiting {
        return None;
    }
    let speaker = Speaker::of(summary.run, &summary.labels);
    let message = summary
        .error
        .as_ref()
        .map(|text| speaker.message(format!("{}/end", summary.run), Role::Agent, vec![text_part(text)]));
    let state = state(summary.status, None).into();
    let status = v1::TaskStatus { state, message, timestamp: Some(moment(summary.updated_at)) };
    Some(v1::Task { status: Some(status), metadata: task_metadata(summary, &[]), ..bare(summary) })
}

fn bare(summary: &RunSummary) -> v1::Task {
    let speaker = Speaker::of(summary.run, &summary.labels);
    v1::Task { id: summary.run.to_string(), context_id: speaker.context, ..v1::Task::default() }
}

/// The context of a run: the one that the client chose, else the run itself.
pub(super) fn context(run: RunId, labels: &Labels) -> String {
    labels::get(labels, labels::CONTEXT).unwrap_or_else(|| run.to_string())
}

/// The context of a run.
pub(super) fn context_of(view: &RunView) -> String {
    let created = view.created();
    created.map(|created| context(created.run, &created.origin.labels)).unwrap_or_default()
}

/// The state of a task by that of its run.
const fn state(status: RunStatus, need: Option<Need>) -> TaskState {
    match status {
        RunStatus::Pending => TaskState::Submitted,
        RunStatus::Running | RunStatus::Paused => TaskState::Working,
        RunStatus::Waiting => match need {
            Some(Need::Auth) => TaskState::AuthRequired,
            Some(Need::Input | Need::Approval | Need::Signal | Need::Time | Need::Steps) | None => {
                TaskState::InputRequired
            }
        },
        RunStatus::Completed => TaskState::Completed,
        RunStatus::Failed | RunStatus::Stuck | RunStatus::Quarantined => TaskState::Failed,
        RunStatus::Cancelled | RunStatus::Terminated => TaskState::Canceled,
    }
}

/// The states of runs whose tasks are in a state; `None` for any.
pub(super) fn run_states(wanted: TaskState) -> Option<Vec<RunStatus>> {
    if wanted == TaskState::Unspecified {
        return None;
    }
    let is = |status: &RunStatus| {
        [None, Some(Need::Input), Some(Need::Auth)].into_iter().any(|need| state(*status, need) == wanted)
    };
    Some(RunStatus::ALL.iter().copied().filter(is).collect())
}

/// The state of a run as a task. It waits for an authorization if any of its steps does.
pub(super) fn state_of(view: &RunView) -> TaskState {
    let needs = || view.all_steps().filter_map(|step| step.question()).map(|(need, _)| need);
    let need = if needs().any(|need| need == Need::Auth) { Some(Need::Auth) } else { needs().next() };
    state(view.status(), need)
}

/// The status of a run as a task, with what is to be said of its state.
pub(super) fn status(view: &RunView) -> v1::TaskStatus {
    let text = match state_of(view) {
        TaskState::InputRequired | TaskState::AuthRequired => Some(question(view)),
        TaskState::Working if view.status() != RunStatus::Paused => {
            view.state().map(|state| format!("{} of {} steps are complete", state.completed(), view.plan().len()))
        }
        _ => view.error(),
    };
    status_with(view, text.as_deref())
}

/// The status of a run as a task, with this text.
pub(super) fn status_with(view: &RunView, text: Option<&str>) -> v1::TaskStatus {
    let speaker = view.created().map(|created| Speaker::of(created.run, &created.origin.labels));
    let message = speaker.zip(text).map(|(speaker, text)| speaker.says(view.seq(), text));
    v1::TaskStatus { state: state_of(view).into(), message, timestamp: view.last_at().map(moment) }
}

/// How far a run is: `progress` from 0 to 1, its steps in numbers, its state in a word.
pub(super) fn progress(view: &RunView) -> Option<Struct> {
    let summary = view.state()?.summary();
    json::to_struct(&numbers(&summary)).ok()
}

fn task_metadata(summary: &RunSummary, waiting: &[String]) -> Option<Struct> {
    let mut fields = numbers(summary);
    fields.insert("workflow".to_owned(), Value::from(summary.workflow.as_str()));
    fields.insert("version".to_owned(), Value::from(summary.version.as_str()));
    if !waiting.is_empty() {
        fields.insert("waiting_steps".to_owned(), json!(waiting));
    }
    json::to_struct(&fields).ok()
}

fn numbers(summary: &RunSummary) -> serde_json::Map<String, Value> {
    let share = f64::from(summary.completed) / f64::from(summary.steps.max(1));
    let Value::Object(fields) = json!({
        "progress": share,
        "completed_steps": summary.completed,
        "total_steps": summary.steps,
        "run_state": summary.status.as_str(),
    }) else {
        return serde_json::Map::new();
    };
    fields
}

/// The steps that wait for somebody.
pub(super) fn waiting(view: &RunView) -> Vec<String> {
    let asks = view.all_steps().filter(|step| step.question().is_some());
    asks.map(|step| view.plan().path(step.index).to_string()).collect()
}

/// What is asked: the agent's own words, with the step if there are several.
fn question(view: &RunView) -> String {
    let asks: Vec<(StepView<'_>, &str)> =
        view.all_steps().filter_map(|step| Some((step, step.question()?.1))).collect();
    match &asks[..] {
        [(_, text)] => (*text).to_owned(),
        several => several
            .iter()
            .map(|(step, text)| format!("{}: {text}", view.plan().path(step.index)))
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

/// Makes the messages of one task.
struct Speaker {
    run: RunId,
    context: String,
}

impl Speaker {
    fn of(run: RunId, labels: &Labels) -> Self {
        Self { run, context: context(run, labels) }
    }

    fn id(&self, seq: u64) -> String {
        format!("{}/{seq}", self.run)
    }

    /// A message of the agent, as it stood at an event.
    fn says(&self, seq: u64, text: &str) -> v1::Message {
        self.message(self.id(seq), Role::Agent, vec![text_part(text)])
    }

    fn message(&self, message_id: String, role: Role, parts: Vec<v1::Part>) -> v1::Message {
        v1::Message {
            message_id,
            context_id: self.context.clone(),
            task_id: self.run.to_string(),
            role: role.into(),
            parts,
            ..v1::Message::default()
        }
    }
}

/// What stands before a message's id where it is recorded as the reason of an order.
const ANSWERED_BY: &str = "answered by A2A message ";

/// The reason that is recorded for what a message did.
pub(super) fn reason_of(message_id: &str) -> String {
    format!("{ANSWERED_BY}{message_id}")
}

fn message_of(reason: &str) -> Option<String> {
    reason.strip_prefix(ANSWERED_BY).map(str::to_owned)
}

fn text_part(text: &str) -> v1::Part {
    v1::Part { content: Some(Content::Text(text.to_owned())), ..v1::Part::default() }
}

/// A value that the history holds in place, or a link to it; a text is told as text.
fn payload_part(run: RunId, payload: &Payload) -> v1::Part {
    match payload {
        Payload::Inline(value) => said_part(value),
        Payload::Stored(at) => {
            let content = Some(Content::Url(format!("tutti:runs/{run}/payloads/{}", at.hash)));
            v1::Part { content, ..v1::Part::default() }
        }
    }
}

fn said_part(value: &Json) -> v1::Part {
    match serde_json::from_str::<String>(value.as_str()) {
        Ok(text) => text_part(&text),
        Err(_) => value_part(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_a_run_is_one_of_a_task_and_the_way_back_finds_it() {
        for status in RunStatus::ALL {
            for need in [None, Some(Need::Input), Some(Need::Auth)] {
                let task = state(*status, need);
                assert!(run_states(task).unwrap().contains(status), "{status}");
                let settled = tutti_a2a::task::is_terminal(task);
                assert_eq!(settled, !(status.takes_results()), "{status}");
            }
        }
        assert_eq!(run_states(TaskState::Unspecified), None);
        assert_eq!(run_states(TaskState::Rejected), Some(Vec::new()));
    }

    #[test]
    fn the_message_of_an_answer_is_found_in_its_reason() {
        assert_eq!(message_of(&reason_of("m 1")).as_deref(), Some("m 1"));
        assert_eq!(message_of("because"), None);
    }
}
