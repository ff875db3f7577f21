//! What a workflow must fulfil beyond the form of its fields.

use std::collections::HashSet;

use super::bodies::{Around, check_body};
use super::budget::check_budget;
use super::dataflow::{Binding, Captures, DataFlow};
use super::definition::{Step, Workflow};
use super::form::check_form;
use super::graph::examine;
use super::inputs::SESSION;
use super::mapping::OutputField;
use super::problem::Problem;
use super::quality::{OnBelow, Quality};
use super::recovery::{Compensation, RetryPolicy};
use super::resources::bad_resources;
use super::topology::{StepIndex, Topology};
use super::undo::with_undos;
use super::wait::Overdue;
use crate::limits;
use crate::time::Span;
use crate::value::DataPath;

/// What the names of checkpoints begin with that are made by themselves.
const AUTOMATIC: &str = "before:";

/// Checks a workflow: ids, numbers, the graph, and who reads and writes the run's data. Linear in steps and edges.
#[must_use]
pub fn validate(workflow: &Workflow) -> Vec<Problem> {
    validate_in(workflow, Around::NOTHING)
}

/// As [`validate`], for a workflow that a step of another one may hold.
pub(super) fn validate_in(workflow: &Workflow, around: Around) -> Vec<Problem> {
    let mut problems = Vec::new();
    check_workflow(workflow, &mut problems);
    if workflow.steps.len() > limits::MAX_STEPS {
        return problems;
    }
    for (index, step) in workflow.steps.iter().enumerate() {
        check_step(index, step, &mut problems);
        check_body(workflow, around, index, step, &mut problems);
    }
    check_budget(workflow, &mut problems);
    check_rules(workflow, &mut problems);
    let (topology, wrong) = examine(workflow);
    // With a dependency that could not be read, two steps may only seem unordered.
    let is_ordered = !wrong.iter().any(|problem| problem.field.starts_with("depends_on"));
    problems.extend(wrong);
    if let (Some(topology), true) = (topology, is_ordered) {
        check_data(workflow, around, &topology, &mut problems);
    }
    problems
}

fn check_workflow(workflow: &Workflow, problems: &mut Vec<Problem>) {
    let steps = workflow.steps.len();
    if steps == 0 {
        problems.push(Problem::error("steps", "must hold at least one step"));
    }
    if steps > limits::MAX_STEPS {
        problems.push(Problem::error("steps", format!("{steps} steps; {} are allowed", limits::MAX_STEPS)));
    }
    let width = workflow.max_concurrent_tasks;
    if !(1..=limits::MAX_WIDTH).contains(&width) {
        let reason = format!("is {width}; must be 1 to {}", limits::MAX_WIDTH);
        problems.push(Problem::error("max_concurrent_tasks", reason));
    }
    if !(1..=limits::MAX_ATTEMPTS).contains(&workflow.recoveries) {
        let reason = format!("is {}; must be 1 to {}", workflow.recoveries, limits::MAX_ATTEMPTS);
        problems.push(Problem::error("recoveries", reason));
    }
    if workflow.parallel_threshold == 0 {
        problems.push(Problem::error("parallel_threshold", "is 0; must be at least 1"));
    }
    if let Some(reason) = bad_span(workflow.timeout) {
        problems.push(Problem::error("timeout", reason));
    }
    if let Some(quality) = &workflow.quality {
        let wrong = quality.problems().into_iter();
        problems.extend(wrong.map(|(field, reason)| Problem::error(format!("quality.{field}"), reason)));
    }
    if !workflow.data.is_object() {
        problems.push(Problem::error("data", "must be an object"));
    }
    for name in workflow.inputs.keys() {
        if let Err(reason) = name.parse::<DataPath>() {
            problems.push(Problem::error(format!("inputs.{name}"), reason));
        } else if name.contains('.') {
            problems.push(Problem::error(format!("inputs.{name}"), "must have no dot: it names a member of the data"));
        }
    }
}

