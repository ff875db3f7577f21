//! Attempts that an engine carries out, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// Counts attempts; each figure is right by itself.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    active: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    micros: AtomicU64,
}

/// Attempts that an engine carried out since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttemptFigures {
    /// Under way.
    pub active: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Failed.
    pub failed: u64,
    /// Time that those which ended took together.
    pub time: Duration,
}

impl Tally {
    pub(crate) fn begin(self: Arc<Self>) -> Timed {
        self.active.fetch_add(1, Relaxed);
        Timed { tally: self, began: Instant::now() }
    }

    pub(crate) fn figures(&self) -> AttemptFigures {
        AttemptFigures {
            active: self.active.load(Relaxed),
            succeeded: self.succeeded.load(Relaxed),
            failed: self.failed.load(Relaxed),
            time: Duration::from_micros(self.micros.load(Relaxed)),
        }
    }
}

/// An attempt under way; one that is dropped without an end was stopped, and counts as neither.
pub(crate) struct Timed {
    tally: Arc<Tally>,
    began: Instant,
}

impl Timed {
    pub(crate) fn end(self, success: bool) {
        let count = if success { &self.tally.succeeded } else { &self.tally.failed };
        count.fetch_add(1, Relaxed);
        self.tally.micros.fetch_add(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX), Relaxed);
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        self.tally.active.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempts_are_counted_by_their_end() {
        let tally = Arc::new(Tally::default());
        let (well, badly, stopped) = (tally.clone().begin(), tally.clone().begin(), tally.clone().begin());
        assert_eq!(tally.figures(), AttemptFigures { active: 3, ..AttemptFigures::default() });
        tokio::time::advance(Duration::from_millis(5)).await;
        well.end(true);
        badly.end(false);
        drop(stopped);
        let time = Duration::from_millis(10);
        assert_eq!(tally.figures(), AttemptFigures { active: 0, succeeded: 1, failed: 1, time });
    }
}
