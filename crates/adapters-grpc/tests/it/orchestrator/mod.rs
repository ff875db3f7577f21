//! The server as an A2A agent: with our own client for what an SDK does not ask, with the public SDK, and called by another
//! Tutti.

mod sdk;
mod transport;
mod world;

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::json;
use tonic::{Code, Status};
use tutti_a2a::error::{Reason, violations};
use tutti_a2a::v1::stream_response::Payload;
use tutti_a2a::v1::{self, TaskState, part::Content, send_message_response};
use tutti_adapters_grpc::orchestrator::AgentOptions;
use tutti_core::ids::Namespace;
use tutti_core::ports::inbound::access::Role;
use tutti_core::ports::inbound::runs::{CommandRequest, Runs as _};
use tutti_core::run::{Command, Order};
use tutti_testkit::conformance::transport::WORDS;

use self::world::{HUGE, LARGE, TWO, WORK, World, message, spoken};
use crate::support::until;

fn task(response: tonic::Response<v1::SendMessageResponse>) -> v1::Task {
    match response.into_inner().payload {
        Some(send_message_response::Payload::Task(task)) => task,
        other => panic!("no task: {other:?}"),
    }
}

fn state(task: &v1::Task) -> TaskState {
    tutti_a2a::task::state_of(task)
}

fn reason(error: &Status) -> Option<Reason> {
    Reason::of(error)
}

fn at_once(mut request: v1::SendMessageRequest) -> v1::SendMessageRequest {
    request.configuration =
        Some(v1::SendMessageConfiguration { return_immediately: true, ..v1::SendMessageConfiguration::default() });
    request
}

fn get(id: &str) -> tonic::Request<v1::GetTaskRequest> {
    spoken(v1::GetTaskRequest { id: id.to_owned(), ..v1::GetTaskRequest::default() })
}

fn said(task: &v1::Task) -> String {
    let message = task.status.as_ref().unwrap().message.as_ref();
    let parts = message.map(|message| message.parts.clone()).unwrap_or_default();
    parts
        .into_iter()
        .filter_map(|part| if let Some(Content::Text(text)) = part.content { Some(text) } else { None })
        .collect()
}

