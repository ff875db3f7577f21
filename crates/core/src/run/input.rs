//! What may be asked of a run, or observed about it.

use crate::ids::{AgentId, AttemptKey, StepPath};
use crate::ports::agent::{AgentError, Need};
use crate::value::Payload;

use super::event::ArtifactRecorded;
use super::status::RunStatus;

/// Something asked or observed. It may be refused; what is accepted becomes events.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A step that was admitted is about to be asked of an agent.
    StartAttempt {
        /// The step.
        step: StepPath,
        /// Whom.
        agent: AgentId,
    },
    /// A step that was admitted cannot be asked of anybody now. Counts as an attempt.
    RefuseAttempt {
        /// The step.
        step: StepPath,
        /// Why.
        error: AgentError,
        /// Chance, 0 to 1, for the jitter of the wait.
        chance: f64,
    },
    /// The agent gave the attempt's task an id.
    NoteTask {
        /// The attempt.
        key: AttemptKey,
        /// The agent's id of the task.
        task: String,
    },
    /// The attempt's task waits for somebody.
    SuspendAttempt {
        /// The attempt.
        key: AttemptKey,
        /// For what.
        need: Need,
        /// What the agent asks.
        message: String,
    },
    /// The attempt succeeded. Payloads it names are in the payload store already.
    CompleteAttempt {
        /// The attempt.
        key: AttemptKey,
        /// The step's output.
        output: Payload,
        /// What came with it.
        artifacts: Vec<ArtifactRecorded>,
        /// Input fields that were left out because their path had no value.
        missing_inputs: Vec<String>,
    },
    /// The attempt failed.
    FailAttempt {
        /// The attempt.
        key: AttemptKey,
        /// Why.
        error: AgentError,
        /// True if another suitable agent has not been asked in this round.
        other_agent: bool,
        /// Chance, 0 to 1, for the jitter of the wait.
        chance: f64,
    },
    /// An operator wants the run to go on; its time starts anew.
    ResumeRun {
        /// Who.
        by: String,
    },
    /// The run's time is up.
    ExpireRun,
    /// An operator ends the run.
    CancelRun {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// The run takes its server down.
    QuarantineRun {
        /// Why.
        reason: String,
    },
}

impl Input {
    /// True if the input need not be durable at once: it may wait a moment for company.
    #[must_use]
    pub const fn is_deferrable(&self) -> bool {
        matches!(self, Self::NoteTask { .. })
    }
}

/// Why an input was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The run has ended, or is set aside.
    #[error("the run is {0}")]
    RunIs(RunStatus),
    /// The run has no such step.
    #[error("the run has no step \"{0}\"")]
    NoSuchStep(StepPath),
    /// The attempt is not the one under way: it is over, or of an abandoned generation.
    #[error("attempt {0} is not under way")]
    NotUnderWay(String),
    /// The step was not admitted, or has an attempt under way already.
    #[error("step \"{0}\" cannot start now")]
    NotStartable(StepPath),
    /// The run's time is not up.
    #[error("the run has time left")]
    NotExpired,
}
