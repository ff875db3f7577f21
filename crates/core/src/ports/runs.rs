//! What callers may ask of the runs of a server. A service over any protocol translates to and from this port.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::query::{ListRuns, RunPage};
use super::store::EncodedEvent;
use crate::ids::{Namespace, RequestId, RunId};
use crate::report::RunView;
use crate::run::{Command, Order};
use crate::value::PayloadRef;
use crate::workflow::Executor;

/// The runs of a server.
///
/// Contract: a run of another namespace is not found. What a method that changes something acknowledged is durable. Every
/// method may be cancelled by dropping its future; what it began may then still happen.
#[async_trait]
pub trait Runs: Send + Sync {
    /// Starts a run. The same request id in a namespace starts one run, however often it is asked.
    ///
    /// # Errors
    /// [`RunsError`]; [`RunsError::Invalid`] names what is wrong with the workflow or its inputs.
    async fn start(&self, request: StartRequest) -> Result<StartedRun, RunsError>;

    /// Has a command applied to a run: true if the run was as it is wanted before. A request id is applied once, so that
    /// asking again is safe. The answer of a signal may be inline whatever its size.
    ///
    /// # Errors
    /// [`RunsError`]; [`RunsError::NotAllowed`] if the run's state does not allow it.
    async fn command(&self, request: CommandRequest) -> Result<bool, RunsError>;

    /// One run with its whole history taken in.
    ///
    /// # Errors
    /// [`RunsError`].
    async fn get(&self, namespace: &Namespace, run: RunId) -> Result<RunView, RunsError>;

    /// A page of runs, newest first.
    ///
    /// # Errors
    /// [`RunsError`]; [`RunsError::Invalid`] for a cursor that was not given out.
    async fn list(&self, request: ListRequest) -> Result<RunPage, RunsError>;

    /// Events of a run from a number on. If there is none yet and the run has not ended, waits for one.
    ///
    /// # Errors
    /// [`RunsError`].
    async fn events(&self, request: EventsRequest) -> Result<EventPage, RunsError>;

    /// A large value of a run.
    ///
    /// # Errors
    /// [`RunsError`].
    async fn payload(&self, namespace: &Namespace, run: RunId, at: PayloadRef) -> Result<Bytes, RunsError>;
}

/// A run to be started.
#[derive(Debug, Clone)]
pub struct StartRequest {
    /// Whose.
    pub namespace: Namespace,
    /// The caller's id of the request.
    pub request: RequestId,
    /// The text of a workflow file.
    pub workflow: String,
    /// The inputs as JSON text: an object.
    pub inputs: String,
    /// Instead of the executor that the workflow names.
    pub executor: Option<Executor>,
    /// Instead of the width that the workflow names.
    pub max_concurrent_tasks: Option<u32>,
}

/// A run that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartedRun {
    /// The run.
    pub run: RunId,
    /// True if the request id had started it before.
    pub existed: bool,
}

/// What is wanted of a run.
#[derive(Debug, Clone)]
pub struct CommandRequest {
    /// Whose.
    pub namespace: Namespace,
    /// The run.
    pub run: RunId,
    /// What.
    pub command: Command,
    /// Who wants it, why, and by which request.
    pub order: Order,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Filters and the page.
    pub query: ListRuns,
    /// Only runs whose id, hyphenated, begins so; the other filters and the cursor do not count then.
    pub prefix: Option<String>,
}

/// Which events to read.
#[derive(Debug, Clone)]
pub struct EventsRequest {
    /// Whose.
    pub namespace: Namespace,
    /// The run.
    pub run: RunId,
    /// The first one, from 1.
    pub from: u64,
    /// At most so many.
    pub limit: usize,
    /// How long to wait if there is none yet.
    pub wait: Duration,
}

/// Events of a run.
#[derive(Debug, Clone, Default)]
pub struct EventPage {
    /// In order and without a gap; empty if none came in time or none is left.
    pub events: Vec<EncodedEvent>,
    /// True if the run has ended: a page that is empty is then the last one.
    pub ended: bool,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunsError {
    /// Something given is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Violation>),
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// The state of the run does not allow it.
    #[error("{0}")]
    NotAllowed(String),
    /// It may be possible later; asking again is safe.
    #[error("{0}")]
    Unavailable(String),
    /// What is kept cannot be used.
    #[error("{0}")]
    Damaged(String),
}

/// A field of a request and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Violation {
    /// The field as a path, such as `workflow.steps[2].retry`.
    pub field: String,
    /// What is wrong and what would be right (may hold untrusted text).
    pub reason: String,
}

impl RunsError {
    /// One field is wrong.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation { field: field.into(), reason: reason.into() }])
    }
}
