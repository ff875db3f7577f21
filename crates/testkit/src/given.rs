//! Runs, commits and events made by hand, for tests of stores. Their events are no real history.

#![expect(clippy::unwrap_used, reason = "the names are good")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tutti_core::ids::{RequestId, RunId};
use tutti_core::limits::SLOTS;
use tutti_core::ports::query::RunSummary;
use tutti_core::ports::store::{Claimer, Commit, Due, DueRuns, EncodedEvent, NewRun, Wake};
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;
use tutti_core::value::Digest;

/// Where the ids of runs begin, in milliseconds since the Unix epoch.
const START: u64 = 1_700_000_000_000;

/// Who claims a run for the first time, and understands every one.
pub const READS: Claimer = Claimer::reading(u16::MAX);

/// A run id; greater for greater numbers.
#[must_use]
pub fn run_id(n: u64) -> RunId {
    let mut random = [0x5a; 10];
    random[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    RunId::new(START + n, random)
}

/// A name of a commit that no other has, of this process or another.
#[must_use]
pub fn commit_id() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed)) << 64 | u128::from(std::process::id())
}

/// An event with a body of the form that real ones have.
#[must_use]
pub fn event(seq: u64) -> EncodedEvent {
    let at = Timestamp::from_micros(1_700_000_000_000_000 + seq as i64);
    let blob = Bytes::from(format!("\0\0\0{{\"n\":{seq}}}"));
    EncodedEvent { seq, at, kind: 40, version: 1, blob }
}

/// Events with numbers in a row.
#[must_use]
pub fn events(from: u64, count: u64) -> Vec<EncodedEvent> {
    (from..from + count).map(event).collect()
}

/// What lists show of a run that has just begun.
#[must_use]
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
        key: None,
        session: None,
        labels: BTreeMap::new(),
    }
}

/// A run with two first events, active, in the default namespace.
#[must_use]
pub fn new_run(n: u64) -> NewRun {
    let run = run_id(n);
    NewRun {
        namespace: "default".parse().unwrap(),
        run,
        request: RequestId::from_u128(u128::from(n)),
        key: None,
        definition: (Digest::of(b"a workflow"), Bytes::from_static(b"a workflow")),
        events: events(1, 2),
        summary: summary(run),
        wake: Wake::Active,
        min_reader: 1,
        commit_id: commit_id(),
    }
}

/// A commit of some events; the run stays active.
#[must_use]
pub fn commit(run: RunId, epoch: u64, expected: u64, count: u64) -> Commit {
    Commit {
        run,
        epoch,
        expected,
        commit_id: commit_id(),
        events: events(expected + 1, count),
        summary: None,
        wake: Wake::Active,
        consumed: Vec::new(),
        min_reader: 1,
    }
}

/// Every run of all slots that has work in progress.
#[must_use]
pub fn active() -> DueRuns {
    DueRuns { slots: (0..SLOTS).collect(), due: Due::Active(None), reads: READS.reads, limit: usize::MAX }
}

/// Every run of all slots that waits for a moment until this one.
#[must_use]
pub fn waiting_until(micros: i64) -> DueRuns {
    DueRuns { due: Due::Until(Timestamp::from_micros(micros)), ..active() }
}
