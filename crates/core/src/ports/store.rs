//! Making runs durable.

use std::collections::HashSet;

use async_trait::async_trait;
use bytes::Bytes;

use super::inbox::Consumed;
use super::query::RunSummary;
use crate::ids::{Namespace, RequestId, RunId, RunKey};
use crate::time::Timestamp;
use crate::value::Digest;

/// Keeps the histories of runs, guarded so that each has one writer.
///
/// Contract: what a method acknowledged is durable. Events of a run are numbered from 1 without a gap. A commit is
/// applied whole or not at all, and only if the run's last sequence number and epoch are those it expects. Stores
/// interpret none of what they keep; every rule is in the heart.
#[async_trait]
pub trait RunStore: Send + Sync {
    /// Creates a run with its first events, owned by the caller at epoch 1. A request id that was used before in the
    /// namespace creates nothing and answers which run it created; nor does one whose key another run has.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Permanent`] if another request created a run of this id, the definition does not
    /// have its hash, or the events are not numbered from 1.
    async fn create(&self, run: NewRun) -> Result<Creation, StoreError>;

    /// Appends to many runs at once, each at most once in a call. The answers stand in the order of the commits. A
    /// commit whose id is the last one applied to its run was applied before and is answered so, so that a commit in
    /// doubt is repeated as it was.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is known about any of the commits ([`StoreError::Unavailable`]) or none was applied.
    /// [`StoreError::Permanent`] if a run stands twice in the call, or events are not numbered from `expected + 1`.
    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError>;

    /// Makes the caller the run's owner: raises the epoch, so that commits of an earlier owner are refused from now
    /// on, and counts the claims since the last commit. A run that needs a newer reader than the caller stays as it is and
    /// its owner's.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn claim(&self, run: RunId, claimer: Claimer) -> Result<ClaimOutcome, StoreError>;

    /// Runs that somebody must look after, in the order that [`Due`] says, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn due(&self, query: DueRuns) -> Result<Vec<RunId>, StoreError>;

    /// Keeps a snapshot of a run's state, replacing an older one. One that is older than what is kept changes nothing.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Permanent`] if the run has no event of the snapshot's number.
    async fn save_snapshot(&self, run: RunId, snapshot: Snapshot) -> Result<(), StoreError>;

    /// The newest snapshot of a run.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn snapshot(&self, run: RunId) -> Result<Option<Snapshot>, StoreError>;
}

/// A run to be created.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Whose.
    pub namespace: Namespace,
    /// Its id; its slot follows from it.
    pub run: RunId,
    /// The caller's id of the request.
    pub request: RequestId,
    /// The key that the run takes, if it has one.
    pub key: Option<KeyClaim>,
    /// The definition by content, and its stored form, kept once for all runs.
    pub definition: (Digest, Bytes),
    /// The first events, from sequence number 1.
    pub events: Vec<EncodedEvent>,
    /// For lists.
    pub summary: RunSummary,
    /// When it must be looked at.
    pub wake: Wake,
    /// Oldest version of the history format whose readers understand every event so far. A store keeps the greatest
    /// that it was given.
    pub min_reader: u16,
    /// Names this commit.
    pub commit_id: u128,
}

/// A key that a new run takes. In a namespace a key names the last run that took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyClaim {
    /// The key.
    pub key: RunKey,
    /// The run that the key is taken from; `None` if no run may have it.
    pub from: Option<RunId>,
}

/// What became of a request to create a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// The run was created.
    Created,
    /// The request id was used before, for this run.
    Exists(RunId),
    /// The key names this run, which is not the one that it was to be taken from; nothing was created.
    KeyHeld(RunId),
}

/// Events to append to a run.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The run.
    pub run: RunId,
    /// The owner's epoch.
    pub epoch: u64,
    /// The last sequence number before this commit.
    pub expected: u64,
    /// Names this commit.
    pub commit_id: u128,
    /// The events, numbered from `expected + 1`.
    pub events: Vec<EncodedEvent>,
    /// The new line for lists, if the run's state changed.
    pub summary: Option<RunSummary>,
    /// When the run must be looked at next.
    pub wake: Wake,
    /// Items of the inbox that are dealt with by this commit; one that is not there (any more) is passed over.
    pub consumed: Vec<Consumed>,
    /// As in [`NewRun::min_reader`].
    pub min_reader: u16,
}

impl NewRun {
    /// Refuses a run that breaks the contract; every store asks before it writes anything.
    ///
    /// # Errors
    /// [`StoreError::Permanent`].
    pub fn check(&self) -> Result<(), StoreError> {
        check_events(self.run, 0, &self.events)?;
        check_summary(self.run, &self.summary)?;
        if Digest::of(&self.definition.1) == self.definition.0 {
            return Ok(());
        }
        Err(StoreError::Permanent(format!("the definition of run {} does not have its hash", self.run)))
    }
}

