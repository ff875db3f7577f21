//! What operators and time do to a run as a whole.

use crate::ports::agent::AgentErrorKind;
use crate::run::event::{Event, Failure, RunCancelled, RunFailed, RunQuarantined, RunResumed, shorten};
use crate::run::input::Rejection;
use crate::run::state::RunState;
use crate::run::status::RunStatus;
use crate::time::Timestamp;

/// The run goes on, also one that was set aside; its time starts anew.
pub(super) fn resume(state: &RunState, by: &str) -> Result<Vec<Event>, Rejection> {
    if state.status() != RunStatus::Quarantined {
        open(state)?;
    }
    Ok(vec![Event::RunResumed(RunResumed { by: shorten(by) })])
}

/// The run's time is up.
pub(super) fn expire(state: &RunState, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    open(state)?;
    if now < state.deadline() {
        return Err(Rejection::NotExpired);
    }
    let message = format!("the run did not end within {}", state.plan().workflow().timeout);
    let error = Failure { kind: AgentErrorKind::Timeout, message };
    Ok(vec![Event::RunFailed(RunFailed { step: None, error })])
}

/// The run ends by an operator's will.
pub(super) fn cancel(state: &RunState, by: &str, reason: &str) -> Result<Vec<Event>, Rejection> {
    open(state)?;
    Ok(vec![Event::RunCancelled(RunCancelled { by: shorten(by), reason: shorten(reason) })])
}

/// The run is set aside.
pub(super) fn quarantine(state: &RunState, reason: &str) -> Result<Vec<Event>, Rejection> {
    open(state)?;
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
    use crate::run::{Input, RunStatus, StepStatus};

    const TWO: &str = "- {id: a, capability: c}\n- {id: b, capability: c, depends_on: [a]}";

    #[test]
    fn time_is_up_only_when_it_is_and_starts_anew_on_resume() {
        let mut run = Given::steps(TWO);
        assert_eq!(run.when(&Input::ExpireRun), Err(Rejection::NotExpired));
        run.now = run.now.plus(Duration::from_secs(3600));
        run.when(&Input::ResumeRun { by: "ana".into() }).unwrap();
        assert_eq!(run.when(&Input::ExpireRun), Err(Rejection::NotExpired));
        run.now = run.now.plus(Duration::from_secs(3600));
        run.when(&Input::ExpireRun).unwrap();
        assert_eq!(run.state.status(), RunStatus::Failed);
    }

    #[test]
    fn a_cancelled_run_takes_nothing_more() {
        let mut run = Given::steps(TWO);
        run.start("a", "x").unwrap();
        run.when(&Input::CancelRun { by: "ana".into(), reason: "wrong data".into() }).unwrap();
        assert_eq!(run.state.step(0).status(), StepStatus::Cancelled);
        assert_eq!(run.state.in_flight(), 0);
        assert_eq!(run.complete("a"), Err(Rejection::RunIs(RunStatus::Cancelled)));
        assert!(run.when(&Input::ResumeRun { by: "ana".into() }).is_err());
    }

    #[test]
    fn a_quarantined_run_is_left_alone_until_somebody_resumes_it() {
        let mut run = Given::steps(TWO);
        run.start("a", "x").unwrap();
        run.when(&Input::QuarantineRun { reason: "three claims".into() }).unwrap();
        assert_eq!(run.state.status(), RunStatus::Quarantined);
        assert!(!run.state.status().is_ended());
        assert!(run.complete("a").is_err());
        run.when(&Input::ResumeRun { by: "ana".into() }).unwrap();
        assert_eq!(run.state.status(), RunStatus::Running);
        run.complete("a").unwrap();
    }
}
