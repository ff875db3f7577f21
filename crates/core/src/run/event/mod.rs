//! What happened, as it is recorded. Forms are kept for ever: a change is a new version of a kind, never a new meaning.

use serde::{Deserialize, Serialize};

use crate::budget::Amounts;
use crate::ids::{AgentId, Namespace, RequestId, RunId, StepPath, WorkflowId};
use crate::ports::agent::{AgentError, AgentErrorKind, AgentReport, Need, Usage};
use crate::schedule::{Policy, StrategyDecision};
use crate::time::Timestamp;
use crate::value::{Digest, Payload};

use super::choice::AgentChoice;
use super::input::{Order, Work};
use super::origin::Origin;

mod budget;
mod growth;
mod quality;
mod recovery;

pub use budget::{BudgetRaised, BudgetSpent, BudgetWarned};
pub use growth::{PlanRevised, StepChecked, StepExpanded, StepOmitted, WaitClosed};
pub use quality::{KeptAnswer, QualityAssessed, QualityVerdict};
pub use recovery::{
    Afterwards, ForkedStep, ResultDiscarded, RunForked, RunRewound, RunStuck, StepDecided, StepHeld, StepRecovered,
    UndoStarted, Undone, WaitOverdue,
};

/// An event with its place in the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Its number in the run, from 1, without a gap.
    pub seq: u64,
    /// When it happened, by the owner's clock.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The run was accepted.
    RunCreated(Box<RunCreated>),
    /// The run leaves the queue: its time starts.
    RunAdmitted(RunAdmitted),
    /// An operator let the run go on; its time starts anew.
    RunResumed(RunResumed),
    /// An operator holds the run: nothing is started.
    RunPaused(RunPaused),
    /// Every step is complete.
    RunCompleted(RunCompleted),
    /// The run failed.
    RunFailed(RunFailed),
    /// An operator ended the run.
    RunCancelled(RunCancelled),
    /// An operator ended the run at once.
    RunTerminated(RunTerminated),
    /// An operator let a failed run go on: a new generation, in which the steps that are not complete start anew.
    RunReopened(RunReopened),
    /// The run was set aside because it takes its server down.
    RunQuarantined(RunQuarantined),
    /// What was done is being undone: nothing else is started until it is.
    UndoStarted(Box<UndoStarted>),
    /// The run's steps stand again as after an earlier event: a new generation.
    RunRewound(RunRewound),
    /// Something could not be undone: a person must decide.
    RunStuck(RunStuck),
    /// The run begins where another one stood.
    RunForked(Box<RunForked>),
    /// A named point to which the run can be rolled back.
    CheckpointCreated(CheckpointCreated),
    /// An agent is about to be called.
    AttemptStarted(AttemptStarted),
    /// The agent gave the task an id.
    TaskAssigned(TaskAssigned),
    /// The agent's task waits for somebody.
    AttemptSuspended(AttemptSuspended),
    /// Somebody answered what a suspended attempt waits for.
    SignalReceived(SignalReceived),
    /// The answer is about to be given to the agent.
    AttemptResumed(AttemptResumed),
    /// An attempt failed.
    AttemptFailed(AttemptFailed),
    /// The step waits until a person decides what becomes of it.
    StepHeld(StepHeld),
    /// A person decided what becomes of a step.
    StepDecided(StepDecided),
    /// What a step waits for is overdue.
    WaitOverdue(WaitOverdue),
    /// A result came that nothing waits for any more: it is not applied.
    ResultDiscarded(ResultDiscarded),
    /// A step that failed for good begins anew, as the run's policy wants it.
    StepRecovered(StepRecovered),
    /// A step that holds others begins them.
    StepExpanded(StepExpanded),
    /// The condition of a step holds.
    StepChecked(StepChecked),
    /// The condition of a step does not hold: it is not done.
    StepOmitted(StepOmitted),
    /// What a step holds is not waited for any longer.
    WaitClosed(WaitClosed),
    /// The plan is another one from now on.
    PlanRevised(Box<PlanRevised>),
    /// An artifact came with a result.
    ArtifactRecorded(ArtifactRecorded),
    /// An answer was judged.
    QualityAssessed(Box<QualityAssessed>),
    /// A step is complete; its successors are released.
    StepCompleted(StepCompleted),
    /// A step failed for good.
    StepFailed(StepFailed),
    /// So much of the run's budget is used that somebody should know.
    BudgetWarned(BudgetWarned),
    /// Too little is left of the run's budget for anything that could start.
    BudgetSpent(BudgetSpent),
    /// Somebody raised the run's budget.
    BudgetRaised(BudgetRaised),
}

/// See [`Event::RunCreated`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunCreated {
    /// The run.
    pub run: RunId,
    /// Whose it is.
    pub namespace: Namespace,
    /// The caller's id of the request.
    pub request: RequestId,
    /// The workflow.
    pub workflow: WorkflowId,
    /// The author's version of it.
    pub version: String,
    /// The definition, by content; the run keeps it whatever becomes of the workflow.
    pub definition: Digest,
    /// The run's data at the start.
    pub data: Payload,
    /// How the run is driven.
    pub policy: Policy,
    /// Which executor was chosen and why.
    pub strategy: StrategyDecision,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Origin::is_empty")]
    pub origin: Origin,
    /// Its place in the queue, which goes by these moments, if it found no room: when it was created, less the head start
    /// of its priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<Timestamp>,
}

/// See [`Event::RunAdmitted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAdmitted {}

/// See [`Event::RunResumed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResumed {
    /// Who, and why.
    #[serde(flatten)]
    pub order: Order,
}

