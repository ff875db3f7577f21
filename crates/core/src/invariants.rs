//! The promises of a run as named checks over its history, and over what a store keeps beside it. The simulator runs them
//! after every step, tests after every run, and an operator's check on a live store.

mod kept;
mod recovery;

use std::collections::HashSet;
use std::sync::Arc;

pub use self::kept::{check_glance, check_kept};
pub use self::recovery::{
    budgets_are_kept, requests_are_applied_once, results_are_of_open_attempts, rollbacks_restore_exactly,
    something_moves_an_open_run, waits_are_answered_once,
};
use crate::ids::StepPath;
use crate::plan::{Plan, StepIndex};
use crate::ports::store::StoredEvent;
use crate::run::{Event, Phase, Recorded, RunState, evolve, fold};
use crate::schedule::Width;

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
    let mut check = HistoryCheck::new(plan.clone());
    events.iter().try_for_each(|recorded| check.next(recorded))?;
    rollbacks_restore_exactly(plan, events)?;
    check.end()
}

/// Checks a history event by event, so that it need not be in memory at once.
#[derive(Debug)]
pub struct HistoryCheck {
    plan: Arc<Plan>,
    /// What the events so far fold to.
    state: Option<RunState>,
    /// The event before, if it ended the run: its number, and whether a reopening may follow.
    over: Option<(u64, bool)>,
    /// Steps that ended in this generation.
    ended: HashSet<StepPath>,
}

impl HistoryCheck {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        Self { plan, state: None, over: None, ended: HashSet::new() }
    }

    /// The state after the events so far; `None` before the first.
    #[must_use]
    pub const fn state(&self) -> Option<&RunState> {
        self.state.as_ref()
    }

    /// Checks the next event, in the order of the history.
    ///
    /// # Errors
    /// The first [`Violation`] found. Nothing can be said of what follows it.
    pub fn next(&mut self, recorded: &Recorded) -> Result<(), Violation> {
        self.history_is_contiguous(recorded)?;
        self.ended_runs_never_change(recorded)?;
        self.results_are_recorded_once(recorded)?;
        let Some(state) = &mut self.state else {
            self.state = fold(&self.plan, std::slice::from_ref(recorded));
            return ensure(self.state.is_some(), "history_is_contiguous", || {
                "the first event is not the creation of the run".into()
            });
        };
        steps_start_after_their_dependencies(state, recorded)?;
        waits_are_kept(state, recorded)?;
        attempts_are_numbered_and_bounded(state, recorded)?;
        steps_are_undone_newest_first(state, recorded)?;
        results_are_of_open_attempts(state, recorded)?;
        waits_are_answered_once(state, recorded)?;
        requests_are_applied_once(state, recorded)?;
        budgets_are_kept(state, recorded)?;
        evolve(state, recorded, &mut Vec::new());
        if matches!(recorded.event, Event::RunReopened(_) | Event::RunRewound(_) | Event::RunForked(_)) {
            // What is complete stays; everything else may end anew.
            let complete = |index: &StepIndex| matches!(state.step(*index).phase, Phase::Completed(_));
            self.ended = state.plan().indexes().filter(complete).map(|index| state.plan().path(index)).collect();
        }
        // What a step holds may end anew when that is tried again.
        if let Event::AttemptStarted(started) = &recorded.event
            && let Some(index) = state.plan().find(&started.step)
        {
            let plan = state.plan();
            let held = plan.held_by(index).flat_map(crate::plan::Growth::indexes);
            let ended = |index: &StepIndex| matches!(state.step(*index).phase, Phase::Completed(_));
            held.filter(|index| !ended(index)).for_each(|index| {
                self.ended.remove(&plan.path(index));
            });
        }
        width_is_respected(state, recorded)?;
        steps_that_run_alone_do(state, recorded)?;
        counts_agree(state)
    }

    /// Checks the end of the history and gives the state that it folds to.
    ///
    /// # Errors
    /// The first [`Violation`] found.
    pub fn end(self) -> Result<RunState, Violation> {
        let state = self
            .state
            .ok_or_else(|| Violation { invariant: "history_is_contiguous", detail: "it has no beginning".into() })?;
        run_ends_when_nothing_is_left(&state)?;
        something_moves_an_open_run(&state)?;
        Ok(state)
    }

    /// A run's events are numbered from 1 without a gap or a duplicate.
    fn history_is_contiguous(&self, next: &Recorded) -> Result<(), Violation> {
        let expected = self.state.as_ref().map_or(1, |state| state.seq() + 1);
        ensure(next.seq == expected, "history_is_contiguous", || format!("event {} follows {}", next.seq, expected - 1))
    }

    /// A completed, cancelled or terminated run has no later event; a failed one none but its reopening.
    fn ended_runs_never_change(&mut self, next: &Recorded) -> Result<(), Violation> {
        if let Some((seq, failed)) = self.over {
            let reopens = match &next.event {
                Event::RunReopened(_) => failed,
                Event::UndoStarted(undo) => failed && undo.order.is_some(),
                _ => false,
            };
            ensure(reopens, "ended_runs_never_change", || format!("events follow number {seq}"))?;
        }
        self.over = next.event.ends_run().then_some((next.seq, matches!(next.event, Event::RunFailed(_))));
        Ok(())
    }

    /// Each step has at most one result, and none after it failed for good, unless the run was reopened in between.
    fn results_are_recorded_once(&mut self, next: &Recorded) -> Result<(), Violation> {
        let step = match &next.event {
            Event::StepCompleted(completed) => &completed.step,
            Event::StepFailed(failed) => &failed.step,
            _ => return Ok(()),
        };
        ensure(self.ended.insert(step.clone()), "results_are_recorded_once", || {
            format!("step {step} at event {}", next.seq)
        })
    }
}

