//! A request in, and what happens because of it out, as it happens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::{Request, Status};
use tutti_api::v1;
use tutti_api::v1::execute_stream_response::Event as Told;
use tutti_core::ids::{Namespace, RunId, StepPath, WorkflowId};
use tutti_core::ports::inbound::runs::{
    KeyConflict, KeyPolicy, KeyReuse, StartOptions, StartRequest, StartedRun, WorkflowSource,
};
use tutti_core::ports::inbound::views::EventsRequest;
use tutti_core::ports::inbound::{RequestError, Violation};
use tutti_core::run::{ArtifactRecorded, Recorded, decode};
use tutti_core::schedule::StrategyDecision;
use tutti_core::time::Timestamp;

use super::caller::{caller, namespace, recorded};
use super::convert::{artifact_out, executor_out, moment, state_out};
use super::errors::{parsed, read, read_some, request_id, short, status, wrong};
use super::outbox::{self, Answer, Closing, GoOn, HEARTBEAT, Outbox};
use super::runs::{trace_parent, wishes};
use super::stream_events::{ProgressKind, StreamEvent, StreamEvents};
use super::{Inbound, data, watch};

/// Messages that wait for the reader.
const BUFFERED: usize = 64;

/// What becomes of a task whose name a run bears: one that goes on is followed, one that completed is not done again.
const TASKS: KeyPolicy = KeyPolicy { reuse: KeyReuse::AllowDuplicateFailedOnly, conflict: KeyConflict::UseExisting };

/// Starts a run or finds it, and streams what happens to it.
///
/// # Errors
/// A request that is refused, or one that goes on where the run has not got to.
pub(super) async fn stream(
    inbound: &Inbound,
    closing: Closing,
    request: Request<v1::ExecuteStreamRequest>,
) -> Result<Answer<v1::ExecuteStreamResponse>, Status> {
    let namespace = namespace(&request, &request.get_ref().namespace)?;
    let (from, part) = (request.get_ref().from_seq.max(1), request.get_ref().from_part);
    let start = start_request(namespace.clone(), request)?;
    let begun = Instant::now();
    let started = inbound.runs.start(start).await;
    let StartedRun { run, existed } = started.map_err(|error| status(&named_query(error)))?;
    let planned = (!existed).then(|| begun.elapsed());
    let view = inbound.views.get(&namespace, run).await.map_err(|error| status(&error))?;
    if from > view.seq() + 1 {
        return Err(Status::out_of_range(format!("the run has no event {} yet", from - 1)));
    }
    let events = StreamEvents::new(view.plan().clone());
    let telling = Telling { inbound: inbound.clone(), namespace, run, from: (from, part), planned, events };
    Ok(outbox::stream(BUFFERED, closing, |outbox| telling.feed(outbox)))
}

fn start_request(namespace: Namespace, request: Request<v1::ExecuteStreamRequest>) -> Result<StartRequest, Status> {
    short("requested_by", &request.get_ref().requested_by)?;
    let by = recorded(&caller(&request), &request.get_ref().requested_by);
    let trace_parent = trace_parent(request.metadata());
    let asked = request.into_inner();
    let key = read_some("task_id", &asked.task_id)?;
    let options = StartOptions {
        key: key.map(|key| (key, TASKS)),
        session: read_some("session_id", &asked.session_id)?,
        trace_parent,
        by,
        orchestration: wishes(asked.orchestration)?,
        ..StartOptions::default()
    };
    let (request, workflow) = (request_id(&asked.request_id)?, source(asked.query)?);
    Ok(StartRequest { namespace, request, workflow, inputs: asked.inputs_json, options })
}

/// What a query asks for.
fn source(query: String) -> Result<WorkflowSource, Status> {
    let text = query.trim();
    if text.is_empty() {
        return Err(wrong("query", "is required"));
    }
    if text.contains('\n') || text.starts_with('{') || text.contains("steps:") {
        return Ok(WorkflowSource::said(query));
    }
    if text.contains(char::is_whitespace) {
        return Ok(WorkflowSource::Query(query));
    }
    let (id, version) = text.split_once('@').map_or((text, None), |(id, version)| (id, Some(version)));
    let must = "must be ID or ID@VERSION of a registered workflow, or the text of a workflow file";
    let id: WorkflowId = parsed("query", id, must)?;
    let version = version.map(|version| read("query", version)).transpose()?;
    Ok(WorkflowSource::Registered { id, version })
}

