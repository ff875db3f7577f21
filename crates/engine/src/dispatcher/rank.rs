//! Who of several agents is asked first.

use std::cmp::Ordering;

use tutti_core::ports::inbound::agents::BreakerState;
use tutti_core::time::Timestamp;

use super::agent::{Agent, AgentStats};

/// Who of two is asked first: not silent, breaker closed, no failure in a row, not full by its own word; then the less
/// busy, the lower load that it tells, the higher success rate, and the name.
pub(super) fn compare(one: &Agent, other: &Agent, now: Timestamp) -> Ordering {
    let coarse = |agent: &Agent| {
        let stats = agent.stats();
        let is_broken = agent.breaker(now) != BreakerState::Closed;
        (agent.is_silent(now), is_broken, stats.failures_in_row > 0, is_full(agent), stats.in_flight)
    };
    let load = |agent: &Agent| agent.load.unwrap_or_default();
    coarse(one)
        .cmp(&coarse(other))
        .then_with(|| load(one).total_cmp(&load(other)))
        .then_with(|| failure_rate(one).cmp(&failure_rate(other)))
        .then_with(|| one.record.id.cmp(&other.record.id))
}

/// Whether it says that it can take no more.
fn is_full(agent: &Agent) -> bool {
    agent.load.is_some_and(|load| load >= 1.0)
}

/// In thousandths.
fn failure_rate(agent: &Agent) -> u64 {
    let AgentStats { succeeded, failed, .. } = agent.stats();
    failed * 1_000 / (failed + succeeded).max(1)
}
