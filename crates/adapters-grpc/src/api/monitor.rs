//! `tutti.v1.MonitorService` over the inbound ports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tutti_api::v1;
use tutti_api::v1::monitor_service_server::MonitorService;
use tutti_core::limits::MAX_VALUE_BYTES;
use tutti_core::ports::inbound::health::{FleetHealth, Lease, ServerHealth};
use tutti_core::report::{Monitor, OutputReport, RunView, step_outputs};
use tutti_core::time::Timestamp;

use super::caller::namespace;
use super::convert::{executor_out, moment, state_out};
use super::errors::{run_id, status};
use super::explain::explanation_out;
use super::outbox::{Answer, Closing};
use super::{Inbound, execute};

/// The service of one server.
pub(super) struct MonitorApi {
    pub(super) inbound: Inbound,
    /// Ends streams.
    pub(super) closing: CancellationToken,
    pub(super) execute_stream: ExecuteStreamSwitch,
}

/// Whether `ExecuteStream` is offered; set before the server is served, when its services are made already.
#[derive(Debug, Clone)]
pub(super) struct ExecuteStreamSwitch(Arc<AtomicBool>);

impl Default for ExecuteStreamSwitch {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl ExecuteStreamSwitch {
    pub(super) fn set(&self, offered: bool) {
        self.0.store(offered, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), Status> {
        let off = "ExecuteStream is switched off at this server (server.execute_stream): use RunService.StartRun and WatchRun";
        if self.0.load(Ordering::Relaxed) { Ok(()) } else { Err(Status::failed_precondition(off)) }
    }
}

#[tonic::async_trait]
impl MonitorService for MonitorApi {
    async fn get_run_monitor(
        &self,
        request: Request<v1::GetRunMonitorRequest>,
    ) -> Result<Response<v1::GetRunMonitorResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let run = run_id(&asked.run_id)?;
        let view = self.inbound.views.get(&namespace, run).await.map_err(|error| status(&error))?;
        let mut monitor = monitor_out(&view, self.inbound.clock.now());
        if asked.include_step_outputs {
            monitor.step_outputs = outputs(&view)?;
        }
        Ok(Response::new(monitor))
    }

    async fn explain_run(
        &self,
        request: Request<v1::ExplainRunRequest>,
    ) -> Result<Response<v1::ExplainRunResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let step = Some(asked.step.as_str()).filter(|step| !step.is_empty());
        let explained = self.inbound.views.explain(&namespace, run_id(&asked.run_id)?, step).await;
        Ok(Response::new(explanation_out(explained.map_err(|error| status(&error))?)))
    }

    async fn get_server_health(
        &self,
        _: Request<v1::GetServerHealthRequest>,
    ) -> Result<Response<v1::GetServerHealthResponse>, Status> {
        Ok(Response::new(health_out(&self.inbound.health.health())))
    }

    type ExecuteStreamStream = Answer<v1::ExecuteStreamResponse>;

    async fn execute_stream(
        &self,
        request: Request<v1::ExecuteStreamRequest>,
    ) -> Result<Response<Self::ExecuteStreamStream>, Status> {
        self.execute_stream.check()?;
        let closing = Closing::of(&self.closing, &request);
        execute::stream(&self.inbound, closing, request).await.map(Response::new)
    }
}

fn monitor_out(view: &RunView, now: Timestamp) -> v1::GetRunMonitorResponse {
    let monitor = Monitor::new(view, now);
    let metrics = monitor.performance_metrics;
    v1::GetRunMonitorResponse {
        run_id: view.run().map(|run| run.to_string()).unwrap_or_default(),
        status: state_out(monitor.status).into(),
        progress_percentage: monitor.progress_percentage,
        total_steps: monitor.total_steps,
        completed_steps: monitor.completed_steps,
        failed_steps: monitor.failed_steps,
        skipped_steps: monitor.skipped_steps,
        estimated_completion_seconds: monitor.estimated_completion_seconds,
        current_step: monitor.current_step.map(|step| step.to_string()).unwrap_or_default(),
        current_steps: monitor.current_steps.iter().map(ToString::to_string).collect(),
        started_at: view.started_at().map(moment),
        elapsed_seconds: monitor.elapsed_seconds,
        error: monitor.error.unwrap_or_default(),
        performance_metrics: Some(v1::PerformanceMetrics {
            attempts: metrics.attempts,
            retries: metrics.retries,
            in_flight: metrics.in_flight,
            peak_in_flight: metrics.peak_in_flight,
            average_step_seconds: metrics.average_step_seconds,
            success_rate: metrics.success_rate,
        }),
        step_outputs: [].into(),
        last_seq: view.seq(),
    }
}

/// The outputs of the completed steps, as far as an answer has room for them.
fn outputs(view: &RunView) -> Result<std::collections::HashMap<String, v1::StepOutput>, Status> {
    use v1::step_output::Output;
    let mut room = MAX_VALUE_BYTES;
    let output = |(step, output)| {
        let output = match output {
            OutputReport::Inline(value) => {
                let text = value.as_str().to_owned();
                let too_large = || Status::failed_precondition("the outputs are too large for an answer: ask by step");
                room = room.checked_sub(text.len()).ok_or_else(too_large)?;
                Output::ValueJson(text)
            }
            OutputReport::Stored { payload } => {
                Output::Payload(v1::PayloadReference { hash: payload.hash.to_string(), length_bytes: payload.len })
            }
        };
        Ok((ToString::to_string(&step), v1::StepOutput { output: Some(output) }))
    };
    step_outputs(view).into_iter().map(output).collect()
}

fn health_out(health: &ServerHealth) -> v1::GetServerHealthResponse {
    v1::GetServerHealthResponse {
        strategy: health.strategy.map_or(v1::Executor::Unspecified, executor_out).into(),
        strategy_decided_at: health.decided_at.map(moment),
        active_tasks: health.active_attempts,
        completed_tasks: health.completed_attempts,
        failed_tasks: health.failed_attempts,
        average_response_seconds: health.average_response.map(|span| span.as_secs_f64()),
        success_rate: health.success_rate(),
        version: health.version.clone(),
        driven_runs: health.driven_runs,
        stalled_runs: health.stalled_runs,
        fleet: health.fleet.as_ref().map(fleet_out),
    }
}

fn fleet_out(fleet: &FleetHealth) -> v1::FleetMembership {
    let lease = match fleet.lease {
        Lease::Held => v1::LeaseState::Held,
        Lease::Lost => v1::LeaseState::Lost,
        Lease::Replaced => v1::LeaseState::Replaced,
    };
    v1::FleetMembership {
        server_id: fleet.server.to_string(),
        held_slots: fleet.slots,
        known_servers: fleet.servers,
        lease: lease.into(),
    }
}
