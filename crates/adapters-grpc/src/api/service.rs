//! `tutti.v1.RunService` over the inbound port.

use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tutti_api::v1;
use tutti_api::v1::run_service_server::RunService;
use tutti_core::ids::{Namespace, RunId};
use tutti_core::limits::EVENTS_PAGE;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbound::runs::{CommandRequest, StartOptions, StartRequest, WorkflowSource};
use tutti_core::ports::inbound::views::{EventsRequest, ListRequest};
use tutti_core::ports::query::ListRuns;
use tutti_core::run::{Command, Order};
use tutti_core::value::{Json, Payload, PayloadRef};

use super::caller::{caller, namespace, recorded};
use super::convert::{self, event_out, run_out, summary_out};
use super::errors::{page_size, parsed, request_id, run_id, short, some, status, wrong};
use super::{Inbound, watch};
use crate::serve::ConnectionClosing;

/// The service of one server.
pub(super) struct Service {
    pub(super) inbound: Inbound,
    /// Ends the streams of watchers.
    pub(super) closing: CancellationToken,
}

/// What every request has in common by which something is wanted of a run.
struct Ordered {
    namespace: Namespace,
    run: RunId,
    order: Order,
}

/// Checks what such requests have in common. A reason is required, because it is recorded.
macro_rules! ordered {
    ($request:expr) => {{
        let request = &$request;
        let asked = request.get_ref();
        short("reason", &asked.reason)?;
        short("requested_by", &asked.requested_by)?;
        if asked.reason.trim().is_empty() {
            return Err(wrong("reason", "is required: it is recorded"));
        }
        let by = recorded(&caller(request), &asked.requested_by);
        let order = Order { by, reason: asked.reason.clone(), request: Some(request_id(&asked.request_id)?) };
        Ordered { namespace: namespace(request, &asked.namespace)?, run: run_id(&asked.run_id)?, order }
    }};
}

impl Service {
    /// Has a command applied: true if the run was as it is wanted before.
    async fn command(&self, ordered: Ordered, command: Command) -> Result<bool, Status> {
        let Ordered { namespace, run, order } = ordered;
        let request = CommandRequest { namespace, run, command, order };
        self.inbound.runs.command(request).await.map_err(|error| status(&error))
    }
}

