//! `tutti.v1.RunService` over the inbound ports.

mod artifacts;
mod changes;
mod start;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tutti_api::v1;
use tutti_api::v1::run_service_server::RunService;
use tutti_core::budget::Amounts;
use tutti_core::ids::{Namespace, RunId};
use tutti_core::limits::EVENTS_PAGE;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbound::views::{EventsRequest, ListRequest};
use tutti_core::ports::query::ListRuns;
use tutti_core::report::RunView;
use tutti_core::run::{Command, Work};
use tutti_core::value::{Json, Payload, PayloadRef};

pub(super) use self::start::registered;
pub(crate) use self::start::trace_parent;
pub(super) use self::start::wishes;

use super::caller::namespace;
use super::convert::{counts_out, event_out, run_out, work};
use super::errors::{page_size, parsed, run_id, some, status, wrong};
use super::ordered::{Ordered, ordered};
use super::outbox::{Answer, Closing};
use super::{Inbound, data, patch, watch};

/// The service of one server.
pub(super) struct RunApi {
    pub(super) inbound: Inbound,
    /// Ends the streams of watchers.
    pub(super) closing: CancellationToken,
}

impl RunApi {
    /// Has a command applied: true if the run was as it is wanted before.
    async fn command(&self, ordered: Ordered, command: Command) -> Result<bool, Status> {
        ordered.apply(&*self.inbound.runs, command).await
    }

    /// The field `filter` of a request.
    fn filter(&self, text: &str) -> Result<RunFilter, Status> {
        RunFilter::parse(text, self.inbound.clock.now()).map_err(|reason| wrong("filter", reason))
    }

    /// A run with its whole history.
    async fn view(&self, namespace: &Namespace, run: RunId) -> Result<RunView, Status> {
        self.inbound.views.get(namespace, run).await.map_err(|error| status(&error))
    }
}

#[tonic::async_trait]
impl RunService for RunApi {
    async fn start_run(&self, request: Request<v1::StartRunRequest>) -> Result<Response<v1::StartRunResponse>, Status> {
        start::start(&self.inbound, request).await.map(Response::new)
    }

    async fn start_and_wait_run(
        &self,
        request: Request<v1::StartAndWaitRunRequest>,
    ) -> Result<Response<v1::StartAndWaitRunResponse>, Status> {
        let closing = Closing::of(&self.closing, &request);
        start::start_and_wait(&self.inbound, closing, request).await.map(Response::new)
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Result<Response<v1::GetRunResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let run = run_id(&asked.run_id)?;
        let view = self.view(&namespace, run).await?;
        let definition = if asked.include_definition { view.plan().canonical().to_vec() } else { Vec::new() };
        let run =
            run_out(&view, self.inbound.clock.now()).ok_or_else(|| Status::data_loss("the run has no history"))?;
        Ok(Response::new(v1::GetRunResponse { run: Some(run), definition_json: definition.into() }))
    }

