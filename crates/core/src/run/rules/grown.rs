//! What befalls runs while steps hold others, and while their plans change.

use super::growth::tests::patch;
use super::testing::Given;
use crate::ports::agent::AgentErrorKind::{InvalidInput, StepsFailed, Unavailable};
use crate::run::event::WaitClosed;
use crate::run::{Command, Event, Input, Phase, Point, Recorded, RunStatus, StepStatus, Verdict, evolve};
use crate::value::{Json, Payload};
use crate::workflow::OnError;

const LIST: &str = "- {id: a, capability: c, map: {over: l, max_concurrent: 2}, retry: {max_attempts: 1}ON}\n\
                    - {id: b, capability: c, depends_on: [a]}";

fn list(on_error: &str) -> Given {
    let on = if on_error.is_empty() { String::new() } else { format!(", on_error: {on_error}") };
    Given::with_data(&LIST.replace("ON", &on), "{l: [1, 2]}")
}

impl Given {
    fn fails(&mut self, step: &str) {
        self.start(step, "x").unwrap();
        self.fail(step, InvalidInput, false).unwrap();
    }

    /// The step that holds others finds that too many of them failed.
    fn found_wanting(&mut self, step: &str) -> Vec<Event> {
        self.go_on(step);
        self.fail(step, StepsFailed, false).unwrap()
    }

    fn time_is_up_for(&mut self, step: &str) {
        let (path, attempt) = (self.key(step).path, self.key(step).attempt);
        let event = Event::WaitClosed(WaitClosed { step: path, attempt });
        let recorded = Recorded { seq: self.state.seq() + 1, at: self.now, event };
        evolve(&mut self.state, &recorded, &mut Vec::new());
        self.history.push(recorded);
    }
}

#[test]
fn attempts_of_one_generation_have_numbers_of_their_own_whatever_begins_anew() {
    let mut run = list("escalate");
    run.expand("a", 0, 2).unwrap();
    run.all(&["a[0]"]);
    run.fails("a[1]");
    let asked = run.key("a[1]");
    assert!(matches!(&run.found_wanting("a")[..], [_, Event::StepHeld(_)]));
    assert_eq!(run.state.status(), RunStatus::Waiting);
    run.command(Command::Decide { step: "a".into(), verdict: Verdict::Retry, output: None }).unwrap();
    run.expand("a", 0, 2).unwrap();
    assert_eq!(run.admitted(), ["a[1]"], "what is complete stays so");
    run.start("a[1]", "x").unwrap();
    assert_ne!(run.key("a[1]"), asked, "an agent would take it for the same message");
    run.kept();
    run.complete("a[1]").unwrap();
    run.go_on("a");
    run.complete("a").unwrap();
    run.all(&["b"]);
    assert_eq!(run.state.status(), RunStatus::Completed);
}

#[test]
fn what_is_tried_again_for_good_is_so_as_often_as_it_says_however_it_is_held() {
    let mut run = list("retry");
    let mut asked = 0;
    while run.state.status() == RunStatus::Running {
        run.now = run.now.plus(std::time::Duration::from_secs(3_600));
        match &run.admitted()[..] {
            [step, ..] if step == "a" && run.state.open_attempt(0).is_some() => drop(run.found_wanting("a")),
            [step, ..] if step == "a" => drop(run.expand("a", 0, 2).unwrap()),
            [step, ..] => {
                asked += u32::from(step == "a[0]");
                let step = step.clone();
                run.fails(&step);
            }
            [] => unreachable!("something moves it"),
        }
        assert!(asked < 20);
    }
    let recoveries = run.state.plan().workflow().recoveries;
    assert_eq!(asked, 1 + 2 * recoveries, "by itself, and once each time that the step is tried again that holds it");
}

#[test]
fn an_attempt_of_which_nobody_knows_is_not_made_again_without_a_word() {
    let steps = "- {id: a, capability: c, map: {over: l}, retry: unsafe, on_error: escalate}";
    let mut run = Given::with_data(steps, "{l: [1]}");
    run.expand("a", 0, 1).unwrap();
    run.start("a[0]", "x").unwrap();
    run.time_is_up_for("a");
    assert_eq!(run.status("a[0]"), StepStatus::Cancelled);
    assert!(matches!(&run.found_wanting("a")[..], [_, Event::StepHeld(_)]));
    run.command(Command::Decide { step: "a".into(), verdict: Verdict::Retry, output: None }).unwrap();
    run.expand("a", 0, 1).unwrap();
    assert_eq!((run.status("a[0]"), run.admitted().len()), (StepStatus::OutcomeUnknown, 0));
    let output = Some(Payload::Inline(Json::null()));
    run.command(Command::Decide { step: "a[0]".into(), verdict: Verdict::Done, output }).unwrap();
    run.go_on("a");
    run.complete("a").unwrap();
    assert_eq!(run.state.status(), RunStatus::Completed);
}

