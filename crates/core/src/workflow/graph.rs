//! The graph that a workflow means: what each step depends on, by its own list or by the rule for its type. The one place
//! that says so; the definition itself stays as its author wrote it.

use std::collections::{HashMap, HashSet};

use super::definition::{Step, Workflow};
use super::problem::Problem;
use super::topology::{StepIndex, Topology};
use crate::ids::StepId;
use crate::limits::MAX_EDGES;

/// Works out the graph of a workflow of at most [`MAX_STEPS`](crate::limits::MAX_STEPS) steps.
///
/// # Errors
/// Every name that is wrong, or too many dependencies, or a cycle.
pub(crate) fn graph(workflow: &Workflow) -> Result<Topology, Vec<Problem>> {
    match examine(workflow) {
        (Some(topology), problems) if problems.is_empty() => Ok(topology),
        (_, problems) => Err(problems),
    }
}

/// As [`graph`]; names that are wrong do not hide a cycle among the others, nor the graph of the others.
pub(super) fn examine(workflow: &Workflow) -> (Option<Topology>, Vec<Problem>) {
    let mut problems = Vec::new();
    let by_id = index(workflow, &mut problems);
    let rules = Rules::new(workflow);
    let edges = rules.edges.saturating_add(workflow.steps.iter().flat_map(|step| &step.depends_on).map(Vec::len).sum());
    if edges > MAX_EDGES {
        problems.push(Problem::error("steps", format!("{edges} dependencies; {MAX_EDGES} are allowed")));
        return (None, problems);
    }
    let of_step = |(index, step): (usize, &Step)| match &step.depends_on {
        Some(list) => named(index, step, list, &by_id, &mut problems),
        None => rules.dependencies(step),
    };
    let dependencies: Vec<Vec<StepIndex>> = workflow.steps.iter().enumerate().map(of_step).collect();
    match Topology::new(&dependencies) {
        Ok(topology) => (Some(topology), problems),
        Err(cycle) => {
            problems.push(cycle_problem(workflow, &cycle));
            (None, problems)
        }
    }
}

/// Steps by id.
fn index<'w>(workflow: &'w Workflow, problems: &mut Vec<Problem>) -> HashMap<&'w str, usize> {
    let mut by_id = HashMap::with_capacity(workflow.steps.len());
    let mut by_lowercase = HashMap::with_capacity(workflow.steps.len());
    for (index, step) in workflow.steps.iter().enumerate() {
        by_id.entry(step.id.as_str()).or_insert(index);
        let first: usize = *by_lowercase.entry(step.id.as_str().to_ascii_lowercase()).or_insert(index);
        if first != index {
            let other = &workflow.steps[first].id;
            let reason = if *other == step.id {
                format!("is also the id of step number {}", first + 1)
            } else {
                format!("differs only by case from \"{other}\", step number {}", first + 1)
            };
            problems.push(Problem::in_step(index, &step.id, "id", reason));
        }
    }
    by_id
}

/// What a step depends on by its own list.
fn named(
    index: usize,
    step: &Step,
    list: &[StepId],
    by_id: &HashMap<&str, usize>,
    problems: &mut Vec<Problem>,
) -> Vec<StepIndex> {
    let mut seen = HashSet::with_capacity(list.len());
    let mut known = Vec::with_capacity(list.len());
    for (i, on) in list.iter().enumerate() {
        let reason = match by_id.get(on.as_str()) {
            None => format!("there is no step \"{on}\""),
            Some(other) if *other == index => "the step depends on itself".into(),
            Some(_) if !seen.insert(on.as_str()) => format!("\"{on}\" stands here twice"),
            Some(other) => {
                known.push(StepIndex::try_from(*other).expect("the number of steps is bounded"));
                continue;
            }
        };
        problems.push(Problem::in_step(index, &step.id, format!("depends_on[{i}]"), reason));
    }
    known
}

/// What steps depend on by their type.
struct Rules<'w> {
    /// By type, for types with steps that take the rule. Worked out once per type: a rule may be as long as the file.
    before: HashMap<&'w str, Vec<StepIndex>>,
    /// How many dependencies the rules make.
    edges: usize,
}

