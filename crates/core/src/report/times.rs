//! When each step could start and end at the earliest, and the chain of steps that decides the whole.

use std::time::Duration;

use crate::plan::{StepIndex, Topology};

/// The schedule of a graph in which every step starts the moment its dependencies are done, however many run at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarliestTimes {
    start: Vec<Duration>,
    finish: Vec<Duration>,
}

impl EarliestTimes {
    /// Works out the schedule from how long each step takes, by step index. Linear in steps and edges.
    #[must_use]
    pub fn new(topology: &Topology, durations: &[Duration]) -> Self {
        let mut start = vec![Duration::ZERO; durations.len()];
        let mut finish = vec![Duration::ZERO; durations.len()];
        for &index in topology.order() {
            let begin = topology.dependencies(index).iter().map(|on| finish[*on as usize]).max().unwrap_or_default();
            start[index as usize] = begin;
            finish[index as usize] = begin.saturating_add(durations[index as usize]);
        }
        Self { start, finish }
    }

    /// When a step starts, from the start of the first.
    #[must_use]
    pub fn start(&self, index: StepIndex) -> Duration {
        self.start[index as usize]
    }

    /// When a step ends, from the start of the first.
    #[must_use]
    pub fn finish(&self, index: StepIndex) -> Duration {
        self.finish[index as usize]
    }

    /// When the last step ends.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.finish.iter().copied().max().unwrap_or_default()
    }

    /// A longest chain of steps, in order; of several, the one whose last steps come first in the order of the graph.
    /// Steps that take no time may be left out at its ends.
    #[must_use]
    pub fn critical_path(&self, topology: &Topology) -> Vec<StepIndex> {
        let total = self.total();
        if total.is_zero() {
            return Vec::new();
        }
        let mut at = topology.order().iter().copied().find(|index| self.finish(*index) == total);
        let mut path = Vec::new();
        while let Some(index) = at {
            path.push(index);
            let begin = self.start(index);
            let before = topology.dependencies(index).iter().copied();
            at = before.filter(|_| !begin.is_zero()).find(|on| self.finish(*on) == begin);
        }
        path.reverse();
        path
    }

    /// How much later each step could end without the whole ending later.
    #[must_use]
    pub fn slack(&self, topology: &Topology) -> Vec<Duration> {
        let total = self.total();
        // The latest moment at which each step may end, then its distance from the earliest.
        let mut slack = vec![Duration::ZERO; self.finish.len()];
        for &index in topology.order().iter().rev() {
            let latest =
                topology.successors(index).iter().map(|next| self.start(*next).saturating_add(slack[*next as usize]));
            slack[index as usize] = latest.min().unwrap_or(total).saturating_sub(self.finish(index));
        }
        slack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(all: &[u64]) -> Vec<Duration> {
        all.iter().copied().map(Duration::from_secs).collect()
    }

    #[test]
    fn the_longest_chain_decides() {
        // 0 → 1 → 3 and 0 → 2 → 3, the second longer.
        let graph = Topology::new(&[vec![], vec![0], vec![0], vec![1, 2]]).unwrap();
        let times = EarliestTimes::new(&graph, &seconds(&[2, 3, 5, 1]));
        assert_eq!(times.total(), Duration::from_secs(8));
        assert_eq!(times.critical_path(&graph), [0, 2, 3]);
        assert_eq!(times.slack(&graph), seconds(&[0, 2, 0, 0]));
        assert_eq!((times.start(3), times.finish(1)), (Duration::from_secs(7), Duration::from_secs(5)));
    }

    #[test]
    fn steps_that_took_no_time_do_not_lengthen_the_path() {
        let graph = Topology::new(&[vec![], vec![0], vec![1]]).unwrap();
        assert_eq!(EarliestTimes::new(&graph, &seconds(&[2, 0, 0])).critical_path(&graph), [0]);
        assert!(EarliestTimes::new(&graph, &seconds(&[0, 0, 0])).critical_path(&graph).is_empty());
    }

    #[test]
    fn a_long_chain_needs_no_stack_and_no_sum_wraps() {
        let count = 100_000_u32;
        let lists: Vec<Vec<u32>> = (0..count).map(|i| i.checked_sub(1).into_iter().collect()).collect();
        let graph = Topology::new(&lists).unwrap();
        let times = EarliestTimes::new(&graph, &vec![Duration::from_secs(u64::MAX / 2); count as usize]);
        assert_eq!(times.total(), Duration::MAX);
        assert!(!times.critical_path(&graph).is_empty());
    }
}
