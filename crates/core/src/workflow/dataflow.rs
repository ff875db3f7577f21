//! Who reads what from whom in a run's data, worked out before the run.
//!
//! A step reads the data at the start and what the steps before it wrote, in their order; never what an unordered step
//! may or may not have written by then. So the data of a run does not depend on the order in which steps end.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::definition::Workflow;
use super::mapping::OutputField;
use super::problem::Problem;
use super::topology::{StepIndex, Topology};
use crate::limits::MAX_ORDER_WALK;
use crate::value::DataPath;

/// The reads of every step.
#[derive(Debug)]
pub struct DataFlow {
    /// By step, then in the order of the names of its input fields.
    bindings: Vec<Vec<Binding>>,
    fields: Vec<Vec<String>>,
    /// What steps need of the data beside their input: for conditions, and for the steps that they hold.
    captures: HashMap<StepIndex, Captures>,
}

/// What a step needs of the data beside its input.
#[derive(Debug, Default)]
pub struct Captures {
    /// For its own conditions.
    pub conditions: Vec<(DataPath, Binding)>,
    /// For the steps that it holds.
    pub inner: Vec<(DataPath, Binding)>,
}

impl Captures {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &(DataPath, Binding)> {
        self.conditions.iter().chain(&self.inner)
    }
}

/// Where one input field comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Binding {
    /// Outputs laid over the data at the start, in this order.
    pub sources: Vec<Source>,
    /// A step that writes the path and is neither before nor after the reader.
    pub unordered: Option<StepIndex>,
}

/// One output mapping of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The step that writes.
    pub step: StepIndex,
    /// Which of its output mappings, in the order of their names.
    pub mapping: u32,
}

impl Source {
    pub(crate) fn of(self, workflow: &Workflow) -> (&OutputField, &DataPath) {
        let (field, mapping) = workflow.steps[self.step as usize]
            .output
            .iter()
            .nth(self.mapping as usize)
            .expect("a source names a mapping of the same workflow");
        (field, &mapping.to)
    }
}

impl DataFlow {
    /// Finds the sources of every input field.
    ///
    /// # Errors
    /// Two unordered steps, or one step twice, writing the same path; or a data flow too tangled to be ordered within
    /// [`MAX_ORDER_WALK`].
    pub fn new(workflow: &Workflow, topology: &Topology) -> Result<Self, Vec<Problem>> {
        let mut budget = MAX_ORDER_WALK;
        let writers = Writers::new(workflow, topology);
        let problems = writers.conflicts(workflow, topology, &mut budget);
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut bindings = Vec::with_capacity(workflow.steps.len());
        let mut fields = Vec::with_capacity(workflow.steps.len());
        let mut captures = HashMap::new();
        for (index, step) in (0..).zip(&workflow.steps) {
            let mut of_step = Vec::with_capacity(step.input.len());
            let input = Some(&step.input).filter(|_| step.reads_input());
            for mapping in input.into_iter().flat_map(BTreeMap::values) {
                let binding = match &mapping.from {
                    Some(path) => writers.bind(workflow, topology, index, path, &mut budget).ok_or_else(tangled)?,
                    None => Binding::default(),
                };
                of_step.push(binding);
            }
            bindings.push(of_step);
            fields.push(input.into_iter().flat_map(BTreeMap::keys).cloned().collect());
            let mut bind = |paths: Vec<DataPath>| {
                let bind = |path: DataPath| {
                    let binding = writers.bind(workflow, topology, index, &path, &mut budget).ok_or_else(tangled)?;
                    Ok((path, binding))
                };
                paths.into_iter().map(bind).collect::<Result<Vec<_>, Vec<Problem>>>()
            };
            let captured = Captures { conditions: bind(step.conditions())?, inner: bind(step.captures(workflow))? };
            if captured.all().next().is_some() {
                captures.insert(index, captured);
            }
        }
        Ok(Self { bindings, fields, captures })
    }

