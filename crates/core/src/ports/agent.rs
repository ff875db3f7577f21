//! Calling agents.

mod access;
mod limits;
mod report;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, AttemptKey, Capability};
use crate::limits::{MAX_RETRY_HINT, MIN_RETRY_HINT};
use crate::value::Json;
use crate::workflow::Priority;

pub use self::access::{AccessError, AgentAccess, AgentTls, ClientIdentity, Credentials, SecretRef};
pub use self::limits::{CallLimits, Rate};
pub use self::report::{AgentReport, Feedback, Usage, is_metric, is_score, round_score};

/// Calls agents over some protocol.
///
/// Contract: every method returns within the call's `timeout` plus a short grace, and may be cancelled by dropping its
/// future (which does not stop the agent; [`cancel`](Self::cancel) does). The same [`AgentCall::key`] always leads to
/// the same message at the agent, so that a call made before a crash can be found after it.
#[async_trait]
pub trait AgentTransport: Send + Sync {
    /// Asks an agent who it is and what it can do.
    ///
    /// # Errors
    /// [`AgentError`] if it cannot be reached or its description cannot be used.
    async fn describe(&self, agent: &AgentEndpoint) -> Result<AgentDescription, AgentError>;

    /// Sends the message of an attempt and follows its task to the end.
    ///
    /// # Errors
    /// [`AgentError`]: the attempt failed; its kind tells what is worth retrying.
    async fn call(&self, call: &AgentCall, updates: &dyn UpdateSink) -> Result<Answer, AgentError>;

    /// Looks for the task of an attempt whose message was, perhaps, sent before, and follows it to the end.
    /// `None`: the agent knows no such task, so that sending is safe.
    ///
    /// # Errors
    /// As [`call`](Self::call); an agent that cannot be asked is an error, not `None`.
    async fn reattach(&self, call: &AgentCall, updates: &dyn UpdateSink) -> Result<Option<Answer>, AgentError>;

    /// Answers what the task of an attempt asked ([`Answer::Suspended`]), unless the agent has this very answer already,
    /// and follows the task to its end.
    ///
    /// # Errors
    /// As [`call`](Self::call); [`AgentErrorKind::Failed`] if the agent does not know the task any more.
    async fn answer(
        &self,
        call: &AgentCall,
        reply: &AgentReply,
        updates: &dyn UpdateSink,
    ) -> Result<Answer, AgentError>;

    /// Asks the agent to stop the task of an attempt. A task that is over or unknown is a success.
    ///
    /// # Errors
    /// [`AgentError`] if the agent cannot be asked or refuses.
    async fn cancel(&self, call: &AgentCall) -> Result<(), AgentError>;
}

/// Where an agent is, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentEndpoint {
    /// Its name in the registry.
    pub id: AgentId,
    /// Base URL of its card, such as `http://127.0.0.1:9000`.
    pub url: String,
    /// TLS, credentials and trust.
    pub access: AgentAccess,
}

/// What an agent says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentDescription {
    /// Its own name (untrusted text).
    pub name: String,
    /// Its version (untrusted text).
    pub version: String,
    /// The ids of its skills that are valid capability names.
    pub capabilities: Vec<Capability>,
}

/// One attempt, as the agent is to see it.
#[derive(Debug, Clone)]
pub struct AgentCall {
    /// Whom to call.
    pub agent: AgentEndpoint,
    /// Which attempt this is; message id, context id and operation id derive from it.
    pub key: AttemptKey,
    /// The skill that is asked for.
    pub capability: Capability,
    /// What to do, in the agent's own words, when the skill can do several things.
    pub action: Option<String>,
    /// How urgent the step is.
    pub priority: Priority,
    /// The input: an object.
    pub input: Json,
    /// How long the attempt may take from now.
    pub timeout: Duration,
    /// How long the agent may say nothing before it is asked about the task; `None`: as long as the transport is set to.
    pub idle_timeout: Option<Duration>,
    /// The agent's task id, when it is known from before.
    pub task: Option<String>,
    /// W3C trace context to pass on.
    pub trace_parent: Option<String>,
    /// What was not good enough about the last answer.
    pub feedback: Option<Box<Feedback>>,
}

/// An answer to what an agent asked.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentReply {
    /// Which answer of the attempt it is, from 1; with the attempt's key it names the message.
    pub number: u32,
    /// What is answered.
    pub value: Json,
}

/// Where news of an attempt goes while it runs. Must not block.
pub trait UpdateSink: Send + Sync {
    /// Takes one piece of news.
    fn update(&self, update: AgentUpdate);
}

/// News of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentUpdate {
    /// The agent gave the task an id; recorded, so that a restart finds it again.
    Task(String),
    /// The agent says what it is doing.
    Status(String),
    /// How much is done, from 0 to 1, if the agent tells (`progress` in the metadata of a status update).
    Progress(f64),
    /// A part of an artifact arrived.
    Artifact {
        /// Its name, or its id if it has none.
        name: String,
        /// Bytes so far.
        bytes: u64,
    },
}

