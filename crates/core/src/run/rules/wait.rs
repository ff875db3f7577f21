//! Steps that wait for a person or a moment.

use super::{attempt, growth};
use crate::ids::StepPath;
use crate::plan::StepIndex;
use crate::ports::agent::AgentErrorKind;
use crate::run::event::{AttemptFailed, Event, Failure, SignalReceived, StepFailed, WaitOverdue};
use crate::run::input::{Order, Rejection};
use crate::run::state::{OpenAttempt, RunState};
use crate::time::Timestamp;
use crate::value::{Json, Payload};
use crate::workflow::{Approval, Overdue, StepKind};

/// When what a step waits for is due.
pub(super) fn due(state: &RunState, index: StepIndex, until: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let began = state.open_attempt(index).map_or(now, |open| open.started_at);
    match state.plan().step(index).kind() {
        StepKind::Call(_) => None,
        StepKind::Holds => state.plan().step(index).aggregates().map(|aggregate| now.plus(aggregate.deadline.0)),
        StepKind::Approval(approval) => approval.due.map(|due| now.plus(due.0)),
        StepKind::Signal(signal) => signal.due.map(|due| now.plus(due.0)),
        StepKind::Sleep(span) => Some(began.plus(span.0)),
        StepKind::WaitUntil(_) => Some(until.unwrap_or(now)),
    }
}

/// The moment of a step has come.
pub(super) fn expire(state: &RunState, step: &StepPath, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    if !state.status().is_open() {
        return Err(Rejection::RunIs(state.status()));
    }
    let index = state.plan().find(step).ok_or_else(|| Rejection::NoSuchStep(step.clone()))?;
    let open = state.open_attempt(index).filter(|open| open.due.is_some_and(|due| due <= now));
    let open = open.ok_or(Rejection::NotExpired)?;
    Ok(match state.plan().step(index).kind() {
        StepKind::Sleep(_) | StepKind::WaitUntil(_) => done(state, index, Json::empty_object()),
        StepKind::Approval(approval) => overdue(state, index, approval, open, now),
        StepKind::Holds => growth::close(state, index),
        StepKind::Signal(_) | StepKind::Call(_) => {
            failed(state, index, AgentErrorKind::Timeout, "no signal came in time")
        }
    })
}

/// A person approves what a step asks, or rejects it.
pub(super) fn approve(
    state: &RunState,
    step: &str,
    approved: bool,
    data: Option<&Json>,
    order: Order,
) -> Result<Vec<Event>, Rejection> {
    if !state.status().takes_results() {
        return Err(Rejection::RunIs(state.status()));
    }
    let asks = |index: &StepIndex| {
        let path = state.plan().path(*index);
        matches!(state.plan().step(*index).kind(), StepKind::Approval(_)) && (step.is_empty() || path.as_str() == step)
    };
    let mut asking = state.waiting().filter(asks);
    let (Some(index), None) = (asking.next(), asking.next()) else {
        let waiting = state.waiting().map(|index| state.plan().path(index)).collect();
        return Err(Rejection::NotWaiting { step: step.to_owned(), waiting });
    };
    let StepKind::Approval(approval) = state.plan().step(index).kind() else { return Ok(Vec::new()) };
    may_decide(state, index, approval, &order)?;
    let answer = decision(approved, &order.by, &order.reason, data);
    let (by, reason) = (order.by.clone(), order.reason.clone());
    let (step, attempt) = (state.plan().path(index), state.step(index).attempts);
    let signal = SignalReceived { order, step, attempt, answer: Payload::Inline(answer.clone()) };
    let mut events = vec![Event::SignalReceived(signal)];
    if approved {
        events.extend(done(state, index, answer));
    } else {
        let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        events.extend(failed(state, index, AgentErrorKind::Rejected, &format!("{by} rejected it{why}")));
    }
    Ok(events)
}

/// The events of a signal for a step: one that asks no agent has its output by it.
pub(super) fn signalled(state: &RunState, index: StepIndex, signal: SignalReceived) -> Result<Vec<Event>, Rejection> {
    match state.plan().step(index).kind() {
        StepKind::Call(_) => Ok(vec![Event::SignalReceived(signal)]),
        StepKind::Signal(_) => {
            let completed = attempt::completed(state, index, signal.answer.clone(), Vec::new(), None);
            Ok([Event::SignalReceived(signal)].into_iter().chain(completed).collect())
        }
        StepKind::Approval(_) => Err(Rejection::BadVerdict(signal.step, "it is approved or rejected")),
        StepKind::Holds => Ok(Vec::new()),
        StepKind::Sleep(_) | StepKind::WaitUntil(_) => {
            let completed = done(state, index, Json::empty_object());
            Ok([Event::SignalReceived(signal)].into_iter().chain(completed).collect())
        }
    }
}

