//! A plan that changes while its run goes on.

use std::sync::Arc;

use super::compiled::Compiled;
use super::{Plan, StepIndex};
use crate::ids::StepId;
use crate::limits::{MAX_STEPS, MAX_WIDTH};
use crate::workflow::{PlanPatch, Problem, Step, unresolved, validate};

/// A plan after a change.
#[derive(Debug, Clone)]
pub struct Revised {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The indexes of steps that were added.
    pub added: std::ops::Range<StepIndex>,
    /// Those of steps that have another definition now.
    pub replaced: Vec<StepIndex>,
    /// Those of steps that are not done any more.
    pub removed: Vec<StepIndex>,
    /// Those of other steps that depend on others now, by the rule for their type.
    pub moved: Vec<StepIndex>,
}

impl Plan {
    /// The plan with a change, whatever its run has begun. Steps keep their indexes; one that is removed stays as a step without
    /// neighbours, so that the history can be read.
    ///
    /// # Errors
    /// Every problem of the plan as it would be.
    pub fn revised(&self, patch: &PlanPatch) -> Result<Revised, Vec<Problem>> {
        let mut workflow = self.workflow().clone();
        let before = workflow.steps.len();
        let (mut problems, mut replaced, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for (i, step) in patch.replace.iter().enumerate() {
            match self.root.by_id.get(&step.id) {
                Some(index) => {
                    workflow.steps[*index as usize] = step.clone();
                    replaced.push(*index);
                }
                None => problems
                    .push(Problem::error(format!("replace[{i}].id"), format!("there is no step \"{}\"", step.id))),
            }
        }
        for (i, id) in patch.remove.iter().enumerate() {
            match self.root.by_id.get(id) {
                Some(index) if replaced.contains(index) || removed.contains(index) => {
                    problems.push(Problem::error(format!("remove[{i}]"), format!("step \"{id}\" is changed twice")));
                }
                Some(index) => removed.push(*index),
                None => problems.push(Problem::error(format!("remove[{i}]"), format!("there is no step \"{id}\""))),
            }
        }
        for index in &removed {
            let step = &mut workflow.steps[*index as usize];
            *step = without_neighbours(step);
        }
        if before + patch.add.len() > MAX_STEPS {
            let reason = format!("{} steps; {MAX_STEPS} are allowed", before + patch.add.len());
            problems.push(Problem::error("add", reason));
        }
        if let Some(width) = patch.max_concurrent_tasks.filter(|width| !(1..=MAX_WIDTH).contains(width)) {
            problems.push(Problem::error("max_concurrent_tasks", format!("is {width}; must be 1 to {MAX_WIDTH}")));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        workflow.steps.extend(patch.add.iter().cloned());
        for (index, step) in workflow.steps.iter().enumerate() {
            let gone = |on: &&StepId| patch.remove.contains(on);
            if let Some(on) = step.depends_on.iter().flatten().find(gone) {
                let reason = format!("step \"{on}\" is removed; replace this step too, or leave that one");
                problems.push(Problem::in_step(index, &step.id, "depends_on", reason));
            }
        }
        problems.extend(validate(&workflow).into_iter().filter(Problem::is_error));
        let unknown = |name| Problem::error("add", format!("there is no registered workflow \"{name}\""));
        problems.extend(unresolved(&workflow).iter().map(unknown));
        if !problems.is_empty() {
            return Err(problems);
        }
        let root = Compiled::new(workflow)?;
        let added = before as StepIndex..root.own();
        let moved = if root.workflow.dependency_rules.is_empty() {
            Vec::new()
        } else {
            let has_moved = |index: &StepIndex| {
                !replaced.contains(index)
                    && !removed.contains(index)
                    && root.dependencies(*index) != self.root.dependencies(*index)
            };
            (0..added.start).filter(has_moved).collect()
        };
        let first = Some(self.first.clone().unwrap_or_else(|| self.root.clone()));
        let removed_all = self.removed.iter().chain(&removed).copied().collect();
        let plan = Arc::new(Self { root, first, removed: removed_all, revision: self.revision + 1, ..self.clone() });
        Ok(Revised { plan, added, replaced, removed, moved })
    }
}

/// What is left of a step that is not done any more.
fn without_neighbours(step: &Step) -> Step {
    Step {
        depends_on: Some(Vec::new()),
        // Whatever waits for steps of its type does not wait for it.
        task_type: Some("(removed)".into()),
        input: std::collections::BTreeMap::new(),
        output: std::collections::BTreeMap::new(),
        compensate: None,
        when: None,
        map: None,
        checkpoint: None,
        critical: false,
        ..step.clone()
    }
}
