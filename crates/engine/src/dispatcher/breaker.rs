//! A circuit breaker: an agent that fails again and again is left alone for a while, and then tried by one attempt.

use std::time::Duration;

use tutti_core::limits::{DEFAULT_BREAKER_FAILURES, DEFAULT_BREAKER_REST};
use tutti_core::ports::agent::AgentErrorKind;
use tutti_core::ports::inbound::agents::BreakerState;
use tutti_core::time::Timestamp;

use super::gate::Opening;

/// When breakers open, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that speak against an agent, after which its breaker opens; 0: it never does.
    pub failures: u32,
    /// How long the agent is not asked then, before one attempt tries it.
    pub rest: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { failures: DEFAULT_BREAKER_FAILURES, rest: DEFAULT_BREAKER_REST }
    }
}

/// The breaker of one agent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Breaker {
    state: State,
    opened: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// It is asked; so many failures in a row speak against it.
    Closed(u32),
    /// It is not asked before this moment, and by one attempt then.
    Open(Timestamp),
    /// That attempt is under way.
    Probed,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed(0)
    }
}

impl Breaker {
    /// When an attempt may begin.
    pub(super) fn opening(&self, now: Timestamp) -> Opening {
        match self.state {
            State::Open(until) if until > now => Opening::At(until),
            State::Closed(_) | State::Open(_) => Opening::Now,
            State::Probed => Opening::OnEnd,
        }
    }

    /// An attempt begins; true if it tries the agent.
    pub(super) const fn begin(&mut self) -> bool {
        let is_probe = matches!(self.state, State::Open(_));
        if is_probe {
            self.state = State::Probed;
        }
        is_probe
    }

    /// An attempt ended; `speaks`: for the agent, against it, or not at all. What began before the breaker opened says
    /// nothing any more.
    pub(super) fn end(&mut self, is_probe: bool, speaks: Option<bool>, policy: BreakerPolicy, now: Timestamp) {
        self.state = match (self.state, speaks) {
            (State::Probed, Some(true)) if is_probe => State::Closed(0),
            (State::Probed, Some(false)) if is_probe => self.open(policy, now),
            // It was abandoned: the next one tries the agent.
            (State::Probed, None) if is_probe => State::Open(now),
            (State::Closed(_), Some(true)) => State::Closed(0),
            (State::Closed(failures), Some(false)) => match failures.saturating_add(1) {
                failures if policy.failures > 0 && failures >= policy.failures => self.open(policy, now),
                failures => State::Closed(failures),
            },
            (state, _) => state,
        };
    }

    /// How it stands.
    pub(super) fn state(&self, now: Timestamp) -> BreakerState {
        match self.state {
            State::Closed(_) => BreakerState::Closed,
            State::Open(until) if until > now => BreakerState::Open { until },
            State::Open(_) | State::Probed => BreakerState::HalfOpen,
        }
    }

    /// How often it opened.
    pub(super) const fn opened(&self) -> u64 {
        self.opened
    }

    fn open(&mut self, policy: BreakerPolicy, now: Timestamp) -> State {
        self.opened += 1;
        State::Open(now.plus(policy.rest))
    }
}

/// What a failure says about the agent: against it, for it (it is there and answers), or nothing.
pub(super) const fn speaks(kind: AgentErrorKind) -> Option<bool> {
    use AgentErrorKind as Kind;
    match kind {
        Kind::Unavailable | Kind::Timeout | Kind::InvalidAnswer | Kind::Unauthorized => Some(false),
        Kind::Failed
        | Kind::Cancelled
        | Kind::Rejected
        | Kind::InvalidInput
        | Kind::Unsupported
        | Kind::EmptyAnswer
        | Kind::OutputFieldMissing => Some(true),
        // A busy agent is no broken one. The others came to be without it.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BreakerPolicy = BreakerPolicy { failures: 3, rest: Duration::from_secs(30) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn failed(breaker: &mut Breaker, times: usize, now: i64) {
        for _ in 0..times {
            let is_probe = breaker.begin();
            breaker.end(is_probe, Some(false), POLICY, at(now));
        }
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_attempt_tries_the_agent() {
        let mut breaker = Breaker::default();
        failed(&mut breaker, 2, 0);
        breaker.end(false, Some(true), POLICY, at(0));
        failed(&mut breaker, 2, 0);
        assert_eq!(breaker.opening(at(0)), Opening::Now, "a success in between");
        failed(&mut breaker, 1, 10);
        assert_eq!(breaker.state(at(10)), BreakerState::Open { until: at(40) });
        assert_eq!(breaker.opening(at(39)), Opening::At(at(40)));
        breaker.end(false, Some(true), POLICY, at(39));
        assert_eq!(breaker.opening(at(39)), Opening::At(at(40)), "it began before");
        assert_eq!((breaker.opening(at(40)), breaker.state(at(40))), (Opening::Now, BreakerState::HalfOpen));
        assert!(breaker.begin());
        assert_eq!((breaker.opening(at(99)), breaker.state(at(99))), (Opening::OnEnd, BreakerState::HalfOpen));
        breaker.end(true, Some(true), POLICY, at(99));
        assert_eq!((breaker.state(at(99)), breaker.opened()), (BreakerState::Closed, 1));
        failed(&mut breaker, 2, 99);
        assert_eq!(breaker.state(at(99)), BreakerState::Closed, "counted from the start");
    }

    #[test]
    fn a_failed_trial_opens_it_again_and_an_abandoned_one_makes_room_for_the_next() {
        let mut breaker = Breaker::default();
        failed(&mut breaker, 3, 0);
        assert!(breaker.begin());
        breaker.end(true, None, POLICY, at(31));
        assert_eq!(breaker.opening(at(31)), Opening::Now);
        assert!(breaker.begin());
        breaker.end(false, Some(true), POLICY, at(32));
        assert_eq!(breaker.opening(at(32)), Opening::OnEnd, "not the trial");
        breaker.end(true, Some(false), POLICY, at(40));
        assert_eq!((breaker.opening(at(69)), breaker.opened()), (Opening::At(at(70)), 2));
    }

    #[test]
    fn it_can_be_switched_off() {
        let mut breaker = Breaker::default();
        let off = BreakerPolicy { failures: 0, ..POLICY };
        (0..100).for_each(|_| breaker.end(false, Some(false), off, at(0)));
        assert_eq!(breaker.opening(at(0)), Opening::Now);
    }
}
