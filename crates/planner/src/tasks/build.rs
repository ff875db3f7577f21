//! A list of tasks made into a workflow.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};
use tutti_core::ids::{Capability, StepId};
use tutti_core::workflow::{Parsed, Problem, parse};

use super::{GroupTable, Task, TaskList, yaml};
use crate::words::{matching, slug, words};

/// A workflow made of tasks.
#[derive(Debug)]
pub struct Built {
    /// The file of the workflow, YAML.
    pub text: String,
    /// What it says, with what its author should know.
    pub parsed: Parsed,
    /// How its tasks were grouped.
    pub grouping: Grouping,
}

/// How tasks were grouped by service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Grouping {
    /// Groups that run side by side; the tasks of each run one after the other unless rules say otherwise.
    pub parallel_groups: Vec<TaskGroup>,
    /// Tasks that wait for others by a rule or by their own word, in an order that fits.
    pub sequential_chain: Vec<StepId>,
}

/// The tasks of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskGroup {
    /// The service.
    pub group: String,
    /// Its tasks, in order.
    pub tasks: Vec<StepId>,
}

/// A task as it becomes a step.
struct Draft<'t> {
    task: &'t Task,
    id: StepId,
    group: usize,
    kind: String,
    capability: Capability,
    /// The steps before it, and whether a rule or the task itself says so.
    before: Vec<StepId>,
    is_bound: bool,
}

/// Makes a workflow of tasks: grouped by the table, in order within a group, with capabilities of those that are `offered`
/// where the list names none.
///
/// # Errors
/// What is wrong with the workflow, as with any file.
pub fn build(list: &TaskList, table: &GroupTable, offered: &[Capability]) -> Result<Built, Vec<Problem>> {
    let table = table.after(&list.groups);
    let mut drafts = drafts(list, &table, offered);
    bind(list, &mut drafts);
    let text = yaml(&file(list, &table, &drafts));
    let parsed = parse(&text)?;
    let grouping = grouping(&table, &drafts);
    Ok(Built { text, parsed, grouping })
}

fn drafts<'t>(list: &'t TaskList, table: &GroupTable, offered: &[Capability]) -> Vec<Draft<'t>> {
    let mut taken: BTreeSet<StepId> = list.tasks.iter().filter_map(|task| task.id.clone()).collect();
    let draft = |(number, task): (usize, &'t Task)| {
        let group = table.group_of(&task.description);
        let service = &table.groups()[group];
        let said = task.task_type.clone().or_else(|| task.capability.as_ref().map(ToString::to_string));
        let kind = said.unwrap_or_else(|| service.task_type().to_owned());
        let own = task.capability.clone().or_else(|| service.capability.clone().filter(|_| task.task_type.is_none()));
        let capability = own.unwrap_or_else(|| capability_of(task, &kind, offered));
        let id = task.id.clone().unwrap_or_else(|| new_id(&task.description, number + 1, &mut taken));
        Draft { task, id, group, kind, capability, before: Vec::new(), is_bound: false }
    };
    list.tasks.iter().enumerate().map(draft).collect()
}

/// The capability of a task that names none: its type, if somebody offers that; what is offered and spoken of; its type.
fn capability_of(task: &Task, kind: &str, offered: &[Capability]) -> Capability {
    let named = kind.parse::<Capability>().ok();
    if let Some(exact) = named.as_ref().filter(|capability| offered.contains(capability)) {
        return exact.clone();
    }
    let spoken = matching(&task.description, offered).or_else(|| matching(kind, offered));
    let whole = || words(kind).collect::<Vec<_>>().join("_").parse().ok();
    let found = spoken.cloned().or(named).or_else(whole);
    found.unwrap_or_else(|| "task".parse().expect("a plain word is a name"))
}

fn new_id(description: &str, number: usize, taken: &mut BTreeSet<StepId>) -> StepId {
    let name = match slug(description) {
        name if name.is_empty() => format!("task-{number}"),
        name => name,
    };
    let tries = std::iter::once(name.clone()).chain((2..).map(|n| format!("{name}-{n}")));
    let id = tries.filter_map(|name| name.parse::<StepId>().ok()).find(|id| !taken.contains(id));
    let id = id.expect("one of the endless names of letters, digits and dashes is free");
    taken.insert(id.clone());
    id
}