/// The workflow is in another field than usual.
fn named_query(error: RequestError) -> RequestError {
    let RequestError::Invalid(violations) = error else { return error };
    let renamed = |violation: Violation| Violation {
        field: match violation.field.strip_prefix("workflow") {
            Some(rest) if rest.is_empty() || rest.starts_with('.') => format!("query{rest}"),
            _ => violation.field,
        },
        ..violation
    };
    RequestError::Invalid(violations.into_iter().map(renamed).collect())
}

/// The stream of one run.
struct Telling {
    inbound: Inbound,
    namespace: Namespace,
    run: RunId,
    /// The first message to send, by sequence number and part.
    from: (u64, u32),
    /// How long planning took, if this request had it done.
    planned: Option<Duration>,
    events: StreamEvents,
}

impl Telling {
    async fn feed(mut self, outbox: Outbox<v1::ExecuteStreamResponse>) -> Result<(), Status> {
        let views = Arc::clone(&self.inbound.views);
        loop {
            let seq = self.events.view().seq();
            let request = EventsRequest {
                namespace: self.namespace.clone(),
                run: self.run,
                from: seq + 1,
                limit: watch::PAGE,
                wait: HEARTBEAT,
            };
            let page = views.events(request).await.map_err(|error| status(&error))?;
            for event in &page.events {
                let recorded = decode(event).map_err(|error| Status::data_loss(error.to_string()))?;
                self.tell(&recorded, &outbox).await?;
            }
            if page.events.is_empty() && page.ended {
                return Ok(());
            }
            if page.events.is_empty() {
                let heartbeat = Told::Heartbeat(v1::Heartbeat { last_seq: seq });
                let message = self.message((seq, 0), self.inbound.clock.now(), heartbeat);
                outbox.send(message, || GoOn::after(seq)).await?;
            }
        }
    }

    /// Sends what an event is told as, from the first message that is wanted on.
    async fn tell(&mut self, recorded: &Recorded, outbox: &Outbox<v1::ExecuteStreamResponse>) -> Result<(), Status> {
        for (part, event) in (0..).zip(self.events.tell(recorded)) {
            let place = (recorded.seq, part);
            if place >= self.from && self.events.is_wanted(&event) {
                let told = self.told(event).await?;
                outbox.send(self.message(place, recorded.at, told), || GoOn::after(recorded.seq - 1)).await?;
            }
        }
        Ok(())
    }

    fn message(&self, (seq, part): (u64, u32), at: Timestamp, told: Told) -> v1::ExecuteStreamResponse {
        v1::ExecuteStreamResponse { run_id: self.run.to_string(), seq, part, time: Some(moment(at)), event: Some(told) }
    }

