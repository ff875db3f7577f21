//! What is promised of runs that are undone, rolled back, answered and held.

use std::sync::Arc;

use super::{Violation, ensure};
use crate::budget::Amounts;
use crate::plan::{Plan, StepIndex};
use crate::run::{Event, Phase, Recorded, RunFailed, RunState, RunStatus, Undone, fold};
use crate::workflow::OnSpent;

/// After a rollback the steps are complete that were at its point, with the outputs that they had there, byte for byte. The
/// same after a run is reopened whose work was undone when it failed.
///
/// # Errors
/// [`Violation`].
pub fn rollbacks_restore_exactly(plan: &Arc<Plan>, events: &[Recorded]) -> Result<(), Violation> {
    const NAME: &str = "rollbacks_restore_exactly";
    let mut undone_to = None;
    for (recorded, count) in events.iter().zip(1..) {
        let to = match &recorded.event {
            Event::UndoStarted(undo) => {
                undone_to = Some(undo.to);
                continue;
            }
            Event::RunFailed(RunFailed { undone, .. }) => {
                undone_to = undone_to.filter(|_| *undone == Some(Undone::Compensated));
                continue;
            }
            Event::RunRewound(rewound) => Some(rewound.to),
            Event::RunReopened(_) => undone_to.take(),
            _ => continue,
        };
        let Some(to) = to else { continue };
        let (before, after) = (fold(plan, &events[..to as usize]), fold(plan, &events[..count]));
        let outputs = |state: Option<RunState>| {
            state.map(|state| (0..).zip(state.steps()).map(|(i, _)| state.output(i).cloned()).collect::<Vec<_>>())
        };
        ensure(outputs(before) == outputs(after), NAME, || {
            format!("event {} does not restore what stood at event {to}", recorded.seq)
        })?;
    }
    Ok(())
}

/// What a step asks is answered once: an answer comes to an attempt that waits for one and has none.
///
/// # Errors
/// [`Violation`].
pub fn waits_are_answered_once(state: &RunState, next: &Recorded) -> Result<(), Violation> {
    let Event::SignalReceived(signal) = &next.event else { return Ok(()) };
    let open = state.plan().find(&signal.step).and_then(|index| state.open_attempt(index));
    let waits = open.is_some_and(|open| open.suspended.is_some() && open.answer.is_none());
    ensure(waits, "waits_are_answered_once", || format!("{} at event {}", signal.step, next.seq))
}

/// What is used and what is reserved never exceed the run's budget together when an attempt begins that it bounds: what is used
/// exceeds it by no more than what calls used beyond what was reserved for them.
///
/// # Errors
/// [`Violation`].
pub fn budgets_are_kept(state: &RunState, next: &Recorded) -> Result<(), Violation> {
    let (Event::AttemptStarted(started), Some(budget), Some(spending)) =
        (&next.event, state.budget(), state.spending())
    else {
        return Ok(());
    };
    let is_bounded = |index: &StepIndex| budget.on_spent != OnSpent::Warn && state.reckoned(*index).is_some();
    if state.plan().find(&started.step).filter(is_bounded).is_none() {
        return Ok(());
    }
    let reserved = Amounts { calls: 1, ..started.reserved.as_deref().copied().unwrap_or_default() };
    let taken = spending.used().plus(spending.reserved()).plus(reserved);
    let over = spending.limits(budget).find(|(kind, limit)| taken.of(*kind) > *limit);
    ensure(over.is_none(), "budgets_are_kept", || {
        format!("with {} at event {} more is reserved than there is: {over:?}", started.step, next.seq)
    })
}

/// A request is applied once, however often it is made.
///
/// # Errors
/// [`Violation`].
pub fn requests_are_applied_once(state: &RunState, next: &Recorded) -> Result<(), Violation> {
    let again = next.event.order().and_then(|order| order.request).filter(|request| state.has_applied(*request));
    ensure(again.is_none(), "requests_are_applied_once", || format!("{again:?} again at event {}", next.seq))
}

/// A result is taken of an attempt that is under way, or from a person who decides about it.
///
/// # Errors
/// [`Violation`].
pub fn results_are_of_open_attempts(state: &RunState, next: &Recorded) -> Result<(), Violation> {
    let Event::StepCompleted(completed) = &next.event else { return Ok(()) };
    let Some(index) = state.plan().find(&completed.step) else { return Ok(()) };
    let is_open = matches!(state.step(index).phase, Phase::Open(_) | Phase::Held(_));
    ensure(is_open, "results_are_of_open_attempts", || format!("{} at event {}", completed.step, next.seq))
}

/// A run that has not ended is moved by something: work, time, or whoever is waited for.
///
/// # Errors
/// [`Violation`].
pub fn something_moves_an_open_run(state: &RunState) -> Result<(), Violation> {
    let works = state.in_flight() > 0 || state.frontier().ready() + state.frontier().delayed() > 0;
    let is_held = state.held().next().is_some();
    let moves = match state.status() {
        RunStatus::Running => works || state.next_wait().is_some(),
        RunStatus::Waiting => is_held || state.waiting().next().is_some() || state.asks_for_budget(),
        RunStatus::Stuck => is_held,
        _ => true,
    };
    ensure(moves, "something_moves_an_open_run", || format!("it is {}, and nothing will change that", state.status()))
}
