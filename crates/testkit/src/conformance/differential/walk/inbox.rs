//! Commands that wait, and what becomes of them.

use tutti_core::ids::RequestId;
use tutti_core::limits::SLOTS;
use tutti_core::ports::inbox::{Consumed, InboxItem};
use tutti_core::time::Timestamp;

use super::super::{Operation, RUNS};
use super::Walk;
use crate::given::run_id;

/// Few, so that they are posted again.
const REQUESTS: u64 = 3;

impl Walk {
    /// Posts, mostly, or asks.
    pub(super) fn inbox(&mut self) -> Operation {
        match self.rng.below(8) {
            0..=3 => Operation::Post(self.item()),
            4 | 5 => Operation::Pending(self.slots(), [0, 1, 3, usize::MAX][self.rng.below(4) as usize]),
            6 => Operation::Outcome(self.run(), self.request()),
            _ => Operation::ForgetOutcomes(self.moment()),
        }
    }

    /// What a commit consumes, whether it waits or not.
    pub(super) fn consumed(&mut self) -> Vec<Consumed> {
        let count = [0, 0, 1, 3][self.rng.below(4) as usize];
        (0..count).map(|_| Consumed { request: self.request(), at: self.moment(), outcome: self.bytes() }).collect()
    }

    /// Each at a moment of its own, because items of one moment have no order.
    fn item(&mut self) -> InboxItem {
        self.posted += 1;
        let at = Timestamp::from_micros((self.posted * 7_919 % 10_007) as i64 - 5_000);
        InboxItem { run: self.run(), request: self.request(), at, blob: self.bytes() }
    }

    fn request(&mut self) -> RequestId {
        RequestId::from_u128(u128::from(self.rng.below(REQUESTS)))
    }

    fn moment(&mut self) -> Timestamp {
        Timestamp::from_micros(self.rng.below(12) as i64 - 6)
    }

    /// All of them, or those of some of the runs.
    fn slots(&mut self) -> Vec<u16> {
        if self.rng.percent(50) {
            return (0..SLOTS).collect();
        }
        let mut slots: Vec<u16> = (1..=RUNS).filter(|_| self.rng.percent(40)).map(|n| run_id(n).slot()).collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }
}
