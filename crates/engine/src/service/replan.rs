//! New plans for runs that failed: a run that was started with the wish for them is followed by another one, which does what
//! it did not do.

use std::collections::BTreeMap;

use tutti_core::ids::{LabelName, Namespace, RequestId, RunId};
use tutti_core::ports::filter::{Condition, RunFilter, Term};
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::runs::{StartOptions, StartRequest, StartedRun, WorkflowSource};
use tutti_core::ports::query::{ListRuns, RunSummary};
use tutti_core::run::RunStatus;
use tutti_core::value::Digest;

use super::RunService;
use super::errors::of_store;
use super::planning::Wanted;
use super::start::Origins;

/// How many new plans may still follow if the run fails.
const LEFT: &str = "tutti.replan";

/// The run whose failure a run follows.
const OF: &str = "tutti.replan-of";

/// Who planned the run.
const BY: &str = "tutti.planned-by";

/// Longest part of a text that a label takes here, in bytes.
const SHOWN: usize = 100;

/// The labels of a run that was planned by somebody, that follows the failure of another one, or that so many new plans may
/// follow.
#[must_use]
pub fn planned_labels(by: Option<&str>, of: Option<RunId>, replan: u32) -> BTreeMap<LabelName, String> {
    let name = |text: &str| text.parse::<LabelName>().expect("a valid name");
    let mut labels = BTreeMap::new();
    if replan > 0 {
        labels.insert(name(LEFT), replan.to_string());
    }
    if let Some(by) = by {
        labels.insert(name(BY), by.chars().filter(char::is_ascii).take(SHOWN).collect());
    }
    if let Some(run) = of {
        labels.insert(name(OF), run.to_string());
    }
    labels
}

impl RunService {
    /// Plans anew what a failed run did not do and starts it, if that was wished for and did not happen yet.
    pub(super) async fn replan(&self, run: RunId) -> Result<Option<RunId>, RequestError> {
        let Some(planner) = &self.planner else { return Ok(None) };
        let Some(namespace) = self.namespace_of(run).await? else { return Ok(None) };
        let summary = self.summary(&namespace, run).await?;
        let left = summary.labels.get(LEFT).and_then(|left| left.parse::<u32>().ok()).unwrap_or(0);
        if summary.status != RunStatus::Failed || left == 0 || self.is_followed(&namespace, run).await? {
            return Ok(None);
        }
        let view = self.view(&summary).await?;
        let session = view.created().and_then(|created| created.origin.session.clone());
        let data = self.data_of(&view).await?;
        let query = format!("Do what is left of the workflow {} after its failure", summary.workflow);
        let failed = Some((Box::new(view), data));
        let proposed = planner.propose(Wanted { namespace: namespace.clone(), query, alone: false, failed }).await?;
        let request = StartRequest {
            namespace,
            request: request_of(run),
            workflow: WorkflowSource::Text(proposed.text),
            inputs: String::new(),
            options: StartOptions { replan: left - 1, session, by: "tutti".to_owned(), ..StartOptions::default() },
        };
        let origins = Origins { planned_by: Some(proposed.by), replan_of: Some(run), ..Origins::default() };
        let StartedRun { run: next, existed } = self.start_planned(request, origins).await?;
        Ok((!existed).then_some(next))
    }

    /// Whether another run follows this one's failure already.
    async fn is_followed(&self, namespace: &Namespace, run: RunId) -> Result<bool, RequestError> {
        Ok(!self.labelled(namespace, OF, run.to_string(), 1).await?.is_empty())
    }

    /// Failed runs of a namespace, newest first, that new plans may follow.
    pub(super) async fn to_replan(&self, namespace: &Namespace, most: u32) -> Result<Vec<RunId>, RequestError> {
        let mut found = Vec::new();
        for left in 1..=most {
            let runs = self.labelled(namespace, LEFT, left.to_string(), 100).await?;
            found.extend(runs.into_iter().filter(|run| run.status == RunStatus::Failed).map(|run| run.run));
        }
        Ok(found)
    }

    async fn labelled(
        &self,
        namespace: &Namespace,
        name: &str,
        value: String,
        limit: usize,
    ) -> Result<Vec<RunSummary>, RequestError> {
        let name = name.parse().map_err(|error: tutti_core::ids::InvalidName| {
            RequestError::Damaged(format!("a label of the product's own: {error}"))
        })?;
        let filter = RunFilter { terms: vec![Term { not: false, is: Condition::Label(name, value) }] };
        let list = ListRuns { namespace: namespace.clone(), filter, limit, cursor: None };
        Ok(self.ports().query.list(list).await.map_err(of_store)?.runs)
    }
}

/// The request that starts the run after a failed one: the same however often it is asked.
fn request_of(run: RunId) -> RequestId {
    let digest = Digest::of(format!("replan/{run}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
