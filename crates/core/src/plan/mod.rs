//! Plans: a workflow with its graph and data flow worked out once.

mod change;
mod data;

use std::collections::HashMap;
use std::sync::Arc;

/// Worked out with the workflow; everybody who holds a plan speaks of steps in these words.
#[doc(no_inline)]
pub use crate::workflow::{Binding, DataFlow, StepIndex, Topology};
pub use change::{DataSources, Unchangeable};
pub use data::{InputMissing, StepInput, assemble_input, missing_output, run_data};

use crate::ids::{StepId, StepPath};
use crate::value::Digest;
use crate::workflow::{Problem, Step, Workflow, graph, validate, with_undos};

/// A checked workflow, ready to run. Immutable; runs share it.
///
/// Behind the workflow's own steps stand those that undo them ([`Compensation`](crate::workflow::Compensation)): they are
/// steps like any other, except that nothing but the undoing of a run releases them.
#[derive(Debug)]
pub struct Plan {
    workflow: Workflow,
    definition: Digest,
    canonical: Vec<u8>,
    by_id: HashMap<StepId, StepIndex>,
    topology: Topology,
    flow: DataFlow,
    undos: Undos,
}

/// The steps that undo others.
#[derive(Debug, Default)]
struct Undos {
    steps: Vec<Step>,
    /// The step that each of them undoes.
    undone: Vec<StepIndex>,
    by_undone: HashMap<StepIndex, StepIndex>,
}

impl Plan {
    /// Works out the plan of a workflow.
    ///
    /// # Errors
    /// Every problem of a workflow that is not valid.
    pub fn new(workflow: Workflow) -> Result<Arc<Self>, Vec<Problem>> {
        let problems: Vec<Problem> = validate(&workflow).into_iter().filter(Problem::is_error).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let by_id: HashMap<StepId, StepIndex> =
            workflow.steps.iter().zip(0..).map(|(step, index)| (step.id.clone(), index)).collect();
        let topology = graph(&workflow)?;
        let (flow, undos) = match with_undos(&workflow, &topology) {
            None => (DataFlow::new(&workflow, &topology)?, Undos::default()),
            Some((mut extended, topology, undone)) => {
                let flow = DataFlow::new(&extended, &topology)?;
                let by_undone = undone.iter().copied().zip(workflow.steps.len() as StepIndex..).collect();
                (flow, Undos { steps: extended.steps.split_off(workflow.steps.len()), undone, by_undone })
            }
        };
        let (definition, canonical) = workflow.to_canonical();
        Ok(Arc::new(Self { workflow, definition, canonical, by_id, topology, flow, undos }))
    }

    /// The workflow.
    #[must_use]
    pub const fn workflow(&self) -> &Workflow {
        &self.workflow
    }

    /// Names the definition by content.
    #[must_use]
    pub const fn definition(&self) -> Digest {
        self.definition
    }

    /// The stored form of the definition, whose SHA-256 is [`definition`](Self::definition).
    #[must_use]
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// The graph.
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Who reads what from whom.
    #[must_use]
    pub const fn flow(&self) -> &DataFlow {
        &self.flow
    }

    /// Number of steps, without those that undo others.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.workflow.steps.len()
    }

    /// False: a plan has at least one step.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.workflow.steps.is_empty()
    }

    /// Every index of a step, those that undo others last.
    pub fn indexes(&self) -> impl Iterator<Item = StepIndex> + use<> {
        0..(self.len() + self.undos.steps.len()) as StepIndex
    }

    /// A step by index.
    #[must_use]
    pub fn step(&self, index: StepIndex) -> &Step {
        let own = &self.workflow.steps;
        own.get(index as usize).unwrap_or_else(|| &self.undos.steps[index as usize - own.len()])
    }

    /// The step that undoes another, if it can be undone.
    #[must_use]
    pub fn undo_of(&self, step: StepIndex) -> Option<StepIndex> {
        self.undos.by_undone.get(&step).copied()
    }

    /// The step that a step undoes; `None` for one of the workflow's own.
    #[must_use]
    pub fn undone_by(&self, undo: StepIndex) -> Option<StepIndex> {
        (undo as usize).checked_sub(self.len()).and_then(|at| self.undos.undone.get(at)).copied()
    }

    /// A step's path in a run.
    #[must_use]
    pub fn path(&self, index: StepIndex) -> StepPath {
        let id = &self.step(index).id;
        if (index as usize) < self.len() { StepPath::from(id) } else { StepPath::undo_of(id) }
    }

    /// The step at a path of a run.
    #[must_use]
    pub fn find(&self, path: &StepPath) -> Option<StepIndex> {
        match path.undone() {
            None => self.by_id.get(path.as_str()).copied(),
            Some(undone) => self.undo_of(*self.by_id.get(undone)?),
        }
    }
}