    /// The binding of an input field by name.
    #[must_use]
    pub fn binding(&self, step: usize, field: &str) -> Option<&Binding> {
        let at = self.fields[step].iter().position(|name| name == field)?;
        self.bindings[step].get(at)
    }

    /// The bindings of a step, in the order of the names of its input fields.
    pub(crate) fn bindings(&self, step: StepIndex) -> &[Binding] {
        &self.bindings[step as usize]
    }

    /// What a step needs of the data beside its input.
    pub(crate) fn captures(&self, step: StepIndex) -> Option<&Captures> {
        self.captures.get(&step)
    }

    /// The steps whose outputs a step reads, each once.
    #[must_use]
    pub fn reads(&self, step: StepIndex) -> Vec<StepIndex> {
        let mut steps: Vec<StepIndex> =
            self.all_bindings(step).flat_map(|binding| &binding.sources).map(|source| source.step).collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    fn all_bindings(&self, step: StepIndex) -> impl Iterator<Item = &Binding> {
        let captured = self.captures(step).into_iter().flat_map(Captures::all);
        self.bindings[step as usize].iter().chain(captured.map(|(_, binding)| binding))
    }
}

fn tangled() -> Vec<Problem> {
    vec![Problem::error("steps", "too many steps read and write the same parts of the data to be put in order")]
}

/// All output mappings as a tree of path segments.
struct Writers<'w> {
    nodes: Vec<Place<'w>>,
}

#[derive(Default)]
struct Place<'w> {
    /// In topological order.
    sources: Vec<Source>,
    children: HashMap<&'w str, usize>,
}

impl<'w> Writers<'w> {
    fn new(workflow: &'w Workflow, topology: &Topology) -> Self {
        let mut writers = Self { nodes: vec![Place::default()] };
        for &step in topology.order() {
            for (mapping, output) in (0..).zip(workflow.steps[step as usize].output.values()) {
                let mut at = 0;
                for segment in output.to.segments() {
                    let free = writers.nodes.len();
                    at = *writers.nodes[at].children.entry(segment).or_insert(free);
                    if at == free {
                        writers.nodes.push(Place::default());
                    }
                }
                writers.nodes[at].sources.push(Source { step, mapping });
            }
        }
        writers
    }

    /// Every pair of steps that write overlapping paths must be ordered. Steps at one place are a chain if neighbours
    /// are; a step below such a chain fits in if it is ordered with its two neighbours there.
    fn conflicts(&self, workflow: &Workflow, topology: &Topology, budget: &mut usize) -> Vec<Problem> {
        let mut problems = Vec::new();
        for &step in topology.order() {
            for (mapping, output) in (0..).zip(workflow.steps[step as usize].output.values()) {
                let mine = Source { step, mapping };
                let mut at = 0;
                for segment in output.to.segments() {
                    at = self.nodes[at].children[segment];
                    for other in self.neighbours(at, mine, topology) {
                        let (first, second) =
                            if topology.rank(other.step) < topology.rank(step) { (other, mine) } else { (mine, other) };
                        match topology.depends(second.step, first.step, budget) {
                            Some(true) => {}
                            // A step that writes a path twice is not ordered with itself.
                            Some(false) => problems.push(conflict(workflow, first, second)),
                            None => return tangled(),
                        }
                    }
                }
            }
        }
        // Each pair is met from both sides.
        problems.sort_by(|a, b| (&a.step, &a.field, &a.reason).cmp(&(&b.step, &b.field, &b.reason)));
        problems.dedup();
        problems
    }

    /// The sources at a place just before and just after one in topological order.
    fn neighbours(&self, place: usize, mine: Source, topology: &Topology) -> impl Iterator<Item = Source> {
        let sources = &self.nodes[place].sources;
        let after =
            |other: &Source| (topology.rank(other.step), other.mapping) > (topology.rank(mine.step), mine.mapping);
        let split = sources.partition_point(|other| !after(other));
        let before = sources[..split].iter().rev().find(|other| **other != mine).copied();
        before.into_iter().chain(sources.get(split).copied())
    }

