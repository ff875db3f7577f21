//! The engine's side of telemetry: what it tells is queued, and what does not fit is noted.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use tutti_core::ids::RunId;
use tutti_core::ports::observer::{CommitSample, Observer};
use tutti_core::ports::store::Commit;
use tutti_core::run::{Event, Recorded};
use tutti_core::time::Timestamp;

use super::builder::Committed;
use super::metrics::Metrics;
use super::runs;

/// What the engine tells that waits for its turn.
pub const QUEUE: usize = 65_536;

/// Most runs that are remembered as those of which something is missing.
const MAX_MISSED: usize = 100_000;

/// What the engine tells.
pub enum Note {
    /// An event is durable.
    Recorded(RunId, Arc<Recorded>),
    /// The store was asked to commit a batch.
    Committed(Box<CommitNote>),
    /// Nothing follows: what is known is to be exported.
    Stop(oneshot::Sender<()>),
}

/// A batch that the store was asked to commit.
pub struct CommitNote {
    /// How long the store took, in seconds.
    pub seconds: f64,
    /// True if the store answered.
    pub answered: bool,
    /// The runs in it.
    pub commits: Vec<(RunId, Committed)>,
}

/// Runs of which the queue had no room for something. Their events stand in the store.
#[derive(Debug, Default)]
pub struct Missed(Mutex<HashSet<RunId>>);

impl Missed {
    /// Notes a run; false if there is no room for it either.
    pub fn add(&self, run: RunId) -> bool {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = runs.len() < MAX_MISSED;
        if has_room {
            runs.insert(run);
        }
        has_room
    }

    /// Takes what was noted.
    pub fn take(&self) -> HashSet<RunId> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Is told what the engine does, and queues it for the worker.
pub struct Queue {
    pub notes: mpsc::Sender<Note>,
    pub missed: Arc<Missed>,
    pub metrics: Metrics,
}

impl Observer for Queue {
    fn recorded(&self, run: RunId, event: &Arc<Recorded>) {
        if let Event::RunCreated(created) = &event.event {
            runs::begin(created);
        }
        if self.notes.try_send(Note::Recorded(run, event.clone())).is_err() {
            self.metrics.dropped("event", 1);
            if !self.missed.add(run) {
                self.metrics.dropped("run", 1);
            }
        }
    }

    fn committed(&self, commits: &[Commit], sample: CommitSample) {
        let end = now();
        let start = Timestamp::from_micros(end.as_micros().saturating_sub(micros(sample.took.as_micros())));
        let committed = |commit: &Commit| {
            let events = commit.events.len() as u64;
            let bytes = commit.events.iter().map(|event| event.blob.len() as u64).sum();
            let batch_runs = commits.len() as u64;
            (commit.run, Committed { first_seq: commit.expected + 1, events, bytes, batch_runs, start, end })
        };
        let note = CommitNote {
            seconds: sample.took.as_secs_f64(),
            answered: sample.answered,
            commits: commits.iter().map(committed).collect(),
        };
        if self.notes.try_send(Note::Committed(Box::new(note))).is_err() {
            self.metrics.dropped("commit", 1);
        }
    }
}

/// What time it is.
pub fn now() -> Timestamp {
    Timestamp::from_micros(micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()))
}

fn micros(micros: u128) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}
