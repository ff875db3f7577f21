//! Starting runs, waiting for them, counting them, and their data.

use std::time::Duration;

use serde_json::{Value, json};
use tonic::{Code, Request};
use tutti_adapters_grpc::api::ApiError;
use tutti_api::v1;
use tutti_api::v1::run_service_client::RunServiceClient;
use tutti_api::v1::start_run_request::Source;
use tutti_core::ids::Namespace;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbound::runs::{CommandRequest, KeyConflict, KeyPolicy, KeyReuse, StartOptions};
use tutti_core::ports::query::{ListRuns, RunQuery as _};
use tutti_core::run::{Command, Event, Order, RunStatus};
use tutti_core::time::{Span, Timestamp};
use tutti_core::value::{Digest, Json, Payload};

use super::world::{AT_ONCE, WORK, World, fields, request_id, start};
use crate::support::{PATIENCE, until};

const DEFAULT: fn() -> Namespace = Namespace::default;

fn text(json: &Json) -> Value {
    serde_json::from_str(json.as_str()).unwrap()
}

fn filter(text: &str) -> RunFilter {
    RunFilter::parse(text, Timestamp::from_micros(i64::MAX / 2)).unwrap()
}

pub fn ordered(run: tutti_core::ids::RunId, command: Command) -> CommandRequest {
    let order = Order { request: Some(request_id()), ..Order::new("test".to_owned(), "the test") };
    CommandRequest { namespace: DEFAULT(), run, command, order }
}

#[tokio::test]
async fn a_request_starts_one_run_and_another_content_is_told_by_both_hashes() {
    let world = World::start().await;
    let request = start(WORK, &json!({"n": 1}));
    let first = world.client.start(request.clone()).await.unwrap();
    let again = world.client.start(request.clone()).await.unwrap();
    assert_eq!((first.run, first.existed, again.existed), (again.run, false, true));

    let message = v1::StartRunRequest {
        request_id: request.request.to_string(),
        source: Some(Source::Workflow(WORK.to_owned())),
        inputs_json: "{\"n\":2}".to_owned(),
        ..v1::StartRunRequest::default()
    };
    let mut service = RunServiceClient::new(world.channel().await);
    let refused = service.start_run(message).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    let info = tutti_a2a::error::info(&refused).unwrap();
    assert_eq!(info.reason, tutti_api::ALREADY_EXISTS);
    let hashes = [tutti_api::EXISTING_HASH, tutti_api::GIVEN_HASH].map(|name| info.metadata[name].parse::<Digest>());
    assert!(hashes[0].is_ok() && hashes[1].is_ok() && hashes[0] != hashes[1], "{info:?}");
}

#[tokio::test]
async fn a_key_names_one_run_as_its_policies_say() {
    let world = World::start().await;
    let keyed = |policy: KeyPolicy, inputs: &Value| {
        let mut request = start(WORK, inputs);
        request.options.key = Some(("order/31".parse().unwrap(), policy));
        request
    };
    let conflict = |conflict| KeyPolicy { conflict, ..KeyPolicy::default() };
    let reuse = |reuse| KeyPolicy { reuse, ..KeyPolicy::default() };
    let held = json!({"do": "hold"});
    let first = world.client.start(keyed(KeyPolicy::default(), &held)).await.unwrap().run;
    assert!(matches!(world.client.start(keyed(KeyPolicy::default(), &held)).await, Err(ApiError::Refused(_))));
    let shared = world.client.start(keyed(conflict(KeyConflict::UseExisting), &held)).await.unwrap();
    assert_eq!((shared.run, shared.existed), (first, true));
    let taken = world.client.start(keyed(conflict(KeyConflict::TerminateExisting), &held)).await.unwrap();
    assert_ne!(taken.run, first);
    assert_eq!(world.client.find(&DEFAULT(), first).await.unwrap().unwrap().status, RunStatus::Terminated);

    world.release();
    let ended = || async { world.client.find(&DEFAULT(), taken.run).await.unwrap().unwrap().status.is_ended() };
    until(ended).await;
    for policy in [KeyReuse::RejectDuplicate, KeyReuse::AllowDuplicateFailedOnly] {
        assert!(matches!(world.client.start(keyed(reuse(policy), &held)).await, Err(ApiError::Refused(_))));
    }
    let next = world.client.start(keyed(reuse(KeyReuse::AllowDuplicate), &held)).await.unwrap();
    assert!(!next.existed && next.run != taken.run);
}

