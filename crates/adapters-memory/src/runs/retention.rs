//! Removing runs that have ended, and what belongs to no run.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;

use bytes::Bytes;
use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::retention::{EndedRun, EndedRuns, SweepPayloads, SweptPayloads, Tombstone};
use tutti_core::ports::store::Wake;
use tutti_core::time::Timestamp;
use tutti_core::value::Digest;

use super::Runs;

impl Runs {
    pub fn namespaces(&self) -> Vec<Namespace> {
        self.namespaces.iter().filter(|(_, runs)| !runs.is_empty()).map(|(name, _)| name.clone()).collect()
    }

    pub fn ended(&self, query: &EndedRuns) -> Vec<EndedRun> {
        let first = RunId::first_at(query.ended_before);
        let end = query.before.map_or(first, |before| before.min(first));
        let ids = self.namespaces.get(&query.namespace).into_iter();
        let ids = ids.flat_map(|ids| ids.range((Bound::Unbounded, Bound::Excluded(end))).rev());
        let runs = ids.filter_map(|id| self.runs.get(id));
        let runs = runs.filter(|run| run.summary.ended_at.is_some_and(|at| at < query.ended_before));
        let runs = runs.filter(|run| query.filter.takes(&run.summary)).take(query.limit);
        runs.map(|run| EndedRun { summary: run.summary.clone(), last_seq: run.last_seq() }).collect()
    }

    /// Removes a run and all that belongs to it but its payloads; false if it is to stay.
    pub fn purge(&mut self, tombstone: Tombstone) -> bool {
        let id = tombstone.run;
        let may = self.runs.get(&id).is_some_and(|run| {
            run.wake == Wake::Never && run.namespace == tombstone.namespace && run.last_seq() == tombstone.last_seq
        });
        if !may || self.inbox.has(id) {
            return false;
        }
        self.runs.remove(&id);
        if let Some(ids) = self.namespaces.get_mut(&tombstone.namespace) {
            ids.remove(&id);
        }
        self.requests.retain(|_, run| *run != id);
        self.keys.retain(|_, run| *run != id);
        self.inbox.forget(id);
        self.tombstones.insert(id, tombstone);
        true
    }

    pub fn tombstone(&self, namespace: &Namespace, run: RunId) -> Option<Tombstone> {
        self.tombstones.get(&run).filter(|tombstone| tombstone.namespace == *namespace).cloned()
    }

    pub fn sweep_payloads(
        &self,
        query: &SweepPayloads,
        payloads: &mut HashMap<(RunId, Digest), Bytes>,
    ) -> SweptPayloads {
        let first = RunId::first_at(query.before);
        let old: BTreeSet<RunId> = payloads.keys().map(|(run, _)| *run).filter(|run| *run < first).collect();
        let after = query.after.map_or(Bound::Unbounded, Bound::Excluded);
        let seen: Vec<RunId> = old.range((after, Bound::Unbounded)).take(query.limit).copied().collect();
        let orphaned: HashSet<&RunId> = seen.iter().filter(|run| !self.runs.contains_key(run)).collect();
        let all = payloads.len();
        payloads.retain(|(run, _), _| !orphaned.contains(run));
        let next = seen.last().filter(|_| seen.len() == query.limit).copied();
        SweptPayloads { removed: (all - payloads.len()) as u64, next }
    }

    pub fn sweep_definitions(&mut self, now: Timestamp, noted_before: Timestamp) -> u64 {
        let used: HashSet<Digest> = self.runs.values().map(|run| run.definition).collect();
        let unused: BTreeMap<Digest, Timestamp> = (self.definitions.keys().filter(|hash| !used.contains(*hash)))
            .map(|hash| (*hash, self.unused.get(hash).copied().unwrap_or(now)))
            .collect();
        let all = self.definitions.len();
        self.definitions.retain(|hash, _| unused.get(hash).is_none_or(|noted| *noted >= noted_before));
        self.unused = unused.into_iter().filter(|(hash, _)| self.definitions.contains_key(hash)).collect();
        (all - self.definitions.len()) as u64
    }
}
