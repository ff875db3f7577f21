//! Keeping small documents: registered workflows, agents, tokens, namespaces.

use async_trait::async_trait;
use bytes::Bytes;

use super::store::StoreError;
use crate::ids::Namespace;
use crate::limits::{MAX_RECORD_BYTES, MAX_RECORD_NAME};

/// Keeps documents by kind, namespace and name, each with a revision that guards its replacement.
///
/// Contract: what a method acknowledged is durable. Documents of another namespace or kind are never seen. Stores
/// interpret none of what they keep.
#[async_trait]
pub trait RecordStore: Send + Sync {
    /// Writes a document. [`Record::revision`] is the one that it replaces, 0 if there must be none yet.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Permanent`] for a name longer than [`MAX_RECORD_NAME`]
    /// or a blob larger than [`MAX_RECORD_BYTES`].
    async fn put(&self, record: Record) -> Result<Put, StoreError>;

    /// Reads a document.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError>;

    /// Documents of a kind in a namespace, in the order of their names by bytes.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn list(&self, query: ListRecords) -> Result<Vec<Record>, StoreError>;

    /// Removes a document of this revision; false if there is none, or it has another.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn delete(&self, key: &RecordKey, revision: u64) -> Result<bool, StoreError>;
}

/// What sort of document it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// A registered workflow: the version that was registered last.
    Workflow,
    /// A version of a registered workflow.
    WorkflowVersion,
    /// The file of a version of a registered workflow.
    WorkflowText,
    /// A registered agent.
    Agent,
    /// When a server last heard of registered agents.
    AgentSigns,
    /// What a server learned about agents from its calls.
    AgentLessons,
    /// A token of a caller.
    Token,
    /// A namespace.
    Namespace,
    /// How long the runs of a namespace are kept.
    Retention,
    /// What past runs of a workflow took.
    PastRuns,
}

impl RecordKind {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::Workflow,
        Self::WorkflowVersion,
        Self::WorkflowText,
        Self::Agent,
        Self::AgentSigns,
        Self::AgentLessons,
        Self::Token,
        Self::Namespace,
        Self::Retention,
        Self::PastRuns,
    ];

    /// The word that stands in stores; never changed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workflow => "workflow",
            Self::WorkflowVersion => "workflow_version",
            Self::WorkflowText => "workflow_text",
            Self::Agent => "agent",
            Self::AgentSigns => "agent_signs",
            Self::AgentLessons => "agent_lessons",
            Self::Token => "token",
            Self::Namespace => "namespace",
            Self::Retention => "retention",
            Self::PastRuns => "past_runs",
        }
    }
}

/// Names a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// What sort.
    pub kind: RecordKind,
    /// Whose.
    pub namespace: Namespace,
    /// Its name among its kind.
    pub name: String,
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which.
    pub key: RecordKey,
    /// How often it was written, from 1.
    pub revision: u64,
    /// Its content.
    pub blob: Bytes,
}

impl Record {
    /// Refuses what is too long; every store asks before it writes anything.
    ///
    /// # Errors
    /// [`StoreError::Permanent`].
    pub fn check(&self) -> Result<(), StoreError> {
        let name = &self.key.name;
        if name.len() > MAX_RECORD_NAME {
            return Err(StoreError::Permanent(format!(
                "the name of a document is longer than {MAX_RECORD_NAME} bytes"
            )));
        }
        if self.blob.len() > MAX_RECORD_BYTES {
            return Err(StoreError::Permanent(format!("document {name} is larger than {MAX_RECORD_BYTES} bytes")));
        }
        Ok(())
    }
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// Written, with this revision.
    Stored(u64),
    /// Nothing was written: this is what stands there, if anything does.
    Conflict(Option<Record>),
}

/// Which documents to list.
#[derive(Debug, Clone)]
pub struct ListRecords {
    /// What sort.
    pub kind: RecordKind,
    /// Whose.
    pub namespace: Namespace,
    /// Only names that begin so.
    pub prefix: String,
    /// Only names after this one.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}
