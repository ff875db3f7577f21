//! The graph of a plan: order, levels, reachability. Iterative throughout: a chain may be 100,000 steps long.

/// A step, by its place in the workflow's list.
pub type StepIndex = u32;

/// A directed acyclic graph of steps.
#[derive(Debug, Clone)]
pub struct Topology {
    dependencies: Adjacency,
    successors: Adjacency,
    order: Vec<StepIndex>,
    rank: Vec<u32>,
    level: Vec<u32>,
}

/// Lists of neighbours in one allocation.
#[derive(Debug, Clone)]
struct Adjacency {
    start: Vec<u32>,
    to: Vec<StepIndex>,
}

impl Adjacency {
    fn of(&self, index: StepIndex) -> &[StepIndex] {
        let index = index as usize;
        &self.to[self.start[index] as usize..self.start[index + 1] as usize]
    }

    fn forward(lists: &[Vec<StepIndex>]) -> Self {
        let mut start = Vec::with_capacity(lists.len() + 1);
        let mut to = Vec::with_capacity(lists.iter().map(Vec::len).sum());
        start.push(0);
        for list in lists {
            to.extend_from_slice(list);
            start.push(to.len() as u32);
        }
        Self { start, to }
    }

    fn reversed(lists: &[Vec<StepIndex>]) -> Self {
        let mut start = vec![0_u32; lists.len() + 1];
        for &to in lists.iter().flatten() {
            start[to as usize + 1] += 1;
        }
        for i in 0..lists.len() {
            start[i + 1] += start[i];
        }
        let mut next = start.clone();
        let mut to = vec![0; lists.iter().map(Vec::len).sum()];
        for (from, list) in (0..).zip(lists) {
            for &on in list {
                to[next[on as usize] as usize] = from;
                next[on as usize] += 1;
            }
        }
        Self { start, to }
    }
}

impl Topology {
    /// Orders steps by their dependencies (Kahn's algorithm); among equals the order of the list is kept.
    ///
    /// # Errors
    /// The steps of one cycle, each depending on the one before it and the first on the last.
    pub fn new(dependencies: &[Vec<StepIndex>]) -> Result<Self, Vec<StepIndex>> {
        let (forward, successors) = (Adjacency::forward(dependencies), Adjacency::reversed(dependencies));
        let count = dependencies.len();
        let mut waiting: Vec<u32> = dependencies.iter().map(|list| list.len() as u32).collect();
        let mut order: Vec<StepIndex> = (0..).zip(&waiting).filter(|(_, w)| **w == 0).map(|(i, _)| i).collect();
        let mut level = vec![0_u32; count];
        let mut done = 0;
        while let Some(&index) = order.get(done) {
            done += 1;
            for &next in successors.of(index) {
                level[next as usize] = level[next as usize].max(level[index as usize] + 1);
                waiting[next as usize] -= 1;
                if waiting[next as usize] == 0 {
                    order.push(next);
                }
            }
        }
        if done < count {
            return Err(find_cycle(dependencies, &waiting));
        }
        let mut rank = vec![0; count];
        for (position, &index) in (0..).zip(&order) {
            rank[index as usize] = position;
        }
        Ok(Self { dependencies: forward, successors, order, rank, level })
    }

    /// What a step depends on.
    #[must_use]
    pub fn dependencies(&self, index: StepIndex) -> &[StepIndex] {
        self.dependencies.of(index)
    }

    /// What depends on a step.
    #[must_use]
    pub fn successors(&self, index: StepIndex) -> &[StepIndex] {
        self.successors.of(index)
    }

    /// Every step after all that it depends on.
    #[must_use]
    pub fn order(&self) -> &[StepIndex] {
        &self.order
    }

    /// A step's place in [`order`](Self::order).
    #[must_use]
    pub fn rank(&self, index: StepIndex) -> u32 {
        self.rank[index as usize]
    }

    /// Length of the longest chain of dependencies before a step.
    #[must_use]
    pub fn level(&self, index: StepIndex) -> u32 {
        self.level[index as usize]
    }

    /// Steps by level.
    #[must_use]
    pub fn levels(&self) -> Vec<Vec<StepIndex>> {
        let count = self.level.iter().max().map_or(0, |most| *most as usize + 1);
        let mut levels = vec![Vec::new(); count];
        for (index, level) in (0..).zip(&self.level) {
            levels[*level as usize].push(index);
        }
        levels
    }

    /// True if `later` depends on `earlier`, directly or not. Walks back from `later`, never past the rank of
    /// `earlier`, and takes the edges it walks from `budget`; `None` when that is used up.
    pub(super) fn depends(&self, later: StepIndex, earlier: StepIndex, budget: &mut usize) -> Option<bool> {
        let floor = self.rank(earlier);
        if self.rank(later) <= floor {
            return Some(false);
        }
        let mut seen = std::collections::HashSet::new();
        let mut open = vec![later];
        while let Some(index) = open.pop() {
            let list = self.dependencies(index);
            *budget = budget.checked_sub(list.len() + 1)?;
            for &on in list {
                if on == earlier {
                    return Some(true);
                }
                if self.rank(on) > floor && seen.insert(on) {
                    open.push(on);
                }
            }
        }
        Some(false)
    }
}

/// Walks back from a step that never became ready: each has a dependency that never did either, so the walk meets
/// itself.
fn find_cycle(dependencies: &[Vec<StepIndex>], waiting: &[u32]) -> Vec<StepIndex> {
    let stuck = |index: &StepIndex| waiting[*index as usize] > 0;
    let mut visited = vec![u32::MAX; dependencies.len()];
    let mut path = Vec::new();
    let mut index = (0..dependencies.len() as u32).find(stuck).unwrap_or_default();
    while visited[index as usize] == u32::MAX {
        visited[index as usize] = path.len() as u32;
        path.push(index);
        index = dependencies[index as usize].iter().copied().find(|on| stuck(on)).unwrap_or(index);
    }
    let mut cycle = path.split_off(visited[index as usize] as usize);
    cycle.reverse();
    // Start at the step that stands first in the file.
    let first = cycle.iter().enumerate().min_by_key(|(_, index)| **index).map_or(0, |(at, _)| at);
    cycle.rotate_left(first);
    cycle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diamond_has_three_levels() {
        let graph = Topology::new(&[vec![], vec![0], vec![0], vec![1, 2]]).unwrap();
        assert_eq!(graph.order(), [0, 1, 2, 3]);
        assert_eq!(graph.levels(), [vec![0], vec![1, 2], vec![3]]);
        assert_eq!(graph.successors(0), [1, 2]);
        let mut budget = 100;
        assert_eq!(graph.depends(3, 0, &mut budget), Some(true));
        assert_eq!(graph.depends(2, 1, &mut budget), Some(false));
        assert_eq!(graph.depends(3, 0, &mut 0), None);
    }

    #[test]
    fn a_cycle_is_found_wherever_it_is() {
        // 0 ← 1 ← 2 ← 3 ← 1: the cycle is 1, 2, 3; 4 only hangs on it.
        let cycle = Topology::new(&[vec![], vec![0, 3], vec![1], vec![2], vec![3]]).unwrap_err();
        assert_eq!(cycle, [1, 2, 3]);
    }

    #[test]
    fn a_long_cycle_needs_no_stack() {
        let count = 100_000;
        let lists: Vec<Vec<u32>> = (0..count).map(|i| vec![(i + count - 1) % count]).collect();
        assert_eq!(Topology::new(&lists).unwrap_err().len(), count as usize);
    }
}
