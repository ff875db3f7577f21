//! How fast a store commits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;
use tutti_core::ports::store::{CommitOutcome, RunStore, StoreError};

use crate::given;

/// Events of a measured commit: an attempt's end and the next one's start.
const EVENTS: u64 = 2;

/// Bytes of a measured event.
const EVENT_BYTES: usize = 300;

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Callers that each waited for a commit before the next.
    pub committers: usize,
    /// Commits that were acknowledged, of two events of 300 bytes each.
    pub commits: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl Rate {
    /// Commits in a second.
    #[must_use]
    pub fn commits_per_second(&self) -> f64 {
        self.commits as f64 / self.elapsed.as_secs_f64()
    }
}

/// Lets a number of callers commit, each to a run of its own, for a span.
///
/// # Errors
/// [`StoreError`] of the first call that fails, also if a commit is refused.
///
/// # Panics
/// If a caller panics.
pub async fn commit_rate(store: Arc<dyn RunStore>, committers: usize, span: Duration) -> Result<Rate, StoreError> {
    let begin = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..committers {
        callers.spawn(commit_until(store.clone(), caller as u64, begin + span));
    }
    let commits = callers.join_all().await.into_iter().sum::<Result<u64, StoreError>>()?;
    Ok(Rate { committers, commits, elapsed: begin.elapsed() })
}

async fn commit_until(store: Arc<dyn RunStore>, n: u64, end: Instant) -> Result<u64, StoreError> {
    let run = given::run_id(n);
    store.create(given::new_run(n)).await?;
    let (mut commits, mut expected) = (0, 2);
    while Instant::now() < end {
        let mut commit = given::commit(run, 1, expected, EVENTS);
        commit.events.iter_mut().for_each(|event| event.blob = Bytes::from_static(&[0; EVENT_BYTES]));
        if store.commit(vec![commit]).await? != [CommitOutcome::Committed] {
            return Err(StoreError::Permanent("refused".to_string()));
        }
        commits += 1;
        expected += EVENTS;
    }
    Ok(commits)
}
