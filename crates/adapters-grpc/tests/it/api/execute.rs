//! A request in; plan, tasks, progress, artifacts and the result out.

use serde_json::{Value, json};
use tonic::Code;
use tutti_api::v1;
use tutti_api::v1::execute_stream_response::Event;
use tutti_api::v1::monitor_service_client::MonitorServiceClient;
use tutti_api::v1::{ExecuteStreamRequest, ExecuteStreamResponse, ProgressState};
use tutti_core::ids::Namespace;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbound::workflows::RegisterWorkflow;
use tutti_core::ports::query::RunQuery as _;

use super::world::{DIAMOND, LARGE, WORK, World, fields, request_id, soon};

fn request(query: &str, inputs: &Value) -> ExecuteStreamRequest {
    ExecuteStreamRequest {
        request_id: request_id().to_string(),
        query: query.to_owned(),
        inputs_json: inputs.to_string(),
        ..ExecuteStreamRequest::default()
    }
}

async fn all(world: &World, request: ExecuteStreamRequest) -> Vec<ExecuteStreamResponse> {
    let mut stream = world.client.execute(request).await.unwrap();
    let mut told = Vec::new();
    while let Some(message) = soon(stream.next()).await.unwrap() {
        told.push(message);
    }
    told
}

/// An event in a few words.
fn words(message: &ExecuteStreamResponse) -> String {
    match message.event.as_ref().unwrap() {
        Event::Phase(phase) => format!("phase {}", phase.phase),
        Event::Planning(plan) => format!("planning {} {}", plan.workflow, plan.total_levels),
        Event::TaskStart(task) => format!("start {}", task.task_id),
        Event::Progress(progress) => {
            format!("{:?} {} {}%", progress.state(), progress.task_id, progress.progress_percentage)
        }
        Event::Artifact(artifact) => format!("artifact {}", artifact.artifact.as_ref().unwrap().artifact_id),
        Event::TaskComplete(task) => format!("complete {}", task.task_id),
        Event::TaskFailed(task) => format!("failed {}", task.task_id),
        Event::NodeComplete(node) => format!("node {} -> {}", node.node_id, node.released.join(",")),
        Event::LevelComplete(level) => format!("level {} {}", level.level, level.completed_steps),
        Event::Result(_) => "result".to_owned(),
        Event::Failed(failed) => format!("{:?} {}", failed.state(), failed.step),
        Event::Heartbeat(_) => "heartbeat".to_owned(),
    }
}

fn result(message: &ExecuteStreamResponse) -> Value {
    let Some(Event::Result(result)) = &message.event else { panic!("{message:?}") };
    serde_json::from_str(result.data_json.as_ref().unwrap()).unwrap()
}

#[tokio::test]
async fn everything_that_happens_is_told_in_order_to_the_result() {
    let world = World::start().await;
    let told = all(&world, request(DIAMOND, &json!({}))).await;
    let said: Vec<String> = told.iter().map(words).collect();
    assert_eq!(said[0], "planning diamond 3");
    let of_a: Vec<&str> = said[1..].iter().take_while(|word| *word != "start b").map(String::as_str).collect();
    let expected = [
        "start a",
        "artifact 1",
        "artifact 2",
        "artifact 3",
        "complete a",
        "node a -> b,c",
        "level 0 1",
        "Advanced a 25%",
    ];
    assert_eq!(of_a, expected);
    let count = |start: &str| said.iter().filter(|word| word.starts_with(start)).count();
    assert_eq!((count("start "), count("complete "), count("node "), count("level ")), (4, 4, 4, 3));
    assert!(said.contains(&"level 1 2".to_owned()) && said.contains(&"node d -> ".to_owned()));
    assert_eq!(said.last().unwrap(), "result");
    assert_eq!(result(told.last().unwrap()), json!({"a": 1, "b": 1, "c": 1, "d": 1}));

    let Some(Event::Planning(plan)) = &told[0].event else { unreachable!() };
    assert!(plan.duration_seconds.is_some() && plan.reason == "requested");
    let Some(Event::TaskComplete(task)) = &told[5].event else { panic!("{:?}", told[5]) };
    assert_eq!((task.agent.as_str(), task.attempt, task.quality_score), ("worker", 1, None));
    let contents: Vec<_> = told
        .iter()
        .filter_map(|message| match &message.event {
            Some(Event::Artifact(artifact)) => {
                Some((artifact.artifact.as_ref().unwrap().size_bytes, artifact.content.as_ref().map(|c| c.to_vec())))
            }
            _ => None,
        })
        .collect();
    assert_eq!(contents, [(LARGE as u64, None), (3, Some(vec![1, 2, 3])), (1, Some(vec![4]))]);
}

