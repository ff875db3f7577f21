//! What a plan uses: time, money, units of computing, and agents at once.

use std::collections::BTreeMap;

use serde::Serialize;
use tutti_core::ids::StepId;
use tutti_core::plan::{Plan, StepIndex};
use tutti_core::workflow::StepKind;

use super::Surroundings;
use crate::analysis::Analysis;

/// What a plan uses, by step and in all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResourceBreakdown {
    /// Seconds of work, all steps together.
    pub total_time: f64,
    /// Money, all steps together, as far as they say; `None` if none says.
    pub total_cost: Option<f64>,
    /// Units of computing, all steps together.
    pub total_compute_units: f64,
    /// Money if every step needed all of its attempts.
    pub worst_cost: Option<f64>,
    /// By step, in the order of the workflow.
    pub tasks: Vec<StepResources>,
    /// By capability, in the order of their names.
    pub by_capability: Vec<CapabilityUse>,
}

/// What a step uses.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepResources {
    /// The step.
    pub task: StepId,
    /// Seconds.
    pub time: f64,
    /// Money; `None` if the workflow does not say.
    pub cost: Option<f64>,
    /// Units of computing: 1 for a step that asks an agent and says nothing, 0 for one that waits.
    pub compute_units: f64,
}

/// What is asked of the agents with a capability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CapabilityUse {
    /// The capability.
    pub capability: String,
    /// Steps that need it.
    pub tasks: usize,
    /// Most of them at once, if every step started as early as it could, within the workflow's width.
    pub at_once: usize,
    /// Seconds of work.
    pub time: f64,
    /// Agents that offer it, if that is known.
    pub agents: Option<u32>,
}

impl ResourceBreakdown {
    pub(super) fn new(plan: &Plan, analysis: &Analysis, around: &Surroundings) -> Self {
        let steps = &plan.workflow().steps;
        let task = |(index, step): (usize, &tutti_core::workflow::Step)| {
            let own = step.resources.unwrap_or_default();
            let asks = matches!(step.kind(), StepKind::Call(_));
            StepResources {
                task: step.id.clone(),
                time: analysis.estimates[index].as_secs_f64(),
                cost: own.cost,
                compute_units: own.compute_units.unwrap_or(if asks { 1.0 } else { 0.0 }),
            }
        };
        let tasks: Vec<StepResources> = steps.iter().enumerate().map(task).collect();
        let known = || tasks.iter().zip(steps).filter_map(|(task, step)| Some((task.cost?, step.retry.max_attempts)));
        let any = known().next().is_some();
        Self {
            total_time: analysis.estimated_total_time.as_secs_f64(),
            total_cost: any.then(|| known().map(|(cost, _)| cost).sum()),
            worst_cost: any.then(|| known().map(|(cost, attempts)| cost * f64::from(attempts)).sum()),
            total_compute_units: tasks.iter().map(|task| task.compute_units).sum(),
            by_capability: by_capability(plan, analysis, around),
            tasks,
        }
    }
}

fn by_capability(plan: &Plan, analysis: &Analysis, around: &Surroundings) -> Vec<CapabilityUse> {
    let mut steps: BTreeMap<&str, Vec<StepIndex>> = BTreeMap::new();
    for (index, step) in (0..).zip(&plan.workflow().steps) {
        if let Some(capability) = &step.capability {
            steps.entry(capability.as_str()).or_default().push(index);
        }
    }
    let width = plan.workflow().max_concurrent_tasks as usize;
    let used = |(capability, steps): (&str, Vec<StepIndex>)| CapabilityUse {
        capability: capability.to_owned(),
        tasks: steps.len(),
        at_once: at_once(analysis, &steps).min(width),
        time: steps.iter().map(|index| analysis.estimates[*index as usize].as_secs_f64()).sum(),
        agents: around.offers.as_ref().map(|offers| offers.get(capability).copied().unwrap_or(0)),
    };
    steps.into_iter().map(used).collect()
}

/// Most of some steps that are under way together when each starts as early as it can.
fn at_once(analysis: &Analysis, steps: &[StepIndex]) -> usize {
    let times = &analysis.times;
    let mut moments: Vec<_> =
        steps.iter().flat_map(|index| [(times.start(*index), 1_i64), (times.finish(*index), -1)]).collect();
    // What ends at a moment is over before what starts then.
    moments.sort_unstable();
    let mut now = 0;
    let peak = moments.into_iter().map(|(_, change)| {
        now += change;
        now
    });
    usize::try_from(peak.max().unwrap_or(0)).unwrap_or(0).max(usize::from(!steps.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;

    #[test]
    fn resources_are_added_up() {
        let plan = plan(concat!(
            "- {id: a, capability: x, estimated_duration: 2s, resources: {cost: 0.5, compute_units: 3}}\n",
            "- {id: b, capability: x, estimated_duration: 4s, resources: {cost: 0.25}, retry: {max_attempts: 1}}\n",
            "- {id: c, capability: y, depends_on: [a]}\n",
            "- {id: d, sleep: 5s, depends_on: [c]}\n",
        ));
        let offers = Some([("x".parse().unwrap(), 2)].into());
        let found = ResourceBreakdown::new(&plan, &Analysis::new(&plan), &Surroundings { offers });
        assert_eq!((found.total_cost, found.worst_cost), (Some(0.75), Some(1.75)));
        assert_eq!(found.total_compute_units, 5.0);
        let uses: Vec<_> =
            found.by_capability.iter().map(|used| (used.capability.as_str(), used.at_once, used.agents)).collect();
        assert_eq!(uses, [("x", 2, Some(2)), ("y", 1, Some(0))]);
    }

    #[test]
    fn nothing_said_is_nothing_known() {
        let plan = plan("- {id: a, capability: x}");
        let found = ResourceBreakdown::new(&plan, &Analysis::new(&plan), &Surroundings::default());
        assert_eq!((found.total_cost, found.worst_cost, found.by_capability[0].agents), (None, None, None));
    }
}