fn check_step(index: usize, step: &Step, problems: &mut Vec<Problem>) {
    let mut report = |field: &str, reason: String| problems.push(Problem::in_step(index, &step.id, field, reason));
    if let Some(reason) = bad_span(step.timeout) {
        report("timeout", reason);
    }
    if let Some(reason) = step.estimated_duration.and_then(bad_span) {
        report("estimated_duration", reason);
    }
    if let Some(reason) = step.total_timeout.and_then(bad_span) {
        report("total_timeout", reason);
    }
    if let Some(reason) = step.idle_timeout.and_then(bad_span) {
        report("idle_timeout", reason);
    }
    for (field, reason) in step.resources.into_iter().flat_map(bad_resources) {
        report(field, reason);
    }
    check_retry("", &step.retry, &mut report);
    check_kind(step, &mut report);
    if let Some(quality) = &step.quality {
        check_quality(step, quality, &mut report);
    }
    if let Some(how) = &step.compensate {
        check_compensation(how, &mut report);
    }
    if let Some(reason) = step.checkpoint.as_deref().and_then(bad_checkpoint) {
        report("checkpoint", reason);
    }
    for (field, text) in [("type", &step.task_type), ("action", &step.action), ("stage", &step.stage)] {
        if let Some(reason) = text.as_deref().and_then(bad_label) {
            report(field, reason);
        }
    }
    for name in step.input.keys() {
        if let Some(reason) = bad_label(name) {
            report(&format!("input.{name}"), reason);
        }
    }
    for field in step.output.keys() {
        if let OutputField::Member(name) = field
            && let Some(reason) = bad_label(name)
        {
            report(&format!("output.{name}"), reason);
        }
    }
}

/// Why a text cannot be the name of a checkpoint that somebody makes; `None` if it can.
pub(crate) fn bad_checkpoint(name: &str) -> Option<String> {
    if let Some(reason) = bad_label(name) {
        Some(reason)
    } else if name.starts_with(AUTOMATIC) {
        Some(format!("begins with \"{AUTOMATIC}\", as those do that are made by themselves"))
    } else if name.bytes().all(|byte| byte.is_ascii_digit()) {
        Some("has digits alone, as numbers of events have".to_owned())
    } else {
        None
    }
}

/// A step that waits has nothing that is for agents, and what it needs to know for how long.
fn check_kind(step: &Step, report: &mut impl FnMut(&str, String)) {
    if step.capability.is_none() && step.container().is_none() {
        let for_agents = [
            ("action", step.action.is_some()),
            ("agent", step.agent.is_some()),
            ("compensate", step.compensate.is_some()),
            ("total_timeout", step.total_timeout.is_some()),
            ("idle_timeout", step.idle_timeout.is_some()),
            ("retry", step.retry != RetryPolicy::default()),
            ("reserve", step.reserve.is_some()),
        ];
        for (field, _) in for_agents.iter().filter(|(_, is_there)| *is_there) {
            report(field, format!("is for steps that ask an agent; this one is of kind {}", step.does()));
        }
    }
    let mut wait = |field: &str, span: Option<Span>| {
        if let Some(reason) = span.and_then(bad_span) {
            report(field, reason);
        }
    };
    wait("sleep", step.sleep);
    wait("signal.due", step.signal.as_ref().and_then(|signal| signal.due));
    wait("approval.due", step.approval.as_ref().and_then(|approval| approval.due));
    if let Some(field) = &step.wait_until
        && !step.input.contains_key(field)
    {
        report(
            "wait_until",
            format!("names the field of the step's input that holds the moment; there is no \"{field}\""),
        );
    }
    if let Some(approval) = &step.approval {
        let escalates = approval.overdue == Overdue::Escalate;
        if approval.due.is_none() && approval.overdue != Overdue::Fail {
            report("approval.overdue", "needs `due`: nothing is overdue without it".into());
        }
        if escalates == approval.escalate_to.is_empty() {
            report("approval.escalate_to", "belongs with `overdue: escalate`, and it with this".into());
        }
        if let Some(reason) = bad_text(&approval.message) {
            report("approval.message", reason);
        }
        if let Some(Err(reason)) = approval.form.as_ref().map(check_form) {
            report("approval.form", reason);
        }
    }
}

/// What answers must be like is for steps that are answered, and what must not be done twice is not asked for twice.
fn check_quality(step: &Step, quality: &Quality, report: &mut impl FnMut(&str, String)) {
    for (field, reason) in quality.problems() {
        report(&format!("quality.{field}"), reason);
    }
    if step.approval.is_some() || step.signal.is_some() || step.sleep.is_some() || step.wait_until.is_some() {
        report("quality", format!("is for steps that are answered by agents; this one is of kind {}", step.does()));
    }
    if step.retry.is_unsafe && matches!(quality.on_below, Some(OnBelow::Retry | OnBelow::NextAgent)) {
        report("quality.on_below", "asks again what must not be done twice; use ask, accept or fail".to_owned());
    }
}

