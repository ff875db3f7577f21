//! What operators and clients want of a run.

use super::{budget, growth, hold, undo, wait};
use crate::limits::MAX_CHECKPOINTS;
use crate::plan::StepIndex;
use crate::ports::agent::AgentErrorKind;
use crate::run::event::{
    CheckpointCreated, Event, Failure, RunCancelled, RunPaused, RunReopened, RunResumed, RunTerminated, SignalReceived,
    StepHeld, shorten,
};
use crate::run::input::{Command, Order, Rejection, Verdict, Work};
use crate::run::state::{OpenAttempt, RunState};
use crate::run::status::RunStatus;
use crate::value::Payload;
use crate::workflow::bad_checkpoint;

/// The events of a command; none if its request was applied before, or the run is as it is wanted already.
pub(super) fn decide(state: &RunState, command: &Command, order: &Order) -> Result<Vec<Event>, Rejection> {
    if order.request.is_some_and(|request| state.has_applied(request)) {
        return Ok(Vec::new());
    }
    let order = Order { by: shorten(&order.by), reason: shorten(&order.reason), request: order.request };
    let status = state.status();
    let allowed = |allowed: bool, event: Event| if allowed { Ok(vec![event]) } else { Err(Rejection::RunIs(status)) };
    match command {
        Command::Pause if status == RunStatus::Paused => Ok(Vec::new()),
        Command::Pause => allowed(status.is_open(), Event::RunPaused(RunPaused { order, work: Work::Finish })),
        Command::PauseWork { work } => {
            let is_left = *work == Work::Leave && !state.follows_work();
            let is_wanted = status == RunStatus::Paused && (state.in_flight() == 0 || is_left);
            if is_wanted { Ok(Vec::new()) } else { pause_work(state, *work, order) }
        }
        Command::Resume => allowed(is_live(status), Event::RunResumed(RunResumed { order })),
        Command::Cancel if status == RunStatus::Cancelled => Ok(Vec::new()),
        Command::Cancel if state.undoing().is_some() => Err(Rejection::Undoing),
        Command::Cancel => allowed(is_live(status), Event::RunCancelled(RunCancelled { order })),
        Command::Terminate if status == RunStatus::Terminated => Ok(Vec::new()),
        Command::Terminate => {
            allowed(is_live(status) || status == RunStatus::Stuck, Event::RunTerminated(RunTerminated { order }))
        }
        Command::Checkpoint { name } => {
            if let Some(reason) = bad_checkpoint(name) {
                return Err(Rejection::BadCheckpoint(reason));
            }
            if !may_checkpoint(state) {
                return Err(Rejection::TooManyCheckpoints(MAX_CHECKPOINTS));
            }
            let checkpoint = CheckpointCreated { name: shorten(name), order: Some(order) };
            allowed(status.takes_results() && state.undoing().is_none(), Event::CheckpointCreated(checkpoint))
        }
        Command::Rollback { to, compensate } => undo::rollback(state, to, *compensate, order),
        Command::Decide { step, verdict, output } => {
            if !(status.takes_results() || status == RunStatus::Stuck) {
                return Err(Rejection::RunIs(status));
            }
            hold::decide(state, step, *verdict, output.as_ref(), order)
        }
        Command::Approve { step, approved, data } => wait::approve(state, step, *approved, data.as_ref(), order),
        Command::Retry if status == RunStatus::Stuck => hold::decide(state, "", Verdict::Retry, None, order),
        Command::Retry => {
            let generation = state.generation() + 1;
            allowed(status == RunStatus::Failed, Event::RunReopened(RunReopened { order, generation }))
        }
        Command::RaiseBudget { add } => budget::raise(state, *add, order),
        Command::Signal { step, answer } => signal(state, step, answer, order),
        Command::Patch { patch } => growth::patch(state, patch, order),
    }
}

/// True if the run may have one more checkpoint.
pub(super) fn may_checkpoint(state: &RunState) -> bool {
    state.checkpoints().len() < MAX_CHECKPOINTS
}

/// True for a run that has not ended, held and set aside ones included.
const fn is_live(status: RunStatus) -> bool {
    status.takes_results() || matches!(status, RunStatus::Quarantined)
}

