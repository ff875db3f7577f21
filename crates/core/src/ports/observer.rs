//! Looking on while runs are driven: for traces and metrics.

use std::sync::Arc;
use std::time::Duration;

use super::store::Commit;
use crate::ids::RunId;
use crate::run::Recorded;

/// Is told what an engine does. Must not block and cannot fail: nothing waits for it and nothing depends on it.
///
/// Contract: events of a run are told in order, each once, when they are durable, by the engine that committed them.
/// After a take-over the new owner goes on with the next event; what the old one had not told stands in the store.
pub trait Observer: Send + Sync {
    /// An event of a run is durable.
    fn recorded(&self, run: RunId, event: &Arc<Recorded>);

    /// The store was asked to commit, and answered.
    fn committed(&self, commits: &[Commit], sample: CommitSample);
}

/// One call of the store, as it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitSample {
    /// How long the store took.
    pub took: Duration,
    /// True if the store answered; whether it took each commit is not told.
    pub answered: bool,
}

/// Looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn recorded(&self, _: RunId, _: &Arc<Recorded>) {}
    fn committed(&self, _: &[Commit], _: CommitSample) {}
}
