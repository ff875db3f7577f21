//! Workflows with the registered workflows that they name, and changes of plans with theirs.

use std::collections::BTreeMap;

use tutti_core::ids::{Namespace, WorkflowId};
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::records::RecordStore;
use tutti_core::workflow::{PlanPatch, Problem, Workflow, parse, resolved, unresolved};

use super::errors::of_workflow;
use super::workflows::{blocking, registered_text};

/// A workflow with the registered workflows that it names, each in the version that was registered last. Names that nobody
/// registered stay; `known` holds workflows that stand before the registered ones.
///
/// # Errors
/// [`RequestError::Invalid`] for workflows that hold themselves, or are too large.
pub async fn with_registered(
    records: &dyn RecordStore,
    namespace: &Namespace,
    workflow: Workflow,
    known: BTreeMap<WorkflowId, Workflow>,
) -> Result<Workflow, RequestError> {
    let names = unresolved(&workflow);
    if names.is_empty() {
        return Ok(workflow);
    }
    let known = gather(records, namespace, names, known).await?;
    resolved(workflow, &known).map_err(|problems| of_workflow(&problems))
}

/// A change of the plan of a run with the registered workflows that it names.
///
/// # Errors
/// As [`with_registered`].
pub(super) async fn patch_with_registered(
    records: &dyn RecordStore,
    namespace: &Namespace,
    of: &WorkflowId,
    patch: PlanPatch,
) -> Result<PlanPatch, RequestError> {
    let names = patch.unresolved();
    if names.is_empty() {
        return Ok(patch);
    }
    let known = gather(records, namespace, names, BTreeMap::new()).await?;
    patch.resolved(of, &known).map_err(|problems| super::patch::refused(&problems))
}

/// Reads a workflow and those that it names.
pub(super) async fn read_whole(
    records: &dyn RecordStore,
    namespace: &Namespace,
    text: String,
) -> Result<Workflow, RequestError> {
    let workflow = read(text).await?;
    with_registered(records, namespace, workflow, BTreeMap::new()).await
}

/// Reading a large workflow takes its time, which is not that of others.
pub(super) async fn read(text: String) -> Result<Workflow, RequestError> {
    blocking(move || Ok(parse(&text).map_err(|problems| of_workflow(&problems))?.workflow)).await
}

/// The workflows of these names, and those that they name.
pub(super) async fn gather(
    records: &dyn RecordStore,
    namespace: &Namespace,
    mut open: Vec<WorkflowId>,
    mut known: BTreeMap<WorkflowId, Workflow>,
) -> Result<BTreeMap<WorkflowId, Workflow>, RequestError> {
    open.extend(known.values().flat_map(unresolved));
    let mut asked = Vec::new();
    while let Some(name) = open.pop() {
        if known.contains_key(&name) || asked.contains(&name) {
            continue;
        }
        match registered_text(records, namespace, &name, None).await {
            Ok(text) => {
                let found = read(text).await.map_err(|error| {
                    let reason = format!("the registered workflow \"{name}\" cannot be used: {error}");
                    of_workflow(&[Problem::found(
                        tutti_core::workflow::Severity::Error,
                        None,
                        None,
                        String::new(),
                        reason,
                    )])
                })?;
                open.extend(unresolved(&found));
                known.insert(name, found);
            }
            Err(RequestError::NotFound(_)) => asked.push(name),
            Err(error) => return Err(error),
        }
    }
    Ok(known)
}