/// The run is held, and what is under way does not come to its end. An attempt that must not be made twice is held with it:
/// nobody will know how it ended.
fn pause_work(state: &RunState, work: Work, order: Order) -> Result<Vec<Event>, Rejection> {
    if !state.status().takes_results() {
        return Err(Rejection::RunIs(state.status()));
    }
    if state.undoing().is_some() && work == Work::Cancel {
        return Err(Rejection::Undoing);
    }
    let is_unsafe = |(index, open): &(StepIndex, &OpenAttempt)| {
        open.suspended.is_none() && state.is_asked_once(*index) && work == Work::Cancel
    };
    let error = Failure { kind: AgentErrorKind::Cancelled, message: "its agent was asked to stop".into() };
    let held = state.open_attempts().filter(is_unsafe).map(|(index, _)| {
        let (step, attempt) = (state.plan().path(index), state.step(index).attempts);
        Event::StepHeld(StepHeld { step, attempt, error: error.clone(), outcome_unknown: true, answer: None })
    });
    Ok(held.chain([Event::RunPaused(RunPaused { order, work })]).collect())
}

/// Somebody answers a step that waits.
fn signal(state: &RunState, step: &str, answer: &Payload, order: Order) -> Result<Vec<Event>, Rejection> {
    if !state.status().takes_results() {
        return Err(Rejection::RunIs(state.status()));
    }
    let mut waiting = state.waiting().filter(|index| step.is_empty() || state.plan().path(*index).as_str() == step);
    let (Some(index), None) = (waiting.next(), waiting.next()) else {
        let waiting = state.waiting().map(|index| state.plan().path(index)).collect();
        return Err(Rejection::NotWaiting { step: step.to_owned(), waiting });
    };
    let (step, attempt) = (state.plan().path(index), state.step(index).attempts);
    wait::signalled(state, index, SignalReceived { order, step, attempt, answer: answer.clone() })
}

#[cfg(test)]
mod tests {
    use super::super::testing::Given;
    use super::*;
    use crate::ports::agent::AgentErrorKind::InvalidInput;
    use crate::ports::agent::Need;
    use crate::run::{Input, StepStatus};
    use crate::schedule::{Width, admit};
    use crate::value::Json;
    use crate::workflow::OnError;

    const TWO: &str = "- {id: a, capability: c}\n- {id: b, capability: c, depends_on: [a]}";

    #[test]
    fn what_was_left_to_its_agent_is_followed_again_once_it_is_to_come_to_its_end() {
        let mut run = Given::steps(TWO);
        run.start("a", "x").unwrap();
        run.command(Command::PauseWork { work: Work::Leave }).unwrap();
        assert!(!run.state.follows_work());
        let mut applied = crate::run::Applied::default();
        let command = Command::PauseWork { work: Work::Finish };
        let input = Input::Command { command, order: Order::new("ana", "") };
        crate::run::apply(&mut run.state, &input, run.now, &mut applied).unwrap();
        assert!(run.state.follows_work());
        assert_eq!(applied.touched, [0], "its open work is looked at");
    }

    fn answer(step: &str) -> Command {
        Command::Signal { step: step.into(), answer: Payload::Inline(Json::parse("\"pdf\"").unwrap()) }
    }

    fn suspend(run: &mut Given, step: &str) {
        let input = Input::SuspendAttempt {
            key: run.key(step),
            need: Need::Input,
            message: "which?".into(),
            until: None,
            shown: None,
        };
        run.when(&input).unwrap();
    }

    #[test]
    fn a_cancelled_or_terminated_run_takes_nothing_more() {
        for (command, status) in [(Command::Cancel, RunStatus::Cancelled), (Command::Terminate, RunStatus::Terminated)]
        {
            let mut run = Given::steps(TWO);
            run.start("a", "x").unwrap();
            run.command(command.clone()).unwrap();
            assert_eq!(run.state.status(), status);
            assert_eq!(run.state.step(0).status(), StepStatus::Cancelled);
            assert_eq!(run.state.in_flight(), 0);
            assert_eq!(run.complete("a"), Err(Rejection::RunIs(status)));
            for refused in [Command::Resume, Command::Pause, Command::Retry] {
                assert_eq!(run.command(refused), Err(Rejection::RunIs(status)));
            }
            assert_eq!(run.command(command), Ok(vec![]), "it is so already");
        }
    }

    #[test]
    fn a_paused_run_starts_nothing_and_takes_what_is_under_way() {
        let mut run = Given::steps("- {id: a, capability: c}\n- {id: b, capability: c}");
        run.start("a", "x").unwrap();
        run.command(Command::Pause).unwrap();
        assert!(admit(&run.state, run.now).is_empty());
        assert!(run.start("b", "x").is_err());
        run.complete("a").unwrap();
        run.now = run.now.plus(std::time::Duration::from_secs(7200));
        assert!(run.when(&Input::ExpireRun).is_err(), "its time stands still");
        run.command(Command::Resume).unwrap();
        assert_eq!(admit(&run.state, run.now), [1]);
        run.start("b", "x").unwrap();
        run.command(Command::Pause).unwrap();
        run.complete("b").unwrap();
        assert_eq!(run.state.status(), RunStatus::Paused, "it ends when it goes on");
        run.command(Command::Resume).unwrap();
        assert_eq!(run.state.status(), RunStatus::Completed);
    }