fn check_compensation(how: &Compensation, report: &mut impl FnMut(&str, String)) {
    if let Some(reason) = bad_span(how.timeout) {
        report("compensate.timeout", reason);
    }
    check_retry("compensate.", &how.retry, report);
    if let Some(reason) = how.action.as_deref().and_then(bad_label) {
        report("compensate.action", reason);
    }
    for name in how.input.keys() {
        if let Some(reason) = bad_label(name) {
            report(&format!("compensate.input.{name}"), reason);
        }
    }
}

fn check_retry(prefix: &str, retry: &RetryPolicy, report: &mut impl FnMut(&str, String)) {
    let mut report = |field: &str, reason: String| report(&format!("{prefix}{field}"), reason);
    let attempts = retry.max_attempts;
    if !(1..=limits::MAX_ATTEMPTS).contains(&attempts) {
        report("retry.max_attempts", format!("is {attempts}; must be 1 to {}", limits::MAX_ATTEMPTS));
    }
    let factor = retry.backoff_factor;
    if !(1.0..=limits::MAX_BACKOFF_FACTOR).contains(&factor) {
        report("retry.backoff_factor", format!("is {factor}; must be 1 to {}", limits::MAX_BACKOFF_FACTOR));
    }
    if !(0.0..=1.0).contains(&retry.jitter) {
        report("retry.jitter", format!("is {}; must be 0 to 1", retry.jitter));
    }
    for (field, span) in [("retry.backoff", retry.backoff), ("retry.max_backoff", retry.max_backoff)] {
        if span.0 > limits::MAX_TIMEOUT {
            report(field, format!("is {span}; at most {} is allowed", Span(limits::MAX_TIMEOUT)));
        }
    }
}

fn bad_span(span: Span) -> Option<String> {
    if span.0.is_zero() {
        Some("is 0; must be more".into())
    } else if span.0 > limits::MAX_TIMEOUT {
        Some(format!("is {span}; at most {} is allowed", Span(limits::MAX_TIMEOUT)))
    } else {
        None
    }
}

fn bad_text(text: &str) -> Option<String> {
    let len = text.len();
    (len > limits::MAX_MESSAGE_BYTES).then(|| format!("has {len} bytes; {} are allowed", limits::MAX_MESSAGE_BYTES))
}

fn bad_label(text: &str) -> Option<String> {
    if text.is_empty() {
        Some("is empty".into())
    } else if text.len() > limits::MAX_NAME_LEN {
        Some(format!("is longer than {} bytes", limits::MAX_NAME_LEN))
    } else if text.chars().any(char::is_control) {
        Some("has a control character".into())
    } else {
        None
    }
}

/// Rules must be about types that there are.
fn check_rules(workflow: &Workflow, problems: &mut Vec<Problem>) {
    if workflow.dependency_rules.is_empty() {
        return;
    }
    let types: HashSet<&str> = workflow.steps.iter().map(Step::task_type).collect();
    // More than can be told is not looked up in the file: every place costs a walk over all rules.
    let (mut errors, mut warnings) = (0, 0);
    let mut tell = |problem: Problem| {
        let told = if problem.is_error() { &mut errors } else { &mut warnings };
        *told += 1;
        if *told <= limits::MAX_PROBLEMS {
            problems.push(problem);
        }
    };
    let wrong = |field: String, name: &str| match bad_label(name) {
        Some(reason) => Some(Problem::error(field, reason)),
        None if types.contains(name) => None,
        None => Some(Problem::error(field, format!("no step has the type \"{name}\"")).warning()),
    };
    for (of, on) in &workflow.dependency_rules {
        wrong(format!("dependency_rules.{of}"), of).map(&mut tell);
        let mut seen = HashSet::with_capacity(on.len());
        for (i, name) in on.iter().enumerate() {
            let field = format!("dependency_rules.{of}[{i}]");
            if name == of {
                tell(Problem::error(field, "steps of one type cannot depend on one another"));
            } else if !seen.insert(name) {
                tell(Problem::error(field, "stands here twice"));
            } else {
                wrong(field, name).map(&mut tell);
            }
        }
    }
    let untold = errors.max(limits::MAX_PROBLEMS) + warnings.max(limits::MAX_PROBLEMS) - 2 * limits::MAX_PROBLEMS;
    if untold > 0 {
        let reason = format!("{untold} more problems with rules are not shown");
        problems.push(Problem::error("dependency_rules", reason).warning());
    }
}

