//! Steps that wait for somebody or for a moment.

use super::finding::{Finding, Reason};
use super::step::Subject;
use crate::ports::agent::Need;
use crate::report::rfc3339;
use crate::run::{Held, OpenAttempt};
use crate::workflow::{Approval, Overdue, StepKind};

/// A step whose attempt is suspended.
pub(super) fn suspended(step: &Subject<'_>, open: &OpenAttempt, need: Need) -> Vec<Finding> {
    let asked = step.seen().question().map_or("", |(_, asked)| asked);
    let asks = if asked.is_empty() { String::new() } else { format!(": {asked}") };
    let definition = step.state.plan().step(step.index);
    let mut found = match definition.kind() {
        StepKind::Approval(approval) => approval_found(step, open, approval, asked),
        StepKind::Signal(signal) => {
            let what = if signal.message.is_empty() { String::new() } else { format!(": {}", signal.message) };
            vec![
                Finding::new(Reason::Signal, format!("It waits for a signal{what}.")),
                Finding::new(Reason::CanSignal, "Whoever may command the run can send the signal."),
            ]
        }
        StepKind::Sleep(_) | StepKind::WaitUntil(_) => {
            let until = open.due.map_or_else(String::new, |due| format!(" until {}", rfc3339(due)));
            let found = Finding::new(Reason::Time, format!("It waits{until}."));
            let found = open.due.into_iter().fold(found, Finding::at);
            return vec![found, Finding::new(Reason::CanSignal, "A signal ends the wait before its time.")];
        }
        StepKind::Holds => {
            let plan = step.state.plan();
            let held = plan.held_by(step.index).flat_map(crate::plan::Growth::indexes);
            let is_left = |index: &crate::plan::StepIndex| {
                plan.undone_by(*index).is_none() && !step.state.step(*index).status().is_ended()
            };
            let left: Vec<_> = held.filter(is_left).collect();
            let text = format!("It waits for {} of the steps that it holds: {}.", left.len(), step.names(&left));
            let found = Finding::new(Reason::Dependencies, text);
            return vec![open.due.into_iter().fold(found, Finding::at)];
        }
        StepKind::Call(_) => {
            let what = if need == Need::Auth { "wants an authorization" } else { "asks" };
            vec![
                Finding::new(Reason::Question, format!("Agent {} {what}{asks}", open.agent)).agent(&open.agent),
                Finding::new(Reason::CanSignal, "Whoever may command the run can answer."),
            ]
        }
    };
    if let (Some(due), StepKind::Signal(_)) = (open.due, definition.kind()) {
        found.push(Finding::new(Reason::Overdue, format!("Without it the step fails at {}.", rfc3339(due))).at(due));
    }
    found
}

fn approval_found(step: &Subject<'_>, open: &OpenAttempt, approval: &Approval, asked: &str) -> Vec<Finding> {
    let mut people = approval.by.clone();
    if open.overdue > 0 && !people.is_empty() {
        people.extend(approval.escalate_to.iter().cloned());
    }
    let starter = &step.state.created().origin.by;
    if approval.four_eyes {
        people.retain(|person| person != starter);
    }
    let who = match (people.is_empty(), approval.by.is_empty()) {
        (false, _) => format!("These may decide: {}", people.join(", ")),
        (true, true) => "Whoever may command the run may decide".to_owned(),
        (true, false) => "Nobody of those who are named may decide".to_owned(),
    };
    let but = if approval.four_eyes { format!(", but not {starter}, who started the run") } else { String::new() };
    let asked = if asked.is_empty() { &approval.message } else { asked };
    let mut found = vec![
        Finding::new(Reason::Approval, format!("A person must approve: {asked}")).people(people.clone()),
        Finding::new(Reason::CanApprove, format!("{who}{but}.")).people(people),
    ];
    found.extend(open.due.map(|due| {
        let follows = match approval.overdue {
            Overdue::Remind => "it is recorded that it is overdue, and it waits on",
            Overdue::Escalate if open.overdue == 0 => "more people may decide",
            Overdue::Fail | Overdue::Escalate => "the step fails",
            Overdue::Approve => "it counts as approved",
            Overdue::Reject => "it counts as rejected",
        };
        Finding::new(Reason::Overdue, format!("If nobody decides by {}, {follows}.", rfc3339(due))).at(due)
    }));
    found
}

/// A step that is held for a decision.
pub(super) fn held(step: &Subject<'_>, held: &Held) -> Vec<Finding> {
    let undoes = step.state.plan().undone_by(step.index).is_some();
    let (reason, text, can) = match (&held.unknown, undoes) {
        (Some(open), _) => (
            Reason::OutcomeUnknown,
            format!(
                "Agent {} may have done it and must not be asked twice; a person must say what happened. {}",
                open.agent, held.error
            ),
            "It can be decided: it is done (with its output), it did not happen (retry), its agent is asked again (ask), \
             it is left out (skip), or it has failed (fail).",
        ),
        (None, true) => (
            Reason::Decision,
            format!("It could not be undone, and a person must decide. {}", held.error),
            "It can be decided: it is tried again (retry), it was undone by hand (done), or it stays as it is (skip).",
        ),
        (None, false) => (
            Reason::Decision,
            format!("It failed, and a person must decide what becomes of it. {}", held.error),
            "It can be decided: it begins anew (retry), it is done (with its output), it is left out (skip), or it has \
             failed (fail).",
        ),
    };
    let found = Finding::new(reason, text);
    let found = match &held.unknown {
        Some(open) => found.agent(&open.agent),
        None => found,
    };
    vec![found, Finding::new(Reason::CanDecide, can)]
}
