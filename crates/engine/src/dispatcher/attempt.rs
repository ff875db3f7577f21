//! One attempt from its input to what the driver is told: the only place that calls agents.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tutti_core::ids::{AttemptKey, Namespace};
use tutti_core::limits::{MAX_ARTIFACTS, MAX_VALUE_BYTES};
use tutti_core::plan::{Plan, PlanPatch, StepIndex, assemble_input, missing_output};
use tutti_core::ports::agent::{
    AgentCall, AgentEndpoint, AgentError, AgentErrorKind, AgentReply, AgentReport, AgentTransport, Answer, Artifact,
    Feedback, Need, UpdateSink,
};
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::store::StoreError;
use tutti_core::quality::{Findings, Rule};
use tutti_core::report::parse_rfc3339;
use tutti_core::run::ArtifactRecorded;
use tutti_core::time::{Span, Timestamp};
use tutti_core::trace::{RunTrace, attempt_span};
use tutti_core::value::{Json, Payload, member};
use tutti_core::workflow::{Step, StepKind};

use super::hold::{self, Member};
use super::scope::{Around, Scopes, around};

use super::consult::Consultants;
use super::judge;

/// Time beyond an attempt's own timeout in which a transport must have returned.
const GRACE: Duration = Duration::from_secs(2);

/// Bound of the request that stops a task nobody waits for any more.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// First and longest wait between tries of the payload store.
const PAYLOAD_RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// What every attempt needs.
pub(crate) struct AttemptContext {
    pub(crate) transport: Arc<dyn AgentTransport>,
    pub(crate) payloads: Arc<dyn PayloadStore>,
    /// Whom the engine asks on its own behalf.
    pub(crate) consultants: Consultants,
    pub(crate) scopes: Scopes,
}

/// An attempt to be carried out. Its start is durable.
#[derive(Debug, Clone)]
pub struct AttemptSpec {
    /// Which attempt.
    pub key: AttemptKey,
    /// Whose run it is.
    pub namespace: Namespace,
    /// The plan it belongs to.
    pub plan: Arc<Plan>,
    /// The step in it.
    pub step: StepIndex,
    /// Whom to ask; `None` if the agent is not known any more.
    pub endpoint: Option<AgentEndpoint>,
    /// The agent's id of the task, if it was recorded.
    pub task: Option<String>,
    /// How long it may take.
    pub timeout: Duration,
    /// The last answer to what the agent asked, and which one it is.
    pub answer: Option<(u32, Payload)>,
    /// Whether a message may be with the agent already.
    pub mode: CallMode,
    /// Where the run's spans belong.
    pub trace: RunTrace,
    /// The run's data at the start.
    pub data: Payload,
    /// The outputs that the step reads.
    pub outputs: Vec<(StepIndex, Payload)>,
    /// True if only the step's condition is looked at.
    pub checks: bool,
    /// What became of the steps that it holds, once they have ended.
    pub members: Vec<Member>,
    /// What its answer must be like, where the workflow says so.
    pub quality: Option<Box<Rule>>,
    /// What was not good enough about the answer of the attempt before.
    pub feedback: Option<Box<Feedback>>,
}

/// Whether the message of an attempt may be with the agent already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallMode {
    /// No: the attempt was recorded a moment ago.
    Fresh,
    /// Perhaps: an earlier owner recorded the attempt. The agent is asked first.
    Reattach,
    /// Yes, and the agent asked something: it gets the answer.
    Answer,
}

