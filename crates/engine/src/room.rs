//! How many runs are driven here, and how many may be.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};
use tutti_core::ids::Namespace;
use tutti_core::limits::{DEFAULT_LIVE_RUNS, DEFAULT_QUEUED_RUNS, LOADS, REST};

/// How often is looked whether there is room, by who waits for it.
const LOOK: Duration = Duration::from_millis(20);

/// How long it counts how many runs of a namespace wait.
const COUNTED: Duration = Duration::from_secs(1);

/// Which runs are kept in memory. The others are in the store until their turn, their moment or an input comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Residency {
    /// Runs that are driven at once.
    pub max_live: usize,
    /// Runs of a namespace that may wait in the queue.
    pub max_queued: u64,
    /// A run that has nothing to do for longer than this leaves memory.
    pub rest: Duration,
}

impl Default for Residency {
    fn default() -> Self {
        Self { max_live: DEFAULT_LIVE_RUNS, max_queued: DEFAULT_QUEUED_RUNS, rest: REST }
    }
}

/// How much room there is.
#[derive(Debug)]
pub(crate) struct Room {
    residency: Option<Residency>,
    /// Runs of each lane.
    lanes: Vec<AtomicUsize>,
    /// Runs wait in the store: new ones go behind them.
    is_awaited: AtomicBool,
    /// Who loads a run takes one, whatever it is loaded for.
    loads: Semaphore,
    /// Who counts holds it: the others wait for what it tells, and do not all count the same.
    counting: tokio::sync::Mutex<()>,
    /// How many runs of a namespace wait, and since when that is known.
    queued: Mutex<HashMap<Namespace, (Instant, u64)>>,
}

impl Room {
    pub(crate) fn new(residency: Option<Residency>, lanes: usize) -> Self {
        let lanes = std::iter::repeat_with(AtomicUsize::default).take(lanes).collect();
        let loads = Semaphore::new(LOADS);
        let (is_awaited, counting, queued) = (AtomicBool::default(), Default::default(), Mutex::default());
        Self { residency, lanes, is_awaited, loads, counting, queued }
    }

    pub(crate) fn residency(&self) -> Option<Residency> {
        self.residency
    }

    /// A lane has so many runs.
    pub(crate) fn note(&self, lane: usize, runs: usize) {
        self.lanes[lane].store(runs, Ordering::Relaxed);
    }

    /// Runs that are driven here.
    pub(crate) fn live(&self) -> usize {
        self.lanes.iter().map(|runs| runs.load(Ordering::Relaxed)).sum()
    }

    /// Runs that there is room for.
    pub(crate) fn left(&self) -> usize {
        self.residency.map_or(usize::MAX, |residency| residency.max_live.saturating_sub(self.live()))
    }

    /// Waits until there is room for a run, and its turn to be loaded; it is loaded while what this answers is held.
    pub(crate) async fn to_load(&self) -> SemaphorePermit<'_> {
        let place = self.loads.acquire().await.expect("the semaphore is never closed");
        while self.left() == 0 {
            sleep(LOOK).await;
        }
        place
    }

    pub(crate) fn set_awaited(&self, is_awaited: bool) {
        self.is_awaited.store(is_awaited, Ordering::Relaxed);
    }

    /// True if a new run goes into the queue: there is no room for it, or others wait for what there is.
    pub(crate) fn must_queue(&self) -> bool {
        self.residency.is_some() && (self.is_awaited.load(Ordering::Relaxed) || self.left() == 0)
    }

    /// Whoever wants to know how many runs wait, and counts them if that is not known, does so while it holds this.
    pub(crate) async fn to_count(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.counting.lock().await
    }

    /// How many runs of a namespace wait, one more included that is about to; `None` if that must be counted anew.
    pub(crate) fn one_more(&self, namespace: &Namespace) -> Option<u64> {
        let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, count) = queued.get_mut(namespace).filter(|(since, _)| since.elapsed() < COUNTED)?;
        *count += 1;
        Some(*count)
    }

    /// So many runs of a namespace were counted.
    pub(crate) fn counted(&self, namespace: &Namespace, count: u64) {
        let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        queued.retain(|_, (since, _)| since.elapsed() < COUNTED);
        queued.insert(namespace.clone(), (Instant::now(), count));
    }
}
