//! A checked workflow with its graph and data flow worked out, and those that its steps hold.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{DataFlow, StepIndex, Topology};
use crate::ids::StepId;
use crate::workflow::{Problem, Step, Workflow, graph, with_undos};

/// A workflow worked out. Places in it are numbers: first its own steps, then those that undo some of them.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) workflow: Workflow,
    pub(super) by_id: HashMap<StepId, u32>,
    pub(super) topology: Topology,
    pub(super) flow: DataFlow,
    pub(super) undos: Undos,
    /// What steps hold.
    pub(super) bodies: BTreeMap<u32, Arc<Self>>,
}

/// The steps that undo others.
#[derive(Debug, Default)]
pub(super) struct Undos {
    steps: Vec<Step>,
    /// The step that each of them undoes.
    undone: Vec<u32>,
    by_undone: HashMap<u32, u32>,
}

impl Compiled {
    /// Works out a workflow that was checked.
    ///
    /// # Errors
    /// What the graph and the data flow find wrong.
    pub(super) fn new(workflow: Workflow) -> Result<Arc<Self>, Vec<Problem>> {
        let by_id = workflow.steps.iter().zip(0..).map(|(step, index)| (step.id.clone(), index)).collect();
        let topology = graph(&workflow)?;
        let (flow, undos) = match with_undos(&workflow, &topology) {
            None => (DataFlow::new(&workflow, &topology)?, Undos::default()),
            Some((mut extended, topology, undone)) => {
                let flow = DataFlow::new(&extended, &topology)?;
                let by_undone = undone.iter().copied().zip(workflow.steps.len() as StepIndex..).collect();
                (flow, Undos { steps: extended.steps.split_off(workflow.steps.len()), undone, by_undone })
            }
        };
        let mut bodies = BTreeMap::new();
        for (index, step) in (0..).zip(&workflow.steps) {
            if let Some(body) = step.body(&workflow) {
                bodies.insert(index, Self::new(body)?);
            }
        }
        Ok(Arc::new(Self { workflow, by_id, topology, flow, undos, bodies }))
    }

    /// Number of its own steps.
    pub(super) const fn own(&self) -> u32 {
        self.workflow.steps.len() as u32
    }

    /// Number of places.
    pub(super) const fn places(&self) -> u32 {
        self.own() + self.undos.steps.len() as u32
    }

    pub(super) fn step(&self, place: u32) -> &Step {
        let own = &self.workflow.steps;
        own.get(place as usize).unwrap_or_else(|| &self.undos.steps[place as usize - own.len()])
    }

    /// The place of what undoes a step.
    pub(super) fn undo_of(&self, place: u32) -> Option<u32> {
        self.undos.by_undone.get(&place).copied()
    }

    /// The place of the step that is undone at a place.
    pub(super) fn undone_by(&self, place: u32) -> Option<u32> {
        place.checked_sub(self.own()).and_then(|at| self.undos.undone.get(at as usize)).copied()
    }

    /// The steps that undo others, by the places of those.
    pub(super) fn undone(&self) -> &[u32] {
        &self.undos.undone
    }

    pub(super) fn dependencies(&self, place: u32) -> &[u32] {
        if place < self.own() { self.topology.dependencies(place) } else { &[] }
    }

    pub(super) fn successors(&self, place: u32) -> &[u32] {
        if place < self.own() { self.topology.successors(place) } else { &[] }
    }
}
