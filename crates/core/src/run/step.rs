//! A step of a run as it stands.

use serde::{Deserialize, Serialize};

use super::event::{Failure, KeptAnswer, QualityVerdict};
use super::status::StepStatus;
use crate::ids::AgentId;
use crate::ports::agent::Need;
use crate::quality::Assessment;
use crate::time::Timestamp;
use crate::value::Payload;

/// A step as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepState {
    /// Where it is in its life.
    pub phase: Phase,
    /// Attempts begun.
    pub attempts: u32,
    /// Rounds ended: times that no agent was left to ask.
    pub rounds: u32,
    /// Agents asked in this round.
    pub tried: Vec<AgentId>,
    /// Attempts that do not count against the policy: those before the step was begun anew, and those whose agent was busy.
    pub uncounted: u32,
    /// How often the step was begun anew after it had failed for good.
    pub recoveries: u32,
    /// When its first attempt that counts began.
    pub began_at: Option<Timestamp>,
    /// Number of the event that completed it; 0 before.
    pub completed_seq: u64,
    /// The attempt that was given up while it was under way, of a step that must not be done twice: before it begins anew, a
    /// person must say what became of that.
    pub lost: Option<Box<OpenAttempt>>,
    /// True once its condition was found to hold.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checked: bool,
}

/// Where a step is in its life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waits for so many steps.
    Blocked(u32),
    /// May start; after a failure not before a moment.
    Ready(Option<Timestamp>),
    /// An attempt is under way or suspended.
    Open(OpenAttempt),
    /// A person must decide what becomes of it.
    Held(Held),
    /// What undoes a step, while nothing has to be undone; what a step holds, before its turn.
    Idle,
    /// Done, with this output.
    Completed(Payload),
    /// Failed for good.
    Failed(Failure),
    /// A step before it failed.
    Skipped,
    /// Its condition did not hold; what depends on it goes on.
    Omitted,
    /// The run ended first.
    Cancelled,
}

/// Why a step is held for a person's decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// What happened to its last attempt.
    pub error: Failure,
    /// The attempt, if it may have been carried out; nothing else is known of it.
    pub unknown: Option<OpenAttempt>,
    /// Its answer, if a person decides whether it is good enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Box<KeptAnswer>>,
}

/// How the last answer of a step was judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Whose answer it is.
    pub agent: AgentId,
    /// The attempt that brought it.
    pub attempt: u32,
    /// What it came to.
    pub verdict: QualityVerdict,
    /// What is known of it.
    pub assessment: Assessment,
}

/// An attempt under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAttempt {
    /// Whom it asks.
    pub agent: AgentId,
    /// When it began.
    pub started_at: Timestamp,
    /// The agent's id of the task, once known.
    pub task: Option<String>,
    /// Set if the task waits for somebody.
    pub suspended: Option<Need>,
    /// The last answer to what it asked, until the agent asks again.
    pub answer: Option<Payload>,
    /// Answers that it got.
    pub answers: u32,
    /// When what it waits for is due.
    pub due: Option<Timestamp>,
    /// How often that was overdue.
    pub overdue: u32,
}

impl OpenAttempt {
    pub(super) const fn new(agent: AgentId, started_at: Timestamp) -> Self {
        Self { agent, started_at, task: None, suspended: None, answer: None, answers: 0, due: None, overdue: 0 }
    }
}

impl StepState {
    pub(super) const fn new(phase: Phase) -> Self {
        Self {
            phase,
            attempts: 0,
            rounds: 0,
            tried: Vec::new(),
            uncounted: 0,
            recoveries: 0,
            began_at: None,
            completed_seq: 0,
            lost: None,
            checked: false,
        }
    }

    /// The state that people see.
    #[must_use]
    pub const fn status(&self) -> StepStatus {
        match &self.phase {
            Phase::Ready(Some(_)) => StepStatus::Retrying,
            Phase::Blocked(_) | Phase::Ready(None) | Phase::Idle => StepStatus::Pending,
            Phase::Held(Held { unknown: Some(_), .. }) => StepStatus::OutcomeUnknown,
            Phase::Held(_) => StepStatus::Waiting,
            Phase::Open(OpenAttempt { suspended: Some(_), .. }) => StepStatus::Waiting,
            Phase::Open(_) => StepStatus::Running,
            Phase::Completed(_) => StepStatus::Completed,
            Phase::Failed(_) => StepStatus::Failed,
            Phase::Skipped | Phase::Omitted => StepStatus::Skipped,
            Phase::Cancelled => StepStatus::Cancelled,
        }
    }
}
