//! Sharing slots in memory, by a clock that is set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tutti_adapters_memory::MemoryFleet;
use tutti_core::ports::clock::Clock;
use tutti_core::time::Timestamp;
use tutti_testkit::conformance::fleet::{Subject, Time};

tutti_testkit::fleet_conformance!(|| async {
    let hands = Arc::new(Hands::default());
    Subject::new(MemoryFleet::new(hands.clone()), Set(hands))
});

/// A clock that moves when it is set.
#[derive(Default)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }

    fn random(&self) -> u128 {
        unreachable!("nothing is drawn")
    }
}

struct Set(Arc<Hands>);

#[async_trait::async_trait]
impl Time for Set {
    async fn pass(&self, span: Duration) {
        self.0.0.fetch_add(span.as_micros() as i64, Ordering::SeqCst);
    }
}
