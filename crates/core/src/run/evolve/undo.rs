//! How a run is undone: what still counts is waited for, what was done is undone newest first, one at a time, and then the
//! steps may stand again as they did.

use super::super::event::{Afterwards, RunRewound, UndoStarted};
use super::super::input::Verdict;
use super::super::state::{Held, OpenAttempt, Phase, RunState, StepState, Undo};
use super::super::status::RunStatus;
use super::step::{begin_anew, ended, lose, release};
use super::{close, go_on, growth};
use crate::plan::StepIndex;
use crate::time::Timestamp;

/// Nothing goes forward any more. Attempts whose effect could be undone are waited for: only their result tells whether there is
/// anything to undo.
pub(super) fn start(state: &mut RunState, started: &UndoStarted, at: Timestamp, touched: &mut Vec<StepIndex>) {
    if state.facts.status == RunStatus::Failed {
        go_on(state, at);
    }
    state.facts.status = RunStatus::Running;
    state.facts.left = false;
    touched.extend(state.facts.open.iter().copied());
    for index in state.plan.clone().forward() {
        let phase = match &state.facts.steps[index].phase {
            // Nobody knows yet whether there is anything to undo.
            Phase::Held(Held { unknown: Some(_), .. }) if started.compensate && can_be_undone(state, index) => continue,
            Phase::Blocked(_) | Phase::Ready(_) | Phase::Held(_) => Phase::Skipped,
            Phase::Open(open) if started.compensate && is_awaited(state, index, open) => continue,
            Phase::Open(_) => Phase::Cancelled,
            _ => continue,
        };
        lose(state, index);
        close(state, index);
        state.facts.steps[index].phase = phase;
        ended(state, index);
    }
    state.facts.undo = Some(Undo {
        to: started.to,
        compensate: started.compensate,
        rewind: started.rewind,
        then: started.then,
        failed: started.failed.clone(),
        pending: None,
        current: None,
        rewound: false,
    });
}

/// What is released next follows from what is undone already.
pub(super) fn advance(state: &mut RunState) {
    let Some(undo) = &state.facts.undo else { return };
    if undo.rewound {
        return;
    }
    if let Some(current) = undo.current {
        let is_over = matches!(state.facts.steps[current].phase, Phase::Completed(_) | Phase::Skipped);
        if !is_over {
            return;
        }
    } else if !state.facts.open.is_empty() || state.facts.held > 0 {
        return;
    }
    let found = undo.pending.is_none().then(|| if undo.compensate { to_undo(state, undo.to) } else { Vec::new() });
    let Some(undo) = &mut state.facts.undo else { return };
    undo.pending = undo.pending.take().or(found);
    undo.current = undo.pending.as_mut().and_then(Vec::pop);
    if let Some(next) = undo.current {
        release(state, next);
    }
}

/// The steps stand again as they did; what comes of the old generation is not applied.
pub(super) fn rewind(state: &mut RunState, rewound: &RunRewound, seq: u64, at: Timestamp) {
    let facts = &mut state.facts;
    facts.generation = rewound.generation;
    facts.undone_to = None;
    facts.frontier.clear();
    abandon(state, rewound.to, seq);
    let then = state.facts.undo.as_ref().map_or(Afterwards::GoOn, |undo| undo.then);
    match (then, &mut state.facts.undo) {
        // The failure that led here ends the run with the next event.
        (Afterwards::Fail, Some(undo)) => undo.rewound = true,
        _ => {
            state.facts.undo = None;
            go_on(state, at);
            if then == Afterwards::Pause {
                state.facts.status = RunStatus::Paused;
            }
        }
    }
}

/// What came after one event and before another one does not count any more.
pub(super) fn abandon(state: &mut RunState, to: u64, seq: u64) {
    state.facts.abandoned.push((to, seq));
    state.facts.checkpoints.retain(|(_, at)| *at <= to);
    stand_as_at(state, to);
}

