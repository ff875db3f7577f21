//! What follows from a state by itself: the end of the run.

use super::{budget, undo};
use crate::run::event::{Event, RunCompleted};
use crate::run::state::{Phase, RunState};
use crate::workflow::OnError;

/// The event that ends the run, or begins to undo it, once nothing is left to do or the policy says that a failure ends it.
pub(in crate::run) fn settle(state: &RunState) -> Option<Event> {
    if !state.status().is_open() {
        return None;
    }
    if let Some(undo) = state.undoing() {
        return undo::settle(state, undo);
    }
    if let Some(told) = budget::tell(state) {
        return Some(told);
    }
    if state.remaining() > 0 && state.ends_by().is_none() {
        return budget::stop(state);
    }
    let policy = state.ends_by().unwrap_or(OnError::Continue);
    // The first failed step in dependency order stands for the run's failure.
    let failed = state.plan().topology().order().iter().find_map(|index| match &state.step(*index).phase {
        Phase::Failed(error) if policy == OnError::Continue || state.on_error(*index) == policy => {
            Some((state.plan().path(*index), error.clone()))
        }
        _ => None,
    });
    Some(match failed {
        Some((step, error)) => undo::after_failure(state, policy, Some(step), error),
        None => Event::RunCompleted(RunCompleted {}),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::Given;
    use super::*;
    use crate::ports::agent::AgentErrorKind::InvalidInput;
    use crate::run::{RunStatus, StepStatus};
    use crate::schedule::Width;

    const FORK: &str = concat!(
        "- {id: a, capability: c}\n- {id: b, capability: c}\n",
        "- {id: c, capability: c, depends_on: [a]}\n- {id: d, capability: c, depends_on: [b]}\n",
        "- {id: e, capability: c, depends_on: [c, d]}",
    );

    #[test]
    fn under_continue_what_does_not_depend_on_the_failure_goes_on() {
        let mut run = Given::steps(FORK);
        run.start("a", "x").unwrap();
        run.start("b", "x").unwrap();
        run.fail("a", InvalidInput, false).unwrap();
        assert_eq!(run.state.step(run.index("c")).status(), StepStatus::Skipped);
        assert_eq!(run.state.step(run.index("e")).status(), StepStatus::Skipped);
        assert_eq!(run.state.status(), RunStatus::Running);
        run.complete("b").unwrap();
        run.start("d", "x").unwrap();
        let events = run.complete("d").unwrap();
        assert!(matches!(&events[1], Event::RunFailed(f) if f.step.as_ref().unwrap().as_str() == "a"));
        assert_eq!((run.state.completed(), run.state.failed()), (2, 1));
    }

    #[test]
    fn under_fail_the_first_failure_ends_the_run_and_cancels_what_runs() {
        let mut run = Given::with(FORK, Width::Bounded(4), OnError::Fail);
        run.start("a", "x").unwrap();
        run.start("b", "x").unwrap();
        run.fail("a", InvalidInput, false).unwrap();
        assert_eq!(run.state.status(), RunStatus::Failed);
        assert_eq!(run.state.step(run.index("b")).status(), StepStatus::Cancelled);
        assert_eq!(run.state.step(run.index("d")).status(), StepStatus::Skipped);
    }
}
