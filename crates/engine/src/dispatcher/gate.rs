//! Bounds on attempts: how many at once, and how many in a span.

use tutti_core::ports::agent::CallLimits;
use tutti_core::time::Timestamp;

/// When an attempt may begin. Of what must all be given, the greatest counts; of alternatives the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Opening {
    /// Now.
    Now,
    /// At this moment, as it looks now.
    At(Timestamp),
    /// When some attempt has ended.
    OnEnd,
}

/// What is under way, and how fast it came, against limits.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gate {
    in_flight: u32,
    /// When the next one would come if all had come evenly (the theoretical arrival time of GCRA, the token bucket that
    /// needs one number).
    even: Timestamp,
}

impl Gate {
    /// Attempts under way.
    pub(super) const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// When an attempt may begin.
    pub(super) fn opening(&self, limits: &CallLimits, now: Timestamp) -> Opening {
        if limits.max_in_flight.is_some_and(|most| self.in_flight >= most.get()) {
            return Opening::OnEnd;
        }
        let Some(rate) = limits.rate else { return Opening::Now };
        let at = self.even.minus(rate.interval() * (rate.calls() - 1));
        // A clock that was set back is not waited for.
        if at <= now { Opening::Now } else { Opening::At(at.min(now.plus(rate.per()))) }
    }

    /// An attempt begins.
    pub(super) fn enter(&mut self, limits: &CallLimits, now: Timestamp) {
        self.in_flight += 1;
        if let Some(rate) = limits.rate {
            self.even = self.even.max(now).min(now.plus(rate.per())).plus(rate.interval());
        }
    }

    /// An attempt goes on that came in before.
    pub(super) const fn go_on(&mut self) {
        self.in_flight += 1;
    }

    /// An attempt has ended.
    pub(super) const fn leave(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// One that entered was not begun.
    pub(super) fn undo(&mut self, limits: &CallLimits) {
        self.leave();
        if let Some(rate) = limits.rate {
            self.even = self.even.minus(rate.interval());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn limits(json: &str) -> CallLimits {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn so_many_at_once() {
        let (mut gate, limits) = (Gate::default(), limits(r#"{"max_in_flight":2}"#));
        gate.enter(&limits, at(0));
        assert_eq!(gate.opening(&limits, at(0)), Opening::Now);
        gate.enter(&limits, at(0));
        assert_eq!(gate.opening(&limits, at(99)), Opening::OnEnd);
        gate.leave();
        assert_eq!((gate.opening(&limits, at(99)), gate.in_flight()), (Opening::Now, 1));
    }

    #[test]
    fn so_many_in_a_span_and_a_rest_saves_no_more_than_one_spans_worth() {
        let (mut gate, limits) = (Gate::default(), limits(r#"{"rate":"4/s"}"#));
        for now in [100_000, 200_000] {
            for _ in 0..4 {
                assert_eq!(gate.opening(&limits, at(now)), Opening::Now);
                gate.enter(&limits, at(now));
            }
            assert_eq!(gate.opening(&limits, at(now)), Opening::At(at(now + 250)));
            assert_eq!(gate.opening(&limits, at(now + 250)), Opening::Now);
        }
        gate.undo(&limits);
        assert_eq!(gate.opening(&limits, at(200_000)), Opening::Now, "what was not begun does not count");
        gate.enter(&limits, at(200_000));
        assert_eq!(gate.opening(&limits, at(0)), Opening::At(at(1_000)), "a clock that was set back");
    }
}
