//! Steps that hold others, steps that have a condition, and plans that change.

use super::{attempt, retry, wait};
use crate::ids::AttemptKey;
use crate::limits::MAX_RUN_STEPS;
use crate::plan::{PlanPatch, Revised, StepIndex};
use crate::ports::agent::{AgentError, AgentErrorKind, Need};
use crate::run::event::{
    AttemptSuspended, Event, PlanRevised, StepChecked, StepExpanded, StepOmitted, WaitClosed, shorten,
};
use crate::run::evolve::is_fresh;
use crate::run::input::{Order, Rejection};
use crate::run::state::{Phase, RunState};
use crate::schedule::Growth;
use crate::time::Timestamp;
use crate::workflow::Problem;

/// A step that holds others begins them, or waits for those that it began before.
pub(super) fn expand(
    state: &RunState,
    key: &AttemptKey,
    first: u32,
    count: u32,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let (index, open) = attempt::under_way(state, key)?;
    if open.suspended.is_some() || count == 0 {
        return Ok(Vec::new());
    }
    let (step, attempt, due) = (key.path.clone(), key.attempt, wait::due(state, index, None, now));
    if state.undoing().is_some() {
        let error = AgentError::new(AgentErrorKind::Cancelled, "the run is undone before its steps begin");
        return Ok(retry::after_failure(state, index, attempt, &error, false, 0.0, now));
    }
    let plan = state.plan();
    if plan.held_by(index).any(|growth| growth.numbers().contains(&first)) {
        let message = String::new();
        let suspended = AttemptSuspended { step, attempt, need: Need::Steps, message, due, shown: None };
        return Ok(vec![Event::AttemptSuspended(suspended)]);
    }
    let all = plan.len() as u64 + u64::from(plan.held_places()) + u64::from(count) * u64::from(plan.places_of(index));
    if all > MAX_RUN_STEPS as u64 {
        let message = format!("the run would have {all} steps; {MAX_RUN_STEPS} are allowed");
        let error = AgentError::new(AgentErrorKind::TooLarge, message);
        return Ok(retry::after_failure(state, index, attempt, &error, false, 0.0, now));
    }
    Ok(vec![Event::StepExpanded(StepExpanded { step, attempt, first, count, due })])
}

/// A step with a condition goes on, or is not done.
pub(super) fn check(state: &RunState, key: &AttemptKey, omitted: Option<&str>) -> Result<Vec<Event>, Rejection> {
    attempt::under_way(state, key)?;
    let (step, attempt) = (key.path.clone(), key.attempt);
    Ok(vec![match omitted {
        None => Event::StepChecked(StepChecked { step, attempt }),
        Some(reason) => Event::StepOmitted(StepOmitted { step, attempt, reason: shorten(reason) }),
    }])
}

/// The time of a step that holds others is up: it goes on with what is done.
pub(super) fn close(state: &RunState, index: StepIndex) -> Vec<Event> {
    let (step, attempt) = (state.plan().path(index), state.step(index).attempts);
    vec![Event::WaitClosed(WaitClosed { step, attempt })]
}

/// Somebody changes the plan.
pub(super) fn patch(state: &RunState, patch: &PlanPatch, order: Order) -> Result<Vec<Event>, Rejection> {
    let revision = preview(state, patch)?.plan.revision();
    let revised = PlanRevised { revision, patch: patch.clone(), step: None, order: Some(order) };
    Ok(vec![Event::PlanRevised(Box::new(revised))])
}

/// The event of a step whose output adds steps to the plan.
pub(super) fn grow(state: &RunState, index: StepIndex, patch: &PlanPatch) -> Result<Event, Rejection> {
    let revision = amended(state, patch)?.plan.revision();
    let step = Some(state.plan().path(index));
    Ok(Event::PlanRevised(Box::new(PlanRevised { revision, patch: patch.clone(), step, order: None })))
}

/// The plan that a change leads to, if the run takes it from somebody.
///
/// # Errors
/// Why it does not.
pub fn preview(state: &RunState, patch: &PlanPatch) -> Result<Revised, Rejection> {
    if !state.status().takes_results() {
        return Err(Rejection::RunIs(state.status()));
    }
    if state.undoing().is_some() {
        return Err(Rejection::Undoing);
    }
    amended(state, patch)
}

