//! What time and faults do to a run as a whole.

use std::collections::HashSet;

use super::undo;
use crate::ports::agent::AgentErrorKind;
use crate::run::event::{Event, Failure, RunAdmitted, RunForked, RunQuarantined, shorten};
use crate::run::input::Rejection;
use crate::run::state::RunState;
use crate::run::status::RunStatus;
use crate::time::Timestamp;

/// The run leaves the queue; one that has left it stays as it is.
pub(super) fn admit(state: &RunState) -> Result<Vec<Event>, Rejection> {
    open(state)?;
    let queued = state.status() == RunStatus::Pending;
    Ok(if queued { vec![Event::RunAdmitted(RunAdmitted {})] } else { Vec::new() })
}

/// The run begins where another one stood: with steps of the workflow's own, each of them once.
pub(super) fn fork(state: &RunState, forked: &RunForked) -> Result<Vec<Event>, Rejection> {
    let mut known = HashSet::new();
    let mut is_own = |step| {
        let index = state.plan().find(step).filter(|index| state.plan().undone_by(*index).is_none());
        index.is_some_and(|index| known.insert(index))
    };
    match forked.completed.iter().find(|done| !is_own(&done.step)) {
        Some(done) => Err(Rejection::NoSuchStep(done.step.clone())),
        None if state.seq() > 1 => Err(Rejection::RunIs(state.status())),
        None => Ok(vec![Event::RunForked(Box::new(forked.clone()))]),
    }
}

/// The run's time is up.
pub(super) fn expire(state: &RunState, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    open(state)?;
    if now < state.deadline() {
        return Err(Rejection::NotExpired);
    }
    let message = format!("the run did not end within {}", state.timeout());
    let error = Failure { kind: AgentErrorKind::Timeout, message };
    Ok(vec![undo::after_failure(state, state.policy().on_error, None, error)])
}

/// The run is set aside.
pub(super) fn quarantine(state: &RunState, reason: &str) -> Result<Vec<Event>, Rejection> {
    if !state.status().takes_results() {
        return Err(Rejection::RunIs(state.status()));
    }
    Ok(vec![Event::RunQuarantined(RunQuarantined { reason: shorten(reason) })])
}

fn open(state: &RunState) -> Result<(), Rejection> {
    if state.status().is_open() { Ok(()) } else { Err(Rejection::RunIs(state.status())) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::Given;
    use super::*;
    use crate::run::{Command, Input, RunStatus};

    const TWO: &str = "- {id: a, capability: c}\n- {id: b, capability: c, depends_on: [a]}";

    #[test]
    fn time_is_up_only_when_it_is_and_starts_anew_on_resume() {
        let mut run = Given::steps(TWO);
        assert_eq!(run.when(&Input::ExpireRun), Err(Rejection::NotExpired));
        run.now = run.now.plus(Duration::from_secs(3600));
        run.command(Command::Resume).unwrap();
        assert_eq!(run.when(&Input::ExpireRun), Err(Rejection::NotExpired));
        run.now = run.now.plus(Duration::from_secs(3600));
        run.when(&Input::ExpireRun).unwrap();
        assert_eq!(run.state.status(), RunStatus::Failed);
    }

    #[test]
    fn a_fork_has_what_was_complete_and_undoes_nothing_of_the_other_run() {
        use crate::run::{ForkedStep, RunForked};
        use crate::value::{Json, Payload};
        let steps = "- {id: a, capability: c, compensate: {capability: u}}\n- {id: b, capability: c, depends_on: [a]}";
        let fork = |run: &mut Given, steps: &[&str]| {
            let output = Payload::Inline(Json::parse("{\"x\":1}").unwrap());
            let completed = steps.iter().map(|step| ForkedStep { step: run.key(step).path, output: output.clone() });
            let forked = RunForked { from: run.state.run(), seq: 9, completed: completed.collect(), changed: vec![] };
            run.when(&Input::ForkRun(Box::new(forked)))
        };
        let mut run = Given::with(steps, crate::schedule::Width::One, crate::workflow::OnError::Compensate);
        fork(&mut run, &["a"]).unwrap();
        assert_eq!((run.state.completed(), run.state.forked().unwrap().1), (1, 9));
        assert!(fork(&mut run, &["a"]).is_err(), "once, at the beginning");
        run.start("b", "x").unwrap();
        run.fail("b", crate::ports::agent::AgentErrorKind::InvalidInput, false).unwrap();
        assert_eq!(run.state.status(), RunStatus::Failed, "what the other run did is the other run's to undo");
        let mut run = Given::steps(steps);
        for wrong in [["a", "a"].as_slice(), &["a~undo"]] {
            assert!(fork(&mut run, wrong).is_err(), "each step once, and none that undoes another");
        }
        fork(&mut run, &["a", "b"]).unwrap();
        assert_eq!(run.state.status(), RunStatus::Completed, "of a run that was at its end");
    }

    #[test]
    fn a_quarantined_run_is_left_alone_until_somebody_resumes_it() {
        let mut run = Given::steps(TWO);
        run.start("a", "x").unwrap();
        run.when(&Input::QuarantineRun { reason: "three claims".into() }).unwrap();
        assert_eq!(run.state.status(), RunStatus::Quarantined);
        assert!(!run.state.status().is_ended());
        assert!(run.complete("a").is_err());
        run.command(Command::Resume).unwrap();
        assert_eq!(run.state.status(), RunStatus::Running);
        run.complete("a").unwrap();
    }
}
