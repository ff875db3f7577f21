//! The store ports on a PostgreSQL database.
//!
//! A commit is one statement and its own transaction, for many runs, each guarded by its own row; what was acknowledged is as
//! durable as the server's own commits are. The tables are made by [`migrate`], so that an engine needs no right to make
//! any. One engine at a time drives the runs of a database, or servers that share its slots; any number of processes read
//! beside them.

mod address;
mod columns;
mod commit;
mod connections;
mod create;
mod creations;
mod error;
mod filter;
mod fleet;
mod hints;
mod hosts;
mod inbox;
mod inspect;
mod lock;
mod open;
mod read;
mod records;
mod retention;
mod rows;
mod schema;
mod surroundings;
mod text;
mod write;

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tutti_core::ids::{Namespace, RequestId, RunId, ServerId};
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::fleet::{Fleet, Member, Standing};
use tutti_core::ports::frame;
use tutti_core::ports::inbox::{Consumed, Inbox, InboxItem};
use tutti_core::ports::inspect::{Crew, Glance, Inspect, KeptRun, Surroundings, Survey, Waiting};
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::{ListRuns, RunCounts, RunPage, RunQuery, RunSummary};
use tutti_core::ports::records::{ListRecords, Put, Record, RecordKey, RecordStore};
use tutti_core::ports::store::{
    ClaimOutcome, Claimer, Commit, CommitOutcome, Creation, DueRuns, NewRun, RunStore, Snapshot, StoreError,
    StoredEvent,
};
use tutti_core::time::Timestamp;
use tutti_core::value::{Digest, PayloadRef};

pub use crate::address::Address;
use crate::address::Purpose;
use crate::connections::{Connections, Work, connect};
use crate::create::Asked;
use crate::creations::Creations;
pub use crate::hints::Hints;
use crate::lock::{EngineLock, Sharing};
pub use crate::schema::{Migrated, TABLES};

/// Most connections that write: a commit carries many runs, so that few are needed.
const WRITERS: usize = 12;

/// Most connections that read.
const READERS: usize = 8;

/// Longest that a call may take that writes, and one that reads: somewhat more than the database lets its statement take.
const LONGEST: (Duration, Duration) = (Duration::from_secs(25), Duration::from_secs(65));

/// Most definitions of which this process remembers that they are kept.
const REMEMBERED: usize = 1_000;

/// What a database is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// To run workflows: keeps other engines away.
    Engine,
    /// To run workflows beside other servers, each in the slots that it has by the [`Fleet`]: keeps engines away that want the
    /// database for themselves.
    Server,
    /// To look at it, beside a running engine or without one. Calls that would write are refused.
    ReadOnly,
}

/// Runs, histories, payloads and documents in one PostgreSQL database. Calls need a tokio runtime.
#[derive(Debug)]
pub struct Postgres {
    readers: Connections,
    writers: Option<Connections>,
    creations: Option<Creations>,
    fleet: Option<fleet::Lines>,
    allows_unsafe_durability: bool,
    /// Definitions that were seen to be kept.
    definitions: Mutex<HashSet<Digest>>,
    _lock: Option<EngineLock>,
}

impl Postgres {
    /// Opens a database.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another engine has the database for itself, or any has it that is to be for this one alone; [`StoreError::Unavailable`] if it cannot be reached, or only
    /// reads; [`StoreError::Permanent`] if it is older than PostgreSQL 15, keeps texts in another encoding than UTF-8, can
    /// lose what it acknowledged and the address does not allow that, or if its tables are older or newer than this build's.
    pub async fn open(address: &Address, mode: OpenMode) -> Result<Self, StoreError> {
        Self::open_at(address, mode).await.map_err(|error| about(address, error))
    }

    async fn open_at(address: &Address, mode: OpenMode) -> Result<Self, StoreError> {
        let purpose = if mode == OpenMode::ReadOnly { Purpose::Read } else { Purpose::Write };
        let mut db = connect(&address.sessions(purpose)).await?.db;
        open::check_server(&mut db).await?;
        schema::check(&mut db).await?;
        let readers = Connections::new(address.sessions(Purpose::Read), READERS, LONGEST.1);
        let (writers, fleet, lock) = match mode {
            OpenMode::ReadOnly => (None, None, None),
            OpenMode::Engine | OpenMode::Server => {
                let sharing = if mode == OpenMode::Engine { Sharing::Alone } else { Sharing::Shared };
                open::check_writes(&mut db, address.allows_unsafe_durability()).await?;
                let lock = EngineLock::take(address.sessions(Purpose::Lock), sharing).await?;
                let writers = Connections::new(address.sessions(Purpose::Write), WRITERS, LONGEST.0);
                (Some(writers), Some(fleet::Lines::new(&address.sessions(Purpose::Lease))), Some(lock))
            }
        };
        let (creations, definitions) = (writers.clone().map(Creations::start), Mutex::default());
        let allows_unsafe_durability = address.allows_unsafe_durability();
        Ok(Self { readers, writers, creations, fleet, allows_unsafe_durability, definitions, _lock: lock })
    }