/// What each task waits for: what it says itself, or what the rules say of its type, or the one before in its group.
fn bind(list: &TaskList, drafts: &mut [Draft<'_>]) {
    let mut by_kind: BTreeMap<String, Vec<StepId>> = BTreeMap::new();
    for draft in &*drafts {
        by_kind.entry(draft.kind.clone()).or_default().push(draft.id.clone());
    }
    let mut last: BTreeMap<usize, StepId> = BTreeMap::new();
    for draft in drafts {
        let rule = list.dependency_rules.get(&draft.kind);
        draft.before = if let Some(own) = &draft.task.dependencies {
            own.clone()
        } else if let Some(kinds) = rule {
            kinds.iter().flat_map(|kind| by_kind.get(kind).into_iter().flatten().cloned()).collect()
        } else {
            last.insert(draft.group, draft.id.clone()).into_iter().collect()
        };
        draft.is_bound = (draft.task.dependencies.is_some() || rule.is_some()) && !draft.before.is_empty();
    }
}

fn file(list: &TaskList, table: &GroupTable, drafts: &[Draft<'_>]) -> Value {
    let mut file = list.workflow.clone();
    let id = list.id.as_ref().map_or("tasks", |id| id.as_str());
    file.insert("id".into(), id.into());
    for (name, text) in [("name", &list.name), ("description", &list.description)] {
        if !text.is_empty() {
            file.insert(name.into(), text.as_str().into());
        }
    }
    if !list.query.is_empty() {
        file.insert("data".into(), json!({ "query": list.query }));
    }
    let steps = drafts.iter().map(|draft| step(list, table, draft));
    file.insert("steps".into(), steps.collect());
    Value::Object(file)
}

fn step(list: &TaskList, table: &GroupTable, draft: &Draft<'_>) -> Value {
    let Draft { task, id, kind, capability, before, .. } = draft;
    let mut step = task.step.clone();
    let mut put = |name: &str, value: Value| step.insert(name.into(), value);
    put("id", id.as_str().into());
    put("capability", capability.as_str().into());
    if kind != capability.as_str() {
        put("type", kind.as_str().into());
    }
    put("stage", table.groups()[draft.group].name.as_str().into());
    let mut input = Map::new();
    input.insert("task".into(), json!({ "value": task.description }));
    if !list.query.is_empty() {
        input.insert("query".into(), "query".into());
    }
    input.extend(before.iter().map(|on| (on.to_string(), result_of(on).into())));
    put("input", input.into());
    put("output", json!({ "*": result_of(id) }));
    put("depends_on", before.iter().map(StepId::as_str).collect());
    if let Some(agent) = &task.agent {
        put("agent", agent.as_str().into());
    }
    if let Some(span) = task.estimated_duration {
        put("estimated_duration", span.to_string().into());
    }
    if let Some(resources) = task.resources {
        put("resources", serde_json::to_value(resources).unwrap_or_default());
    }
    if !task.parallel_safe {
        put("parallel_safe", false.into());
    }
    if !task.priority.is_normal() {
        put("priority", task.priority.as_str().into());
    }
    step.into()
}

/// Where the result of a step is put.
fn result_of(id: &StepId) -> String {
    format!("results.{}", id.as_str().replace('.', "_"))
}

fn grouping(table: &GroupTable, drafts: &[Draft<'_>]) -> Grouping {
    let tasks = |group: usize| {
        let own = drafts.iter().filter(move |draft| draft.group == group && !draft.is_bound);
        own.map(|draft| draft.id.clone()).collect::<Vec<_>>()
    };
    let named = |(at, group): (usize, &super::Group)| TaskGroup { group: group.name.clone(), tasks: tasks(at) };
    let groups = table.groups().iter().enumerate().map(named).filter(|group| !group.tasks.is_empty());
    Grouping { parallel_groups: groups.collect(), sequential_chain: chain(drafts) }
}

/// The tasks that are bound, each behind those that it waits for.
fn chain(drafts: &[Draft<'_>]) -> Vec<StepId> {
    let mut left: Vec<&Draft<'_>> = drafts.iter().filter(|draft| draft.is_bound).collect();
    let mut chain = Vec::with_capacity(left.len());
    // Each round takes those that wait for none of the others. The validator has refused cycles.
    while !left.is_empty() {
        let names: BTreeSet<&StepId> = left.iter().map(|draft| &draft.id).collect();
        let (now, later): (Vec<_>, Vec<_>) =
            left.iter().partition(|draft| !draft.before.iter().any(|on| names.contains(on)));
        if now.is_empty() {
            break;
        }
        chain.extend(now.iter().map(|draft: &&Draft<'_>| draft.id.clone()));
        left = later;
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Analysis;
    use crate::testing::ids;
    use tutti_core::plan::Plan;

    fn built(file: &str, offered: &[&str]) -> Built {
        let offered: Vec<Capability> = offered.iter().map(|name| name.parse().unwrap()).collect();
        let list = TaskList::read(file).unwrap().unwrap();
        build(&list, &GroupTable::default(), &offered).unwrap()
    }

    fn levels(built: &Built) -> Vec<Vec<String>> {
        let plan = Plan::new(built.parsed.workflow.clone()).unwrap();
        let named = |level: &Vec<u32>| ids(&plan, level).into_iter().map(str::to_owned).collect();
        Analysis::new(&plan).levels.iter().map(named).collect()
    }

    fn groups(built: &Built) -> serde_json::Value {
        serde_json::to_value(&built.grouping).unwrap()
    }

    #[test]
    fn tasks_are_grouped_by_service_and_in_order_within_a_group() {
        let built = built(
            "[Book a flight to Tokyo, Find a hotel, Rent a car, Book the flight home, Buy a guide book, Write a diary]",
            &[],
        );
        assert_eq!(
            groups(&built),
            json!({
                "parallel_groups": [
                    {"group": "flights", "tasks": ["book-flight-tokyo", "book-flight-home"]},
                    {"group": "hotels", "tasks": ["find-hotel"]},
                    {"group": "cars", "tasks": ["rent-car"]},
                    {"group": "other", "tasks": ["buy-guide-book", "write-diary"]},
                ],
                "sequential_chain": [],
            })
        );
        assert_eq!(
            levels(&built),
            [
                vec!["book-flight-tokyo", "find-hotel", "rent-car", "buy-guide-book"],
                vec!["book-flight-home", "write-diary"],
            ]
        );
        assert_eq!(built.parsed.workflow.steps[1].capability.as_ref().unwrap().as_str(), "hotel_booking");
        assert!(built.parsed.warnings.is_empty(), "{:?}", built.parsed.warnings);
    }

    #[test]
    fn rules_decide_for_the_types_that_they_name() {
        let travel = built(
            "dependency_rules:\n  flight_booking: []\n  hotel_booking: []\n  car_rental: []\n  \
             travel_insurance: [flight_booking, hotel_booking]\n  activity_booking: [hotel_booking]\n\
             tasks:\n- {id: flight, description: Book a flight}\n- {id: hotel, description: Book a hotel}\n\
             - {id: car, description: Rent a car}\n- {id: insurance, description: Insure it, type: travel_insurance}\n\
             - {id: activity, description: See things, type: activity_booking}\n",
            &[],
        );
        assert_eq!(levels(&travel), [vec!["flight", "hotel", "car"], vec!["insurance", "activity"]]);
        assert_eq!(groups(&travel)["sequential_chain"], json!(["insurance", "activity"]));
        let data = built(
            "dependency_rules:\n  data_processing: []\n  analytics: [data_processing]\n  notification: []\n  \
             reporting: [analytics, data_processing]\n  archival: [reporting]\n\
             tasks:\n- {id: r, description: x, type: reporting}\n- {id: p, description: x, type: data_processing}\n\
             - {id: a, description: x, type: analytics}\n- {id: n, description: x, type: notification}\n\
             - {id: z, description: x, type: archival}\n",
            &[],
        );
        assert_eq!(levels(&data), [vec!["p", "n"], vec!["a"], vec!["r"], vec!["z"]]);
        assert_eq!(groups(&data)["sequential_chain"], json!(["a", "r", "z"]));
    }

    #[test]
    fn a_plan_of_the_guides_is_taken_as_it_is() {
        let built = built(
            "tasks:\n- {id: task_1, description: Process customer data, capability: data_processor, dependencies: [], \
             estimated_duration: 5.0, parallel_safe: true}\n- {id: task_2, description: Generate analytics report, \
             capability: analytics_specialist, dependencies: [task_1], estimated_duration: 4.0, parallel_safe: false}\n",
            &[],
        );
        let plan = Plan::new(built.parsed.workflow.clone()).unwrap();
        let analysis = Analysis::new(&plan);
        assert_eq!(ids(&plan, &analysis.critical_path), ["task_1", "task_2"]);
        assert_eq!(analysis.estimated_total_time.as_secs(), 9);
        assert!(!plan.step(1).parallel_safe && built.text.contains("estimated_duration: 5s"), "{}", built.text);
    }

    #[test]
    fn capabilities_are_those_that_are_offered() {
        let built = built("[Book a flight, Clean the numbers]", &["travel.flight", "data.clean"]);
        let named: Vec<_> = built.parsed.workflow.steps.iter().map(|step| step.does().to_owned()).collect();
        assert_eq!(named, ["travel.flight", "data.clean"]);
    }

    #[test]
    fn what_cannot_be_is_refused_as_in_any_workflow() {
        let list = TaskList::read("tasks:\n- {id: a, description: x, dependencies: [b]}\n").unwrap().unwrap();
        let problems = build(&list, &GroupTable::default(), &[]).unwrap_err();
        assert!(problems.iter().any(|problem| problem.to_string().contains("depends_on")), "{problems:?}");
        assert!(build(&TaskList::default(), &GroupTable::default(), &[]).is_err());
    }
}
