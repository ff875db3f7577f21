//! The store ports and the sharing of slots in memory: for trying things out and for tests. Nothing outlives the process.

mod fleet;
mod inbox;
mod records;
mod runs;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use tutti_core::ids::{Namespace, RequestId, RunId};
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbox::{Consumed, Inbox, InboxItem};
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::{ListRuns, RunCounts, RunPage, RunQuery, RunSummary};
use tutti_core::ports::records::{ListRecords, Put, Record, RecordKey, RecordStore};
use tutti_core::ports::retention::{EndedRun, EndedRuns, Retention, SweepPayloads, SweptPayloads, Tombstone};
use tutti_core::ports::store::{
    ClaimOutcome, Claimer, Commit, CommitOutcome, Creation, DueRuns, NewRun, RunStore, Snapshot, StoreError,
    StoredEvent,
};
use tutti_core::time::Timestamp;
use tutti_core::value::{Digest, PayloadRef};

pub use crate::fleet::MemoryFleet;
use crate::records::Records;
use crate::runs::Runs;

/// Keeps runs, histories, commands that wait, payloads and documents in memory. No call waits, and none needs a runtime.
#[derive(Debug, Default)]
pub struct MemoryStore {
    runs: Mutex<Runs>,
    payloads: Mutex<HashMap<(RunId, Digest), Bytes>>,
    records: Mutex<Records>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().expect("nothing panics while it holds the lock")
    }

    fn payloads(&self) -> MutexGuard<'_, HashMap<(RunId, Digest), Bytes>> {
        self.payloads.lock().expect("nothing panics while it holds the lock")
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().expect("nothing panics while it holds the lock")
    }
}

#[async_trait]
impl RunStore for MemoryStore {
    async fn create(&self, run: NewRun) -> Result<Creation, StoreError> {
        self.runs().create(run)
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        self.runs().commit(commits)
    }

    async fn claim(&self, run: RunId, claimer: Claimer) -> Result<ClaimOutcome, StoreError> {
        Ok(self.runs().claim(run, claimer))
    }

    async fn due(&self, query: DueRuns) -> Result<Vec<RunId>, StoreError> {
        Ok(self.runs().due(&query))
    }

    async fn save_snapshot(&self, run: RunId, snapshot: Snapshot) -> Result<(), StoreError> {
        self.runs().save_snapshot(run, snapshot)
    }

    async fn snapshot(&self, run: RunId) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.runs().snapshot(run))
    }
}

#[async_trait]
impl RunQuery for MemoryStore {
    async fn list(&self, query: ListRuns) -> Result<RunPage, StoreError> {
        self.runs().list(&query)
    }

    async fn count(&self, namespace: &Namespace, filter: &RunFilter) -> Result<RunCounts, StoreError> {
        Ok(self.runs().count(namespace, filter))
    }

    async fn find(&self, namespace: &Namespace, run: RunId) -> Result<Option<RunSummary>, StoreError> {
        Ok(self.runs().find(namespace, run))
    }

    async fn find_by_prefix(
        &self,
        namespace: &Namespace,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<RunSummary>, StoreError> {
        Ok(self.runs().find_by_prefix(namespace, prefix, limit))
    }

    async fn events(&self, run: RunId, from: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        Ok(self.runs().events(run, from, limit))
    }

    async fn definition(&self, hash: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.runs().definition(hash))
    }
}

#[async_trait]
impl Inbox for MemoryStore {
    async fn post(&self, item: InboxItem) -> Result<(), StoreError> {
        self.runs().post(item)
    }

    async fn pending(&self, slots: &[u16], limit: usize) -> Result<Vec<InboxItem>, StoreError> {
        Ok(self.runs().inbox().pending(slots, limit))
    }

    async fn refuse(&self, run: RunId, item: Consumed) -> Result<(), StoreError> {
        self.runs().inbox_mut().consume(run, vec![item]);
        Ok(())
    }

    async fn outcome(&self, run: RunId, request: RequestId) -> Result<Option<Bytes>, StoreError> {
        Ok(self.runs().inbox().outcome(run, request))
    }

    async fn forget_outcomes(&self, before: Timestamp) -> Result<u64, StoreError> {
        Ok(self.runs().inbox_mut().forget_outcomes(before))
    }
}

#[async_trait]
impl PayloadStore for MemoryStore {
    async fn put(&self, run: RunId, bytes: Bytes) -> Result<PayloadRef, StoreError> {
        let at = PayloadRef::to(&bytes);
        self.payloads().entry((run, at.hash)).or_insert(bytes);
        Ok(at)
    }

    async fn get(&self, run: RunId, at: PayloadRef) -> Result<Option<Bytes>, StoreError> {
        Ok(self.payloads().get(&(run, at.hash)).cloned())
    }
}

#[async_trait]
impl RecordStore for MemoryStore {
    async fn put(&self, record: Record) -> Result<Put, StoreError> {
        self.records().put(record)
    }

    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        Ok(self.records().get(key))
    }

    async fn list(&self, query: ListRecords) -> Result<Vec<Record>, StoreError> {
        Ok(self.records().list(&query))
    }

    async fn delete(&self, key: &RecordKey, revision: u64) -> Result<bool, StoreError> {
        Ok(self.records().delete(key, revision))
    }
}

#[async_trait]
impl Retention for MemoryStore {
    async fn namespaces(&self) -> Result<Vec<Namespace>, StoreError> {
        Ok(self.runs().namespaces())
    }

    async fn ended(&self, query: EndedRuns) -> Result<Vec<EndedRun>, StoreError> {
        Ok(self.runs().ended(&query))
    }

    async fn purge(&self, tombstones: Vec<Tombstone>) -> Result<Vec<bool>, StoreError> {
        let (mut runs, mut payloads) = (self.runs(), self.payloads());
        let removed: Vec<(RunId, bool)> =
            tombstones.into_iter().map(|tombstone| (tombstone.run, runs.purge(tombstone))).collect();
        let gone: HashSet<RunId> = removed.iter().filter(|(_, gone)| *gone).map(|(run, _)| *run).collect();
        payloads.retain(|(run, _), _| !gone.contains(run));
        Ok(removed.into_iter().map(|(_, gone)| gone).collect())
    }

    async fn tombstone(&self, namespace: &Namespace, run: RunId) -> Result<Option<Tombstone>, StoreError> {
        Ok(self.runs().tombstone(namespace, run))
    }

    async fn sweep_payloads(&self, query: SweepPayloads) -> Result<SweptPayloads, StoreError> {
        let (runs, mut payloads) = (self.runs(), self.payloads());
        Ok(runs.sweep_payloads(&query, &mut payloads))
    }

    async fn sweep_definitions(&self, now: Timestamp, noted_before: Timestamp) -> Result<u64, StoreError> {
        Ok(self.runs().sweep_definitions(now, noted_before))
    }
}
