//! What an event does to a state. Cannot fail: an event was decided on the very state it is applied to.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::event::{AttemptFailed, Event, Recorded, RunCreated};
use super::state::{Facts, OpenAttempt, Phase, RunState, StepState};
use super::status::RunStatus;
use crate::ids::StepPath;
use crate::limits::REMEMBERED_REQUESTS;
use crate::plan::{Plan, StepIndex};
use crate::schedule::Frontier;
use crate::time::Timestamp;

/// Applies an event and adds to `touched` the steps whose open work may have changed.
pub fn evolve(state: &mut RunState, recorded: &Recorded, touched: &mut Vec<StepIndex>) {
    state.facts.seq = recorded.seq;
    let at = recorded.at;
    let before = state.facts.status;
    if let Some(request) = recorded.event.order().and_then(|order| order.request) {
        state.facts.requests.push_back(request);
        if state.facts.requests.len() > REMEMBERED_REQUESTS {
            state.facts.requests.pop_front();
        }
    }
    match &recorded.event {
        Event::RunCreated(_) | Event::CheckpointCreated(_) => {}
        Event::ArtifactRecorded(artifact) => state.facts.bytes += artifact.content.len,
        Event::RunAdmitted(_) => {
            state.facts.clock_from = at;
            state.facts.status = RunStatus::Running;
        }
        Event::RunResumed(_) => {
            state.facts.clock_from = at;
            if matches!(state.facts.status, RunStatus::Quarantined | RunStatus::Paused | RunStatus::Pending) {
                state.facts.status = RunStatus::Running;
                touched.extend(state.facts.open.iter().copied());
            }
        }
        Event::RunPaused(_) => state.facts.status = RunStatus::Paused,
        Event::RunReopened(reopened) => reopen(state, reopened.generation, at),
        Event::RunTerminated(_) => end(state, RunStatus::Terminated, at, touched),
        Event::RunCompleted(_) => end(state, RunStatus::Completed, at, touched),
        Event::RunFailed(failed) => {
            state.facts.failure = Some((failed.step.clone(), failed.error.clone()));
            end(state, RunStatus::Failed, at, touched);
        }
        Event::RunCancelled(_) => end(state, RunStatus::Cancelled, at, touched),
        Event::RunQuarantined(_) => {
            state.facts.status = RunStatus::Quarantined;
            touched.extend(state.facts.open.iter().copied());
        }
        event @ (Event::AttemptStarted(_)
        | Event::TaskAssigned(_)
        | Event::AttemptSuspended(_)
        | Event::SignalReceived(_)
        | Event::AttemptResumed(_)
        | Event::AttemptFailed(_)
        | Event::StepCompleted(_)
        | Event::StepFailed(_)) => evolve_step(state, event, at, touched),
    }
    follow_status(state);
    if state.facts.status != before {
        state.facts.updated_at = at;
    }
}

/// What an event does to the step that it is about.
fn evolve_step(state: &mut RunState, event: &Event, at: Timestamp, touched: &mut Vec<StepIndex>) {
    match event {
        Event::AttemptStarted(started) => {
            with_step(state, &started.step, touched, |state, index| {
                let attempt = OpenAttempt::new(started.agent.clone(), at);
                state.facts.frontier.remove(index);
                state.facts.open.insert(index);
                let step = &mut state.facts.steps[index as usize];
                step.attempts = started.attempt;
                step.tried.push(started.agent.clone());
                step.phase = Phase::Open(attempt);
            });
        }
        Event::TaskAssigned(assigned) => {
            with_open(state, &assigned.step, |open| open.task = Some(assigned.task.clone()));
        }
        Event::AttemptSuspended(suspended) => {
            with_open(state, &suspended.step, |open| {
                open.suspended = Some(suspended.need);
                open.answer = None;
            });
            state.facts.suspended += 1;
        }
        Event::SignalReceived(signal) => with_step(state, &signal.step, touched, |state, index| {
            with_open(state, &signal.step, |open| {
                open.answer = Some(signal.answer.clone());
                open.answers += 1;
            });
            state.facts.answered += 1;
            // It waits for its turn like any step that could start.
            state.facts.frontier.push(index, state.plan.step(index).priority);
        }),
        Event::AttemptResumed(resumed) => with_step(state, &resumed.step, touched, |state, index| {
            state.facts.frontier.remove(index);
            with_open(state, &resumed.step, |open| open.suspended = None);
            state.facts.answered -= 1;
            state.facts.suspended -= 1;
        }),
        Event::AttemptFailed(failed) => attempt_failed(state, failed, touched),
        Event::StepCompleted(completed) => with_step(state, &completed.step, touched, |state, index| {
            close(state, index);
            state.facts.steps[index as usize].phase = Phase::Completed(completed.output.clone());
            state.facts.completed += 1;
            state.facts.bytes += completed.output.len();
            state.facts.remaining -= 1;
            release_successors(state, index);
        }),
        Event::StepFailed(failed) => with_step(state, &failed.step, touched, |state, index| {
            close(state, index);
            state.facts.steps[index as usize].phase = Phase::Failed(failed.error.clone());
            state.facts.failed += 1;
            state.facts.remaining -= 1;
            skip_dependents(state, index);
        }),
        // Events of the run as a whole are told apart before.
        _ => {}
    }
}

