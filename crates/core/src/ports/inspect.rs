//! Looking at what lies in a store, for those who check whether it is sound.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;

use super::query::RunSummary;
use super::store::{Snapshot, StoreError, Wake};
use crate::ids::{Namespace, RequestId, RunId};
use crate::time::Timestamp;

/// Shows a store as it lies there, beside whoever writes to it.
///
/// Contract: nothing is changed, and nobody waits for the one who looks. What is told of one run was true at one moment:
/// no commit lies between two of its values. What no store would write is told as it stands, where it can be told at all.
#[async_trait]
pub trait Inspect: Send + Sync {
    /// Runs at a glance, newest first; also those of which only a part is there.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn survey(&self, query: Survey) -> Result<Vec<Glance>, StoreError>;

    /// All that is kept of a run beside its events; `None` if there is nothing.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Corrupt`] if it cannot be read.
    async fn kept(&self, run: RunId) -> Result<Option<KeptRun>, StoreError>;

    /// Commands that were posted before a moment, the oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn waiting(&self, before: Timestamp, limit: usize) -> Result<Vec<Waiting>, StoreError>;

    /// When the oldest outcome of a command was kept; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn oldest_outcome(&self) -> Result<Option<Timestamp>, StoreError>;

    /// The servers and their slots; `None` for a store that one server has at a time.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn crew(&self) -> Result<Option<Crew>, StoreError>;

    /// What stands around the runs: the clock, the settings, the tables. With `thorough`, also what takes as long as
    /// reading the whole store.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn surroundings(&self, thorough: bool) -> Result<Surroundings, StoreError>;
}

/// Which runs to look at.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Whose; `None` stands for everybody's.
    pub namespace: Option<Namespace>,
    /// Only runs before this one, that is older ones.
    pub before: Option<RunId>,
    /// At most so many.
    pub limit: usize,
}

/// A run at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// The run.
    pub run: RunId,
    /// Its guard, if there is one.
    pub guard: Option<Guard>,
    /// Namespace and state in the line for lists, if there is one.
    pub line: Option<(String, String)>,
    /// Number of its last event, if there is one.
    pub last_event: Option<i64>,
    /// True if the definition that its guard names is there.
    pub defined: bool,
}

/// The guard of a run, with numbers as they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Whose.
    pub namespace: String,
    /// Its slot.
    pub slot: i64,
    /// Epoch of its owner.
    pub epoch: i64,
    /// Number of its last event.
    pub last_seq: i64,
    /// Oldest version of the history format whose readers understand it.
    pub min_reader: i64,
    /// When it must be looked at.
    pub wake: Wake,
}

/// All that is kept of a run beside its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRun {
    /// At a glance.
    pub glance: Glance,
    /// How many events it has.
    pub events: u64,
    /// The line for lists, if there is one.
    pub line: Option<RunSummary>,
    /// The newest snapshot, if there is one.
    pub snapshot: Option<Snapshot>,
}

/// A command that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The run.
    pub run: RunId,
    /// The slot under which it waits.
    pub slot: i64,
    /// The caller's id of the request.
    pub request: RequestId,
    /// When it was posted, by the poster's clock.
    pub at: Timestamp,
}

/// Who shares a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Crew {
    /// Servers that did not leave, by id.
    pub servers: Vec<ServerLine>,
    /// Slots that nobody holds.
    pub free: BTreeSet<u16>,
    /// Slots that have no row, and so can never be held.
    pub missing: BTreeSet<u16>,
}

/// A server that shares a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLine {
    /// Its id, or the name under which slots are held of which no server is known.
    pub id: String,
    /// How often a server joined under this id; 0 if none is known.
    pub incarnation: i64,
    /// How long its lease lasts from each renewal.
    pub lease: Duration,
    /// How long ago its lease was over, by the clock of the store; `None` while it lasts.
    pub over: Option<Duration>,
    /// The slots that it holds.
    pub slots: BTreeSet<u16>,
}

/// What stands around the runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// What time it is by the store.
    pub now: Timestamp,
    /// What is not as it should be.
    pub troubles: Vec<Trouble>,
}

/// Something around the runs that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What was looked at: one word.
    pub check: &'static str,
    /// False for what is only worth knowing.
    pub wrong: bool,
    /// How it is.
    pub detail: String,
    /// What to do.
    pub next: String,
}
