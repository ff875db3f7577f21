//! What follows when too few of the steps that a step holds succeed, or some are late, and one result is made of all.

use std::time::Duration;

use super::testing::Given;
use crate::ports::agent::AgentErrorKind::{InvalidInput, StepsFailed, Undecided};
use crate::ports::agent::AgentReport;
use crate::run::{Event, Input, RunStatus, StepStatus};
use crate::value::{Json, Payload};

const ASKED: &str = "- {id: a, capability: c, ask: {agents: 2}, retry: {jitter: 0}, aggregate: AGGREGATE}";

fn asked(aggregate: &str) -> Given {
    let mut run = Given::steps(&ASKED.replace("AGGREGATE", aggregate));
    run.expand("a", 1, 2).unwrap();
    run
}

fn one_fails(run: &mut Given) {
    run.all(&["a@1"]);
    run.start("a@2", "x").unwrap();
    run.fail("a@2", InvalidInput, false).unwrap();
    run.go_on("a");
}

#[test]
fn who_is_late_has_failed_when_one_result_is_made_of_several() {
    let mut run = asked("{deadline: 10s}");
    run.start("a@1", "x").unwrap();
    run.complete("a@1").unwrap();
    run.start("a@2", "y").unwrap();
    assert_eq!(run.state.next_wait().map(|(at, _)| at), Some(run.now.plus(Duration::from_secs(10))));
    run.now = run.now.plus(Duration::from_secs(10));
    let step = run.key("a").path;
    run.when(&Input::ExpireWait { step }).unwrap();
    assert_eq!(run.status("a@2"), StepStatus::Cancelled);
    assert!(run.state.is_gathered(0));
    run.kept();
    run.go_on("a");
    run.complete("a").unwrap();
    assert_eq!(run.state.status(), RunStatus::Completed);
}

#[test]
fn those_that_failed_begin_anew_once_where_too_few_succeeded() {
    let mut run = asked("{on_partial: retry}");
    one_fails(&mut run);
    let events = run.fail("a", StepsFailed, false).unwrap();
    assert!(matches!(&events[..], [Event::AttemptFailed(_)]), "{events:?}");
    run.now = run.now.plus(Duration::from_secs(1));
    assert_eq!(run.admitted(), ["a"]);
    run.expand("a", 1, 2).unwrap();
    assert_eq!(run.admitted(), ["a@2"], "who succeeded is not asked again");
    run.start("a@2", "x").unwrap();
    run.fail("a@2", InvalidInput, false).unwrap();
    run.go_on("a");
    run.fail("a", StepsFailed, false).unwrap();
    assert_eq!(run.state.status(), RunStatus::Failed);
}

#[test]
fn a_person_decides_where_too_few_succeeded() {
    let mut run = asked("{minimum: 2, on_partial: escalate}");
    one_fails(&mut run);
    run.fail("a", Undecided, false).unwrap();
    assert_eq!((run.status("a"), run.state.held().count()), (StepStatus::Waiting, 1));
    run.kept();
}

#[test]
fn scores_are_kept_where_one_result_is_made_of_several() {
    let mut run = asked("{strategy: best}");
    run.start("a@1", "x").unwrap();
    let quality = [("accuracy".to_owned(), 0.5), ("style".to_owned(), 0.7)].into();
    let report = AgentReport { quality, ..AgentReport::default() };
    let key = run.key("a@1");
    let done = Input::CompleteAttempt {
        key,
        output: Payload::Inline(Json::null()),
        artifacts: Vec::new(),
        missing_inputs: Vec::new(),
        report: Some(Box::new(report)),
        grows: None,
        findings: None,
    };
    run.when(&done).unwrap();
    let score = run.state.score(run.index("a@1")).unwrap();
    assert!((score - 0.6).abs() < 1e-9);
    run.kept();
}
