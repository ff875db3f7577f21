//! Plans: a workflow with its graph and data flow worked out once, and what was added to it while a run went on.

mod by_step;
mod change;
mod compiled;
mod data;
mod growth;
mod revise;
mod shared;

use std::sync::Arc;

/// Worked out with the workflow; everybody who holds a plan speaks of steps in these words.
#[doc(no_inline)]
pub use crate::workflow::{Binding, DataFlow, PlanPatch, StepIndex, Topology};
pub use by_step::ByStep;
pub use change::{DataSources, Unchangeable};
pub use data::{
    InputMissing, Inside, StepInput, assemble_input, captured, enter, input_of, missing_output, run_data,
    start_of_time, written,
};
pub use growth::Growth;
pub use revise::Revised;

use by_step::{GROWN, UNDO};
use compiled::Compiled;
use growth::Growths;

use crate::ids::StepPath;
use crate::value::Digest;
use crate::workflow::{Problem, Step, Workflow, unresolved, validate};

/// A checked workflow, ready to run. Immutable; runs share it, until one of them grows.
///
/// A step has an index: those of the workflow its place in the list; what undoes one
/// ([`Compensation`](crate::workflow::Compensation)) and what one holds have indexes of their own sort. They are steps like
/// any other, except that nothing but the undoing of a run releases what undoes, and nothing but the step that holds others
/// those. An index means the same step for as long as the run lives.
#[derive(Debug, Clone)]
pub struct Plan {
    root: Arc<Compiled>,
    /// The workflow as the run was started with it, once it is another one.
    first: Option<Arc<Compiled>>,
    definition: Digest,
    canonical: Arc<[u8]>,
    revision: u32,
    removed: Vec<StepIndex>,
    growths: Growths,
}

/// A step as it stands in its workflow.
#[derive(Clone, Copy)]
struct Place<'p> {
    of: &'p Compiled,
    at: u32,
    /// The time to which it belongs, of a step that is held.
    time: Option<(&'p Growth, u32)>,
}

impl Place<'_> {
    /// The index of another place in the same workflow.
    fn index(self, at: u32) -> StepIndex {
        match self.time {
            Some((growth, number)) => growth.index(number, at),
            None => at,
        }
    }
}

impl Plan {
    /// Works out the plan of a workflow.
    ///
    /// # Errors
    /// Every problem of a workflow that is not valid.
    pub fn new(workflow: Workflow) -> Result<Arc<Self>, Vec<Problem>> {
        let mut problems: Vec<Problem> = validate(&workflow).into_iter().filter(Problem::is_error).collect();
        let unknown = |name| Problem::error("steps", format!("there is no registered workflow \"{name}\""));
        problems.extend(unresolved(&workflow).iter().map(unknown));
        if !problems.is_empty() {
            return Err(problems);
        }
        let (definition, canonical) = workflow.to_canonical();
        let root = Compiled::new(workflow)?;
        let canonical = canonical.into();
        Ok(Arc::new(Self {
            root,
            first: None,
            definition,
            canonical,
            revision: 0,
            removed: Vec::new(),
            growths: Growths::default(),
        }))
    }

    /// The workflow, with the steps that were added to it.
    #[must_use]
    pub fn workflow(&self) -> &Workflow {
        &self.root.workflow
    }

    /// Names the definition by content, as the run was started with it.
    #[must_use]
    pub const fn definition(&self) -> Digest {
        self.definition
    }

    /// The stored form of the definition, whose SHA-256 is [`definition`](Self::definition).
    #[must_use]
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// How often it was changed while the run went on.
    #[must_use]
    pub const fn revision(&self) -> u32 {
        self.revision
    }

