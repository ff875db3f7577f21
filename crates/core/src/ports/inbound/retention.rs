//! How long runs are kept after their end.

use async_trait::async_trait;

use super::error::RequestError;
use crate::ids::{Namespace, RunId};
use crate::ports::filter::RunFilter;
use crate::ports::retention::EndedRun;
use crate::time::{Span, Timestamp};

/// Removing runs that have ended, by hand and by rule.
///
/// Contract: that of [`inbound`](super). A run that has not ended is never removed. Of a run that was removed a tombstone
/// stays, so that whoever asks for it is told so.
#[async_trait]
pub trait Housekeeping: Send + Sync {
    /// Removes a page of runs that have ended, or says which those are. Asking again removes what is left.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn purge(&self, request: PurgeRequest) -> Result<PurgePage, RequestError>;

    /// How long the runs of a namespace are kept.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn retention(&self, namespace: &Namespace) -> Result<RetentionRule, RequestError>;

    /// Says how long the runs of a namespace are kept: as long as the server keeps those of others, or by a rule of its own.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn set_retention(&self, namespace: &Namespace, own: Option<Keep>) -> Result<RetentionRule, RequestError>;
}

/// Which runs to remove.
#[derive(Debug, Clone)]
pub struct PurgeRequest {
    /// Whose.
    pub namespace: Namespace,
    /// Only runs that it takes.
    pub filter: RunFilter,
    /// Only runs that ended before this.
    pub ended_before: Timestamp,
    /// Where the page before ended, as that page said.
    pub before: Option<RunId>,
    /// At most so many; 0 stands for as many as a page may have.
    pub limit: usize,
    /// Nothing is removed: only told.
    pub dry_run: bool,
}

/// What became of a page of runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurgePage {
    /// Runs that were removed, or would be.
    pub runs: Vec<EndedRun>,
    /// Runs that changed meanwhile, or are about to: they stay.
    pub kept: u64,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<RunId>,
}

/// How long runs are kept after their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// For ever.
    Forever,
    /// So long.
    For(Span),
}

/// The rule of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionRule {
    /// How long its runs are kept.
    pub keep: Keep,
    /// True if that is a rule of its own, false if it is the server's.
    pub own: bool,
}
