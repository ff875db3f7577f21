//! Why something failed: the chain from the attempts over the policy to what was undone.

use super::finding::{Finding, Reason};
use super::step::Subject;
use crate::limits::MAX_EXPLAINED_ATTEMPTS;
use crate::plan::StepIndex;
use crate::report::human_seconds;
use crate::report::view::RunView;
use crate::run::{Phase, RunState};
use crate::workflow::OnError;

/// Why a step failed.
pub(super) fn step(step: &Subject<'_>) -> Vec<Finding> {
    let mut found = attempts(step);
    if found.is_empty()
        && let Some(error) = step.seen().error
    {
        found.push(Finding::new(Reason::AttemptFailed, error.to_string()));
    }
    let tried = step.state.step(step.index);
    let most = step.state.plan().step(step.index).retry.max_attempts;
    let counted = tried.attempts - tried.uncounted;
    if counted >= most && most > 1 {
        found.push(Finding::new(Reason::Policy, format!("All of its {most} attempts are used up.")));
    }
    found.push(policy(step.state, step.index));
    found
}

/// The attempts of a step that failed, newest ones, first one first.
pub(super) fn attempts(step: &Subject<'_>) -> Vec<Finding> {
    let attempts = step.seen().attempts;
    let failed: Vec<_> = attempts.iter().filter(|attempt| attempt.error.is_some()).collect();
    let left_out = failed.len().saturating_sub(MAX_EXPLAINED_ATTEMPTS);
    let told = failed.into_iter().skip(left_out).filter_map(|attempt| {
        let error = attempt.error.as_ref()?;
        let took = attempt.duration().map(|took| human_seconds(took.as_secs_f64()));
        let whom = attempt
            .agent
            .as_ref()
            .map_or_else(|| " found nobody to ask".to_owned(), |agent| format!(" at {agent} failed"));
        let after = took.filter(|_| attempt.agent.is_some()).map_or_else(String::new, |took| format!(" after {took}"));
        let text = format!("Attempt {}{whom}{after}: {error}", attempt.number);
        let found = Finding::new(Reason::AttemptFailed, text);
        let found = attempt.ended_at.into_iter().fold(found, Finding::at);
        Some(attempt.agent.iter().fold(found, Finding::agent))
    });
    let before = (left_out > 0)
        .then(|| Finding::new(Reason::AttemptFailed, format!("{left_out} attempts failed before those that follow.")));
    before.into_iter().chain(told).collect()
}

/// What the failure of a step means for its run.
pub(super) fn policy(state: &RunState, index: StepIndex) -> Finding {
    let own = state.plan().step(index).on_error.is_some();
    let whose = if own { "of the step" } else { "of the run" };
    let (word, means) = match state.on_error(index) {
        OnError::Fail => ("fail", "the run fails at once"),
        OnError::Continue => ("continue", "what does not depend on it goes on, and the run fails in the end"),
        OnError::Rollback => ("rollback", "what was done since the last checkpoint is undone, and the run fails"),
        OnError::Retry => ("retry", "it begins anew as often as the workflow allows, and then the run fails"),
        OnError::Compensate => ("compensate", "everything that was done is undone, and the run fails"),
        OnError::Escalate => ("escalate", "a person decides what becomes of it"),
    };
    Finding::new(Reason::Policy, format!("on_error {whose} is {word}: {means}."))
}

/// What of a run was undone, and what was not.
pub(super) fn undone(view: &RunView, state: &RunState) -> Vec<Finding> {
    let plan = state.plan();
    let (mut done, mut left) = (Vec::new(), Vec::new());
    for undo in view.undos() {
        let Some(undone) = plan.undone_by(undo.index) else { continue };
        match state.step(undo.index).phase {
            Phase::Completed(_) => done.push(plan.path(undone)),
            _ => left.push(plan.path(undone)),
        }
    }
    let named = |what: &str, paths: &[crate::ids::StepPath]| {
        let names: Vec<&str> = paths.iter().map(crate::ids::StepPath::as_str).collect();
        format!("{what}: {}.", names.join(", "))
    };
    let mut found = Vec::new();
    if !done.is_empty() {
        found.push(Finding::new(Reason::Undone, named("Undone", &done)).steps(done.clone()));
    }
    if !left.is_empty() {
        found.push(Finding::new(Reason::NotUndone, named("Not undone", &left)).steps(left.clone()));
    }
    found
}
