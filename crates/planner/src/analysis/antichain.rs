//! The largest set of mutually independent steps: a maximum antichain of the graph.

use tutti_core::plan::{StepIndex, Topology};

/// Up to this many steps the largest set is found exactly; above it, the widest level stands for it, which is never too
/// large but may be too small. The exact way takes time with the cube of the number of steps.
pub const EXACT_STEPS: usize = 1_000;

/// Steps of which none depends on another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndependentSteps {
    /// The steps, in the order of the workflow.
    pub steps: Vec<StepIndex>,
    /// True if there is no larger set; false if nobody looked.
    pub exact: bool,
}

/// The largest set of mutually independent steps.
///
/// By the theorem of Dilworth it is as large as the least number of chains that cover the graph, and that is found as a
/// maximum matching between steps and the steps after them (Fulkerson); the steps that the minimum vertex cover (König)
/// leaves free on both sides are the set. A level of the same size is preferred, because it is easier to recognize.
#[must_use]
pub fn widest_independent(topology: &Topology, levels: &[Vec<StepIndex>]) -> IndependentSteps {
    let level = levels.iter().rev().max_by_key(|level| level.len()).cloned().unwrap_or_default();
    let count = topology.order().len();
    if count > EXACT_STEPS {
        return IndependentSteps { steps: level, exact: false };
    }
    let mut matching = Matching::new(Reachable::new(topology));
    let matched = (0..count).filter(|root| matching.augment(*root)).count();
    let steps = if count - matched > level.len() { matching.free_on_both_sides() } else { level };
    IndependentSteps { steps, exact: true }
}

/// A set of steps as bits.
type Bits = Vec<u64>;

/// Which steps come after each step, directly or not.
struct Reachable {
    after: Vec<Bits>,
}

impl Reachable {
    fn new(topology: &Topology) -> Self {
        let count = topology.order().len();
        let mut after = vec![vec![0; count.div_ceil(64)]; count];
        for &index in topology.order().iter().rev() {
            let mut bits: Bits = vec![0; count.div_ceil(64)];
            for &next in topology.successors(index) {
                bits[next as usize / 64] |= 1 << (next % 64);
                bits.iter_mut().zip(&after[next as usize]).for_each(|(bit, more)| *bit |= more);
            }
            after[index as usize] = bits;
        }
        Self { after }
    }
}

/// Pairs of a step and one after it, each step at most once on either side.
struct Matching {
    reachable: Reachable,
    right_of: Vec<Option<usize>>,
    left_of: Vec<Option<usize>>,
}

/// How far a search from unmatched steps on the left came along alternating paths.
struct Search {
    left: Vec<usize>,
    /// For each step on the right, the one on the left from which it was met.
    met_from: Vec<Option<usize>>,
    /// An unmatched step on the right, if one was met.
    end: Option<usize>,
}

impl Matching {
    fn new(reachable: Reachable) -> Self {
        let count = reachable.after.len();
        Self { reachable, right_of: vec![None; count], left_of: vec![None; count] }
    }

    /// Makes the matching larger by one path from a step that is unmatched on the left, if there is one.
    fn augment(&mut self, root: usize) -> bool {
        let search = self.search(vec![root]);
        let mut end = search.end;
        let grew = end.is_some();
        while let Some(right) = end {
            let Some(left) = search.met_from[right] else { break };
            self.left_of[right] = Some(left);
            end = self.right_of[left].replace(right);
        }
        grew
    }

    /// Walks from steps on the left until an unmatched step on the right is met, or all that can be met is. Each step on
    /// the right is met once: what is left to meet is kept as bits.
    fn search(&self, roots: Vec<usize>) -> Search {
        let count = self.left_of.len();
        let mut unmet: Bits = vec![u64::MAX; count.div_ceil(64)];
        let mut search = Search { left: roots, met_from: vec![None; count], end: None };
        let mut next = 0;
        while let Some(&left) = search.left.get(next) {
            next += 1;
            for (word, after) in self.reachable.after[left].iter().enumerate() {
                let mut fresh = after & unmet[word];
                unmet[word] &= !fresh;
                while fresh != 0 {
                    let right = word * 64 + fresh.trailing_zeros() as usize;
                    fresh &= fresh - 1;
                    search.met_from[right] = Some(left);
                    match self.left_of[right] {
                        Some(matched) => search.left.push(matched),
                        None => {
                            search.end = Some(right);
                            return search;
                        }
                    }
                }
            }
        }
        search
    }

