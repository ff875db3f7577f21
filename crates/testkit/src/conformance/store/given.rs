//! Runs, commits and events for the cases, and short ways to call a store that must succeed.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tutti_core::ids::{RequestId, RunId};
use tutti_core::ports::query::{ListRuns, RunSummary};
use tutti_core::ports::store::{
    Claim, Commit, CommitOutcome, Creation, DueRuns, EncodedEvent, NewRun, StoredEvent, Wake,
};
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;
use tutti_core::value::Digest;

use super::Subject;

/// Where the ids of runs begin, in milliseconds since the Unix epoch.
pub const START: u64 = 1_700_000_000_000;

/// A run id; greater for greater numbers.
pub fn run_id(n: u64) -> RunId {
    let mut random = [0x5a; 10];
    random[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    RunId::new(START + n, random)
}

/// A name of a commit that no other has.
pub fn commit_id() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed)) << 64 | 0xc0
}

/// An event with a body of the form that real ones have.
pub fn event(seq: u64) -> EncodedEvent {
    let at = Timestamp::from_micros(1_700_000_000_000_000 + seq as i64);
    let blob = Bytes::from(format!("\0\0\0{{\"n\":{seq}}}"));
    EncodedEvent { seq, at, kind: 40, version: 1, blob }
}

/// Events with numbers in a row.
pub fn events(from: u64, count: u64) -> Vec<EncodedEvent> {
    (from..from + count).map(event).collect()
}

/// What lists show of a run that has just begun.
pub fn summary(run: RunId) -> RunSummary {
    RunSummary {
        run,
        workflow: "sales".parse().unwrap(),
        version: "1.0".to_string(),
        definition: Digest::of(b"a workflow"),
        status: RunStatus::Pending,
        steps: 8,
        completed: 0,
        failed: 0,
        created_at: Timestamp::from_micros(1_700_000_000_000_000),
        updated_at: Timestamp::from_micros(1_700_000_000_000_001),
        ended_at: None,
        error: None,
    }
}

/// A run with two first events, active, in the default namespace.
pub fn new_run(n: u64) -> NewRun {
    let run = run_id(n);
    NewRun {
        namespace: "default".parse().unwrap(),
        run,
        request: RequestId::from_u128(u128::from(n)),
        definition: (Digest::of(b"a workflow"), Bytes::from_static(b"a workflow")),
        events: events(1, 2),
        summary: summary(run),
        wake: Wake::Active,
        min_reader: 1,
        commit_id: commit_id(),
    }
}

/// A commit of some events; the run stays active.
pub fn commit(run: RunId, epoch: u64, expected: u64, count: u64) -> Commit {
    Commit {
        run,
        epoch,
        expected,
        commit_id: commit_id(),
        events: events(expected + 1, count),
        summary: None,
        wake: Wake::Active,
        min_reader: 1,
    }
}

/// Every run that is due in all slots.
pub fn due_at(micros: i64) -> DueRuns {
    DueRuns { slots: 0..tutti_core::limits::SLOTS, now: Timestamp::from_micros(micros), after: None, limit: usize::MAX }
}

impl Subject {
    /// Creates a run; it must be new.
    pub async fn create(&self, run: NewRun) -> RunId {
        let id = run.run;
        assert_eq!(self.runs.create(run).await, Ok(Creation::Created));
        id
    }

    /// Creates runs 1 to `count`.
    pub async fn create_many(&self, count: u64) -> Vec<RunId> {
        let mut runs = Vec::new();
        for n in 1..=count {
            runs.push(self.create(new_run(n)).await);
        }
        runs
    }

    /// Commits to one run.
    pub async fn commit(&self, commit: Commit) -> CommitOutcome {
        self.commit_all(vec![commit]).await[0]
    }

    /// Commits in one call.
    pub async fn commit_all(&self, commits: Vec<Commit>) -> Vec<CommitOutcome> {
        let count = commits.len();
        let outcomes = self.runs.commit(commits).await.unwrap();
        assert_eq!(outcomes.len(), count, "one answer for each commit");
        outcomes
    }

    /// Claims a run that exists.
    pub async fn claim(&self, run: RunId) -> Claim {
        self.runs.claim(run).await.unwrap().unwrap()
    }

    /// The whole history of a run; checks that it has no gap.
    pub async fn history(&self, run: RunId) -> Vec<StoredEvent> {
        let history = self.query.events(run, 1, usize::MAX).await.unwrap();
        assert!(history.iter().zip(1..).all(|(stored, seq)| stored.event.seq == seq), "a gap in {run}");
        history
    }

    /// The number of the last event.
    pub async fn last_seq(&self, run: RunId) -> u64 {
        self.history(run).await.len() as u64
    }

    /// What lists show of a run in the default namespace.
    pub async fn summary(&self, run: RunId) -> RunSummary {
        self.query.find(&"default".parse().unwrap(), run).await.unwrap().unwrap()
    }

    /// Ids and cursor of one page.
    pub async fn page(&self, query: ListRuns) -> (Vec<RunId>, Option<String>) {
        let page = self.query.list(query).await.unwrap();
        (page.runs.into_iter().map(|run| run.run).collect(), page.next)
    }

    /// Every page, joined.
    pub async fn list_all(&self, mut query: ListRuns) -> Vec<RunId> {
        let mut runs = Vec::new();
        loop {
            let (page, next) = self.page(query.clone()).await;
            runs.extend(page);
            if next.is_none() {
                return runs;
            }
            query.cursor = next;
        }
    }

    /// Which runs are due.
    pub async fn due(&self, query: DueRuns) -> Vec<RunId> {
        self.runs.due(query).await.unwrap()
    }
}
