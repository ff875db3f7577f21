//! Runs, their histories, and the commands that wait for them.

mod retention;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;

use bytes::Bytes;
use tutti_core::ids::{Namespace, RequestId, RunId, RunKey};
use tutti_core::ports::cursor;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbox::InboxItem;
use tutti_core::ports::query::{ListRuns, RunCounts, RunPage, RunSummary};
use tutti_core::ports::retention::Tombstone;
use tutti_core::ports::store::{
    Claim, ClaimOutcome, Claimer, Commit, CommitOutcome, Creation, Due, DueRuns, EncodedEvent, NewRun, Snapshot,
    StoreError, StoredEvent, Wake,
};
use tutti_core::time::Timestamp;
use tutti_core::value::Digest;

use crate::inbox::Items;

#[derive(Debug, Default)]
pub struct Runs {
    runs: HashMap<RunId, Run>,
    /// What lists go through.
    namespaces: BTreeMap<Namespace, BTreeSet<RunId>>,
    requests: HashMap<(Namespace, RequestId), RunId>,
    /// The last run that took each key.
    keys: HashMap<(Namespace, RunKey), RunId>,
    /// Runs that are active or wait for a time.
    awake: BTreeSet<RunId>,
    definitions: HashMap<Digest, Bytes>,
    /// Definitions that no run used when they were looked at, and since when.
    unused: BTreeMap<Digest, Timestamp>,
    /// What stays of runs that were removed.
    tombstones: HashMap<RunId, Tombstone>,
    /// Here, because a commit consumes.
    inbox: Items,
}

#[derive(Debug)]
struct Run {
    namespace: Namespace,
    definition: Digest,
    slot: u16,
    epoch: u64,
    commit_id: u128,
    claims: u32,
    min_reader: u16,
    wake: Wake,
    summary: RunSummary,
    history: Vec<StoredEvent>,
    snapshot: Option<Snapshot>,
}

impl Run {
    fn last_seq(&self) -> u64 {
        self.history.len() as u64
    }

    fn append(&mut self, events: Vec<EncodedEvent>) {
        let epoch = self.epoch;
        self.history.extend(events.into_iter().map(|event| StoredEvent { event, epoch }));
    }
}

impl Runs {
    pub fn create(&mut self, new: NewRun) -> Result<Creation, StoreError> {
        new.check()?;
        let NewRun {
            namespace,
            run,
            request,
            key,
            definition: (hash, body),
            events,
            summary,
            wake,
            min_reader,
            commit_id,
        } = new;
        let request = match self.requests.entry((namespace.clone(), request)) {
            Entry::Occupied(first) => return Ok(Creation::Exists(*first.get())),
            Entry::Vacant(request) => request,
        };
        let Entry::Vacant(place) = self.runs.entry(run) else {
            return Err(StoreError::Permanent(format!("run {run} exists and was created by another request")));
        };
        if let Some(claim) = key {
            let key = (namespace.clone(), claim.key);
            if let Some(holder) = self.keys.get(&key).filter(|holder| Some(**holder) != claim.from) {
                return Ok(Creation::KeyHeld(*holder));
            }
            self.keys.insert(key, run);
        }
        let made = place.insert(Run {
            namespace: namespace.clone(),
            definition: hash,
            slot: run.slot(),
            epoch: 1,
            commit_id,
            claims: 0,
            min_reader,
            wake,
            summary,
            history: Vec::new(),
            snapshot: None,
        });
        made.append(events);
        request.insert(run);
        self.definitions.entry(hash).or_insert(body);
        self.namespaces.entry(namespace).or_default().insert(run);
        self.set_awake(run, wake);
        Ok(Creation::Created)
    }

    pub fn commit(&mut self, commits: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        Commit::check_all(&commits)?;
        Ok(commits.into_iter().map(|commit| self.commit_one(commit)).collect())
    }

    fn commit_one(&mut self, commit: Commit) -> CommitOutcome {
        let Some(run) = self.runs.get_mut(&commit.run) else { return CommitOutcome::Refused };
        if run.commit_id == commit.commit_id {
            return CommitOutcome::Committed;
        }
        if run.last_seq() != commit.expected || run.epoch != commit.epoch {
            return CommitOutcome::Refused;
        }
        run.append(commit.events);
        run.commit_id = commit.commit_id;
        run.claims = 0;
        run.min_reader = run.min_reader.max(commit.min_reader);
        if let Some(summary) = commit.summary {
            run.summary = summary;
        }
        if run.wake != commit.wake {
            run.wake = commit.wake;
            self.set_awake(commit.run, commit.wake);
        }
        self.inbox.consume(commit.run, commit.consumed);
        CommitOutcome::Committed
    }

    pub fn post(&mut self, item: InboxItem) -> Result<(), StoreError> {
        if !self.runs.contains_key(&item.run) {
            return Err(StoreError::Permanent(format!("there is no run {} to post to", item.run)));
        }
        self.inbox.post(item);
        Ok(())
    }

    pub fn inbox(&self) -> &Items {
        &self.inbox
    }

    pub fn inbox_mut(&mut self) -> &mut Items {
        &mut self.inbox
    }