    async fn write<A, T>(&self, asked: A, work: Work<A, T>) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.writers.as_ref().ok_or_else(for_reading)?.run(asked, work).await
    }

    fn fleet(&self) -> Result<&fleet::Lines, StoreError> {
        self.fleet.as_ref().ok_or_else(for_reading)
    }

    fn knows(&self, definition: Digest) -> bool {
        self.definitions.lock().unwrap_or_else(PoisonError::into_inner).contains(&definition)
    }

    fn remember(&self, definition: Digest) {
        let mut known = self.definitions.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(definition);
    }
}

/// Makes the tables of a database, or brings them to this build's version. Of several processes at once, one does it and the
/// others wait. Engines of this and of older builds may run meanwhile.
///
/// # Errors
/// [`StoreError`] as for [`Postgres::open`]; [`StoreError::Permanent`] also if the database belongs to another program, or
/// the role may not make tables.
pub async fn migrate(address: &Address) -> Result<Migrated, StoreError> {
    let migrated = async {
        let mut db = connect(&address.sessions(Purpose::Migrate)).await?.db;
        open::check_server(&mut db).await?;
        schema::migrate(&mut db).await
    };
    migrated.await.map_err(|error| about(address, error))
}

#[async_trait]
impl RunStore for Postgres {
    async fn create(&self, new: NewRun) -> Result<Creation, StoreError> {
        new.check()?;
        let hash = new.definition.0;
        let asked = Asked { new, definition_is_kept: self.knows(hash) };
        let creation = self.creations.as_ref().ok_or_else(for_reading)?.create(asked).await?;
        if creation == Creation::Created {
            self.remember(hash);
        }
        Ok(creation)
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        Commit::check_all(&commits)?;
        if commits.is_empty() {
            return Ok(Vec::new());
        }
        self.write(commits, |db, commits| Box::pin(commit::commit(db, commits))).await
    }

    async fn claim(&self, run: RunId, claimer: Claimer) -> Result<ClaimOutcome, StoreError> {
        self.write((run, claimer), |db, asked| Box::pin(write::claim(db, asked))).await
    }

    async fn due(&self, query: DueRuns) -> Result<Vec<RunId>, StoreError> {
        self.readers.read(query, |db, query| Box::pin(read::due(db, query))).await
    }

    async fn save_snapshot(&self, run: RunId, snapshot: Snapshot) -> Result<(), StoreError> {
        self.write((run, snapshot), |db, asked| Box::pin(write::save_snapshot(db, asked))).await
    }

    async fn snapshot(&self, run: RunId) -> Result<Option<Snapshot>, StoreError> {
        self.readers.read(run, |db, run| Box::pin(read::snapshot(db, run))).await
    }
}

#[async_trait]
impl RunQuery for Postgres {
    async fn list(&self, query: ListRuns) -> Result<RunPage, StoreError> {
        self.readers.read(query, |db, query| Box::pin(read::list(db, query))).await
    }

    async fn count(&self, namespace: &Namespace, filter: &RunFilter) -> Result<RunCounts, StoreError> {
        let asked = (namespace.clone(), filter.clone());
        self.readers.read(asked, |db, asked| Box::pin(read::count(db, asked))).await
    }

    async fn find(&self, namespace: &Namespace, run: RunId) -> Result<Option<RunSummary>, StoreError> {
        self.readers.read((namespace.clone(), run), |db, asked| Box::pin(read::find(db, asked))).await
    }

    async fn find_by_prefix(
        &self,
        namespace: &Namespace,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<RunSummary>, StoreError> {
        let asked = (namespace.clone(), prefix.to_owned(), limit);
        self.readers.read(asked, |db, asked| Box::pin(read::find_by_prefix(db, asked))).await
    }

    async fn events(&self, run: RunId, from: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.readers.read((run, from, limit), |db, asked| Box::pin(read::events(db, asked))).await
    }

    async fn definition(&self, hash: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.readers.read(hash, |db, hash| Box::pin(read::definition(db, hash))).await
    }
}

#[async_trait]
impl PayloadStore for Postgres {
    async fn put(&self, run: RunId, bytes: Bytes) -> Result<PayloadRef, StoreError> {
        // Hashing and copying megabytes would hold up other tasks.
        let prepared = tokio::task::spawn_blocking(move || (PayloadRef::to(&bytes), frame::wrap(&bytes).freeze()));
        let prepared =
            prepared.await.map_err(|error| StoreError::Unavailable(format!("a write was given up: {error}")));
        let (at, framed) = prepared?;
        self.write((run, at.hash, framed), |db, asked| Box::pin(write::put(db, asked))).await?;
        Ok(at)
    }

    async fn get(&self, run: RunId, at: PayloadRef) -> Result<Option<Bytes>, StoreError> {
        self.readers.read((run, at), |db, asked| Box::pin(read::payload(db, asked))).await
    }
}

#[async_trait]
impl RecordStore for Postgres {
    async fn put(&self, record: Record) -> Result<Put, StoreError> {
        record.check()?;
        self.write(record, |db, record| Box::pin(records::put(db, record))).await
    }

    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        self.readers.read(key.clone(), |db, key| Box::pin(records::get(db, key))).await
    }

