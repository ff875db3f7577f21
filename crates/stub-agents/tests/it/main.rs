//! Stub agents over a real connection, with the generated client.

#![expect(clippy::unwrap_used, reason = "what must not fail in a test ends the test")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tutti_a2a::error::{Reason, retry_delay};
use tutti_a2a::task::state_of;
use tutti_a2a::v1::a2a_service_client::A2aServiceClient;
use tutti_a2a::v1::stream_response::Payload;
use tutti_a2a::v1::{self, TaskState, part::Content, send_message_response};
use tutti_a2a::{json as proto, request};
use tutti_stub_agents::{Event, Outcome, StubFile, Stubs, What};

/// Longest that anything may take; only a failing test comes near it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Stubs that serve until the test ends.
struct Served {
    client: A2aServiceClient<Channel>,
    events: Arc<Mutex<Vec<Event>>>,
}

/// One agent with one skill of these rules.
async fn serve(rules: &str) -> Served {
    let file = StubFile::parse(&format!("agents: [{{name: a, skills: {{x.y: {rules}}}}}]"));
    let file = file.unwrap_or_else(|problems| panic!("{problems:?}"));
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = events.clone();
    let listener = Arc::new(move |event: &Event| told.lock().unwrap().push(event.clone()));
    let stubs = Stubs::bind(file, "127.0.0.1", listener).await.unwrap();
    let url = stubs.agents()[0].url();
    tokio::spawn(stubs.run(None, std::future::pending()));
    Served { client: A2aServiceClient::connect(url).await.unwrap(), events }
}

fn message(id: &str, input: &Value) -> v1::SendMessageRequest {
    let data = Content::Data(proto::to_proto(input).unwrap());
    let message = v1::Message {
        message_id: id.into(),
        context_id: id.rsplit_once('/').map_or(id, |(operation, _)| operation).into(),
        role: v1::Role::User.into(),
        parts: vec![v1::Part { content: Some(data), ..Default::default() }],
        ..Default::default()
    };
    v1::SendMessageRequest { message: Some(message), ..Default::default() }
}

impl Served {
    async fn send(&self, request: v1::SendMessageRequest) -> Result<v1::Task, Status> {
        let answer = tokio::time::timeout(PATIENCE, self.client.clone().send_message(request)).await.unwrap()?;
        match answer.into_inner().payload {
            Some(send_message_response::Payload::Task(task)) => Ok(task),
            other => panic!("a task was expected: {other:?}"),
        }
    }

    /// How the calls ended so far.
    fn ends(&self) -> Vec<String> {
        let word = |event: &Event| match &event.what {
            What::Ended { outcome, .. } => Some(outcome.word()),
            What::Called { .. } => None,
        };
        self.events.lock().unwrap().iter().filter_map(word).collect()
    }