/// Who writes and who reads the run's data.
fn check_data(workflow: &Workflow, around: Around, topology: &Topology, problems: &mut Vec<Problem>) {
    let extended = with_undos(workflow, topology);
    let own = workflow.steps.len();
    let (workflow, topology, undone) = match &extended {
        Some((workflow, topology, undone)) => (workflow, topology, undone.as_slice()),
        None => (workflow, topology, &[][..]),
    };
    let flow = match DataFlow::new(workflow, topology) {
        Ok(flow) => flow,
        Err(conflicts) => {
            problems.extend(conflicts);
            return;
        }
    };
    for (index, step) in workflow.steps.iter().enumerate() {
        for (name, mapping) in &step.input {
            let Some((path, binding)) = mapping.from.as_ref().zip(flow.binding(index, name)) else { continue };
            let field = format!("input.{name}");
            let found =
                check_read(workflow, around, binding, (index, step), &field, path, mapping.required == Some(false));
            let Some(mut problem) = found else { continue };
            if let Some(undone) = index.checked_sub(own).and_then(|at| undone.get(at)) {
                problem.step_index = Some(*undone as usize);
                problem.field = format!("compensate.{}", problem.field);
            }
            problems.push(problem);
        }
        // Expressions ask themselves whether there is something.
        let required = step.map.as_ref().map(|map| &map.over);
        for (path, binding) in flow.captures(index as StepIndex).into_iter().flat_map(Captures::all) {
            let optional = required != Some(path);
            let field = if optional { "when" } else { "map.over" };
            problems.extend(check_read(workflow, around, binding, (index, step), field, path, optional));
        }
    }
}

fn check_read(
    workflow: &Workflow,
    around: Around,
    binding: &Binding,
    (index, step): (usize, &Step),
    field: &str,
    path: &DataPath,
    optional: bool,
) -> Option<Problem> {
    let Binding { sources, unordered, .. } = binding;
    let at_start = around.inherits || member_at_start(workflow, path);
    let problem = |reason: String| Some(Problem::in_step(index, &step.id, field, reason));
    if let (Some(writer), true) = (unordered, sources.is_empty()) {
        let writer = &workflow.steps[*writer as usize].id;
        if at_start {
            let reason = format!(
                "step \"{writer}\" writes \"{path}\", but this step does not depend on it and will see the value from \
                 the start; to see the written one, add \"{writer}\" to depends_on"
            );
            return problem(reason).map(Problem::warning);
        }
        let reason = format!(
            "\"{path}\" is written by step \"{writer}\", on which this step does not depend; add it to depends_on"
        );
        return problem(reason);
    }
    if sources.is_empty() && !at_start && !optional {
        let reason = format!(
            "nothing gives \"{path}\": it is not in data, not an input, and no step before this one writes it; \
             if that is meant, say {{from: {path}, required: false}}"
        );
        return problem(reason);
    }
    None
}

/// True if the data may hold the path when the run starts.
fn member_at_start(workflow: &Workflow, path: &DataPath) -> bool {
    let first = path.segments().next().unwrap_or_default();
    // What other runs of the session left is known when a run starts.
    first == SESSION
        || workflow.inputs.contains_key(first)
        || crate::value::DataTree::new(workflow.data.clone()).get(path).is_some()
}

#[cfg(test)]
mod tests {
    use crate::workflow::parse;

