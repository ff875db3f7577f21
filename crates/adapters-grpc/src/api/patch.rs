//! `PatchRun` over the inbound port, and the client's side of it.

use tonic::{Request, Status};
use tutti_api::v1;
use tutti_core::ids::StepId;
use tutti_core::ports::inbound::runs::{PatchRequest, PatchedRun, Runs};
use tutti_core::report::{Change, PlanDiff, ReplacedStep};

use super::client::{ApiClient, ApiError, Asked, timed, unread};
use super::errors::{status, wrong};
use super::ordered::{Ordered, ordered};

/// Changes the plan of a run, or says what that would make of it.
pub(super) async fn patch(
    runs: &dyn Runs,
    request: Request<v1::PatchRunRequest>,
) -> Result<v1::PatchRunResponse, Status> {
    let Ordered { namespace, run, order } = ordered!(request);
    let v1::PatchRunRequest { patch, dry_run, .. } = request.into_inner();
    if patch.trim().is_empty() {
        return Err(wrong("patch", "is required"));
    }
    let patched = runs.patch(PatchRequest { namespace, run, patch, order, dry_run }).await;
    let PatchedRun { revision, diff } = patched.map_err(|error| status(&error))?;
    Ok(v1::PatchRunResponse { revision, diff: diff.as_ref().map(diff_out) })
}

impl ApiClient {
    /// Changes the plan of a run, or says what that would make of it.
    ///
    /// # Errors
    /// [`ApiError`]; [`ApiError::Refused`] for an order without a request id.
    pub async fn patch(&self, wanted: PatchRequest) -> Result<PatchedRun, ApiError> {
        let PatchRequest { namespace, run, patch, order, dry_run } = wanted;
        let Asked { namespace, run_id, request_id, reason, requested_by } = Asked::by(&namespace, run, order)?;
        let request = v1::PatchRunRequest { namespace, run_id, request_id, reason, requested_by, patch, dry_run };
        let answer = self.service.clone().patch_run(timed(request)).await?.into_inner();
        let diff = answer.diff.map(diff_in).transpose().map_err(unread)?;
        Ok(PatchedRun { revision: answer.revision, diff })
    }
}

fn diff_out(diff: &PlanDiff) -> v1::PlanDiff {
    let ids = |ids: &[StepId]| ids.iter().map(ToString::to_string).collect();
    let replaced = |step: &ReplacedStep| v1::ReplacedStep { step: step.id.to_string(), fields: step.fields.clone() };
    v1::PlanDiff {
        base_revision: diff.base,
        revision: diff.revision,
        added_steps: ids(&diff.added),
        replaced_steps: diff.replaced.iter().map(replaced).collect(),
        removed_steps: ids(&diff.removed),
        steps_before: diff.steps.before,
        steps_after: diff.steps.after,
        levels_before: diff.levels.before,
        levels_after: diff.levels.after,
        critical_path_before_seconds: diff.critical_path_seconds.and_then(|path| path.before),
        critical_path_after_seconds: diff.critical_path_seconds.and_then(|path| path.after),
        max_concurrent_tasks_before: diff.max_concurrent_tasks.before,
        max_concurrent_tasks_after: diff.max_concurrent_tasks.after,
    }
}

fn diff_in(diff: v1::PlanDiff) -> Result<PlanDiff, String> {
    let id = |id: String| id.parse::<StepId>().map_err(|error| error.to_string());
    let ids = |ids: Vec<String>| ids.into_iter().map(id).collect::<Result<Vec<_>, _>>();
    let replaced = |step: v1::ReplacedStep| Ok(ReplacedStep { id: id(step.step)?, fields: step.fields });
    let (before, after) = (diff.critical_path_before_seconds, diff.critical_path_after_seconds);
    Ok(PlanDiff {
        base: diff.base_revision,
        revision: diff.revision,
        added: ids(diff.added_steps)?,
        replaced: diff.replaced_steps.into_iter().map(replaced).collect::<Result<Vec<_>, String>>()?,
        removed: ids(diff.removed_steps)?,
        steps: Change { before: diff.steps_before, after: diff.steps_after },
        levels: Change { before: diff.levels_before, after: diff.levels_after },
        critical_path_seconds: (before.is_some() || after.is_some()).then_some(Change { before, after }),
        max_concurrent_tasks: Change {
            before: diff.max_concurrent_tasks_before,
            after: diff.max_concurrent_tasks_after,
        },
    })
}