fn result(task: &v1::Task) -> serde_json::Value {
    let result = task.artifacts.iter().find(|artifact| artifact.artifact_id == "result").unwrap();
    match result.parts[0].content.as_ref().unwrap() {
        Content::Data(value) => tutti_a2a::json::from_proto(value).unwrap(),
        Content::Text(text) => serde_json::from_str(text).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_runs_a_workflow_and_is_answered_with_what_its_steps_made() {
    let world = World::start(&[WORK, TWO]).await;
    let mut client = world.client().await;
    let done = task(client.send_message(spoken(message("m1", "two", &json!({"query": 7})))).await.unwrap());
    assert_eq!((state(&done), result(&done)), (TaskState::Completed, json!({"answer": {"a": 7, "b": 7}})));
    assert_eq!(done.context_id, done.id, "nobody chose one");
    assert_eq!(done.history[0].message_id, "m1");

    // What only text can carry comes as text, and what is large too.
    let exact = "{\"do\":\"echo\",\"n\":12345678901234567890}";
    let mut request = message("m2", "work", &json!({}));
    request.message.as_mut().unwrap().parts = vec![v1::Part {
        content: Some(Content::Text(exact.to_owned())),
        media_type: "application/json".to_owned(),
        ..v1::Part::default()
    }];
    let done = task(client.send_message(spoken(request)).await.unwrap());
    assert!(
        matches!(&done.artifacts[0].parts[0].content, Some(Content::Text(text)) if text == "{\"n\":12345678901234567890}")
    );

    let failed = task(client.send_message(spoken(message("m3", "work", &json!({"do": "fail"})))).await.unwrap());
    assert_eq!(state(&failed), TaskState::Failed);
    assert!(said(&failed).contains(WORDS), "{failed:?}");
    assert!(failed.artifacts.is_empty());
}

#[tokio::test]
async fn artifacts_come_in_pieces_and_whole() {
    let world = World::start(&[WORK]).await;
    let mut client = world.client().await;
    let request = message("m", "", &json!({"do": "make", "n": 1}));
    let events: Vec<_> = client.send_streaming_message(spoken(request)).await.unwrap().into_inner().collect().await;
    let mut text = String::new();
    let mut pieces = Vec::new();
    let mut states = Vec::new();
    let mut id = String::new();
    for (n, event) in events.into_iter().enumerate() {
        match event.unwrap().payload.unwrap() {
            Payload::Task(task) => {
                assert_eq!(n, 0, "the task comes first, and once");
                id = task.id;
            }
            Payload::ArtifactUpdate(update) => {
                let artifact = update.artifact.unwrap();
                if let Some(Content::Text(piece)) = &artifact.parts[0].content {
                    text.push_str(piece);
                }
                pieces.push((artifact.artifact_id, update.append, update.last_chunk));
            }
            Payload::StatusUpdate(update) => states.push(update.status.unwrap().state()),
            Payload::Message(message) => panic!("{message:?}"),
        }
    }
    assert_eq!(text, "é".repeat(LARGE / 2));
    let report = "first/report.md".to_owned();
    let expected = [
        (report.clone(), false, false),
        (report.clone(), true, false),
        (report, true, true),
        ("first/chart.png".to_owned(), false, true),
        ("result".to_owned(), false, true),
    ];
    assert_eq!(pieces, expected);
    assert_eq!(states.last(), Some(&TaskState::Completed));
    assert!(states[..states.len() - 1].iter().all(|state| *state == TaskState::Working), "{states:?}");

    let whole = client.get_task(get(&id)).await.unwrap().into_inner();
    let names: Vec<_> = whole.artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
    assert_eq!(names, ["report.md", "chart.png", "result"]);
    assert!(matches!(&whole.artifacts[0].parts[0].content, Some(Content::Text(all)) if *all == text));
    assert_eq!(result(&whole), json!({"n": 1}));
}

#[tokio::test]
async fn what_does_not_fit_into_a_message_is_a_link_and_comes_in_a_stream() {
    let world = World::start(&[WORK]).await;
    let mut client = world.client().await;
    let request = message("m", "", &json!({"do": "much", "text": "x".repeat(4 << 20)}));
    let mut stream = client.send_streaming_message(spoken(request)).await.unwrap().into_inner();
    let (mut bytes, mut text, mut id) = (0, String::new(), String::new());
    while let Some(event) = stream.next().await {
        match event.unwrap().payload.unwrap() {
            Payload::Task(task) => id = task.id,
            Payload::ArtifactUpdate(update) => match update.artifact.unwrap().parts.remove(0).content.unwrap() {
                Content::Raw(piece) => bytes += piece.len(),
                Content::Text(piece) => text.push_str(&piece),
                other => panic!("{other:?}"),
            },
            _ => {}
        }
    }
    let made = json!({"text": "x".repeat(4 << 20)});
    assert_eq!((bytes, serde_json::from_str::<serde_json::Value>(&text).unwrap() == made), (2 * HUGE, true));
    let whole = client.get_task(get(&id)).await.unwrap().into_inner();
    let links: Vec<_> = whole.artifacts.iter().map(|artifact| artifact.parts[0].content.as_ref().unwrap()).collect();
    assert!(matches!(links[0], Content::Raw(all) if all.len() == HUGE));
    assert_eq!(links[1], &Content::Url(format!("tutti:runs/{id}/artifacts/first/two.bin")));
    assert!(result(&whole) == made, "what the caller came for is there");
}

#[tokio::test]
async fn a_context_is_a_session() {
    let memo = "{id: memo, share: [n], inputs: {n: {}}, steps: [{id: s, capability: work, input: {n: n, text: {from: \
                session.n, required: false}}, output: {n: n, text: {to: before, optional: true}}}]}";
    let world = World::start(&[memo]).await;
    let mut client = world.client().await;
    for (n, context, expected) in [
        (1, "trip-1", json!({"n": 1})),
        (2, "trip-1", json!({"n": 2, "before": 1})),
        (3, "trip-2", json!({"n": 3})),
        (4, "trip/1", json!({"n": 4})),
    ] {
        let mut request = message(&format!("m{n}"), "", &json!({"n": n}));
        request.message.as_mut().unwrap().context_id = context.to_owned();
        let done = task(client.send_message(spoken(request)).await.unwrap());
        assert_eq!((result(&done), done.context_id.as_str()), (expected, context));
    }
}

#[tokio::test]
async fn an_answer_says_which_question_it_is_for() {
    let both = "{id: both, inputs: {do: {}}, steps: [{id: a, capability: work, input: {do: do}, output: {said: a}}, \
                {id: b, capability: work, input: {do: do}, output: {said: b}}]}";
    let world = World::start(&[both]).await;
    let mut client = world.client().await;
    let asks = task(client.send_message(spoken(message("m", "", &json!({"do": "ask"})))).await.unwrap());
    assert_eq!(said(&asks), format!("a: {WORDS}\nb: {WORDS}"));
    let answer = |id: &str, step: &str| {
        let mut request = message(id, "", &json!(id));
        let message = request.message.as_mut().unwrap();
        message.task_id = asks.id.clone();
        message.metadata = tutti_a2a::json::to_struct(json!({"tutti.step": step}).as_object().unwrap()).ok();
        request
    };
    for unclear in ["", "c"] {
        let error = client.send_message(spoken(answer("x", unclear))).await.unwrap_err();
        assert!(error.message().contains("a, b"), "{error}");
    }
    let next = task(client.send_message(spoken(answer("of b", "b"))).await.unwrap());
    assert_eq!((state(&next), said(&next).as_str()), (TaskState::InputRequired, WORDS));
    // Only one is left.
    let done = task(client.send_message(spoken(answer("of a", ""))).await.unwrap());
    assert_eq!((state(&done), result(&done)), (TaskState::Completed, json!({"a": "of a", "b": "of b"})));
    assert_eq!(done.history.len(), 5);
}

#[tokio::test]
async fn a_message_is_taken_once() {
    let world = World::start(&[WORK]).await;
    let mut client = world.client().await;
    let hold = || at_once(message("m", "", &json!({"do": "hold"})));
    let (first, again) =
        tokio::join!(async { task(world.client().await.send_message(spoken(hold())).await.unwrap()) }, async {
            task(world.client().await.send_message(spoken(hold())).await.unwrap())
        });
    assert_eq!(first.id, again.id);
    world.worker.release();
    let mut followed = client.send_streaming_message(spoken(hold())).await.unwrap().into_inner();
    let Some(Payload::Task(same)) = followed.next().await.unwrap().unwrap().payload else { panic!("no task") };
    assert_eq!(same.id, first.id);
    assert!(followed.all(async |event| event.is_ok()).await);
    assert_eq!(world.worker.started(), 1);

    let other = client.send_message(spoken(message("m", "", &json!({"do": "echo"})))).await.unwrap_err();
    assert_eq!(violations(&other)[0].0, "message.message_id");
    assert_eq!(reason(&other), Some(Reason::InvalidParams));
}

#[tokio::test]
async fn a_question_waits_for_its_answer() {
    let world = World::start(&[WORK]).await;
    let mut client = world.client().await;
    let mut ask = message("m", "", &json!({"do": "ask"}));
    ask.message.as_mut().unwrap().context_id = "travel/1".to_owned();
    let asks = task(client.send_message(spoken(ask)).await.unwrap());
    assert_eq!((state(&asks), said(&asks).as_str()), (TaskState::InputRequired, WORDS));
    assert_eq!(asks.context_id, "travel/1");

    let subscribe = v1::SubscribeToTaskRequest { id: asks.id.clone(), ..v1::SubscribeToTaskRequest::default() };
    let mut watcher = client.subscribe_to_task(spoken(subscribe)).await.unwrap().into_inner();
    assert!(matches!(watcher.next().await, Some(Ok(v1::StreamResponse { payload: Some(Payload::Task(_)) }))));

    let answer = |id: &str, context: &str| {
        let mut request = message(id, "", &json!("Graz"));
        let message = request.message.as_mut().unwrap();
        message.parts[0].content = Some(Content::Text("Graz".to_owned()));
        (message.task_id, message.context_id) = (asks.id.clone(), context.to_owned());
        request
    };
    let wrong = client.send_message(spoken(answer("m2", "elsewhere"))).await.unwrap_err();
    assert_eq!(reason(&wrong), Some(Reason::InvalidParams));
    let done = task(client.send_message(spoken(answer("m2", "travel/1"))).await.unwrap());
    assert_eq!((state(&done), result(&done)), (TaskState::Completed, json!({"said": "Graz"})));
    let ids: Vec<_> = done.history.iter().map(|message| (message.message_id.as_str(), message.role())).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert_eq!((ids[0], ids[1].1, ids[2]), (("m", v1::Role::User), v1::Role::Agent, ("m2", v1::Role::User)));
    // Sent again, it is no second answer; another message is too late.
    assert_eq!(task(client.send_message(spoken(answer("m2", ""))).await.unwrap()).id, done.id);
    let late = client.send_message(spoken(answer("m3", ""))).await.unwrap_err();
    assert_eq!(reason(&late), Some(Reason::UnsupportedOperation));
    // Who subscribed saw it all, to the end.
    let seen: Vec<_> = watcher.collect().await;
    let Some(Payload::StatusUpdate(last)) = &seen.last().unwrap().as_ref().unwrap().payload else { panic!("{seen:?}") };
    assert_eq!(last.status.as_ref().unwrap().state(), TaskState::Completed);

    let auth = task(client.send_message(spoken(message("m4", "", &json!({"do": "authorize"})))).await.unwrap());
    assert_eq!((state(&auth), said(&auth).as_str()), (TaskState::AuthRequired, "log in"));
    for (wanted, count) in [(TaskState::AuthRequired, 1), (TaskState::InputRequired, 0)] {
        let request = v1::ListTasksRequest { status: wanted.into(), ..v1::ListTasksRequest::default() };
        assert_eq!(client.list_tasks(spoken(request)).await.unwrap().into_inner().tasks.len(), count, "{wanted:?}");
    }
}

#[tokio::test]
async fn a_task_that_does_not_wait_takes_no_message_and_is_cancelled_once() {
    let world = World::start(&[WORK]).await;
    let mut client = world.client().await;
    let held = task(client.send_message(spoken(at_once(message("m", "", &json!({"do": "hold"}))))).await.unwrap());
    until(|| async { world.worker.started() == 1 }).await;
    let mut more = message("m2", "", &json!(1));
    more.message.as_mut().unwrap().task_id = held.id.clone();
    assert_eq!(reason(&client.send_message(spoken(more)).await.unwrap_err()), Some(Reason::UnsupportedOperation));

    let cancel = || spoken(v1::CancelTaskRequest { id: held.id.clone(), ..v1::CancelTaskRequest::default() });
    let cancelled = client.cancel_task(cancel()).await.unwrap().into_inner();
    assert_eq!(state(&cancelled), TaskState::Canceled);
    assert!(said(&cancelled).contains("cancelled over A2A"), "{}", said(&cancelled));
    assert_eq!(
        state(&client.cancel_task(cancel()).await.unwrap().into_inner()),
        TaskState::Canceled,
        "as often as you like"
    );
    let subscribe = v1::SubscribeToTaskRequest { id: held.id.clone(), ..v1::SubscribeToTaskRequest::default() };
    let over = client.subscribe_to_task(spoken(subscribe)).await.unwrap_err();
    assert_eq!(reason(&over), Some(Reason::UnsupportedOperation));
    let done = task(client.send_message(spoken(message("m3", "", &json!({"do": "echo", "n": 1})))).await.unwrap());
    let request = v1::CancelTaskRequest { id: done.id, ..v1::CancelTaskRequest::default() };
    assert_eq!(reason(&client.cancel_task(spoken(request)).await.unwrap_err()), Some(Reason::TaskNotCancelable));
}

#[tokio::test]
async fn tasks_are_listed_by_context_newest_first() {
    let world = World::start(&[TWO]).await;
    let mut client = world.client().await;
    let first = task(client.send_message(spoken(message("m0", "", &json!({"query": 0})))).await.unwrap());
    let mut ids = vec![first.id.clone()];
    for n in 1..5 {
        let mut request = message(&format!("m{n}"), "two", &json!({"query": n}));
        // The context that the agent made up for the first one.
        request.message.as_mut().unwrap().context_id = first.context_id.clone();
        let next = task(client.send_message(spoken(request)).await.unwrap());
        assert_eq!(next.context_id, first.context_id);
        ids.insert(0, next.id);
    }
    let mut elsewhere = message("m5", "two", &json!({"query": 5}));
    elsewhere.message.as_mut().unwrap().context_id = format!("{}/{}", "c".repeat(400), "d");
    let elsewhere = task(client.send_message(spoken(elsewhere)).await.unwrap());

    for size in [1, 2, 4, 5, 100] {
        let mut request = v1::ListTasksRequest {
            context_id: first.context_id.clone(),
            page_size: Some(size),
            history_length: Some(1),
            ..v1::ListTasksRequest::default()
        };
        let mut seen = Vec::new();
        loop {
            let page = client.list_tasks(spoken(request.clone())).await.unwrap().into_inner();
            assert_eq!((page.total_size, page.page_size), (5, size));
            assert!(page.tasks.len() <= usize::try_from(size).unwrap());
            seen.extend(page.tasks);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(seen.iter().map(|task| task.id.clone()).collect::<Vec<_>>(), ids, "pages of {size}");
        assert_eq!(seen[0].history[0].message_id, "m4");
        assert!(seen.iter().all(|task| task.artifacts.is_empty()));
    }
    let all = client.list_tasks(spoken(v1::ListTasksRequest::default())).await.unwrap().into_inner();
    assert_eq!((all.tasks.len(), all.tasks[0].id.as_str(), all.page_size), (6, elsewhere.id.as_str(), 50));
    assert!(all.tasks.iter().all(|task| task.history.is_empty()), "lists are brief unless asked");
    let request = v1::ListTasksRequest {
        context_id: elsewhere.context_id.clone(),
        include_artifacts: Some(true),
        status: TaskState::Completed.into(),
        ..v1::ListTasksRequest::default()
    };
    let page = client.list_tasks(spoken(request.clone())).await.unwrap().into_inner();
    assert_eq!((page.tasks.len(), result(&page.tasks[0])), (1, json!({"answer": {"a": 5, "b": 5}})));
    let after = page.tasks[0].status.as_ref().unwrap().timestamp;
    let request = v1::ListTasksRequest { status_timestamp_after: after, ..request };
    assert!(client.list_tasks(spoken(request)).await.unwrap().into_inner().tasks.is_empty());

    for (wrong, field) in [
        (v1::ListTasksRequest { page_size: Some(0), ..Default::default() }, "page_size"),
        (v1::ListTasksRequest { page_size: Some(101), ..Default::default() }, "page_size"),
        (v1::ListTasksRequest { page_token: "x".to_owned(), ..Default::default() }, "page_token"),
        (v1::ListTasksRequest { page_token: "r:x".to_owned(), ..Default::default() }, "page_token"),
        (v1::ListTasksRequest { history_length: Some(-1), ..Default::default() }, "history_length"),
    ] {
        let error = client.list_tasks(spoken(wrong)).await.unwrap_err();
        assert_eq!(violations(&error)[0].0, field);
        assert_eq!(reason(&error), Some(Reason::InvalidParams));
    }
}

#[tokio::test]
async fn a_message_waits_no_longer_than_its_caller() {
    let options = AgentOptions { longest_wait: Duration::from_millis(300), ..AgentOptions::default() };
    let world = World::with(&[WORK], options, false).await;
    let mut client = world.client().await;
    // By the server's bound, and by the caller's.
    let held = task(client.send_message(spoken(message("m", "", &json!({"do": "hold"})))).await.unwrap());
    assert!(matches!(state(&held), TaskState::Submitted | TaskState::Working));
    let world = World::start(&[WORK]).await;
    let mut client = world.client().await;
    let mut request = spoken(message("m", "", &json!({"do": "hold"})));
    request.set_timeout(Duration::from_secs(2));
    let held = task(client.send_message(request).await.unwrap());
    assert!(matches!(state(&held), TaskState::Submitted | TaskState::Working));
}

#[tokio::test]
async fn what_is_not_offered_or_wrong_is_said_in_the_protocols_words() {
    let world = World::start(&[WORK, TWO]).await;
    let mut client = world.client().await;
    let unknown = "01932c07-2f3a-7e1d-9b1a-0123456789ab";
    for id in [unknown, "task-1"] {
        assert_eq!(reason(&client.get_task(get(id)).await.unwrap_err()), Some(Reason::TaskNotFound), "{id}");
    }
    assert_eq!(reason(&client.get_task(get("")).await.unwrap_err()), Some(Reason::InvalidParams));
    for (wrong, field) in [
        (message("", "work", &json!({"do": "echo"})), "message.message_id"),
        (message("m", "", &json!({"do": "echo"})), "metadata.skill_id"),
        (message("m", "nothing", &json!({})), "metadata.skill_id"),
        (message("m", "a b", &json!({})), "metadata.skill_id"),
        (message("m", "work", &json!([1])), "message.parts"),
        (message("m", "work", &json!({})), "inputs.do"),
        (message("m", "work", &json!({"do": "echo", "x": 1})), "inputs.x"),
        (v1::SendMessageRequest::default(), "message"),
    ] {
        let error = client.send_message(spoken(wrong)).await.unwrap_err();
        assert_eq!(violations(&error)[0].0, field, "{error}");
        assert_eq!(reason(&error), Some(Reason::InvalidParams));
    }
    let unsaid = client.send_message(spoken(message("m", "", &json!({})))).await.unwrap_err();
    assert!(unsaid.message().contains("two, work"), "{}", unsaid.message());
    let mut push = message("m", "work", &json!({"do": "echo"}));
    push.configuration = Some(v1::SendMessageConfiguration {
        task_push_notification_config: Some(v1::TaskPushNotificationConfig::default()),
        ..v1::SendMessageConfiguration::default()
    });
    let push = client.send_message(spoken(push)).await.unwrap_err();
    assert_eq!(reason(&push), Some(Reason::PushNotificationNotSupported));
    let push = client.create_task_push_notification_config(spoken(Default::default())).await.unwrap_err();
    assert_eq!(reason(&push), Some(Reason::PushNotificationNotSupported));
    let extended = client.get_extended_agent_card(spoken(Default::default())).await.unwrap_err();
    assert_eq!(reason(&extended), Some(Reason::UnsupportedOperation));
    let silent = client.get_task(v1::GetTaskRequest::default()).await.unwrap_err();
    assert_eq!(reason(&silent), Some(Reason::VersionNotSupported));
}

#[tokio::test]
async fn namespaces_know_nothing_of_each_other() {
    let world = World::with(&[WORK], AgentOptions::default(), true).await;
    world.register(TWO, &"red".parse().unwrap()).await;
    let (red, blue) =
        (world.token("red", Role::Author, "red").await, world.token("blue", Role::Author, "default").await);
    let as_caller = |token: &str, request: v1::SendMessageRequest| {
        let mut request = spoken(request);
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    };
    let mut client = world.client().await;
    let nobody = client.send_message(spoken(message("m", "", &json!({})))).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
    // The same message id of two callers is two messages; each has its own only workflow.
    let of_red = task(client.send_message(as_caller(&red, message("m", "", &json!({"query": 1})))).await.unwrap());
    let of_blue =
        task(client.send_message(as_caller(&blue, message("m", "", &json!({"do": "echo", "n": 2})))).await.unwrap());
    assert_eq!((result(&of_red), result(&of_blue)), (json!({"answer": {"a": 1, "b": 1}}), json!({"n": 2})));
    let ask = |token: &str, id: &str, tenant: &str| {
        let mut request = get(id);
        request.get_mut().tenant = tenant.to_owned();
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    };
    assert_eq!(client.get_task(ask(&red, &of_red.id, "red")).await.unwrap().into_inner().id, of_red.id);
    assert_eq!(reason(&client.get_task(ask(&blue, &of_red.id, "")).await.unwrap_err()), Some(Reason::TaskNotFound));
    let denied = client.get_task(ask(&blue, &of_red.id, "red")).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_run_that_an_operator_holds_is_working_and_says_so() {
    let world = World::start(&[WORK]).await;
    let mut client = world.client().await;
    let request = message("m", "", &json!({"do": "hold", "n": 1}));
    let mut events = client.send_streaming_message(spoken(request)).await.unwrap().into_inner();
    let Some(Payload::Task(task)) = events.next().await.unwrap().unwrap().payload else { panic!("no task") };
    let order = |command| CommandRequest {
        namespace: Namespace::default(),
        run: task.id.parse().unwrap(),
        command,
        order: Order::new("eve", "the audit"),
    };
    world.runs.command(order(Command::Pause)).await.unwrap();
    let held = loop {
        let Some(Payload::StatusUpdate(update)) = events.next().await.unwrap().unwrap().payload else { continue };
        let state = update.metadata.unwrap().fields["run_state"].clone();
        if tutti_a2a::json::from_proto(&state).unwrap() == "paused" {
            break update.status.unwrap();
        }
    };
    assert_eq!(held.state(), TaskState::Working);
    assert!(format!("{:?}", held.message).contains("the audit"), "{held:?}");
    world.worker.release();
    world.runs.command(order(Command::Resume)).await.unwrap();
    let last = events.collect::<Vec<_>>().await.pop().unwrap().unwrap();
    let Some(Payload::StatusUpdate(update)) = last.payload else { panic!("{last:?}") };
    assert_eq!(update.status.unwrap().state(), TaskState::Completed);
}

#[tokio::test]
async fn a_stream_ends_with_the_server_and_says_where_to_go_on() {
    let mut world = World::start(&[WORK]).await;
    let mut client = world.client().await;
    let request = message("m", "", &json!({"do": "hold"}));
    let mut events = client.send_streaming_message(spoken(request)).await.unwrap().into_inner();
    assert!(matches!(events.next().await, Some(Ok(v1::StreamResponse { payload: Some(Payload::Task(_)) }))));
    world.stop();
    let error = loop {
        if let Err(error) = events.next().await.unwrap() {
            break error;
        }
    };
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.message().contains("go on"), "{error}");
}