    async fn until(&self, what: &str, holds: impl Fn(&[Event]) -> bool) {
        let start = Instant::now();
        while !holds(&self.events.lock().unwrap()) {
            assert!(start.elapsed() < PATIENCE, "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What the status of a task says.
fn words(task: &v1::Task) -> String {
    let message = task.status.as_ref().unwrap().message.as_ref();
    let parts = message.map(|message| message.parts.as_slice()).unwrap_or_default();
    parts.iter().map(|part| if let Some(Content::Text(text)) = &part.content { text.as_str() } else { "?" }).collect()
}

/// The value of an artifact.
fn artifact(task: &v1::Task, name: &str) -> Value {
    let artifact = task.artifacts.iter().find(|artifact| artifact.name == name).unwrap();
    match &artifact.parts[0].content {
        Some(Content::Data(data)) => proto::from_proto(data).unwrap(),
        Some(Content::Text(text)) => text.as_str().into(),
        other => panic!("a value was expected: {other:?}"),
    }
}

#[tokio::test]
async fn the_first_calls_fail_and_then_it_works_and_each_is_told() {
    let stub = serve("[{fail: {kind: unavailable, message: 'not yet, ${input.n}'}, times: 2}, {answer: {n: '${input.n}', call: '${call}'}}]").await;
    let send = async |attempt: u32| stub.send(message(&format!("r/0/s/{attempt}"), &json!({"n": 7}))).await;
    for attempt in 1..=2 {
        let refused = send(attempt).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "not yet, 7"));
    }
    let task = send(3).await.unwrap();
    assert_eq!((state_of(&task), artifact(&task, "result")), (TaskState::Completed, json!({"n": 7, "call": 3})));
    // Sent again it is the same task, and no call.
    assert_eq!(send(3).await.unwrap().id, task.id);
    // Another step has its own two failures.
    assert!(stub.send(message("r/0/t/1", &json!({"n": 1}))).await.is_err());

    let events = stub.events.lock().unwrap();
    assert_eq!(events.len(), 8);
    let last = serde_json::to_value(&events[5]).unwrap();
    assert_eq!((&last["run"], &last["step"], &last["attempt"]), (&json!("r"), &json!("s"), &json!(3)));
    assert_eq!(
        (&last["event"], &last["outcome"], &last["answer"]["n"]),
        (&json!("ended"), &json!("completed"), &json!(7))
    );
}

#[tokio::test]
async fn each_way_to_fail_is_what_a_real_agent_does() {
    for (kind, state) in [
        ("failed", TaskState::Failed),
        ("rejected", TaskState::Rejected),
        ("cancelled", TaskState::Canceled),
        ("empty_answer", TaskState::Completed),
    ] {
        let stub = serve(&format!("{{fail: {{kind: {kind}, message: sour}}}}")).await;
        let task = stub.send(message("m", &json!({}))).await.unwrap();
        let said = if kind == "empty_answer" { "" } else { "sour" };
        assert_eq!((state_of(&task), words(&task).as_str(), task.artifacts.len()), (state, said, 0), "{kind}");
        assert_eq!(stub.ends(), [kind]);
    }
    for (kind, code, reason) in [
        ("unavailable", Code::Unavailable, None),
        ("unauthorized", Code::Unauthenticated, None),
        ("unsupported", Code::InvalidArgument, Some(Reason::ContentTypeNotSupported)),
        ("invalid_input", Code::InvalidArgument, Some(Reason::InvalidParams)),
        ("invalid_answer", Code::Internal, Some(Reason::InvalidAgentResponse)),
    ] {
        let stub = serve(&format!("{{fail: {kind}}}")).await;
        let refused = stub.send(message("m", &json!({}))).await.unwrap_err();
        assert_eq!((refused.code(), Reason::of(&refused)), (code, reason), "{kind}");
        assert_eq!(stub.ends(), [kind]);
    }
    let stub = serve("{fail: {kind: rate_limited, retry_after: 1500ms}}").await;
    let refused = stub.send(message("m", &json!({}))).await.unwrap_err();
    assert_eq!((refused.code(), retry_delay(&refused)), (Code::ResourceExhausted, Some(Duration::from_millis(1500))));
}

#[tokio::test]
async fn a_question_is_asked_and_what_is_replied_is_answered() {
    let stub =
        serve("{input_required: 'to whom, ${input.name}?', answer: {to: '${reply}', from: '${input.name}'}}").await;
    let asked = stub.send(message("r/0/s/1", &json!({"name": "ann"}))).await.unwrap();
    assert_eq!((state_of(&asked), words(&asked).as_str()), (TaskState::InputRequired, "to whom, ann?"));
    let mut reply = message("r/0/s/1/answer-1", &json!({"name": "bob"}));
    let told = reply.message.as_mut().unwrap();
    (told.task_id, told.context_id) = (asked.id, asked.context_id);
    let done = stub.send(reply).await.unwrap();
    assert_eq!(artifact(&done, "result"), json!({"to": {"name": "bob"}, "from": "ann"}));
    assert_eq!(stub.ends(), ["input_required", "completed"]);
    let events = stub.events.lock().unwrap();
    assert_eq!(events[2].called.attempt.as_ref().unwrap().reply, Some(1));
}

#[tokio::test]
async fn a_task_that_hangs_ends_when_it_is_cancelled() {
    let stub = serve("[{action: wait, hang: true}, {answer: 1}]").await;
    let mut request = message("m", &json!({}));
    let action = serde_json::Map::from_iter([(request::ACTION.to_owned(), json!("wait"))]);
    request.metadata = Some(proto::to_struct(&action).unwrap());
    request.configuration = Some(v1::SendMessageConfiguration { return_immediately: true, ..Default::default() });
    let task = stub.send(request).await.unwrap();
    stub.until("the call comes", |events| !events.is_empty()).await;
    assert_eq!(state_of(&stub.send(message("n", &json!({}))).await.unwrap()), TaskState::Completed);
    let cancel = v1::CancelTaskRequest { id: task.id, ..Default::default() };
    stub.client.clone().cancel_task(cancel).await.unwrap();
    let stopped = |event: &Event| matches!(event.what, What::Ended { outcome: Outcome::Stopped, .. });
    stub.until("the call is stopped", |events| events.iter().any(stopped)).await;
    let in_flight = |event: &Event| match event.what {
        What::Called { in_flight, .. } => Some(in_flight),
        What::Ended { .. } => None,
    };
    assert_eq!(stub.events.lock().unwrap().iter().filter_map(in_flight).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn what_happens_meanwhile_is_streamed() {
    let artifacts = "[{name: r.txt, text: 'dear ${input.name}'}, {name: r.json, json: ['${input.name}']}]";
    let stub = serve(&format!("{{delay: 90ms, progress: [one, two], artifacts: {artifacts}, answer: ok}}")).await;
    let start = Instant::now();
    let request = message("m", &json!({"name": "ann"}));
    let mut stream = stub.client.clone().send_streaming_message(request).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while let Some(event) = stream.message().await.unwrap() {
        seen.push(match event.payload.unwrap() {
            Payload::StatusUpdate(update) => {
                let task = v1::Task { status: update.status, ..Default::default() };
                format!("{} {}", state_of(&task).as_str_name(), words(&task))
            }
            Payload::ArtifactUpdate(update) => update.artifact.unwrap().name,
            other => format!("{other:?}").chars().take(4).collect(),
        });
    }
    assert!(start.elapsed() >= Duration::from_millis(90));
    let tail = &seen[seen.len() - 6..];
    let working = |text: &str| format!("TASK_STATE_WORKING {text}");
    assert_eq!(tail, [&working("one"), &working("two"), "r.txt", "r.json", "result", "TASK_STATE_COMPLETED "]);
}

#[tokio::test]
async fn what_the_script_cannot_answer_is_said() {
    let stub = serve("[{when: {n: 1}, answer: '${input.none}'}]").await;
    let task = stub.send(message("a", &json!({"n": 1}))).await.unwrap();
    assert_eq!((state_of(&task), words(&task).as_str()), (TaskState::Failed, "there is no value for ${input.none}"));
    let task = stub.send(message("b", &json!({"n": 2}))).await.unwrap();
    assert_eq!((state_of(&task), words(&task).as_str()), (TaskState::Rejected, "no rule of this stub is for the call"));
}

#[tokio::test]
async fn scores_and_usage_are_told_beside_the_answer_and_what_is_no_number_is_sent_as_such() {
    let rule =
        "{answer: ok, quality: {accuracy: '${input.n}', clarity: null, depth: NaN}, usage: {cost: 0.5, tokens_in: 9}}";
    let stub = serve(rule).await;
    let task = stub.send(message("r/0/s/1", &json!({"n": 0.25}))).await.unwrap();
    let metadata = task.metadata.unwrap();
    let Some(prost_types::value::Kind::StructValue(report)) = &metadata.fields[tutti_a2a::extension::REPORT].kind
    else {
        panic!("{metadata:?}")
    };
    let number = |group: &str, name: &str| {
        let Some(prost_types::value::Kind::StructValue(group)) = &report.fields[group].kind else {
            panic!("{report:?}")
        };
        match group.fields[name].kind {
            Some(prost_types::value::Kind::NumberValue(number)) => Some(number),
            _ => None,
        }
    };
    assert_eq!((number("quality", "accuracy"), number("quality", "clarity")), (Some(0.25), None));
    assert!(number("quality", "depth").unwrap().is_nan());
    assert_eq!((number("usage", "cost"), number("usage", "tokens_in")), (Some(0.5), Some(9.0)));
}

#[test]
fn what_is_told_beside_nothing_is_a_fault_of_the_file() {
    for (rule, place) in [
        ("{hang: true, quality: {accuracy: 1}}", "quality"),
        ("{fail: unavailable, usage: {cost: 1}}", "usage"),
        ("{answer: 1, usage: {cost: -1}}", "usage.cost"),
        ("{answer: 1, quality: {accuracy: '${nothing}'}}", "quality.accuracy"),
    ] {
        let problems = StubFile::parse(&format!("agents: [{{name: a, skills: {{x.y: {rule}}}}}]")).unwrap_err();
        assert!(problems.iter().any(|problem| problem.to_string().contains(place)), "{rule}: {problems:?}");
    }
}