fn overdue(state: &RunState, index: StepIndex, approval: &Approval, open: &OpenAttempt, now: Timestamp) -> Vec<Event> {
    let again = approval.due.map_or(std::time::Duration::ZERO, |due| due.0);
    match approval.overdue {
        Overdue::Remind => {}
        Overdue::Escalate if open.overdue == 0 => {}
        Overdue::Approve => return done(state, index, decision(true, "", "nobody decided in time", None)),
        Overdue::Reject => {
            return failed(state, index, AgentErrorKind::Rejected, "it counts as rejected: nobody decided in time");
        }
        Overdue::Fail | Overdue::Escalate => {
            return failed(state, index, AgentErrorKind::Timeout, "nobody decided in time");
        }
    }
    let (step, attempt) = (state.plan().path(index), state.step(index).attempts);
    let (times, due) = (open.overdue + 1, now.plus(again));
    vec![Event::WaitOverdue(WaitOverdue { step, attempt, times, due })]
}

fn may_decide(state: &RunState, index: StepIndex, approval: &Approval, order: &Order) -> Result<(), Rejection> {
    let step = state.plan().path(index);
    let refuse = |why: String| Err(Rejection::NotApprover { by: order.by.clone(), step: step.clone(), why });
    if approval.four_eyes && state.created().origin.by == order.by {
        return refuse("whoever started the run does not decide it".into());
    }
    let is_escalated = state.open_attempt(index).is_some_and(|open| open.overdue > 0);
    let mut may: Vec<&str> = approval.by.iter().map(String::as_str).collect();
    if is_escalated && !may.is_empty() {
        may.extend(approval.escalate_to.iter().map(String::as_str));
    }
    if may.is_empty() || may.contains(&order.by.as_str()) {
        Ok(())
    } else {
        refuse(format!("these may: {}", may.join(", ")))
    }
}