/// How an attempt ended, values stored.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptEnd {
    /// The step is complete.
    Completed {
        /// Its output.
        output: Payload,
        /// What came with it.
        artifacts: Vec<ArtifactRecorded>,
        /// Input fields left out.
        missing_inputs: Vec<String>,
        /// What the agent told beside it.
        report: Option<Box<AgentReport>>,
        /// Steps that it adds to the plan.
        grows: Option<Box<PlanPatch>>,
        /// What was found out about its quality.
        findings: Option<Box<Findings>>,
    },
    /// The condition of the step was looked at.
    Checked {
        /// Why it does not hold, if it does not.
        omitted: Option<String>,
    },
    /// The step holds others, which begin.
    Expanded {
        /// The number of the first time.
        first: u32,
        /// How many times.
        count: u32,
    },
    /// The task waits for somebody.
    Suspended {
        /// For what.
        need: Need,
        /// What the agent asks.
        message: String,
        /// The moment that the step waits for, if its input holds it.
        until: Option<Timestamp>,
        /// What a person is shown to decide by.
        shown: Option<Payload>,
    },
    /// It failed.
    Failed(AgentError),
    /// A value of the run is not what was stored: the run cannot be trusted any more.
    Damaged(String),
}

/// Why an attempt came to no answer.
pub(super) enum Fault {
    Agent(AgentError),
    Damaged(String),
}

impl From<AgentError> for Fault {
    fn from(error: AgentError) -> Self {
        Self::Agent(error)
    }
}

impl From<StoreError> for Fault {
    /// A store that refuses a value makes the attempt fail; the run's policy says what follows.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt(reason) => Self::Damaged(reason),
            error => Self::Agent(AgentError::new(AgentErrorKind::InvalidAnswer, error.to_string())),
        }
    }
}

/// Carries out an attempt.
pub(crate) async fn run_attempt(context: &AttemptContext, spec: &AttemptSpec, updates: &dyn UpdateSink) -> AttemptEnd {
    match attempt(context, spec, updates).await {
        Ok(end) => end,
        Err(Fault::Agent(error)) => AttemptEnd::Failed(error),
        Err(Fault::Damaged(reason)) => AttemptEnd::Damaged(reason),
    }
}

async fn attempt(context: &AttemptContext, spec: &AttemptSpec, updates: &dyn UpdateSink) -> Result<AttemptEnd, Fault> {
    if spec.checks {
        return hold::check(context, spec).await;
    }
    let step = spec.plan.step(spec.step);
    if step.container().is_some() {
        return hold::hold(context, spec).await;
    }
    let (input, missing_inputs) = prepare(context, spec).await?;
    let StepKind::Call(capability) = step.kind() else { return wait(context, spec, input).await };
    let agent = spec.endpoint.clone().ok_or_else(|| {
        let unknown = AgentError::new(AgentErrorKind::Unavailable, "the agent that was asked is not known any more");
        AgentError { unsent: spec.mode == CallMode::Fresh, ..unknown }
    })?;
    let call = AgentCall {
        agent,
        key: spec.key.clone(),
        capability: capability.clone(),
        action: step.action.clone(),
        priority: step.priority,
        input,
        timeout: spec.timeout,
        idle_timeout: step.idle_timeout.map(|span| span.0),
        task: spec.task.clone(),
        trace_parent: Some(spec.trace.context(attempt_span(&spec.key))),
        feedback: spec.feedback.clone(),
    };
    let deadline = Instant::now() + call.timeout;
    let answer = match tokio::time::timeout(call.timeout + GRACE, ask(context, &call, spec, updates)).await {
        Ok(answer) => answer?,
        Err(_) => Err(AgentError::new(AgentErrorKind::Timeout, format!("no answer within {}", Span(spec.timeout)))),
    };
    match answer {
        Ok(Answer::Completed { output, artifacts, mut report }) => {
            let checked =
                check_output(spec, &output).and_then(|()| report.as_mut().map_or(Ok(()), |report| report.check()));
            if let Err(error) = checked {
                let usage = report.map(|report| Box::new(report.usage)).filter(|usage| !usage.is_empty());
                return Err(AgentError { usage, ..error }.into());
            }
            let grows = growth(step, &output)?;
            let (findings, used) = judge::findings(context, spec, &call, &output, deadline).await;
            let report = judge::with_usage(report, used);
            let output = store_value(context, &spec.key, &output).await?;
            let artifacts = store_artifacts(context, &spec.key, artifacts).await?;
            Ok(AttemptEnd::Completed { output, artifacts, missing_inputs, report, grows, findings })
        }
        Ok(Answer::Suspended { need, message }) => {
            Ok(AttemptEnd::Suspended { need, message, until: None, shown: None })
        }
        Err(error) => {
            // An agent does not notice that nobody listens any more (a passed deadline, a dropped stream).
            if matches!(error.kind, AgentErrorKind::Timeout | AgentErrorKind::InvalidAnswer) {
                cancel(context, &call).await;
            }
            // An earlier owner of the run may have sent the message that this one could not.
            let unsent = error.unsent && spec.mode == CallMode::Fresh;
            Err(AgentError { unsent, ..error }.into())
        }
    }
}