/// How an attempt ended well, or paused.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The task is complete.
    Completed {
        /// The output of the step.
        output: Json,
        /// What was produced beside it.
        artifacts: Vec<Artifact>,
        /// What the agent tells beside it, if it does; [checked](AgentReport::check) by whoever called.
        report: Option<Box<AgentReport>>,
    },
    /// The task waits for somebody (A2A's INPUT_REQUIRED and AUTH_REQUIRED).
    Suspended {
        /// For what.
        need: Need,
        /// What the agent asks, as text.
        message: String,
    },
}

/// What a suspended attempt waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// An answer from a person or a client.
    Input,
    /// An authorization.
    Auth,
    /// A person's approval.
    Approval,
    /// A signal from outside.
    Signal,
    /// A moment.
    Time,
    /// The steps that the step holds.
    Steps,
}

impl Need {
    /// True if somebody has to do something: time passes and steps end by themselves.
    #[must_use]
    pub const fn is_of_somebody(self) -> bool {
        !matches!(self, Self::Time | Self::Steps)
    }
}

/// Something an agent produced beside its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The agent's id of it.
    pub id: String,
    /// Its name, often a file name (untrusted text).
    pub name: String,
    /// Its media type, if told.
    pub media_type: Option<String>,
    /// The content.
    pub bytes: Bytes,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct AgentError {
    /// What sort of failure.
    pub kind: AgentErrorKind,
    /// What happened, for a person.
    pub message: String,
    /// The agent's wish for how long to leave it alone.
    pub retry_after: Option<Duration>,
    /// True if the agent cannot have got the message.
    pub unsent: bool,
    /// What the failure took, if the agent told.
    pub usage: Option<Box<Usage>>,
}

impl AgentError {
    /// An error without a hint when to come back.
    pub fn new(kind: AgentErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, unsent: false, usage: None }
    }

    /// The same for a message that the agent cannot have got.
    #[must_use]
    pub fn unsent(self) -> Self {
        Self { unsent: true, ..self }
    }

    /// True if the agent may have done what it was asked: it got the message, perhaps, and did not say that it failed or
    /// refused.
    #[must_use]
    pub const fn leaves_open(&self) -> bool {
        let open = matches!(
            self.kind,
            AgentErrorKind::Unavailable
                | AgentErrorKind::Timeout
                | AgentErrorKind::EmptyAnswer
                | AgentErrorKind::OutputFieldMissing
                | AgentErrorKind::InvalidAnswer
                | AgentErrorKind::TooLarge
                | AgentErrorKind::Unknown
        );
        open && !self.unsent
    }

    /// How long a busy agent wants to be left alone, within bounds.
    #[must_use]
    pub fn rest(&self) -> Option<Duration> {
        let rest = self.retry_after.filter(|_| self.kind == AgentErrorKind::RateLimited)?;
        Some(rest.clamp(MIN_RETRY_HINT, MAX_RETRY_HINT))
    }
}

/// The sorts of failure of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AgentErrorKind {
    /// The agent cannot be reached.
    Unavailable,
    /// No answer in time.
    Timeout,
    /// The agent asks to be left alone for a while.
    RateLimited,
    /// The agent ended its task as failed.
    Failed,
    /// The agent ended its task as cancelled though nobody asked.
    Cancelled,
    /// The agent refuses the task.
    Rejected,
    /// The agent finds the message wrong.
    InvalidInput,
    /// The agent does not let us in.
    Unauthorized,
    /// The agent cannot do this at all.
    Unsupported,
    /// The task is complete but says nothing.
    EmptyAnswer,
    /// A field that the step's output mapping names is not in the output.
    OutputFieldMissing,
    /// What came back breaks the protocol or a limit.
    InvalidAnswer,
    /// The answer is not good enough.
    QualityBelow,
    /// The run would hold more than a run may hold.
    TooLarge,
    /// A required field of the step's input has no value.
    InputMissing,
    /// No agent with the capability is known.
    NoAgent,
    /// Too few of the steps that the step holds succeeded, or what it does with them could not be done.
    StepsFailed,
    /// Too few of the steps that the step holds succeeded, and a person is to decide.
    Undecided,
    /// The condition of the step, or of its loop, cannot be worked out from the data.
    BadCondition,
    /// The run's budget is spent.
    BudgetSpent,
    /// A kind that a newer version of the product recorded.
    #[serde(other)]
    Unknown,
}

impl std::fmt::Display for AgentErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

/// What is worth trying after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same agent may do better next time.
    Again,
    /// Only another agent may do better.
    Elsewhere,
    /// Nobody will.
    Never,
}

impl AgentErrorKind {
    /// What is worth trying after this failure.
    #[must_use]
    pub const fn retry(self) -> Retry {
        match self {
            Self::Unavailable
            | Self::Timeout
            | Self::RateLimited
            | Self::Failed
            | Self::Cancelled
            | Self::EmptyAnswer
            | Self::OutputFieldMissing
            | Self::InvalidAnswer
            | Self::QualityBelow
            | Self::NoAgent
            | Self::StepsFailed
            | Self::Unknown => Retry::Again,
            Self::Rejected | Self::Unauthorized | Self::Unsupported => Retry::Elsewhere,
            Self::InvalidInput
            | Self::InputMissing
            | Self::TooLarge
            | Self::BadCondition
            | Self::Undecided
            | Self::BudgetSpent => Retry::Never,
        }
    }
}
