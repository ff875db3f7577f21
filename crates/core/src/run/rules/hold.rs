//! Steps that are held until a person decides what becomes of them.

use super::attempt::completed;
use super::growth;
use crate::ids::StepPath;
use crate::plan::StepIndex;
use crate::run::event::{AttemptFailed, Event, KeptAnswer, StepDecided, StepFailed};
use crate::run::input::{Order, Rejection, Verdict};
use crate::run::state::{Held, Phase, RunState};
use crate::schedule::has_room;
use crate::value::{Json, Payload};

/// A person says what becomes of a step.
pub(super) fn decide(
    state: &RunState,
    step: &str,
    verdict: Verdict,
    output: Option<&Payload>,
    order: Order,
) -> Result<Vec<Event>, Rejection> {
    let (index, held) = find(state, step)?;
    let path = state.plan().path(index);
    let undoes = state.plan().undone_by(index).is_some();
    let bad = |why| Err(Rejection::BadVerdict(path.clone(), why));
    match verdict {
        Verdict::Fail if undoes => return bad("what undoes a step is tried again, left out, or done by hand"),
        Verdict::Ask if held.unknown.is_none() => return bad("its agent has answered"),
        Verdict::Ask if !has_room(state, index) => return bad("other steps are under way; ask when they have ended"),
        Verdict::Done if !undoes && output.is_none() && held.answer.is_none() => {
            return bad("a step that is done has an output");
        }
        _ => debug_assert!(state.verdicts(index).contains(&verdict), "what may be decided is told"),
    }
    let attempt = state.step(index).attempts;
    let decided = Event::StepDecided(StepDecided { order, step: path.clone(), verdict });
    let done =
        |decided, output| [decided].into_iter().chain(completed(state, index, output, Vec::new(), None)).collect();
    let nothing = || Payload::Inline(Json::null());
    Ok(match verdict {
        Verdict::Done => match (output, held.answer.as_deref()) {
            // The answer is good enough after all.
            (None, Some(KeptAnswer { output, missing_inputs, report, grows })) => {
                let grown = grows.as_deref().map(|patch| growth::grow(state, index, patch)).transpose()?;
                let done = completed(state, index, output.clone(), missing_inputs.clone(), report.as_deref());
                [decided].into_iter().chain(done).chain(grown).collect()
            }
            (output, _) => done(decided, output.cloned().unwrap_or_else(nothing)),
        },
        Verdict::Skip if !undoes => done(decided, nothing()),
        Verdict::Fail => {
            let error = held.error.clone();
            vec![decided, Event::StepFailed(StepFailed { step: path.clone(), error })]
        }
        // The attempt is over: it did not happen.
        Verdict::Retry if held.unknown.is_some() => {
            let error = held.error.clone();
            let failed = AttemptFailed {
                step: path.clone(),
                attempt,
                error,
                retry_at: None,
                new_round: true,
                uncounted: false,
                usage: state.spending().is_some().then(Box::default),
            };
            vec![Event::AttemptFailed(failed), decided]
        }
        Verdict::Retry | Verdict::Skip | Verdict::Ask => vec![decided],
    })
}

impl RunState {
    /// What a person may decide about a step; nothing unless it is held.
    #[must_use]
    pub fn verdicts(&self, index: StepIndex) -> Vec<Verdict> {
        let Phase::Held(held) = &self.step(index).phase else { return Vec::new() };
        let mut verdicts = vec![Verdict::Retry, Verdict::Done, Verdict::Skip];
        verdicts.extend(self.plan().undone_by(index).is_none().then_some(Verdict::Fail));
        verdicts.extend((held.unknown.is_some() && has_room(self, index)).then_some(Verdict::Ask));
        verdicts
    }
}

