//! Starting runs, commanding them, and getting what they brought forth.

use std::time::Duration;

use tonic::Request;
use tonic::metadata::MetadataValue;
use tutti_api::v1;
use tutti_core::budget::Amounts;
use tutti_core::ids::{Namespace, RunId, WorkflowId};
use tutti_core::orchestration::Wishes;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbound::runs::{
    CommandRequest, ForkRequest, KeyConflict, KeyPolicy, KeyReuse, PatchRequest, StartRequest, StartedRun,
    WorkflowSource,
};
use tutti_core::ports::query::RunSummary;
use tutti_core::run::{ArtifactRecorded, Command, Order, Point, Work};
use tutti_core::value::{Json, Payload};

use super::super::convert::{artifact_in, executor_out, moment, priority_out, summary_in, work_out};
use super::streams::{ArtifactDownload, ChangeStream, EventStream};
use super::{ANSWER, ApiClient, ApiError, named, text, timed, unread};

/// Artifacts asked for at once.
const PAGE: u32 = 1_000;

/// A run that was waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitedRun {
    /// The run as it stands: it goes on if its time to answer was over.
    pub run: RunSummary,
    /// True if it was there before.
    pub existed: bool,
    /// The last event that this takes in.
    pub last_seq: u64,
    /// Its data once it has ended; `None` before, and if it is too large for an answer.
    pub data: Option<Json>,
}

/// What every request says by which something is wanted of a run.
#[derive(Clone)]
pub(in crate::api) struct Asked {
    pub(in crate::api) namespace: String,
    pub(in crate::api) run_id: String,
    pub(in crate::api) request_id: String,
    pub(in crate::api) reason: String,
    pub(in crate::api) requested_by: String,
}

impl Asked {
    fn of(wanted: &CommandRequest) -> Result<Self, ApiError> {
        Self::by(&wanted.namespace, wanted.run, wanted.order.clone())
    }

    pub(in crate::api) fn by(namespace: &Namespace, run: RunId, order: Order) -> Result<Self, ApiError> {
        let Order { by, reason, request } = order;
        let request = request.ok_or_else(|| ApiError::Refused("request_id: is required".to_owned()))?;
        Ok(Self {
            namespace: named(namespace),
            run_id: run.to_string(),
            request_id: request.to_string(),
            reason,
            requested_by: by,
        })
    }
}

/// A value that a command carries, as JSON text.
fn whole(value: Payload) -> Result<String, ApiError> {
    match value {
        Payload::Inline(value) => Ok(value.as_str().to_owned()),
        Payload::Stored(_) => Err(ApiError::Refused("a value is sent whole".to_owned())),
    }
}

