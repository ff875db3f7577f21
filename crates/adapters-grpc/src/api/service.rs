//! `tutti.v1.RunService` over the inbound port.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tutti_api::v1;
use tutti_api::v1::run_service_server::RunService;
use tutti_core::limits::EVENTS_PAGE;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::query::ListRuns;
use tutti_core::ports::runs::{CommandRequest, EventsRequest, ListRequest, Runs, RunsError, StartRequest};
use tutti_core::run::{Command, Order};
use tutti_core::value::{Json, Payload, PayloadRef};

use super::convert::{self, event_out, namespace, request_id, run_id, run_out, summary_out};
use super::watch;
use crate::serve::ConnectionClosing;

/// Most runs on a page.
const MAX_PAGE: u32 = 1_000;

/// Longest `reason` and `requested_by`, in bytes.
const MAX_TEXT: usize = tutti_core::limits::MAX_MESSAGE_BYTES;

/// The service of one server.
pub(super) struct Service {
    pub(super) runs: Arc<dyn Runs>,
    pub(super) clock: Arc<dyn Clock>,
    /// Ends the streams of watchers.
    pub(super) closing: CancellationToken,
}

/// What every request has in common by which something is wanted of a run.
struct Ordered {
    namespace: String,
    run_id: String,
    request_id: String,
    reason: String,
    requested_by: String,
}

macro_rules! ordered {
    ($request:expr) => {{
        let asked = $request;
        Ordered {
            namespace: asked.namespace,
            run_id: asked.run_id,
            request_id: asked.request_id,
            reason: asked.reason,
            requested_by: asked.requested_by,
        }
    }};
}

impl Service {
    /// Has a command applied: true if the run was as it is wanted before.
    async fn command(&self, asked: Ordered, command: Command) -> Result<bool, Status> {
        let (namespace, run) = (namespace(&asked.namespace)?, run_id(&asked.run_id)?);
        let request = Some(request_id(&asked.request_id)?);
        let short = |field: &str, text: &str| match text.len() {
            0..=MAX_TEXT => Ok(()),
            _ => Err(convert::status(&RunsError::invalid(field, format!("must be at most {MAX_TEXT} bytes")))),
        };
        short("reason", &asked.reason)?;
        short("requested_by", &asked.requested_by)?;
        if asked.reason.trim().is_empty() {
            return Err(convert::status(&RunsError::invalid("reason", "is required: it is recorded")));
        }
        let by = if asked.requested_by.is_empty() { "api".to_owned() } else { asked.requested_by };
        let order = Order { by, reason: asked.reason, request };
        let request = CommandRequest { namespace, run, command, order };
        self.runs.command(request).await.map_err(|error| convert::status(&error))
    }
}

