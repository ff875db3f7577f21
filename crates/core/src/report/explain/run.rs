//! What there is to say of a run.

use super::failed;
use super::finding::{Finding, Reason};
use super::known::Known;
use crate::ports::agent::AgentErrorKind;
use crate::report::spent::{told_policy, told_shortage};
use crate::report::view::RunView;
use crate::report::{human_seconds, rfc3339};
use crate::run::{RunState, RunStatus};
use crate::time::Timestamp;

pub(super) fn findings(view: &RunView, state: &RunState, known: &Known, now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    match state.status() {
        RunStatus::Pending => found.push(queue(state, known, now)),
        RunStatus::Running => found.push(progress(state)),
        RunStatus::Waiting => found.extend([progress(state), waiting(state)]),
        RunStatus::Paused => found.extend(paused(view, state)),
        RunStatus::Stuck => found.extend(stuck(view, state)),
        RunStatus::Quarantined => found.extend(quarantined(view)),
        RunStatus::Completed => found.push(Finding::new(Reason::Ended, "Every step is complete.")),
        RunStatus::Failed => found.extend(ended(view, state)),
        RunStatus::Cancelled | RunStatus::Terminated => {
            let why = view.error().unwrap_or_else(|| state.status().to_string());
            found.push(Finding::new(Reason::Ended, format!("It was {why}.")));
        }
    }
    found.extend(undoing(view, state));
    found.extend(budget(state));
    found.extend(owner(state, known, now));
    if state.status().is_open() && state.deadline() < Timestamp::MAX {
        let at = state.deadline();
        let text =
            format!("The run's time is up at {}, in {}.", rfc3339(at), human_seconds(at.since(now).as_secs_f64()));
        found.push(Finding::new(Reason::RunTimeout, text).at(at));
    }
    if state.status().is_ended()
        && let Some(at) = view.ended_at()
        && let Some(first) = found.first_mut()
    {
        first.at = Some(at);
    }
    found
}

fn queue(state: &RunState, known: &Known, now: Timestamp) -> Finding {
    let turn = state.created().turn;
    if let Some(at) = turn.filter(|at| *at > now) {
        return Finding::new(Reason::NotBefore, format!("It is to begin at {}.", rfc3339(at))).at(at);
    }
    let place = match known.queue {
        Some(place) if place.or_more => format!("; more than {} go before it", place.before),
        Some(place) => match place.before {
            0 => "; it is the next".to_owned(),
            1 => "; one run goes before it".to_owned(),
            before => format!("; {before} runs go before it"),
        },
        None => String::new(),
    };
    let found = Finding::new(Reason::Queue, format!("It waits for room in the queue{place}."));
    turn.into_iter().fold(found, Finding::at)
}

fn progress(state: &RunState) -> Finding {
    let (done, all) = (state.completed(), state.plan().len());
    let ready = state.frontier().ready();
    let mut parts = vec![format!("{done} of {all} steps are complete")];
    let mut add = |count: usize, what: &str| {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    };
    add(state.in_flight() as usize, "under way");
    add(ready, "ready");
    add(state.frontier().delayed(), "to be tried again");
    add(state.waiting().count() + state.held().count(), "waiting");
    Finding::new(Reason::Progress, format!("{}.", parts.join(", ")))
}

fn waiting(state: &RunState) -> Finding {
    let held = state.held().map(|(index, _)| index);
    let steps: Vec<_> = state.waiting().chain(held).map(|index| state.plan().path(index)).collect();
    Finding::new(Reason::Progress, "Nothing goes on before somebody answers.").steps(steps)
}

fn paused(view: &RunView, state: &RunState) -> [Finding; 2] {
    let why = view.error().unwrap_or_else(|| "paused".to_owned());
    let work = match (state.in_flight(), state.follows_work()) {
        (0, _) => String::new(),
        (open, true) => format!(" {open} under way come to their end."),
        (open, false) => format!(" {open} under way are left to their agents."),
    };
    [
        Finding::new(Reason::Paused, format!("It was {why}; nothing is started.{work}")),
        Finding::new(Reason::CanResume, "It goes on when it is resumed."),
    ]
}

