//! `tutti.v1.RetentionService` over the inbound port, and the client's side of it.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};
use tutti_api::v1;
use tutti_api::v1::retention_service_client::RetentionServiceClient;
use tutti_api::v1::retention_service_server::RetentionService;
use tutti_core::ids::{Namespace, RequestId, RunId, WorkflowId};
use tutti_core::limits::MAX_PURGE_RUNS;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::cursor;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbound::retention::{Housekeeping, Keep, PurgeRequest, RetentionRule};
use tutti_core::ports::retention::EndedRun;
use tutti_core::run::RunStatus;
use tutti_core::time::{Span, Timestamp};

use super::caller::{caller, namespace, recorded};
use super::client::{ApiClient, ApiError, named, timed, unread};
use super::convert::{moment, moment_in, state_in, state_out};
use super::errors::{page_size, request_id, required_reason, short, status, wrong};

/// The service of one server.
pub(super) struct RetentionApi {
    pub(super) house: Arc<dyn Housekeeping>,
    pub(super) clock: Arc<dyn Clock>,
}

#[tonic::async_trait]
impl RetentionService for RetentionApi {
    async fn purge_runs(
        &self,
        request: Request<v1::PurgeRunsRequest>,
    ) -> Result<Response<v1::PurgeRunsResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let by = recorded(&caller(&request), "");
        let asked = request.into_inner();
        let id = request_id(&asked.request_id)?;
        if asked.dry_run {
            short("reason", &asked.reason)?;
        } else {
            required_reason(&asked.reason)?;
        }
        let ended_before = moment_in(asked.ended_before.as_ref()).ok_or_else(|| wrong("ended_before", "is missing"))?;
        let filter = RunFilter::parse(&asked.filter, self.clock.now());
        let before = match asked.page_token.as_str() {
            "" => None,
            token => Some(
                cursor::decode(&namespace, token)
                    .map_err(|_| wrong("page_token", "was not given out by this server"))?,
            ),
        };
        let request = PurgeRequest {
            namespace: namespace.clone(),
            filter: filter.map_err(|why| wrong("filter", why))?,
            ended_before,
            before,
            limit: page_size(asked.page_size)?.min(MAX_PURGE_RUNS),
            dry_run: asked.dry_run,
        };
        let page = self.house.purge(request).await.map_err(|error| status(&error))?;
        if !asked.dry_run && !page.runs.is_empty() {
            let (runs, kept, reason) = (page.runs.len(), page.kept, asked.reason);
            tracing::info!(%namespace, runs, kept, by, reason, request = %id, "runs were purged");
        }
        Ok(Response::new(v1::PurgeRunsResponse {
            runs: page.runs.iter().map(purged_out).collect(),
            kept: page.kept,
            next_page_token: page.next.map(|last| cursor::encode(&namespace, last)).unwrap_or_default(),
        }))
    }

    async fn get_retention(
        &self,
        request: Request<v1::GetRetentionRequest>,
    ) -> Result<Response<v1::GetRetentionResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let rule = self.house.retention(&namespace).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::GetRetentionResponse { retention: Some(rule_out(rule)) }))
    }

    async fn set_retention(
        &self,
        request: Request<v1::SetRetentionRequest>,
    ) -> Result<Response<v1::SetRetentionResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let by = recorded(&caller(&request), "");
        let asked = request.into_inner();
        let id = request_id(&asked.request_id)?;
        required_reason(&asked.reason)?;
        let own = match (asked.keep_seconds, asked.forever) {
            (Some(_), true) => return Err(wrong("forever", "must not stand beside keep_seconds")),
            (Some(seconds), false) => Some(Keep::For(Span(Duration::from_secs(seconds)))),
            (None, true) => Some(Keep::Forever),
            (None, false) => None,
        };
        let rule = self.house.set_retention(&namespace, own).await.map_err(|error| status(&error))?;
        tracing::info!(%namespace, keep = ?rule.keep, own = rule.own, by, reason = asked.reason, request = %id, "retention set");
        Ok(Response::new(v1::SetRetentionResponse { retention: Some(rule_out(rule)) }))
    }
}

/// A run that a server purged, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgedRun {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: WorkflowId,
    /// The state in which it ended.
    pub status: RunStatus,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How many events it had.
    pub events: u64,
}

