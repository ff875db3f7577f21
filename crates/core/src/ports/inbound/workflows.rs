//! Workflows that are registered, so that runs of them are started by name.

use async_trait::async_trait;

use super::error::RequestError;
use super::runs::WorkflowSource;
use crate::ids::{Namespace, RequestId, WorkflowId};
use crate::time::Timestamp;
use crate::value::Digest;
use crate::workflow::Problem;

/// The workflows of a server. A registered version never changes; runs keep the one they began with.
///
/// Contract: that of [`inbound`](super).
#[async_trait]
pub trait Workflows: Send + Sync {
    /// Registers a version of a workflow. The same content again is the same version.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::Invalid`] names what is wrong with the workflow,
    /// [`RequestError::AlreadyExists`] if the version is registered with another content.
    async fn register(&self, request: RegisterWorkflow) -> Result<RegisteredWorkflow, RequestError>;

    /// A registered version with its file; without a version the one that was registered last.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn get(
        &self,
        namespace: &Namespace,
        id: &WorkflowId,
        version: Option<&str>,
    ) -> Result<(RegisteredWorkflow, String), RequestError>;

    /// A page of versions, by id and version in the order of their bytes.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn list(&self, request: ListWorkflows) -> Result<WorkflowPage, RequestError>;

    /// Everything that is wrong or doubtful with a workflow file, whether its capabilities are offered included.
    ///
    /// # Errors
    /// [`RequestError`], but not for what is wrong with the workflow.
    async fn validate(&self, namespace: &Namespace, text: &str) -> Result<Vec<Problem>, RequestError>;

    /// The plan of a workflow: levels, critical path, times and strategy, without running anything.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn plan(&self, namespace: &Namespace, workflow: &WorkflowSource) -> Result<PlanDescription, RequestError>;
}

/// A version to be registered.
#[derive(Debug, Clone)]
pub struct RegisterWorkflow {
    /// Whose.
    pub namespace: Namespace,
    /// The caller's id of the request.
    pub request: RequestId,
    /// The text of the workflow file; it names the id and the version.
    pub text: String,
    /// Who registers it.
    pub by: String,
}

/// A registered version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredWorkflow {
    /// The workflow.
    pub id: WorkflowId,
    /// The author's name of the version; empty if the file names none.
    pub version: String,
    /// Its title; empty if the file names none (may hold untrusted text).
    pub name: String,
    /// What it is for (may hold untrusted text).
    pub description: String,
    /// The definition by content.
    pub definition: Digest,
    /// Number of its steps.
    pub steps: u32,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// By whom.
    pub registered_by: String,
    /// True if it is the one that was registered last.
    pub latest: bool,
    /// True if it was registered with this content before.
    pub existed: bool,
}

/// Which versions to list.
#[derive(Debug, Clone, Default)]
pub struct ListWorkflows {
    /// Whose.
    pub namespace: Namespace,
    /// Only versions of this workflow.
    pub id: Option<WorkflowId>,
    /// True for every version, false for the last one of each workflow.
    pub all_versions: bool,
    /// At most so many; 0 stands for 50, and more than 1,000 for 1,000.
    pub limit: usize,
    /// Where the page before ended, as that page said.
    pub cursor: Option<String>,
}

/// A page of versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkflowPage {
    /// The versions.
    pub workflows: Vec<RegisteredWorkflow>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<String>,
}

/// A plan in its forms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanDescription {
    /// As data: JSON.
    pub json: String,
    /// For people.
    pub text: String,
    /// As a Mermaid flow chart.
    pub mermaid: String,
    /// As a Graphviz graph.
    pub dot: String,
    /// The text of the workflow's file.
    pub workflow: String,
    /// Who made the workflow; empty if the caller gave it.
    pub planned_by: String,
    /// What happened when it was made, for people.
    pub notes: Vec<String>,
}
