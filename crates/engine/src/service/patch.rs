//! Plans that are changed while their runs go on.

use tutti_core::ids::Namespace;
use tutti_core::ports::inbound::runs::{PatchRequest, PatchedRun};
use tutti_core::ports::inbound::{RequestError, Violation};
use tutti_core::ports::records::RecordStore;
use tutti_core::report::{PlanDiff, RunView};
use tutti_core::run::{Command, Fault, Refusal, preview_patch};
use tutti_core::workflow::{PlanPatch, Problem};

use super::sub_workflows::patch_with_registered;
use super::{RunService, runs};

/// A change that a run would take as it stands: with the workflows that it names and the revision that it was made from; and what
/// it makes of the plan.
///
/// # Errors
/// [`RequestError::Invalid`] with everything that is wrong with it, [`RequestError::NotAllowed`] if the run takes none now, or this
/// one not any more.
pub async fn prepare_patch(
    records: &dyn RecordStore,
    namespace: &Namespace,
    view: &RunView,
    patch: PlanPatch,
) -> Result<(PlanPatch, PlanDiff), RequestError> {
    let state = view.state().ok_or_else(|| RequestError::Damaged("the run has no history".to_owned()))?;
    let mut patch = patch_with_registered(records, namespace, &state.created().workflow, patch).await?;
    let revised = preview_patch(state, &patch).map_err(|rejection| {
        let Refusal { fault, reason } = (&rejection).into();
        match fault {
            // The run tells the first thing; here is room for all.
            Fault::Field(field) => match state.plan().revised(&patch) {
                Err(problems) => refused(&problems),
                Ok(_) => RequestError::invalid(field, reason),
            },
            Fault::State | Fault::Caller => RequestError::NotAllowed(reason),
        }
    })?;
    let diff = PlanDiff::new(state, &patch, &revised);
    patch.base = Some(diff.base);
    Ok((patch, diff))
}

/// What is wrong with a change, by field.
pub(super) fn refused(problems: &[Problem]) -> RequestError {
    let violation = |problem: &Problem| {
        let parts = ["patch"].into_iter().chain(problem.step.as_deref()).chain([problem.field.as_str()]);
        let field = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
        let place = problem.position.map(|at| format!("line {}, column {}: ", at.line, at.column)).unwrap_or_default();
        Violation { field, reason: format!("{place}{}", problem.reason) }
    };
    RequestError::Invalid(problems.iter().filter(|problem| problem.is_error()).map(violation).collect())
}

/// Reads the text of a change.
///
/// # Errors
/// [`RequestError::Invalid`].
pub(super) async fn read_patch(text: String) -> Result<PlanPatch, RequestError> {
    super::workflows::blocking(move || PlanPatch::parse(&text).map_err(|problems| refused(&problems))).await
}

impl RunService {
    /// Changes the plan of a run, or says what that would make of it.
    pub(super) async fn patch_run(&self, request: PatchRequest) -> Result<PatchedRun, RequestError> {
        let PatchRequest { namespace, run, patch, order, dry_run } = request;
        let patch = read_patch(patch).await?;
        let summary = self.summary(&namespace, run).await?;
        let view = self.view(&summary).await?;
        if let Some(state) = view.state()
            && order.request.is_some_and(|request| state.has_applied(request))
        {
            return Ok(PatchedRun { revision: state.plan().revision(), diff: None });
        }
        let (patch, diff) = prepare_patch(&*self.ports().records, &namespace, &view, patch).await?;
        if !dry_run {
            let command = Command::Patch { patch: Box::new(patch) };
            runs::in_time(async { self.command_anywhere(run, command, order).await.map_err(super::errors::of_engine) })
                .await?;
        }
        Ok(PatchedRun { revision: diff.revision, diff: Some(diff) })
    }
}
