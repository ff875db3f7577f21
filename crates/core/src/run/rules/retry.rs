//! What follows a failed attempt: another agent at once, the same after a wait, or the end of the step. An agent that was busy
//! and said when to come back was asked in vain, which does not count.

use std::time::Duration;

use super::budget;
use crate::limits::MAX_UNCOUNTED_ATTEMPTS;
use crate::plan::StepIndex;
use crate::ports::agent::{AgentError, AgentErrorKind, Retry};
use crate::run::event::{AttemptFailed, Event, Failure, StepFailed, StepHeld, StepRecovered};
use crate::run::state::RunState;
use crate::time::Timestamp;
use crate::workflow::{OnError, RetryPolicy};

/// The events after attempt number `attempt` of a step failed.
pub(super) fn after_failure(
    state: &RunState,
    index: StepIndex,
    attempt: u32,
    error: &AgentError,
    other_agent: bool,
    chance: f64,
    now: Timestamp,
) -> Vec<Event> {
    let policy = &state.plan().step(index).own_retry();
    let step = state.plan().path(index);
    let undoes = state.plan().undone_by(index).is_some();
    let is_under_way = state.open_attempt(index).is_some();
    if state.is_asked_once(index) && is_under_way && error.leaves_open() {
        let error = Failure::from(error);
        return vec![Event::StepHeld(StepHeld { step, attempt, error, outcome_unknown: true, answer: None })];
    }
    let uncounted = state.step(index).uncounted;
    let rest = error.rest().filter(|_| uncounted < MAX_UNCOUNTED_ATTEMPTS);
    let (retry_at, new_round) = match error.kind.retry() {
        // What comes of it is still of use; another try is not.
        _ if state.undoing().is_some() && !undoes => (None, false),
        _ if let Some(rest) = rest => (Some(if other_agent { now } else { now.plus(rest) }), false),
        _ if attempt - uncounted >= policy.max_attempts => (None, false),
        Retry::Never => (None, false),
        Retry::Again | Retry::Elsewhere if other_agent => (Some(now), false),
        Retry::Elsewhere => (None, false),
        // It has answered, and is told at once what was not good enough.
        Retry::Again if error.kind == AgentErrorKind::QualityBelow => (Some(now), true),
        Retry::Again => {
            let wait = backoff(policy, state.step(index).rounds, chance);
            (Some(now.plus(wait.max(error.retry_after.unwrap_or_default()))), true)
        }
    };
    let too_late = |at: Timestamp| time_is_up(state, index).is_some_and(|end| at >= end);
    let (retry_at, new_round) = if retry_at.is_some_and(too_late) { (None, false) } else { (retry_at, new_round) };
    let failure = Failure::from(error);
    let failed = AttemptFailed {
        step: step.clone(),
        attempt,
        error: failure.clone(),
        retry_at,
        new_round,
        uncounted: rest.is_some() && retry_at.is_some(),
        usage: error.usage.clone().or_else(|| budget::unused(state, index, error)),
    };
    let mut events = vec![Event::AttemptFailed(failed)];
    if retry_at.is_none() {
        events.push(for_good(state, index, attempt, failure, now));
    }
    events
}

/// The events after an attempt that is the last one, whatever the policy says.
pub(super) fn for_good_at(
    state: &RunState,
    index: StepIndex,
    attempt: u32,
    error: &AgentError,
    now: Timestamp,
) -> Vec<Event> {
    let (step, failure) = (state.plan().path(index), Failure::from(error));
    let failed = AttemptFailed {
        step,
        attempt,
        error: failure.clone(),
        retry_at: None,
        new_round: false,
        uncounted: false,
        usage: error.usage.clone(),
    };
    vec![Event::AttemptFailed(failed), for_good(state, index, attempt, failure, now)]
}

