//! The contract of [`Clock`].

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tutti_core::ports::clock::Clock;

/// Draws enough for every bit to have been both 0 and 1, but for a chance of one in 2^1000.
const DRAWS: usize = 1_000;

/// Checks a clock: it tells the time without waiting, and what it draws differs in every bit.
///
/// # Panics
/// If the contract does not hold.
pub fn check(clock: &dyn Clock) {
    let start = Instant::now();
    let first = clock.now();
    for _ in 0..10_000 {
        let _ = clock.now();
    }
    assert!(start.elapsed() < Duration::from_secs(5), "10,000 readings took {:?}", start.elapsed());
    // Clocks are set while they run, but not by years within a test.
    let apart = clock.now().as_micros().abs_diff(first.as_micros());
    assert!(apart < 365 * 24 * 3600 * 1_000_000, "two readings are {apart} µs apart");

    let draws: Vec<u128> = (0..DRAWS).map(|_| clock.random()).collect();
    let different: HashSet<u128> = draws.iter().copied().collect();
    assert_eq!(different.len(), DRAWS, "a number was drawn twice");
    let ones = draws.iter().fold(0, |ones, draw| ones | draw);
    let zeros = draws.iter().fold(0, |zeros, draw| zeros | !draw);
    assert_eq!((ones, zeros), (u128::MAX, u128::MAX), "a bit is never drawn otherwise");
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tutti_core::time::Timestamp;

    use super::*;
    use crate::sim::Rng;

    struct Steady(Mutex<Rng>, u128);

    impl Clock for Steady {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(1)
        }

        fn random(&self) -> u128 {
            self.0.lock().expect("no other thread").bits() & self.1
        }
    }

    #[test]
    fn a_good_clock_passes() {
        check(&Steady(Mutex::new(Rng::new(1)), u128::MAX));
    }

    #[test]
    #[should_panic(expected = "a bit is never drawn otherwise")]
    fn a_bit_that_is_always_the_same_is_found() {
        check(&Steady(Mutex::new(Rng::new(1)), u128::MAX >> 1));
    }
}