/// The plan that a change leads to, if the run takes it.
///
/// # Errors
/// Why it does not. The only reader of a run's growth.
fn amended(state: &RunState, patch: &PlanPatch) -> Result<Revised, Rejection> {
    let plan = state.plan();
    let bad = |field: String, reason: String| Err(Rejection::BadPatch { field, reason });
    let Growth::Amendable(most) = state.policy().growth else { return Err(Rejection::NotAmendable) };
    if let Some(base) = patch.base.filter(|base| *base != plan.revision()) {
        return Err(Rejection::StalePatch { base, now: plan.revision() });
    }
    if patch.is_empty() {
        return bad("add".into(), "the change changes nothing".into());
    }
    let steps = plan.len() + patch.add.len();
    if steps > most as usize {
        return bad("add".into(), format!("the run would have {steps} steps; it may grow to {most}"));
    }
    let told = |problem: &Problem| match &problem.step {
        Some(step) => (format!("{step}.{}", problem.field), problem.reason.clone()),
        None => (problem.field.clone(), problem.reason.clone()),
    };
    let change = match plan.revised(patch) {
        Ok(change) => change,
        Err(problems) => {
            let (field, reason) = problems.first().map(told).unwrap_or_default();
            return bad(field, reason);
        }
    };
    for index in change.replaced.iter().chain(&change.removed) {
        if !is_fresh(state, *index) {
            let (path, status) = (plan.path(*index), state.step(*index).status());
            let reason = format!("step \"{path}\" is {status}; only what has not begun is changed");
            let field = if change.removed.contains(index) { "remove" } else { "replace" };
            return bad(field.into(), reason);
        }
    }
    let waits =
        |index: &&StepIndex| matches!(state.step(**index).phase, Phase::Ready(_) | Phase::Open(_) | Phase::Held(_));
    if let Some(index) = change.moved.iter().filter(|index| !is_fresh(state, **index)).find(waits) {
        let path = plan.path(*index);
        return bad("add".into(), format!("step \"{path}\" has begun, and would depend on other steps by its type"));
    }
    Ok(change)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::testing::Given;
    use super::*;
    use crate::plan::StepIndex;
    use crate::ports::agent::AgentErrorKind::{InvalidInput, StepsFailed};
    use crate::run::{Command, Input, Point, RunStatus, StepStatus, decode_state, encode_state};
    use crate::schedule::{Policy, Width, admit};
    use crate::workflow::OnError;

    impl Given {
        /// A run whose plan may change.
        pub(in crate::run::rules) fn amendable(steps: &str) -> Self {
            let mut run = Self::with(steps, Width::Bounded(4), OnError::Continue);
            let Event::RunCreated(mut created) = run.history[0].event.clone() else { unreachable!() };
            created.policy = Policy { growth: Growth::Amendable(100), ..created.policy };
            let (state, first) = crate::run::create(run.state.plan().clone(), *created, run.now);
            (run.state, run.history) = (state, vec![first]);
            run
        }

        /// The same for the run of a whole file.
        pub(in crate::run::rules) fn amendable_as(self, file: &str) -> Self {
            let plan = crate::plan::Plan::new(crate::workflow::parse(file).unwrap().workflow).unwrap();
            let definition = plan.definition();
            let created = crate::run::RunCreated { definition, ..self.state.created().clone() };
            let (state, first) = crate::run::create(plan, created, self.now);
            Self { state, history: vec![first], now: self.now }
        }

        /// The step that holds others begins so many.
        pub(in crate::run::rules) fn expand(
            &mut self,
            step: &str,
            first: u32,
            count: u32,
        ) -> Result<Vec<Event>, Rejection> {
            self.start(step, "tutti").unwrap();
            self.more(step, first, count)
        }

        pub(in crate::run::rules) fn more(
            &mut self,
            step: &str,
            first: u32,
            count: u32,
        ) -> Result<Vec<Event>, Rejection> {
            let key = self.key(step);
            self.when(&Input::ExpandStep { key, first, count })
        }

        pub(in crate::run::rules) fn go_on(&mut self, step: &str) {
            let step = self.key(step).path;
            self.when(&Input::ContinueAttempt { step }).unwrap();
        }

        pub(in crate::run::rules) fn admitted(&self) -> Vec<String> {
            let path = |index: StepIndex| self.state.plan().path(index).to_string();
            admit(&self.state, self.now).into_iter().map(path).collect()
        }

        pub(in crate::run::rules) fn all(&mut self, steps: &[&str]) {
            for step in steps {
                self.start(step, "x").unwrap();
                self.complete(step).unwrap();
            }
        }

        pub(in crate::run::rules) fn status(&self, step: &str) -> StepStatus {
            self.state.step(self.index(step)).status()
        }

        pub(in crate::run::rules) fn kept(&self) {
            let kept = encode_state(&self.state);
            let plan = self.state.plan().first();
            let read = decode_state(&plan, &kept).unwrap();
            assert_eq!(read, self.state);
            let paths = |state: &RunState| state.plan().indexes().map(|i| state.plan().path(i)).collect::<Vec<_>>();
            assert_eq!(paths(&read), paths(&self.state), "the plan grows again as it was");
        }
    }

    const LIST: &str = "- {id: a, capability: c, map: {over: l, max_concurrent: 2}, input: {x: {from: item, required: false}}}\n\
                        - {id: b, capability: c, depends_on: [a]}";

    #[test]
    fn the_items_of_a_list_are_worked_on_a_few_at_once_and_then_the_step_goes_on() {
        let mut run = Given::with_data(LIST, "{l: [1, 2, 3]}");
        assert_eq!(run.admitted(), ["a"]);
        run.expand("a", 0, 3).unwrap();
        assert_eq!((run.admitted(), run.status("a")), (vec!["a[0]".into(), "a[1]".into()], StepStatus::Waiting));
        run.kept();
        run.all(&["a[1]"]);
        assert_eq!(run.admitted(), ["a[0]", "a[2]"]);
        run.all(&["a[0]", "a[2]"]);
        assert_eq!((run.admitted(), run.state.completed()), (vec!["a".into()], 0));
        run.go_on("a");
        run.complete("a").unwrap();
        assert_eq!(run.admitted(), ["b"]);
        run.all(&["b"]);
        assert_eq!((run.state.status(), run.state.completed()), (RunStatus::Completed, 2));
        run.kept();
    }

    #[test]
    fn only_what_failed_of_a_list_is_done_again_when_the_run_is_tried_again() {
        let mut run = Given::with_data(LIST, "{l: [1, 2, 3]}");
        run.expand("a", 0, 3).unwrap();
        run.all(&["a[0]", "a[2]"]);
        run.start("a[1]", "x").unwrap();
        run.fail("a[1]", InvalidInput, false).unwrap();
        assert_eq!(run.state.status(), RunStatus::Running, "the step that holds it says what that means");
        run.go_on("a");
        run.fail("a", StepsFailed, false).unwrap();
        assert_eq!(run.state.status(), RunStatus::Failed);
        run.command(Command::Retry).unwrap();
        assert_eq!(run.admitted(), ["a"]);
        let events = run.expand("a", 0, 3).unwrap();
        assert!(matches!(&events[..], [Event::AttemptSuspended(_)]), "they are there already");
        assert_eq!(run.admitted(), ["a[1]"]);
        run.kept();
        run.all(&["a[1]"]);
        run.go_on("a");
        run.complete("a").unwrap();
        run.all(&["b"]);
        assert_eq!(run.state.status(), RunStatus::Completed);
    }

    #[test]
    fn blocks_nest_and_their_steps_wait_for_one_another() {
        let mut run = Given::steps(
            "- {id: a, steps: [{id: x, capability: c}, {id: y, depends_on: [x], steps: [{id: z, capability: c}]}]}",
        );
        run.expand("a", 0, 1).unwrap();
        assert_eq!(run.admitted(), ["a/x"]);
        run.all(&["a/x"]);
        run.expand("a/y", 0, 1).unwrap();
        run.all(&["a/y/z"]);
        for step in ["a/y", "a"] {
            run.go_on(step);
            run.complete(step).unwrap();
        }
        assert_eq!(run.state.status(), RunStatus::Completed);
    }

    #[test]
    fn what_a_step_holds_is_undone_newest_first_with_the_rest() {
        let steps = "- {id: a, map: {over: l, max_concurrent: 1}, capability: c, compensate: {capability: u}}\n\
                     - {id: b, capability: c, depends_on: [a]}";
        let mut run = Given::with_data(steps, "{l: [1, 2]}").on_error(OnError::Compensate);
        run.expand("a", 0, 2).unwrap();
        run.all(&["a[0]", "a[1]"]);
        run.go_on("a");
        run.complete("a").unwrap();
        run.start("b", "x").unwrap();
        run.fail("b", InvalidInput, false).unwrap();
        for step in ["a[1]~undo", "a[0]~undo"] {
            assert_eq!(run.admitted(), [step]);
            run.all(&[step]);
        }
        assert_eq!(run.state.status(), RunStatus::Failed);
    }

    #[test]
    fn a_step_is_repeated_until_it_is_enough() {
        let mut run = Given::steps("- {id: a, capability: c, repeat: {until: output.ok}}");
        run.expand("a", 1, 1).unwrap();
        run.all(&["a#1"]);
        run.go_on("a");
        run.more("a", 2, 1).unwrap();
        assert_eq!(run.admitted(), ["a#2"]);
        run.kept();
        run.all(&["a#2"]);
        run.go_on("a");
        run.complete("a").unwrap();
        assert_eq!(run.state.status(), RunStatus::Completed);
    }

    #[test]
    fn what_is_omitted_holds_nothing_up() {
        let steps = "- {id: a, capability: c, when: 'false'}\n- {id: b, capability: c, depends_on: [a]}";
        let mut run = Given::steps(steps);
        assert!(run.state.asks_for(0).is_none());
        run.start("a", "tutti").unwrap();
        let key = run.key("a");
        run.when(&Input::CheckStep { key, omitted: Some("no".into()) }).unwrap();
        assert_eq!((run.status("a"), run.admitted()), (StepStatus::Skipped, vec!["b".into()]));
        let mut run = Given::steps(steps);
        run.start("a", "tutti").unwrap();
        let key = run.key("a");
        run.when(&Input::CheckStep { key, omitted: None }).unwrap();
        assert!(run.state.asks_for(0).is_some());
        run.all(&["a", "b"]);
        assert_eq!((run.state.status(), run.state.step(0).uncounted), (RunStatus::Completed, 1));
    }

    pub(in crate::run::rules) fn patch(yaml: &str) -> Command {
        let json = crate::workflow::Document::read(yaml).unwrap().to_json();
        Command::Patch { patch: Box::new(serde_json::from_str(&json).unwrap()) }
    }

    #[test]
    fn a_plan_changes_as_a_whole_and_what_has_begun_stays() {
        let mut run = Given::amendable("- {id: a, capability: c}\n- {id: b, capability: c, depends_on: [a]}");
        run.start("a", "x").unwrap();
        run.command(patch("{add: [{id: d, capability: c}, {id: e, capability: c, depends_on: [b, d]}]}")).unwrap();
        assert_eq!((run.admitted(), run.state.remaining(), run.state.plan().revision()), (vec!["d".into()], 4, 1));
        run.kept();
        for (bad, word) in [
            ("{base: 0, remove: [b]}", "revision"),
            ("{remove: [b]}", "removed"),
            ("{remove: [a]}", "removed"),
            ("{replace: [{id: a, capability: q}]}", "running"),
            ("{add: [{id: a, capability: c}]}", "step number 1"),
            (
                "{add: [{id: q, capability: c, depends_on: [e]}], replace: [{id: d, capability: c, depends_on: [q]}]}",
                "d → e → q",
            ),
            ("{}", "nothing"),
        ] {
            let refused = run.command(patch(bad)).unwrap_err().to_string();
            assert!(refused.contains(word), "{bad}: {refused}");
        }
        run.command(patch("{base: 1, remove: [b], replace: [{id: e, capability: c, depends_on: [d]}]}")).unwrap();
        assert_eq!((run.status("b"), run.state.remaining()), (StepStatus::Skipped, 3));
        run.kept();
        run.complete("a").unwrap();
        run.all(&["d", "e"]);
        assert_eq!(run.state.status(), RunStatus::Completed);
        let mut fixed = Given::steps("- {id: a, capability: c}");
        assert_eq!(fixed.command(patch("{remove: [a]}")), Err(Rejection::NotAmendable));
    }

    #[test]
    fn one_after_another_or_several_at_once_is_switched_while_the_run_goes_on() {
        let mut run = Given::amendable("- {id: a, capability: c}\n- {id: b, capability: c}\n- {id: d, capability: c}");
        assert_eq!(run.admitted().len(), 3);
        run.start("a", "x").unwrap();
        run.start("b", "x").unwrap();
        run.command(patch("{max_concurrent_tasks: 1}")).unwrap();
        run.complete("a").unwrap();
        assert!(run.admitted().is_empty(), "one is under way");
        run.command(patch("{max_concurrent_tasks: 2}")).unwrap();
        assert_eq!(run.admitted(), ["d"]);
    }

    #[test]
    fn a_rollback_brings_back_the_plan_of_its_point() {
        let mut run =
            Given::amendable("- {id: a, capability: c}\n- {id: m, capability: c, depends_on: [a], map: {over: l}}");
        run.all(&["a"]);
        let before = run.state.seq();
        run.command(patch("{add: [{id: d, capability: c}], max_concurrent_tasks: 1}")).unwrap();
        run.expand("m", 0, 2).unwrap();
        run.all(&["m[0]"]);
        run.command(Command::Rollback { to: Point::Seq(before), compensate: true }).unwrap();
        assert_eq!((run.state.plan().len(), run.state.plan().growths()), (2, 0));
        assert_eq!((run.state.policy().width, run.admitted()), (Width::Bounded(4), vec!["m".into()]));
        run.kept();
        run.expand("m", 0, 1).unwrap();
        run.all(&["m[0]"]);
        run.go_on("m");
        run.complete("m").unwrap();
        assert_eq!(run.state.status(), RunStatus::Completed);
    }

    #[test]
    fn a_step_adds_steps_by_its_output_and_wrong_ones_fail_the_attempt() {
        let mut run = Given::amendable("- {id: a, capability: c, grows: true, retry: {max_attempts: 2, jitter: 0}}");
        let grow = |run: &mut Given, yaml: &str| {
            let Command::Patch { patch } = patch(yaml) else { unreachable!() };
            let (key, output) = (run.key("a"), crate::value::Payload::Inline(crate::value::Json::empty_object()));
            run.when(&Input::CompleteAttempt {
                key,
                output,
                artifacts: vec![],
                missing_inputs: vec![],
                report: None,
                grows: Some(patch),
                findings: None,
            })
        };
        run.start("a", "x").unwrap();
        let events = grow(&mut run, "{add: [{id: b, capability: c, depends_on: [zz]}]}").unwrap();
        assert!(matches!(&events[0], Event::AttemptFailed(failed) if failed.error.message.contains("zz")));
        run.now = run.now.plus(std::time::Duration::from_secs(60));
        run.start("a", "x").unwrap();
        grow(&mut run, "{add: [{id: b, capability: c, depends_on: [a]}]}").unwrap();
        assert_eq!(run.admitted(), ["b"]);
        run.all(&["b"]);
        assert_eq!((run.state.status(), run.state.completed()), (RunStatus::Completed, 2));
    }

    #[test]
    fn what_is_late_is_not_waited_for_and_not_used() {
        let mut run = Given::with_data(LIST, "{l: [1, 2]}");
        run.expand("a", 0, 2).unwrap();
        run.all(&["a[0]"]);
        run.start("a[1]", "x").unwrap();
        let late = run.key("a[1]");
        let closed = close(&run.state, 0);
        assert!(matches!(&closed[..], [Event::WaitClosed(_)]));
        // As the end of its time would.
        for event in closed {
            let recorded = crate::run::Recorded { seq: run.state.seq() + 1, at: run.now, event };
            crate::run::evolve(&mut run.state, &recorded, &mut Vec::new());
            run.history.push(recorded);
        }
        assert_eq!(run.admitted(), ["a"]);
        let events = run.when(&Input::CompleteAttempt {
            key: late,
            output: crate::value::Payload::Inline(crate::value::Json::empty_object()),
            artifacts: vec![],
            missing_inputs: vec![],
            report: None,
            grows: None,
            findings: None,
        });
        assert!(matches!(&events.unwrap()[..], [Event::ResultDiscarded(_)]));
    }
}
