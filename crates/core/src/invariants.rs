//! The promises of a run as named checks over its history. The simulator runs them after every step, tests after every
//! run, and an operator's check on a live store.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::plan::{Plan, StepIndex};
use crate::ports::store::StoredEvent;
use crate::run::{Event, Phase, Recorded, RunState, evolve, fold};
use crate::schedule::Width;
use crate::workflow::OnError;

/// A promise that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {detail}")]
pub struct Violation {
    /// The name of the check.
    pub invariant: &'static str,
    /// Where it does not hold.
    pub detail: String,
}

fn ensure(holds: bool, invariant: &'static str, detail: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { invariant, detail: detail() }) }
}

/// Runs every check of a whole history and gives the state that it folds to.
///
/// # Errors
/// The first [`Violation`] found.
pub fn check_history(plan: &Arc<Plan>, events: &[Recorded]) -> Result<RunState, Violation> {
    history_is_contiguous(events)?;
    ended_runs_never_change(events)?;
    results_are_recorded_once(events)?;
    attempts_are_numbered_and_bounded(plan, events)?;
    let first = events.get(..1).and_then(|first| fold(plan, first)).ok_or_else(|| Violation {
        invariant: "history_is_contiguous",
        detail: "the first event is not the creation of the run".into(),
    })?;
    let mut state = first;
    for recorded in &events[1..] {
        steps_start_after_their_dependencies(&state, recorded)?;
        waits_are_kept(&state, recorded)?;
        evolve(&mut state, recorded, &mut Vec::new());
        width_is_respected(&state, recorded)?;
        steps_that_run_alone_do(&state, recorded)?;
        counts_agree(&state)?;
    }
    run_ends_when_nothing_is_left(&state)?;
    Ok(state)
}

/// A run's events are numbered from 1 without a gap or a duplicate.
///
/// # Errors
/// [`Violation`].
pub fn history_is_contiguous(events: &[Recorded]) -> Result<(), Violation> {
    let gap = events.iter().zip(1..).find(|(event, seq)| event.seq != *seq);
    ensure(gap.is_none(), "history_is_contiguous", || format!("{gap:?}"))
}

/// After a claim no older epoch commits: epochs never fall along a history.
///
/// # Errors
/// [`Violation`].
pub fn epochs_never_fall(events: &[StoredEvent]) -> Result<(), Violation> {
    let fall = events.windows(2).find(|pair| pair[1].epoch < pair[0].epoch);
    ensure(fall.is_none(), "epochs_never_fall", || format!("after event {}", fall.map_or(0, |pair| pair[0].event.seq)))
}

/// A completed, cancelled or terminated run has no later event; a failed one none but its reopening.
///
/// # Errors
/// [`Violation`].
pub fn ended_runs_never_change(events: &[Recorded]) -> Result<(), Violation> {
    let reopens = |end: &Event, next: &Event| matches!((end, next), (Event::RunFailed(_), Event::RunReopened(_)));
    let after = events.windows(2).find(|pair| pair[0].event.ends_run() && !reopens(&pair[0].event, &pair[1].event));
    ensure(after.is_none(), "ended_runs_never_change", || {
        format!("events follow number {}", after.map_or(0, |pair| pair[0].seq))
    })
}

/// Each step has at most one result, and none after it failed for good, unless the run was reopened in between.
///
/// # Errors
/// [`Violation`].
pub fn results_are_recorded_once(events: &[Recorded]) -> Result<(), Violation> {
    let mut ended = HashSet::new();
    for recorded in events {
        let step = match &recorded.event {
            Event::StepCompleted(completed) => &completed.step,
            Event::StepFailed(failed) => &failed.step,
            Event::RunReopened(_) => {
                // What failed begins anew; what is complete stays.
                ended.retain(|(_, completed)| *completed);
                continue;
            }
            _ => continue,
        };
        let again = ended.contains(&(step, true)) || ended.contains(&(step, false));
        ended.insert((step, matches!(recorded.event, Event::StepCompleted(_))));
        ensure(!again, "results_are_recorded_once", || format!("step {step} at event {}", recorded.seq))?;
    }
    Ok(())
}

