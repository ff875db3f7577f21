//! The order of runs that wait for room.

use crate::limits::AGEING;
use crate::time::Timestamp;
use crate::workflow::Priority;

/// The place of a run in the queue, which goes by these moments: each priority has a head start over the next, so that high
/// goes before normal and normal before low, equals in the order in which they came, and one that waited long enough before
/// all. Nothing has to be counted up while it waits.
#[must_use]
pub fn turn(priority: Priority, now: Timestamp) -> Timestamp {
    let head_starts = match priority {
        Priority::High => 2,
        Priority::Normal => 1,
        Priority::Low => 0,
    };
    now.minus(AGEING * head_starts)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn high_goes_before_normal_before_low_and_who_waited_long_before_all() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let later = now.plus(Duration::from_secs(1));
        assert!(turn(Priority::High, later) < turn(Priority::Normal, now));
        assert!(turn(Priority::Normal, later) < turn(Priority::Low, now));
        assert!(turn(Priority::Normal, now) < turn(Priority::Normal, later), "equals as they came");
        let aged = later.plus(AGEING);
        assert!(turn(Priority::Normal, now) < turn(Priority::High, aged), "it waited longer than the head start");
        assert!(turn(Priority::Low, now) < turn(Priority::High, aged.plus(AGEING)));
    }
}