/// The state after a run's first event.
pub(super) fn begin(plan: Arc<Plan>, created: RunCreated, at: Timestamp) -> RunState {
    let count = plan.len();
    let steps = (0..count as StepIndex)
        .map(|index| {
            let waiting = plan.topology().dependencies(index).len() as u32;
            let phase = if waiting == 0 { Phase::Ready(None) } else { Phase::Blocked(waiting) };
            StepState { phase, attempts: 0, rounds: 0, tried: Vec::new() }
        })
        .collect::<Vec<_>>();
    let mut frontier = Frontier::default();
    for index in 0..count as StepIndex {
        if matches!(steps[index as usize].phase, Phase::Ready(_)) {
            frontier.push(index, plan.step(index).priority);
        }
    }
    let status = if created.turn.is_some() { RunStatus::Pending } else { RunStatus::Running };
    let facts = Facts {
        created,
        created_at: at,
        seq: 1,
        generation: 0,
        status,
        clock_from: at,
        updated_at: at,
        ended_at: None,
        failure: None,
        steps,
        frontier,
        open: BTreeSet::new(),
        suspended: 0,
        answered: 0,
        requests: VecDeque::new(),
        completed: 0,
        failed: 0,
        remaining: count as u32,
        bytes: 0,
    };
    RunState { plan, facts }
}

/// The state after a whole history; `None` if it does not begin with the run's creation.
#[must_use]
pub fn fold<'e>(plan: &Arc<Plan>, events: impl IntoIterator<Item = &'e Recorded>) -> Option<RunState> {
    let mut events = events.into_iter();
    let Some(Recorded { event: Event::RunCreated(created), at, .. }) = events.next() else { return None };
    let mut state = begin(plan.clone(), (**created).clone(), *at);
    let mut touched = Vec::new();
    for recorded in events {
        evolve(&mut state, recorded, &mut touched);
        touched.clear();
    }
    Some(state)
}

fn with_step(
    state: &mut RunState,
    path: &StepPath,
    touched: &mut Vec<StepIndex>,
    change: impl FnOnce(&mut RunState, StepIndex),
) {
    // A path that the plan does not know was recorded by a plan revision that knew it; it holds no open work here.
    if let Some(index) = state.plan.find(path) {
        change(state, index);
        touched.push(index);
    }
}

fn with_open(state: &mut RunState, path: &StepPath, change: impl FnOnce(&mut OpenAttempt)) {
    if let Some(index) = state.plan.find(path)
        && let Phase::Open(open) = &mut state.facts.steps[index as usize].phase
    {
        change(open);
    }
}

fn attempt_failed(state: &mut RunState, failed: &AttemptFailed, touched: &mut Vec<StepIndex>) {
    with_step(state, &failed.step, touched, |state, index| {
        close(state, index);
        let priority = state.plan.step(index).priority;
        let step = &mut state.facts.steps[index as usize];
        step.attempts = failed.attempt;
        if failed.new_round {
            step.rounds += 1;
            step.tried.clear();
        }
        // Without a moment to try again the step's own failure follows in the same commit.
        step.phase = Phase::Ready(failed.retry_at);
        if let Some(at) = failed.retry_at {
            state.facts.frontier.push_delayed(index, priority, at);
        }
    });
}

