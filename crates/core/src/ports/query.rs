//! Looking at runs without owning them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::filter::RunFilter;
use super::store::{StoreError, StoredEvent};
use crate::ids::{LabelName, Namespace, RunId, RunKey, SessionId, WorkflowId};
use crate::run::RunStatus;
use crate::time::Timestamp;
use crate::value::Digest;

/// Reads runs and their histories, from any process and at any time.
///
/// Contract: a read sees whole commits only, and everything that was acknowledged before it began.
#[async_trait]
pub trait RunQuery: Send + Sync {
    /// Runs of a namespace, newest first.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::BadCursor`] for a cursor that this store did not give out.
    async fn list(&self, query: ListRuns) -> Result<RunPage, StoreError>;

    /// How many runs of a namespace a filter takes, by state; states without a run are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn count(&self, namespace: &Namespace, filter: &RunFilter) -> Result<RunCounts, StoreError>;

    /// One run.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn find(&self, namespace: &Namespace, run: RunId) -> Result<Option<RunSummary>, StoreError>;

    /// Runs of a namespace whose id, in its hyphenated form, begins with a text; at most `limit`, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn find_by_prefix(
        &self,
        namespace: &Namespace,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<RunSummary>, StoreError>;

    /// A run's events from a sequence number on, in order, without a gap, at most `limit`; empty beyond the end.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn events(&self, run: RunId, from: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError>;

    /// The stored form of a workflow definition, by its hash.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn definition(&self, hash: Digest) -> Result<Option<Vec<u8>>, StoreError>;
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct ListRuns {
    /// Whose.
    pub namespace: Namespace,
    /// Only runs that it takes.
    pub filter: RunFilter,
    /// At most so many; 0 stands for 50, and more than 1,000 for 1,000.
    pub limit: usize,
    /// Where the page before ended, as that page said.
    pub cursor: Option<String>,
}

/// Numbers of runs by state.
pub type RunCounts = BTreeMap<RunStatus, u64>;

/// A page of runs.
#[derive(Debug, Clone, Default)]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<RunSummary>,
    /// Where the next page begins, opaque to callers; `None` on the last page.
    pub next: Option<String>,
}

/// A run as lists show it. Written when the state changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: WorkflowId,
    /// The author's version of it.
    pub version: String,
    /// The definition it runs, by content.
    pub definition: Digest,
    /// Its state.
    pub status: RunStatus,
    /// Number of steps.
    pub steps: u32,
    /// Steps that were complete when the state changed last.
    pub completed: u32,
    /// Steps that had failed when the state changed last.
    pub failed: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its state changed last.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it failed, in a line.
    pub error: Option<String>,
    /// The caller's name for what it is to achieve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<RunKey>,
    /// The session that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<LabelName, String>,
}
