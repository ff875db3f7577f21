//! What events do to a plan that grows and changes, and to the steps that others hold.

use super::super::event::{Event, PlanRevised, StepExpanded};
use super::super::state::{Grown, Phase, RunState, StepState, Times};
use super::step::{begin_anew, ended as has_ended, lose, release, release_successors};
use super::{close, with_open, with_step};
use crate::plan::{Growth, Plan, StepIndex};
use crate::ports::agent::{AgentReport, Need};
use crate::schedule::{Policy, Width};
use crate::value::{Json, Payload};
use crate::workflow::Container;

/// What such an event does.
pub(super) fn evolve(state: &mut RunState, event: &Event, seq: u64, touched: &mut Vec<StepIndex>) {
    match event {
        Event::StepExpanded(expanded) => {
            with_step(state, &expanded.step, touched, |state, index| expand(state, index, expanded, seq));
        }
        Event::StepChecked(checked) => with_step(state, &checked.step, touched, |state, index| {
            close(state, index);
            begin_anew(state, index, None);
            state.facts.steps[index].checked = true;
        }),
        Event::StepOmitted(omitted) => with_step(state, &omitted.step, touched, |state, index| {
            close(state, index);
            state.facts.steps[index].phase = Phase::Omitted;
            has_ended(state, index);
            release_successors(state, index);
        }),
        Event::WaitClosed(closed) => with_step(state, &closed.step, touched, |state, index| {
            // Their attempts are not stopped: what comes of them is recorded, and not used.
            give_up(state, index);
            gather(state, index);
        }),
        Event::PlanRevised(revised) => revise(state, revised, seq, touched),
        // Told apart before.
        _ => {}
    }
}

/// The steps that one holds begin, as many times at once as it allows.
fn expand(state: &mut RunState, container: StepIndex, expanded: &StepExpanded, seq: u64) {
    let plan = state.plan.grown(container, expanded.first, expanded.count);
    let Some(growth) = plan.held_by(container).next_back().cloned() else { return };
    state.plan = plan;
    let mut remaining = 0;
    for index in growth.indexes() {
        remaining += u32::from(state.plan.undone_by(index).is_none());
        state.facts.steps.add(index, StepState::new(Phase::Idle));
    }
    let (first, count) = (expanded.first, expanded.count);
    let times = Times { container, first, count, seq, next: first, idle: remaining, remaining };
    state.facts.grown.get_or_insert_default().times.push(times);
    with_open(state, &expanded.step, |open| {
        open.suspended = Some(Need::Steps);
        open.due = expanded.due;
        open.answer = None;
    });
    state.facts.due.extend(expanded.due.map(|due| (due, container)));
    state.facts.suspended += 1;
    wait(state, container);
}

/// A step that holds others is tried again: those of them that are not complete begin anew.
pub(super) fn begin_again(state: &mut RunState, container: StepIndex) {
    if state.facts.grown.is_none() {
        return;
    }
    let plan = state.plan.clone();
    for growth in plan.held_by(container) {
        let mut remaining = 0;
        for index in growth.indexes().filter(|index| plan.undone_by(*index).is_none()) {
            if !matches!(state.facts.steps[index].phase, Phase::Completed(_) | Phase::Omitted) {
                close(state, index);
                lay_down(&mut state.facts.steps[index]);
                remaining += 1;
            }
        }
        if let Some(times) = times_of(state, growth) {
            (times.next, times.idle, times.remaining) = (growth.first, remaining, remaining);
        }
    }
}

/// A step is held that is to begin anew in the same generation: its attempts go on to be counted, since their numbers name what
/// its agents were told.
fn lay_down(step: &mut StepState) {
    let before = std::mem::replace(step, StepState::new(Phase::Idle));
    (step.attempts, step.uncounted) = (before.attempts, before.attempts);
    (step.recoveries, step.lost) = (before.recoveries, before.lost);
}

/// Keeps what an agent told of a result, if one is made of it and others.
pub(super) fn scored(state: &mut RunState, index: StepIndex, report: Option<&AgentReport>) {
    let plan = state.plan.clone();
    let Some(grown) = &mut state.facts.grown else { return };
    if plan.holder(index).is_some_and(|holder| plan.step(holder).aggregates().is_some()) {
        match report.and_then(AgentReport::score) {
            Some(score) => grown.scores.insert(index, score),
            None => grown.scores.remove(&index),
        };
    }
}

