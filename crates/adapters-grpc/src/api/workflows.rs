//! `tutti.v1.WorkflowService` over the inbound port.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use tutti_api::v1;
use tutti_api::v1::workflow_service_server::WorkflowService;
use tutti_core::ports::inbound::runs::WorkflowSource;
use tutti_core::ports::inbound::workflows::{
    ListWorkflows, PlanDescription, RegisterWorkflow, RegisteredWorkflow, Workflows,
};
use tutti_core::workflow::{Problem, Severity};

use super::caller::{caller, namespace, recorded};
use super::convert::moment;
use super::errors::{page_size, read, read_some, request_id, short, some, status, wrong};
use super::runs::registered;

/// The service of one server.
pub(super) struct WorkflowApi {
    pub(super) workflows: Arc<dyn Workflows>,
}

#[tonic::async_trait]
impl WorkflowService for WorkflowApi {
    async fn register_workflow(
        &self,
        request: Request<v1::RegisterWorkflowRequest>,
    ) -> Result<Response<v1::RegisterWorkflowResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        short("requested_by", &request.get_ref().requested_by)?;
        let by = recorded(&caller(&request), &request.get_ref().requested_by);
        let asked = request.into_inner();
        let request = request_id(&asked.request_id)?;
        let register = RegisterWorkflow { namespace, request, text: text(asked.workflow)?, by };
        let registered = self.workflows.register(register).await.map_err(|error| status(&error))?;
        let existed = registered.existed;
        Ok(Response::new(v1::RegisterWorkflowResponse { workflow: Some(version_out(registered)), existed }))
    }

    async fn get_workflow(
        &self,
        request: Request<v1::GetWorkflowRequest>,
    ) -> Result<Response<v1::GetWorkflowResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let (id, version) = (read("workflow_id", &asked.workflow_id)?, some(asked.version));
        let found = self.workflows.get(&namespace, &id, version.as_deref()).await;
        let (workflow, text) = found.map_err(|error| status(&error))?;
        Ok(Response::new(v1::GetWorkflowResponse { workflow: Some(version_out(workflow)), text }))
    }

    async fn list_workflows(
        &self,
        request: Request<v1::ListWorkflowsRequest>,
    ) -> Result<Response<v1::ListWorkflowsResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let query = ListWorkflows {
            namespace,
            id: read_some("workflow_id", &asked.workflow_id)?,
            all_versions: asked.all_versions,
            limit: page_size(asked.page_size)?,
            cursor: some(asked.page_token),
        };
        let page = self.workflows.list(query).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::ListWorkflowsResponse {
            workflows: page.workflows.into_iter().map(version_out).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    async fn validate_workflow(
        &self,
        request: Request<v1::ValidateWorkflowRequest>,
    ) -> Result<Response<v1::ValidateWorkflowResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let text = text(request.into_inner().workflow)?;
        let problems = self.workflows.validate(&namespace, &text).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::ValidateWorkflowResponse {
            valid: !problems.iter().any(Problem::is_error),
            problems: problems.into_iter().map(problem_out).collect(),
        }))
    }

    async fn plan_workflow(
        &self,
        request: Request<v1::PlanWorkflowRequest>,
    ) -> Result<Response<v1::PlanWorkflowResponse>, Status> {
        use v1::plan_workflow_request::Source;
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let source = match request.into_inner().source {
            Some(Source::Workflow(given)) => WorkflowSource::Text(text(given)?),
            Some(Source::Registered(named)) => registered("registered", named)?,
            Some(Source::Query(query)) => WorkflowSource::Query(query),
            None => return Err(wrong("workflow", "is required: the text of a workflow, or `registered` in its place")),
        };
        let plan = self.workflows.plan(&namespace, &source).await.map_err(|error| status(&error))?;
        let PlanDescription { json, text, mermaid, dot, workflow, planned_by, notes } = plan;
        let plan = v1::PlanWorkflowResponse { plan_json: json, text, mermaid, dot, workflow, planned_by, notes };
        Ok(Response::new(plan))
    }
}

fn text(text: String) -> Result<String, Status> {
    some(text).ok_or_else(|| wrong("workflow", "is required: the text of a workflow"))
}

fn version_out(version: RegisteredWorkflow) -> v1::WorkflowVersion {
    v1::WorkflowVersion {
        workflow_id: version.id.to_string(),
        version: version.version,
        description: version.description,
        definition: version.definition.to_string(),
        total_steps: version.steps,
        registered_at: Some(moment(version.registered_at)),
        registered_by: version.registered_by,
        latest: version.latest,
        name: version.name,
    }
}

fn problem_out(problem: Problem) -> v1::Problem {
    let severity = match problem.severity {
        Severity::Error => v1::Severity::Error,
        Severity::Warning => v1::Severity::Warning,
    };
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    v1::Problem {
        severity: severity.into(),
        line: problem.position.map(|at| number(at.line)).unwrap_or_default(),
        column: problem.position.map(|at| number(at.column)).unwrap_or_default(),
        step: problem.step.unwrap_or_default(),
        field: problem.field,
        reason: problem.reason,
    }
}