/// Attempts of a step are numbered 1, 2, 3, one under way at a time, and no more than its policy allows.
///
/// # Errors
/// [`Violation`].
pub fn attempts_are_numbered_and_bounded(plan: &Plan, events: &[Recorded]) -> Result<(), Violation> {
    const NAME: &str = "attempts_are_numbered_and_bounded";
    let mut last: HashMap<_, (u32, bool)> = HashMap::new();
    for recorded in events {
        let (step, attempt, starts) = match &recorded.event {
            Event::AttemptStarted(started) => (&started.step, started.attempt, true),
            Event::AttemptFailed(failed) => (&failed.step, failed.attempt, false),
            Event::StepCompleted(completed) => (&completed.step, completed.attempt, false),
            Event::RunReopened(_) => {
                last.clear();
                continue;
            }
            _ => continue,
        };
        let (number, open) = last.get(step).copied().unwrap_or((0, false));
        let fits = if starts || !open { attempt == number + 1 && !open } else { attempt == number };
        ensure(fits, NAME, || format!("attempt {attempt} of {step} after {number} at event {}", recorded.seq))?;
        let allowed = plan.find(step).map_or(u32::MAX, |index| plan.step(index).retry.max_attempts);
        ensure(attempt <= allowed, NAME, || format!("attempt {attempt} of {step}, {allowed} are allowed"))?;
        last.insert(step, (attempt, starts));
    }
    Ok(())
}

/// A step starts only after all its dependencies are complete.
///
/// # Errors
/// [`Violation`].
pub fn steps_start_after_their_dependencies(state: &RunState, next: &Recorded) -> Result<(), Violation> {
    let Event::AttemptStarted(started) = &next.event else { return Ok(()) };
    let Some(index) = state.plan().find(&started.step) else { return Ok(()) };
    let complete = |on: &StepIndex| matches!(state.step(*on).phase, Phase::Completed(_));
    let missing = state.plan().topology().dependencies(index).iter().find(|on| !complete(on));
    ensure(missing.is_none(), "steps_start_after_their_dependencies", || {
        format!("{} starts at event {} before step number {missing:?} is complete", started.step, next.seq)
    })
}

/// A step that failed is not tried again before its moment.
///
/// # Errors
/// [`Violation`].
pub fn waits_are_kept(state: &RunState, next: &Recorded) -> Result<(), Violation> {
    let Event::AttemptStarted(started) = &next.event else { return Ok(()) };
    let Some(index) = state.plan().find(&started.step) else { return Ok(()) };
    let early = matches!(state.step(index).phase, Phase::Ready(Some(at)) if next.at < at);
    ensure(!early, "waits_are_kept", || format!("{} starts too early at event {}", started.step, next.seq))
}

/// Attempts in flight never exceed the width.
///
/// # Errors
/// [`Violation`].
pub fn width_is_respected(state: &RunState, last: &Recorded) -> Result<(), Violation> {
    let width = match state.policy().width {
        Width::One => 1,
        Width::Bounded(width) => width,
    };
    ensure(state.in_flight() <= width, "width_is_respected", || {
        format!("{} in flight at event {}, the width is {width}", state.in_flight(), last.seq)
    })
}

/// A step that is not safe beside others is alone in flight.
///
/// # Errors
/// [`Violation`].
pub fn steps_that_run_alone_do(state: &RunState, last: &Recorded) -> Result<(), Violation> {
    let unsafe_open = |(index, open): (StepIndex, &crate::run::OpenAttempt)| {
        open.suspended.is_none() && !state.plan().step(index).parallel_safe
    };
    let alone = state.in_flight() <= 1 || !state.open_attempts().any(unsafe_open);
    ensure(alone, "steps_that_run_alone_do", || format!("at event {}", last.seq))
}

/// The indexes of a state agree with its steps.
///
/// # Errors
/// [`Violation`].
pub fn counts_agree(state: &RunState) -> Result<(), Violation> {
    let count = |wanted: fn(&Phase) -> bool| state.steps().iter().filter(|step| wanted(&step.phase)).count();
    let (open, ready) = (count(|p| matches!(p, Phase::Open(_))), count(|p| matches!(p, Phase::Ready(_))));
    let listed = state.frontier().ready() + state.frontier().delayed();
    let left = open + ready + count(|p| matches!(p, Phase::Blocked(_)));
    let agree = open == state.open_attempts().count()
        && ready + state.answered() as usize == listed
        && left == state.remaining() as usize
        && count(|p| matches!(p, Phase::Completed(_))) == state.completed() as usize
        && count(|p| matches!(p, Phase::Failed(_))) == state.failed() as usize;
    // Between a last failed attempt and the step's own failure, which is the next event, the step is in neither list.
    ensure(agree || ready + state.answered() as usize == listed + 1, "counts_agree", || {
        format!("{open} open, {ready} ready, {listed} listed, {left} left, {} remaining", state.remaining())
    })
}

/// A run with nothing left to do has ended, and one that may not go on after a failure has not gone on.
///
/// # Errors
/// [`Violation`].
pub fn run_ends_when_nothing_is_left(state: &RunState) -> Result<(), Violation> {
    let over = state.remaining() == 0 || (state.failed() > 0 && state.policy().on_error == OnError::Fail);
    ensure(!over || !state.status().is_open(), "run_ends_when_nothing_is_left", || format!("it is {}", state.status()))
}
