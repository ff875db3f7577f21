//! Which steps could run side by side, in groups, and what it would save.

use serde::Serialize;
use tutti_core::ids::StepId;
use tutti_core::plan::{Plan, StepIndex};

use crate::analysis::Analysis;
use crate::report::{CoordinationStrategy, names};

/// The parallel opportunities of a plan.
///
/// A step is a candidate if its level holds another: the steps of a level need nothing of one another. Steps of different
/// levels may run side by side as well, and do, since a step starts the moment its own dependencies are done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Opportunities {
    /// Every step, in the order of the workflow.
    pub tasks: Vec<Opportunity>,
    /// Steps that can run together.
    pub groups: Vec<ParallelGroup>,
    /// Groups and single steps in the order in which they depend on one another, as `Group A` and step ids.
    pub sequential_chain: Vec<String>,
    /// The time of all steps one after another, in seconds.
    pub current_total_time: f64,
    /// The time of the critical path, in seconds.
    pub time_with_parallelization: f64,
    /// What that saves, in percent.
    pub savings_percent: f64,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Opportunity {
    /// The step.
    pub task: StepId,
    /// How it would run now: `parallel` for a candidate under a strategy that runs steps at once.
    pub currently: CoordinationStrategy,
    /// The steps that it needs.
    pub dependencies: Vec<StepId>,
    /// True if it can run beside others.
    pub parallel_candidate: bool,
    /// Why it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// Steps that can run together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ParallelGroup {
    /// Its name: `A` to `Z`, `AA` and so on.
    pub name: String,
    /// The level of its steps.
    pub level: u32,
    /// The steps.
    pub steps: Vec<StepId>,
}

impl Opportunities {
    /// Finds the opportunities.
    #[must_use]
    pub fn new(plan: &Plan, analysis: &Analysis, strategy: CoordinationStrategy) -> Self {
        let mut candidate = vec![false; plan.len()];
        let mut groups: Vec<ParallelGroup> = Vec::new();
        let mut sequential_chain = Vec::new();
        for (level, steps) in (0..).zip(&analysis.levels) {
            let (safe, alone): (Vec<StepIndex>, Vec<_>) = steps.iter().partition(|i| plan.step(**i).parallel_safe);
            if safe.len() > 1 {
                safe.iter().for_each(|index| candidate[*index as usize] = true);
                let name = group_name(groups.len());
                sequential_chain.push(format!("Group {name}"));
                groups.push(ParallelGroup { name, level, steps: names(plan, &safe) });
            } else {
                sequential_chain.extend(names(plan, &safe).iter().map(ToString::to_string));
            }
            sequential_chain.extend(names(plan, &alone).iter().map(ToString::to_string));
        }
        let task = |index: StepIndex| {
            let step = plan.step(index);
            let parallel_candidate = candidate[index as usize];
            Opportunity {
                task: step.id.clone(),
                currently: if parallel_candidate { strategy } else { CoordinationStrategy::Sequential },
                dependencies: names(plan, plan.topology().dependencies(index)),
                parallel_candidate,
                reason: match (parallel_candidate, step.parallel_safe) {
                    (true, _) => None,
                    (false, false) => Some("runs alone"),
                    (false, true) => Some("alone on its level"),
                },
            }
        };
        Self {
            tasks: (0..plan.len() as StepIndex).map(task).collect(),
            groups,
            sequential_chain,
            current_total_time: analysis.estimated_total_time.as_secs_f64(),
            time_with_parallelization: analysis.estimated_parallel_time.as_secs_f64(),
            savings_percent: analysis.parallel_potential() * 100.0,
        }
    }
}

/// `A` to `Z`, `AA` to `ZZ` and so on, as the columns of a sheet are named.
fn group_name(number: usize) -> String {
    let mut name = Vec::new();
    let mut rest = number + 1;
    while rest > 0 {
        rest -= 1;
        name.push(b'A' + (rest % 26) as u8);
        rest /= 26;
    }
    name.iter().rev().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ids, plan};

    fn found(steps: &str) -> Opportunities {
        let plan = plan(steps);
        Opportunities::new(&plan, &Analysis::new(&plan), CoordinationStrategy::Sequential)
    }

    #[test]
    fn the_example_of_the_workshop_comes_out() {
        let steps = "- {id: task-1, capability: c}\n- {id: task-2, capability: c, depends_on: [task-1]}\n\
                     - {id: task-3, capability: c}\n- {id: task-4, capability: c}";
        let found = found(steps);
        let rows: Vec<_> = found
            .tasks
            .iter()
            .map(|row| (row.task.as_str(), row.currently.as_str(), row.dependencies.len(), row.parallel_candidate))
            .collect();
        assert_eq!(
            rows,
            [
                ("task-1", "sequential", 0, true),
                ("task-2", "sequential", 1, false),
                ("task-3", "sequential", 0, true),
                ("task-4", "sequential", 0, true),
            ]
        );
        assert_eq!(found.groups.len(), 1);
        let plan = plan(steps);
        assert_eq!(found.groups[0].steps, names(&plan, &[0, 2, 3]), "{:?}", ids(&plan, &[0, 2, 3]));
        assert_eq!(found.sequential_chain, ["Group A", "task-2"]);
        assert_eq!(
            (found.current_total_time, found.time_with_parallelization, found.savings_percent),
            (4.0, 2.0, 50.0)
        );
    }

    #[test]
    fn steps_that_run_alone_are_no_candidates() {
        let found =
            found("- {id: a, capability: c}\n- {id: b, capability: c, parallel_safe: false}\n- {id: d, capability: c}");
        assert_eq!(found.sequential_chain, ["Group A", "b"]);
        assert_eq!((found.tasks[1].parallel_candidate, found.tasks[1].reason), (false, Some("runs alone")));
    }

    #[test]
    fn groups_never_run_out_of_names() {
        let names: Vec<String> = [0, 25, 26, 701, 702].into_iter().map(group_name).collect();
        assert_eq!(names, ["A", "Z", "AA", "ZZ", "AAA"]);
    }
}