#[tonic::async_trait]
impl RunService for Service {
    async fn start_run(&self, request: Request<v1::StartRunRequest>) -> Result<Response<v1::StartRunResponse>, Status> {
        let asked = request.into_inner();
        let request = StartRequest {
            namespace: namespace(&asked.namespace)?,
            request: request_id(&asked.request_id)?,
            executor: convert::executor(asked.executor)?,
            max_concurrent_tasks: Some(asked.max_concurrent_tasks).filter(|width| *width > 0),
            workflow: asked.workflow,
            inputs: asked.inputs_json,
        };
        let started = self.runs.start(request).await.map_err(|error| convert::status(&error))?;
        Ok(Response::new(v1::StartRunResponse { run_id: started.run.to_string(), existed: started.existed }))
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Result<Response<v1::GetRunResponse>, Status> {
        let asked = request.into_inner();
        let (namespace, run) = (namespace(&asked.namespace)?, run_id(&asked.run_id)?);
        let view = self.runs.get(&namespace, run).await.map_err(|error| convert::status(&error))?;
        let definition = if asked.include_definition { view.plan().canonical().to_vec() } else { Vec::new() };
        let run = run_out(&view, self.clock.now()).ok_or_else(|| Status::data_loss("the run has no history"))?;
        Ok(Response::new(v1::GetRunResponse { run: Some(run), definition_json: definition.into() }))
    }

    async fn list_runs(&self, request: Request<v1::ListRunsRequest>) -> Result<Response<v1::ListRunsResponse>, Status> {
        let asked = request.into_inner();
        let wrong = |field: &str, reason: String| convert::status(&RunsError::invalid(field, reason));
        if asked.page_size > MAX_PAGE {
            return Err(wrong("page_size", format!("must be at most {MAX_PAGE}")));
        }
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        let workflow = text(asked.workflow).map(|id| convert::parsed("workflow", &id, "must be a workflow id"));
        let query = ListRuns {
            namespace: namespace(&asked.namespace)?,
            status: convert::state_in(asked.state).map_err(|reason| wrong("state", reason))?,
            workflow: workflow.transpose()?,
            limit: asked.page_size as usize,
            cursor: text(asked.page_token),
        };
        let prefix = text(asked.run_id_prefix);
        if prefix.is_some() && (query.status.is_some() || query.workflow.is_some() || query.cursor.is_some()) {
            return Err(wrong("run_id_prefix", "stands alone: no other filter and no page_token".to_owned()));
        }
        let page = self.runs.list(ListRequest { query, prefix }).await.map_err(|error| convert::status(&error))?;
        Ok(Response::new(v1::ListRunsResponse {
            runs: page.runs.iter().map(summary_out).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        let asked = request.into_inner();
        let limit = if asked.page_size == 0 { EVENTS_PAGE } else { EVENTS_PAGE.min(asked.page_size as usize) };
        let request = EventsRequest {
            namespace: namespace(&asked.namespace)?,
            run: run_id(&asked.run_id)?,
            from: asked.from_seq.max(1),
            limit,
            wait: Duration::ZERO,
        };
        let page = self.runs.events(request).await.map_err(|error| convert::status(&error))?;
        let events: Result<Vec<v1::Event>, Status> = page.events.iter().map(event_out).collect();
        Ok(Response::new(v1::ListEventsResponse { events: events?, ended: page.ended }))
    }

    type WatchRunStream = Pin<Box<dyn Stream<Item = Result<v1::WatchRunResponse, Status>> + Send>>;

    async fn watch_run(&self, request: Request<v1::WatchRunRequest>) -> Result<Response<Self::WatchRunStream>, Status> {
        let connection = request.extensions().get::<ConnectionClosing>().map(|closing| closing.0.clone());
        let closing = watch::Closing { server: self.closing.clone(), connection: connection.unwrap_or_default() };
        let asked = request.into_inner();
        let (namespace, run) = (namespace(&asked.namespace)?, run_id(&asked.run_id)?);
        let stream = watch::stream(self.runs.clone(), namespace, run, asked.from_seq.max(1), closing).await?;
        Ok(Response::new(Box::pin(stream)))
    }

    async fn cancel_run(
        &self,
        request: Request<v1::CancelRunRequest>,
    ) -> Result<Response<v1::CancelRunResponse>, Status> {
        let asked = ordered!(request.into_inner());
        let was_cancelled = self.command(asked, Command::Cancel).await?;
        Ok(Response::new(v1::CancelRunResponse { was_cancelled }))
    }

    async fn pause_run(&self, request: Request<v1::PauseRunRequest>) -> Result<Response<v1::PauseRunResponse>, Status> {
        let unchanged = self.command(ordered!(request.into_inner()), Command::Pause).await?;
        Ok(Response::new(v1::PauseRunResponse { unchanged }))
    }

    async fn resume_run(
        &self,
        request: Request<v1::ResumeRunRequest>,
    ) -> Result<Response<v1::ResumeRunResponse>, Status> {
        let unchanged = self.command(ordered!(request.into_inner()), Command::Resume).await?;
        Ok(Response::new(v1::ResumeRunResponse { unchanged }))
    }

    async fn terminate_run(
        &self,
        request: Request<v1::TerminateRunRequest>,
    ) -> Result<Response<v1::TerminateRunResponse>, Status> {
        let unchanged = self.command(ordered!(request.into_inner()), Command::Terminate).await?;
        Ok(Response::new(v1::TerminateRunResponse { unchanged }))
    }

    async fn retry_run(&self, request: Request<v1::RetryRunRequest>) -> Result<Response<v1::RetryRunResponse>, Status> {
        let unchanged = self.command(ordered!(request.into_inner()), Command::Retry).await?;
        Ok(Response::new(v1::RetryRunResponse { unchanged }))
    }

    async fn signal_run(
        &self,
        request: Request<v1::SignalRunRequest>,
    ) -> Result<Response<v1::SignalRunResponse>, Status> {
        let asked = request.into_inner();
        let (step, answer) = (asked.step.clone(), asked.answer_json.clone());
        let answer = Json::parse(answer)
            .map_err(|error| convert::status(&RunsError::invalid("answer_json", error.to_string())))?;
        let mut ordered = ordered!(asked);
        if ordered.reason.trim().is_empty() {
            ordered.reason = "answered".to_owned();
        }
        self.command(ordered, Command::Signal { step, answer: Payload::Inline(answer) }).await?;
        Ok(Response::new(v1::SignalRunResponse {}))
    }

    async fn get_payload(
        &self,
        request: Request<v1::GetPayloadRequest>,
    ) -> Result<Response<v1::GetPayloadResponse>, Status> {
        let asked = request.into_inner();
        let (namespace, run) = (namespace(&asked.namespace)?, run_id(&asked.run_id)?);
        let hash = convert::parsed("hash", &asked.hash, "must be 64 hexadecimal digits")?;
        let at = PayloadRef { hash, len: asked.length_bytes };
        let content = self.runs.payload(&namespace, run, at).await.map_err(|error| convert::status(&error))?;
        Ok(Response::new(v1::GetPayloadResponse { content }))
    }
}
