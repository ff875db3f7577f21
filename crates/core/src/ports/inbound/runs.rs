//! Starting runs, and what operators and clients want of them.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::error::RequestError;
use crate::ids::{LabelName, Namespace, RequestId, RunId, RunKey, SessionId, WorkflowId};
use crate::orchestration::Wishes;
use crate::report::PlanDiff;
use crate::run::{Command, Order, Point};
use crate::time::{Span, Timestamp};
use crate::value::{DataPath, Json};
use crate::workflow::{Executor, Priority};

/// Changes to the runs of a server.
///
/// Contract: that of [`inbound`](super). The same request id is applied once, however often it is asked.
#[async_trait]
pub trait Runs: Send + Sync {
    /// Starts a run.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::Invalid`] names what is wrong with the workflow or its inputs,
    /// [`RequestError::AlreadyExists`] if the request id was used for something else or the key's policies refuse.
    async fn start(&self, request: StartRequest) -> Result<StartedRun, RequestError>;

    /// Starts a run that begins where another one stands or stood; the other one stays as it is.
    ///
    /// # Errors
    /// As [`start`](Self::start); [`RequestError::NotFound`] if there is no such run or point,
    /// [`RequestError::Invalid`] for a change that cannot be made.
    async fn fork(&self, request: ForkRequest) -> Result<StartedRun, RequestError>;

    /// Has a command applied to a run. True if it was so already: nothing was changed then.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::NotAllowed`] if the run's state does not allow it.
    async fn command(&self, request: CommandRequest) -> Result<bool, RequestError>;

    /// Changes the plan of a run, or says what that would make of it.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::Invalid`] names what is wrong with the change, [`RequestError::NotAllowed`] if the run
    /// takes none, or the change was made from another revision.
    async fn patch(&self, request: PatchRequest) -> Result<PatchedRun, RequestError>;
}

/// A run to be started.
#[derive(Debug, Clone)]
pub struct StartRequest {
    /// Whose.
    pub namespace: Namespace,
    /// The caller's id of the request.
    pub request: RequestId,
    /// What it follows.
    pub workflow: WorkflowSource,
    /// The inputs as JSON text: an object.
    pub inputs: String,
    /// How it is driven.
    pub options: StartOptions,
}

/// What a run follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkflowSource {
    /// The text of a workflow file.
    Text(String),
    /// A registered workflow; without a version the one that was registered last.
    Registered {
        /// Its id.
        id: WorkflowId,
        /// Its version.
        version: Option<String>,
    },
    /// What is wanted, in plain words: a planner makes the workflow.
    Query(String),
}

impl WorkflowSource {
    /// What a text stands for: the text of a workflow file if it looks like one, else a request in plain words.
    #[must_use]
    pub fn said(text: String) -> Self {
        let looks = text.trim_start().starts_with('{') || text.lines().any(|line| line.starts_with("steps:"));
        if looks { Self::Text(text) } else { Self::Query(text) }
    }
}

/// What may be said about a run beside its workflow and its inputs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StartOptions {
    /// Instead of the executor that the workflow names.
    pub executor: Option<Executor>,
    /// Instead of the width that the workflow names.
    pub max_concurrent_tasks: Option<u32>,
    /// Instead of the priority that the workflow names.
    pub priority: Option<Priority>,
    /// Instead of the timeout that the workflow names.
    pub timeout: Option<Span>,
    /// Not before this moment.
    pub start_at: Option<Timestamp>,
    /// The caller's name for what the run is to achieve, with what becomes of it if a run bears it already.
    pub key: Option<(RunKey, KeyPolicy)>,
    /// For lists.
    pub labels: BTreeMap<LabelName, String>,
    /// The session that it belongs to.
    pub session: Option<SessionId>,
    /// The W3C trace context that the caller is in.
    pub trace_parent: Option<String>,
    /// Who starts it; empty if that is not known.
    pub by: String,
    /// How it is orchestrated, before what the workflow says of that.
    pub orchestration: Wishes,
    /// New plans that may follow if the run fails, one after the other; at most
    /// [`MAX_REPLANS`](crate::limits::MAX_REPLANS).
    pub replan: u32,
}

/// What becomes of a start whose key a run bears already. The names and meanings are those of Temporal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyPolicy {
    /// If that run has ended.
    pub reuse: KeyReuse,
    /// If that run goes on.
    pub conflict: KeyConflict,
}

/// What becomes of a start whose key a run bears that has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyReuse {
    /// A new run takes the key.
    #[default]
    AllowDuplicate,
    /// A new run takes the key unless the one before completed.
    AllowDuplicateFailedOnly,
    /// The start is refused.
    RejectDuplicate,
}

/// What becomes of a start whose key a run bears that goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyConflict {
    /// The start is refused.
    #[default]
    Fail,
    /// The run that goes on is the answer.
    UseExisting,
    /// It is terminated, and a new run takes the key.
    TerminateExisting,
}

/// A run that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartedRun {
    /// The run.
    pub run: RunId,
    /// True if it was there before: the request id had started it, or its key was to be shared.
    pub existed: bool,
}

/// A run to be started where another one stands or stood.
#[derive(Debug, Clone)]
pub struct ForkRequest {
    /// Whose.
    pub namespace: Namespace,
    /// The caller's id of the request.
    pub request: RequestId,
    /// The other run.
    pub from: RunId,
    /// The point in its history; `None`: where it stands.
    pub at: Option<Point>,
    /// Changes of its data there, in this order.
    pub changes: Vec<(DataPath, Json)>,
    /// The caller's name for what the new run is to achieve, with what becomes of it if a run bears it already.
    pub key: Option<(RunKey, KeyPolicy)>,
    /// For lists. The other run's are not taken over.
    pub labels: BTreeMap<LabelName, String>,
    /// Who starts it; empty if that is not known.
    pub by: String,
}

/// What is wanted of a run.
#[derive(Debug, Clone)]
pub struct CommandRequest {
    /// Whose.
    pub namespace: Namespace,
    /// The run.
    pub run: RunId,
    /// What is to be done. The answer of a signal may be inline whatever its size.
    pub command: Command,
    /// Who wants it, why, and by which request.
    pub order: Order,
}

/// A change of the plan of a run.
#[derive(Debug, Clone)]
pub struct PatchRequest {
    /// Whose.
    pub namespace: Namespace,
    /// The run.
    pub run: RunId,
    /// The change, YAML or JSON.
    pub patch: String,
    /// Who wants it, why, and by which request.
    pub order: Order,
    /// True: nothing is changed.
    pub dry_run: bool,
}

/// A run whose plan was changed, or would be.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchedRun {
    /// The revision of the plan with the change.
    pub revision: u32,
    /// What the change makes of the plan; `None` if this request had been applied before.
    pub diff: Option<PlanDiff>,
}