    #[test]
    fn a_retry_begins_what_is_not_complete_anew_and_keeps_what_is() {
        let steps = "- {id: a, capability: c}\n- {id: b, capability: c, depends_on: [a]}\n\
                     - {id: d, capability: c}\n- {id: e, capability: c, depends_on: [b, d]}";
        let mut run = Given::with(steps, Width::Bounded(4), OnError::Fail);
        assert!(run.command(Command::Retry).is_err(), "it has not failed");
        run.start("a", "x").unwrap();
        run.start("d", "x").unwrap();
        run.complete("a").unwrap();
        run.start("b", "x").unwrap();
        let late = run.key("b");
        run.fail("b", InvalidInput, false).unwrap();
        assert_eq!(run.state.status(), RunStatus::Failed);
        run.command(Command::Retry).unwrap();
        assert_eq!((run.state.status(), run.state.generation()), (RunStatus::Running, 1));
        assert_eq!((run.state.completed(), run.state.failed(), run.state.remaining()), (1, 0, 3));
        let of_before = Input::NoteTask { key: late, task: "t".into() };
        run.start("b", "x").unwrap();
        assert!(run.when(&of_before).is_err(), "a result of the old generation is not taken");
        run.start("d", "x").unwrap();
        for step in ["b", "d"] {
            run.complete(step).unwrap();
        }
        run.start("e", "x").unwrap();
        run.complete("e").unwrap();
        assert_eq!(run.state.status(), RunStatus::Completed);
    }

    #[test]
    fn an_answer_waits_for_its_turn_and_may_be_followed_by_another_question() {
        let mut run = Given::with("- {id: a, capability: c}\n- {id: b, capability: c}", Width::One, OnError::Fail);
        run.start("a", "x").unwrap();
        suspend(&mut run, "a");
        run.start("b", "x").unwrap();
        assert!(matches!(run.command(answer("b")), Err(Rejection::NotWaiting { waiting, .. }) if waiting.len() == 1));
        run.command(answer("")).unwrap();
        assert!(run.command(answer("a")).is_err(), "one answer to one question");
        assert!(admit(&run.state, run.now).is_empty(), "the width is taken");
        run.complete("b").unwrap();
        assert_eq!(admit(&run.state, run.now), [0]);
        let resume = Input::ContinueAttempt { step: run.key("a").path };
        run.when(&resume).unwrap();
        assert!(run.when(&resume).is_err());
        assert_eq!((run.state.in_flight(), run.state.open_attempt(0).unwrap().answers), (1, 1));
        suspend(&mut run, "a");
        assert_eq!(run.state.status(), RunStatus::Waiting);
        run.command(answer("a")).unwrap();
        run.complete("a").unwrap();
        assert_eq!(run.state.status(), RunStatus::Completed);
    }

    #[test]
    fn a_checkpoint_has_a_name_that_means_it_alone() {
        let mut run = Given::steps(TWO);
        for bad in ["", "12", "before:a", "a\nb"] {
            let refused = run.command(Command::Checkpoint { name: bad.into() });
            assert!(matches!(refused, Err(Rejection::BadCheckpoint(_))), "{bad:?}");
        }
        run.command(Command::Checkpoint { name: "12th".into() }).unwrap();
        assert_eq!(run.state.checkpoints().len(), 1);
    }

    #[test]
    fn what_is_left_to_its_agents_is_left_once() {
        let mut run = Given::steps(TWO);
        run.start("a", "x").unwrap();
        let leave = Command::PauseWork { work: Work::Leave };
        assert_eq!(run.command(leave.clone()).unwrap().len(), 1);
        assert_eq!(run.command(leave), Ok(vec![]));
        assert_eq!(run.command(Command::PauseWork { work: Work::Cancel }).unwrap().len(), 1);
    }

    #[test]
    fn a_request_is_applied_once() {
        let mut run = Given::steps(TWO);
        let order = Order { request: Some(uuid::Uuid::from_u128(7)), ..Order::new("ana", "") };
        let pause = Input::Command { command: Command::Pause, order };
        assert_eq!(run.when(&pause).unwrap().len(), 1);
        run.command(Command::Resume).unwrap();
        assert_eq!(run.when(&pause), Ok(vec![]), "a late copy does not pause it again");
        assert_eq!(run.state.status(), RunStatus::Running);
    }
}