    fn bind(
        &self,
        workflow: &Workflow,
        topology: &Topology,
        reader: StepIndex,
        path: &DataPath,
        budget: &mut usize,
    ) -> Option<Binding> {
        let candidates = self.overlapping(path, budget)?;
        let is_before = Before::new(topology, reader, candidates.len(), budget)?;
        let mut binding = Binding::default();
        for source in candidates {
            if source.step == reader {
                continue;
            }
            if is_before.check(topology, source.step, budget)? {
                binding.sources.push(source);
            } else if binding.unordered.is_none() && !topology.depends(source.step, reader, budget)? {
                binding.unordered = Some(source.step);
            }
        }
        binding.sources.sort_by_key(|source| (topology.rank(source.step), source.mapping));
        // What a later step covers whole cannot be seen any more.
        let covers = |source: &Source| {
            let (field, to) = source.of(workflow);
            path.is_within(to) && !workflow.steps[source.step as usize].output[field].optional
        };
        if let Some(last) = binding.sources.iter().rposition(covers) {
            binding.sources.drain(..last);
        }
        Some(binding)
    }

    /// Sources that write the path, something around it, or something in it.
    fn overlapping(&self, path: &DataPath, budget: &mut usize) -> Option<Vec<Source>> {
        let mut found = Vec::new();
        let mut at = 0;
        for segment in path.segments() {
            found.extend_from_slice(&self.nodes[at].sources);
            match self.nodes[at].children.get(segment) {
                Some(child) => at = *child,
                None => return Some(found),
            }
        }
        let mut open = vec![at];
        while let Some(at) = open.pop() {
            let place = &self.nodes[at];
            *budget = budget.checked_sub(place.sources.len() + place.children.len() + 1)?;
            found.extend_from_slice(&place.sources);
            open.extend(place.children.values());
        }
        Some(found)
    }
}

/// Answers whether steps come before a reader; marks all of them at once when many are asked about.
enum Before {
    Each(StepIndex),
    Marked(HashSet<StepIndex>),
}

impl Before {
    fn new(topology: &Topology, reader: StepIndex, questions: usize, budget: &mut usize) -> Option<Self> {
        const FEW: usize = 4;
        if questions <= FEW {
            return Some(Self::Each(reader));
        }
        let mut seen = HashSet::new();
        let mut open = vec![reader];
        while let Some(index) = open.pop() {
            let list = topology.dependencies(index);
            *budget = budget.checked_sub(list.len() + 1)?;
            open.extend(list.iter().copied().filter(|on| seen.insert(*on)));
        }
        Some(Self::Marked(seen))
    }

    fn check(&self, topology: &Topology, step: StepIndex, budget: &mut usize) -> Option<bool> {
        match self {
            Self::Each(reader) => topology.depends(*reader, step, budget),
            Self::Marked(seen) => Some(seen.contains(&step)),
        }
    }
}

fn conflict(workflow: &Workflow, first: Source, second: Source) -> Problem {
    let (first_step, second_step) = (&workflow.steps[first.step as usize], &workflow.steps[second.step as usize]);
    let ((_, first_path), (field, second_path)) = (first.of(workflow), second.of(workflow));
    let reason = if first.step == second.step {
        format!("writes \"{second_path}\", which overlaps \"{first_path}\" written by another field of the same step")
    } else if first_path == second_path {
        format!(
            "steps \"{}\" and \"{}\" both write \"{first_path}\" and neither depends on the other; \
             order them by depends_on or write to different paths",
            first_step.id, second_step.id
        )
    } else {
        format!(
            "steps \"{}\" and \"{}\" write \"{first_path}\" and \"{second_path}\", which overlap, and neither depends on \
             the other; order them by depends_on or write to different paths",
            first_step.id, second_step.id
        )
    };
    Problem::in_step(second.step as usize, &second_step.id, format!("output.{field}"), reason)
}
