//! The steps that undo others, as the data flow sees them: each depends on the step that it undoes, and writes nothing.

use super::definition::{Step, Workflow};
use super::topology::{StepIndex, Topology};

/// The workflow with the steps that undo others behind its own, their graph, and the step that each of them undoes; `None` if
/// nothing can be undone.
pub(crate) fn with_undos(workflow: &Workflow, topology: &Topology) -> Option<(Workflow, Topology, Vec<StepIndex>)> {
    let undone: Vec<StepIndex> =
        (0..).zip(&workflow.steps).filter(|(_, step)| step.undone_by().is_some()).map(|(index, _)| index).collect();
    if undone.is_empty() {
        return None;
    }
    let mut extended = workflow.clone();
    extended.steps.extend(undone.iter().filter_map(|index| undo(&workflow.steps[*index as usize])));
    let own = (0..workflow.steps.len() as StepIndex).map(|index| topology.dependencies(index).to_vec());
    let dependencies: Vec<Vec<StepIndex>> = own.chain(undone.iter().map(|index| vec![*index])).collect();
    let topology = Topology::new(&dependencies).ok()?;
    Some((extended, topology, undone))
}

/// The step that undoes another.
fn undo(step: &Step) -> Option<Step> {
    let how = step.compensate.clone()?;
    Some(Step {
        capability: Some(how.capability),
        action: how.action,
        agent: how.agent,
        input: how.input,
        output: std::collections::BTreeMap::new(),
        timeout: how.timeout,
        retry: how.retry,
        total_timeout: None,
        idle_timeout: None,
        on_error: None,
        compensate: None,
        when: None,
        grows: false,
        quality: None,
        critical: false,
        reserve: None,
        checkpoint: None,
        parallel_safe: true,
        estimated_duration: None,
        resources: None,
        aggregate: None,
        depends_on: None,
        task_type: None,
        ..step.clone()
    })
}
