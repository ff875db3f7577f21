//! Checks of the steps that hold others.

use super::definition::{Step, Workflow};
use super::grow::{Container, SubWorkflow};
use super::problem::Problem;
use super::validate::validate_in;
use crate::ids::WorkflowId;
use crate::limits::{MAX_ASKED, MAX_ITERATIONS, MAX_NESTING, MAX_WIDTH};
use crate::value::DataPath;

/// What the data around a workflow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Around {
    /// True if its steps may read what is not its own.
    pub(super) inherits: bool,
    /// Steps that hold it.
    pub(super) depth: usize,
}

impl Around {
    /// A workflow for itself.
    pub(super) const NOTHING: Self = Self { inherits: false, depth: 0 };
}

/// Checks what a step holds, and how.
pub(super) fn check_body(workflow: &Workflow, around: Around, index: usize, step: &Step, problems: &mut Vec<Problem>) {
    let mut report = |field: &str, reason: String| problems.push(Problem::in_step(index, &step.id, field, reason));
    if step.grows && (step.container().is_some() || step.capability.is_none()) {
        report("grows", "is for steps that ask an agent".into());
    } else if step.grows && around.depth > 0 {
        report("grows", "is for steps of the workflow itself".into());
    }
    check_aggregate(step, &mut report);
    let Some(container) = step.container() else { return };
    if around.depth >= MAX_NESTING {
        return report(container_field(container), format!("is nested deeper than {MAX_NESTING} times"));
    }
    check_numbers(step, &mut report);
    if matches!(container, Container::Block) {
        for (field, _) in [("input", !step.input.is_empty()), ("compensate", step.compensate.is_some())]
            .iter()
            .filter(|(_, is_there)| *is_there)
        {
            report(field, "belongs to the steps that this one holds".into());
        }
    }
    if step.workflow.is_some() && step.compensate.is_some() {
        report("compensate", "belongs to the steps of the workflow".into());
    }
    let Some(body) = step.body(workflow) else { return };
    let inside = Around { inherits: !step.is_isolated(), depth: around.depth + 1 };
    let prefix = |problem: &Problem| match (container, problem.step_index) {
        (Container::Block, Some(at)) => format!("steps[{at}]."),
        (Container::Workflow(_), Some(at)) => format!("workflow.steps[{at}]."),
        (Container::Workflow(_), None) => "workflow.".to_owned(),
        _ => String::new(),
    };
    for mut problem in validate_in(&body, inside) {
        // What is the step itself was checked with it.
        if !matches!(container, Container::Block | Container::Workflow(_)) && !is_deeper(&problem) {
            continue;
        }
        problem.field = format!("{}{}", prefix(&problem), problem.field);
        problem.step = Some(step.id.to_string());
        problem.step_index = Some(index);
        problems.push(problem);
    }
}

fn is_deeper(problem: &Problem) -> bool {
    problem.field.starts_with("steps") || problem.field.starts_with("workflow")
}

const fn container_field(container: Container<'_>) -> &'static str {
    match container {
        Container::Map(_) => "map",
        Container::Repeat(_) => "repeat",
        Container::Ask(_) => "ask",
        Container::Block => "steps",
        Container::Workflow(_) => "workflow",
    }
}

fn check_numbers(step: &Step, report: &mut impl FnMut(&str, String)) {
    let mut bounds = |field: &str, value: Option<u32>, least: u32, most: u32| {
        if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
            report(field, format!("is {value}; must be {least} to {most}"));
        }
    };
    bounds("map.max_concurrent", step.map.as_ref().map(|map| map.max_concurrent), 1, MAX_WIDTH);
    bounds("repeat.max", step.repeat.as_ref().map(|repeat| repeat.max), 1, MAX_ITERATIONS);
    bounds("ask.agents", step.ask.as_ref().map(|ask| ask.agents), 2, MAX_ASKED);
    let is_member = |name: &str| !name.contains('.') && name != "index" && name.parse::<DataPath>().is_ok();
    if step.map.as_ref().is_some_and(|map| !is_member(&map.item)) {
        report("map.as", "must be the name of a member of the data, other than \"index\"".into());
    }
    if step.ask.is_some() && step.agent.is_some() {
        report("agent", "pins the step to one agent, but `ask` asks several".into());
    }
    if step.ask.is_some() && step.capability.is_none() {
        report("ask", "is for steps that ask an agent".into());
    }
}

fn check_aggregate(step: &Step, report: &mut impl FnMut(&str, String)) {
    let Some(aggregate) = &step.aggregate else { return };
    if step.ask.is_none() && step.map.is_none() && step.steps.is_empty() {
        return report("aggregate", "is for steps with `ask`, `map` or `steps`".into());
    }
    let last =
        |inner: &&Step| !step.steps.iter().any(|other| other.depends_on.iter().flatten().any(|id| *id == inner.id));
    let members = match &step.ask {
        Some(ask) => Some(ask.agents as usize),
        None if step.steps.is_empty() => None,
        None => Some(step.steps.iter().filter(last).count()),
    };
    for (field, reason) in aggregate.problems(members) {
        report(&format!("aggregate.{field}"), reason);
    }
    if step.aggregates().is_some() && step.map.as_ref().is_some_and(|map| map.minimum.is_some()) {
        report("map.minimum", "stands in `aggregate`, where there is one".into());
    }
}

/// The names of workflows that are to be looked up in the registry, of all steps and of those that they hold.
#[must_use]
pub fn unresolved(workflow: &Workflow) -> Vec<WorkflowId> {
    names_in(&workflow.steps)
}

/// The names of workflows in some steps and in those that they hold, each once.
pub(super) fn names_in<'s>(steps: impl IntoIterator<Item = &'s Step>) -> Vec<WorkflowId> {
    let mut found = Vec::new();
    let mut open: Vec<&Step> = steps.into_iter().collect();
    while let Some(step) = open.pop() {
        open.extend(&step.steps);
        match &step.workflow {
            Some(SubWorkflow::Name(name)) => found.push(name.clone()),
            Some(SubWorkflow::Whole(whole)) => open.extend(&whole.steps),
            None => {}
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}