    async fn list_runs(&self, request: Request<v1::ListRunsRequest>) -> Result<Response<v1::ListRunsResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let query = ListRuns {
            namespace,
            filter: self.filter(&asked.filter)?,
            limit: page_size(asked.page_size)?,
            cursor: some(asked.page_token),
        };
        let prefix = some(asked.run_id_prefix);
        if prefix.is_some() && (!query.filter.terms.is_empty() || query.cursor.is_some()) {
            return Err(wrong("run_id_prefix", "stands alone: no filter and no page_token"));
        }
        let page = self.inbound.views.list(ListRequest { query, prefix }).await.map_err(|error| status(&error))?;
        Ok(Response::new(changes::page_out(&page)))
    }

    async fn count_runs(
        &self,
        request: Request<v1::CountRunsRequest>,
    ) -> Result<Response<v1::CountRunsResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let filter = self.filter(&request.get_ref().filter)?;
        let counts = self.inbound.views.count(&namespace, &filter).await.map_err(|error| status(&error))?;
        Ok(Response::new(counts_out(&counts)))
    }

    type WatchRunsStream = Answer<v1::WatchRunsResponse>;

    async fn watch_runs(
        &self,
        request: Request<v1::WatchRunsRequest>,
    ) -> Result<Response<Self::WatchRunsStream>, Status> {
        let closing = Closing::of(&self.closing, &request);
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let query = ListRuns { namespace, filter: self.filter(&asked.filter)?, ..ListRuns::default() };
        changes::stream(&self.inbound, query, asked.include_existing, closing).await.map(Response::new)
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

    type WatchRunStream = Answer<v1::WatchRunResponse>;

    async fn watch_run(&self, request: Request<v1::WatchRunRequest>) -> Result<Response<Self::WatchRunStream>, Status> {
        let closing = Closing::of(&self.closing, &request);
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let run = run_id(&asked.run_id)?;
        let from = asked.from_seq.max(1);
        watch::stream(self.inbound.views.clone(), namespace, run, from, closing).await.map(Response::new)
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
        let command = match work(request.get_ref().work)? {
            Work::Finish => Command::Pause,
            work => Command::PauseWork { work },
        };
        let unchanged = self.command(ordered!(request), command).await?;
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

    async fn raise_budget(
        &self,
        request: Request<v1::RaiseBudgetRequest>,
    ) -> Result<Response<v1::RaiseBudgetResponse>, Status> {
        let asked = request.get_ref();
        let add = Amounts {
            money: asked.add_money_micros,
            tokens: asked.add_tokens,
            calls: asked.add_calls,
            time: asked.add_time_micros,
        };
        self.command(ordered!(request), Command::RaiseBudget { add }).await?;
        Ok(Response::new(v1::RaiseBudgetResponse {}))
    }

    async fn fork_run(&self, request: Request<v1::ForkRunRequest>) -> Result<Response<v1::ForkRunResponse>, Status> {
        start::fork(&self.inbound, request).await.map(Response::new)
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

    async fn patch_run(&self, request: Request<v1::PatchRunRequest>) -> Result<Response<v1::PatchRunResponse>, Status> {
        patch::patch(&*self.inbound.runs, request).await.map(Response::new)
    }

    async fn get_run_data(
        &self,
        request: Request<v1::GetRunDataRequest>,
    ) -> Result<Response<v1::GetRunDataResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let run = run_id(&asked.run_id)?;
        let view = self.view(&namespace, run).await?;
        let data = if asked.step.is_empty() {
            let too_large = || Status::failed_precondition("the data is too large for an answer: get outputs of steps");
            data::of_run(&*self.inbound.values, &namespace, &view).await?.ok_or_else(too_large)?
        } else {
            let step = view.step(artifacts::find_step(&view, &asked.step)?);
            let none = || Status::failed_precondition(format!("step {} has no output yet", asked.step));
            data::value(&*self.inbound.values, &namespace, run, step.output.ok_or_else(none)?).await?
        };
        Ok(Response::new(v1::GetRunDataResponse { data_json: data.as_str().to_owned(), last_seq: view.seq() }))
    }

    async fn list_artifacts(
        &self,
        request: Request<v1::ListArtifactsRequest>,
    ) -> Result<Response<v1::ListArtifactsResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let view = self.view(&namespace, run_id(&asked.run_id)?).await?;
        artifacts::list(&view, &asked).map(Response::new)
    }

    type DownloadArtifactStream = Answer<v1::DownloadArtifactResponse>;

    async fn download_artifact(
        &self,
        request: Request<v1::DownloadArtifactRequest>,
    ) -> Result<Response<Self::DownloadArtifactStream>, Status> {
        let closing = Closing::of(&self.closing, &request);
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let run = run_id(&asked.run_id)?;
        let view = self.view(&namespace, run).await?;
        let artifact = artifacts::choose(&view, &asked)?;
        let place = (&namespace, run);
        artifacts::download(&self.inbound, place, artifact, asked.offset_bytes, closing).await.map(Response::new)
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
        let content = self.inbound.values.payload(&namespace, run, at).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::GetPayloadResponse { content }))
    }
}