/// A step that is held has ended.
pub(super) fn ended(state: &mut RunState, index: StepIndex) {
    let plan = state.plan.clone();
    let Some((growth, _)) = plan.time_of(index) else { return };
    if let Some(times) = times_of(state, growth) {
        times.remaining = times.remaining.saturating_sub(1);
    }
    wait(state, growth.container);
}

/// A step that holds others waits for them: those begin that are to be done.
pub(super) fn wait(state: &mut RunState, container: StepIndex) {
    release_times(state, container);
    gather(state, container);
}

/// Once all that a step holds has ended, it goes on as one whose question was answered.
fn gather(state: &mut RunState, container: StepIndex) {
    let waits = matches!(&state.facts.steps[container].phase, Phase::Open(open)
        if open.suspended == Some(Need::Steps) && open.answer.is_none());
    if !waits || !state.is_gathered(container) {
        return;
    }
    if let Phase::Open(open) = &mut state.facts.steps[container].phase {
        open.answer = Some(Payload::Inline(Json::null()));
        if let Some(due) = open.due.take() {
            state.facts.due.remove(&(due, container));
        }
    }
    state.facts.answered += 1;
    state.facts.frontier.push(container, state.plan.step(container).priority);
}

/// Begins as many times of what a step holds as may be under way together.
fn release_times(state: &mut RunState, container: StepIndex) {
    let is_waiting = matches!(&state.facts.steps[container].phase, Phase::Open(open) if open.suspended.is_some());
    if !is_waiting || state.facts.undo.is_some() {
        return;
    }
    let plan = state.plan.clone();
    let width = match plan.step(container).container() {
        Some(Container::Map(map)) => map.max_concurrent,
        _ => u32::MAX,
    };
    for growth in plan.held_by(container) {
        loop {
            let Some(times) = times_of(state, growth) else { return };
            if times.next >= times.first + times.count || times.remaining - times.idle >= width {
                break;
            }
            let number = times.next;
            times.next += 1;
            let begun = begin_time(state, &plan, growth.instance(number));
            if let Some(times) = times_of(state, growth) {
                times.idle -= begun;
            }
        }
    }
}

/// Begins the steps of one time that are to be done, and says how many there are.
fn begin_time(state: &mut RunState, plan: &Plan, steps: impl Iterator<Item = StepIndex>) -> u32 {
    let mut begun = 0;
    for index in steps.filter(|index| plan.undone_by(*index).is_none()) {
        if !matches!(state.facts.steps[index].phase, Phase::Idle) {
            continue;
        }
        let is_done = |on: &StepIndex| matches!(state.facts.steps[*on].phase, Phase::Completed(_) | Phase::Omitted);
        let waiting = plan.dependencies(index).filter(|on| !is_done(on)).count() as u32;
        state.facts.steps[index].phase = Phase::Blocked(waiting);
        begun += 1;
        if waiting == 0 {
            release(state, index);
        }
    }
    begun
}

/// What a step holds and has not ended is not waited for.
fn give_up(state: &mut RunState, container: StepIndex) {
    let plan = state.plan.clone();
    for growth in plan.held_by(container) {
        for index in growth.indexes().filter(|index| plan.undone_by(*index).is_none()) {
            let is_left = !matches!(
                state.facts.steps[index].phase,
                Phase::Completed(_) | Phase::Omitted | Phase::Failed(_) | Phase::Skipped | Phase::Cancelled
            );
            if is_left {
                lose(state, index);
                close(state, index);
                give_up(state, index);
                state.facts.steps[index].phase = Phase::Cancelled;
            }
        }
        if let Some(times) = times_of(state, growth) {
            (times.next, times.idle, times.remaining) = (times.first + times.count, 0, 0);
        }
    }
}

fn times_of<'s>(state: &'s mut RunState, growth: &Growth) -> Option<&'s mut Times> {
    state.facts.grown.as_mut()?.times.get_mut(growth.number as usize)
}

