//! Steps that hold others: lists, loops, the same question to several agents, blocks and sub-workflows.
//!
//! What such a step does is taken off from the outside: `map` before `repeat` before `ask` before what is left. So the body of a
//! step with `map` is the same step without it.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::aggregate::{Aggregate, Minimum, OnPartial};
use super::definition::{Step, Workflow};
use super::mapping::InputMapping;
use super::recovery::RetryPolicy;
use crate::expression::Expression;
use crate::ids::WorkflowId;
use crate::limits;
use crate::value::{DataPath, Json};

/// The step is done for every item of a list. Its output is the list of their outputs, in the order of the items; `null` for an
/// item that failed, where that is allowed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Map {
    /// The list: a path in the run's data.
    pub over: DataPath,
    /// The name under which an item stands in the data that the step reads; `index` beside it counts from 0. Default: `item`.
    #[serde(default = "default_item", rename = "as")]
    pub item: String,
    /// Items that are worked on at once, within what the run allows. Default: 16.
    #[serde(default = "default_map_width")]
    #[schemars(range(min = 1, max = limits::MAX_WIDTH))]
    pub max_concurrent: u32,
    /// Items that must succeed, as a number or as a share such as `"90%"`. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Minimum>,
}

/// The step is done again and again until a condition holds. Its output is that of the last time. The step reads `iteration`, from
/// 1, and `previous`, the output of the time before (`null` the first time).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// When it is enough: a CEL expression over `output`, `iteration` and the data that the step reads.
    pub until: Expression,
    /// How often at most, 1 to 1,000. Default: 10.
    #[serde(default = "default_iterations")]
    #[schemars(range(min = 1, max = limits::MAX_ITERATIONS))]
    pub max: u32,
    /// What happens when it was not enough by then. Default: `fail`.
    #[serde(default, skip_serializing_if = "Exhausted::is_default")]
    pub otherwise: Exhausted,
}

/// What happens when the condition of a loop does not hold after the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Exhausted {
    /// The step fails.
    #[default]
    Fail,
    /// The last output is taken.
    Accept,
}

impl Exhausted {
    /// True for what is done if nothing is said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The same is asked of several agents at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// How many, 2 to 100; different ones, as far as there are so many.
    #[schemars(range(min = 2, max = limits::MAX_ASKED))]
    pub agents: u32,
}

/// A workflow as one step of another: by its name in the registry, or whole. The names are replaced by what they stand for when a
/// run begins, so that a run does not change with the registry.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum SubWorkflow {
    /// The registered workflow of this name.
    Name(WorkflowId),
    /// The workflow itself.
    Whole(Box<Workflow>),
}