impl ApiClient {
    /// Starts a run.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn start(&self, start: StartRequest) -> Result<StartedRun, ApiError> {
        let answer = self.service.clone().start_run(traced(start, |start| start)?).await?.into_inner();
        Ok(StartedRun { run: answer.run_id.parse().map_err(unread)?, existed: answer.existed })
    }

    /// Starts a run and waits until it has ended, nothing happens to it before somebody acts, or the time is over: at most
    /// 240 s.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn start_and_wait(&self, start: StartRequest, wait: Duration) -> Result<WaitedRun, ApiError> {
        let request = |start| v1::StartAndWaitRunRequest { start: Some(start), wait_seconds: wait.as_secs_f64() };
        let mut request = traced(start, request)?;
        request.set_timeout(wait.saturating_add(ANSWER));
        let answer = self.service.clone().start_and_wait_run(request).await?.into_inner();
        let run = answer.run.ok_or_else(|| unread("no run"))?;
        Ok(WaitedRun {
            run: summary_in(run.summary.ok_or_else(|| unread("a run without a summary"))?).map_err(unread)?,
            existed: answer.existed,
            last_seq: run.last_seq,
            data: answer.data_json.map(Json::parse).transpose().map_err(unread)?,
        })
    }

    /// Starts a run where another one stands or stood.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn fork(&self, fork: ForkRequest) -> Result<StartedRun, ApiError> {
        use v1::fork_run_request::At;
        let (key, policy) = fork.key.map_or((None, None), |(key, policy)| (Some(key), Some(policy)));
        let request = v1::ForkRunRequest {
            namespace: named(&fork.namespace),
            run_id: fork.from.to_string(),
            request_id: fork.request.to_string(),
            at: fork.at.map(|at| match at {
                Point::Seq(seq) => At::Seq(seq),
                Point::Checkpoint(name) => At::Checkpoint(name),
            }),
            changes: fork
                .changes
                .into_iter()
                .map(|(path, value)| v1::DataChange { path: path.to_string(), value_json: value.as_str().to_owned() })
                .collect(),
            labels: fork.labels.into_iter().map(|(name, value)| (name.to_string(), value)).collect(),
            idempotency_key: key.map(|key| key.to_string()).unwrap_or_default(),
            key_reuse_policy: policy.map(reuse_out).unwrap_or_default().into(),
            key_conflict_policy: policy.map(conflict_out).unwrap_or_default().into(),
            requested_by: fork.by,
        };
        let answer = self.service.clone().fork_run(timed(request)).await?.into_inner();
        Ok(StartedRun { run: answer.run_id.parse().map_err(unread)?, existed: answer.existed })
    }

    /// Has a command applied to a run: true if the run was as it is wanted before.
    ///
    /// # Errors
    /// [`ApiError`]; [`ApiError::Refused`] for an order without a request id.
    pub async fn command(&self, wanted: CommandRequest) -> Result<bool, ApiError> {
        let asked = Asked::of(&wanted)?;
        let Asked { namespace, run_id, request_id, reason, requested_by } = asked.clone();
        let mut service = self.service.clone();
        macro_rules! ask {
            ($method:ident, $message:ident { $($field:ident),* }) => {{
                let request = v1::$message { namespace, run_id, request_id, reason, requested_by, $($field),* };
                service.$method(timed(request)).await?.into_inner()
            }};
        }
        Ok(match wanted.command {
            Command::Pause => {
                let work = work_out(Work::Finish).into();
                ask!(pause_run, PauseRunRequest { work }).unchanged
            }
            Command::PauseWork { work } => {
                let work = work_out(work).into();
                ask!(pause_run, PauseRunRequest { work }).unchanged
            }
            Command::Resume => ask!(resume_run, ResumeRunRequest {}).unchanged,
            Command::Cancel => ask!(cancel_run, CancelRunRequest {}).was_cancelled,
            Command::Terminate => ask!(terminate_run, TerminateRunRequest {}).unchanged,
            Command::Retry => ask!(retry_run, RetryRunRequest {}).unchanged,
            Command::Signal { step, answer } => {
                let answer_json = whole(answer)?;
                ask!(signal_run, SignalRunRequest { step, answer_json });
                false
            }
            Command::RaiseBudget { add } => {
                let Amounts { money: add_money_micros, tokens: add_tokens, calls: add_calls, time: add_time_micros } =
                    add;
                ask!(raise_budget, RaiseBudgetRequest { add_money_micros, add_tokens, add_calls, add_time_micros });
                false
            }
            Command::Patch { patch } => {
                let patch = serde_json::to_string(&patch).map_err(unread)?;
                let CommandRequest { namespace, run, order, .. } = wanted;
                self.patch(PatchRequest { namespace, run, patch, order, dry_run: false }).await?.diff.is_none()
            }
            Command::Checkpoint { name } => self.checkpoint(asked, name).await.map(|()| false)?,
            Command::Rollback { to, compensate } => self.roll_back(asked, to, compensate).await.map(|()| false)?,
            Command::Decide { step, verdict, output } => {
                let output = output.map(whole).transpose()?;
                self.decide(asked, step, verdict, output).await.map(|()| false)?
            }
            Command::Approve { step, approved, data } => {
                let data_json = data.map(|data| data.as_str().to_owned()).unwrap_or_default();
                let request = v1::DecideApprovalRequest {
                    namespace,
                    run_id,
                    request_id,
                    reason,
                    requested_by,
                    step,
                    approved,
                    data_json,
                };
                self.approval_service().decide_approval(timed(request)).await?;
                false
            }
        })
    }

    /// The events of a run from a number on, as they happen.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn watch(&self, namespace: &Namespace, run: RunId, from: u64) -> Result<EventStream, ApiError> {
        let request = v1::WatchRunRequest { namespace: named(namespace), run_id: run.to_string(), from_seq: from };
        Ok(EventStream::new(self.service.clone().watch_run(request).await?.into_inner()))
    }

    /// The runs that change, as they do; with those that are there as the first news if `existing`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn watch_runs(
        &self,
        namespace: &Namespace,
        filter: &RunFilter,
        existing: bool,
    ) -> Result<ChangeStream, ApiError> {
        let (namespace, filter) = (named(namespace), filter.to_string());
        let request = v1::WatchRunsRequest { namespace, filter, include_existing: existing };
        Ok(ChangeStream::new(self.service.clone().watch_runs(request).await?.into_inner()))
    }

    /// The data of a run, or the output of one of its steps.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn data(&self, namespace: &Namespace, run: RunId, step: Option<&str>) -> Result<Json, ApiError> {
        let step = step.unwrap_or_default().to_owned();
        let request = v1::GetRunDataRequest { namespace: named(namespace), run_id: run.to_string(), step };
        let answer = self.service.clone().get_run_data(timed(request)).await?.into_inner();
        Json::parse(answer.data_json).map_err(unread)
    }

    /// The artifacts of a run, or of one of its steps.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn artifacts(
        &self,
        namespace: &Namespace,
        run: RunId,
        step: Option<&str>,
    ) -> Result<Vec<ArtifactRecorded>, ApiError> {
        let mut artifacts = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListArtifactsRequest {
                namespace: named(namespace),
                run_id: run.to_string(),
                step: step.unwrap_or_default().to_owned(),
                page_size: PAGE,
                page_token,
            };
            let answer = self.service.clone().list_artifacts(timed(request)).await?.into_inner();
            for artifact in answer.artifacts {
                artifacts.push(artifact_in(artifact).map_err(unread)?);
            }
            match text(answer.next_page_token) {
                Some(next) => page_token = next,
                None => return Ok(artifacts),
            }
        }
    }

    /// The content of an artifact from an offset on.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn download(
        &self,
        namespace: &Namespace,
        run: RunId,
        artifact: &ArtifactRecorded,
        offset: u64,
    ) -> Result<ArtifactDownload, ApiError> {
        let request = v1::DownloadArtifactRequest {
            namespace: named(namespace),
            run_id: run.to_string(),
            step: artifact.step.to_string(),
            artifact_id: artifact.artifact.clone(),
            name: artifact.name.clone(),
            offset_bytes: offset,
        };
        ArtifactDownload::begin(self.service.clone().download_artifact(request).await?.into_inner()).await
    }
}

