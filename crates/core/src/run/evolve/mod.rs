//! What an event does to a state. Cannot fail: an event was decided on the very state it is applied to.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

mod budget;
mod growth;
mod step;
mod undo;

pub(super) use growth::{is_fresh, regrow};

use super::event::{Event, Recorded, RunCreated, RunForked};
use super::input::Work;
use super::state::{Facts, OpenAttempt, Phase, RunState, StepState};
use super::status::RunStatus;
use crate::ids::StepPath;
use crate::limits::REMEMBERED_REQUESTS;
use crate::plan::{ByStep, Plan, StepIndex};
use crate::ports::agent::Need;
use crate::schedule::Frontier;
use crate::time::Timestamp;

/// Applies an event and adds to `touched` the steps whose open work may have changed.
pub fn evolve(state: &mut RunState, recorded: &Recorded, touched: &mut Vec<StepIndex>) {
    state.facts.seq = recorded.seq;
    let at = recorded.at;
    let before = state.facts.status;
    remember_request(state, &recorded.event);
    match &recorded.event {
        Event::RunCreated(_) | Event::ResultDiscarded(_) => {}
        // Followed below, as every event is.
        Event::BudgetWarned(_) | Event::BudgetSpent(_) | Event::BudgetRaised(_) => {}
        Event::CheckpointCreated(checkpoint) => {
            state.facts.checkpoints.push((checkpoint.name.clone(), recorded.seq));
        }
        Event::UndoStarted(undo) => undo::start(state, undo, at, touched),
        Event::RunRewound(rewound) => undo::rewind(state, rewound, recorded.seq, at),
        Event::RunStuck(_) => state.facts.status = RunStatus::Stuck,
        Event::RunForked(forked) => fork(state, forked, recorded.seq, touched),
        Event::ArtifactRecorded(artifact) => state.facts.bytes += artifact.content.len,
        Event::RunAdmitted(_) => {
            state.facts.clock_from = at;
            state.facts.status = RunStatus::Running;
        }
        Event::RunResumed(_) => {
            state.facts.clock_from = at;
            if matches!(state.facts.status, RunStatus::Quarantined | RunStatus::Paused | RunStatus::Pending) {
                state.facts.status = RunStatus::Running;
                state.facts.left = false;
                touched.extend(state.facts.open.iter().copied());
            }
        }
        Event::RunPaused(paused) => pause(state, paused.work, touched),
        Event::RunReopened(reopened) => reopen(state, reopened.generation, recorded.seq, at),
        Event::RunTerminated(_) => end(state, RunStatus::Terminated, at, touched),
        Event::RunCompleted(_) => end(state, RunStatus::Completed, at, touched),
        Event::RunFailed(failed) => {
            state.facts.failure = Some((failed.step.clone(), failed.error.clone()));
            // Without the data of before the steps would go on from what is undone.
            state.facts.undone_to = state.facts.undo.as_ref().filter(|undo| !undo.rewind).map(|undo| undo.to);
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
        | Event::WaitOverdue(_)
        | Event::QualityAssessed(_)
        | Event::AttemptFailed(_)) => step::evolve_attempt(state, event, at, touched),
        event @ (Event::StepExpanded(_)
        | Event::StepChecked(_)
        | Event::StepOmitted(_)
        | Event::WaitClosed(_)
        | Event::PlanRevised(_)) => growth::evolve(state, event, recorded.seq, touched),
        event @ (Event::StepHeld(_)
        | Event::StepDecided(_)
        | Event::StepRecovered(_)
        | Event::StepCompleted(_)
        | Event::StepFailed(_)) => step::evolve_step(state, event, recorded.seq, touched),
    }
    budget::follow(state, recorded);
    undo::advance(state);
    follow_status(state);
    if state.facts.status != before {
        state.facts.updated_at = at;
    }
}

/// The run begins where another one stood.
fn fork(state: &mut RunState, forked: &RunForked, seq: u64, touched: &mut Vec<StepIndex>) {
    state.facts.forked = Some((forked.from, forked.seq));
    for step in &forked.completed {
        with_step(state, &step.step, touched, |state, index| step::complete(state, index, &step.output, seq));
    }
}

/// A request is applied once, as long as it is remembered.
fn remember_request(state: &mut RunState, event: &Event) {
    if let Some(request) = event.order().and_then(|order| order.request) {
        state.facts.requests.push_back(request);
        if state.facts.requests.len() > REMEMBERED_REQUESTS {
            state.facts.requests.pop_front();
        }
    }
}