#[test]
fn what_asks_no_agent_may_be_done_again_though_what_it_holds_may_not() {
    let steps = "- {id: a, capability: c, map: {over: l}, when: 'true', retry: unsafe}";
    let mut run = Given::with_data(steps, "{l: [1]}").on_error(OnError::Fail);
    run.start("a", "tutti").unwrap();
    run.command(Command::PauseWork { work: crate::run::Work::Cancel }).unwrap();
    assert_eq!(run.state.held().count(), 0, "it was only looked at");
    run.command(Command::Resume).unwrap();
    run.start("a", "tutti").unwrap();
    let key = run.key("a");
    run.when(&Input::CheckStep { key, omitted: None }).unwrap();
    run.expand("a", 0, 1).unwrap();
    run.all(&["a[0]"]);
    run.go_on("a");
    run.command(Command::PauseWork { work: crate::run::Work::Cancel }).unwrap();
    assert_eq!(run.state.held().count(), 0, "the outputs were only collected");
    run.command(Command::Resume).unwrap();
    run.start("a", "tutti").unwrap();
    let key = run.key("a");
    run.when(&Input::CheckStep { key, omitted: None }).unwrap();
    run.expand("a", 0, 1).unwrap();
    assert_eq!(run.admitted(), ["a"], "all that it holds is there");
}

#[test]
fn what_failed_within_a_step_that_is_complete_stays_as_it_was() {
    let mut run = list("").on_error(OnError::Fail);
    run.expand("a", 0, 2).unwrap();
    run.all(&["a[0]"]);
    run.fails("a[1]");
    run.go_on("a");
    run.complete("a").unwrap();
    let here = run.state.seq();
    run.fails("b");
    run.command(Command::Retry).unwrap();
    assert_eq!((run.status("a[1]"), run.admitted()), (StepStatus::Failed, vec!["b".into()]));
    run.command(Command::Rollback { to: Point::Seq(here), compensate: true }).unwrap();
    assert_eq!((run.status("a[1]"), run.status("a[0]")), (StepStatus::Failed, StepStatus::Completed));
    run.kept();
}

#[test]
fn nothing_goes_forward_from_a_condition_while_the_run_is_undone() {
    let steps = "- {id: a, capability: c, when: 'true', compensate: {capability: u}}\n- {id: b, capability: c}";
    let mut run = Given::steps(steps).on_error(OnError::Compensate);
    run.start("a", "tutti").unwrap();
    let key = run.key("a");
    run.fails("b");
    assert_eq!(run.state.status(), RunStatus::Failed, "there is nothing to wait for");
    assert!(run.when(&Input::CheckStep { key, omitted: None }).is_err());
}

#[test]
fn what_is_undone_waits_for_steps_that_are_held_and_does_not_grow() {
    let steps = "- {id: a, map: {over: l}, capability: c, compensate: {capability: u}}\n- {id: b, capability: c}";
    let mut run = Given::with_data(steps, "{l: [1, 2]}").on_error(OnError::Compensate);
    run.expand("a", 0, 2).unwrap();
    run.start("a[0]", "x").unwrap();
    run.fails("b");
    assert_eq!((run.state.status(), run.admitted().len()), (RunStatus::Running, 0), "a[0] may have to be undone");
    run.complete("a[0]").unwrap();
    assert_eq!(run.admitted(), ["a[0]~undo"]);
    run.all(&["a[0]~undo"]);
    assert_eq!(run.state.status(), RunStatus::Failed);

    let mut run = Given::amendable("- {id: a, capability: c, grows: true, compensate: {capability: u}}");
    run.start("a", "x").unwrap();
    run.command(Command::Rollback { to: Point::Seq(1), compensate: true }).unwrap();
    let Command::Patch { patch } = patch("{add: [{id: z, capability: c}]}") else { unreachable!() };
    let (key, output) = (run.key("a"), Payload::Inline(Json::empty_object()));
    let (artifacts, missing_inputs) = (vec![], vec![]);
    let input = Input::CompleteAttempt {
        key,
        output,
        artifacts,
        missing_inputs,
        report: None,
        grows: Some(patch),
        findings: None,
    };
    run.when(&input).unwrap();
    assert_eq!((run.state.plan().len(), run.admitted()), (1, vec!["a~undo".into()]));
}

