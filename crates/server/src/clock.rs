//! The system's clock and its source of randomness.

use std::time::{SystemTime, UNIX_EPOCH};

use tutti_core::ports::clock::Clock;
use tutti_core::time::Timestamp;
use uuid::Uuid;

/// The clock that runs are driven by.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock before 1970 is as wrong as one at 1970.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }

    fn random(&self) -> u128 {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the system has a source of randomness");
        u128::from_ne_bytes(bytes)
    }
}

impl SystemClock {
    /// A new random id (UUID version 4, RFC 9562) for a request.
    pub fn request_id(self) -> Uuid {
        uuid::Builder::from_random_bytes(self.random().to_ne_bytes()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_contract_of_clocks() {
        tutti_testkit::conformance::clock::check(&SystemClock);
    }

    #[test]
    fn request_ids_differ_and_time_is_later_than_this_source() {
        assert_ne!(SystemClock.request_id(), SystemClock.request_id());
        assert!(SystemClock.now() > Timestamp::from_micros(1_700_000_000_000_000));
    }
}