/// Takes a step out of the frontier and of the open attempts.
fn close(state: &mut RunState, index: StepIndex) {
    match &state.facts.steps[index as usize].phase {
        Phase::Open(open) => {
            if open.suspended.is_some() {
                state.facts.suspended -= 1;
                if open.answer.is_some() {
                    state.facts.answered -= 1;
                    state.facts.frontier.remove(index);
                }
            }
            state.facts.open.remove(&index);
        }
        Phase::Ready(_) => state.facts.frontier.remove(index),
        _ => {}
    }
}

fn release_successors(state: &mut RunState, index: StepIndex) {
    for &next in state.plan.topology().successors(index) {
        let step = &mut state.facts.steps[next as usize];
        if let Phase::Blocked(waiting) = &mut step.phase {
            *waiting -= 1;
            if *waiting == 0 {
                step.phase = Phase::Ready(None);
                state.facts.frontier.push(next, state.plan.step(next).priority);
            }
        }
    }
}

fn skip_dependents(state: &mut RunState, index: StepIndex) {
    let mut open = vec![index];
    while let Some(index) = open.pop() {
        for &next in state.plan.topology().successors(index) {
            let step = &mut state.facts.steps[next as usize];
            if matches!(step.phase, Phase::Blocked(_)) {
                step.phase = Phase::Skipped;
                state.facts.remaining -= 1;
                open.push(next);
            }
        }
    }
}

fn end(state: &mut RunState, status: RunStatus, at: Timestamp, touched: &mut Vec<StepIndex>) {
    touched.extend(state.facts.open.iter().copied());
    for step in &mut state.facts.steps {
        match step.phase {
            Phase::Open(_) => step.phase = Phase::Cancelled,
            Phase::Blocked(_) | Phase::Ready(_) if status != RunStatus::Failed => step.phase = Phase::Cancelled,
            Phase::Blocked(_) | Phase::Ready(_) => step.phase = Phase::Skipped,
            _ => {}
        }
    }
    state.facts.open.clear();
    state.facts.suspended = 0;
    state.facts.answered = 0;
    state.facts.frontier.clear();
    state.facts.remaining = 0;
    state.facts.status = status;
    state.facts.ended_at = Some(at);
}

/// Every step that is not complete begins anew, with a new generation of attempts.
fn reopen(state: &mut RunState, generation: u32, at: Timestamp) {
    let facts = &mut state.facts;
    facts.generation = generation;
    facts.status = RunStatus::Running;
    facts.clock_from = at;
    facts.ended_at = None;
    facts.failure = None;
    facts.failed = 0;
    facts.remaining = facts.steps.len() as u32 - facts.completed;
    for index in 0..facts.steps.len() as StepIndex {
        if matches!(facts.steps[index as usize].phase, Phase::Completed(_)) {
            continue;
        }
        let done = |on: &&StepIndex| matches!(facts.steps[**on as usize].phase, Phase::Completed(_));
        let dependencies = state.plan.topology().dependencies(index);
        let waiting = (dependencies.len() - dependencies.iter().filter(done).count()) as u32;
        let phase = if waiting == 0 { Phase::Ready(None) } else { Phase::Blocked(waiting) };
        if waiting == 0 {
            facts.frontier.push(index, state.plan.step(index).priority);
        }
        facts.steps[index as usize] = StepState { phase, attempts: 0, rounds: 0, tried: Vec::new() };
    }
}

/// A run waits when nothing but an answer can move it.
fn follow_status(state: &mut RunState) {
    if !state.facts.status.is_open() || state.facts.status == RunStatus::Pending {
        return;
    }
    let idle = state.in_flight() == 0 && state.frontier().ready() == 0 && state.frontier().delayed() == 0;
    state.facts.status = if idle && state.facts.suspended > 0 { RunStatus::Waiting } else { RunStatus::Running };
}
