//! What calls teach about an agent: how often they end well, and how long that takes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Share of the newest attempt in the moving average of the time.
const NEWEST: f64 = 0.2;

/// Attempts that a moving average stands for at most, where averages are put together.
const MEMORY: u64 = 20;

/// What one server, or several together, learned about an agent.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Learned {
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Moving average of the time that successful attempts took, in microseconds; 0 before the first.
    micros: f64,
}

impl Learned {
    /// An attempt ended well, after so long if that is known.
    pub(super) fn well(&mut self, took: Option<Duration>) {
        self.succeeded += 1;
        if let Some(took) = took {
            let micros = took.as_secs_f64() * 1e6;
            self.micros = if self.micros > 0.0 { self.micros + NEWEST * (micros - self.micros) } else { micros };
        }
    }

    /// An attempt failed.
    pub(super) const fn badly(&mut self) {
        self.failed += 1;
    }

    /// The share of attempts that ended well; `None` before the first.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        let ended = self.succeeded + self.failed;
        (ended > 0).then(|| self.succeeded as f64 / ended as f64)
    }

    /// How long a successful attempt takes; `None` if that is not known.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        (self.micros > 0.0).then(|| Duration::from_micros(self.micros as u64))
    }

    /// What two have learned.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let weight = |learned: &Self| if learned.micros > 0.0 { learned.succeeded.min(MEMORY) as f64 } else { 0.0 };
        let (one, two) = (weight(&self), weight(&other));
        let micros = (self.micros * one + other.micros * two) / (one + two).max(1.0);
        Self { succeeded: self.succeeded + other.succeeded, failed: self.failed + other.failed, micros }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(times: &[u64], failed: u64) -> Learned {
        let mut learned = Learned { failed, ..Learned::default() };
        times.iter().for_each(|millis| learned.well(Some(Duration::from_millis(*millis))));
        learned
    }

    #[test]
    fn the_newest_attempts_count_most() {
        let mut learned = learned(&[100], 0);
        assert_eq!(learned.latency(), Some(Duration::from_millis(100)));
        learned.well(Some(Duration::from_millis(200)));
        assert_eq!(learned.latency(), Some(Duration::from_millis(120)));
        learned.well(None);
        learned.badly();
        assert_eq!((learned.latency(), learned.success_rate()), (Some(Duration::from_millis(120)), Some(0.75)));
        (0..50).for_each(|_| learned.well(Some(Duration::from_millis(10))));
        assert!(learned.latency() < Some(Duration::from_millis(11)));
    }

    #[test]
    fn what_two_have_learned_is_put_together_by_how_much_it_is() {
        let (many, few, none) = (learned(&[100; 40], 0), learned(&[200; 5], 5), Learned::default());
        let both = many.and(few);
        assert_eq!((both.succeeded, both.failed, both.latency()), (45, 5, Some(Duration::from_millis(120))));
        assert_eq!((many.and(none), none.and(few)), (many, few));
        assert_eq!((none.and(none).latency(), none.success_rate()), (None, None));
    }
}
