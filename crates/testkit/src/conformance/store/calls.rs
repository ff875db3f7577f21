//! Short ways to call a store that must succeed.

use tutti_core::ids::RunId;
use tutti_core::ports::query::{ListRuns, RunSummary};
use tutti_core::ports::store::{Claim, Commit, CommitOutcome, Creation, DueRuns, NewRun, StoredEvent};

use super::Subject;
use crate::given::{READS, new_run};

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
        self.runs.claim(run, READS).await.unwrap().claimed().unwrap()
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