#[tonic::async_trait]
impl RunService for Service {
    async fn start_run(&self, request: Request<v1::StartRunRequest>) -> Result<Response<v1::StartRunResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let by = recorded(&caller(&request), "");
        let asked = request.into_inner();
        let options = StartOptions {
            executor: convert::executor(asked.executor)?,
            max_concurrent_tasks: Some(asked.max_concurrent_tasks).filter(|width| *width > 0),
            by,
            ..StartOptions::default()
        };
        let request = StartRequest {
            namespace,
            request: request_id(&asked.request_id)?,
            workflow: WorkflowSource::Text(asked.workflow),
            inputs: asked.inputs_json,
            options,
        };
        let started = self.inbound.runs.start(request).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::StartRunResponse { run_id: started.run.to_string(), existed: started.existed }))
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Result<Response<v1::GetRunResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let run = run_id(&asked.run_id)?;
        let view = self.inbound.views.get(&namespace, run).await.map_err(|error| status(&error))?;
        let definition = if asked.include_definition { view.plan().canonical().to_vec() } else { Vec::new() };
        let run =
            run_out(&view, self.inbound.clock.now()).ok_or_else(|| Status::data_loss("the run has no history"))?;
        Ok(Response::new(v1::GetRunResponse { run: Some(run), definition_json: definition.into() }))
    }

    async fn list_runs(&self, request: Request<v1::ListRunsRequest>) -> Result<Response<v1::ListRunsResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let now = self.inbound.clock.now();
        let query = ListRuns {
            namespace,
            filter: RunFilter::parse(&asked.filter, now).map_err(|reason| wrong("filter", reason))?,
            limit: page_size(asked.page_size)?,
            cursor: some(asked.page_token),
        };
        let prefix = some(asked.run_id_prefix);
        if prefix.is_some() && (!query.filter.terms.is_empty() || query.cursor.is_some()) {
            return Err(wrong("run_id_prefix", "stands alone: no filter and no page_token"));
        }
        let page = self.inbound.views.list(ListRequest { query, prefix }).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::ListRunsResponse {
            runs: page.runs.iter().map(summary_out).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let limit = if asked.page_size == 0 { EVENTS_PAGE } else { EVENTS_PAGE.min(asked.page_size as usize) };
        let request = EventsRequest {
            namespace,
            run: run_id(&asked.run_id)?,
            from: asked.from_seq.max(1),
            limit,
            wait: Duration::ZERO,
        };
        let page = self.inbound.views.events(request).await.map_err(|error| status(&error))?;
        let events: Result<Vec<v1::Event>, Status> = page.events.iter().map(event_out).collect();
        Ok(Response::new(v1::ListEventsResponse { events: events?, ended: page.ended }))
    }

    type WatchRunStream = Pin<Box<dyn Stream<Item = Result<v1::WatchRunResponse, Status>> + Send>>;

    async fn watch_run(&self, request: Request<v1::WatchRunRequest>) -> Result<Response<Self::WatchRunStream>, Status> {
        let connection = request.extensions().get::<ConnectionClosing>().map(|closing| closing.0.clone());
        let closing = watch::Closing { server: self.closing.clone(), connection: connection.unwrap_or_default() };
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let run = run_id(&asked.run_id)?;
        let stream = watch::stream(self.inbound.views.clone(), namespace, run, asked.from_seq.max(1), closing).await?;
        Ok(Response::new(Box::pin(stream)))
    }

    async fn cancel_run(
        &self,
        request: Request<v1::CancelRunRequest>,
    ) -> Result<Response<v1::CancelRunResponse>, Status> {
        let asked = ordered!(request);
        let was_cancelled = self.command(asked, Command::Cancel).await?;
        Ok(Response::new(v1::CancelRunResponse { was_cancelled }))
    }

    async fn pause_run(&self, request: Request<v1::PauseRunRequest>) -> Result<Response<v1::PauseRunResponse>, Status> {
        let unchanged = self.command(ordered!(request), Command::Pause).await?;
        Ok(Response::new(v1::PauseRunResponse { unchanged }))
    }

    async fn resume_run(
        &self,
        request: Request<v1::ResumeRunRequest>,
    ) -> Result<Response<v1::ResumeRunResponse>, Status> {
        let unchanged = self.command(ordered!(request), Command::Resume).await?;
        Ok(Response::new(v1::ResumeRunResponse { unchanged }))
    }

    async fn terminate_run(
        &self,
        request: Request<v1::TerminateRunRequest>,
    ) -> Result<Response<v1::TerminateRunResponse>, Status> {
        let unchanged = self.command(ordered!(request), Command::Terminate).await?;
        Ok(Response::new(v1::TerminateRunResponse { unchanged }))
    }

    async fn retry_run(&self, request: Request<v1::RetryRunRequest>) -> Result<Response<v1::RetryRunResponse>, Status> {
        let unchanged = self.command(ordered!(request), Command::Retry).await?;
        Ok(Response::new(v1::RetryRunResponse { unchanged }))
    }

    async fn signal_run(
        &self,
        request: Request<v1::SignalRunRequest>,
    ) -> Result<Response<v1::SignalRunResponse>, Status> {
        let mut request = request;
        if request.get_ref().reason.trim().is_empty() {
            request.get_mut().reason = "answered".to_owned();
        }
        let ordered = ordered!(request);
        let asked = request.into_inner();
        let answer = Json::parse(asked.answer_json).map_err(|error| wrong("answer_json", error.to_string()))?;
        let step = asked.step;
        self.command(ordered, Command::Signal { step, answer: Payload::Inline(answer) }).await?;
        Ok(Response::new(v1::SignalRunResponse {}))
    }

    async fn get_payload(
        &self,
        request: Request<v1::GetPayloadRequest>,
    ) -> Result<Response<v1::GetPayloadResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let run = run_id(&asked.run_id)?;
        let hash = parsed("hash", &asked.hash, "must be 64 hexadecimal digits")?;
        let at = PayloadRef { hash, len: asked.length_bytes };
        let content = self.inbound.views.payload(&namespace, run, at).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::GetPayloadResponse { content }))
    }
}
