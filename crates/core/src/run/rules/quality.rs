//! The verdict on an answer, and what follows if it is not good enough: another try by `rules/retry.rs`, or the answer all the
//! same, or the end of the step, or a person.

use super::attempt::{Told, completed};
use super::retry;
use crate::plan::StepIndex;
use crate::ports::agent::{AgentError, AgentErrorKind};
use crate::quality::{Findings, assess as assess_answer};
use crate::run::event::{Event, Failure, KeptAnswer, QualityAssessed, QualityVerdict, StepHeld};
use crate::run::state::RunState;
use crate::time::Timestamp;
use crate::workflow::{AtLast, OnBelow};

/// The assessment of an answer; none where nobody asks for one and its agent tells no scores, or where the run wants none.
pub(super) fn assess(state: &RunState, index: StepIndex, attempt: u32, told: Told<'_>) -> Option<QualityAssessed> {
    let scores = told.report.map(|report| &report.quality).filter(|scores| !scores.is_empty());
    if scores.is_none() && !state.says_quality(index) {
        return None;
    }
    let rule = state.quality_rule(index)?;
    let (none, nothing) = (Default::default(), Findings::default());
    let assessment = assess_answer(&rule, scores.unwrap_or(&none), told.findings.unwrap_or(&nothing));
    let verdict = match rule.on_below {
        _ if assessment.scores.is_empty() => QualityVerdict::Unscored,
        _ if assessment.is_good() => QualityVerdict::Passed,
        // What is undone must be complete; its answer is of use for that alone.
        _ if state.undoing().is_some() => QualityVerdict::Accepted,
        OnBelow::Accept => QualityVerdict::Accepted,
        OnBelow::Retry | OnBelow::NextAgent | OnBelow::Fail | OnBelow::Ask => QualityVerdict::Below,
    };
    if verdict == QualityVerdict::Unscored && !rule.is_said {
        return None;
    }
    Some(QualityAssessed { step: state.plan().path(index), attempt, domain: rule.domain, verdict, assessment })
}