/// Steps that were complete at an event stay so; all others begin anew.
pub(super) fn stand_as_at(state: &mut RunState, seq: u64) {
    growth::shrink(state, seq);
    let plan = state.plan.clone();
    let own = || 0..plan.len() as StepIndex;
    let is_gone = |state: &RunState, index: StepIndex| plan.is_removed(index) && !stays(state, index, seq);
    state.facts.completed = own().filter(|index| stays(state, *index, seq)).count() as u32;
    let gone = own().filter(|index| is_gone(state, *index)).count() as u32;
    state.facts.remaining = plan.len() as u32 - state.facts.completed - gone;
    state.facts.failed = 0;
    state.facts.ends_by = None;
    let kept: Vec<StepIndex> = state.facts.quality.keys().copied().filter(|index| stays(state, *index, seq)).collect();
    state.facts.quality.retain(|index, _| kept.contains(index));
    let again: Vec<StepIndex> = plan.forward().filter(|index| !stays(state, *index, seq)).collect();
    for index in &again {
        let step = &mut state.facts.steps[*index];
        let before = std::mem::replace(step, StepState::new(Phase::Idle));
        step.lost = before.lost;
        if let Some(undo) = plan.undo_of(*index) {
            state.facts.steps[undo] = StepState::new(Phase::Idle);
        }
    }
    // What a step holds is begun by it.
    for index in again.into_iter().filter(|index| plan.holder(*index).is_none()) {
        if plan.is_removed(index) {
            state.facts.steps[index].phase = Phase::Skipped;
            continue;
        }
        let is_done = |on: &StepIndex| matches!(state.facts.steps[*on].phase, Phase::Completed(_));
        let waiting = plan.dependencies(index).filter(|on| !is_done(on)).count() as u32;
        state.facts.steps[index].phase = Phase::Blocked(waiting);
        if waiting == 0 {
            release(state, index);
        }
    }
}

/// True for a step that stands as it does: one that was complete at an event, or is held by one that was.
fn stays(state: &RunState, index: StepIndex, seq: u64) -> bool {
    let step = &state.facts.steps[index];
    (matches!(step.phase, Phase::Completed(_)) && step.completed_seq <= seq)
        || state.plan.holder(index).is_some_and(|holder| stays(state, holder, seq))
}

/// A person decided what becomes of a step. Where another event follows, it says the rest.
pub(super) fn decided(state: &mut RunState, index: StepIndex, verdict: Verdict) {
    if state.facts.status == RunStatus::Stuck {
        state.facts.status = RunStatus::Running;
    }
    let undoes = state.plan.undone_by(index).is_some();
    match verdict {
        // Nothing goes forward: what did not happen need not be undone.
        Verdict::Retry if !undoes && state.facts.undo.is_some() => {
            close(state, index);
            state.facts.steps[index].phase = Phase::Skipped;
            ended(state, index);
        }
        Verdict::Retry => {
            close(state, index);
            begin_anew(state, index, None);
        }
        Verdict::Ask => {
            if let Phase::Held(held) = &state.facts.steps[index].phase
                && let Some(open) = held.unknown.clone()
            {
                close(state, index);
                state.facts.steps[index].phase = Phase::Open(open);
                state.facts.open.insert(index);
            }
        }
        Verdict::Skip if undoes => {
            close(state, index);
            state.facts.steps[index].phase = Phase::Skipped;
        }
        // What is left out was not done.
        Verdict::Skip => {
            if let Some(undo) = state.plan.undo_of(index) {
                state.facts.steps[undo].phase = Phase::Skipped;
            }
        }
        Verdict::Done | Verdict::Fail => {}
    }
}

/// A result is worth waiting for if there is a way to undo it, and nobody has to be asked for it.
fn is_awaited(state: &RunState, index: StepIndex, open: &OpenAttempt) -> bool {
    open.suspended.is_none() && can_be_undone(state, index) && !state.is_unchecked(index)
}

fn can_be_undone(state: &RunState, index: StepIndex) -> bool {
    state.plan.undo_of(index).is_some()
}

/// What undoes the steps that were completed after an event, oldest first; without those that were undone already, or left out.
fn to_undo(state: &RunState, to: u64) -> Vec<StepIndex> {
    let mut done: Vec<(u64, StepIndex)> = (state.facts.steps.iter())
        .filter(|(_, step)| matches!(step.phase, Phase::Completed(_)) && step.completed_seq > to)
        .filter_map(|(index, step)| Some((step.completed_seq, state.plan.undo_of(index)?)))
        .filter(|(_, undo)| matches!(state.step(*undo).phase, Phase::Idle))
        .collect();
    done.sort_unstable();
    done.into_iter().map(|(_, undo)| undo).collect()
}