#[tokio::test]
async fn what_is_said_of_a_run_is_found_in_lists_and_counts() {
    let world = World::start().await;
    let mut request = start(WORK, &json!({}));
    request.options = StartOptions {
        key: Some(("order/31".parse().unwrap(), KeyPolicy::default())),
        labels: [("team".parse().unwrap(), "billing, \"north\"".to_owned())].into(),
        session: Some("s-17".parse().unwrap()),
        timeout: Some(Span(Duration::from_millis(90_500))),
        by: "cli:eve".to_owned(),
        ..StartOptions::default()
    };
    let (key, labels, session) =
        (request.options.key.clone(), request.options.labels.clone(), request.options.session.clone());
    let run = world.client.start_and_wait(request, PATIENCE).await.unwrap().run.run;
    world.ran(WORK, json!({"do": "fail"})).await;

    let list = |text: &str| ListRuns { filter: filter(text), ..ListRuns::default() };
    for text in
        ["label.team=\"billing, \\\"north\\\"\"", "session:s-17", "key:order/31", "state:completed workflow:work"]
    {
        let page = world.client.list(list(text)).await.unwrap();
        let found = &page.runs[0];
        assert_eq!((page.runs.len(), found.run), (1, run), "{text}");
        assert_eq!(
            (&found.labels, &found.session, &found.key),
            (&labels, &session, &key.as_ref().map(|key| key.0.clone()))
        );
    }
    let counts = world.client.count(&DEFAULT(), &RunFilter::default()).await.unwrap();
    assert_eq!(counts, [(RunStatus::Completed, 1), (RunStatus::Failed, 1)].into());
    assert_eq!(
        world.client.count(&DEFAULT(), &filter("-session:s-17")).await.unwrap(),
        [(RunStatus::Failed, 1)].into()
    );
    assert!(world.client.count(&"blue".parse().unwrap(), &RunFilter::default()).await.unwrap().is_empty());
    let Event::RunCreated(created) = &world.history(run).await[0].event else { panic!("no creation") };
    assert_eq!(
        (created.origin.by.as_str(), created.origin.timeout),
        ("cli:eve", Some(Span(Duration::from_millis(90_500))))
    );
}

