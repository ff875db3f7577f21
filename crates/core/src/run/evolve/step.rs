//! What events do to steps and their attempts.

use super::super::event::{AttemptFailed, Event, Failure, QualityAssessed};
use super::super::state::{Held, Judged, OpenAttempt, Phase, RunState};
use super::{close, growth, undo, with_open, with_step};
use crate::plan::StepIndex;
use crate::ports::agent::{AgentErrorKind, Need};
use crate::time::Timestamp;
use crate::value::Payload;
use crate::workflow::OnError;

/// What an event does to the attempt that it is about.
pub(super) fn evolve_attempt(state: &mut RunState, event: &Event, at: Timestamp, touched: &mut Vec<StepIndex>) {
    match event {
        Event::AttemptStarted(started) => {
            with_step(state, &started.step, touched, |state, index| {
                let attempt = OpenAttempt::new(started.agent.clone(), at);
                state.facts.frontier.remove(index);
                state.facts.open.insert(index);
                let step = &mut state.facts.steps[index];
                step.attempts = started.attempt;
                step.began_at.get_or_insert(at);
                step.tried.push(started.agent.clone());
                step.phase = Phase::Open(attempt);
                growth::begin_again(state, index);
            });
        }
        Event::TaskAssigned(assigned) => {
            with_open(state, &assigned.step, |open| open.task = Some(assigned.task.clone()));
        }
        Event::AttemptSuspended(suspended) => {
            with_open(state, &suspended.step, |open| {
                open.suspended = Some(suspended.need);
                open.answer = None;
                open.due = suspended.due;
            });
            if let (Some(due), Some(index)) = (suspended.due, state.plan.find(&suspended.step)) {
                state.facts.due.insert((due, index));
            }
            state.facts.suspended += 1;
            if suspended.need == Need::Steps
                && let Some(index) = state.plan.find(&suspended.step)
            {
                growth::wait(state, index);
            }
        }
        Event::WaitOverdue(overdue) => with_step(state, &overdue.step, touched, |state, index| {
            forget_due(state, index);
            with_open(state, &overdue.step, |open| {
                open.due = Some(overdue.due);
                open.overdue = overdue.times;
            });
            state.facts.due.insert((overdue.due, index));
        }),
        Event::SignalReceived(signal) => with_step(state, &signal.step, touched, |state, index| {
            forget_due(state, index);
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
        Event::QualityAssessed(assessed) => judged(state, assessed),
        Event::AttemptFailed(failed) => attempt_failed(state, failed, touched),
        // Told apart before.
        _ => {}
    }
}

/// How an answer was judged is known until the next one.
fn judged(state: &mut RunState, assessed: &QualityAssessed) {
    let open = state.plan.find(&assessed.step).and_then(|index| Some((index, state.open_attempt(index)?)));
    if let Some((index, open)) = open {
        let (agent, attempt, verdict) = (open.agent.clone(), assessed.attempt, assessed.verdict);
        let judged = Judged { agent, attempt, verdict, assessment: assessed.assessment.clone() };
        state.facts.quality.insert(index, judged);
    }
}

/// What an event does to the step that it is about.
pub(super) fn evolve_step(state: &mut RunState, event: &Event, seq: u64, touched: &mut Vec<StepIndex>) {
    match event {
        Event::StepHeld(held) => with_step(state, &held.step, touched, |state, index| {
            close(state, index);
            let unknown = match &state.facts.steps[index].phase {
                Phase::Open(open) if held.outcome_unknown => Some(OpenAttempt { suspended: None, ..open.clone() }),
                _ => None,
            };
            let step = &mut state.facts.steps[index];
            step.attempts = held.attempt;
            step.phase = Phase::Held(Held { error: held.error.clone(), unknown, answer: held.answer.clone() });
            state.facts.held += 1;
        }),
        Event::StepDecided(decided) => with_step(state, &decided.step, touched, |state, index| {
            undo::decided(state, index, decided.verdict);
        }),
        Event::StepRecovered(recovered) => with_step(state, &recovered.step, touched, |state, index| {
            close(state, index);
            begin_anew(state, index, Some(recovered.at));
            state.facts.steps[index].recoveries = recovered.recovery;
        }),
        Event::StepCompleted(completed) => with_step(state, &completed.step, touched, |state, index| {
            growth::scored(state, index, completed.report.as_deref());
            complete(state, index, &completed.output, seq);
        }),
        Event::StepFailed(failed) => with_step(state, &failed.step, touched, |state, index| {
            close(state, index);
            let step = &mut state.facts.steps[index];
            step.phase = Phase::Failed(failed.error.clone());
            if state.plan.holder(index).is_some() {
                skip_dependents(state, index);
                ended(state, index);
            } else if state.plan.undone_by(index).is_none() {
                state.facts.failed += 1;
                state.facts.remaining -= 1;
                let means = state.on_error(index);
                if state.facts.ends_by.is_none() && means != OnError::Continue {
                    state.facts.ends_by = Some(means);
                }
                skip_dependents(state, index);
            }
        }),
        // Told apart before.
        _ => {}
    }
}

/// A step has its output, and its successors are released.
pub(super) fn complete(state: &mut RunState, index: StepIndex, output: &Payload, seq: u64) {
    close(state, index);
    let step = &mut state.facts.steps[index];
    step.phase = Phase::Completed(output.clone());
    step.completed_seq = seq;
    state.facts.bytes += output.len();
    if state.plan.undone_by(index).is_none() {
        state.facts.completed += u32::from(state.plan.holder(index).is_none());
        ended(state, index);
        release_successors(state, index);
    }
}

/// A step that has no attempt under way begins anew: what was tried before does not count.
pub(super) fn begin_anew(state: &mut RunState, index: StepIndex, not_before: Option<Timestamp>) {
    let step = &mut state.facts.steps[index];
    step.uncounted = step.attempts;
    step.began_at = None;
    step.rounds = 0;
    step.tried.clear();
    step.checked = false;
    step.phase = Phase::Ready(not_before);
    let priority = state.plan.step(index).priority;
    match not_before {
        Some(at) => state.facts.frontier.push_delayed(index, priority, at),
        None => state.facts.frontier.push(index, priority),
    }
}

/// What a step waits for is not due any more.
fn forget_due(state: &mut RunState, index: StepIndex) {
    if let Some(due) = state.open_attempt(index).and_then(|open| open.due) {
        state.facts.due.remove(&(due, index));
    }
}

fn attempt_failed(state: &mut RunState, failed: &AttemptFailed, touched: &mut Vec<StepIndex>) {
    with_step(state, &failed.step, touched, |state, index| {
        let asked = state.open_attempt(index).map(|open| open.agent.clone());
        close(state, index);
        let priority = state.plan.step(index).priority;
        let step = &mut state.facts.steps[index];
        step.attempts = failed.attempt;
        if failed.uncounted {
            // As if it had not been asked.
            step.uncounted += 1;
            step.tried.retain(|agent| Some(agent) != asked.as_ref());
        }
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

/// A step that is not there to undo another has ended: so may have all that one holds.
pub(super) fn ended(state: &mut RunState, index: StepIndex) {
    if state.plan.holder(index).is_some() { growth::ended(state, index) } else { state.facts.remaining -= 1 }
}

pub(super) fn release_successors(state: &mut RunState, index: StepIndex) {
    let plan = state.plan.clone();
    for next in plan.successors(index) {
        let step = &mut state.facts.steps[next];
        if let Phase::Blocked(waiting) = &mut step.phase {
            *waiting -= 1;
            if *waiting == 0 {
                release(state, next);
            }
        }
    }
}

pub(super) fn skip_dependents(state: &mut RunState, index: StepIndex) {
    let mut open = vec![index];
    while let Some(index) = open.pop() {
        let plan = state.plan.clone();
        for next in plan.successors(index) {
            let step = &mut state.facts.steps[next];
            if matches!(step.phase, Phase::Blocked(_)) {
                step.phase = Phase::Skipped;
                ended(state, next);
                open.push(next);
            }
        }
    }
}

/// Nothing that a step waits for is left: it may start, or a person must first say what became of an attempt of before.
pub(super) fn release(state: &mut RunState, index: StepIndex) {
    let step = &mut state.facts.steps[index];
    if let Some(lost) = step.lost.take() {
        let message = "an attempt of before was given up, and nobody knows whether it was carried out".to_owned();
        let error = Failure { kind: AgentErrorKind::Cancelled, message };
        step.phase = Phase::Held(Held { error, unknown: Some(*lost), answer: None });
        state.facts.held += 1;
    } else {
        step.phase = Phase::Ready(None);
        state.facts.frontier.push(index, state.plan.step(index).priority);
    }
}

/// What is known of a step that is given up while an attempt may be carried out, and that must not be done twice.
pub(super) fn lose(state: &mut RunState, index: StepIndex) {
    if !state.is_asked_once(index) {
        return;
    }
    let step = &mut state.facts.steps[index];
    let lost = match &step.phase {
        Phase::Open(open) if open.suspended.is_none() => Some(open.clone()),
        Phase::Held(Held { unknown: Some(open), .. }) => Some(open.clone()),
        _ => None,
    };
    if let Some(lost) = lost {
        step.lost = Some(Box::new(lost));
    }
}