    fn found(steps: &str) -> Vec<String> {
        let text = format!("id: w\ndata: {{d: 1}}\nsteps:\n{steps}");
        match parse(&text) {
            Ok(parsed) => parsed.warnings.iter().map(ToString::to_string).collect(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }
    #[track_caller]
    fn one(steps: &str, part: &str) {
        let found = found(steps);
        assert!(found.len() == 1 && found[0].contains(part), "{found:#?}");
    }

    #[test]
    fn a_cycle_is_told_with_its_path() {
        one(
            "- {id: a, capability: c, depends_on: [c]}\n- {id: b, capability: c, depends_on: [a]}\n- {id: c, capability: c, depends_on: [b]}\n- {id: d, capability: c, depends_on: [c]}",
            "4:26: error: step a: depends_on: the steps wait for one another: a → b → c → a",
        );
    }

    #[test]
    fn edges_must_name_other_known_steps_once() {
        one(
            "- {id: a, capability: c, depends_on: [a]}",
            "4:39: error: step a: depends_on[0]: the step depends on itself",
        );
        one("- {id: a, capability: c, depends_on: [x]}", "there is no step \"x\"");
        one("- {id: a, capability: c}\n- {id: b, capability: c, depends_on: [a, a]}", "\"a\" stands here twice");
        one("- {id: a, capability: c}\n- {id: A, capability: c}", "differs only by case from \"a\"");
        one("- {id: a, capability: c}\n- {id: a, capability: c}", "is also the id of step number 1");
    }

    #[test]
    fn numbers_out_of_range_are_told() {
        one("- {id: a, capability: c, timeout: 0s}", "timeout: is 0; must be more");
        one("- {id: a, capability: c, timeout: 366d}", "at most");
        one("- {id: a, capability: c, timeout: -1}", "not a possible duration");
        one("- {id: a, capability: c, retry: {max_attempts: 0}}", "retry.max_attempts: is 0; must be 1 to 100");
        one("- {id: a, capability: c, retry: {max_attempts: 4294967296}}", "retry.max_attempts");
        one("- {id: a, capability: c, retry: {backoff_factor: 0.5}}", "retry.backoff_factor: is 0.5");
        one("- {id: a, capability: c, retry: {backoff_factor: .nan}}", "retry.backoff_factor");
        one("- {id: a, capability: c, retry: {jitter: 1.5}}", "retry.jitter: is 1.5; must be 0 to 1");
    }

    #[test]
    fn unordered_writers_of_one_path_are_refused() {
        one("- {id: a, capability: c, output: {x: r}}\n- {id: b, capability: c, output: {x: r.s}}", "\"a\" and \"b\"");
        assert!(
            found(
                "- {id: a, capability: c, output: {x: r}}\n- {id: b, capability: c, output: {x: r}, depends_on: [a]}"
            )
            .is_empty()
        );
        assert!(
            found("- {id: a, capability: c, output: {x: r}}\n- {id: b, capability: c, output: {x: rs}}").is_empty()
        );
    }

    #[test]
    fn one_step_may_not_write_a_path_twice() {
        one("- {id: a, capability: c, output: {x: r, y: r.z}}", "output.");
    }

    #[test]
    fn reads_need_a_source_before_them() {
        one("- {id: a, capability: c, input: {x: nope}}", "nothing gives \"nope\"");
        assert!(found("- {id: a, capability: c, input: {x: {from: nope, required: false}}}").is_empty());
        assert!(found("- {id: a, capability: c, input: {x: d}}").is_empty());
        one(
            "- {id: a, capability: c, output: {x: r}}\n- {id: b, capability: c, input: {x: r.y}}",
            "is written by step \"a\", on which this step does not depend",
        );
        one(
            "- {id: a, capability: c, output: {x: d}}\n- {id: b, capability: c, input: {x: d}}",
            "warning: step b: input.x: step \"a\" writes \"d\"",
        );
    }

    #[test]
    fn one_fault_does_not_hide_another() {
        let found = found(concat!(
            "- {id: a, capability: c, depends_on: [b, x], timeout: 0s}\n",
            "- {id: b, capability: c, depends_on: [a], unheard-of: 1}\n",
            "- {id: b, capability: c}\n",
        ));
        let parts = ["timeout: is 0", "there is no step \"x\"", "a → b → a", "unheard-of", "also the id of step"];
        assert!(parts.iter().all(|part| found.iter().any(|line| line.contains(part))), "{found:#?}");
        let found = self::found(concat!(
            "- {id: a, capability: c, timeout: 0s, output: {x: r}}\n",
            "- {id: b, capability: c, output: {x: r}, input: {q: nope}}\n",
        ));
        assert_eq!(found.len(), 2, "the timeout and the two writers: {found:#?}");
    }

    #[test]
    fn an_empty_workflow_is_refused() {
        assert!(parse("id: w\nsteps: []").unwrap_err()[0].reason.contains("at least one step"));
        assert!(parse("id: w").unwrap_err()[0].reason.contains("missing"));
    }

    #[test]
    fn a_large_chain_and_fan_out_are_checked_in_linear_time() {
        let mut chain = String::from("id: w\nsteps:\n");
        let mut fan = chain.clone();
        for i in 0..20_000 {
            let on =
                |to: i32| if i > 0 { format!(", input: {{x: o{to}}}, depends_on: [s{to}]") } else { String::new() };
            chain += &format!("- {{id: s{i}, capability: c, output: {{'*': o{i}}}{}}}\n", on(i - 1));
            fan += &format!("- {{id: s{i}, capability: c, output: {{'*': o{i}}}{}}}\n", on(0));
        }
        assert!(parse(&chain).is_ok());
        assert!(parse(&fan).is_ok());
    }
}