impl<'w> Rules<'w> {
    /// Nothing is worked out beyond [`MAX_EDGES`]: rules may make as many dependencies as steps squared.
    fn new(workflow: &'w Workflow) -> Self {
        if workflow.dependency_rules.is_empty() {
            return Self { before: HashMap::new(), edges: 0 };
        }
        let mut of_type: HashMap<&str, Vec<StepIndex>> = HashMap::new();
        let mut ruled: HashMap<&str, usize> = HashMap::new();
        for (index, step) in (0..).zip(&workflow.steps) {
            of_type.entry(step.task_type()).or_default().push(index);
            if step.depends_on.is_none() {
                *ruled.entry(step.task_type()).or_default() += 1;
            }
        }
        let before = |of: &str| {
            let types = workflow.dependency_rules.get(of).into_iter().flatten();
            // A type in its own rule is told by validation, as one fault.
            let known: Vec<&Vec<StepIndex>> =
                types.filter(|on| *on != of).filter_map(|on| of_type.get(on.as_str())).collect();
            known
        };
        let count = |(of, steps): (&&str, &usize)| before(of).iter().map(|on| on.len().saturating_mul(*steps)).sum();
        let edges = ruled.iter().map(count).fold(0, usize::saturating_add);
        if edges > MAX_EDGES {
            return Self { before: HashMap::new(), edges };
        }
        let before = ruled.into_keys().map(|of| (of, before(of).into_iter().flatten().copied().collect())).collect();
        Self { before, edges }
    }

    fn dependencies(&self, step: &Step) -> Vec<StepIndex> {
        self.before.get(step.task_type()).cloned().unwrap_or_default()
    }
}

