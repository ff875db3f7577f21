//! Plans: a workflow with its graph and data flow worked out once.

mod data;

use std::collections::HashMap;
use std::sync::Arc;

/// Worked out with the workflow; everybody who holds a plan speaks of steps in these words.
#[doc(no_inline)]
pub use crate::workflow::{Binding, DataFlow, StepIndex, Topology};
pub use data::{InputMissing, StepInput, assemble_input, missing_output, run_data};

use crate::ids::{StepId, StepPath};
use crate::value::Digest;
use crate::workflow::{Problem, Step, Workflow, graph, validate};

/// A checked workflow, ready to run. Immutable; runs share it.
#[derive(Debug)]
pub struct Plan {
    workflow: Workflow,
    definition: Digest,
    canonical: Vec<u8>,
    by_id: HashMap<StepId, StepIndex>,
    topology: Topology,
    flow: DataFlow,
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
        let flow = DataFlow::new(&workflow, &topology)?;
        let (definition, canonical) = workflow.to_canonical();
        Ok(Arc::new(Self { workflow, definition, canonical, by_id, topology, flow }))
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

    /// Number of steps.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.workflow.steps.len()
    }

    /// False: a plan has at least one step.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.workflow.steps.is_empty()
    }

    /// A step by index.
    #[must_use]
    pub fn step(&self, index: StepIndex) -> &Step {
        &self.workflow.steps[index as usize]
    }

    /// A step's path in a run.
    #[must_use]
    pub fn path(&self, index: StepIndex) -> StepPath {
        StepPath::from(&self.step(index).id)
    }

    /// The step at a path of a run.
    #[must_use]
    pub fn find(&self, path: &StepPath) -> Option<StepIndex> {
        self.by_id.get(path.as_str()).copied()
    }
}
