//! Registered workflows, and how runs and the server do.

use std::collections::BTreeMap;
use std::time::Duration;

use tutti_api::v1;
use tutti_core::ids::{Namespace, RunId, StepId, WorkflowId};
use tutti_core::ports::inbound::health::{FleetHealth, Lease, ServerHealth};
use tutti_core::ports::inbound::runs::WorkflowSource;
use tutti_core::ports::inbound::workflows::{
    ListWorkflows, PlanDescription, RegisterWorkflow, RegisteredWorkflow, WorkflowPage,
};
use tutti_core::report::{Explanation, Monitor, OutputReport, PerformanceMetrics, rfc3339};
use tutti_core::value::{Json, PayloadRef};
use tutti_core::workflow::{Position, Problem, Severity};

use super::super::convert::{executor, moment_in, state_in};
use super::super::explain::explanation_in;
use super::runs::reference;
use super::streams::ExecuteStream;
use super::{ApiClient, ApiError, named, text, timed, unread};

impl ApiClient {
    /// Registers a version of a workflow.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn register_workflow(&self, register: RegisterWorkflow) -> Result<RegisteredWorkflow, ApiError> {
        let request = v1::RegisterWorkflowRequest {
            namespace: named(&register.namespace),
            request_id: register.request.to_string(),
            workflow: register.text,
            requested_by: register.by,
        };
        let answer = self.workflow_service().register_workflow(timed(request)).await?.into_inner();
        version_in(answer.workflow, answer.existed)
    }

    /// A registered version with its file; without a version the one that was registered last.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn workflow(
        &self,
        namespace: &Namespace,
        id: &WorkflowId,
        version: Option<&str>,
    ) -> Result<(RegisteredWorkflow, String), ApiError> {
        let (workflow_id, version) = (id.to_string(), version.unwrap_or_default().to_owned());
        let request = v1::GetWorkflowRequest { namespace: named(namespace), workflow_id, version };
        let answer = self.workflow_service().get_workflow(timed(request)).await?.into_inner();
        Ok((version_in(answer.workflow, true)?, answer.text))
    }

    /// A page of registered workflows.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn workflows(&self, list: ListWorkflows) -> Result<WorkflowPage, ApiError> {
        let request = v1::ListWorkflowsRequest {
            namespace: named(&list.namespace),
            workflow_id: list.id.map(|id| id.to_string()).unwrap_or_default(),
            all_versions: list.all_versions,
            page_size: u32::try_from(list.limit).unwrap_or(u32::MAX),
            page_token: list.cursor.unwrap_or_default(),
        };
        let answer = self.workflow_service().list_workflows(timed(request)).await?.into_inner();
        let workflows = answer.workflows.into_iter().map(|version| version_in(Some(version), true));
        Ok(WorkflowPage { workflows: workflows.collect::<Result<_, _>>()?, next: text(answer.next_page_token) })
    }

    /// Everything that is wrong or doubtful with a workflow file.
    ///
    /// # Errors
    /// [`ApiError`], but not for what is wrong with the workflow.
    pub async fn validate_workflow(&self, namespace: &Namespace, text: &str) -> Result<Vec<Problem>, ApiError> {
        let request = v1::ValidateWorkflowRequest { namespace: named(namespace), workflow: text.to_owned() };
        let answer = self.workflow_service().validate_workflow(timed(request)).await?.into_inner();
        Ok(answer.problems.into_iter().map(problem_in).collect())
    }

    /// The plan of a workflow in its forms.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn plan_workflow(
        &self,
        namespace: &Namespace,
        workflow: &WorkflowSource,
    ) -> Result<PlanDescription, ApiError> {
        use v1::plan_workflow_request::Source;
        let source = match workflow {
            WorkflowSource::Text(text) => Source::Workflow(text.clone()),
            WorkflowSource::Registered { id, version } => Source::Registered(reference(id, version.clone())),
            WorkflowSource::Query(query) => Source::Query(query.clone()),
        };
        let request = v1::PlanWorkflowRequest { namespace: named(namespace), source: Some(source) };
        let answer = self.workflow_service().plan_workflow(timed(request)).await?.into_inner();
        let v1::PlanWorkflowResponse { plan_json, text, mermaid, dot, workflow, planned_by, notes } = answer;
        Ok(PlanDescription { json: plan_json, text, mermaid, dot, workflow, planned_by, notes })
    }

    /// How far a run is, and the outputs of its completed steps if they are wanted.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn monitor(
        &self,
        namespace: &Namespace,
        run: RunId,
        outputs: bool,
    ) -> Result<(Monitor, BTreeMap<StepId, OutputReport>), ApiError> {
        let (namespace, run_id) = (named(namespace), run.to_string());
        let request = v1::GetRunMonitorRequest { namespace, run_id, include_step_outputs: outputs };
        let mut answer = self.monitor_service().get_run_monitor(timed(request)).await?.into_inner();
        let outputs = std::mem::take(&mut answer.step_outputs).into_iter().map(output_in).collect::<Result<_, _>>()?;
        Ok((monitor_in(answer)?, outputs))
    }

    /// Why a run stands as it does: the step that is named by its path, or those that matter, and the run.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn explain(
        &self,
        namespace: &Namespace,
        run: RunId,
        step: Option<&str>,
    ) -> Result<Explanation, ApiError> {
        let step = step.unwrap_or_default().to_owned();
        let request = v1::ExplainRunRequest { namespace: named(namespace), run_id: run.to_string(), step };
        explanation_in(self.monitor_service().explain_run(timed(request)).await?.into_inner())
    }

    /// How the server is.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn health(&self) -> Result<ServerHealth, ApiError> {
        let request = timed(v1::GetServerHealthRequest {});
        let answer = self.monitor_service().get_server_health(request).await?.into_inner();
        let average = answer.average_response_seconds.map(Duration::try_from_secs_f64);
        Ok(ServerHealth {
            strategy: executor(answer.strategy)?,
            decided_at: moment_in(answer.strategy_decided_at.as_ref()),
            active_attempts: answer.active_tasks,
            completed_attempts: answer.completed_tasks,
            failed_attempts: answer.failed_tasks,
            average_response: average.transpose().map_err(unread)?,
            version: answer.version,
            driven_runs: answer.driven_runs,
            stalled_runs: answer.stalled_runs,
            fleet: fleet_in(answer.fleet)?,
        })
    }

    /// Starts what a request asks for and follows it.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn execute(&self, request: v1::ExecuteStreamRequest) -> Result<ExecuteStream, ApiError> {
        Ok(ExecuteStream::new(self.monitor_service().execute_stream(request).await?.into_inner()))
    }
}

