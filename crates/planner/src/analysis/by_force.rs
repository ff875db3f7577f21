//! Critical path, slack and levels against their definitions, tried on small graphs.

use std::time::Duration;

use proptest::prelude::*;
use tutti_core::plan::{Plan, StepIndex};

use super::Analysis;
use crate::testing::plan;

/// Every chain of steps that begins at a step without dependencies and ends at one on which none depends.
fn chains(plan: &Plan) -> Vec<Vec<StepIndex>> {
    let topology = plan.topology();
    let mut open: Vec<Vec<StepIndex>> =
        (0..plan.len() as StepIndex).filter(|i| topology.dependencies(*i).is_empty()).map(|i| vec![i]).collect();
    let mut whole = Vec::new();
    while let Some(chain) = open.pop() {
        let next = topology.successors(chain[chain.len() - 1]);
        if next.is_empty() {
            whole.push(chain);
        } else {
            open.extend(next.iter().map(|step| [&chain[..], &[*step]].concat()));
        }
    }
    whole
}

fn length(chain: &[StepIndex], durations: &[Duration]) -> Duration {
    chain.iter().map(|step| durations[*step as usize]).sum()
}

/// Whether one step must be complete before another, by trying all ways.
fn leads_to(plan: &Plan, from: StepIndex, to: StepIndex) -> bool {
    plan.topology().dependencies(to).iter().any(|on| *on == from || leads_to(plan, from, *on))
}

proptest! {
    #[test]
    fn critical_path_slack_and_levels_are_what_they_are_defined_as(
        rows in prop::collection::vec((any::<u16>(), 0..6_u32), 1..10),
    ) {
        let lines = rows.iter().enumerate().map(|(i, (bits, seconds))| {
            let on: Vec<String> = (0..i).filter(|j| bits >> j & 1 == 1 && bits & 0x400 != 0).map(|j| format!("s{j}")).collect();
            format!("- {{id: s{i}, capability: c, depends_on: [{}], estimated_duration: {}ms}}\n", on.join(", "), seconds + 1)
        });
        let plan = plan(&lines.collect::<String>());
        let analysis = Analysis::new(&plan);
        let chains = chains(&plan);
        let longest = chains.iter().map(|chain| length(chain, &analysis.estimates)).max().unwrap();
        // The critical path is one of the longest chains of the graph.
        prop_assert_eq!(analysis.estimated_parallel_time, longest);
        prop_assert!(chains.contains(&analysis.critical_path));
        prop_assert_eq!(length(&analysis.critical_path, &analysis.estimates), longest);
        for step in 0..plan.len() as StepIndex {
            // The slack of a step is what the longest chain through it leaves of the longest of all.
            let through = chains.iter().filter(|chain| chain.contains(&step));
            let through = through.map(|chain| length(chain, &analysis.estimates)).max().unwrap();
            prop_assert_eq!(analysis.slack[step as usize], longest - through);
            // Whoever leads to a step is on a level before it, and somebody is on the one right before.
            let level = plan.topology().level(step);
            let before: Vec<u32> = (0..plan.len() as StepIndex)
                .filter(|other| leads_to(&plan, *other, step))
                .map(|other| plan.topology().level(other))
                .collect();
            prop_assert_eq!(before.iter().max().map_or(0, |last| last + 1), level);
            prop_assert!(analysis.levels[level as usize].contains(&step));
        }
    }
}