fn revise(state: &mut RunState, revised: &PlanRevised, seq: u64, touched: &mut Vec<StepIndex>) {
    let Ok(change) = state.plan.revised(&revised.patch) else { return };
    state.plan = change.plan;
    state.facts.grown.get_or_insert_default().patches.push((seq, revised.patch.clone()));
    if let Some(width) = revised.patch.max_concurrent_tasks {
        let width = if width == 1 { Width::One } else { Width::Bounded(width) };
        state.facts.policy = Some(Box::new(Policy { width, ..*state.policy() }));
    }
    for index in change.removed {
        close(state, index);
        state.facts.steps[index].phase = Phase::Skipped;
        state.facts.remaining -= 1;
        touched.push(index);
    }
    let idle_undo = |state: &mut RunState, index| {
        if let Some(undo) = state.plan.undo_of(index) {
            state.facts.steps.add(undo, StepState::new(Phase::Idle));
        }
    };
    for index in change.added.clone() {
        state.facts.steps.add(index, StepState::new(Phase::Blocked(u32::MAX)));
        state.facts.remaining += 1;
        idle_undo(state, index);
    }
    // Their neighbours may be each other: first all of them wait.
    let others = change.moved.iter().filter(|index| is_fresh(state, **index)).copied();
    let anew: Vec<StepIndex> = change.replaced.iter().copied().chain(others.collect::<Vec<_>>()).collect();
    for index in anew.iter().copied() {
        close(state, index);
        state.facts.steps[index] = StepState::new(Phase::Blocked(u32::MAX));
        idle_undo(state, index);
    }
    for index in anew.into_iter().chain(change.added) {
        // One that waited for it may have been skipped with a step before.
        if matches!(state.facts.steps[index].phase, Phase::Blocked(u32::MAX)) {
            stand(state, index);
        }
        touched.push(index);
    }
}

/// True for a step of the workflow that has not begun, nor anything that it holds.
pub(in crate::run) fn is_fresh(state: &RunState, index: StepIndex) -> bool {
    let step = &state.facts.steps[index];
    let is_waiting = matches!(step.phase, Phase::Blocked(_) | Phase::Ready(_));
    is_waiting && step.attempts == 0 && state.plan.held_by(index).next().is_none()
}

/// A step that has not begun waits for what it depends on now.
fn stand(state: &mut RunState, index: StepIndex) {
    let plan = state.plan.clone();
    let (mut waiting, mut fails) = (0, false);
    for on in plan.dependencies(index) {
        match &state.facts.steps[on].phase {
            Phase::Completed(_) | Phase::Omitted => {}
            Phase::Failed(_) | Phase::Skipped | Phase::Cancelled => fails = true,
            _ => waiting += 1,
        }
    }
    state.facts.steps[index] = StepState::new(Phase::Blocked(waiting));
    if fails {
        state.facts.steps[index].phase = Phase::Skipped;
        state.facts.remaining -= 1;
        super::step::skip_dependents(state, index);
    } else if waiting == 0 {
        release(state, index);
    }
}

/// The plan stands again as at an event: what came into being after it is gone.
pub(super) fn shrink(state: &mut RunState, seq: u64) {
    let Some(grown) = &mut state.facts.grown else { return };
    let kept = grown.times.partition_point(|times| times.seq <= seq);
    let patches = grown.patches.partition_point(|(at, _)| *at <= seq);
    if patches < grown.patches.len() {
        grown.patches.truncate(patches);
        // The first plan follows from the definition, and each change from the one before.
        let mut plan = state.plan.first();
        for (_, patch) in &grown.patches {
            plan = plan.revised(patch).map_or(plan, |change| change.plan);
        }
        let width = grown.patches.iter().rev().find_map(|(_, patch)| patch.max_concurrent_tasks);
        state.facts.policy = width.map(|width| {
            let width = if width == 1 { Width::One } else { Width::Bounded(width) };
            Box::new(Policy { width, ..state.facts.created.policy })
        });
        state.facts.steps.truncate_own(plan.len() as u32);
        state.plan = plan.with_growths_of(&state.plan);
    }
    if kept < grown.times.len() {
        grown.times.truncate(kept);
        state.plan = state.plan.shrunk(kept);
        state.facts.steps.truncate_grown(state.plan.held_places());
    }
}

/// The plan of facts that were kept, from the one that its definition stands for.
pub(in crate::run) fn regrow(plan: &std::sync::Arc<Plan>, grown: &Grown) -> Option<std::sync::Arc<Plan>> {
    let mut plan = plan.clone();
    for (_, patch) in &grown.patches {
        plan = plan.revised(patch).ok()?.plan;
    }
    for times in &grown.times {
        plan = plan.grown(times.container, times.first, times.count);
    }
    Some(plan)
}