#[test]
fn steps_may_wait_for_those_that_are_added_with_them() {
    let mut run = Given::amendable("- {id: a, capability: c}\n- {id: b, capability: c, depends_on: [a]}");
    run.command(patch("{add: [{id: d, capability: c}], replace: [{id: b, capability: c, depends_on: [a, d]}]}"))
        .unwrap();
    run.kept();
    run.all(&["a"]);
    assert_eq!(run.admitted(), ["d"]);
    run.all(&["d", "b"]);
    assert_eq!(run.state.status(), RunStatus::Completed);
}

#[test]
fn what_is_added_behind_a_failure_is_skipped_once_in_whatever_order_it_stands() {
    for added in [
        "{add: [{id: d, capability: c, depends_on: [a]}, {id: e, capability: c, depends_on: [d]}]}",
        "{add: [{id: e, capability: c, depends_on: [d]}, {id: d, capability: c, depends_on: [a]}]}",
    ] {
        let mut run = Given::amendable("- {id: a, capability: c}\n- {id: b, capability: c}");
        run.fails("a");
        run.command(patch(added)).unwrap();
        assert_eq!((run.state.remaining(), run.status("e")), (1, StepStatus::Skipped));
        run.all(&["b"]);
        assert_eq!(run.state.status(), RunStatus::Failed);
    }
}

#[test]
fn a_step_that_is_there_already_waits_for_added_ones_of_a_type_that_its_rule_names() {
    let steps =
        "- {id: a, capability: c}\n- {id: r, capability: report, depends_on: [a]}\n- {id: s, capability: report}";
    let rules = "dependency_rules: {report: [look]}\n";
    let given = |extra: &str| Given::amendable(steps).amendable_as(&format!("id: w\n{extra}steps:\n{steps}"));
    let mut run = given(rules);
    assert_eq!(run.admitted(), ["a", "s"]);
    run.command(patch("{add: [{id: l, capability: look}]}")).unwrap();
    assert_eq!(run.admitted(), ["a", "l"], "s waits for l now");
    run.all(&["l"]);
    assert_eq!(run.admitted(), ["a", "s"]);
    run.start("s", "x").unwrap();
    let refused = run.command(patch("{add: [{id: m, capability: look}]}")).unwrap_err().to_string();
    assert!(refused.contains("\"s\" has begun"), "{refused}");
    run.fail("s", Unavailable, true).unwrap();
    assert!(run.command(patch("{add: [{id: m, capability: look}]}")).is_err(), "it is tried again");
    run.start("s", "x").unwrap();
    run.complete("s").unwrap();
    run.command(patch("{add: [{id: m, capability: look}]}")).unwrap();
    assert_eq!(run.admitted(), ["a", "m"], "what is done is done");
    run.kept();
    let mut run = given(&rules.replace("look", "look, c"));
    assert_eq!(run.admitted(), ["a"], "s waits for a");
    run.command(patch("{replace: [{id: r, capability: report, depends_on: []}], remove: [a]}")).unwrap();
    assert_eq!(run.admitted(), ["r", "s"], "nothing waits for what is not done");
}

#[test]
fn a_step_whose_steps_were_begun_is_not_another_one() {
    let steps = "- {id: a, steps: [{id: x, capability: c, checkpoint: here}, {id: y, capability: c, depends_on: [x]}]}";
    let mut run = Given::amendable(steps);
    run.expand("a", 0, 1).unwrap();
    run.all(&["a/x"]);
    run.command(Command::Rollback { to: Point::Checkpoint("here".into()), compensate: true }).unwrap();
    assert_eq!((run.status("a"), run.status("a/x")), (StepStatus::Pending, StepStatus::Completed));
    assert!(run.command(patch("{replace: [{id: a, capability: c}]}")).is_err());
    assert!(run.command(patch("{remove: [a], add: [{id: q, capability: c}]}")).is_err());
    run.expand("a", 0, 1).unwrap();
    assert_eq!(run.admitted(), ["a/y"]);
    run.all(&["a/y"]);
    run.go_on("a");
    run.complete("a").unwrap();
    assert_eq!(run.state.status(), RunStatus::Completed);
    assert!(run.state.step(run.index("a/y")).attempts == 1 && matches!(run.state.step(0).phase, Phase::Completed(_)));
}
