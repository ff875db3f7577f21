//! `tutti.v1.ApprovalService` over the inbound ports.

use tonic::{Request, Response, Status};
use tutti_api::v1;
use tutti_api::v1::approval_service_server::ApprovalService;
use tutti_core::ports::agent::Need;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::runs::CommandRequest;
use tutti_core::ports::inbound::views::ListRequest;
use tutti_core::ports::query::ListRuns;
use tutti_core::report::{Question, RunView};
use tutti_core::run::{Command, Order, asking};
use tutti_core::value::{Json, Payload};

use super::Inbound;
use super::caller::{caller, namespace, recorded};
use super::convert::moment;
use super::errors::{page_size, request_id, required_reason, run_id, short, some, status, wrong};

/// Most runs on a page: each is read whole.
const PAGE: usize = 100;

/// The service of one server.
pub(super) struct ApprovalApi {
    pub(super) inbound: Inbound,
}

#[tonic::async_trait]
impl ApprovalService for ApprovalApi {
    async fn list_approvals(
        &self,
        request: Request<v1::ListApprovalsRequest>,
    ) -> Result<Response<v1::ListApprovalsResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let asked = request.into_inner();
        let filter = RunFilter::parse(&asked.filter, self.inbound.clock.now()).map_err(|why| wrong("filter", why))?;
        let query = ListRuns {
            namespace: namespace.clone(),
            filter: filter.and(asking()),
            limit: page_size(asked.page_size)?.min(PAGE),
            cursor: some(asked.page_token),
        };
        let views = &self.inbound.views;
        let page = views.list(ListRequest { query, prefix: None }).await.map_err(|error| status(&error))?;
        let mut approvals = Vec::new();
        for run in &page.runs {
            match views.get(&namespace, run.run).await {
                Ok(view) => {
                    approvals.extend(view.questions().into_iter().map(|question| question_out(&view, question)));
                }
                // It was removed meanwhile.
                Err(RequestError::NotFound(_)) => {}
                Err(error) => return Err(status(&error)),
            }
        }
        Ok(Response::new(v1::ListApprovalsResponse { approvals, next_page_token: page.next.unwrap_or_default() }))
    }

    async fn decide_approval(
        &self,
        request: Request<v1::DecideApprovalRequest>,
    ) -> Result<Response<v1::DecideApprovalResponse>, Status> {
        let namespace = namespace(&request, &request.get_ref().namespace)?;
        let caller = caller(&request);
        let asked = request.into_inner();
        required_reason(&asked.reason)?;
        short("requested_by", &asked.requested_by)?;
        let by = recorded(&caller, &asked.requested_by);
        let order = Order { by, reason: asked.reason, request: Some(request_id(&asked.request_id)?) };
        let data = some(asked.data_json).map(Json::parse).transpose();
        let data = data.map_err(|error| wrong("data_json", error.to_string()))?;
        let command = Command::Approve { step: asked.step, approved: asked.approved, data };
        let request = CommandRequest { namespace, run: run_id(&asked.run_id)?, command, order };
        self.inbound.runs.command(request).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::DecideApprovalResponse {}))
    }
}

fn question_out(view: &RunView, question: Question) -> v1::Approval {
    let kind = match question.need {
        Need::Approval => v1::ApprovalKind::Approval,
        Need::Signal => v1::ApprovalKind::Signal,
        Need::Input => v1::ApprovalKind::Input,
        Need::Auth => v1::ApprovalKind::Auth,
        Need::Time | Need::Steps => v1::ApprovalKind::Unspecified,
    };
    let (shown_json, stored) = match question.shown {
        Some(Payload::Inline(value)) => (value.as_str().to_owned(), None),
        Some(Payload::Stored(at)) => (String::new(), Some(at)),
        None => (String::new(), None),
    };
    let created = view.created();
    v1::Approval {
        run_id: view.run().map(|run| run.to_string()).unwrap_or_default(),
        workflow: created.map(|created| created.workflow.to_string()).unwrap_or_default(),
        step: question.step.to_string(),
        kind: kind.into(),
        message: question.message,
        shown_json,
        shown_sha256: stored.map(|at| at.hash.to_string()).unwrap_or_default(),
        shown_bytes: stored.map(|at| at.len).unwrap_or_default(),
        form_json: question.form.map(|form| form.to_string()).unwrap_or_default(),
        since: Some(moment(question.since)),
        due: question.due.map(moment),
        overdue_times: question.overdue,
        may_decide: question.by,
        four_eyes: question.four_eyes,
        started_by: created.map(|created| created.origin.by.clone()).unwrap_or_default(),
    }
}
