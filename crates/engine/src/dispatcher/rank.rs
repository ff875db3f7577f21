//! Who of several agents is asked first.

use std::cmp::Ordering;
use std::time::Duration;

use tutti_core::ports::inbound::agents::BreakerState;
use tutti_core::run::ChoiceReason;
use tutti_core::time::Timestamp;

use super::agent::Agent;
use super::learned::Learned;

/// Who of two is asked first: not silent, breaker closed, no failure in a row, not full by its own word; then the less
/// busy, the lower load that it tells, the higher success rate, the shorter time that it takes, and the name. One whose time is
/// not known is tried.
pub(super) fn compare(one: &Agent, other: &Agent, now: Timestamp) -> Ordering {
    decide(one, other, now).0
}

/// The same, and what decided.
pub(super) fn decide(one: &Agent, other: &Agent, now: Timestamp) -> (Ordering, ChoiceReason) {
    let healthy = |agent: &Agent| {
        let is_broken = agent.breaker(now) != BreakerState::Closed;
        (agent.is_silent(now), is_broken, agent.stats().failures_in_row > 0)
    };
    let in_flight = |agent: &Agent| agent.stats().in_flight;
    let load = |agent: &Agent| agent.load.unwrap_or_default();
    let ((failures, time), (other_failures, other_time)) = (learned(one), learned(other));
    let criteria = [
        (healthy(one).cmp(&healthy(other)), ChoiceReason::Healthy),
        (is_full(one).cmp(&is_full(other)), ChoiceReason::HasRoom),
        (in_flight(one).cmp(&in_flight(other)), ChoiceReason::LeastBusy),
        (load(one).total_cmp(&load(other)), ChoiceReason::LowerLoad),
        (failures.cmp(&other_failures), ChoiceReason::SuccessRate),
        (time.cmp(&other_time), ChoiceReason::Faster),
    ];
    let decided = criteria.into_iter().find(|(order, _)| order.is_ne());
    decided.unwrap_or_else(|| (one.record.id.cmp(&other.record.id), ChoiceReason::Name))
}

/// Whether it says that it can take no more.
fn is_full(agent: &Agent) -> bool {
    agent.load.is_some_and(|load| load >= 1.0)
}

/// The share of failures, in thousandths, and the time that an attempt takes.
fn learned(agent: &Agent) -> (u64, Duration) {
    let learned = agent.learned();
    let Learned { succeeded, failed, .. } = learned;
    (failed * 1_000 / (failed + succeeded).max(1), learned.latency().unwrap_or_default())
}
