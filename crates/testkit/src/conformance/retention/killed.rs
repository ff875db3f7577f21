//! A process that purges is killed at any moment, again and again. What all stores have in common of such a test; whose
//! process it is and how the store is opened is the adapter's.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use tutti_core::ids::RunId;
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::RunQuery;
use tutti_core::ports::retention::{Retention, Tombstone};
use tutti_core::ports::store::{CommitOutcome, Creation, NewRun, RunStore, Wake};
use tutti_core::value::PayloadRef;

use super::{moment, tombstone};
use crate::given::{commit, events, new_run, run_id};

/// Runs, every tenth of which is open.
const RUNS: u64 = 600;

/// Events of each run that has ended.
const EVENTS: u64 = 5;

/// Runs that one call purges.
const PAGE: usize = 7;

/// Creates runs, most of which have ended.
///
/// # Panics
/// If that fails.
pub async fn fill<S: RunStore + PayloadStore + 'static>(store: &Arc<S>) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 1..=RUNS {
        let store = store.clone();
        tasks.spawn(async move {
            let mut new = NewRun { events: events(1, EVENTS), ..new_run(n) };
            if !is_open(n) {
                (new.wake, new.summary.ended_at) = (Wake::Never, Some(moment(10)));
            }
            store.put(new.run, payload(n)).await.unwrap();
            assert_eq!(store.create(new).await, Ok(Creation::Created));
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

/// Purges whatever has ended, and tells of each run whose purge was acknowledged; ends when nothing is left.
///
/// # Panics
/// If a call fails.
pub async fn purge<S: Retention>(store: &S, tell: impl Fn(RunId)) {
    for page in all_ended().chunks(PAGE) {
        let gone = store.purge(page.to_vec()).await.unwrap();
        page.iter().zip(gone).filter(|(_, gone)| *gone).for_each(|(stone, _)| tell(stone.run));
    }
}

/// Tells [`killed_after`] of a run.
///
/// # Panics
/// If nobody listens.
pub fn tell_parent(run: RunId) {
    std::io::stderr().write_all(format!("{run}\n").as_bytes()).unwrap();
}

/// Has this program's test of a name purge, in a process of its own with this variable set, until it has told of so many
/// runs; kills it then. What it told.
///
/// # Panics
/// If it says something else.
#[must_use]
pub fn killed_after(test: &str, (variable, value): (&str, &str), purges: usize) -> Vec<RunId> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(variable, value)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut told = Vec::new();
    let parsed = |line: String| line.parse::<RunId>().unwrap_or_else(|_| panic!("it says: {line}"));
    told.extend(lines.by_ref().take(purges).map(|line| parsed(line.unwrap())));
    child.kill().unwrap();
    // What it said before it died counts as well; its last line may be cut.
    told.extend(lines.map_while(Result::ok).filter_map(|line| line.parse::<RunId>().ok()));
    child.wait().unwrap();
    told
}

/// Each run is whole or gone as a whole; how many are gone.
///
/// # Panics
/// If it is not so.
pub async fn check<S: RunQuery + PayloadStore + Retention>(store: &S, told: &[RunId]) -> u64 {
    let mut gone = 0;
    for n in 1..=RUNS {
        let (run, at) = (run_id(n), PayloadRef::to(&payload(n)));
        let is_there = store.find(&new_run(n).namespace, run).await.unwrap().is_some();
        let history = store.events(run, 1, usize::MAX).await.unwrap();
        let stone = store.tombstone(&new_run(n).namespace, run).await.unwrap();
        assert_eq!(history.len() as u64, if is_there { EVENTS } else { 0 }, "run {n}");
        assert_eq!(store.get(run, at).await.unwrap().is_some(), is_there, "the payload of run {n}");
        assert_eq!(stone.is_none(), is_there, "the tombstone of run {n}");
        assert!(is_there || !is_open(n), "run {n} is open");
        assert!(!is_there || !told.contains(&run), "the purge of run {n} was acknowledged");
        gone += u64::from(!is_there);
    }
    gone
}

/// All that have ended are gone, and those that are open go on.
///
/// # Panics
/// If it is not so.
pub async fn check_end<S: RunStore + RunQuery + PayloadStore + Retention>(store: &S) {
    assert_eq!(check(store, &[]).await, all_ended().len() as u64);
    for n in (1..=RUNS).filter(|n| is_open(*n)) {
        let next = commit(run_id(n), 1, EVENTS, 1);
        assert_eq!(store.commit(vec![next]).await, Ok(vec![CommitOutcome::Committed]));
    }
}

fn all_ended() -> Vec<Tombstone> {
    let ended = (1..=RUNS).filter(|n| !is_open(*n));
    ended.map(|n| Tombstone { last_seq: EVENTS, ..tombstone(new_run(n).namespace, run_id(n), 10) }).collect()
}

const fn is_open(n: u64) -> bool {
    n.is_multiple_of(10)
}

fn payload(n: u64) -> Bytes {
    Bytes::from(n.to_string().repeat(500))
}