    /// With a maximum matching: the steps that are in the minimum vertex cover neither as left nor as right.
    fn free_on_both_sides(&self) -> Vec<StepIndex> {
        let roots = (0..self.right_of.len()).filter(|left| self.right_of[*left].is_none()).collect();
        let search = self.search(roots);
        let mut free: Vec<StepIndex> = search
            .left
            .iter()
            .filter(|step| search.met_from[**step].is_none())
            .map(|step| *step as StepIndex)
            .collect();
        free.sort_unstable();
        free
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn widest(dependencies: &[Vec<u32>]) -> IndependentSteps {
        let topology = Topology::new(dependencies).unwrap();
        widest_independent(&topology, &topology.levels())
    }

    #[test]
    fn the_set_may_lie_across_levels() {
        // 0 → 1 → 2 → 3, beside it 4 → {5, 6}: of the chain one, of the fan two.
        let found = widest(&[vec![], vec![0], vec![1], vec![2], vec![], vec![4], vec![4]]);
        assert_eq!((found.steps, found.exact), (vec![1, 5, 6], true));
        // 0 → 1, 2 → 3 → 4 and 5 hanging on 3, 6 on 2: 1, 4, 5, 6 lie on levels 1 and 2.
        let found = widest(&[vec![], vec![0], vec![], vec![2], vec![3], vec![3], vec![2]]);
        assert_eq!(found.steps, [1, 4, 5, 6]);
    }

    #[test]
    fn a_chain_has_no_two() {
        assert_eq!(widest(&[vec![], vec![0], vec![1]]).steps, [0]);
        assert_eq!(widest(&[vec![]]).steps, [0]);
    }

    #[test]
    fn a_thousand_steps_are_exact() {
        // Many chains of different lengths, so that no level holds one step of each.
        let mut lists: Vec<Vec<u32>> = Vec::new();
        for chain in 0..40 {
            for at in 0..25_u32 {
                lists.push(if at == 0 { vec![] } else { vec![lists.len() as u32 - 1] });
            }
            // The first steps of half of the chains wait for the first chain to end.
            if chain % 2 == 1 {
                let first = lists.len() - 25;
                lists[first] = vec![24];
            }
        }
        let found = widest(&lists);
        assert_eq!((lists.len(), found.exact, found.steps.len()), (EXACT_STEPS, true, 39));
    }

    /// By trying every subset.
    fn largest_by_force(dependencies: &[Vec<u32>]) -> usize {
        let topology = Topology::new(dependencies).unwrap();
        let reachable = Reachable::new(&topology);
        let independent = |set: u32| {
            let members = || (0..dependencies.len()).filter(move |i| set >> i & 1 == 1);
            members().all(|a| members().all(|b| reachable.after[a][0] >> b & 1 == 0))
        };
        (0..1_u32 << dependencies.len()).filter(|set| independent(*set)).map(u32::count_ones).max().unwrap_or(0)
            as usize
    }

    proptest! {
        #[test]
        fn no_set_is_larger(rows in prop::collection::vec(any::<u16>(), 1..11)) {
            let lists: Vec<Vec<u32>> = rows
                .iter()
                .enumerate()
                .map(|(i, bits)| (0..i as u32).filter(|j| bits >> j & 1 == 1 && bits >> 10 != 0).collect())
                .collect();
            let found = widest(&lists);
            prop_assert_eq!(found.steps.len(), largest_by_force(&lists));
            let reachable = Reachable::new(&Topology::new(&lists).unwrap());
            for a in &found.steps {
                for b in &found.steps {
                    prop_assert_eq!(reachable.after[*a as usize][0] >> b & 1, 0, "{} before {}", a, b);
                }
            }
        }
    }
}