/// What follows when no attempt is left.
fn for_good(state: &RunState, index: StepIndex, attempt: u32, error: Failure, now: Timestamp) -> Event {
    let step = state.plan().path(index);
    let undoes = state.plan().undone_by(index).is_some();
    let recovery = state.step(index).recoveries + 1;
    match state.on_error(index) {
        _ if undoes => Event::StepHeld(StepHeld { step, attempt, error, outcome_unknown: false, answer: None }),
        _ if state.undoing().is_some() => Event::StepFailed(StepFailed { step, error }),
        _ if error.kind == AgentErrorKind::Undecided => {
            Event::StepHeld(StepHeld { step, attempt, error, outcome_unknown: false, answer: None })
        }
        OnError::Escalate => Event::StepHeld(StepHeld { step, attempt, error, outcome_unknown: false, answer: None }),
        OnError::Retry if recovery <= state.plan().workflow().recoveries => {
            let at = now.plus(state.plan().step(index).retry.max_backoff.0);
            Event::StepRecovered(StepRecovered { step, recovery, at })
        }
        _ => Event::StepFailed(StepFailed { step, error }),
    }
}

/// When the time of all attempts of a step together is up.
fn time_is_up(state: &RunState, index: StepIndex) -> Option<Timestamp> {
    let total = state.plan().step(index).total_timeout?;
    Some(state.step(index).began_at?.plus(total.0))
}

