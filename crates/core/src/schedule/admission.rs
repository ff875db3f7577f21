//! Which of the startable steps start now. The only reader of a run's width.

use super::Width;
use crate::budget::Amounts;
use crate::limits::MAX_PASSED_OVER;
use crate::plan::StepIndex;
use crate::run::{RunState, RunStatus};
use crate::time::Timestamp;

/// The steps that may start now: as many as the width leaves room for, in their order. A step that is not
/// `parallel_safe` waits until nothing is in flight and then runs alone; those behind it wait with it, so that it is not
/// passed over for ever. One for which too little is left of the run's budget waits, and keeps nobody else waiting.
#[must_use]
pub fn admit(state: &RunState, now: Timestamp) -> Vec<StepIndex> {
    admit_past(state, now, |_| false)
}

/// As [`admit`], past the steps that wait for something else than their turn: others start in the meantime, where more than
/// one may run at once. A step that runs alone keeps those behind it waiting even so.
#[must_use]
pub fn admit_past(state: &RunState, now: Timestamp, waits: impl Fn(StepIndex) -> bool) -> Vec<StepIndex> {
    if !state.status().is_open() || state.status() == RunStatus::Pending {
        return Vec::new();
    }
    let frontier = state.frontier();
    let mut beside = Amounts::default();
    let mut startable = frontier.startable(now).filter(|step| state.shortage(*step, Amounts::default()).is_none());
    let (width, mut busy) = match state.policy().width {
        // A step that waits to be tried again still has its turn.
        Width::One if frontier.delayed() > 0 => {
            let due = startable.find(|step| state.step(*step).attempts > 0);
            return if state.in_flight() == 0 { due.into_iter().collect() } else { Vec::new() };
        }
        Width::One => (1, state.in_flight()),
        Width::Bounded(width) => (width, state.in_flight()),
    };
    let (mut admitted, mut passed) = (Vec::new(), 0);
    if state.runs_alone() {
        return admitted;
    }
    for step in startable {
        if busy >= width {
            break;
        }
        if state.shortage(step, beside).is_some() {
            continue;
        }
        if !state.plan().step(step).parallel_safe {
            if busy == 0 {
                admitted.push(step);
            }
            break;
        }
        if width > 1 && passed < MAX_PASSED_OVER && waits(step) {
            passed += 1;
            continue;
        }
        admitted.push(step);
        beside = beside.plus(state.reckoned(step).unwrap_or_default());
        busy += 1;
    }
    admitted
}

/// True if an attempt of a step may be under way beside those that are.
#[must_use]
pub fn has_room(state: &RunState, step: StepIndex) -> bool {
    let busy = state.in_flight();
    match state.policy().width {
        _ if busy == 0 => true,
        Width::One => false,
        Width::Bounded(width) => busy < width && !state.runs_alone() && state.plan().step(step).parallel_safe,
    }
}