/// What a step waits for that asks no agent: the run's state knows for how long.
async fn wait(context: &AttemptContext, spec: &AttemptSpec, input: Json) -> Result<AttemptEnd, Fault> {
    let step = spec.plan.step(spec.step);
    let (message, until) = match step.kind() {
        StepKind::Approval(approval) => (approval.message.clone(), None),
        StepKind::Signal(signal) => (signal.message.clone(), None),
        StepKind::Sleep(span) => (format!("for {span}"), None),
        StepKind::WaitUntil(field) => (String::new(), Some(moment(&input, field)?)),
        StepKind::Call(_) | StepKind::Holds => (String::new(), None),
    };
    let need = match step.kind() {
        StepKind::Approval(_) => Need::Approval,
        StepKind::Signal(_) => Need::Signal,
        _ => Need::Time,
    };
    let shown = if step.input.is_empty() { None } else { Some(store_value(context, &spec.key, &input).await?) };
    Ok(AttemptEnd::Suspended { need, message, until, shown })
}

/// The change of the plan that an output asks for, if the step may ask for one.
fn growth(step: &Step, output: &Json) -> Result<Option<Box<PlanPatch>>, AgentError> {
    if !step.grows {
        return Ok(None);
    }
    let patch =
        PlanPatch::of_output(output).map_err(|reason| AgentError::new(AgentErrorKind::InvalidAnswer, reason))?;
    Ok(Some(patch).filter(|patch| !patch.is_empty()).map(Box::new))
}

/// The moment that a field of the input holds.
fn moment(input: &Json, field: &str) -> Result<Timestamp, AgentError> {
    let text = member(input, field).and_then(|value| serde_json::from_str::<String>(value.as_str()).ok());
    let moment = text.as_deref().and_then(parse_rfc3339);
    moment.ok_or_else(|| {
        let message = format!("field \"{field}\" of the input must hold a moment, such as \"2026-12-01T08:00:00Z\"");
        AgentError::new(AgentErrorKind::InvalidInput, message)
    })
}

/// Stops a task at its agent, as well as that can be done.
pub(crate) async fn cancel(context: &AttemptContext, call: &AgentCall) {
    match tokio::time::timeout(CANCEL_TIMEOUT, context.transport.cancel(call)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(attempt = %call.key.message_id(), %error, "the task could not be cancelled"),
        Err(_) => tracing::debug!(attempt = %call.key.message_id(), "the agent did not answer the cancellation"),
    }
}

