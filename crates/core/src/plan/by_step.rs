//! Something for each step of a run, found by the step's index.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use super::StepIndex;

/// The bit of the index of what undoes a step of the workflow; the rest is that step's index.
pub(super) const UNDO: StepIndex = 1 << 31;

/// The bit of the index of a step that a step of the workflow holds.
pub(super) const GROWN: StepIndex = 1 << 30;

/// Something for each step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByStep<T> {
    own: Vec<T>,
    #[serde(default = "BTreeMap::new", skip_serializing_if = "BTreeMap::is_empty")]
    undos: BTreeMap<StepIndex, T>,
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    grown: Vec<T>,
}

impl<T> ByStep<T> {
    /// Something for each of these steps, which are all of a run.
    pub fn new(steps: impl Iterator<Item = StepIndex>, mut of: impl FnMut(StepIndex) -> T) -> Self {
        let mut all = Self { own: Vec::with_capacity(steps.size_hint().0), undos: BTreeMap::new(), grown: Vec::new() };
        for step in steps {
            all.add(step, of(step));
        }
        all
    }

    /// Adds a step: each of its sort in its order.
    pub fn add(&mut self, step: StepIndex, value: T) {
        match step & (UNDO | GROWN) {
            0 => self.own.push(value),
            GROWN => self.grown.push(value),
            _ => drop(self.undos.insert(step, value)),
        }
    }

    /// Those of the workflow's own steps.
    #[must_use]
    pub fn own(&self) -> &[T] {
        &self.own
    }

    /// Has something for each step of a plan that has changed, and for no other.
    pub fn fit(&mut self, plan: &super::Plan)
    where
        T: Default,
    {
        self.truncate_own(plan.len() as u32);
        self.own.resize_with(plan.len(), T::default);
        self.grown.resize_with(plan.held_places() as usize, T::default);
        for undo in plan.undos() {
            self.undos.entry(undo).or_default();
        }
    }

    /// What stands at an index, if there is something.
    #[must_use]
    pub fn get(&self, step: StepIndex) -> Option<&T> {
        match step & (UNDO | GROWN) {
            0 => self.own.get(step as usize),
            GROWN => self.grown.get((step & !GROWN) as usize),
            _ => self.undos.get(&step),
        }
    }

    /// Leaves out steps from an index on, of those that steps hold.
    pub(crate) fn truncate_grown(&mut self, len: u32) {
        self.grown.truncate(len as usize);
    }

    /// Leaves out the workflow's own steps from an index on, and what undoes them.
    pub(crate) fn truncate_own(&mut self, len: u32) {
        self.own.truncate(len as usize);
        self.undos.retain(|undo, _| undo & !UNDO < len);
    }

    /// All of them, with their indexes.
    pub fn iter(&self) -> impl Iterator<Item = (StepIndex, &T)> {
        let own = (0..).zip(&self.own);
        own.chain(self.undos.iter().map(|(index, value)| (*index, value))).chain((GROWN..).zip(&self.grown))
    }

    /// As [`iter`](Self::iter), to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (StepIndex, &mut T)> {
        let own = (0..).zip(&mut self.own);
        own.chain(self.undos.iter_mut().map(|(index, value)| (*index, value))).chain((GROWN..).zip(&mut self.grown))
    }
}

impl<T> Index<StepIndex> for ByStep<T> {
    type Output = T;

    fn index(&self, step: StepIndex) -> &T {
        match step & (UNDO | GROWN) {
            0 => &self.own[step as usize],
            GROWN => &self.grown[(step & !GROWN) as usize],
            _ => &self.undos[&step],
        }
    }
}

impl<T> IndexMut<StepIndex> for ByStep<T> {
    fn index_mut(&mut self, step: StepIndex) -> &mut T {
        match step & (UNDO | GROWN) {
            0 => &mut self.own[step as usize],
            GROWN => &mut self.grown[(step & !GROWN) as usize],
            _ => self.undos.get_mut(&step).expect("what undoes a step has an index only if there is such a step"),
        }
    }
}
