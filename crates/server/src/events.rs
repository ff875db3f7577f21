//! Events as lines: for programs as JSON, for people in words.

use serde::Serialize;
use tutti_core::ids::{RunId, StepPath};
use tutti_core::report::{recovery_news, rfc3339};
use tutti_core::run::{Event, Order, Recorded, RunCancelled, RunPaused, RunReopened, RunResumed, RunTerminated};
use tutti_core::value::Payload;

/// An event as JSON; the schema of `tutti events -o jsonl` and of `--progress json`.
#[derive(Debug, Serialize)]
pub struct EventLine {
    run_id: RunId,
    seq: u64,
    at: String,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<StepPath>,
    /// The event as it is recorded.
    data: serde_json::Value,
}

impl EventLine {
    /// The line of an event.
    pub fn new(run: RunId, recorded: &Recorded) -> Self {
        let (step, _) = describe(&recorded.event);
        Self {
            run_id: run,
            seq: recorded.seq,
            at: rfc3339(recorded.at),
            event: recorded.event.name(),
            step: step.cloned(),
            data: recorded.event.to_json(),
        }
    }
}

/// The step that an event is about, and what it says beside its kind (may hold untrusted text).
pub fn describe(event: &Event) -> (Option<&StepPath>, String) {
    match event {
        Event::RunCreated(created) => {
            (None, format!("workflow={} version={} request={}", created.workflow, created.version, created.request))
        }
        Event::RunResumed(RunResumed { order })
        | Event::RunPaused(RunPaused { order, .. })
        | Event::RunCancelled(RunCancelled { order })
        | Event::RunTerminated(RunTerminated { order })
        | Event::RunReopened(RunReopened { order, .. }) => (None, ordered(order)),
        Event::RunAdmitted(_) | Event::RunCompleted(_) => (None, String::new()),
        Event::RunFailed(failed) => (failed.step.as_ref(), failed.error.to_string()),
        Event::RunQuarantined(set_aside) => (None, set_aside.reason.clone()),
        Event::CheckpointCreated(checkpoint) => (None, format!("name={}", checkpoint.name)),
        Event::AttemptStarted(started) => {
            let why = started.choice.as_ref().map(|choice| format!(" why={choice}")).unwrap_or_default();
            (Some(&started.step), format!("try={} agent={}{why}", started.attempt, started.agent))
        }
        Event::TaskAssigned(assigned) => {
            (Some(&assigned.step), format!("try={} task={}", assigned.attempt, assigned.task))
        }
        Event::AttemptSuspended(suspended) => {
            (Some(&suspended.step), format!("try={} {}", suspended.attempt, suspended.message))
        }
        Event::SignalReceived(signal) => {
            let (by, answer) = (ordered(&signal.order), value(&signal.answer));
            (Some(&signal.step), format!("try={} {by} answer={answer}", signal.attempt))
        }
        Event::AttemptResumed(resumed) => (Some(&resumed.step), format!("try={}", resumed.attempt)),
        Event::AttemptFailed(failed) => {
            let again = failed.retry_at.map(|at| format!(" again={}", rfc3339(at))).unwrap_or_default();
            (Some(&failed.step), format!("try={}{again} {}", failed.attempt, failed.error))
        }
        Event::ArtifactRecorded(artifact) => {
            (Some(&artifact.step), format!("name={} bytes={}", artifact.name, artifact.content.len))
        }
        Event::StepCompleted(completed) => {
            (Some(&completed.step), format!("try={} output={}", completed.attempt, value(&completed.output)))
        }
        Event::StepFailed(failed) => (Some(&failed.step), failed.error.to_string()),
        event => recovery_news(event).unwrap_or_default(),
    }
}

fn ordered(order: &Order) -> String {
    format!("by={} {}", order.by, order.reason)
}

fn value(payload: &Payload) -> String {
    match payload {
        Payload::Inline(value) => value.as_str().to_owned(),
        Payload::Stored(at) => format!("{} bytes", at.len),
    }
}
