//! What an event does to what a run has spent.

use super::super::event::{Event, Recorded};
use super::super::input::Verdict;
use super::super::state::{Held, Phase, RunState};
use crate::budget::{Amounts, Spending};
use crate::ids::StepPath;
use crate::plan::StepIndex;
use crate::ports::agent::Usage;
use crate::time::Timestamp;
use crate::workflow::StepKind;

/// Follows an event, after what else it did.
pub(super) fn follow(state: &mut RunState, recorded: &Recorded) {
    let Some(mut spending) = state.facts.spending.take() else { return };
    let at = recorded.at;
    match &recorded.event {
        Event::AttemptStarted(started) if !started.agent.is_engine() => {
            spending.begin(&started.step, started.reserved.as_deref().copied().unwrap_or_default(), at);
        }
        Event::AttemptSuspended(suspended) => spending.rest(&suspended.step, at),
        Event::StepHeld(held) => spending.rest(&held.step, at),
        Event::StepDecided(decided) if decided.verdict == Verdict::Ask => spending.go_on(&decided.step, at),
        Event::AttemptResumed(resumed) => spending.go_on(&resumed.step, at),
        Event::AttemptFailed(failed) => {
            settle(&mut spending, state, &failed.step, failed.usage.as_deref(), at);
            sweep_if_it_holds(&mut spending, state, &failed.step, at);
        }
        Event::StepCompleted(completed) => {
            let usage = completed.report.as_ref().map(|report| &report.usage).filter(|usage| !usage.is_empty());
            settle(&mut spending, state, &completed.step, usage, at);
            sweep_if_it_holds(&mut spending, state, &completed.step, at);
        }
        Event::BudgetWarned(warned) => spending.warned(warned.kind),
        Event::BudgetSpent(spent) => spending.told(spent.kind),
        Event::BudgetRaised(raised) => {
            if let Some(budget) = state.budget() {
                spending.raise(budget, raised.add);
            }
        }
        Event::StepFailed(_)
        | Event::WaitClosed(_)
        | Event::PlanRevised(_)
        | Event::StepDecided(_)
        | Event::RunPaused(_)
        | Event::RunFailed(_)
        | Event::RunCancelled(_)
        | Event::RunTerminated(_)
        | Event::UndoStarted(_)
        | Event::RunRewound(_) => sweep(&mut spending, state, at),
        _ => {}
    }
    state.facts.spending = Some(spending);
}

/// What was stopped, or is given up, may have used what it was reckoned with.
fn sweep(spending: &mut Spending, state: &RunState, at: Timestamp) {
    let stopped: Vec<StepPath> = spending.open().filter(|step| !may_report(state, step)).cloned().collect();
    stopped.iter().for_each(|step| settle(spending, state, step, None, at));
}

/// The end of a step that holds others may be the end of what they had under way.
fn sweep_if_it_holds(spending: &mut Spending, state: &RunState, step: &StepPath, at: Timestamp) {
    let holds = state.plan.find(step).is_some_and(|index| state.plan.step(index).container().is_some());
    if holds {
        sweep(spending, state, at);
    }
}

fn settle(spending: &mut Spending, state: &RunState, step: &StepPath, usage: Option<&Usage>, at: Timestamp) {
    let used = usage.map(|usage| Amounts { money: usage.cost_micros, tokens: usage.tokens(), ..Amounts::default() });
    let capability = state.plan.find(step).and_then(|index| match state.plan.step(index).kind() {
        StepKind::Call(capability) => Some(capability),
        _ => None,
    });
    spending.settle(step, used, capability, at);
}

/// True while it may become known what a step's attempt used.
fn may_report(state: &RunState, step: &StepPath) -> bool {
    let phase = |index: StepIndex| &state.facts.steps[index].phase;
    let open = |phase: &Phase| matches!(phase, Phase::Open(_) | Phase::Held(Held { unknown: Some(_), .. }));
    state.plan.find(step).is_some_and(|index| open(phase(index)))
}
