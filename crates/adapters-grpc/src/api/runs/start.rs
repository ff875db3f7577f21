//! Starting runs, and waiting for them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};
use tutti_api::v1;
use tutti_core::ids::{LabelName, Namespace, RunId, RunKey, WorkflowId};
use tutti_core::orchestration::{Phase, Preset, Wishes};
use tutti_core::ports::inbound::access::Caller;
use tutti_core::ports::inbound::runs::{
    ForkRequest, KeyConflict, KeyPolicy, KeyReuse, StartOptions, StartRequest, StartedRun, WorkflowSource,
};
use tutti_core::ports::inbound::views::{EventsRequest, Views};
use tutti_core::report::RunView;
use tutti_core::run::{Point, RunStatus, decode};
use tutti_core::time::Span;
use tutti_core::trace::RunTrace;
use tutti_core::value::Json;

use super::super::caller::{caller, namespace, recorded};
use super::super::convert::{executor, moment_in, priority, run_out};
use super::super::errors::{read, request_id, run_id, short, some, status, wrong};
use super::super::outbox::{Closing, HEARTBEAT};
use super::super::{Inbound, data, watch};

/// Longest that a caller can wait; below the time that a call has by default.
const MAX_WAIT: Duration = Duration::from_secs(240);

/// How long a caller waits that does not say.
const WAIT: Duration = Duration::from_secs(60);

/// Most changes of the data of a fork.
const MAX_CHANGES: usize = 100;

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
        Some(v1::start_run_request::Source::Query(query)) => WorkflowSource::Query(query),
        None => return Err(wrong("workflow", "is required: the text of a workflow, or `registered` in its place")),
    };
    let key = key(asked.idempotency_key, asked.key_reuse_policy, asked.key_conflict_policy)?;
    let options = StartOptions {
        executor: executor(asked.executor)?,
        max_concurrent_tasks: Some(asked.max_concurrent_tasks).filter(|width| *width > 0),
        priority: priority(asked.priority)?,
        timeout: seconds("timeout_seconds", asked.timeout_seconds)?.map(Span),
        start_at: moment_in(asked.start_at.as_ref()),
        key,
        labels: labels(asked.labels)?,
        session: some(asked.session_id).map(|session| read("session_id", &session)).transpose()?,
        trace_parent,
        by: recorded(caller, &asked.requested_by),
        orchestration: wishes(asked.orchestration)?,
        replan: asked.replan,
    };
    let request = request_id(&asked.request_id)?;
    Ok(StartRequest { namespace, request, workflow, inputs: asked.inputs_json, options })
}

/// What is said about orchestration.
pub(in super::super) fn wishes(asked: Option<v1::Orchestration>) -> Result<Wishes, Status> {
    let Some(asked) = asked else { return Ok(Wishes::default()) };
    let preset = some(asked.preset).map(|preset| preset.parse::<Preset>());
    let preset = preset.transpose().map_err(|why| wrong("orchestration.preset", why))?;
    let phase = |(name, on): (String, bool)| {
        let phase = name.parse::<Phase>().map_err(|why| wrong("orchestration.phases", why))?;
        Ok((phase, on))
    };
    let phases = asked.phases.into_iter().map(phase).collect::<Result<_, Status>>()?;
    Ok(Wishes { preset, phases, domain: some(asked.domain) })
}

/// The fields that name a run by a key.
fn key(key: String, if_ended: i32, if_going_on: i32) -> Result<Option<(RunKey, KeyPolicy)>, Status> {
    match some(key) {
        Some(key) => {
            let policy = KeyPolicy { reuse: reuse(if_ended)?, conflict: conflict(if_going_on)? };
            Ok(Some((read("idempotency_key", &key)?, policy)))
        }
        None if if_ended != 0 => Err(wrong("key_reuse_policy", "needs idempotency_key")),
        None if if_going_on != 0 => Err(wrong("key_conflict_policy", "needs idempotency_key")),
        None => Ok(None),
    }
}

/// The field `labels`.
fn labels(labels: HashMap<String, String>) -> Result<BTreeMap<LabelName, String>, Status> {
    labels.into_iter().map(|(name, value)| Ok((read(&format!("labels.{name}"), &name)?, value))).collect()
}

/// Starts a run where another one stands or stood.
pub(super) async fn fork(
    inbound: &Inbound,
    request: Request<v1::ForkRunRequest>,
) -> Result<v1::ForkRunResponse, Status> {
    let namespace = namespace(&request, &request.get_ref().namespace)?;
    let caller = caller(&request);
    let asked = request.into_inner();
    short("requested_by", &asked.requested_by)?;
    if asked.changes.len() > MAX_CHANGES {
        return Err(wrong("changes", format!("must be at most {MAX_CHANGES}")));
    }
    let change = |(index, change): (usize, v1::DataChange)| {
        let value = Json::parse(change.value_json);
        let value = value.map_err(|error| wrong(&format!("changes[{index}].value_json"), error.to_string()))?;
        Ok((read(&format!("changes[{index}].path"), &change.path)?, value))
    };
    let fork = ForkRequest {
        namespace,
        request: request_id(&asked.request_id)?,
        from: run_id(&asked.run_id)?,
        at: asked.at.map(|at| match at {
            v1::fork_run_request::At::Seq(seq) => Point::Seq(seq),
            v1::fork_run_request::At::Checkpoint(name) => Point::Checkpoint(name),
        }),
        changes: asked.changes.into_iter().enumerate().map(change).collect::<Result<_, Status>>()?,
        key: key(asked.idempotency_key, asked.key_reuse_policy, asked.key_conflict_policy)?,
        labels: labels(asked.labels)?,
        by: recorded(&caller, &asked.requested_by),
    };
    let started = inbound.runs.fork(fork).await.map_err(|error| status(&error))?;
    Ok(v1::ForkRunResponse { run_id: started.run.to_string(), existed: started.existed })
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
