//! From tasks in plain words to a workflow: grouped by service, in order within a group, groups side by side.

mod build;
mod grouping;
mod yaml;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tutti_core::ids::{AgentId, Capability, StepId, WorkflowId};
use tutti_core::time::Span;
use tutti_core::workflow::{Document, Priority, Problem, Resources};

pub use build::{Built, Grouping, TaskGroup, build};
pub use grouping::{Group, GroupTable};
pub use yaml::yaml;

/// What is to be done, in plain words: the content of a file of tasks, or what the command line says.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskList {
    /// Names the workflow. Default: `tasks`.
    pub id: Option<WorkflowId>,
    /// Its title.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What was asked for, given to every step as `query`.
    pub query: String,
    /// What is to be done, in order.
    pub tasks: Vec<Task>,
    /// By type of task, the types that it depends on. Tasks of a type that stands here are not ordered within their group.
    pub dependency_rules: BTreeMap<String, Vec<String>>,
    /// Groups that are looked at before those of the configuration.
    pub groups: Vec<Group>,
    /// Members of the workflow that are taken as they are, such as `executor` or `max_concurrent_tasks`.
    pub workflow: serde_json::Map<String, Value>,
}

/// One task. In files a bare text is its description.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Task {
    /// Its id. Default: made from its description.
    pub id: Option<StepId>,
    /// What is to be done.
    pub description: String,
    /// What kind of task it is, for rules. Default: that of its group.
    pub task_type: Option<String>,
    /// What an agent must be able to do. Default: found by its type, its group and its words.
    pub capability: Option<Capability>,
    /// Pins it to an agent.
    pub agent: Option<AgentId>,
    /// The tasks that must be complete before, by id. Default: what the rules say, or else the one before in its group.
    pub dependencies: Option<Vec<StepId>>,
    /// What it is expected to take.
    pub estimated_duration: Option<Span>,
    /// What it is expected to use.
    pub resources: Option<Resources>,
    /// False if it runs alone.
    pub parallel_safe: bool,
    /// Which of several ready ones starts first.
    pub priority: Priority,
    /// In a template: words of which one must be in the query for the task to be part of the plan.
    pub keywords: Vec<String>,
    /// Members of the step that are taken as they are, such as `timeout` or `retry`.
    pub step: serde_json::Map<String, Value>,
}

impl Task {
    /// A task of which only the description is known.
    #[must_use]
    pub fn described(description: impl Into<String>) -> Self {
        Self { description: description.into(), parallel_safe: true, ..Self::default() }
    }
}

impl<'de> Deserialize<'de> for Task {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            id: Option<StepId>,
            description: String,
            #[serde(rename = "type")]
            task_type: Option<String>,
            capability: Option<Capability>,
            agent: Option<AgentId>,
            #[serde(alias = "depends_on")]
            dependencies: Option<Vec<StepId>>,
            estimated_duration: Option<Span>,
            resources: Option<Resources>,
            #[serde(default = "yes")]
            parallel_safe: bool,
            #[serde(default)]
            priority: Priority,
            #[serde(default)]
            keywords: Vec<String>,
            #[serde(default)]
            step: serde_json::Map<String, Value>,
        }
        let whole = match Value::deserialize(deserializer)? {
            Value::String(description) => return Ok(Self::described(description)),
            other => Whole::deserialize(other).map_err(serde::de::Error::custom)?,
        };
        let Whole { id, description, task_type, capability, agent, dependencies, .. } = whole;
        let Whole { estimated_duration, resources, parallel_safe, priority, keywords, step, .. } = whole;
        Ok(Self {
            id,
            description,
            task_type,
            capability,
            agent,
            dependencies,
            estimated_duration,
            resources,
            parallel_safe,
            priority,
            keywords,
            step,
        })
    }
}

const fn yes() -> bool {
    true
}

impl TaskList {
    /// A list of descriptions.
    #[must_use]
    pub fn of(descriptions: impl IntoIterator<Item = String>) -> Self {
        Self { tasks: descriptions.into_iter().map(Task::described).collect(), ..Self::default() }
    }

    /// Reads a file of tasks, YAML or JSON: an object with `tasks`, or a bare list of them. `None` if it is none, such as a
    /// workflow.
    ///
    /// # Errors
    /// What is wrong with it, with its place.
    pub fn read(text: &str) -> Option<Result<Self, Vec<Problem>>> {
        let document = Document::read(text).ok()?;
        let value: Value = serde_json::from_str(&document.to_json()).ok()?;
        if value.is_array() {
            let list = |tasks| Self { tasks, ..Self::default() };
            return Some(document.decode::<Vec<Task>>().map(list).map_err(|problem| vec![problem]));
        }
        value.get("tasks")?;
        Some(document.decode::<Self>().map_err(|problem| vec![problem]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_texts_or_objects() {
        let list = TaskList::read("- Book a flight\n- {description: Book a hotel, estimated_duration: 4.0}\n");
        let list = list.unwrap().unwrap();
        assert_eq!(list.tasks[0], Task::described("Book a flight"));
        assert_eq!(list.tasks[1].estimated_duration, Span::parse("4s").ok());
        let file = "id: trip\ntasks: [{id: a, description: x, depends_on: [], parallel_safe: false}]";
        let list = TaskList::read(file).unwrap().unwrap();
        assert_eq!((list.tasks[0].dependencies.as_deref(), list.tasks[0].parallel_safe), (Some(&[][..]), false));
        assert!(TaskList::read("id: w\nsteps: []").is_none());
        let wrong = TaskList::read("tasks:\n- {description: x, colour: red}").unwrap().unwrap_err();
        assert!(wrong[0].to_string().starts_with("2:3: error: tasks[0]: unknown field `colour`"), "{}", wrong[0]);
    }
}