fn find<'s>(state: &'s RunState, step: &str) -> Result<(StepIndex, &'s Held), Rejection> {
    // What undoes a step is meant by the step's own name too: while it is held the step itself is complete.
    let is_meant = |path: &StepPath| step.is_empty() || path.as_str() == step || path.undone() == Some(step);
    let mut held = state.held().filter(|(index, _)| is_meant(&state.plan().path(*index)));
    match (held.next(), held.next()) {
        (Some(found), None) => Ok(found),
        _ => {
            let held = state.held().map(|(index, _)| state.plan().path(index)).collect();
            Err(Rejection::NotHeld { step: step.to_owned(), held })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Given;
    use super::*;
    use crate::ports::agent::AgentErrorKind::{Failed, InvalidInput, RateLimited, Unavailable};
    use crate::run::{Command, RunStatus, StepStatus, Work};
    use crate::schedule::admit;

    fn decide(verdict: Verdict, output: Option<&str>) -> Command {
        let output = output.map(|text| Payload::Inline(Json::parse(text.to_owned()).unwrap()));
        Command::Decide { step: String::new(), verdict, output }
    }

    #[test]
    fn a_step_that_must_not_be_done_twice_waits_for_a_word_when_no_answer_is_known() {
        let steps = "- {id: pay, capability: c, retry: unsafe}\n- {id: mail, capability: c, depends_on: [pay]}";
        for (verdict, output, status) in [
            (Verdict::Done, Some(r#"{"paid":true}"#), StepStatus::Completed),
            (Verdict::Skip, None, StepStatus::Completed),
            (Verdict::Retry, None, StepStatus::Pending),
            (Verdict::Ask, None, StepStatus::Running),
            (Verdict::Fail, None, StepStatus::Failed),
        ] {
            let mut run = Given::steps(steps);
            run.start("pay", "x").unwrap();
            let events = run.fail("pay", Unavailable, true).unwrap();
            assert!(matches!(&events[..], [Event::StepHeld(held)] if held.outcome_unknown));
            assert_eq!(run.state.step(0).status(), StepStatus::OutcomeUnknown);
            assert_eq!((run.state.status(), run.state.in_flight()), (RunStatus::Waiting, 0));
            assert!(admit(&run.state, run.now).is_empty());
            assert!(run.command(decide(Verdict::Done, None)).is_err(), "without an output it is not done");
            run.command(decide(verdict, output)).unwrap();
            assert_eq!(run.state.step(0).status(), status, "{verdict:?}");
            assert!(matches!(
                run.command(decide(verdict, output)),
                Err(Rejection::NotHeld { .. } | Rejection::RunIs(_))
            ));
            match verdict {
                Verdict::Retry => assert_eq!(run.start("pay", "y").unwrap().len(), 1),
                Verdict::Ask => assert!(run.complete("pay").is_ok()),
                _ => {}
            }
        }
    }

    #[test]
    fn what_was_given_up_is_not_begun_again_without_a_word_however_the_run_goes_on() {
        use crate::run::Point;
        let steps = "- {id: a, capability: c}\n- {id: pay, capability: c, depends_on: [a], retry: unsafe}\n- {id: b, capability: c}";
        for back in [None, Some(Point::Seq(1))] {
            let mut run = Given::with(steps, crate::schedule::Width::Bounded(4), crate::workflow::OnError::Fail);
            run.start("a", "x").unwrap();
            run.complete("a").unwrap();
            run.start("pay", "x").unwrap();
            run.start("b", "x").unwrap();
            run.fail("b", InvalidInput, false).unwrap();
            assert_eq!(run.state.step(1).status(), StepStatus::Cancelled);
            if let Some(to) = back {
                run.command(Command::Rollback { to, compensate: true }).unwrap();
                assert_eq!(run.state.step(1).status(), StepStatus::Pending, "its turn has not come");
                run.start("a", "x").unwrap();
                run.complete("a").unwrap();
            } else {
                run.command(Command::Retry).unwrap();
            }
            assert_eq!(run.state.step(1).status(), StepStatus::OutcomeUnknown);
            run.command(decide(Verdict::Retry, None)).unwrap();
            run.start("pay", "x").unwrap();
        }
    }

    #[test]
    fn an_agent_is_asked_again_only_if_there_is_room_beside_what_is_under_way() {
        let steps = "- {id: pay, capability: c, retry: unsafe}\n- {id: b, capability: c}";
        let mut run = Given::with(steps, crate::schedule::Width::One, crate::workflow::OnError::Continue);
        run.start("pay", "x").unwrap();
        run.fail("pay", Unavailable, true).unwrap();
        run.start("b", "x").unwrap();
        assert!(matches!(run.command(decide(Verdict::Ask, None)), Err(Rejection::BadVerdict(..))));
        run.complete("b").unwrap();
        run.command(decide(Verdict::Ask, None)).unwrap();
        run.complete("pay").unwrap();
        assert_eq!(run.state.status(), RunStatus::Completed);
    }

    #[test]
    fn an_answer_that_says_it_did_not_happen_is_an_answer() {
        for (kind, tries) in [(Failed, true), (RateLimited, true), (InvalidInput, false)] {
            let mut run = Given::steps("- {id: pay, capability: c, retry: unsafe}");
            run.start("pay", "x").unwrap();
            run.fail("pay", kind, true).unwrap();
            assert_eq!(admit(&run.state, run.now).len(), usize::from(tries));
        }
    }

    #[test]
    fn an_escalated_step_waits_for_a_person_and_may_begin_anew_with_all_its_attempts() {
        let mut run = Given::steps(
            "- {id: a, capability: c, on_error: escalate, retry: {max_attempts: 1}}\n- {id: b, capability: c}",
        );
        run.start("a", "x").unwrap();
        run.fail("a", Unavailable, true).unwrap();
        assert_eq!((run.state.step(0).status(), run.state.status()), (StepStatus::Waiting, RunStatus::Running));
        run.start("b", "x").unwrap();
        run.complete("b").unwrap();
        assert_eq!(run.state.status(), RunStatus::Waiting);
        assert!(run.command(decide(Verdict::Ask, None)).is_err());
        run.command(decide(Verdict::Retry, None)).unwrap();
        run.start("a", "x").unwrap();
        assert_eq!(run.key("a").attempt, 2, "numbers go on: they are names");
        run.fail("a", Unavailable, true).unwrap();
        run.command(decide(Verdict::Fail, None)).unwrap();
        assert_eq!(run.state.status(), RunStatus::Failed);
    }

    #[test]
    fn a_step_begins_anew_as_often_as_the_policy_says_and_then_the_run_fails() {
        let step = "- {id: a, capability: c, on_error: retry, retry: {max_attempts: 1, max_backoff: 1s}}";
        let mut run = Given::steps(step);
        for recovery in 1..=3 {
            run.start("a", "x").unwrap();
            let events = run.fail("a", Failed, true).unwrap();
            assert!(matches!(&events[1], Event::StepRecovered(anew) if anew.recovery == recovery));
            assert!(run.start("a", "x").is_err(), "after a wait");
            run.now = run.now.plus(std::time::Duration::from_secs(1));
        }
        run.start("a", "x").unwrap();
        run.fail("a", Failed, true).unwrap();
        assert_eq!(run.state.status(), RunStatus::Failed);
    }

    #[test]
    fn all_attempts_together_have_their_time() {
        let mut run = Given::steps("- {id: a, capability: c, total_timeout: 3s, retry: {max_attempts: 9, jitter: 0}}");
        for _ in 0..2 {
            run.start("a", "x").unwrap();
            run.fail("a", Unavailable, false).unwrap();
            run.now = run.now.plus(std::time::Duration::from_secs(2));
        }
        assert_eq!(run.state.status(), RunStatus::Failed, "a third one would begin after the time is up");
    }

    #[test]
    fn a_held_run_leaves_its_work_or_begins_it_anew() {
        let steps = "- {id: a, capability: c}\n- {id: pay, capability: c, retry: unsafe}";
        for work in [Work::Leave, Work::Cancel] {
            let mut run = Given::steps(steps);
            run.start("a", "x").unwrap();
            run.start("pay", "x").unwrap();
            run.command(Command::PauseWork { work }).unwrap();
            assert_eq!((run.state.status(), run.state.follows_work()), (RunStatus::Paused, work == Work::Cancel));
            run.command(Command::Resume).unwrap();
            if work == Work::Cancel {
                assert_eq!(run.state.step(1).status(), StepStatus::OutcomeUnknown);
                assert_eq!(admit(&run.state, run.now), [0]);
                run.start("a", "x").unwrap();
            } else {
                assert_eq!((run.state.in_flight(), run.state.follows_work()), (2, true));
            }
            run.complete("a").unwrap();
        }
    }
}
