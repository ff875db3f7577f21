//! Removing what nobody needs any more.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::filter::RunFilter;
use super::query::RunSummary;
use super::store::{StoreError, StoredEvent};
use crate::ids::{Namespace, RunId, WorkflowId};
use crate::report::rfc3339;
use crate::run::RunStatus;
use crate::time::Timestamp;
use crate::value::Digest;

/// Removes runs that have ended, and what belongs to no run.
///
/// Contract: a run that has not ended is never harmed, whatever is asked and whenever. What is removed goes as a whole, in
/// one transaction, or not at all: whoever is killed in between has lost nothing and may ask again.
#[async_trait]
pub trait Retention: Send + Sync {
    /// The namespaces that have runs, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn namespaces(&self) -> Result<Vec<Namespace>, StoreError>;

    /// Runs of a namespace that ended before a moment, the newest ids first. One whose id was made after that moment is
    /// passed over.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn ended(&self, query: EndedRuns) -> Result<Vec<EndedRun>, StoreError>;

    /// Removes runs and leaves these in their places: their events, guards, lines for lists, snapshots, payloads, the
    /// requests that created them, keys that name them, and outcomes of the inbox. Answers in the order of the tombstones
    /// whether the run was removed. One stays that has not ended for good, has another namespace or last sequence number
    /// than its tombstone says, or for which a command waits in the inbox.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is known about any of them ([`StoreError::Unavailable`]) or none was removed.
    async fn purge(&self, tombstones: Vec<Tombstone>) -> Result<Vec<bool>, StoreError>;

    /// What stands in the place of a run of a namespace that was removed.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn tombstone(&self, namespace: &Namespace, run: RunId) -> Result<Option<Tombstone>, StoreError>;

    /// Removes payloads of runs that do not exist. Looks at some runs that have any, in the order of their ids.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn sweep_payloads(&self, query: SweepPayloads) -> Result<SweptPayloads, StoreError>;

    /// Removes definitions that no run uses; how many. Notes at `now` which those are, and removes only what was noted
    /// before `noted_before` by an earlier call and was not used since, so that a run that is being created beside it keeps
    /// its own.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn sweep_definitions(&self, now: Timestamp, noted_before: Timestamp) -> Result<u64, StoreError>;
}

/// Which runs are looked for.
#[derive(Debug, Clone, Default)]
pub struct EndedRuns {
    /// Whose.
    pub namespace: Namespace,
    /// Only runs that it takes.
    pub filter: RunFilter,
    /// Only runs that ended before this.
    pub ended_before: Timestamp,
    /// Only runs with smaller ids than this one.
    pub before: Option<RunId>,
    /// At most so many.
    pub limit: usize,
}

/// A run that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedRun {
    /// Its line for lists.
    pub summary: RunSummary,
    /// Its last sequence number.
    pub last_seq: u64,
}

/// What stays of a run that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The run.
    pub run: RunId,
    /// Whose it was.
    pub namespace: Namespace,
    /// Its workflow.
    pub workflow: WorkflowId,
    /// The state in which it ended.
    pub status: RunStatus,
    /// When it ended.
    pub ended_at: Timestamp,
    /// When it was removed.
    pub purged_at: Timestamp,
    /// How many events it had.
    pub last_seq: u64,
    /// The hash of its history: see [`HistoryHash`].
    pub history: Digest,
}

/// For people who ask for the run.
impl fmt::Display for Tombstone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, status, ended_at, purged_at, .. } = self;
        let (ended_at, purged_at) = (rfc3339(*ended_at), rfc3339(*purged_at));
        write!(f, "run {run} any more: it was purged at {purged_at}; it had ended as {status} at {ended_at}")
    }
}