    async fn told(&self, event: StreamEvent) -> Result<Told, Status> {
        Ok(match event {
            StreamEvent::Phase { phase, note } => Told::Phase(v1::PhaseReached {
                phase: phase.to_string(),
                number: phase.index() as u32 + 1,
                title: phase.title().to_owned(),
                note,
            }),
            StreamEvent::Planning { strategy, levels } => Told::Planning(self.planning(&strategy, levels)),
            StreamEvent::TaskStart { step, attempt, agent, capability } => Told::TaskStart(v1::TaskStart {
                task_id: step.to_string(),
                agent: agent.to_string(),
                capability: capability.to_string(),
                attempt,
            }),
            StreamEvent::Progress { step, kind, message } => Told::Progress(self.progress(step, kind, message)),
            StreamEvent::Artifact(artifact) => Told::Artifact(self.artifact(&artifact).await?),
            StreamEvent::TaskComplete { step, attempt, agent, duration, quality } => {
                Told::TaskComplete(v1::TaskComplete {
                    task_id: step.to_string(),
                    duration_seconds: duration.as_secs_f64(),
                    quality_score: quality,
                    agent: agent.map(|agent| agent.to_string()).unwrap_or_default(),
                    attempt,
                })
            }
            StreamEvent::TaskFailed { step, error, attempts } => {
                Told::TaskFailed(v1::TaskFailed { task_id: step.to_string(), error: error.to_string(), attempts })
            }
            StreamEvent::NodeComplete { step, released } => Told::NodeComplete(v1::NodeComplete {
                node_id: step.to_string(),
                released: released.iter().map(ToString::to_string).collect(),
            }),
            StreamEvent::LevelComplete { level, levels, completed, failed, skipped } => {
                Told::LevelComplete(v1::LevelComplete {
                    level,
                    total_levels: levels,
                    completed_steps: completed,
                    failed_steps: failed,
                    skipped_steps: skipped,
                })
            }
            StreamEvent::Result => {
                let data = data::of_run(&*self.inbound.values, &self.namespace, self.events.view()).await?;
                let data_json = data.map(|data| data.as_str().to_owned());
                Told::Result(v1::RunResult { data_json, elapsed_seconds: self.elapsed() })
            }
            StreamEvent::Failed { status, step, error } => Told::Failed(v1::RunFailure {
                state: state_out(status).into(),
                step: step.map(|step| step.to_string()).unwrap_or_default(),
                error,
                elapsed_seconds: self.elapsed(),
            }),
        })
    }

    fn planning(&self, strategy: &StrategyDecision, levels: u32) -> v1::Planning {
        let plan = self.events.view().plan();
        // A word, as it is recorded.
        let reason = serde_json::to_value(strategy.reason).ok();
        v1::Planning {
            duration_seconds: self.planned.map(|took| took.as_secs_f64()),
            strategy: executor_out(strategy.executor).into(),
            reason: reason.and_then(|reason| reason.as_str().map(str::to_owned)).unwrap_or_default(),
            workflow: plan.workflow().id.to_string(),
            version: plan.workflow().version.clone(),
            total_steps: plan.len() as u32,
            total_levels: levels,
        }
    }

    fn progress(&self, step: Option<StepPath>, kind: ProgressKind, message: String) -> v1::Progress {
        let (completed_steps, total_steps) = self.events.counts();
        v1::Progress {
            task_id: step.map(|step| step.to_string()).unwrap_or_default(),
            state: progress_state(kind).into(),
            message,
            progress_percentage: f64::from(completed_steps) * 100.0 / f64::from(total_steps.max(1)),
            completed_steps,
            total_steps,
        }
    }

    async fn artifact(&self, artifact: &ArtifactRecorded) -> Result<v1::StreamArtifact, Status> {
        let mut content = None;
        if artifact.content.len <= tutti_api::CHUNK_BYTES as u64 {
            let read = self.inbound.values.payload(&self.namespace, self.run, artifact.content).await;
            content = Some(read.map_err(|error| status(&error))?);
        }
        Ok(v1::StreamArtifact { artifact: Some(artifact_out(artifact)), content })
    }

    /// Since the run was created, up to the event that is told.
    fn elapsed(&self) -> f64 {
        let view = self.events.view();
        let span = view.created_at().zip(view.last_at()).map(|(from, to)| to.since(from));
        span.unwrap_or_default().as_secs_f64()
    }
}

const fn progress_state(kind: ProgressKind) -> v1::ProgressState {
    match kind {
        ProgressKind::Working => v1::ProgressState::Working,
        ProgressKind::Waiting => v1::ProgressState::Waiting,
        ProgressKind::Answered => v1::ProgressState::Answered,
        ProgressKind::Retrying => v1::ProgressState::Retrying,
        ProgressKind::AttemptFailed => v1::ProgressState::AttemptFailed,
        ProgressKind::Advanced => v1::ProgressState::Advanced,
        ProgressKind::Paused => v1::ProgressState::Paused,
        ProgressKind::Reopened => v1::ProgressState::Reopened,
        ProgressKind::Quarantined => v1::ProgressState::Quarantined,
        ProgressKind::Checkpoint => v1::ProgressState::Checkpoint,
    }
}