impl Commit {
    /// Refuses commits of one call that break the contract; every store asks before it writes anything.
    ///
    /// # Errors
    /// [`StoreError::Permanent`].
    pub fn check_all(commits: &[Self]) -> Result<(), StoreError> {
        let mut seen = HashSet::with_capacity(commits.len());
        commits.iter().try_for_each(|commit| {
            if !seen.insert(commit.run) {
                return Err(StoreError::Permanent(format!("run {} stands twice in one call", commit.run)));
            }
            check_events(commit.run, commit.expected, &commit.events)?;
            commit.summary.iter().try_for_each(|summary| check_summary(commit.run, summary))
        })
    }
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// The events are durable.
    Committed,
    /// The run has another owner or other events than expected; nothing was written for it.
    Refused,
}

/// When a run must be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// It has work in progress.
    Active,
    /// At this moment, which is after the beginning of 1970.
    At(Timestamp),
    /// Only an input can move it.
    OnInput,
    /// Never: it has ended.
    Never,
}

/// Who claims a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimer {
    /// The newest format of histories that it reads.
    pub reads: u16,
    /// True if it claimed the run before, and did not learn what became of that or could not go on with it. Both together
    /// count as one claim: whoever asks again was not taken down by the run.
    pub again: bool,
}

impl Claimer {
    /// One that claims a run for the first time.
    #[must_use]
    pub const fn reading(format: u16) -> Self {
        Self { reads: format, again: false }
    }

    /// How many claims of a run were counted when there were so many before this one.
    #[must_use]
    pub fn count(self, claims: u32) -> u32 {
        if self.again { claims.max(1) } else { claims.saturating_add(1) }
    }
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "hardly ever another one, and taken apart at once")]
pub enum ClaimOutcome {
    /// The run is the caller's.
    Claimed(Claim),
    /// Nothing was changed: only readers of this format and newer ones understand the run.
    TooNew(u16),
    /// There is no such run.
    NotFound,
}

impl ClaimOutcome {
    /// The claim, if the run is the caller's now.
    #[must_use]
    pub fn claimed(self) -> Option<Claim> {
        match self {
            Self::Claimed(claim) => Some(claim),
            Self::TooNew(_) | Self::NotFound => None,
        }
    }
}

/// How a run was found by who claimed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The new epoch, for the claimer's commits.
    pub epoch: u64,
    /// Claims since the last commit, this one included.
    pub claims: u32,
    /// The last sequence number.
    pub last_seq: u64,
    /// Oldest version of the history format whose readers understand the run.
    pub min_reader: u16,
    /// The line for lists.
    pub summary: RunSummary,
}

/// Which runs are due.
#[derive(Debug, Clone)]
pub struct DueRuns {
    /// Slots to look into.
    pub slots: Vec<u16>,
    /// Which of their runs.
    pub due: Due,
    /// Only those that a reader of histories up to this format understands: see [`RunStore::claim`].
    pub reads: u16,
    /// At most so many.
    pub limit: usize,
}

/// Why runs must be looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// They have work in progress: those after this one, in the order of their ids.
    Active(Option<RunId>),
    /// They wait for a moment ([`Wake::At`]), and it comes no later than this. First the first of each namespace, then the
    /// second of each, and so on, so that none keeps the others waiting; the runs of a namespace by their moments, and in
    /// each round the namespaces too.
    Until(Timestamp),
}

/// The state of a run at a sequence number, to make loading short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last event in it.
    pub seq: u64,
    /// Version of the state's form; a reader that does not know it folds the events instead.
    pub schema: u16,
    /// The state, encoded.
    pub blob: Bytes,
}

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedEvent {
    /// Its number in the run.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What kind it is; never reused.
    pub kind: u16,
    /// Version of its form.
    pub version: u16,
    /// Its content: a codec byte, a key id of two bytes, and the body.
    pub blob: Bytes,
}

/// An event as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The event.
    pub event: EncodedEvent,
    /// Epoch of the owner that wrote it.
    pub epoch: u64,
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or is busy. What was asked may or may not have happened.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// It refuses this request for good: repeating it is useless.
    #[error("the store refuses: {0}")]
    Permanent(String),
    /// What it holds is not what was put there.
    #[error("the store holds damaged data: {0}")]
    Corrupt(String),
    /// A page cursor that this store did not give out.
    #[error("not a page cursor of this store")]
    BadCursor,
    /// Another engine has it.
    #[error("the store is in use: {0}")]
    InUse(String),
}

impl StoreError {
    /// True if asking again may help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Events of a run are numbered without a gap.
fn check_events(run: RunId, expected: u64, events: &[EncodedEvent]) -> Result<(), StoreError> {
    let numbered = events.iter().zip(1..).all(|(event, n)| expected.checked_add(n) == Some(event.seq));
    if numbered { Ok(()) } else { Err(StoreError::Permanent(format!("events of run {run} are not numbered in order"))) }
}

fn check_summary(run: RunId, summary: &RunSummary) -> Result<(), StoreError> {
    if summary.run == run {
        return Ok(());
    }
    Err(StoreError::Permanent(format!("the line for lists of run {run} is that of run {}", summary.run)))
}