/// Which payloads are looked at.
#[derive(Debug, Clone)]
pub struct SweepPayloads {
    /// Only those of runs whose ids were made before this. A value may be written before its run, so this is to be some time
    /// ago.
    pub before: Timestamp,
    /// Only those of runs after this one.
    pub after: Option<RunId>,
    /// Those of at most so many runs.
    pub limit: usize,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweptPayloads {
    /// Payloads that were removed.
    pub removed: u64,
    /// The last run that was looked at; `None` if there are no more.
    pub next: Option<RunId>,
}

impl RunId {
    /// The smallest id that is made at a moment.
    #[must_use]
    pub fn first_at(moment: Timestamp) -> Self {
        Self::new(u64::try_from(moment.as_micros().div_euclid(1_000)).unwrap_or(0), [0; 10])
    }
}

/// The hash of a history, event by event: the SHA-256 of the one so far (at first 32 zero bytes) and of the event: `seq`,
/// `at` in microseconds and `epoch`, 8 bytes each, `kind` and `version`, 2 bytes each, all big-endian, then its blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryHash {
    hash: Digest,
    last_seq: u64,
}

impl Default for HistoryHash {
    fn default() -> Self {
        Self { hash: Digest::from_bytes([0; 32]), last_seq: 0 }
    }
}

impl HistoryHash {
    /// Takes the next event in.
    pub fn add(&mut self, stored: &StoredEvent) {
        let event = &stored.event;
        let mut bytes = Vec::with_capacity(60 + event.blob.len());
        bytes.extend_from_slice(self.hash.as_bytes());
        bytes.extend_from_slice(&event.seq.to_be_bytes());
        bytes.extend_from_slice(&event.at.as_micros().to_be_bytes());
        bytes.extend_from_slice(&stored.epoch.to_be_bytes());
        bytes.extend_from_slice(&event.kind.to_be_bytes());
        bytes.extend_from_slice(&event.version.to_be_bytes());
        bytes.extend_from_slice(&event.blob);
        self.hash = Digest::of(&bytes);
        self.last_seq = event.seq;
    }

    /// The hash so far.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.hash
    }

    /// The number of the last event that was taken in.
    #[must_use]
    pub const fn last_seq(&self) -> u64 {
        self.last_seq
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ports::store::EncodedEvent;

    fn stored(seq: u64) -> StoredEvent {
        let at = Timestamp::from_micros(seq as i64 + 7);
        let event = EncodedEvent { seq, at, kind: 40, version: 1, blob: Bytes::from_static(b"\0\0\0{}") };
        StoredEvent { event, epoch: 3 }
    }

    #[test]
    fn every_part_of_every_event_counts() {
        let hash = |events: &[StoredEvent]| {
            let mut hash = HistoryHash::default();
            events.iter().for_each(|event| hash.add(event));
            hash.digest()
        };
        let history = [stored(1), stored(2)];
        let mut seen = std::collections::BTreeSet::from([hash(&[]), hash(&history[..1]), hash(&history)]);
        let changes: [fn(&mut StoredEvent); 6] = [
            |stored| stored.event.seq = 9,
            |stored| stored.event.at = Timestamp::from_micros(0),
            |stored| stored.event.kind = 41,
            |stored| stored.event.version = 2,
            |stored| stored.event.blob = Bytes::from_static(b"\0\0\0[]"),
            |stored| stored.epoch = 4,
        ];
        for change in changes {
            for place in 0..2 {
                let mut other = history.clone();
                change(&mut other[place]);
                assert!(seen.insert(hash(&other)));
            }
        }
        assert_eq!(seen.len(), 15);
    }

    #[test]
    fn ids_of_a_moment_begin_with_the_smallest() {
        let moment = Timestamp::from_micros(1_700_000_000_000_999);
        let first = RunId::first_at(moment);
        assert!(first <= RunId::new(1_700_000_000_000, [0; 10]) && first < RunId::new(1_700_000_000_000, [1; 10]));
        assert!(first > RunId::new(1_699_999_999_999, [0xff; 10]));
        assert!(RunId::first_at(Timestamp::from_micros(-1)) < first);
    }
}