/// A page of runs that a server purged, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurgedRuns {
    /// The runs.
    pub runs: Vec<PurgedRun>,
    /// Runs that changed meanwhile and stay.
    pub kept: u64,
    /// For the next page.
    pub next: Option<String>,
}

/// Which runs a server is to purge.
#[derive(Debug, Clone)]
pub struct PurgeRuns {
    /// Whose.
    pub namespace: Namespace,
    /// The caller's id of the request.
    pub request: RequestId,
    /// Why.
    pub reason: String,
    /// Only runs that ended before this.
    pub ended_before: Timestamp,
    /// Only runs that it takes, as it was typed.
    pub filter: String,
    /// Only tell.
    pub dry_run: bool,
    /// What the page before gave.
    pub page_token: Option<String>,
}

impl ApiClient {
    /// Purges a page of runs, or says which those are.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn purge_runs(&self, request: PurgeRuns) -> Result<PurgedRuns, ApiError> {
        let request = v1::PurgeRunsRequest {
            namespace: named(&request.namespace),
            request_id: request.request.to_string(),
            reason: request.reason,
            ended_before: Some(moment(request.ended_before)),
            filter: request.filter,
            dry_run: request.dry_run,
            page_size: 0,
            page_token: request.page_token.unwrap_or_default(),
        };
        let page = RetentionServiceClient::new(self.link.clone()).purge_runs(timed(request)).await?.into_inner();
        Ok(PurgedRuns {
            runs: page.runs.iter().map(purged_in).collect::<Result<_, _>>()?,
            kept: page.kept,
            next: Some(page.next_page_token).filter(|token| !token.is_empty()),
        })
    }

    /// How long the runs of a namespace are kept.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn retention(&self, namespace: &Namespace) -> Result<RetentionRule, ApiError> {
        let request = timed(v1::GetRetentionRequest { namespace: named(namespace) });
        let answer = RetentionServiceClient::new(self.link.clone()).get_retention(request).await?;
        rule_in(answer.into_inner().retention)
    }

    /// Says how long the runs of a namespace are kept.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn set_retention(
        &self,
        namespace: &Namespace,
        own: Option<Keep>,
        request: RequestId,
        reason: &str,
    ) -> Result<RetentionRule, ApiError> {
        let keep_seconds = if let Some(Keep::For(span)) = own { Some(span.0.as_secs()) } else { None };
        let request = timed(v1::SetRetentionRequest {
            namespace: named(namespace),
            request_id: request.to_string(),
            reason: reason.to_owned(),
            keep_seconds,
            forever: own == Some(Keep::Forever),
        });
        let answer = RetentionServiceClient::new(self.link.clone()).set_retention(request).await?;
        rule_in(answer.into_inner().retention)
    }
}

fn purged_out(run: &EndedRun) -> v1::PurgedRun {
    v1::PurgedRun {
        run_id: run.summary.run.to_string(),
        workflow: run.summary.workflow.to_string(),
        state: state_out(run.summary.status).into(),
        ended_at: run.summary.ended_at.map(moment),
        events: run.last_seq,
    }
}

fn purged_in(run: &v1::PurgedRun) -> Result<PurgedRun, ApiError> {
    Ok(PurgedRun {
        run: run.run_id.parse().map_err(unread)?,
        workflow: run.workflow.parse().map_err(unread)?,
        status: state_in(run.state).map_err(unread)?.ok_or_else(|| unread("a run without a state"))?,
        ended_at: moment_in(run.ended_at.as_ref()).ok_or_else(|| unread("a run without an end"))?,
        events: run.events,
    })
}

fn rule_out(rule: RetentionRule) -> v1::Retention {
    let keep_seconds = if let Keep::For(span) = rule.keep { Some(span.0.as_secs()) } else { None };
    v1::Retention { keep_seconds, own: rule.own }
}

fn rule_in(rule: Option<v1::Retention>) -> Result<RetentionRule, ApiError> {
    let v1::Retention { keep_seconds, own } = rule.ok_or_else(|| unread("no rule"))?;
    let keep = keep_seconds.map_or(Keep::Forever, |seconds| Keep::For(Span(Duration::from_secs(seconds))));
    Ok(RetentionRule { keep, own })
}