    async fn list(&self, query: ListRecords) -> Result<Vec<Record>, StoreError> {
        self.readers.read(query, |db, query| Box::pin(records::list(db, query))).await
    }

    async fn delete(&self, key: &RecordKey, revision: u64) -> Result<bool, StoreError> {
        self.write((key.clone(), revision), |db, asked| Box::pin(records::delete(db, asked))).await
    }
}

#[async_trait]
impl Inbox for Postgres {
    async fn post(&self, item: InboxItem) -> Result<(), StoreError> {
        let slot = item.run.slot();
        if self.write(item, |db, item| Box::pin(inbox::post(db, item))).await?
            && let Err(error) = self.write(slot, |db, slot| Box::pin(inbox::notify(db, slot))).await
        {
            // The item is there, and is found when its server looks next.
            tracing::debug!(%error, slot, "no hint was given of a command in the inbox");
        }
        Ok(())
    }

    async fn pending(&self, slots: &[u16], limit: usize) -> Result<Vec<InboxItem>, StoreError> {
        let asked = (slots.iter().map(|slot| i32::from(*slot)).collect(), limit);
        self.readers.read(asked, |db, asked| Box::pin(inbox::pending(db, asked))).await
    }

    async fn refuse(&self, run: RunId, item: Consumed) -> Result<(), StoreError> {
        self.write((run, item), |db, refused| Box::pin(inbox::refuse(db, refused))).await
    }

    async fn outcome(&self, run: RunId, request: RequestId) -> Result<Option<Bytes>, StoreError> {
        self.readers.read((run, request), |db, asked| Box::pin(inbox::outcome(db, asked))).await
    }

    async fn forget_outcomes(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            let some = self.write(before, |db, before| Box::pin(inbox::forget(db, before))).await?;
            all += some;
            if some < inbox::FORGOTTEN_AT_ONCE {
                return Ok(all);
            }
        }
    }
}

#[async_trait]
impl Fleet for Postgres {
    async fn join(&self, server: &ServerId, lease: Duration, reads: u16) -> Result<Member, StoreError> {
        let asked = (server.clone(), lease, reads);
        self.fleet()?.changes.run(asked, |db, asked| Box::pin(fleet::join(db, asked))).await
    }

    async fn renew(&self, member: &Member) -> Result<Standing, StoreError> {
        self.fleet()?.renewals.read(member.clone(), |db, member| Box::pin(fleet::renew(db, member))).await
    }

    async fn take(&self, member: &Member, most: usize) -> Result<BTreeSet<u16>, StoreError> {
        self.fleet()?.changes.run((member.clone(), most), |db, asked| Box::pin(fleet::take(db, asked))).await
    }

    async fn give_up(&self, member: &Member, slots: &BTreeSet<u16>) -> Result<(), StoreError> {
        let asked = (member.clone(), slots.clone());
        self.fleet()?.changes.run(asked, |db, asked| Box::pin(fleet::give_up(db, asked))).await
    }

    async fn leave(&self, member: &Member) -> Result<(), StoreError> {
        self.fleet()?.changes.run(member.clone(), |db, member| Box::pin(fleet::leave(db, member))).await
    }
}

#[async_trait]
impl Inspect for Postgres {
    async fn survey(&self, query: Survey) -> Result<Vec<Glance>, StoreError> {
        self.readers.read(query, |db, query| Box::pin(inspect::survey(db, query))).await
    }

    async fn kept(&self, run: RunId) -> Result<Option<KeptRun>, StoreError> {
        self.readers.read(run, |db, run| Box::pin(inspect::kept(db, run))).await
    }

    async fn waiting(&self, before: Timestamp, limit: usize) -> Result<Vec<Waiting>, StoreError> {
        self.readers.read((before, limit), |db, asked| Box::pin(inspect::waiting(db, asked))).await
    }

    async fn oldest_outcome(&self) -> Result<Option<Timestamp>, StoreError> {
        self.readers.read((), |db, asked| Box::pin(inspect::oldest_outcome(db, asked))).await
    }

    async fn crew(&self) -> Result<Option<Crew>, StoreError> {
        self.readers.read((), |db, asked| Box::pin(inspect::crew(db, asked))).await
    }

    async fn surroundings(&self, _thorough: bool) -> Result<Surroundings, StoreError> {
        self.readers.read(self.allows_unsafe_durability, |db, allows| Box::pin(surroundings::look(db, allows))).await
    }
}

fn for_reading() -> StoreError {
    StoreError::Permanent("it was opened for reading only".to_owned())
}

fn about(address: &Address, error: StoreError) -> StoreError {
    let with = |text: String| format!("{address}: {text}");
    match error {
        StoreError::Unavailable(text) => StoreError::Unavailable(with(text)),
        StoreError::Permanent(text) => StoreError::Permanent(with(text)),
        StoreError::Corrupt(text) => StoreError::Corrupt(with(text)),
        StoreError::InUse(text) => StoreError::InUse(with(text)),
        StoreError::BadCursor => StoreError::BadCursor,
    }
}