    /// The graph of the workflow's own steps.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.root.topology
    }

    /// Number of the workflow's own steps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.root.workflow.steps.len()
    }

    /// False: a plan has at least one step.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.root.workflow.steps.is_empty()
    }

    /// Every index of a step: the workflow's own, those that undo one of them, and those that steps hold.
    pub fn indexes(&self) -> impl Iterator<Item = StepIndex> + use<> {
        let undos: Vec<StepIndex> = self.undos().collect();
        (0..self.root.own()).chain(undos).chain(GROWN..GROWN + self.growths.places())
    }

    /// The indexes of what undoes one of the workflow's own steps.
    pub(super) fn undos(&self) -> impl Iterator<Item = StepIndex> + '_ {
        self.root.undone().iter().map(|undone| UNDO | undone)
    }

    /// Every step that is not there to undo another.
    pub fn forward(&self) -> impl Iterator<Item = StepIndex> {
        self.indexes().filter(|index| self.undone_by(*index).is_none())
    }

    fn place(&self, index: StepIndex) -> Place<'_> {
        match index & (UNDO | GROWN) {
            0 => Place { of: &self.root, at: index, time: None },
            GROWN => {
                let (growth, number, at) = self.growths.at(index);
                Place { of: &growth.body, at, time: Some((growth, number)) }
            }
            _ => Place { of: &self.root, at: self.root.undo_of(index & !UNDO).unwrap_or(u32::MAX), time: None },
        }
    }

    /// True for the index of a step that there is.
    #[must_use]
    pub fn has(&self, index: StepIndex) -> bool {
        match index & (UNDO | GROWN) {
            0 => index < self.root.own(),
            GROWN => index & !GROWN < self.growths.places(),
            _ => self.root.undo_of(index & !UNDO).is_some(),
        }
    }

    /// A step by index.
    #[must_use]
    pub fn step(&self, index: StepIndex) -> &Step {
        if let Some(own) = self.root.workflow.steps.get(index as usize) {
            return own;
        }
        let place = self.place(index);
        place.of.step(place.at)
    }

    /// The step that undoes another, if it can be undone.
    #[must_use]
    pub fn undo_of(&self, step: StepIndex) -> Option<StepIndex> {
        let place = self.place(step);
        let undo = place.of.undo_of(place.at)?;
        Some(if place.time.is_some() { place.index(undo) } else { UNDO | step })
    }

    /// The step that a step undoes; `None` for one that does not.
    #[must_use]
    pub fn undone_by(&self, undo: StepIndex) -> Option<StepIndex> {
        match undo & (UNDO | GROWN) {
            0 => None,
            GROWN => {
                let place = self.place(undo);
                place.of.undone_by(place.at).map(|undone| place.index(undone))
            }
            _ => Some(undo & !UNDO),
        }
    }

    /// What depends on a step.
    pub fn successors(&self, index: StepIndex) -> impl Iterator<Item = StepIndex> + '_ {
        let place = self.place(index);
        place.of.successors(place.at).iter().map(move |at| place.index(*at))
    }

    /// What a step depends on.
    pub fn dependencies(&self, index: StepIndex) -> impl ExactSizeIterator<Item = StepIndex> + '_ {
        let place = self.place(index);
        place.of.dependencies(place.at).iter().map(move |at| place.index(*at))
    }

    /// The step that holds a step; none for the workflow's own and what undoes them.
    #[must_use]
    pub fn holder(&self, index: StepIndex) -> Option<StepIndex> {
        self.place(index).time.map(|(growth, _)| growth.container)
    }

    /// The steps that hold a step, outermost first, with the number of the time to which it belongs in each.
    #[must_use]
    pub fn holders(&self, mut index: StepIndex) -> Vec<(StepIndex, u32)> {
        let mut found = Vec::new();
        while let Some((growth, number)) = self.place(index).time {
            found.push((growth.container, number));
            index = growth.container;
        }
        found.reverse();
        found
    }

    /// What a step holds, as it came into being.
    pub fn held_by(&self, container: StepIndex) -> impl DoubleEndedIterator<Item = &Growth> {
        self.growths.of(container)
    }

    /// The step that holds a step, and which of its times that belongs to.
    #[must_use]
    pub fn time_of(&self, index: StepIndex) -> Option<(&Growth, u32)> {
        self.place(index).time
    }

    /// How often steps came into being that others hold.
    #[must_use]
    pub fn growths(&self) -> usize {
        self.growths.len()
    }

    /// The steps of which a step reads outputs, for its input, its conditions and what it holds; those around it are told by
    /// [`holders`](Self::holders).
    #[must_use]
    pub fn reads(&self, index: StepIndex) -> Vec<StepIndex> {
        let place = self.place(index);
        place.of.flow.reads(place.at).into_iter().map(|at| place.index(at)).collect()
    }

    /// A step's path in a run.
    #[must_use]
    pub fn path(&self, index: StepIndex) -> StepPath {
        if let Some(own) = self.root.workflow.steps.get(index as usize) {
            return StepPath::from(&own.id);
        }
        if let Some(undone) = self.undone_by(index) {
            return self.path(undone).undo();
        }
        let place = self.place(index);
        let Some((growth, number)) = place.time else { return StepPath::from(&place.of.step(place.at).id) };
        let around = self.path(growth.container);
        match self.step(growth.container).container() {
            Some(container) => around.with(&growth::suffix(container, number, place.of.step(place.at).id.as_str())),
            None => around,
        }
    }

    /// The step at a path of a run.
    #[must_use]
    pub fn find(&self, path: &StepPath) -> Option<StepIndex> {
        let (forward, undoes) = path.undone().map_or((path.as_str(), false), |undone| (undone, true));
        let (first, mut rest) = forward.split_at(forward.find(['[', '#', '@', '/']).unwrap_or(forward.len()));
        let mut index = *self.root.by_id.get(first)?;
        while !rest.is_empty() {
            let end = rest[1..].find(['[', '#', '@', '/']).map_or(rest.len(), |end| end + 1);
            let (token, tail) = rest.split_at(end);
            index = match token.strip_prefix('/') {
                Some(id) => {
                    let growth = self.growths.of(index).next()?;
                    growth.index(growth.first, *growth.body.by_id.get(id)?)
                }
                None => {
                    let number = token[1..].trim_end_matches(']').parse().ok()?;
                    self.growths.find(index, number)?.index(number, 0)
                }
            };
            rest = tail;
        }
        if undoes { self.undo_of(index) } else { Some(index) }
    }

    /// The plan with the steps that a step holds, `count` times from the number `first` on.
    ///
    /// # Panics
    /// Never for a step that holds others.
    #[must_use]
    pub fn grown(&self, container: StepIndex, first: u32, count: u32) -> Arc<Self> {
        let place = self.place(container);
        let mut plan = self.clone();
        if let Some(body) = place.of.bodies.get(&place.at) {
            plan.growths.add(container, body.clone(), first, count);
        }
        Arc::new(plan)
    }

    /// Number of places that one time of what a step holds would take.
    #[must_use]
    pub fn places_of(&self, container: StepIndex) -> u32 {
        let place = self.place(container);
        place.of.bodies.get(&place.at).map_or(0, |body| body.places())
    }

    /// The plan as it was when only so much had come into being.
    #[must_use]
    pub fn shrunk(&self, growths: usize) -> Arc<Self> {
        let mut plan = self.clone();
        plan.growths.truncate(growths);
        Arc::new(plan)
    }

    /// The plan as the run was started with it.
    #[must_use]
    pub fn first(&self) -> Arc<Self> {
        let root = self.first.clone().unwrap_or_else(|| self.root.clone());
        Arc::new(Self {
            root,
            first: None,
            revision: 0,
            removed: Vec::new(),
            growths: Growths::default(),
            ..self.clone()
        })
    }

    /// The plan of a run that is started with the workflow as it has become: without the steps that were taken out of it.
    ///
    /// # Errors
    /// If no step is left.
    pub fn anew(&self) -> Result<Arc<Self>, Vec<Problem>> {
        if self.revision == 0 {
            return Ok(self.first());
        }
        let mut workflow = self.root.workflow.clone();
        let mut at = 0..;
        workflow.steps.retain(|_| !at.next().is_some_and(|index| self.is_removed(index)));
        Self::new(workflow)
    }

    /// The plan with what came into being in another one of the same run.
    #[must_use]
    pub fn with_growths_of(&self, other: &Self) -> Arc<Self> {
        Arc::new(Self { growths: other.growths.clone(), ..self.clone() })
    }

    /// True for a step of the workflow that was taken out of it while the run went on.
    #[must_use]
    pub fn is_removed(&self, index: StepIndex) -> bool {
        self.removed.contains(&index)
    }

    /// Number of steps that steps hold, with those that undo them.
    #[must_use]
    pub const fn held_places(&self) -> u32 {
        self.growths.places()
    }
}
