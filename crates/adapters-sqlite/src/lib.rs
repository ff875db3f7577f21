//! The store ports on an embedded SQLite file.
//!
//! One engine writes to a file, through one connection on a thread of its own that commits in groups; any number of
//! processes read beside it, and may leave commands for its runs. The file is in write-ahead mode and is synced before a call is answered, so that what was
//! acknowledged survives the death of the process and of the machine.

mod backup;
mod error;
mod filter;
mod inbox;
mod inspect;
mod open;
mod read;
mod readers;
mod records;
mod retention;
mod rows;
mod schema;
mod write;
mod writer;

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::Connection;
use tutti_core::ids::{Namespace, RequestId, RunId};
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::frame;
use tutti_core::ports::inbox::{Consumed, Inbox, InboxItem};
use tutti_core::ports::inspect::{Crew, Glance, Inspect, KeptRun, Surroundings, Survey, Waiting};
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::{ListRuns, RunCounts, RunPage, RunQuery, RunSummary};
use tutti_core::ports::records::{ListRecords, Put, Record, RecordKey, RecordStore};
use tutti_core::ports::store::{
    ClaimOutcome, Claimer, Commit, CommitOutcome, Creation, DueRuns, EncodedEvent, NewRun, RunStore, Snapshot,
    StoreError, StoredEvent,
};
use tutti_core::time::Timestamp;
use tutti_core::value::{Digest, PayloadRef};

pub use crate::backup::{Copied, backup};
use crate::error::Outcome;
use crate::open::EngineLock;
use crate::readers::Readers;
use crate::writer::{Weight, Writer};

pub use crate::schema::TABLES;

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// To run workflows: makes the file, its folder and its tables where they are missing, and keeps other engines away.
    Engine,
    /// To look at it and to post to the inbox, beside a running engine or without one. Other calls that would write are
    /// refused.
    Beside,
    /// To look at it, beside a running engine or without one. Calls that would write are refused.
    ReadOnly,
}

/// Runs, histories, commands that wait, payloads and documents in one SQLite file. Calls need a tokio runtime.
///
/// Dropping it waits until what was asked is written, and closes the file.
#[derive(Debug)]
pub struct Sqlite {
    // In this order: the last connection to close tidies up the log, then the lock is freed.
    readers: Readers,
    writer: Option<Writer>,
    mode: OpenMode,
    _lock: Option<EngineLock>,
}

impl Sqlite {
    /// Opens a file. Blocks while it reads and, at the first start, makes the tables.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another engine has the file; [`StoreError::Unavailable`] if it is missing (unless for an
    /// engine) or cannot be reached; [`StoreError::Corrupt`] if it is damaged or no database; [`StoreError::Permanent`] if it
    /// belongs to another program or to a newer version.
    pub fn open(path: impl AsRef<Path>, mode: OpenMode) -> Result<Self, StoreError> {
        let path = path.as_ref();
        match mode {
            OpenMode::ReadOnly => {
                let readers = Readers::new(path.to_path_buf(), open::reader(path)?);
                Ok(Self { readers, writer: None, mode, _lock: None })
            }
            OpenMode::Beside => {
                let readers = Readers::new(path.to_path_buf(), open::reader(path)?);
                let writer = Writer::start(open::poster(path)?)?;
                Ok(Self { readers, writer: Some(writer), mode, _lock: None })
            }
            OpenMode::Engine => {
                let path = open::resolve(path)?;
                let lock = EngineLock::take(&path)?;
                let writer = Writer::start(open::writer(&path)?)?;
                let first = open::reader(&path)?;
                Ok(Self { readers: Readers::new(path, first), writer: Some(writer), mode, _lock: Some(lock) })
            }
        }
    }

    async fn write<T: Send + 'static>(
        &self,
        runs: usize,
        bytes: usize,
        work: impl Fn(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.mode == OpenMode::Beside {
            return Err(StoreError::Permanent("it was opened for reading and posting only".to_string()));
        }
        self.write_or_post(Weight { runs, bytes }, work).await
    }

    async fn write_or_post<T: Send + 'static>(
        &self,
        weight: Weight,
        work: impl Fn(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let refused = || StoreError::Permanent("it was opened for reading only".to_string());
        self.writer.as_ref().ok_or_else(refused)?.run(weight, work).await
    }
}

#[async_trait]
impl RunStore for Sqlite {
    async fn create(&self, run: NewRun) -> Result<Creation, StoreError> {
        run.check()?;
        let size = run.definition.1.len() + size(&run.events);
        self.write(1, size, move |db| write::create(db, &run)).await
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        Commit::check_all(&commits)?;
        let outcomes = commits.iter().flat_map(|commit| &commit.consumed).map(|consumed| consumed.outcome.len());
        let size = commits.iter().map(|commit| size(&commit.events)).sum::<usize>() + outcomes.sum::<usize>();
        self.write(commits.len(), size, move |db| write::commit(db, &commits)).await
    }

    async fn claim(&self, run: RunId, claimer: Claimer) -> Result<ClaimOutcome, StoreError> {
        self.write(1, 0, move |db| write::claim(db, run, claimer)).await
    }

    async fn due(&self, query: DueRuns) -> Result<Vec<RunId>, StoreError> {
        self.readers.run(move |db| read::due(db, &query)).await
    }