#[tokio::test]
async fn the_same_request_goes_on_at_any_message() {
    let world = World::start().await;
    let asked = request(DIAMOND, &json!({}));
    let told = all(&world, asked.clone()).await;
    assert!(told.windows(2).all(|pair| (pair[0].seq, pair[0].part) < (pair[1].seq, pair[1].part)));
    let events = told.last().unwrap().seq;
    assert!((1..=events).all(|seq| told.iter().any(|message| message.seq == seq)), "something is told of each");
    for (n, last) in told.iter().enumerate() {
        let from = ExecuteStreamRequest { from_seq: last.seq, from_part: last.part + 1, ..asked.clone() };
        assert_eq!(all(&world, from).await, told[n + 1..]);
    }
    let beyond = ExecuteStreamRequest { from_seq: events + 2, ..asked };
    let mut service = MonitorServiceClient::new(world.channel().await);
    assert_eq!(service.execute_stream(beyond).await.unwrap_err().code(), Code::OutOfRange);
}

#[tokio::test]
async fn a_query_names_a_registered_workflow_and_a_task_is_done_once() {
    let world = World::start().await;
    let register = RegisterWorkflow {
        namespace: Namespace::default(),
        request: request_id(),
        text: WORK.to_owned(),
        by: String::new(),
    };
    world.client.register_workflow(register).await.unwrap();
    let asked = |query: &str| ExecuteStreamRequest {
        task_id: "task-1".into(),
        session_id: "s-1".into(),
        ..request(query, &json!({"do": "hold", "n": 9}))
    };
    let mut first = world.client.execute(asked("work@1.2")).await.unwrap();
    let run = first.next().await.unwrap().unwrap().run_id;
    let summary = world.client.find(&Namespace::default(), run.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((summary.session.unwrap().as_str(), summary.key.unwrap().as_str()), ("s-1", "task-1"));
    // Another request for the task follows the run that is under way.
    let mut second = world.client.execute(asked("work")).await.unwrap();
    let begin = second.next().await.unwrap().unwrap();
    let Some(Event::Planning(plan)) = &begin.event else { panic!("{begin:?}") };
    assert_eq!((begin.run_id, plan.duration_seconds), (run, None));
    world.release();
    let mut last = None;
    while let Some(message) = soon(second.next()).await.unwrap() {
        last = Some(message);
    }
    assert_eq!(result(&last.unwrap())["n"], 9);
    let mut service = MonitorServiceClient::new(world.channel().await);
    assert_eq!(service.execute_stream(asked("work")).await.unwrap_err().code(), Code::AlreadyExists);
}

#[tokio::test]
async fn questions_and_failures_are_told() {
    let world = World::start().await;
    let mut stream = world.client.execute(request(WORK, &json!({"do": "ask"}))).await.unwrap();
    let question = async {
        loop {
            let message = stream.next().await.unwrap().unwrap();
            if let Some(Event::Progress(progress)) = message.event
                && progress.state() == ProgressState::Waiting
            {
                break progress;
            }
        }
    };
    let question = soon(question).await;
    assert_eq!((question.task_id.as_str(), question.message.as_str()), ("first", "which city?"));

    let told = all(&world, request(WORK, &json!({"do": "fail"}))).await;
    let said: Vec<String> = told.iter().map(words).collect();
    assert_eq!(&said[..2], ["planning work 1", "start first"]);
    assert!(
        said.contains(&"failed first".to_owned()) && said.contains(&"AttemptFailed first 0%".to_owned()),
        "{said:?}"
    );
    assert_eq!(said.last().unwrap(), "Failed first");
    let Some(Event::Failed(failed)) = &told.last().unwrap().event else { unreachable!() };
    assert!(failed.error.contains("the grapes are sour"), "{failed:?}");
}

#[tokio::test]
async fn a_request_that_is_wrong_names_the_field() {
    let world = World::start().await;
    let mut service = MonitorServiceClient::new(world.channel().await);
    let good = request(WORK, &json!({}));
    type Change = fn(&mut ExecuteStreamRequest);
    let changes: [(&str, Change); 7] = [
        ("request_id", |request| request.request_id.clear()),
        ("query", |request| request.query = " ".into()),
        ("query", |request| request.query = "what is the weather like?".into()),
        ("query.steps", |request| request.query = "{\"id\": \"x\"}".into()),
        ("task_id", |request| request.task_id = "a b".into()),
        ("session_id", |request| request.session_id = "a b".into()),
        ("inputs_json.z", |request| request.inputs_json = "{\"z\": 1}".into()),
    ];
    for (field, change) in changes {
        let mut request = good.clone();
        change(&mut request);
        let refused = service.execute_stream(request).await.unwrap_err();
        assert!(fields(&refused)[0].starts_with(field), "{field}: {refused:?}");
    }
    let nowhere = v1::ExecuteStreamRequest { query: "nowhere@1".into(), ..good };
    assert_eq!(service.execute_stream(nowhere).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_server_that_does_not_offer_it_says_so_and_starts_nothing() {
    let world = World::with(|api| api.execute_stream(false)).await;
    let mut service = MonitorServiceClient::new(world.channel().await);
    let refused = service.execute_stream(request(WORK, &json!({}))).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("server.execute_stream"), "{refused:?}");
    let runs = world.client.count(&Namespace::default(), &RunFilter::default()).await.unwrap();
    assert!(runs.is_empty(), "{runs:?}");
}