/// The state after a run's first event.
pub(super) fn begin(plan: Arc<Plan>, created: RunCreated, at: Timestamp) -> RunState {
    // A run begins with the plan of its definition, whatever became of it.
    let plan = if plan.growths() > 0 || plan.revision() > 0 { plan.first() } else { plan };
    let count = plan.len();
    let steps = ByStep::new(plan.indexes(), |index| {
        let waiting = plan.undone_by(index).is_none().then(|| plan.dependencies(index).len() as u32);
        StepState::new(match waiting {
            None => Phase::Idle,
            Some(0) => Phase::Ready(None),
            Some(waiting) => Phase::Blocked(waiting),
        })
    });
    let mut frontier = Frontier::default();
    for index in 0..count as StepIndex {
        if matches!(steps[index].phase, Phase::Ready(_)) {
            frontier.push(index, plan.step(index).priority);
        }
    }
    let status = if created.turn.is_some() { RunStatus::Pending } else { RunStatus::Running };
    let spending = plan.workflow().budget.is_some().then(Box::default);
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
        held: 0,
        due: BTreeSet::new(),
        left: false,
        ends_by: None,
        undo: None,
        undone_to: None,
        checkpoints: Vec::new(),
        abandoned: Vec::new(),
        forked: None,
        policy: None,
        grown: None,
        spending,
        quality: std::collections::BTreeMap::new(),
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
        && let Phase::Open(open) = &mut state.facts.steps[index].phase
    {
        change(open);
    }
}

/// Takes a step out of the frontier and of the open attempts.
fn close(state: &mut RunState, index: StepIndex) {
    match &state.facts.steps[index].phase {
        Phase::Open(open) => {
            if open.suspended.is_some() {
                state.facts.suspended -= 1;
                if open.answer.is_some() {
                    state.facts.answered -= 1;
                    state.facts.frontier.remove(index);
                }
            }
            if let Some(due) = open.due {
                state.facts.due.remove(&(due, index));
            }
            state.facts.open.remove(&index);
        }
        Phase::Held(_) => state.facts.held -= 1,
        Phase::Ready(_) => state.facts.frontier.remove(index),
        _ => {}
    }
}

fn end(state: &mut RunState, status: RunStatus, at: Timestamp, touched: &mut Vec<StepIndex>) {
    touched.extend(state.facts.open.iter().copied());
    for index in state.plan.indexes() {
        step::lose(state, index);
        let step = &mut state.facts.steps[index];
        match step.phase {
            Phase::Open(_) | Phase::Held(_) => step.phase = Phase::Cancelled,
            Phase::Blocked(_) | Phase::Ready(_) if status != RunStatus::Failed => step.phase = Phase::Cancelled,
            Phase::Blocked(_) | Phase::Ready(_) => step.phase = Phase::Skipped,
            _ => {}
        }
    }
    state.facts.open.clear();
    state.facts.due.clear();
    state.facts.undo = None;
    state.facts.left = false;
    state.facts.held = 0;
    state.facts.suspended = 0;
    state.facts.answered = 0;
    state.facts.frontier.clear();
    state.facts.remaining = 0;
    state.facts.status = status;
    state.facts.ended_at = Some(at);
}

/// Every step that is not complete begins anew, with a new generation of attempts; so does what was undone.
fn reopen(state: &mut RunState, generation: u32, seq: u64, at: Timestamp) {
    state.facts.generation = generation;
    go_on(state, at);
    match state.facts.undone_to.take() {
        Some(to) => undo::abandon(state, to, seq),
        None => undo::stand_as_at(state, u64::MAX),
    }
}

/// The run is not at its end any more; its time starts anew.
fn go_on(state: &mut RunState, at: Timestamp) {
    state.facts.status = RunStatus::Running;
    state.facts.clock_from = at;
    state.facts.ended_at = None;
    state.facts.failure = None;
}

/// The run is held.
fn pause(state: &mut RunState, work: Work, touched: &mut Vec<StepIndex>) {
    state.facts.status = RunStatus::Paused;
    state.facts.left = work == Work::Leave;
    touched.extend(state.facts.open.iter().copied());
    if work == Work::Cancel {
        let is_under_way = |(_, open): &(StepIndex, &OpenAttempt)| open.suspended.is_none();
        let under_way: Vec<StepIndex> = state.open_attempts().filter(is_under_way).map(|(index, _)| index).collect();
        for index in under_way {
            close(state, index);
            step::begin_anew(state, index, None);
        }
    }
}

/// A run waits when nothing but an answer can move it.
fn follow_status(state: &mut RunState) {
    if !state.facts.status.is_open() || state.facts.status == RunStatus::Pending {
        return;
    }
    let is_spent = state.is_spent().is_some();
    let is_empty = state.frontier().ready() == 0 && state.frontier().delayed() == 0;
    let idle = state.in_flight() == 0 && (is_empty || is_spent);
    state.facts.status = if idle && waits_for_somebody(state) { RunStatus::Waiting } else { RunStatus::Running };
}

/// True if somebody has to answer or to decide; time passes by itself.
fn waits_for_somebody(state: &RunState) -> bool {
    let asks = |open: &OpenAttempt| open.suspended.is_some_and(Need::is_of_somebody);
    state.facts.held > 0
        || state.asks_for_budget()
        || (state.facts.suspended > 0 && state.open_attempts().any(|(_, open)| asks(open)))
}
