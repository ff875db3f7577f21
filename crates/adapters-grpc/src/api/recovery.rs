//! `tutti.v1.RecoveryService` over the inbound ports, and the client's side of it.

use tonic::{Request, Response, Status};
use tutti_api::v1::recovery_service_client::RecoveryServiceClient;
use tutti_api::v1::recovery_service_server::RecoveryService;
use tutti_api::v1::rollback_run_request::To;
use tutti_api::{MAX_MESSAGE_BYTES, v1};
use tutti_core::report::{Concerned, WayBack};
use tutti_core::run::{Command, Point, Verdict};
use tutti_core::value::{Json, Payload};

use super::Inbound;
use super::caller::namespace;
use super::client::{ApiClient, ApiError, Asked, timed};
use super::connect::Link;
use super::convert::moment;
use super::errors::{page_size, parsed, run_id, status, wrong};
use super::ordered::{Ordered, ordered};

/// Points on a page if nothing else is asked for.
const PAGE: usize = 50;

/// The service of one server.
pub(super) struct RecoveryApi {
    pub(super) inbound: Inbound,
}

impl RecoveryApi {
    async fn command(&self, ordered: Ordered, command: Command) -> Result<(), Status> {
        ordered.apply(&*self.inbound.runs, command).await.map(drop)
    }
}

#[tonic::async_trait]
impl RecoveryService for RecoveryApi {
    async fn checkpoint_run(
        &self,
        request: Request<v1::CheckpointRunRequest>,
    ) -> Result<Response<v1::CheckpointRunResponse>, Status> {
        let ordered = ordered!(request);
        let name = request.into_inner().name;
        self.command(ordered, Command::Checkpoint { name }).await?;
        Ok(Response::new(v1::CheckpointRunResponse {}))
    }

    async fn list_checkpoints(
        &self,
        request: Request<v1::ListCheckpointsRequest>,
    ) -> Result<Response<v1::ListCheckpointsResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let before: u64 = match asked.page_token.as_str() {
            "" => u64::MAX,
            token => parsed("page_token", token, "was not given out by this server")?,
        };
        let size = match page_size(asked.page_size)? {
            0 => PAGE,
            size => size,
        };
        let view = self.inbound.views.get(&namespace, run_id(&asked.run_id)?).await.map_err(|error| status(&error))?;
        let mut ways = view.ways_back();
        ways.retain(|way| way.checkpoint.seq < before);
        let more = ways.len() > size;
        ways.truncate(size);
        let next = ways.last().filter(|_| more).map(|way| way.checkpoint.seq.to_string());
        Ok(Response::new(v1::ListCheckpointsResponse {
            checkpoints: ways.iter().map(way_out).collect(),
            next_page_token: next.unwrap_or_default(),
            last_seq: view.seq(),
        }))
    }

    async fn rollback_run(
        &self,
        request: Request<v1::RollbackRunRequest>,
    ) -> Result<Response<v1::RollbackRunResponse>, Status> {
        let ordered = ordered!(request);
        let asked = request.into_inner();
        let to = match asked.to {
            Some(To::Seq(seq)) => Point::Seq(seq),
            Some(To::Checkpoint(name)) => Point::Checkpoint(name),
            None => return Err(wrong("to", "is required: the number of an event, or the name of a checkpoint")),
        };
        self.command(ordered, Command::Rollback { to, compensate: !asked.no_compensate }).await?;
        Ok(Response::new(v1::RollbackRunResponse {}))
    }

    async fn decide_step(
        &self,
        request: Request<v1::DecideStepRequest>,
    ) -> Result<Response<v1::DecideStepResponse>, Status> {
        let ordered = ordered!(request);
        let asked = request.into_inner();
        let verdict = verdict(asked.verdict)?;
        let output = match asked.output_json {
            text if text.is_empty() => None,
            _ if verdict != Verdict::Done => return Err(wrong("output_json", "stands with VERDICT_DONE alone")),
            text => {
                let output = Json::parse(text).map_err(|error| wrong("output_json", error.to_string()))?;
                Some(Payload::Inline(output))
            }
        };
        self.command(ordered, Command::Decide { step: asked.step, verdict, output }).await?;
        Ok(Response::new(v1::DecideStepResponse {}))
    }
}

impl ApiClient {
    pub(super) async fn checkpoint(&self, asked: Asked, name: String) -> Result<(), ApiError> {
        let Asked { namespace, run_id, request_id, reason, requested_by } = asked;
        let request = v1::CheckpointRunRequest { namespace, run_id, request_id, reason, requested_by, name };
        self.recovery_service().checkpoint_run(timed(request)).await?;
        Ok(())
    }

    pub(super) async fn roll_back(&self, asked: Asked, to: Point, compensate: bool) -> Result<(), ApiError> {
        let Asked { namespace, run_id, request_id, reason, requested_by } = asked;
        let to = Some(match to {
            Point::Seq(seq) => To::Seq(seq),
            Point::Checkpoint(name) => To::Checkpoint(name),
        });
        let no_compensate = !compensate;
        let request = v1::RollbackRunRequest { namespace, run_id, request_id, reason, requested_by, to, no_compensate };
        self.recovery_service().rollback_run(timed(request)).await?;
        Ok(())
    }

    pub(super) async fn decide(
        &self,
        asked: Asked,
        step: String,
        verdict: Verdict,
        output: Option<String>,
    ) -> Result<(), ApiError> {
        let Asked { namespace, run_id, request_id, reason, requested_by } = asked;
        let (verdict, output_json) = (verdict_out(verdict).into(), output.unwrap_or_default());
        let request =
            v1::DecideStepRequest { namespace, run_id, request_id, reason, requested_by, step, verdict, output_json };
        self.recovery_service().decide_step(timed(request)).await?;
        Ok(())
    }

    fn recovery_service(&self) -> RecoveryServiceClient<Link> {
        RecoveryServiceClient::new(self.link.clone()).max_encoding_message_size(MAX_MESSAGE_BYTES)
    }
}

fn way_out(way: &WayBack) -> v1::Checkpoint {
    let names = |steps: &Concerned| steps.steps.iter().map(ToString::to_string).collect();
    v1::Checkpoint {
        name: way.checkpoint.name.clone(),
        seq: way.checkpoint.seq,
        time: Some(moment(way.checkpoint.at)),
        undone_steps: names(&way.undone),
        undone_count: way.undone.count,
        dropped_steps: names(&way.dropped),
        dropped_count: way.dropped.count,
    }
}

/// The field `verdict` of a request.
fn verdict(number: i32) -> Result<Verdict, Status> {
    match v1::Verdict::try_from(number) {
        Ok(v1::Verdict::Unspecified) => Err(wrong("verdict", "is required")),
        Ok(v1::Verdict::Retry) => Ok(Verdict::Retry),
        Ok(v1::Verdict::Done) => Ok(Verdict::Done),
        Ok(v1::Verdict::Skip) => Ok(Verdict::Skip),
        Ok(v1::Verdict::Fail) => Ok(Verdict::Fail),
        Ok(v1::Verdict::Ask) => Ok(Verdict::Ask),
        Err(_) => Err(wrong("verdict", "is not a verdict that this server knows")),
    }
}

pub(super) const fn verdict_out(verdict: Verdict) -> v1::Verdict {
    match verdict {
        Verdict::Retry => v1::Verdict::Retry,
        Verdict::Done => v1::Verdict::Done,
        Verdict::Skip => v1::Verdict::Skip,
        Verdict::Fail => v1::Verdict::Fail,
        Verdict::Ask => v1::Verdict::Ask,
    }
}
