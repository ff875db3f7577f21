//! Starting runs, and waiting for them.

use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};
use tutti_api::v1;
use tutti_core::ids::{Namespace, RunId, WorkflowId};
use tutti_core::ports::inbound::access::Caller;
use tutti_core::ports::inbound::runs::{
    KeyConflict, KeyPolicy, KeyReuse, StartOptions, StartRequest, StartedRun, WorkflowSource,
};
use tutti_core::ports::inbound::views::{EventsRequest, Views};
use tutti_core::report::RunView;
use tutti_core::run::{RunStatus, decode};
use tutti_core::time::Span;
use tutti_core::trace::RunTrace;

use super::super::caller::{caller, namespace, recorded};
use super::super::convert::{executor, priority, run_out};
use super::super::errors::{read, request_id, short, some, status, wrong};
use super::super::outbox::{Closing, HEARTBEAT};
use super::super::{Inbound, data, watch};

/// Longest that a caller can wait; below the time that a call has by default.
const MAX_WAIT: Duration = Duration::from_secs(240);

/// How long a caller waits that does not say.
const WAIT: Duration = Duration::from_secs(60);

/// The metadata of W3C Trace Context.
const TRACE_PARENT: &str = "traceparent";

/// Starts a run.
pub(super) async fn start(
    inbound: &Inbound,
    request: Request<v1::StartRunRequest>,
) -> Result<v1::StartRunResponse, Status> {
    let namespace = namespace(&request, &request.get_ref().namespace)?;
    let (caller, trace_parent) = (caller(&request), trace_parent(request.metadata()));
    let start = start_request(namespace, &caller, trace_parent, request.into_inner())?;
    let started = inbound.runs.start(start).await.map_err(|error| status(&error))?;
    Ok(v1::StartRunResponse { run_id: started.run.to_string(), existed: started.existed })
}

/// Starts a run and waits until there is something to say.
pub(super) async fn start_and_wait(
    inbound: &Inbound,
    closing: Closing,
    request: Request<v1::StartAndWaitRunRequest>,
) -> Result<v1::StartAndWaitRunResponse, Status> {
    let missing = || wrong("start", "is required");
    let asked = request.get_ref().start.as_ref().ok_or_else(missing)?;
    let namespace = namespace(&request, &asked.namespace)?;
    let (caller, trace_parent) = (caller(&request), trace_parent(request.metadata()));
    let asked = request.into_inner();
    let wait = wait(asked.wait_seconds)?;
    let start = start_request(namespace.clone(), &caller, trace_parent, asked.start.ok_or_else(missing)?)?;
    let StartedRun { run, existed } = inbound.runs.start(start).await.map_err(|error| status(&error))?;
    let view = tokio::select! {
        biased;
        early = closing.early() => {
            return Err(Status::unavailable(format!("{early}; the same request waits for the same run")));
        }
        view = settled(&*inbound.views, &namespace, run, Instant::now() + wait) => view?,
    };
    let data_json = match view.status().is_ended() {
        true => data::of_run(&*inbound.values, &namespace, &view).await?.map(|data| data.as_str().to_owned()),
        false => None,
    };
    let run = run_out(&view, inbound.clock.now()).ok_or_else(|| Status::data_loss("the run has no history"))?;
    Ok(v1::StartAndWaitRunResponse { run: Some(run), existed, data_json })
}

/// Follows a run until nothing happens to it by itself, or a moment.
async fn settled(views: &dyn Views, namespace: &Namespace, run: RunId, until: Instant) -> Result<RunView, Status> {
    let mut view = views.get(namespace, run).await.map_err(|error| status(&error))?;
    while matches!(view.status(), RunStatus::Pending | RunStatus::Running) && Instant::now() < until {
        let wait = HEARTBEAT.min(until.saturating_duration_since(Instant::now()));
        let request =
            EventsRequest { namespace: namespace.clone(), run, from: view.seq() + 1, limit: watch::PAGE, wait };
        let page = views.events(request).await.map_err(|error| status(&error))?;
        if page.events.is_empty() && page.ended {
            break;
        }
        for event in &page.events {
            view.apply(&decode(event).map_err(|error| Status::data_loss(error.to_string()))?);
        }
    }
    Ok(view)
}

