//! Sequences of events as no agent should send them.

mod property;

use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_events_lead_to_an_answer_or_an_error(bytes in vec(any::<u8>(), 0..300)) {
        property::agent_events(&bytes);
    }
}