/// By hand: what derive would make reads a workflow twice, and its values lose how they were written.
impl<'de> Deserialize<'de> for SubWorkflow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = SubWorkflow;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a workflow, or a workflow")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<SubWorkflow, E> {
                name.parse().map(SubWorkflow::Name).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SubWorkflow, A::Error> {
                let workflow = Workflow::deserialize(MapAccessDeserializer::new(map))?;
                Ok(SubWorkflow::Whole(Box::new(workflow)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// What a step that holds others does with them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Container<'s> {
    /// One for every item of a list.
    Map(&'s Map),
    /// One after another.
    Repeat(&'s Repeat),
    /// One for each agent.
    Ask(&'s Ask),
    /// Steps of a graph of their own.
    Block,
    /// Steps of another workflow.
    Workflow(&'s SubWorkflow),
}

impl Step {
    /// What the step does with the steps that it holds, if it holds any.
    #[must_use]
    pub fn container(&self) -> Option<Container<'_>> {
        if let Some(map) = &self.map {
            Some(Container::Map(map))
        } else if let Some(repeat) = &self.repeat {
            Some(Container::Repeat(repeat))
        } else if let Some(ask) = &self.ask {
            Some(Container::Ask(ask))
        } else if !self.steps.is_empty() {
            Some(Container::Block)
        } else {
            self.workflow.as_ref().map(Container::Workflow)
        }
    }

    /// How the results of what it holds become one, if it is this step that puts them together: where one is done for every item
    /// of a list and asks several agents, the results of those become one for each item.
    #[must_use]
    pub fn aggregates(&self) -> Option<&Aggregate> {
        let here = match self.container()? {
            Container::Ask(_) | Container::Block => true,
            Container::Map(_) => self.ask.is_none() && self.steps.is_empty(),
            Container::Repeat(_) | Container::Workflow(_) => false,
        };
        self.aggregate.as_deref().filter(|_| here)
    }

    /// Names of what the steps that it holds read beside the data that it reads itself.
    #[must_use]
    pub fn brings(&self) -> Vec<&str> {
        match self.container() {
            Some(Container::Map(map)) => vec![&map.item, "index"],
            Some(Container::Repeat(_)) => vec!["iteration", "previous"],
            _ => Vec::new(),
        }
    }

    /// The paths in the run's data that it reads beside those of its input, for itself.
    #[must_use]
    pub fn conditions(&self) -> Vec<DataPath> {
        let mut paths: Vec<DataPath> = self.when.iter().flat_map(Expression::reads).collect();
        match self.container() {
            Some(Container::Map(map)) => paths.push(map.over.clone()),
            Some(Container::Repeat(repeat)) => {
                let own =
                    |path: &DataPath| !matches!(path.segments().next(), Some("output" | "iteration" | "previous"));
                paths.extend(repeat.until.reads().into_iter().filter(own));
            }
            _ => {}
        }
        paths
    }

    /// The steps that it holds, as a workflow of their own; `None` if it holds none, or a workflow of which only the name is known.
    #[must_use]
    pub fn body(&self, of: &Workflow) -> Option<Workflow> {
        let bare = |steps| Workflow {
            steps,
            data: Json::empty_object(),
            inputs: Default::default(),
            share: Vec::new(),
            ..of.clone()
        };
        let inner = |change: fn(&mut Self)| {
            let mut step = Self {
                depends_on: Some(Vec::new()),
                output: Default::default(),
                when: None,
                on_error: self.on_error.filter(|on_error| self.is_single() && *on_error == super::OnError::Retry),
                critical: false,
                checkpoint: None,
                estimated_duration: self.estimated_duration,
                ..self.clone()
            };
            change(&mut step);
            bare(vec![step])
        };
        match self.container()? {
            Container::Map(_) => Some(inner(|step| {
                step.map = None;
                step.aggregate = step.aggregate.take().filter(|_| step.ask.is_some() || !step.steps.is_empty());
            })),
            Container::Repeat(_) => Some(inner(|step| step.repeat = None)),
            Container::Ask(_) => Some(inner(|step| (step.ask, step.aggregate) = (None, None))),
            Container::Block => {
                Some(Workflow { dependency_rules: of.dependency_rules.clone(), ..bare(self.steps.clone()) })
            }
            Container::Workflow(SubWorkflow::Whole(workflow)) => Some((**workflow).clone()),
            Container::Workflow(SubWorkflow::Name(_)) => None,
        }
    }

    /// The step and every step of its definition, with what stands before their fields in its file.
    #[must_use]
    pub fn within(&self) -> Vec<(String, &Self)> {
        let mut found = Vec::new();
        let mut open = vec![(String::new(), self)];
        while let Some((prefix, step)) = open.pop() {
            let held = |word: &str, steps: &'_ [Self]| -> Vec<String> {
                (0..steps.len()).map(|at| format!("{prefix}{word}[{at}].")).collect()
            };
            open.extend(held("steps", &step.steps).into_iter().zip(&step.steps));
            if let Some(SubWorkflow::Whole(whole)) = &step.workflow {
                open.extend(held("workflow.steps", &whole.steps).into_iter().zip(&whole.steps));
            }
            found.push((prefix, step));
        }
        found
    }

    /// The paths that the steps that it holds need from the data around it: what they read and do not bring with them.
    #[must_use]
    pub fn captures(&self, of: &Workflow) -> Vec<DataPath> {
        let mut paths = Vec::new();
        if !self.is_isolated()
            && let Some(body) = self.body(of)
        {
            let brings = self.brings();
            let own = |path: &DataPath| path.segments().next().is_some_and(|first| brings.contains(&first));
            paths.extend(body.steps.iter().flat_map(|step| step.free(&body)).filter(|path| !own(path)));
        }
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    /// Every path of the data that it reads, in whatever way.
    fn free(&self, of: &Workflow) -> Vec<DataPath> {
        let mut paths = self.captures(of);
        paths.extend(self.conditions());
        if self.reads_input() {
            paths.extend(self.input_paths().cloned());
        }
        let undo = self.compensate.iter().filter(|_| self.container().is_none()).flat_map(|how| how.input.values());
        paths.extend(undo.filter_map(|mapping| mapping.from.clone()));
        paths
    }

    /// True if its input is put together for itself; that of a step that holds others is theirs.
    #[must_use]
    pub const fn reads_input(&self) -> bool {
        self.is_isolated()
            || (self.map.is_none() && self.repeat.is_none() && self.ask.is_none() && self.steps.is_empty())
    }

    /// How it is undone; the steps that it holds are undone one by one.
    #[must_use]
    pub fn undone_by(&self) -> Option<&super::Compensation> {
        self.compensate.as_ref().filter(|_| self.container().is_none())
    }

    /// True if what it holds is itself, once or several times.
    const fn is_single(&self) -> bool {
        self.steps.is_empty() && self.workflow.is_none()
    }

    /// How often and when a failed attempt of it is repeated: one that holds others fails by them, and they have been tried again.
    #[must_use]
    pub fn own_retry(&self) -> RetryPolicy {
        let Some(_) = self.container() else { return self.retry };
        // Those that failed begin anew with another attempt of the step that holds them.
        match self.aggregates().map(|aggregate| aggregate.on_partial) {
            Some(OnPartial::Retry) => RetryPolicy { max_attempts: 2, is_unsafe: false, ..self.retry },
            _ => RetryPolicy { max_attempts: 1, is_unsafe: false, ..RetryPolicy::default() },
        }
    }

    /// Its input as an object of its own, for a workflow that it calls: nothing else of the data is seen there.
    #[must_use]
    pub const fn is_isolated(&self) -> bool {
        self.map.is_none() && self.repeat.is_none() && self.ask.is_none() && self.workflow.is_some()
    }

    /// The paths that its input reads.
    pub(crate) fn input_paths(&self) -> impl Iterator<Item = &DataPath> {
        self.input.values().filter_map(|mapping: &InputMapping| mapping.from.as_ref())
    }
}

fn default_item() -> String {
    "item".to_owned()
}
const fn default_map_width() -> u32 {
    limits::DEFAULT_MAP_WIDTH
}
const fn default_iterations() -> u32 {
    limits::DEFAULT_ITERATIONS
}