fn version_in(version: Option<v1::WorkflowVersion>, existed: bool) -> Result<RegisteredWorkflow, ApiError> {
    let version = version.ok_or_else(|| unread("no workflow"))?;
    Ok(RegisteredWorkflow {
        id: version.workflow_id.parse().map_err(unread)?,
        version: version.version,
        name: version.name,
        description: version.description,
        definition: version.definition.parse().map_err(unread)?,
        steps: version.total_steps,
        registered_at: moment_in(version.registered_at.as_ref()).ok_or_else(|| unread("a version without a time"))?,
        registered_by: version.registered_by,
        latest: version.latest,
        existed,
    })
}

fn fleet_in(fleet: Option<v1::FleetMembership>) -> Result<Option<FleetHealth>, ApiError> {
    let Some(fleet) = fleet else { return Ok(None) };
    let lease = match v1::LeaseState::try_from(fleet.lease) {
        Ok(v1::LeaseState::Held) => Lease::Held,
        Ok(v1::LeaseState::Lost) => Lease::Lost,
        Ok(v1::LeaseState::Replaced) => Lease::Replaced,
        Ok(v1::LeaseState::Unspecified) | Err(_) => return Err(unread("a lease of an unknown state")),
    };
    let server = fleet.server_id.parse().map_err(unread)?;
    Ok(Some(FleetHealth { server, slots: fleet.held_slots, servers: fleet.known_servers, lease }))
}

fn problem_in(problem: v1::Problem) -> Problem {
    let warning = problem.severity == i32::from(v1::Severity::Warning);
    let severity = if warning { Severity::Warning } else { Severity::Error };
    let position = Position { line: problem.line as usize, column: problem.column as usize };
    let position = Some(position).filter(|position| position.line > 0);
    Problem::found(severity, position, text(problem.step), problem.field, problem.reason)
}

fn monitor_in(answer: v1::GetRunMonitorResponse) -> Result<Monitor, ApiError> {
    let step = |step: String| step.parse::<StepId>().map_err(unread);
    let metrics = answer.performance_metrics.unwrap_or_default();
    Ok(Monitor {
        status: state_in(answer.status).map_err(unread)?.ok_or_else(|| unread("a run without a state"))?,
        progress_percentage: answer.progress_percentage,
        total_steps: answer.total_steps,
        completed_steps: answer.completed_steps,
        failed_steps: answer.failed_steps,
        skipped_steps: answer.skipped_steps,
        estimated_completion_seconds: answer.estimated_completion_seconds,
        current_step: text(answer.current_step).map(step).transpose()?,
        current_steps: answer.current_steps.into_iter().map(step).collect::<Result<_, _>>()?,
        started_at: moment_in(answer.started_at.as_ref()).map(rfc3339),
        elapsed_seconds: answer.elapsed_seconds,
        error: text(answer.error),
        performance_metrics: PerformanceMetrics {
            attempts: metrics.attempts,
            retries: metrics.retries,
            in_flight: metrics.in_flight,
            peak_in_flight: metrics.peak_in_flight,
            average_step_seconds: metrics.average_step_seconds,
            success_rate: metrics.success_rate,
        },
    })
}

fn output_in((step, output): (String, v1::StepOutput)) -> Result<(StepId, OutputReport), ApiError> {
    use v1::step_output::Output;
    let output = match output.output {
        Some(Output::ValueJson(value)) => OutputReport::Inline(Json::parse(value).map_err(unread)?),
        Some(Output::Payload(at)) => {
            let payload = PayloadRef { hash: at.hash.parse().map_err(unread)?, len: at.length_bytes };
            OutputReport::Stored { payload }
        }
        None => return Err(unread("an output that is nothing")),
    };
    Ok((step.parse().map_err(unread)?, output))
}