/// After a claim no older epoch commits: epochs never fall along a history.
///
/// # Errors
/// [`Violation`].
pub fn epochs_never_fall(events: &[StoredEvent]) -> Result<(), Violation> {
    let fall = events.windows(2).find(|pair| pair[1].epoch < pair[0].epoch);
    ensure(fall.is_none(), "epochs_never_fall", || format!("after event {}", fall.map_or(0, |pair| pair[0].event.seq)))
}

/// Attempts of a step are numbered 1, 2, 3, one under way at a time, and no more of them count than its policy allows.
///
/// # Errors
/// [`Violation`].
pub fn attempts_are_numbered_and_bounded(state: &RunState, next: &Recorded) -> Result<(), Violation> {
    const NAME: &str = "attempts_are_numbered_and_bounded";
    let (step, attempt, starts) = match &next.event {
        Event::AttemptStarted(started) => (&started.step, started.attempt, true),
        Event::AttemptFailed(failed) => (&failed.step, failed.attempt, false),
        Event::StepCompleted(completed) => (&completed.step, completed.attempt, false),
        _ => return Ok(()),
    };
    let Some(index) = state.plan().find(step) else { return Ok(()) };
    let known = state.step(index);
    let open = matches!(known.phase, Phase::Open(_) | Phase::Held(_));
    let fits = if starts || !open { attempt == known.attempts + 1 && !open } else { attempt == known.attempts };
    let number = known.attempts;
    ensure(fits, NAME, || format!("attempt {attempt} of {step} after {number} at event {}", next.seq))?;
    let allowed = state.plan().step(index).own_retry().max_attempts;
    let counted = attempt - known.uncounted.min(attempt);
    ensure(counted <= allowed, NAME, || format!("attempt {counted} of {step}, {allowed} are allowed"))
}

/// Nothing goes forward while a run is undone, and nothing is undone before what was done after it.
///
/// # Errors
/// [`Violation`].
pub fn steps_are_undone_newest_first(state: &RunState, next: &Recorded) -> Result<(), Violation> {
    const NAME: &str = "steps_are_undone_newest_first";
    let Event::AttemptStarted(started) = &next.event else { return Ok(()) };
    let Some(index) = state.plan().find(&started.step) else { return Ok(()) };
    let undone = state.plan().undone_by(index);
    ensure(undone.is_some() == state.undoing().is_some(), NAME, || {
        format!("{} starts at event {}, and the run is undone: {}", started.step, next.seq, state.undoing().is_some())
    })?;
    let Some(undone) = undone else { return Ok(()) };
    let seq = state.step(undone).completed_seq;
    let is_left = |(later, step): &(StepIndex, &crate::run::StepState)| {
        let undo = state.plan().undo_of(*later).map(|undo| &state.step(undo).phase);
        let is_done = matches!(undo, None | Some(Phase::Completed(_) | Phase::Skipped));
        matches!(step.phase, Phase::Completed(_)) && step.completed_seq > seq && !is_done
    };
    let all = state.plan().forward().map(|index| (index, state.step(index)));
    let left = all.into_iter().find(is_left);
    ensure(left.is_none(), NAME, || format!("{} starts at event {} before {left:?}", started.step, next.seq))
}

/// A step starts only after all its dependencies are complete; what undoes a step, only if that is.
///
/// # Errors
/// [`Violation`].
pub fn steps_start_after_their_dependencies(state: &RunState, next: &Recorded) -> Result<(), Violation> {
    let Event::AttemptStarted(started) = &next.event else { return Ok(()) };
    let Some(index) = state.plan().find(&started.step) else { return Ok(()) };
    let complete = |on: &StepIndex| matches!(state.step(*on).phase, Phase::Completed(_) | Phase::Omitted);
    let missing = match state.plan().undone_by(index) {
        Some(undone) => Some(undone).filter(|undone| !complete(undone)),
        None => state.plan().dependencies(index).find(|on| !complete(on)),
    };
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
    // What is under way when the width is made smaller comes to its end.
    if !matches!(last.event, Event::AttemptStarted(_) | Event::AttemptResumed(_)) {
        return Ok(());
    }
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
    let of_all =
        |wanted: fn(&Phase) -> bool| state.plan().indexes().filter(|index| wanted(&state.step(*index).phase)).count();
    let (open, ready) = (of_all(|p| matches!(p, Phase::Open(_))), of_all(|p| matches!(p, Phase::Ready(_))));
    let listed = state.frontier().ready() + state.frontier().delayed();
    let left = count(|p| matches!(p, Phase::Open(_) | Phase::Ready(_) | Phase::Blocked(_) | Phase::Held(_)));
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
    let over = state.undoing().is_none() && (state.remaining() == 0 || state.ends_by().is_some());
    ensure(!over || !state.status().is_open(), "run_ends_when_nothing_is_left", || format!("it is {}", state.status()))
}