fn stuck(view: &RunView, state: &RunState) -> Vec<Finding> {
    let why = view.error().unwrap_or_else(|| "an undo failed".to_owned());
    let steps: Vec<_> = state.held().map(|(index, _)| state.plan().path(index)).collect();
    let mut found = vec![Finding::new(Reason::Stuck, format!("It is stuck: {why}")).steps(steps)];
    found.push(Finding::new(Reason::CanRetry, "What could not be undone can be tried again (retry)."));
    found.push(Finding::new(
        Reason::CanDecide,
        "Or a person decides: it was undone by hand (done), or it stays (skip).",
    ));
    found
}

fn quarantined(view: &RunView) -> [Finding; 2] {
    let why = view.error().unwrap_or_else(|| "it took its server down".to_owned());
    [
        Finding::new(Reason::Quarantined, format!("It is set aside: {why}")),
        Finding::new(Reason::CanResume, "It goes on when it is resumed; look first at what took its server down."),
    ]
}

fn ended(view: &RunView, state: &RunState) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some((step, failure)) = state.failure() {
        let text = match step {
            Some(step) => format!("It failed because {step} failed: {failure}"),
            None => format!("It failed: {failure}"),
        };
        found.push(Finding::new(Reason::Ended, text).steps(step.into_iter().cloned().collect()));
        found.extend(step.and_then(|step| state.plan().find(step)).map(|index| failed::policy(state, index)));
    }
    found.extend(failed::undone(view, state));
    let done = state.completed();
    let text = match state.undone_to() {
        Some(to) => format!("A retry does again what was done after event {to}, since it was undone."),
        None => format!("A retry goes on with what is not complete; {done} of {} steps are.", state.plan().len()),
    };
    found.push(Finding::new(Reason::CanRetry, text));
    found
}

fn undoing(view: &RunView, state: &RunState) -> Vec<Finding> {
    let Some(undo) = state.undoing() else { return Vec::new() };
    let left = undo.pending.as_ref().map_or(0, Vec::len);
    let now = match (undo.current, &undo.pending) {
        (Some(current), _) => format!("now {}, then {left} more", state.plan().path(current)),
        (None, None) => "attempts that are under way come to their end first".to_owned(),
        (None, Some(_)) => format!("{left} are left"),
    };
    let current = undo.current.map(|index| state.plan().path(index)).into_iter().collect();
    let why = match &undo.failed {
        Some((Some(step), failure)) => format!(" because {step} failed: {failure}"),
        Some((None, failure)) => format!(" because of {failure}"),
        None => String::new(),
    };
    let text = format!("It undoes what was done since event {}, newest first ({now}){why}", undo.to);
    let mut found = vec![Finding::new(Reason::Undoing, text).steps(current)];
    found.extend(failed::undone(view, state));
    found
}

/// Too little is left to go on with.
fn budget(state: &RunState) -> Vec<Finding> {
    let can = |text| Finding::new(Reason::CanRaise, text);
    if state.failure().is_some_and(|(_, failure)| failure.kind == AgentErrorKind::BudgetSpent) {
        return vec![can("Raising the budget lets the run go on.")];
    }
    let (Some(budget), Some((index, shortage))) = (state.budget(), state.is_spent()) else { return Vec::new() };
    let text = format!("The budget is spent: {}; {}.", told_shortage(&shortage), told_policy(budget.on_spent));
    let found = Finding::new(Reason::Budget, text).steps(vec![state.plan().path(index)]);
    vec![found, can("Raising the budget lets it go on.")]
}

fn owner(state: &RunState, known: &Known, now: Timestamp) -> Vec<Finding> {
    let Some(owner) = known.owner.filter(|_| state.status().is_open()) else { return Vec::new() };
    let mut found = Vec::new();
    if let Some(since) = owner.commit_since {
        let text =
            format!("What was decided {} ago is not durable yet.", human_seconds(now.since(since).as_secs_f64()));
        found.push(Finding::new(Reason::Commit, text).at(since));
    }
    let is_driven = state.in_flight() > 0 || state.frontier().ready() > 0;
    if !owner.drives && is_driven && state.status() != RunStatus::Pending {
        let text = "This server does not drive it: another one does, or it is about to be taken over.";
        found.push(Finding::new(Reason::Elsewhere, text));
    }
    found
}
