//! Registered workflows.

use serde_json::json;
use tonic::Code;
use tutti_adapters_grpc::api::ApiError;
use tutti_api::v1;
use tutti_api::v1::workflow_service_client::WorkflowServiceClient;
use tutti_core::ids::{Namespace, WorkflowId};
use tutti_core::ports::inbound::runs::WorkflowSource;
use tutti_core::ports::inbound::workflows::{ListWorkflows, RegisterWorkflow};
use tutti_core::run::RunStatus;
use tutti_core::workflow::Severity;

use super::world::{DIAMOND, WORK, World, fields, request_id, start};
use crate::support::PATIENCE;

const DEFAULT: fn() -> Namespace = Namespace::default;

fn register(text: &str) -> RegisterWorkflow {
    RegisterWorkflow { namespace: DEFAULT(), request: request_id(), text: text.to_owned(), by: "cli:eve".to_owned() }
}

fn work() -> WorkflowId {
    "work".parse().unwrap()
}

#[tokio::test]
async fn a_version_is_registered_once_found_again_and_run() {
    let world = World::start().await;
    let first = world.client.register_workflow(register(WORK)).await.unwrap();
    assert_eq!((first.version.as_str(), first.name.as_str(), first.steps, first.existed), ("1.2", "Work", 1, false));
    assert_eq!((first.registered_by.as_str(), first.latest), ("cli:eve", true));
    assert!(world.client.register_workflow(register(WORK)).await.unwrap().existed);
    let newer = WORK.replace("'1.2'", "'1.3'");
    world.client.register_workflow(register(&newer)).await.unwrap();

    let (found, text) = world.client.workflow(&DEFAULT(), &work(), None).await.unwrap();
    assert_eq!((found.version.as_str(), text.as_str()), ("1.3", newer.as_str()));
    let (found, text) = world.client.workflow(&DEFAULT(), &work(), Some("1.2")).await.unwrap();
    assert_eq!((found.definition, found.latest, text.as_str()), (first.definition, false, WORK));

    let mut request = start("", &json!({"n": 5}));
    request.workflow = WorkflowSource::Registered { id: work(), version: Some("1.2".to_owned()) };
    let ran = world.client.start_and_wait(request, PATIENCE).await.unwrap().run;
    assert_eq!((ran.status, ran.version.as_str(), ran.definition), (RunStatus::Completed, "1.2", first.definition));
}

#[tokio::test]
async fn what_cannot_be_registered_or_found_is_told() {
    let world = World::start().await;
    world.client.register_workflow(register(WORK)).await.unwrap();
    let mut service = WorkflowServiceClient::new(world.channel().await);
    let ask = |text: &str| v1::RegisterWorkflowRequest {
        request_id: request_id().to_string(),
        workflow: text.to_owned(),
        ..v1::RegisterWorkflowRequest::default()
    };
    let other = service.register_workflow(ask(&WORK.replace("Does as", "Does not as"))).await.unwrap_err();
    assert_eq!((other.code(), tutti_a2a::error::info(&other).unwrap().metadata.len()), (Code::AlreadyExists, 2));
    assert_eq!(fields(&service.register_workflow(ask("")).await.unwrap_err()), ["workflow"]);
    let cycle = "id: x\nsteps:\n- {id: a, capability: c, depends_on: [b]}\n- {id: b, capability: c, depends_on: [a]}";
    assert!(fields(&service.register_workflow(ask(cycle)).await.unwrap_err())[0].starts_with("workflow"));
    let nameless = v1::RegisterWorkflowRequest { workflow: WORK.into(), ..v1::RegisterWorkflowRequest::default() };
    assert_eq!(fields(&service.register_workflow(nameless).await.unwrap_err()), ["request_id"]);

    let get = |id: &str, version: &str, namespace: &str| v1::GetWorkflowRequest {
        namespace: namespace.to_owned(),
        workflow_id: id.to_owned(),
        version: version.to_owned(),
    };
    for missing in [get("nowhere", "", ""), get("work", "9", ""), get("work", "", "blue")] {
        assert_eq!(service.get_workflow(missing).await.unwrap_err().code(), Code::NotFound);
    }
    assert_eq!(fields(&service.get_workflow(get("", "", "")).await.unwrap_err()), ["workflow_id"]);
    let token = v1::ListWorkflowsRequest { page_token: "x".into(), ..v1::ListWorkflowsRequest::default() };
    assert_eq!(fields(&service.list_workflows(token).await.unwrap_err()), ["page_token"]);
}

#[tokio::test]
async fn versions_are_listed_by_pages() {
    let world = World::start().await;
    for text in [WORK, &WORK.replace("'1.2'", "'1.3'"), DIAMOND] {
        world.client.register_workflow(register(text)).await.unwrap();
    }
    let list = |all_versions, limit, cursor| ListWorkflows { all_versions, limit, cursor, ..ListWorkflows::default() };
    let latest = world.client.workflows(list(false, 0, None)).await.unwrap();
    let names: Vec<_> = latest.workflows.iter().map(|w| format!("{}@{}", w.id, w.version)).collect();
    assert_eq!((names.as_slice(), latest.next), (&["diamond@1".to_owned(), "work@1.3".to_owned()][..], None));
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let page = world.client.workflows(list(true, 1, cursor)).await.unwrap();
        all.extend(page.workflows.iter().map(|w| format!("{}@{}", w.id, w.version)));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(all, ["diamond@1", "work@1.2", "work@1.3"]);
}

#[tokio::test]
async fn a_file_is_checked_and_planned_without_a_run() {
    let world = World::start().await;
    assert_eq!(world.client.validate_workflow(&DEFAULT(), WORK).await.unwrap(), []);
    let found = world.client.validate_workflow(&DEFAULT(), "id: x\nsteps:\n- {id: a}\n").await.unwrap();
    assert_eq!((found[0].severity, found[0].position.unwrap().line), (Severity::Error, 3), "{found:?}");
    let nobody =
        world.client.validate_workflow(&DEFAULT(), "id: x\nsteps:\n- {id: a, capability: dance}\n").await.unwrap();
    assert_eq!((nobody[0].severity, nobody[0].step.as_deref()), (Severity::Warning, Some("a")));
    assert!(nobody[0].to_string().starts_with("warning: step a: capability: "), "{}", nobody[0]);

    let plan = world.client.plan_workflow(&DEFAULT(), &WorkflowSource::Text(WORK.to_owned())).await.unwrap();
    assert_eq!((plan.text.as_str(), plan.json.as_str()), ("the plan of work", "{}"));
    world.client.register_workflow(register(DIAMOND)).await.unwrap();
    let named = WorkflowSource::Registered { id: "diamond".parse().unwrap(), version: None };
    assert_eq!(world.client.plan_workflow(&DEFAULT(), &named).await.unwrap().text, "the plan of diamond");
    let broken = WorkflowSource::Text("id: x".to_owned());
    assert!(matches!(world.client.plan_workflow(&DEFAULT(), &broken).await, Err(ApiError::Refused(_))));
    let mut service = WorkflowServiceClient::new(world.channel().await);
    assert_eq!(fields(&service.plan_workflow(v1::PlanWorkflowRequest::default()).await.unwrap_err()), ["workflow"]);
    let nothing = v1::ValidateWorkflowRequest::default();
    assert_eq!(fields(&service.validate_workflow(nothing).await.unwrap_err()), ["workflow"]);
}