async fn ask(
    context: &AttemptContext,
    call: &AgentCall,
    spec: &AttemptSpec,
    updates: &dyn UpdateSink,
) -> Result<Result<Answer, AgentError>, Fault> {
    if let (CallMode::Answer, Some((number, answer))) = (spec.mode, &spec.answer) {
        let reply = AgentReply { number: *number, value: load_value(context, &spec.key, answer).await? };
        return Ok(context.transport.answer(call, &reply, updates).await);
    }
    if spec.mode == CallMode::Reattach {
        match context.transport.reattach(call, updates).await {
            // Whether the message was never there, or the agent forgot it, nobody can tell.
            Ok(None) if spec.plan.step(spec.step).retry.is_unsafe => {
                let message = "the agent knows nothing of the task; whether it was done is not known";
                return Ok(Err(AgentError::new(AgentErrorKind::Unavailable, message)));
            }
            Ok(None) => {}
            Ok(Some(answer)) => return Ok(Ok(answer)),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(context.transport.call(call, updates).await)
}

/// Puts the input together from the run's data and the outputs that the step reads.
async fn prepare(context: &AttemptContext, spec: &AttemptSpec) -> Result<(Json, Vec<String>), Fault> {
    let Around { data, outputs } = around(context, spec).await?;
    let input = assemble_input(&spec.plan, spec.step, &data, |step| outputs.get(&step).cloned())
        .map_err(|missing| AgentError::new(AgentErrorKind::InputMissing, missing.to_string()))?;
    if input.value.bytes().len() > MAX_VALUE_BYTES {
        let message = format!("the input has {} bytes; {MAX_VALUE_BYTES} are allowed", input.value.bytes().len());
        return Err(AgentError::new(AgentErrorKind::InvalidInput, message).into());
    }
    for missing in &input.missing {
        tracing::warn!(attempt = %spec.key.message_id(), field = %missing, "an input field is left out: no value");
    }
    Ok((input.value, input.missing))
}

fn check_output(spec: &AttemptSpec, output: &Json) -> Result<(), AgentError> {
    if output.is_empty() {
        return Err(AgentError::new(AgentErrorKind::EmptyAnswer, "the agent completed the task and said nothing"));
    }
    match missing_output(spec.plan.step(spec.step), output) {
        Some(field) => {
            let message = format!("the output has no field \"{field}\", which the step's output mapping names");
            Err(AgentError::new(AgentErrorKind::OutputFieldMissing, message))
        }
        None => Ok(()),
    }
}

pub(super) async fn store_value(context: &AttemptContext, key: &AttemptKey, value: &Json) -> Result<Payload, Fault> {
    let payload = Payload::of(value);
    if let Payload::Stored(_) = payload {
        put(context, key, value.bytes().clone()).await?;
    }
    Ok(payload)
}

async fn store_artifacts(
    context: &AttemptContext,
    key: &AttemptKey,
    artifacts: Vec<Artifact>,
) -> Result<Vec<ArtifactRecorded>, Fault> {
    if artifacts.len() > MAX_ARTIFACTS {
        let message = format!("{} artifacts came back; {MAX_ARTIFACTS} are allowed", artifacts.len());
        return Err(AgentError::new(AgentErrorKind::InvalidAnswer, message).into());
    }
    let mut recorded = Vec::with_capacity(artifacts.len());
    for artifact in artifacts {
        recorded.push(ArtifactRecorded {
            step: key.path.clone(),
            attempt: key.attempt,
            artifact: artifact.id,
            name: artifact.name,
            media_type: artifact.media_type,
            content: put(context, key, artifact.bytes).await?,
        });
    }
    Ok(recorded)
}

async fn put(
    context: &AttemptContext,
    key: &AttemptKey,
    bytes: Bytes,
) -> Result<tutti_core::value::PayloadRef, StoreError> {
    patiently(|| context.payloads.put(key.run, bytes.clone())).await
}

pub(super) async fn load_value(context: &AttemptContext, key: &AttemptKey, payload: &Payload) -> Result<Json, Fault> {
    let at = match payload {
        Payload::Inline(value) => return Ok(value.clone()),
        Payload::Stored(at) => *at,
    };
    let found = patiently(|| context.payloads.get(key.run, at)).await?;
    let bytes = found.ok_or_else(|| Fault::Damaged(format!("payload {} is missing", at.hash)))?;
    Json::parse(bytes).map_err(|e| Fault::Damaged(format!("payload {}: {e}", at.hash)))
}

/// Asks the payload store again while it is unavailable: an agent's result must not be lost for that.
async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let (mut wait, longest) = PAYLOAD_RETRY;
    loop {
        match ask().await {
            Ok(value) => return Ok(value),
            Err(error) if error.is_retryable() => {
                tracing::warn!(%error, "the payload store is asked again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(longest);
            }
            Err(error) => return Err(error),
        }
    }
}
