//! How fast a store commits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;
use tutti_core::ids::{RequestId, RunId};
use tutti_core::ports::query::RunSummary;
use tutti_core::ports::store::{Commit, CommitOutcome, EncodedEvent, NewRun, RunStore, StoreError, Wake};
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;
use tutti_core::value::Digest;

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
        callers.spawn(commit_until(store.clone(), (committers << 32 | caller) as u64, begin + span));
    }
    let commits = callers.join_all().await.into_iter().sum::<Result<u64, StoreError>>()?;
    Ok(Rate { committers, commits, elapsed: begin.elapsed() })
}

async fn commit_until(store: Arc<dyn RunStore>, n: u64, end: Instant) -> Result<u64, StoreError> {
    let mut random = [1; 10];
    random[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let run = RunId::new(1_700_000_000_000 + (n & 0xffff), random);
    store.create(new_run(run, n)).await?;
    let mut expected = EVENTS;
    while Instant::now() < end {
        let commit = Commit {
            run,
            epoch: 1,
            expected,
            commit_id: u128::from(expected) << 64 | u128::from(n),
            events: events(expected + 1),
            summary: None,
            wake: Wake::Active,
            min_reader: 1,
        };
        if store.commit(vec![commit]).await? != [CommitOutcome::Committed] {
            return Err(StoreError::Permanent("refused".to_string()));
        }
        expected += EVENTS;
    }
    Ok(expected / EVENTS - 1)
}

fn new_run(run: RunId, n: u64) -> NewRun {
    let definition = Bytes::from_static(b"measured");
    let hash = Digest::of(&definition);
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    NewRun {
        namespace: Default::default(),
        run,
        request: RequestId::from_u128(u128::from(n)),
        definition: (hash, definition),
        events: events(1),
        summary: RunSummary {
            run,
            workflow: "measured".parse().expect("a good name"),
            version: String::new(),
            definition: hash,
            status: RunStatus::Running,
            steps: 0,
            completed: 0,
            failed: 0,
            created_at: now,
            updated_at: now,
            ended_at: None,
            error: None,
        },
        wake: Wake::Active,
        min_reader: 1,
        commit_id: u128::from(n),
    }
}

fn events(from: u64) -> Vec<EncodedEvent> {
    static BLOB: [u8; EVENT_BYTES] = [0; EVENT_BYTES];
    let at = Timestamp::from_micros(1_700_000_000_000_000);
    let event = |seq| EncodedEvent { seq, at, kind: 40, version: 1, blob: Bytes::from_static(&BLOB) };
    (from..from + EVENTS).map(event).collect()
}
