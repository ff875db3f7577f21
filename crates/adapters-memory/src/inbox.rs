//! Commands that wait for the server of their run, and what became of them.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use tutti_core::ids::{RequestId, RunId};
use tutti_core::ports::inbox::{Consumed, InboxItem};
use tutti_core::time::Timestamp;

#[derive(Debug, Default)]
pub struct Items {
    waiting: BTreeMap<(RunId, RequestId), InboxItem>,
    /// When, and what. No request is here and waits as well.
    outcomes: HashMap<(RunId, RequestId), (Timestamp, Bytes)>,
}

impl Items {
    pub fn post(&mut self, item: InboxItem) {
        let name = (item.run, item.request);
        if !self.outcomes.contains_key(&name) {
            self.waiting.entry(name).or_insert(item);
        }
    }

    pub fn pending(&self, slots: &[u16], limit: usize) -> Vec<InboxItem> {
        let wanted = self.waiting.values().filter(|item| slots.binary_search(&item.run.slot()).is_ok());
        let mut found: Vec<&InboxItem> = wanted.collect();
        found.sort_by_key(|item| item.at);
        found.into_iter().take(limit).cloned().collect()
    }

    /// Puts outcomes in the place of items of a run; those that do not wait are passed over.
    pub fn consume(&mut self, run: RunId, consumed: Vec<Consumed>) {
        for Consumed { request, at, outcome } in consumed {
            if self.waiting.remove(&(run, request)).is_some() {
                self.outcomes.insert((run, request), (at, outcome));
            }
        }
    }

    pub fn outcome(&self, run: RunId, request: RequestId) -> Option<Bytes> {
        self.outcomes.get(&(run, request)).map(|(_, outcome)| outcome.clone())
    }

    pub fn forget_outcomes(&mut self, before: Timestamp) -> u64 {
        let all = self.outcomes.len();
        self.outcomes.retain(|_, (at, _)| *at >= before);
        (all - self.outcomes.len()) as u64
    }
    /// True if something waits for a run.
    pub fn has(&self, run: RunId) -> bool {
        self.waiting.keys().any(|(of, _)| *of == run)
    }

    /// Forgets the outcomes of a run.
    pub fn forget(&mut self, run: RunId) {
        self.outcomes.retain(|(of, _), _| *of != run);
    }
}
