//! Work is undone: because a policy says so, or because somebody wants the run to stand where it stood before.

use crate::ids::StepPath;
use crate::run::event::{Afterwards, Event, Failure, RunFailed, RunRewound, RunStuck, UndoStarted, Undone, shorten};
use crate::run::input::{Order, Point, Rejection};
use crate::run::state::{Phase, RunState, Undo};
use crate::run::status::RunStatus;
use crate::workflow::OnError;

/// What a failure that ends the run leads to under the run's policy.
pub(super) fn after_failure(state: &RunState, policy: OnError, step: Option<StepPath>, error: Failure) -> Event {
    let (to, checkpoint, rewind) = match policy {
        OnError::Compensate => (state.origin_seq(), None, false),
        OnError::Rollback => match state.checkpoints().last() {
            Some((name, seq)) => (*seq, Some(name.clone()), true),
            None => (state.origin_seq(), None, true),
        },
        OnError::Fail | OnError::Continue | OnError::Retry | OnError::Escalate => {
            return Event::RunFailed(RunFailed { step, error, undone: None });
        }
    };
    let failed = Some((step, error));
    Event::UndoStarted(Box::new(UndoStarted {
        order: None,
        failed,
        to,
        checkpoint,
        compensate: true,
        rewind,
        then: Afterwards::Fail,
    }))
}

/// Somebody wants the run to stand where it stood at a point, and to go on from there.
pub(super) fn rollback(
    state: &RunState,
    point: &Point,
    compensate: bool,
    order: Order,
) -> Result<Vec<Event>, Rejection> {
    let status = state.status();
    if state.undoing().is_some() {
        return Err(Rejection::Undoing);
    }
    if status == RunStatus::Pending || !(status.takes_results() || status == RunStatus::Failed) {
        return Err(Rejection::RunIs(status));
    }
    let (to, checkpoint) = find(state, point)?;
    check_undone(state, to)?;
    if status != RunStatus::Failed && stands_at(state, to) {
        return Ok(Vec::new());
    }
    let then = if status == RunStatus::Paused { Afterwards::Pause } else { Afterwards::GoOn };
    let order = Some(order);
    let undo = UndoStarted { order, failed: None, to, checkpoint, compensate, rewind: true, then };
    Ok(vec![Event::UndoStarted(Box::new(undo))])
}

/// What follows while a run is undone.
pub(super) fn settle(state: &RunState, undo: &Undo) -> Option<Event> {
    if let Some(current) = undo.current {
        let Phase::Held(held) = &state.step(current).phase else { return None };
        return Some(Event::RunStuck(RunStuck { step: state.plan().path(current), error: held.error.clone() }));
    }
    if !undo.pending.as_ref().is_some_and(Vec::is_empty) {
        return None;
    }
    if undo.rewind && !undo.rewound {
        let generation = state.generation() + 1;
        return Some(Event::RunRewound(RunRewound { to: undo.to, generation }));
    }
    let (step, error) = undo.failed.clone()?;
    let undone = if undo.rewind { Undone::RolledBack } else { Undone::Compensated };
    Some(Event::RunFailed(RunFailed { step, error, undone: Some(undone) }))
}

fn find(state: &RunState, point: &Point) -> Result<(u64, Option<String>), Rejection> {
    let none = |why: String| Rejection::NoSuchPoint(why);
    match point {
        Point::Checkpoint(name) => {
            let found = state.checkpoints().iter().rev().find(|(known, _)| known == name);
            let (name, seq) = found.ok_or_else(|| none(format!("\"{}\": it has no such checkpoint", shorten(name))))?;
            Ok((*seq, Some(name.clone())))
        }
        Point::Seq(seq) if *seq < state.origin_seq() || *seq > state.seq() => {
            Err(none(format!("{seq}: its events are numbered {} to {}", state.origin_seq(), state.seq())))
        }
        Point::Seq(seq) if state.is_abandoned(*seq) => {
            Err(none(format!("{seq}: that stretch was rolled back already; fork the run from there instead")))
        }
        Point::Seq(seq) => Ok((*seq, None)),
    }
}

/// What was undone when the run failed does not stand at a point after which it was done.
fn check_undone(state: &RunState, to: u64) -> Result<(), Rejection> {
    match state.facts.undone_to {
        Some(undone) if to > undone => Err(Rejection::NoSuchPoint(format!(
            "{to}: what was done after {undone} was undone when the run failed; fork the run from there instead"
        ))),
        _ => Ok(()),
    }
}

