//! What may be asked of a run, or observed about it.

use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, AttemptKey, RequestId, StepPath};
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
    /// The attempt of a step whose question was answered was admitted again.
    ContinueAttempt {
        /// The step.
        step: StepPath,
    },
    /// The run leaves the queue.
    AdmitRun,
    /// The run's time is up.
    ExpireRun,
    /// An operator or a client wants something of the run.
    Command {
        /// What.
        command: Command,
        /// Who, why, and by which request.
        order: Order,
    },
    /// The run takes its server down.
    QuarantineRun {
        /// Why.
        reason: String,
    },
}

/// What operators and clients may want of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Nothing is started any more; attempts under way come to their end, and their results count.
    Pause,
    /// The run goes on, also one that was set aside; its time starts anew.
    Resume,
    /// The run ends, and agents are asked to stop what is under way.
    Cancel,
    /// The run ends at once; agents are not asked.
    Terminate,
    /// A failed run goes on with the steps that are not complete.
    Retry,
    /// A step that waits for somebody gets an answer.
    Signal {
        /// The path of the step; empty if only one waits.
        step: String,
        /// The answer; in the payload store already if it is large.
        answer: Payload,
    },
}

/// Who wants something of a run, why, and by which request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Who.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The caller's id of the request: a run applies one once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
}

impl Order {
    /// An order without a request id.
    pub fn new(by: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { by: by.into(), reason: reason.into(), request: None }
    }
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
    /// The step does not wait for anybody, or none or several do and the signal names none.
    #[error("{}", not_waiting(.step, .waiting))]
    NotWaiting {
        /// The step that was named; empty if none was.
        step: String,
        /// The steps that wait.
        waiting: Vec<StepPath>,
    },
    /// The run's time is not up.
    #[error("the run has time left")]
    NotExpired,
}

fn not_waiting(step: &str, waiting: &[StepPath]) -> String {
    let names: Vec<&str> = waiting.iter().map(StepPath::as_str).collect();
    let who = match step {
        "" => "the signal names no step".to_owned(),
        step => format!("step \"{}\" does not wait for an answer", step.escape_debug()),
    };
    match names[..] {
        [] => format!("{who}, and no other does"),
        _ => format!("{who}; these do: {}", names.join(", ")),
    }
}