/// What follows an answer that is not good enough, its assessment first.
pub(super) fn below(
    state: &RunState,
    index: StepIndex,
    assessed: &QualityAssessed,
    told: Told<'_>,
    grown: Option<Event>,
    now: Timestamp,
) -> Vec<Event> {
    let Some(rule) = state.quality_rule(index) else { return Vec::new() };
    let usage = told.report.map(|report| Box::new(report.usage)).filter(|usage| !usage.is_empty());
    let error = AgentError::new(AgentErrorKind::QualityBelow, assessed.assessment.shortfall());
    let error = AgentError { usage, ..error };
    let other_agent = told.findings.is_some_and(|findings| findings.other_agent);
    let again = |other_agent| retry::after_failure(state, index, assessed.attempt, &error, other_agent, 0.0, now);
    let failed = |events: &[Event]| matches!(events.first(), Some(Event::AttemptFailed(f)) if f.retry_at.is_none());
    let (events, last) = match rule.on_below {
        OnBelow::Retry => (again(false), rule.at_last),
        OnBelow::NextAgent if other_agent => (again(true), rule.at_last),
        OnBelow::NextAgent => (retry::for_good_at(state, index, assessed.attempt, &error, now), rule.at_last),
        OnBelow::Ask => (Vec::new(), AtLast::Ask),
        OnBelow::Accept | OnBelow::Fail => {
            (retry::for_good_at(state, index, assessed.attempt, &error, now), AtLast::Fail)
        }
    };
    let first = |verdict| Event::QualityAssessed(Box::new(QualityAssessed { verdict, ..assessed.clone() }));
    let artifacts = || told.artifacts.iter().cloned().map(Event::ArtifactRecorded);
    match last {
        _ if !events.is_empty() && !failed(&events) => {
            [first(QualityVerdict::Below)].into_iter().chain(events).collect()
        }
        AtLast::Fail => [first(QualityVerdict::Below)].into_iter().chain(events).collect(),
        AtLast::Accept => {
            let done = completed(state, index, told.output.clone(), told.missing_inputs.to_vec(), told.report);
            artifacts().chain([first(QualityVerdict::Accepted)]).chain(done).chain(grown).collect()
        }
        AtLast::Ask => {
            let answer = KeptAnswer {
                output: told.output.clone(),
                missing_inputs: told.missing_inputs.to_vec(),
                report: told.report.cloned().map(Box::new),
                grows: told.grows.cloned().map(Box::new),
            };
            let held = StepHeld {
                step: state.plan().path(index),
                attempt: assessed.attempt,
                error: Failure::from(&error),
                outcome_unknown: false,
                answer: Some(Box::new(answer)),
            };
            artifacts().chain([first(QualityVerdict::Below), Event::StepHeld(held)]).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Given;
    use super::*;
    use crate::ports::agent::{AgentReport, Usage};
    use crate::run::{Command, Input, Rejection, RunStatus, StepStatus, Verdict};
    use crate::value::{Json, Payload};

    fn answer(run: &mut Given, score: Option<f64>, other_agent: bool) -> Result<Vec<Event>, Rejection> {
        let quality = score.map(|score| ("completeness".to_owned(), score)).into_iter().collect();
        let report = AgentReport { quality, usage: Usage { tokens_in: 3, ..Usage::default() } };
        run.when(&Input::CompleteAttempt {
            key: run.key("a"),
            output: Payload::Inline(Json::parse(r#"{"text":"draft"}"#).unwrap()),
            artifacts: vec![],
            missing_inputs: vec![],
            report: Some(Box::new(report)),
            grows: None,
            findings: Some(Box::new(Findings { other_agent, ..Findings::default() })),
        })
    }

    fn names(events: &[Event]) -> Vec<&'static str> {
        events.iter().map(Event::name).collect()
    }

    fn given(quality: &str) -> Given {
        let steps = format!(
            "- {{id: a, capability: c, retry: {{max_attempts: 2}}, quality: {quality}}}\n- {{id: b, capability: c, depends_on: [a]}}"
        );
        let mut run = Given::steps(&steps);
        run.start("a", "x").unwrap();
        run
    }

    #[test]
    fn what_is_good_enough_is_recorded_with_the_result_and_its_successors_are_released() {
        let mut run = given("{}");
        assert_eq!(names(&answer(&mut run, Some(0.95), false).unwrap()), ["QualityAssessed", "StepCompleted"]);
        assert_eq!(run.state.judged(0).unwrap().verdict, QualityVerdict::Passed);
        assert!(run.start("b", "x").is_ok());
    }

    #[test]
    fn nothing_is_recorded_where_nobody_asks_and_nobody_tells() {
        let mut run = Given::steps("- {id: a, capability: c}");
        run.start("a", "x").unwrap();
        assert_eq!(names(&answer(&mut run, None, false).unwrap()), ["StepCompleted", "RunCompleted"]);
        let mut run = Given::steps("- {id: a, capability: c}");
        run.start("a", "x").unwrap();
        let told = answer(&mut run, Some(0.1), false).unwrap();
        assert_eq!(names(&told), ["QualityAssessed", "StepCompleted", "RunCompleted"], "it is taken, and marked");
        assert_eq!(run.state.judged(0).unwrap().verdict, QualityVerdict::Accepted);
        let mut run = given("{}");
        let events = answer(&mut run, None, false).unwrap();
        assert!(matches!(&events[0], Event::QualityAssessed(q) if q.verdict == QualityVerdict::Unscored));
        let mut run = given("{enabled: false}");
        assert_eq!(names(&answer(&mut run, Some(0.0), false).unwrap()), ["StepCompleted"]);
    }

    #[test]
    fn the_agent_is_asked_again_at_once_with_feedback_as_often_as_the_policy_lets() {
        let mut run = given("{}");
        let events = answer(&mut run, Some(0.5), true).unwrap();
        assert_eq!(names(&events), ["QualityAssessed", "AttemptFailed"]);
        let Event::AttemptFailed(failed) = &events[1] else { unreachable!() };
        assert_eq!((failed.retry_at, failed.new_round), (Some(run.now), true));
        assert_eq!(failed.usage.as_deref(), Some(&Usage { tokens_in: 3, ..Usage::default() }), "it was paid for");
        assert_eq!(run.state.asked_again(0).unwrap().as_str(), "x");
        let feedback = run.state.feedback(0).unwrap();
        assert_eq!((feedback.attempt, feedback.score, feedback.failed.len()), (1, Some(0.5), 2));
        run.start("a", "x").unwrap();
        assert!(run.state.feedback(0).is_some(), "the attempt under way is told");
        let events = answer(&mut run, Some(0.5), true).unwrap();
        assert_eq!(names(&events)[..3], ["QualityAssessed", "AttemptFailed", "StepFailed"]);
        assert!(matches!(&events[2], Event::StepFailed(f) if f.error.kind == AgentErrorKind::QualityBelow));
    }

    #[test]
    fn another_agent_is_asked_as_long_as_there_is_one() {
        let mut run = given("{on_below: next_agent}");
        assert_eq!(names(&answer(&mut run, Some(0.5), true).unwrap()), ["QualityAssessed", "AttemptFailed"]);
        assert_eq!(run.state.step(0).tried, ["x".parse().unwrap()]);
        assert_eq!(run.state.asked_again(0), None);
        run.start("a", "y").unwrap();
        assert!(run.state.feedback(0).is_some());
        assert_eq!(names(&answer(&mut run, Some(0.95), false).unwrap()), ["QualityAssessed", "StepCompleted"]);
        assert!(run.state.feedback(0).is_none());
        let mut run = given("{on_below: next_agent}");
        let events = answer(&mut run, Some(0.5), false).unwrap();
        assert!(matches!(events[2], Event::StepFailed(_)), "nobody is left");
    }

    #[test]
    fn at_last_the_answer_is_taken_or_a_person_decides() {
        for (last, then) in [("accept", "StepCompleted"), ("ask", "StepHeld"), ("fail", "AttemptFailed")] {
            let mut run = given(&format!("{{at_last: {last}}}"));
            answer(&mut run, Some(0.5), false).unwrap();
            run.start("a", "x").unwrap();
            assert_eq!(names(&answer(&mut run, Some(0.6), false).unwrap())[..2], ["QualityAssessed", then], "{last}");
        }
        let mut run = given("{on_below: accept}");
        assert_eq!(names(&answer(&mut run, Some(0.5), false).unwrap()), ["QualityAssessed", "StepCompleted"]);
        let mut run = given("{on_below: fail}");
        assert_eq!(
            names(&answer(&mut run, Some(0.5), false).unwrap())[..3],
            ["QualityAssessed", "AttemptFailed", "StepFailed"]
        );
    }

    #[test]
    fn a_person_may_take_the_answer_that_was_kept_or_have_it_done_again() {
        let decide = |verdict, output| Command::Decide { step: String::new(), verdict, output };
        let held = || {
            let mut run = given("{on_below: ask}");
            assert_eq!(names(&answer(&mut run, Some(0.5), false).unwrap()), ["QualityAssessed", "StepHeld"]);
            assert_eq!((run.state.status(), run.state.step(0).status()), (RunStatus::Waiting, StepStatus::Waiting));
            run
        };
        let mut run = held();
        run.command(decide(Verdict::Done, None)).unwrap();
        assert!(
            matches!(run.state.output(0), Some(Payload::Inline(output)) if output.as_str() == r#"{"text":"draft"}"#)
        );
        let mut run = held();
        run.command(decide(Verdict::Done, Some(Payload::Inline(Json::null())))).unwrap();
        assert_eq!(
            run.state.output(0),
            Some(&Payload::Inline(Json::null())),
            "what is given counts before what was kept"
        );
        let mut run = held();
        run.command(decide(Verdict::Retry, None)).unwrap();
        assert!(run.start("a", "x").is_ok());
        let mut run = held();
        run.command(decide(Verdict::Fail, None)).unwrap();
        assert_eq!(run.state.step(0).status(), StepStatus::Failed);
    }

    #[test]
    fn while_the_run_is_undone_an_answer_is_taken_since_it_has_to_be_undone() {
        let steps = "- {id: a, capability: c, compensate: {capability: u}, quality: {}}\n- {id: b, capability: c, on_error: compensate}";
        let mut run = Given::steps(steps);
        run.start("a", "x").unwrap();
        run.start("b", "x").unwrap();
        run.fail("b", AgentErrorKind::InvalidInput, false).unwrap();
        assert!(run.state.undoing().is_some());
        let events = answer(&mut run, Some(0.1), true).unwrap();
        assert_eq!(names(&events)[..2], ["QualityAssessed", "StepCompleted"]);
        assert_eq!(run.state.judged(0).unwrap().verdict, QualityVerdict::Accepted);
    }

    #[test]
    fn what_was_said_of_answers_that_were_rolled_back_is_forgotten_and_of_those_that_stand_is_not() {
        let mut run = given("{}");
        answer(&mut run, Some(0.95), false).unwrap();
        let seq = run.state.seq();
        run.command(Command::Rollback { to: crate::run::Point::Seq(seq), compensate: true }).unwrap();
        assert!(run.state.judged(0).is_some());
        run.start("b", "x").unwrap();
        run.command(Command::Rollback { to: crate::run::Point::Seq(1), compensate: true }).unwrap();
        assert_eq!((run.state.judged(0), run.state.step(0).status()), (None, StepStatus::Pending));
    }
}