/// The output of an approval.
fn decision(approved: bool, by: &str, reason: &str, data: Option<&Json>) -> Json {
    let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let data = data.map_or("null", Json::as_str);
    let json = format!(r#"{{"approved":{approved},"by":{},"reason":{},"data":{data}}}"#, text(by), text(reason));
    Json::parse(json).unwrap_or_else(|_| Json::null())
}

fn done(state: &RunState, index: StepIndex, output: Json) -> Vec<Event> {
    attempt::completed(state, index, Payload::Inline(output), Vec::new(), None).collect()
}

/// What is waited for will not come: nothing of it is tried again.
fn failed(state: &RunState, index: StepIndex, kind: AgentErrorKind, message: &str) -> Vec<Event> {
    let (step, attempt) = (state.plan().path(index), state.step(index).attempts);
    let error = Failure { kind, message: message.to_owned() };
    let failed = AttemptFailed {
        step: step.clone(),
        attempt,
        error: error.clone(),
        retry_at: None,
        new_round: false,
        uncounted: false,
        usage: None,
    };
    vec![Event::AttemptFailed(failed), Event::StepFailed(StepFailed { step, error })]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::Given;
    use super::*;
    use crate::ports::agent::Need;
    use crate::run::{Command, Input, RunStatus, StepStatus};

    fn ask(run: &mut Given, step: &str, need: Need) {
        run.start(step, "tutti").unwrap();
        let input =
            Input::SuspendAttempt { key: run.key(step), need, message: "may it?".into(), until: None, shown: None };
        run.when(&input).unwrap();
    }

    fn approve(run: &mut Given, by: &str, approved: bool) -> Result<Vec<Event>, Rejection> {
        let data = Some(Json::parse(r#"{"limit":5}"#).unwrap());
        let command = Command::Approve { step: String::new(), approved, data };
        run.when(&Input::Command { command, order: Order::new(by, "seen") })
    }

    fn expire(run: &mut Given, step: &str) -> Result<Vec<Event>, Rejection> {
        let step = run.key(step).path;
        run.when(&Input::ExpireWait { step })
    }

    #[test]
    fn whoever_may_decide_does_and_is_recorded() {
        let step =
            "- {id: a, approval: {message: 'may it?', by: [ana, ben]}}\n- {id: b, capability: c, depends_on: [a]}";
        let mut run = Given::steps(step);
        ask(&mut run, "a", Need::Approval);
        assert_eq!(run.state.status(), RunStatus::Waiting);
        assert!(
            matches!(approve(&mut run, "eve", true), Err(Rejection::NotApprover { why, .. }) if why.contains("ana, ben"))
        );
        approve(&mut run, "ana", true).unwrap();
        let Some(Payload::Inline(output)) = run.state.output(0) else { panic!() };
        assert_eq!(output.as_str(), r#"{"approved":true,"by":"ana","reason":"seen","data":{"limit":5}}"#);
        assert!(approve(&mut run, "ben", false).is_err(), "one decision");
        let mut run = Given::steps(step);
        ask(&mut run, "a", Need::Approval);
        approve(&mut run, "ben", false).unwrap();
        assert_eq!((run.state.status(), run.state.step(1).status()), (RunStatus::Failed, StepStatus::Skipped));
    }

    #[test]
    fn the_checkpoint_of_a_step_stands_after_it_whoever_completed_it() {
        let steps = "- {id: a, approval: {message: 'may it?'}, checkpoint: approved}\n- {id: b, capability: c}";
        let mut run = Given::steps(steps);
        ask(&mut run, "a", Need::Approval);
        let events = approve(&mut run, "ana", true).unwrap();
        assert!(matches!(&events[..], [_, Event::StepCompleted(_), Event::CheckpointCreated(_)]), "{events:?}");
        assert_eq!(run.state.checkpoints().len(), 1);
    }

    #[test]
    fn what_is_overdue_is_told_passed_on_or_decided() {
        for (overdue, times) in
            [("remind", 5), ("escalate, escalate_to: [eve]", 1), ("approve", 0), ("reject", 0), ("fail", 0)]
        {
            let mut run = Given::steps(&format!(
                "- {{id: a, approval: {{message: '?', by: [ana], due: 1m, overdue: {overdue}}}}}"
            ));
            ask(&mut run, "a", Need::Approval);
            assert_eq!(expire(&mut run, "a"), Err(Rejection::NotExpired));
            let mut told = 0;
            for _ in 0..5 {
                run.now = run.now.plus(Duration::from_secs(60));
                match expire(&mut run, "a") {
                    Ok(events) if matches!(events[..], [Event::WaitOverdue(_)]) => told += 1,
                    _ => break,
                }
                let eve = approve(&mut run.clone_for_try(), "eve", true);
                assert_eq!(eve.is_ok(), overdue.starts_with("escalate"));
            }
            assert_eq!(told, times, "{overdue}");
            let status = match overdue {
                "remind" => RunStatus::Waiting,
                "approve" => RunStatus::Completed,
                _ => RunStatus::Failed,
            };
            assert_eq!(run.state.status(), status, "{overdue}");
        }
    }

    #[test]
    fn nobody_decides_what_he_started_where_four_eyes_are_wanted() {
        let mut run = Given::steps("- {id: a, approval: {message: '?', four_eyes: true}}");
        ask(&mut run, "a", Need::Approval);
        assert!(approve(&mut run, "", true).is_err(), "the run was started by the same");
        approve(&mut run, "ana", true).unwrap();
        assert_eq!(run.state.status(), RunStatus::Completed);
    }

    #[test]
    fn a_step_sleeps_as_long_as_it_says_and_the_moment_is_known_to_the_store() {
        let mut run = Given::steps("- {id: a, sleep: 10m}\n- {id: b, capability: c, depends_on: [a]}");
        ask(&mut run, "a", Need::Time);
        assert_eq!(run.state.status(), RunStatus::Running, "nobody has to do anything");
        let due = run.now.plus(Duration::from_secs(600));
        assert_eq!(run.state.wake(), crate::ports::store::Wake::At(due));
        run.now = due.minus(Duration::from_micros(1));
        assert_eq!(expire(&mut run, "a"), Err(Rejection::NotExpired));
        run.now = due;
        expire(&mut run, "a").unwrap();
        run.start("b", "x").unwrap();
    }

    #[test]
    fn a_signal_is_the_output_of_the_step_that_waits_for_it() {
        let mut run = Given::steps("- {id: a, signal: {due: 1m}}");
        ask(&mut run, "a", Need::Approval);
        let answer = Payload::Inline(Json::parse("7").unwrap());
        run.command(Command::Signal { step: "a".into(), answer: answer.clone() }).unwrap();
        assert_eq!((run.state.output(0), run.state.status()), (Some(&answer), RunStatus::Completed));
        let mut run = Given::steps("- {id: a, signal: {due: 1m}}");
        ask(&mut run, "a", Need::Approval);
        run.now = run.now.plus(Duration::from_secs(60));
        expire(&mut run, "a").unwrap();
        assert_eq!(run.state.status(), RunStatus::Failed);
    }
}