/// A request to start a run, in the trace of its caller.
fn traced<T>(start: StartRequest, message: impl FnOnce(v1::StartRunRequest) -> T) -> Result<Request<T>, ApiError> {
    let trace_parent = start.options.trace_parent.clone();
    let mut request = timed(message(start_out(start)));
    if let Some(trace_parent) = trace_parent {
        let value = MetadataValue::try_from(trace_parent);
        let value = value.map_err(|_| ApiError::Refused("traceparent: cannot be sent".to_owned()))?;
        request.metadata_mut().insert("traceparent", value);
    }
    Ok(request)
}

fn wishes_out(wishes: Wishes) -> Option<v1::Orchestration> {
    let said = !wishes.is_empty();
    let Wishes { preset, phases, domain } = wishes;
    said.then(|| v1::Orchestration {
        preset: preset.map(|preset| preset.to_string()).unwrap_or_default(),
        phases: phases.into_iter().map(|(phase, on)| (phase.to_string(), on)).collect(),
        domain: domain.unwrap_or_default(),
    })
}

fn start_out(start: StartRequest) -> v1::StartRunRequest {
    use v1::start_run_request::Source;
    let options = start.options;
    let (key, policy) = options.key.map_or((None, None), |(key, policy)| (Some(key), Some(policy)));
    v1::StartRunRequest {
        namespace: named(&start.namespace),
        request_id: start.request.to_string(),
        inputs_json: start.inputs,
        executor: options.executor.map_or(v1::Executor::Unspecified, executor_out).into(),
        max_concurrent_tasks: options.max_concurrent_tasks.unwrap_or_default(),
        labels: options.labels.into_iter().map(|(name, value)| (name.to_string(), value)).collect(),
        timeout_seconds: options.timeout.map(|timeout| timeout.0.as_secs_f64()).unwrap_or_default(),
        idempotency_key: key.map(|key| key.to_string()).unwrap_or_default(),
        key_reuse_policy: policy.map(reuse_out).unwrap_or_default().into(),
        key_conflict_policy: policy.map(conflict_out).unwrap_or_default().into(),
        session_id: options.session.map(|session| session.to_string()).unwrap_or_default(),
        requested_by: options.by,
        start_at: options.start_at.map(moment),
        priority: options.priority.map_or(v1::Priority::Unspecified, priority_out).into(),
        source: Some(match start.workflow {
            WorkflowSource::Text(text) => Source::Workflow(text),
            WorkflowSource::Registered { id, version } => Source::Registered(reference(&id, version)),
            WorkflowSource::Query(query) => Source::Query(query),
        }),
        orchestration: wishes_out(options.orchestration),
        replan: options.replan,
    }
}

/// A registered workflow as a message names it.
pub(super) fn reference(id: &WorkflowId, version: Option<String>) -> v1::WorkflowReference {
    v1::WorkflowReference { workflow_id: id.to_string(), version: version.unwrap_or_default() }
}

const fn reuse_out(policy: KeyPolicy) -> v1::KeyReusePolicy {
    match policy.reuse {
        KeyReuse::AllowDuplicate => v1::KeyReusePolicy::AllowDuplicate,
        KeyReuse::AllowDuplicateFailedOnly => v1::KeyReusePolicy::AllowDuplicateFailedOnly,
        KeyReuse::RejectDuplicate => v1::KeyReusePolicy::RejectDuplicate,
    }
}

const fn conflict_out(policy: KeyPolicy) -> v1::KeyConflictPolicy {
    match policy.conflict {
        KeyConflict::Fail => v1::KeyConflictPolicy::Fail,
        KeyConflict::UseExisting => v1::KeyConflictPolicy::UseExisting,
        KeyConflict::TerminateExisting => v1::KeyConflictPolicy::TerminateExisting,
    }
}