/// The wait after `rounds` earlier rounds and one more: exponential, capped, and a share of it drawn by chance.
fn backoff(policy: &RetryPolicy, rounds: u32, chance: f64) -> Duration {
    let most = policy.max_backoff.0.as_secs_f64();
    let rounds = i32::try_from(rounds).unwrap_or(i32::MAX);
    let full = (policy.backoff.0.as_secs_f64() * policy.backoff_factor.powi(rounds)).min(most);
    Duration::try_from_secs_f64(full * (1.0 - policy.jitter * chance.clamp(0.0, 1.0))).unwrap_or(policy.max_backoff.0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Given;
    use super::*;
    use crate::ports::agent::AgentErrorKind::{InvalidInput, RateLimited, Rejected, Unavailable};
    use crate::run::{Input, RunStatus, StepStatus};
    use crate::schedule::{Width, admit};
    use crate::time::Span;
    use crate::workflow::OnError;

    const ONE: &str = "- {id: a, capability: c, retry: {max_attempts: 3, jitter: 0}}";

    fn retry_at(events: &[Event]) -> Option<Timestamp> {
        match &events[0] {
            Event::AttemptFailed(failed) => failed.retry_at,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn another_agent_is_asked_at_once_and_the_wait_grows_by_round() {
        let mut run = Given::steps(ONE);
        run.start("a", "x").unwrap();
        assert_eq!(retry_at(&run.fail("a", Unavailable, true).unwrap()), Some(run.now));
        assert_eq!(run.state.step(0).tried.len(), 1);
        run.start("a", "y").unwrap();
        let events = run.fail("a", Unavailable, false).unwrap();
        assert_eq!(retry_at(&events), Some(run.now.plus(Duration::from_secs(1))));
        assert_eq!(run.state.step(0).status(), StepStatus::Retrying);
        assert!(run.state.step(0).tried.is_empty(), "a new round");
        assert!(run.start("a", "x").is_err(), "too early");
        run.now = run.now.plus(Duration::from_secs(1));
        assert_eq!(admit(&run.state, run.now), [0]);
        run.start("a", "x").unwrap();
        let events = run.fail("a", Unavailable, true).unwrap();
        assert!(matches!(events[..], [Event::AttemptFailed(_), Event::StepFailed(_), Event::RunFailed(_)]));
        assert_eq!(run.state.status(), RunStatus::Failed);
    }

    #[test]
    fn a_busy_agent_was_asked_in_vain_and_that_does_not_count() {
        let mut run = Given::steps("- {id: a, capability: c, retry: {max_attempts: 2, jitter: 0}}");
        let busy = |seconds| AgentError {
            retry_after: Some(Duration::from_secs(seconds)),
            ..AgentError::new(RateLimited, "later")
        };
        let failed = |run: &mut Given, error, other_agent| {
            let key = run.key("a");
            retry_at(&run.when(&Input::FailAttempt { key, error, other_agent, chance: 0.0 }).unwrap())
        };
        run.start("a", "y").unwrap();
        assert_eq!(failed(&mut run, AgentError::new(Unavailable, "no"), true), Some(run.now));
        for _ in 0..5 {
            run.start("a", "x").unwrap();
            assert_eq!(failed(&mut run, busy(7), false), Some(run.now.plus(Duration::from_secs(7))));
            run.now = run.now.plus(Duration::from_secs(7));
        }
        run.start("a", "x").unwrap();
        assert_eq!(failed(&mut run, busy(0), true), Some(run.now), "another one is asked at once");
        let step = run.state.step(0);
        assert_eq!((step.attempts, step.uncounted, step.rounds), (7, 6, 0));
        assert_eq!(step.tried, ["y".parse().unwrap()], "the busy one may be asked again, the other one not");
        run.start("a", "x").unwrap();
        assert_eq!(
            failed(&mut run, AgentError::new(RateLimited, "without a hint"), true),
            None,
            "the second that counts"
        );
    }

    #[test]
    fn an_agent_that_is_always_busy_is_not_asked_for_ever() {
        let mut run = Given::steps("- {id: a, capability: c, retry: {max_attempts: 1}}");
        let error = AgentError { retry_after: Some(Duration::ZERO), ..AgentError::new(RateLimited, "later") };
        run.start("a", "x").unwrap();
        let after = |run: &Given, attempt| after_failure(&run.state, 0, attempt, &error, true, 0.0, run.now);
        run.state.facts.steps[0].uncounted = MAX_UNCOUNTED_ATTEMPTS - 1;
        assert_eq!(retry_at(&after(&run, MAX_UNCOUNTED_ATTEMPTS)), Some(run.now));
        run.state.facts.steps[0].uncounted += 1;
        assert_eq!(retry_at(&after(&run, MAX_UNCOUNTED_ATTEMPTS + 1)), None);
    }

    #[test]
    fn some_failures_are_not_worth_repeating() {
        let mut run = Given::steps(ONE);
        run.start("a", "x").unwrap();
        assert_eq!(retry_at(&run.fail("a", InvalidInput, true).unwrap()), None);
        let mut run = Given::steps(ONE);
        run.start("a", "x").unwrap();
        assert_eq!(retry_at(&run.fail("a", Rejected, true).unwrap()), Some(run.now), "elsewhere");
        run.start("a", "y").unwrap();
        assert_eq!(retry_at(&run.fail("a", Rejected, false).unwrap()), None, "nobody left");
    }

    #[test]
    fn under_basic_a_waiting_step_keeps_its_turn() {
        let steps = "- {id: a, capability: c}\n- {id: b, capability: c}";
        let mut run = Given::with(steps, Width::One, OnError::Fail);
        assert_eq!(admit(&run.state, run.now), [0]);
        run.start("a", "x").unwrap();
        run.fail("a", Unavailable, false).unwrap();
        assert!(admit(&run.state, run.now).is_empty(), "b waits for a's retry");
        run.now = run.now.plus(Duration::from_secs(60));
        assert_eq!(admit(&run.state, run.now), [0]);
    }

    #[test]
    fn the_wait_is_capped_and_jittered() {
        let policy = RetryPolicy {
            max_attempts: 9,
            backoff: Span(Duration::from_secs(1)),
            backoff_factor: 100.0,
            max_backoff: Span(Duration::from_secs(30)),
            jitter: 0.5,
            is_unsafe: false,
        };
        assert_eq!(backoff(&policy, 0, 0.0), Duration::from_secs(1));
        assert_eq!(backoff(&policy, 0, 1.0), Duration::from_millis(500));
        assert_eq!(backoff(&policy, u32::MAX, 0.0), Duration::from_secs(30));
    }
}