#[tokio::test]
async fn a_start_that_is_wrong_names_the_field() {
    let world = World::start().await;
    let mut service = RunServiceClient::new(world.channel().await);
    let good = || v1::StartRunRequest {
        request_id: request_id().to_string(),
        source: Some(Source::Workflow(WORK.to_owned())),
        ..v1::StartRunRequest::default()
    };
    service.start_run(good()).await.unwrap();
    type Change = fn(&mut v1::StartRunRequest);
    let changes: [(&str, Change); 17] = [
        ("request_id", |request| request.request_id.clear()),
        ("namespace", |request| request.namespace = "a b".into()),
        ("workflow", |request| request.source = None),
        ("workflow", |request| request.source = Some(Source::Workflow("id: x\nsteps: 7".into()))),
        ("registered.workflow_id", |request| {
            request.source = Some(Source::Registered(v1::WorkflowReference::default()));
        }),
        ("inputs_json", |request| request.inputs_json = "[".into()),
        ("inputs_json.z", |request| request.inputs_json = "{\"z\":1}".into()),
        ("executor", |request| request.executor = 99),
        ("max_concurrent_tasks", |request| request.max_concurrent_tasks = 1_000_000),
        ("timeout_seconds", |request| request.timeout_seconds = -1.0),
        ("timeout_seconds", |request| request.timeout_seconds = 1e9),
        ("labels.a b", |request| drop(request.labels.insert("a b".into(), String::new()))),
        ("labels.a", |request| drop(request.labels.insert("a".into(), "x".repeat(201)))),
        ("idempotency_key", |request| request.idempotency_key = "a b".into()),
        ("key_reuse_policy", |request| request.key_reuse_policy = 1),
        ("key_conflict_policy", |request| {
            request.idempotency_key = "a".into();
            request.key_conflict_policy = 9;
        }),
        ("session_id", |request| request.session_id = "/".into()),
    ];
    for (field, change) in changes {
        let mut request = good();
        change(&mut request);
        let refused = service.start_run(request).await.unwrap_err();
        assert!(fields(&refused)[0].starts_with(field), "{field}: {refused:?}");
    }
    let registered = v1::WorkflowReference { workflow_id: "nowhere".into(), version: String::new() };
    let request = v1::StartRunRequest { source: Some(Source::Registered(registered)), ..good() };
    assert_eq!(service.start_run(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn who_waits_is_answered_at_the_end_at_a_question_or_when_the_time_is_over() {
    let world = World::start().await;
    let done = world.client.start_and_wait(start(WORK, &json!({"n": 12})), PATIENCE).await.unwrap();
    assert_eq!((done.run.status, done.existed), (RunStatus::Completed, false));
    assert_eq!(text(&done.data.unwrap()), json!({"do": "echo", "n": 12}));
    let asked = world.client.start_and_wait(start(WORK, &json!({"do": "ask"})), PATIENCE).await.unwrap();
    assert_eq!((asked.run.status, asked.data), (RunStatus::Waiting, None));

    let request = start(WORK, &json!({"do": "hold"}));
    let early = world.client.start_and_wait(request.clone(), AT_ONCE).await.unwrap();
    assert!(matches!(early.run.status, RunStatus::Running | RunStatus::Pending), "{early:?}");
    let (later, ()) = tokio::join!(world.client.start_and_wait(request, PATIENCE), async { world.release() });
    let later = later.unwrap();
    assert_eq!((later.run.run, later.run.status, later.existed), (early.run.run, RunStatus::Completed, true));
    assert_eq!(later.last_seq, world.history(later.run.run).await.len() as u64);

    let mut service = RunServiceClient::new(world.channel().await);
    let nothing = v1::StartAndWaitRunRequest::default();
    assert_eq!(fields(&service.start_and_wait_run(nothing).await.unwrap_err()), ["start"]);
    let start = Some(v1::StartRunRequest { request_id: "x".into(), ..v1::StartRunRequest::default() });
    let long = v1::StartAndWaitRunRequest { start, wait_seconds: 241.0 };
    assert_eq!(fields(&service.start_and_wait_run(long).await.unwrap_err()), ["wait_seconds"]);
}

#[tokio::test]
async fn a_run_continues_the_trace_of_its_caller() {
    let world = World::start().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut request = start(WORK, &json!({}));
    request.options.trace_parent = Some(parent.to_owned());
    let run = world.client.start(request).await.unwrap().run;
    let origin = |events: Vec<tutti_core::run::Recorded>| match &events[0].event {
        Event::RunCreated(created) => created.origin.trace_parent.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(origin(world.history(run).await).as_deref(), Some(parent));

    let mut broken = Request::new(v1::StartRunRequest {
        request_id: request_id().to_string(),
        source: Some(Source::Workflow(WORK.to_owned())),
        ..v1::StartRunRequest::default()
    });
    broken.metadata_mut().insert("traceparent", "00-nonsense".parse().unwrap());
    let mut service = RunServiceClient::new(world.channel().await);
    let run = service.start_run(broken).await.unwrap().into_inner().run_id.parse().unwrap();
    assert_eq!(origin(world.history(run).await), None, "it counts as none");
}

#[tokio::test]
async fn the_data_of_a_run_and_of_its_steps_come_in_full() {
    let world = World::start().await;
    let run = world.ran(WORK, json!({"do": "large"})).await;
    let large = json!("x".repeat(20_000));
    let data = world.client.data(&DEFAULT(), run, None).await.unwrap();
    assert_eq!(text(&data)["n"], large);
    let output = world.client.data(&DEFAULT(), run, Some("first")).await.unwrap();
    assert_eq!(text(&output), json!({"n": large}));

    let held = world.run(json!({"do": "hold"})).await;
    assert_eq!(text(&world.client.data(&DEFAULT(), held, None).await.unwrap()), json!({"do": "hold", "n": 1}));
    let mut service = RunServiceClient::new(world.channel().await);
    let ask = |run: &str, step: &str| v1::GetRunDataRequest {
        run_id: run.to_owned(),
        step: step.to_owned(),
        ..v1::GetRunDataRequest::default()
    };
    let held = held.to_string();
    assert_eq!(service.get_run_data(ask(&held, "first")).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(fields(&service.get_run_data(ask(&held, "x")).await.unwrap_err()), ["step"]);
    assert_eq!(fields(&service.get_run_data(ask("x", "")).await.unwrap_err()), ["run_id"]);
    let mut elsewhere = ask(&held, "");
    elsewhere.namespace = "blue".to_owned();
    assert_eq!(service.get_run_data(elsewhere).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn commands_are_applied_and_a_reason_is_demanded() {
    let world = World::start().await;
    let run = world.ran(WORK, json!({"do": "ask"})).await;
    let answer = Payload::Inline(Json::parse("\"Graz\"").unwrap());
    world.client.command(ordered(run, Command::Signal { step: String::new(), answer })).await.unwrap();
    world.history(run).await;
    assert_eq!(text(&world.client.data(&DEFAULT(), run, None).await.unwrap())["said"], "Graz");

    let run = world.run(json!({"do": "hold"})).await;
    let mut service = RunServiceClient::new(world.channel().await);
    let pause = |reason: &str, request: String| v1::PauseRunRequest {
        run_id: run.to_string(),
        request_id: request,
        reason: reason.to_owned(),
        ..v1::PauseRunRequest::default()
    };
    assert_eq!(fields(&service.pause_run(pause(" ", request_id().to_string())).await.unwrap_err()), ["reason"]);
    assert_eq!(fields(&service.pause_run(pause("x", String::new())).await.unwrap_err()), ["request_id"]);
    assert!(!service.pause_run(pause("x", request_id().to_string())).await.unwrap().into_inner().unchanged);
    assert!(service.pause_run(pause("x", request_id().to_string())).await.unwrap().into_inner().unchanged);
    assert!(matches!(world.client.command(ordered(run, Command::Retry)).await, Err(ApiError::Refused(_))));
    world.client.command(ordered(run, Command::Terminate)).await.unwrap();
}

#[tokio::test]
async fn lists_refuse_what_they_cannot_read() {
    let world = World::start().await;
    let mut service = RunServiceClient::new(world.channel().await);
    let list = |change: fn(&mut v1::ListRunsRequest)| {
        let mut request = v1::ListRunsRequest::default();
        change(&mut request);
        request
    };
    for (field, request) in [
        ("filter", list(|request| request.filter = "state:lost".into())),
        ("page_token", list(|request| request.page_token = "x".into())),
        ("page_size", list(|request| request.page_size = 1_001)),
        (
            "run_id_prefix",
            list(|request| {
                request.run_id_prefix = "0".into();
                request.filter = "state:failed".into();
            }),
        ),
    ] {
        assert_eq!(fields(&service.list_runs(request).await.unwrap_err()), [field]);
    }
    let count = v1::CountRunsRequest { filter: "x".into(), ..v1::CountRunsRequest::default() };
    assert_eq!(fields(&service.count_runs(count).await.unwrap_err()), ["filter"]);
}
