//! What a change makes of a plan, for whoever is to decide about it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::moment::human_seconds;
use super::times::EarliestTimes;
use crate::ids::StepId;
use crate::plan::{Plan, Revised, StepIndex};
use crate::run::RunState;
use crate::schedule::Width;
use crate::workflow::{PlanPatch, Step};

/// Most steps named in one line of text; the others are counted.
const NAMED: usize = 10;

/// A plan before and after a change. Field names are stable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanDiff {
    /// The revision that is changed; 0 is the plan with which the run was started.
    pub base: u32,
    /// The revision that comes of it.
    pub revision: u32,
    /// Steps that are added.
    pub added: Vec<StepId>,
    /// Steps that have another definition.
    pub replaced: Vec<ReplacedStep>,
    /// Steps that are not done.
    pub removed: Vec<StepId>,
    /// Steps of the workflow.
    pub steps: Change<u32>,
    /// Levels of the graph.
    pub levels: Change<u32>,
    /// The longest chain in seconds by the estimates of the workflow; `null` if no step has one.
    pub critical_path_seconds: Option<Change<Option<f64>>>,
    /// Steps in flight at once, at most.
    pub max_concurrent_tasks: Change<u32>,
}

/// A step that has another definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplacedStep {
    /// The step.
    pub id: StepId,
    /// The members of its definition that are not what they were.
    pub fields: Vec<String>,
}

/// A figure before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// Before.
    pub before: T,
    /// After.
    pub after: T,
}

impl PlanDiff {
    /// What a change makes of the plan of a run. Linear in the size of the graph.
    #[must_use]
    pub fn new(state: &RunState, patch: &PlanPatch, revised: &Revised) -> Self {
        let (before, after) = (state.plan(), &revised.plan);
        let id = |index: &StepIndex| after.step(*index).id.clone();
        let replaced = |index: &StepIndex| ReplacedStep {
            id: id(index),
            fields: changed_fields(before.step(*index), after.step(*index)),
        };
        let width = match state.policy().width {
            Width::One => 1,
            Width::Bounded(width) => width,
        };
        Self {
            base: before.revision(),
            revision: after.revision(),
            added: revised.added.clone().map(|index| id(&index)).collect(),
            replaced: revised.replaced.iter().map(replaced).collect(),
            removed: revised.removed.iter().map(id).collect(),
            steps: Change { before: steps(before), after: steps(after) },
            levels: Change { before: levels(before), after: levels(after) },
            critical_path_seconds: Some(Change { before: longest(before), after: longest(after) })
                .filter(|path| path.before.is_some() || path.after.is_some()),
            max_concurrent_tasks: Change { before: width, after: patch.max_concurrent_tasks.unwrap_or(width) },
        }
    }
}

/// Lines for people: `+` added, `~` changed, `-` removed, then figures that differ.
impl fmt::Display for PlanDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan revision {} → {}", self.base, self.revision)?;
        line(f, '+', &self.added.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let replaced = self.replaced.iter().map(|step| format!("{} ({})", step.id, step.fields.join(", ")));
        line(f, '~', &replaced.collect::<Vec<_>>())?;
        line(f, '-', &self.removed.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        figure(f, "steps", self.steps, |steps| steps.to_string())?;
        figure(f, "levels", self.levels, |levels| levels.to_string())?;
        if let Some(path) = self.critical_path_seconds {
            let told = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), human_seconds);
            figure(f, "longest chain", path, told)?;
        }
        figure(f, "at once", self.max_concurrent_tasks, |width| width.to_string())
    }
}

fn line(f: &mut fmt::Formatter<'_>, mark: char, steps: &[String]) -> fmt::Result {
    if steps.is_empty() {
        return Ok(());
    }
    let more = steps.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    writeln!(f, "  {mark} {}{more}", steps[..steps.len().min(NAMED)].join(", "))
}

fn figure<T: Copy + PartialEq>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    change: Change<T>,
    told: impl Fn(T) -> String,
) -> fmt::Result {
    if change.before == change.after {
        return Ok(());
    }
    writeln!(f, "  {name}: {} → {}", told(change.before), told(change.after))
}

fn is_there(plan: &Plan) -> impl Fn(&StepIndex) -> bool {
    |index| !plan.is_removed(*index)
}

fn steps(plan: &Plan) -> u32 {
    (0..plan.len() as StepIndex).filter(is_there(plan)).count() as u32
}

fn levels(plan: &Plan) -> u32 {
    let deepest = (0..plan.len() as StepIndex).filter(is_there(plan)).map(|index| plan.topology().level(index)).max();
    deepest.map_or(0, |level| level + 1)
}

/// The longest chain by the estimates, if there are any.
fn longest(plan: &Plan) -> Option<f64> {
    let estimate = |index| plan.step(index).estimated_duration.filter(|_| !plan.is_removed(index));
    let durations: Vec<Option<Duration>> =
        (0..plan.len() as StepIndex).map(|index| estimate(index).map(|span| span.0)).collect();
    durations.iter().any(Option::is_some).then(|| {
        let durations: Vec<Duration> = durations.into_iter().map(Option::unwrap_or_default).collect();
        EarliestTimes::new(plan.topology(), &durations).total().as_secs_f64()
    })
}

fn changed_fields(before: &Step, after: &Step) -> Vec<String> {
    let members = |step: &Step| match serde_json::to_value(step) {
        Ok(serde_json::Value::Object(members)) => members,
        _ => serde_json::Map::new(),
    };
    let (before, after) = (members(before), members(after));
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}