/// True if nothing has happened to any step since a point: to be rolled back there again changes nothing.
fn stands_at(state: &RunState, seq: u64) -> bool {
    let is_untouched = |step: &crate::run::StepState| match &step.phase {
        Phase::Completed(_) => step.completed_seq <= seq,
        Phase::Blocked(_) | Phase::Ready(None) | Phase::Idle => step.attempts == 0,
        _ => false,
    };
    state.steps().iter().all(is_untouched)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Given;
    use super::*;
    use crate::ports::agent::AgentErrorKind::{InvalidInput, Unavailable};
    use crate::run::{Command, Input, RunStatus, StepStatus, Verdict};
    use crate::schedule::{Width, admit};

    /// Two bookings at once that can be undone, and a third step that cannot.
    const TRIP: &str = concat!(
        "- {id: flight, capability: c, compensate: {capability: undo}}\n",
        "- {id: hotel, capability: c, compensate: {capability: undo, retry: {max_attempts: 1}}}\n",
        "- {id: car, capability: c, depends_on: [flight], critical: true, retry: {max_attempts: 1}}\n",
        "- {id: mail, capability: c, depends_on: [car, hotel]}",
    );

    fn trip(on_error: OnError) -> Given {
        Given::with(TRIP, Width::Bounded(4), on_error)
    }

    fn names(events: &[Event]) -> Vec<&'static str> {
        events.iter().map(Event::name).collect()
    }

    fn failed_trip(on_error: OnError) -> Given {
        let mut run = trip(on_error);
        for step in ["hotel", "flight"] {
            run.start(step, "x").unwrap();
        }
        for step in ["hotel", "flight"] {
            run.complete(step).unwrap();
        }
        run.start("car", "x").unwrap();
        run.fail("car", InvalidInput, false).unwrap();
        run
    }

    #[test]
    fn a_saga_is_undone_newest_first_and_then_fails() {
        let mut run = failed_trip(OnError::Compensate);
        assert_eq!(run.state.status(), RunStatus::Running);
        assert!(run.start("hotel~undo", "x").is_err(), "not yet");
        run.start("flight~undo", "x").unwrap();
        run.fail("flight~undo", Unavailable, true).unwrap();
        assert!(admit(&run.state, run.now).len() == 1, "what undoes is tried again like any step");
        run.start("flight~undo", "y").unwrap();
        run.complete("flight~undo").unwrap();
        run.start("hotel~undo", "x").unwrap();
        let events = run.complete("hotel~undo").unwrap();
        assert_eq!(names(&events), ["StepCompleted", "RunFailed"]);
        assert!(
            matches!(&events[1], Event::RunFailed(RunFailed { undone: Some(Undone::Compensated), step: Some(step), .. }) if step.as_str() == "car")
        );
        assert_eq!((run.state.status(), run.state.completed()), (RunStatus::Failed, 2), "the data stays");
        assert_eq!(run.state.step(run.index("mail")).status(), StepStatus::Skipped);
        // To try again is to do again what was undone.
        run.command(Command::Retry).unwrap();
        assert_eq!((run.state.completed(), run.state.remaining()), (0, 4));
    }

    fn compensated_trip() -> Given {
        let mut run = failed_trip(OnError::Compensate);
        for undo in ["flight~undo", "hotel~undo"] {
            run.start(undo, "x").unwrap();
            run.complete(undo).unwrap();
        }
        run
    }

    #[test]
    fn what_was_undone_when_the_run_failed_is_not_undone_again_nor_counted_as_done() {
        let mut run = compensated_trip();
        let to = |seq| Command::Rollback { to: Point::Seq(seq), compensate: true };
        let booked = run.state.step(run.index("flight")).completed_seq;
        assert!(matches!(run.command(to(booked)), Err(Rejection::NoSuchPoint(why)) if why.contains("fork")));
        let mut again = run.clone_for_try();
        assert_eq!(names(&again.command(to(1)).unwrap()), ["UndoStarted", "RunRewound"], "nothing is left to undo");
        again.start("flight", "x").unwrap();
        again.complete("flight").unwrap();
        let anew = again.state.seq();
        again.start("hotel", "x").unwrap();
        again.command(to(anew)).unwrap();
        again.complete("hotel").unwrap();
        again.start("hotel~undo", "x").unwrap();
        again.complete("hotel~undo").unwrap();
        assert_eq!(again.state.completed(), 1, "what was done since is undone, and no more");
        // The same for a run that was reopened: what it was before does not stand any more.
        run.command(Command::Retry).unwrap();
        assert!(matches!(run.command(to(booked)), Err(Rejection::NoSuchPoint(_))));
        let before = Point::Checkpoint("before:car".into());
        assert!(run.command(Command::Rollback { to: before, compensate: true }).is_err());
    }

    #[test]
    fn what_did_not_happen_is_not_begun_anew_while_the_run_is_undone_and_what_was_left_out_is_not_undone() {
        let steps = concat!(
            "- {id: pay, capability: c, retry: unsafe, compensate: {capability: undo}}\n",
            "- {id: b, capability: c, retry: {max_attempts: 1}, compensate: {capability: undo}}",
        );
        for verdict in [Verdict::Retry, Verdict::Skip, Verdict::Done] {
            let mut run = Given::with(steps, Width::Bounded(4), OnError::Compensate);
            run.start("pay", "x").unwrap();
            run.start("b", "x").unwrap();
            run.fail("b", InvalidInput, false).unwrap();
            run.fail("pay", Unavailable, true).unwrap();
            assert_eq!(run.state.status(), RunStatus::Waiting, "nobody knows whether there is anything to undo");
            let output = Some(crate::value::Payload::Inline(crate::value::Json::null()));
            run.command(Command::Decide { step: String::new(), verdict, output }).unwrap();
            assert!(run.start("pay", "x").is_err(), "nothing goes forward");
            if verdict == Verdict::Done {
                run.start("pay~undo", "x").unwrap();
                run.complete("pay~undo").unwrap();
            }
            assert_eq!((run.state.status(), run.state.remaining()), (RunStatus::Failed, 0), "{verdict:?}");
        }
    }

    #[test]
    fn a_result_that_was_applied_is_not_called_discarded_when_it_is_told_again() {
        let mut run = failed_trip(OnError::Compensate);
        run.start("flight~undo", "x").unwrap();
        let key = run.key("flight~undo");
        run.complete("flight~undo").unwrap();
        let output = crate::value::Payload::Inline(crate::value::Json::null());
        let again = Input::CompleteAttempt {
            key,
            output,
            artifacts: vec![],
            missing_inputs: vec![],
            report: None,
            grows: None,
            findings: None,
        };
        assert!(matches!(run.when(&again), Err(Rejection::NotUnderWay(_))));
    }

    #[test]
    fn what_may_have_to_be_undone_is_waited_for_and_the_rest_is_stopped() {
        let mut run = trip(OnError::Compensate);
        run.start("flight", "x").unwrap();
        run.complete("flight").unwrap();
        run.start("hotel", "x").unwrap();
        run.start("car", "x").unwrap();
        run.fail("car", InvalidInput, false).unwrap();
        assert_eq!(run.state.step(run.index("hotel")).status(), StepStatus::Running);
        assert!(admit(&run.state, run.now).is_empty(), "nothing is undone before it is known what was done");
        run.complete("hotel").unwrap();
        run.start("hotel~undo", "x").unwrap();
        run.complete("hotel~undo").unwrap();
        run.start("flight~undo", "x").unwrap();
        run.complete("flight~undo").unwrap();
        assert_eq!(run.state.status(), RunStatus::Failed);
    }

    #[test]
    fn what_cannot_be_undone_leaves_the_run_stuck_until_a_person_decides() {
        for (verdict, left) in [(Verdict::Retry, true), (Verdict::Skip, false), (Verdict::Done, false)] {
            let mut run = trip(OnError::Compensate);
            run.start("hotel", "x").unwrap();
            run.complete("hotel").unwrap();
            run.start("flight", "x").unwrap();
            run.complete("flight").unwrap();
            run.start("car", "x").unwrap();
            run.fail("car", InvalidInput, false).unwrap();
            run.start("flight~undo", "x").unwrap();
            run.complete("flight~undo").unwrap();
            run.start("hotel~undo", "x").unwrap();
            let events = run.fail("hotel~undo", Unavailable, true).unwrap();
            assert_eq!(names(&events), ["AttemptFailed", "StepHeld", "RunStuck"]);
            assert_eq!(run.state.status(), RunStatus::Stuck);
            for refused in [Command::Resume, Command::Cancel, Command::Pause] {
                assert!(run.command(refused).is_err());
            }
            let decide = |verdict| Command::Decide { step: "hotel".into(), verdict, output: None };
            assert!(run.command(decide(Verdict::Fail)).is_err());
            run.command(decide(verdict)).unwrap();
            if left {
                assert_eq!(run.state.status(), RunStatus::Running);
                run.start("hotel~undo", "x").unwrap();
                run.complete("hotel~undo").unwrap();
            }
            assert_eq!(run.state.status(), RunStatus::Failed);
        }
    }

    #[test]
    fn under_rollback_the_data_is_that_of_the_last_checkpoint_and_a_retry_goes_on_from_it() {
        let mut run = failed_trip(OnError::Rollback);
        // The checkpoint stands before the car: what was booked before it stays.
        assert_eq!(run.state.status(), RunStatus::Failed);
        assert!(matches!(
            run.history.last().unwrap().event,
            Event::RunFailed(RunFailed { undone: Some(Undone::RolledBack), .. })
        ));
        assert_eq!((run.state.completed(), run.state.generation()), (2, 1));
        run.command(Command::Retry).unwrap();
        assert_eq!(admit(&run.state, run.now), [run.index("car")]);
    }

    #[test]
    fn a_rollback_restores_undoes_once_and_is_done_once() {
        let mut run = trip(OnError::Continue);
        run.start("flight", "x").unwrap();
        run.complete("flight").unwrap();
        run.command(Command::Checkpoint { name: "booked".into() }).unwrap();
        let before: Vec<_> = run.state.plan().indexes().map(|index| run.state.output(index).cloned()).collect();
        run.start("hotel", "x").unwrap();
        run.complete("hotel").unwrap();
        run.start("car", "x").unwrap();
        let late = run.key("car");
        let to = Point::Checkpoint("booked".into());
        let rollback = Command::Rollback { to: to.clone(), compensate: true };
        run.command(rollback.clone()).unwrap();
        assert_eq!(run.command(rollback.clone()), Err(Rejection::Undoing));
        run.start("hotel~undo", "x").unwrap();
        let events = run.complete("hotel~undo").unwrap();
        assert_eq!(names(&events), ["StepCompleted", "RunRewound"]);
        let after: Vec<_> = run.state.plan().indexes().map(|index| run.state.output(index).cloned()).collect();
        assert_eq!((before, run.state.generation()), (after, 1));
        assert_eq!(run.command(rollback), Ok(vec![]), "it stands there already");
        // A result of before is kept as what it is, and changes nothing.
        let output = crate::value::Payload::Inline(crate::value::Json::null());
        let result = Input::CompleteAttempt {
            key: late,
            output,
            artifacts: vec![],
            missing_inputs: vec![],
            report: None,
            grows: None,
            findings: None,
        };
        assert_eq!(names(&run.when(&result).unwrap()), ["ResultDiscarded"]);
        let abandoned = Command::Rollback { to: Point::Seq(8), compensate: true };
        assert!(matches!(run.command(abandoned), Err(Rejection::NoSuchPoint(why)) if why.contains("fork")));
        for step in ["hotel", "car"] {
            run.start(step, "x").unwrap();
            run.complete(step).unwrap();
        }
        run.start("mail", "x").unwrap();
        run.complete("mail").unwrap();
        assert_eq!(run.state.status(), RunStatus::Completed);
        let over = Command::Rollback { to, compensate: true };
        assert!(run.command(over).is_err(), "a completed run never changes");
    }

    #[test]
    fn a_failed_run_is_rolled_back_and_goes_on_and_a_held_one_stays_held() {
        let mut run = failed_trip(OnError::Fail);
        let to_start = Command::Rollback { to: Point::Seq(1), compensate: false };
        let events = run.command(to_start.clone()).unwrap();
        assert_eq!(names(&events), ["UndoStarted", "RunRewound"]);
        assert_eq!((run.state.status(), run.state.completed(), run.state.failed()), (RunStatus::Running, 0, 0));
        run.start("flight", "x").unwrap();
        run.command(Command::Pause).unwrap();
        run.command(to_start.clone()).unwrap();
        assert_eq!((run.state.status(), run.state.in_flight()), (RunStatus::Paused, 0));
        assert_eq!(run.command(to_start), Ok(vec![]), "it stands there already");
    }

    #[test]
    fn when_the_time_is_up_what_was_done_is_undone_too() {
        let mut run = trip(OnError::Compensate);
        run.start("flight", "x").unwrap();
        run.complete("flight").unwrap();
        run.now = run.now.plus(std::time::Duration::from_secs(3600));
        run.when(&Input::ExpireRun).unwrap();
        assert!(run.when(&Input::ExpireRun).is_err(), "what was begun to be undone is undone to the end");
        run.start("flight~undo", "x").unwrap();
        run.complete("flight~undo").unwrap();
        assert_eq!(run.state.status(), RunStatus::Failed);
    }
}