    pub fn claim(&mut self, run: RunId, claimer: Claimer) -> ClaimOutcome {
        let Some(run) = self.runs.get_mut(&run) else { return ClaimOutcome::NotFound };
        if run.min_reader > claimer.reads {
            return ClaimOutcome::TooNew(run.min_reader);
        }
        run.epoch += 1;
        run.claims = claimer.count(run.claims);
        ClaimOutcome::Claimed(Claim {
            epoch: run.epoch,
            claims: run.claims,
            last_seq: run.last_seq(),
            min_reader: run.min_reader,
            summary: run.summary.clone(),
        })
    }

    pub fn due(&self, query: &DueRuns) -> Vec<RunId> {
        let slots: HashSet<u16> = query.slots.iter().copied().collect();
        let after = match query.due {
            Due::Active(Some(after)) => Bound::Excluded(after),
            _ => Bound::Unbounded,
        };
        let awake = self.awake.range((after, Bound::Unbounded)).filter_map(|id| Some((*id, self.runs.get(id)?)));
        let mut awake = awake.filter(|(_, run)| slots.contains(&run.slot) && run.min_reader <= query.reads);
        let moment = match query.due {
            Due::Active(_) => {
                let active = awake.filter(|(_, run)| run.wake == Wake::Active);
                return active.map(|(id, _)| id).take(query.limit).collect();
            }
            Due::Until(moment) => moment,
        };
        let mut queues: HashMap<&Namespace, BTreeSet<(Timestamp, RunId)>> = HashMap::new();
        for (id, run) in &mut awake {
            if let Wake::At(at) = run.wake
                && at <= moment
            {
                queues.entry(&run.namespace).or_default().insert((at, id));
            }
        }
        let turns = queues.values().flat_map(|queue| queue.iter().enumerate());
        let order: BTreeSet<_> = turns.map(|(turn, (at, id))| (turn, *at, *id)).collect();
        order.into_iter().take(query.limit).map(|(.., id)| id).collect()
    }

    pub fn save_snapshot(&mut self, id: RunId, snapshot: Snapshot) -> Result<(), StoreError> {
        let run = self.runs.get_mut(&id).filter(|run| snapshot.seq <= run.last_seq());
        let run =
            run.ok_or_else(|| StoreError::Permanent(format!("run {id} has no event {} to snapshot", snapshot.seq)))?;
        if run.snapshot.as_ref().is_none_or(|kept| kept.seq <= snapshot.seq) {
            run.snapshot = Some(snapshot);
        }
        Ok(())
    }

    pub fn snapshot(&self, run: RunId) -> Option<Snapshot> {
        self.runs.get(&run)?.snapshot.clone()
    }

    pub fn list(&self, query: &ListRuns) -> Result<RunPage, StoreError> {
        let limit = match query.limit {
            0 => 50,
            limit => limit.min(1_000),
        };
        let before = match &query.cursor {
            Some(cursor) => Bound::Excluded(cursor::decode(&query.namespace, cursor)?),
            None => Bound::Unbounded,
        };
        let ids = self.namespaces.get(&query.namespace);
        let runs = ids.into_iter().flat_map(|ids| ids.range((Bound::Unbounded, before)).rev());
        let mut runs: Vec<RunSummary> = self.taken(runs, &query.filter).take(limit + 1).cloned().collect();
        let more = runs.len() > limit;
        runs.truncate(limit);
        let next = runs.last().filter(|_| more).map(|last| cursor::encode(&query.namespace, last.run));
        Ok(RunPage { runs, next })
    }

    pub fn count(&self, namespace: &Namespace, filter: &RunFilter) -> RunCounts {
        let mut counts = RunCounts::new();
        for run in self.taken(self.namespaces.get(namespace).into_iter().flatten(), filter) {
            *counts.entry(run.status).or_default() += 1;
        }
        counts
    }

    pub fn find(&self, namespace: &Namespace, run: RunId) -> Option<RunSummary> {
        self.runs.get(&run).filter(|run| run.namespace == *namespace).map(|run| run.summary.clone())
    }

    pub fn find_by_prefix(&self, namespace: &Namespace, prefix: &str, limit: usize) -> Vec<RunSummary> {
        let ids = self.namespaces.get(namespace).into_iter().flatten().rev();
        let ids = ids.filter(|id| id.to_string().starts_with(prefix)).take(limit);
        ids.filter_map(|id| self.runs.get(id)).map(|run| run.summary.clone()).collect()
    }

    pub fn events(&self, run: RunId, from: u64, limit: usize) -> Vec<StoredEvent> {
        let skip = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        let history = self.runs.get(&run).map_or(&[][..], |run| &run.history);
        history.iter().skip(skip).take(limit).cloned().collect()
    }

    pub fn definition(&self, hash: Digest) -> Option<Vec<u8>> {
        self.definitions.get(&hash).map(|body| body.to_vec())
    }

    fn taken<'a>(
        &'a self,
        ids: impl Iterator<Item = &'a RunId>,
        filter: &RunFilter,
    ) -> impl Iterator<Item = &'a RunSummary> {
        ids.filter_map(|id| self.runs.get(id)).map(|run| &run.summary).filter(|run| filter.takes(run))
    }

    fn set_awake(&mut self, run: RunId, wake: Wake) {
        match wake {
            Wake::Active | Wake::At(_) => self.awake.insert(run),
            Wake::OnInput | Wake::Never => self.awake.remove(&run),
        };
    }
}
