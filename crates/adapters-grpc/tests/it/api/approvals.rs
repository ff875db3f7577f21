//! What runs ask, listed and decided.

use serde_json::json;
use tonic::Code;
use tonic::transport::Channel;
use tutti_adapters_grpc::api::ApiError;
use tutti_api::v1;
use tutti_api::v1::approval_service_client::ApprovalServiceClient;
use tutti_core::ids::Namespace;
use tutti_core::ports::query::RunQuery as _;
use tutti_core::run::RunStatus;

use super::world::{World, fields, request_id, start};
use crate::support::until;

/// A person is asked while an agent works, so that the run does not wait.
const ASKS: &str = "
id: asks
version: '1'
executor: parallel
inputs: {do: {default: hold}}
steps:
- {id: work, capability: work, input: {do: do}}
- id: check
  approval: {message: 'may it?', by: [ana], four_eyes: true, due: 1h, form: {required: [limit]}}
  input: {of: do}
  output: {data: checked}
";

async fn listed(mut service: ApprovalServiceClient<Channel>) -> Vec<v1::Approval> {
    let list = v1::ListApprovalsRequest { filter: "workflow:asks".to_owned(), ..Default::default() };
    service.list_approvals(list).await.unwrap().into_inner().approvals
}

#[tokio::test]
async fn what_a_run_asks_is_listed_while_it_goes_on_and_decided_once() {
    let world = World::start().await;
    let mut service = ApprovalServiceClient::new(world.channel().await);
    let mut begun = start(ASKS, &json!({}));
    begun.options.by = "eve".to_owned();
    let run = world.client.start(begun).await.unwrap().run;
    until(|| async { !listed(service.clone()).await.is_empty() }).await;
    let summary = world.client.find(&Namespace::default(), run).await.unwrap().unwrap();
    assert_eq!(summary.status, RunStatus::Running);
    let asked = listed(service.clone()).await.remove(0);
    assert_eq!(
        (asked.run_id.clone(), asked.step.as_str(), asked.kind()),
        (run.to_string(), "check", v1::ApprovalKind::Approval)
    );
    assert_eq!((asked.message.as_str(), asked.shown_json.as_str()), ("may it?", r#"{"of":"hold"}"#));
    assert_eq!((asked.may_decide, asked.four_eyes, asked.started_by.as_str()), (vec!["ana".to_owned()], true, "eve"));
    assert!(asked.form_json.contains("limit") && asked.due.is_some() && asked.since.is_some());

    let decide = |by: &str, data: &str| v1::DecideApprovalRequest {
        run_id: run.to_string(),
        request_id: request_id().to_string(),
        reason: "seen".to_owned(),
        requested_by: by.to_owned(),
        approved: true,
        data_json: data.to_owned(),
        ..Default::default()
    };
    let refused = service.decide_approval(decide("ana", "{}")).await.unwrap_err();
    assert_eq!(fields(&refused), ["data_json.limit"]);
    let refused = service.decide_approval(decide("ana", "{")).await.unwrap_err();
    assert_eq!(fields(&refused), ["data_json"]);
    let refused = service.decide_approval(decide("ben", r#"{"limit":5}"#)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let good = decide("ana", r#"{"limit":5}"#);
    for _ in 0..2 {
        service.decide_approval(good.clone()).await.unwrap();
    }
    assert!(listed(service.clone()).await.is_empty());
    world.release();
    until(|| async { world.client.find(&Namespace::default(), run).await.unwrap().unwrap().status.is_ended() }).await;
    let data = world.client.data(&Namespace::default(), run, None).await.unwrap();
    assert!(data.as_str().contains(r#""checked":{"limit":5}"#), "{data:?}");
    let summary = world.client.find(&Namespace::default(), run).await.unwrap().unwrap();
    assert!(summary.labels.is_empty(), "it asks nothing any more");
}

#[tokio::test]
async fn questions_of_agents_stand_in_the_same_list() {
    let world = World::start().await;
    let run = world.ran(super::world::WORK, json!({"do": "ask"})).await;
    let mut service = ApprovalServiceClient::new(world.channel().await);
    let page = service.list_approvals(v1::ListApprovalsRequest::default()).await.unwrap().into_inner();
    let kinds: Vec<_> = page.approvals.iter().map(|asked| (asked.kind(), asked.message.as_str())).collect();
    assert_eq!(kinds, [(v1::ApprovalKind::Input, "which city?")]);
    assert_eq!((page.approvals[0].run_id.clone(), page.next_page_token.as_str()), (run.to_string(), ""));
}

#[tokio::test]
async fn no_label_of_a_run_begins_as_those_of_the_product_do() {
    let world = World::start().await;
    let mut named = start(super::world::WORK, &json!({}));
    named.options.labels = [("tutti.asks".parse().unwrap(), "yes".to_owned())].into();
    let refused = world.client.start(named).await;
    assert!(matches!(&refused, Err(ApiError::Refused(why)) if why.contains("the product's own")), "{refused:?}");
}