/// What a request to start a run says.
fn start_request(
    namespace: Namespace,
    caller: &Caller,
    trace_parent: Option<String>,
    asked: v1::StartRunRequest,
) -> Result<StartRequest, Status> {
    short("requested_by", &asked.requested_by)?;
    let workflow = match asked.source {
        Some(v1::start_run_request::Source::Workflow(text)) => WorkflowSource::Text(text),
        Some(v1::start_run_request::Source::Registered(named)) => registered("registered", named)?,
        None => return Err(wrong("workflow", "is required: the text of a workflow, or `registered` in its place")),
    };
    let key = match some(asked.idempotency_key) {
        Some(key) => Some((
            read("idempotency_key", &key)?,
            KeyPolicy { reuse: reuse(asked.key_reuse_policy)?, conflict: conflict(asked.key_conflict_policy)? },
        )),
        None if asked.key_reuse_policy != 0 => return Err(wrong("key_reuse_policy", "needs idempotency_key")),
        None if asked.key_conflict_policy != 0 => return Err(wrong("key_conflict_policy", "needs idempotency_key")),
        None => None,
    };
    let labels = asked.labels.into_iter().map(|(name, value)| Ok((read(&format!("labels.{name}"), &name)?, value)));
    let options = StartOptions {
        executor: executor(asked.executor)?,
        max_concurrent_tasks: Some(asked.max_concurrent_tasks).filter(|width| *width > 0),
        priority: priority(asked.priority)?,
        timeout: seconds("timeout_seconds", asked.timeout_seconds)?.map(Span),
        key,
        labels: labels.collect::<Result<_, Status>>()?,
        session: some(asked.session_id).map(|session| read("session_id", &session)).transpose()?,
        trace_parent,
        by: recorded(caller, &asked.requested_by),
    };
    let request = request_id(&asked.request_id)?;
    Ok(StartRequest { namespace, request, workflow, inputs: asked.inputs_json, options })
}

/// A registered workflow, as the field `field` names it.
pub(in super::super) fn registered(field: &str, named: v1::WorkflowReference) -> Result<WorkflowSource, Status> {
    let id: WorkflowId = read(&format!("{field}.workflow_id"), &named.workflow_id)?;
    Ok(WorkflowSource::Registered { id, version: some(named.version) })
}

/// The caller's `traceparent`. One that cannot be read counts as none (W3C Trace Context, section 3.2).
pub(crate) fn trace_parent(metadata: &MetadataMap) -> Option<String> {
    let text = metadata.get(TRACE_PARENT)?.to_str().ok()?;
    RunTrace::parse(text).map(|_| text.to_owned())
}

/// A span; `None` for 0.
fn seconds(field: &str, seconds: f64) -> Result<Option<Duration>, Status> {
    if seconds == 0.0 {
        return Ok(None);
    }
    Duration::try_from_secs_f64(seconds)
        .map(Some)
        .map_err(|_| wrong(field, format!("{seconds} is not a possible number of seconds")))
}

fn wait(asked: f64) -> Result<Duration, Status> {
    let wait = seconds("wait_seconds", asked)?.unwrap_or(WAIT);
    if wait > MAX_WAIT {
        return Err(wrong("wait_seconds", format!("must be at most {}", MAX_WAIT.as_secs())));
    }
    Ok(wait)
}

fn reuse(number: i32) -> Result<KeyReuse, Status> {
    use v1::KeyReusePolicy as Policy;
    match Policy::try_from(number) {
        Ok(Policy::Unspecified | Policy::AllowDuplicate) => Ok(KeyReuse::AllowDuplicate),
        Ok(Policy::AllowDuplicateFailedOnly) => Ok(KeyReuse::AllowDuplicateFailedOnly),
        Ok(Policy::RejectDuplicate) => Ok(KeyReuse::RejectDuplicate),
        Err(_) => Err(wrong("key_reuse_policy", "is not a policy that this server knows")),
    }
}

fn conflict(number: i32) -> Result<KeyConflict, Status> {
    use v1::KeyConflictPolicy as Policy;
    match Policy::try_from(number) {
        Ok(Policy::Unspecified | Policy::Fail) => Ok(KeyConflict::Fail),
        Ok(Policy::UseExisting) => Ok(KeyConflict::UseExisting),
        Ok(Policy::TerminateExisting) => Ok(KeyConflict::TerminateExisting),
        Err(_) => Err(wrong("key_conflict_policy", "is not a policy that this server knows")),
    }
}