    async fn save_snapshot(&self, run: RunId, snapshot: Snapshot) -> Result<(), StoreError> {
        self.write(1, snapshot.blob.len(), move |db| write::save_snapshot(db, run, &snapshot)).await
    }

    async fn snapshot(&self, run: RunId) -> Result<Option<Snapshot>, StoreError> {
        self.readers.run(move |db| read::snapshot(db, run)).await
    }
}

#[async_trait]
impl RunQuery for Sqlite {
    async fn list(&self, query: ListRuns) -> Result<RunPage, StoreError> {
        self.readers.run(move |db| read::list(db, &query)).await
    }

    async fn count(&self, namespace: &Namespace, filter: &RunFilter) -> Result<RunCounts, StoreError> {
        let (namespace, filter) = (namespace.clone(), filter.clone());
        self.readers.run(move |db| read::count(db, &namespace, &filter)).await
    }

    async fn find(&self, namespace: &Namespace, run: RunId) -> Result<Option<RunSummary>, StoreError> {
        let namespace = namespace.clone();
        self.readers.run(move |db| read::find(db, &namespace, run)).await
    }

    async fn find_by_prefix(
        &self,
        namespace: &Namespace,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<RunSummary>, StoreError> {
        let (namespace, prefix) = (namespace.clone(), prefix.to_string());
        self.readers.run(move |db| read::find_by_prefix(db, &namespace, &prefix, limit)).await
    }

    async fn events(&self, run: RunId, from: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.readers.run(move |db| read::events(db, run, from, limit)).await
    }

    async fn definition(&self, hash: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.readers.run(move |db| read::definition(db, hash)).await
    }
}

#[async_trait]
impl Inbox for Sqlite {
    async fn post(&self, item: InboxItem) -> Result<(), StoreError> {
        let weight = Weight { runs: 1, bytes: item.blob.len() };
        self.write_or_post(weight, move |db| inbox::post(db, &item)).await
    }

    async fn pending(&self, slots: &[u16], limit: usize) -> Result<Vec<InboxItem>, StoreError> {
        let slots = slots.to_vec();
        self.readers.run(move |db| inbox::pending(db, &slots, limit)).await
    }

    async fn refuse(&self, run: RunId, item: Consumed) -> Result<(), StoreError> {
        self.write(1, item.outcome.len(), move |db| Ok(Ok(inbox::consume(db, run, std::slice::from_ref(&item))?))).await
    }

    async fn outcome(&self, run: RunId, request: RequestId) -> Result<Option<Bytes>, StoreError> {
        self.readers.run(move |db| inbox::outcome(db, run, request)).await
    }

    async fn forget_outcomes(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(1, 0, move |db| inbox::forget_outcomes(db, before)).await
    }
}

#[async_trait]
impl PayloadStore for Sqlite {
    async fn put(&self, run: RunId, bytes: Bytes) -> Result<PayloadRef, StoreError> {
        // Hashing and copying megabytes would hold up other tasks.
        let prepared = tokio::task::spawn_blocking(move || (PayloadRef::to(&bytes), frame::wrap(&bytes).freeze()));
        let prepared =
            prepared.await.map_err(|error| StoreError::Unavailable(format!("a write was given up: {error}")));
        let (at, framed) = prepared?;
        self.write(1, framed.len(), move |db| write::put(db, run, at.hash, &framed)).await?;
        Ok(at)
    }

    async fn get(&self, run: RunId, at: PayloadRef) -> Result<Option<Bytes>, StoreError> {
        self.readers.run(move |db| read::payload(db, run, at)).await
    }
}

#[async_trait]
impl RecordStore for Sqlite {
    async fn put(&self, record: Record) -> Result<Put, StoreError> {
        record.check()?;
        self.write(1, record.blob.len(), move |db| records::put(db, &record)).await
    }

    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        let key = key.clone();
        self.readers.run(move |db| records::get(db, &key)).await
    }

    async fn list(&self, query: ListRecords) -> Result<Vec<Record>, StoreError> {
        self.readers.run(move |db| records::list(db, &query)).await
    }

    async fn delete(&self, key: &RecordKey, revision: u64) -> Result<bool, StoreError> {
        let key = key.clone();
        self.write(1, 0, move |db| records::delete(db, &key, revision)).await
    }
}

#[async_trait]
impl Inspect for Sqlite {
    async fn survey(&self, query: Survey) -> Result<Vec<Glance>, StoreError> {
        self.readers.run(move |db| inspect::survey(db, &query)).await
    }

    async fn kept(&self, run: RunId) -> Result<Option<KeptRun>, StoreError> {
        self.readers.run(move |db| inspect::kept(db, run)).await
    }

    async fn waiting(&self, before: Timestamp, limit: usize) -> Result<Vec<Waiting>, StoreError> {
        self.readers.run(move |db| inspect::waiting(db, before, limit)).await
    }

    async fn oldest_outcome(&self) -> Result<Option<Timestamp>, StoreError> {
        self.readers.run(inspect::oldest_outcome).await
    }

    async fn crew(&self) -> Result<Option<Crew>, StoreError> {
        Ok(None)
    }

    async fn surroundings(&self, thorough: bool) -> Result<Surroundings, StoreError> {
        let path = self.readers.path().to_path_buf();
        self.readers.run(move |db| inspect::surroundings(db, &path, thorough)).await
    }
}

fn size(events: &[EncodedEvent]) -> usize {
    events.iter().map(|event| event.blob.len()).sum()
}