/// See [`Event::RunPaused`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPaused {
    /// Who, and why.
    #[serde(flatten)]
    pub order: Order,
    /// What becomes of attempts that are under way.
    #[serde(default, skip_serializing_if = "Work::is_default")]
    pub work: Work,
}

/// See [`Event::RunTerminated`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTerminated {
    /// Who, and why.
    #[serde(flatten)]
    pub order: Order,
}

/// See [`Event::RunReopened`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReopened {
    /// Who, and why.
    #[serde(flatten)]
    pub order: Order,
    /// The new generation; results of an older one are never applied.
    pub generation: u32,
}

/// See [`Event::RunCompleted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCompleted {}

/// See [`Event::RunFailed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailed {
    /// The first step that failed; none if the run's time was up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<StepPath>,
    /// Why.
    pub error: Failure,
    /// How it was undone, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<Undone>,
}

/// See [`Event::RunCancelled`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCancelled {
    /// Who, and why.
    #[serde(flatten)]
    pub order: Order,
}

/// See [`Event::RunQuarantined`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunQuarantined {
    /// Why.
    pub reason: String,
}

/// See [`Event::CheckpointCreated`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointCreated {
    /// Its name; `before:STEP` for the automatic ones.
    pub name: String,
    /// Who wanted it, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
}

/// See [`Event::AttemptStarted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptStarted {
    /// The step.
    pub step: StepPath,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Whom it asks.
    pub agent: AgentId,
    /// Why this one, if several have the capability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<AgentChoice>,
    /// What is reserved for it in the run's budget, beside the call itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Box<Amounts>>,
}

/// See [`Event::TaskAssigned`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskAssigned {
    /// The step.
    pub step: StepPath,
    /// The attempt.
    pub attempt: u32,
    /// The agent's id of the task.
    pub task: String,
}

/// See [`Event::AttemptSuspended`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptSuspended {
    /// The step.
    pub step: StepPath,
    /// The attempt.
    pub attempt: u32,
    /// For what it waits.
    pub need: Need,
    /// What the agent asks.
    pub message: String,
    /// When it is overdue, or over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// What a person is shown to decide by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<Payload>,
}

/// See [`Event::SignalReceived`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalReceived {
    /// Who, and why.
    #[serde(flatten)]
    pub order: Order,
    /// The step.
    pub step: StepPath,
    /// The attempt.
    pub attempt: u32,
    /// The answer.
    pub answer: Payload,
}

/// See [`Event::AttemptResumed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptResumed {
    /// The step.
    pub step: StepPath,
    /// The attempt.
    pub attempt: u32,
}

/// See [`Event::AttemptFailed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFailed {
    /// The step.
    pub step: StepPath,
    /// The attempt.
    pub attempt: u32,
    /// Why.
    pub error: Failure,
    /// When the step may be tried again; none: it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// True if the next attempt begins a new round, in which every agent may be asked again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new_round: bool,
    /// True if the agent was busy and said when to come back: the attempt does not count against the most that the step may
    /// have, and the agent may be asked again in this round.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncounted: bool,
    /// What the attempt took, if its agent told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Box<Usage>>,
}

/// See [`Event::ArtifactRecorded`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRecorded {
    /// The step.
    pub step: StepPath,
    /// The attempt.
    pub attempt: u32,
    /// The agent's id of it.
    pub artifact: String,
    /// Its name (untrusted text).
    pub name: String,
    /// Its media type, if told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Its content, in the run's payloads.
    pub content: crate::value::PayloadRef,
}

/// See [`Event::StepCompleted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepCompleted {
    /// The step.
    pub step: StepPath,
    /// The attempt that succeeded.
    pub attempt: u32,
    /// Its output.
    pub output: Payload,
    /// Input fields that were left out because their path had no value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_inputs: Vec<String>,
    /// What its agent told beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Box<AgentReport>>,
}

/// See [`Event::StepFailed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFailed {
    /// The step.
    pub step: StepPath,
    /// Why, from the last attempt.
    pub error: Failure,
}

/// Why something failed, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Failure {
    /// What sort of failure.
    pub kind: AgentErrorKind,
    /// What happened, for a person.
    pub message: String,
}

impl From<&AgentError> for Failure {
    fn from(error: &AgentError) -> Self {
        Self { kind: error.kind, message: shorten(&error.message) }
    }
}

impl Event {
    /// The order that led to it, if somebody wanted it.
    #[must_use]
    pub const fn order(&self) -> Option<&Order> {
        match self {
            Self::RunResumed(RunResumed { order })
            | Self::RunPaused(RunPaused { order, .. })
            | Self::RunCancelled(RunCancelled { order })
            | Self::RunTerminated(RunTerminated { order })
            | Self::RunReopened(RunReopened { order, .. })
            | Self::BudgetRaised(BudgetRaised { order, .. })
            | Self::StepDecided(StepDecided { order, .. })
            | Self::SignalReceived(SignalReceived { order, .. }) => Some(order),
            Self::UndoStarted(undo) => undo.order.as_ref(),
            Self::PlanRevised(revised) => revised.order.as_ref(),
            Self::CheckpointCreated(CheckpointCreated { order, .. }) => order.as_ref(),
            _ => None,
        }
    }

    /// True if it ends the run.
    #[must_use]
    pub const fn ends_run(&self) -> bool {
        matches!(self, Self::RunCompleted(_) | Self::RunFailed(_) | Self::RunCancelled(_) | Self::RunTerminated(_))
    }
}

/// Bounds a text that came from outside.
pub(crate) fn shorten(text: &str) -> String {
    use crate::limits::MAX_MESSAGE_BYTES;
    if text.len() <= MAX_MESSAGE_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MAX_MESSAGE_BYTES);
    format!("{}… ({} bytes)", &text[..end], text.len())
}