fn cycle_problem(workflow: &Workflow, cycle: &[StepIndex]) -> Problem {
    const SHOWN: usize = 20;
    let step = |i: &StepIndex| &workflow.steps[*i as usize];
    let mut names: Vec<&str> = cycle.iter().take(SHOWN).map(|i| step(i).id.as_str()).collect();
    if cycle.len() > SHOWN {
        names.push("…");
    }
    names.push(step(&cycle[0]).id.as_str());
    let by_rule = cycle.iter().any(|i| step(i).depends_on.is_none());
    let why = if by_rule { ", by dependency_rules" } else { "" };
    let reason = format!("the steps wait for one another{why}: {}", names.join(" → "));
    Problem::in_step(cycle[0] as usize, &step(&cycle[0]).id, "depends_on", reason)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use crate::plan::Plan;
    use crate::workflow::{Workflow, parse};

    /// The seeds of the examples travel and operations.
    const BOOKINGS: &str = "dependency_rules:\n  flight_booking: []\n  hotel_booking: []\n  car_rental: []\n  \
        travel_insurance: [flight_booking, hotel_booking]\n  activity_booking: [hotel_booking]\n";
    const OPERATIONS: &str = "dependency_rules:\n  data_processing: []\n  analytics: [data_processing]\n  \
        notification: []\n  reporting: [analytics, data_processing]\n  archival: [reporting]\n";

    fn read(rules: &str, steps: &str) -> Result<(Workflow, Vec<String>), Vec<String>> {
        match parse(&format!("id: w\n{rules}steps:\n{steps}")) {
            Ok(parsed) => Ok((parsed.workflow, parsed.warnings.iter().map(ToString::to_string).collect())),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
        }
    }

    #[track_caller]
    fn levels(rules: &str, steps: &str) -> Vec<Vec<String>> {
        let (workflow, warnings) = read(rules, steps).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let plan = Plan::new(workflow).unwrap();
        let id = |index| plan.step(index).id.to_string();
        plan.topology().levels().into_iter().map(|level| level.into_iter().map(id).collect()).collect()
    }

    #[track_caller]
    fn refused(rules: &str, steps: &str, part: &str) {
        let found = read(rules, steps).unwrap_err();
        assert!(found.len() == 1 && found[0].contains(part), "{found:#?}");
    }

    #[test]
    fn bookings_have_two_levels() {
        let steps = "- {id: insurance, capability: travel_insurance}\n- {id: flight, capability: flight_booking}\n\
                     - {id: hotel, capability: hotel_booking}\n- {id: car, capability: car_rental}\n\
                     - {id: activity, capability: activity_booking}";
        assert_eq!(levels(BOOKINGS, steps), [vec!["flight", "hotel", "car"], vec!["insurance", "activity"]]);
    }

    #[test]
    fn operations_have_four_levels_by_type() {
        let step = |name: &str| format!("- {{id: {name}, capability: any, type: {name}}}\n");
        let steps: String =
            ["data_processing", "analytics", "notification", "reporting", "archival"].map(step).concat();
        let expected =
            [vec!["data_processing", "notification"], vec!["analytics"], vec!["reporting"], vec!["archival"]];
        assert_eq!(levels(OPERATIONS, &steps), expected);
    }

    #[test]
    fn a_step_waits_for_every_step_of_a_type() {
        let steps = "- {id: a1, capability: a}\n- {id: a2, capability: a}\n- {id: b, capability: b}";
        assert_eq!(levels("dependency_rules: {b: [a]}\n", steps), [vec!["a1", "a2"], vec!["b"]]);
    }

    #[test]
    fn a_list_of_ones_own_comes_before_the_rule_even_if_empty() {
        let rules = "dependency_rules: {b: [a]}\n";
        let steps = "- {id: a, capability: a}\n- {id: none, capability: b, depends_on: []}\n\
                     - {id: own, capability: b, depends_on: [none]}\n- {id: rule, capability: b}";
        assert_eq!(levels(rules, steps), [vec!["a", "none"], vec!["own", "rule"]]);
        let (workflow, _) = read(rules, steps).unwrap();
        let (digest, bytes) = workflow.to_canonical();
        let again = Workflow::from_canonical(&bytes).unwrap();
        assert_eq!(again.steps[1].depends_on, Some(vec![]), "the stored form keeps what was written");
        assert_eq!(again.steps[3].depends_on, None, "the stored form has no dependency that was not written");
        assert_eq!(again.to_canonical().0, digest);
    }

    #[test]
    fn a_rule_about_no_step_is_a_warning() {
        let (_, warnings) = read("dependency_rules:\n  a: [b]\n  c: []\n", "- {id: s, capability: a}").unwrap();
        assert_eq!(
            warnings,
            [
                "3:7: warning: dependency_rules.a[0]: no step has the type \"b\"",
                "4:3: warning: dependency_rules.c: no step has the type \"c\""
            ]
        );
    }

    #[test]
    fn rules_that_cannot_be_met_are_refused() {
        let two = "- {id: s, capability: a}\n- {id: t, capability: b}";
        refused(
            "dependency_rules: {a: [b], b: [a]}\n",
            two,
            "4:3: error: step s: depends_on: the steps wait for one another, by dependency_rules: s → t → s",
        );
        refused("dependency_rules: {a: [a]}\n", "- {id: s, capability: a}", "dependency_rules.a[0]: steps of one type");
        refused("dependency_rules: {a: [b, b]}\n", two, "dependency_rules.a[1]: stands here twice");
        refused("dependency_rules: {a: b}\n", two, "2:23: error: dependency_rules.a: invalid type: string");
        refused("", "- {id: s, capability: a, type: ''}", "step s: type: is empty");
    }

    #[test]
    fn too_many_dependencies_are_refused_without_being_built() {
        let mut steps = String::new();
        for i in 0..4_000 {
            let _ = writeln!(steps, "- {{id: s{i}, capability: {}}}", if i % 2 == 0 { "a" } else { "b" });
        }
        refused("dependency_rules: {b: [a]}\n", &steps, "4000000 dependencies; 1000000 are allowed");
    }

    #[test]
    fn a_rule_as_long_as_the_file_is_read_once() {
        let mut rule = String::from("dependency_rules: {a: [");
        let mut steps = String::new();
        for i in 0..20_000 {
            let _ = write!(rule, "u{i}, ");
            let _ = writeln!(steps, "- {{id: s{i}, capability: a}}");
        }
        let (workflow, warnings) =
            read(&format!("{rule}b]}}\n"), &format!("{steps}- {{id: t, capability: b}}")).unwrap();
        assert_eq!(warnings.len(), crate::limits::MAX_PROBLEMS + 1, "what is told has a bound");
        assert_eq!(Plan::new(workflow).unwrap().topology().dependencies(19_999), [20_000]);
    }

    #[test]
    fn many_rules_about_nothing_are_told_in_a_moment() {
        let rules: String = (0..20_000).map(|i| format!("  u{i}: []\n")).collect();
        let (_, warnings) = read(&format!("dependency_rules:\n{rules}"), "- {id: s, capability: a}").unwrap();
        assert_eq!(warnings[0], "2:1: warning: dependency_rules: 19900 more problems with rules are not shown");
        assert_eq!(warnings[1], "3:3: warning: dependency_rules.u0: no step has the type \"u0\"");
    }
}
