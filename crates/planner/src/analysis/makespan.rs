//! How long a plan takes when only so many steps run at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tutti_core::plan::{Plan, StepIndex};
use tutti_core::workflow::Priority;

/// Runs the plan on paper: ready steps start by priority, then first ready first, as many at once as the width allows, a
/// step that is not `parallel_safe` alone. The order is that of [`tutti_core::schedule::admit`]; steps that end at the
/// same moment end in the order in which they started.
#[must_use]
pub fn makespan(plan: &Plan, durations: &[Duration], width: u32) -> Duration {
    let mut desk = Desk {
        plan,
        waiting: (0..plan.len() as StepIndex).map(|i| plan.topology().dependencies(i).len()).collect(),
        ready: BinaryHeap::new(),
        running: BinaryHeap::new(),
        turns: 0,
    };
    for index in 0..plan.len() as StepIndex {
        if desk.waiting[index as usize] == 0 {
            desk.push_ready(index);
        }
    }
    let mut now = Duration::ZERO;
    loop {
        desk.admit(now, durations, width as usize);
        let Some(Reverse((end, ..))) = desk.running.peek().copied() else { return now };
        now = end;
        while let Some(Reverse((_, _, index))) = desk.running.peek().copied().filter(|Reverse((at, ..))| *at == now) {
            desk.running.pop();
            desk.release(index);
        }
    }
}

struct Desk<'p> {
    plan: &'p Plan,
    waiting: Vec<usize>,
    ready: BinaryHeap<Reverse<(Reverse<Priority>, u64, StepIndex)>>,
    running: BinaryHeap<Reverse<(Duration, u64, StepIndex)>>,
    turns: u64,
}

impl Desk<'_> {
    fn push_ready(&mut self, index: StepIndex) {
        self.turns += 1;
        self.ready.push(Reverse((Reverse(self.plan.step(index).priority), self.turns, index)));
    }

    /// Starts what may start. Between two calls a step ends, so one that runs alone is over by the next.
    fn admit(&mut self, now: Duration, durations: &[Duration], width: usize) {
        while let Some(Reverse((.., index))) = self.ready.peek().copied().filter(|_| self.running.len() < width) {
            let alone = !self.plan.step(index).parallel_safe;
            if alone && !self.running.is_empty() {
                return;
            }
            self.ready.pop();
            self.turns += 1;
            self.running.push(Reverse((now.saturating_add(durations[index as usize]), self.turns, index)));
            if alone {
                return;
            }
        }
    }

    fn release(&mut self, done: StepIndex) {
        for &next in self.plan.topology().successors(done) {
            self.waiting[next as usize] -= 1;
            if self.waiting[next as usize] == 0 {
                self.push_ready(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analysis::Analysis;
    use crate::testing::{plan, run_by_core};

    #[test]
    fn a_step_that_runs_alone_holds_up_the_others() {
        let plan = plan(concat!(
            "- {id: a, capability: c, estimated_duration: 3s}\n",
            "- {id: b, capability: c, estimated_duration: 2s, parallel_safe: false}\n",
            "- {id: d, capability: c, estimated_duration: 4s}\n",
        ));
        let estimates = Analysis::new(&plan).estimates;
        assert_eq!(makespan(&plan, &estimates, 4), Duration::from_secs(9));
    }

    #[test]
    fn priority_goes_first() {
        let steps = |priority: &str| {
            plan(&format!(
                "- {{id: a, capability: c, estimated_duration: 1s}}\n\
                 - {{id: b, capability: c, estimated_duration: 1s}}\n\
                 - {{id: long, capability: c, estimated_duration: 5s, priority: {priority}}}\n"
            ))
        };
        let seconds = |priority: &str| {
            let plan = steps(priority);
            makespan(&plan, &Analysis::new(&plan).estimates, 2).as_secs()
        };
        assert_eq!((seconds("high"), seconds("low")), (5, 6));
    }

    proptest! {
        #[test]
        fn it_is_what_the_product_does(
            rows in prop::collection::vec((any::<u16>(), 1..6_u32, 0..3_u8, 0..5_u8), 1..12),
            width in 1..5_u32,
        ) {
            let lines = rows.iter().enumerate().map(|(i, (bits, seconds, priority, safe))| {
                let on: Vec<String> = (0..i).filter(|j| bits >> j & 3 == 3).map(|j| format!("s{j}")).collect();
                format!(
                    "- {{id: s{i}, capability: c, depends_on: [{}], estimated_duration: {seconds}s, priority: {}, \
                     parallel_safe: {}}}\n",
                    on.join(", "),
                    ["low", "normal", "high"][*priority as usize],
                    *safe > 0,
                )
            });
            let plan = plan(&lines.collect::<String>());
            let analysis = Analysis::new(&plan);
            let on_paper = makespan(&plan, &analysis.estimates, width);
            prop_assert_eq!(on_paper, run_by_core(&plan, &analysis.estimates, width));
            prop_assert!(on_paper >= analysis.estimated_parallel_time);
            prop_assert!(on_paper <= analysis.estimated_total_time);
        }
    }
}
