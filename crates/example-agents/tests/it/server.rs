//! Each operation of A2A, and what a caller may do to the server between them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tonic::Code;
use tutti_a2a::card::{AgentCard, AgentSkill};
use tutti_a2a::error::Reason;
use tutti_a2a::v1::stream_response::Payload;
use tutti_a2a::v1::{self, TaskState};
use tutti_a2a::{CARD_PATH, metadata};
use tutti_example_agents::agent;
use tutti_example_agents::kit::{Agent, Chunk, Instruments, Outcome, Skill, SkillError, TaskContext};

use crate::support::{Served, kind, message, next, rest, result, send, serve, soon, state, text, words};

/// Does what the input says: `{"do": ..}`. `wait` takes a permit from the gate, so that the test decides when it ends.
struct Obedient {
    gate: Arc<Semaphore>,
}

#[async_trait]
impl Skill for Obedient {
    fn card(&self) -> AgentSkill {
        AgentSkill { id: "test.obey".into(), name: "Obey".into(), description: "Obeys".into(), ..Default::default() }
    }

    async fn run(&self, input: Value, context: &TaskContext) -> Result<Outcome, SkillError> {
        match input["do"].as_str() {
            Some("wait") => {
                context.progress(0.5, "waiting");
                self.gate.acquire().await.map_err(|e| SkillError::Failed(e.to_string()))?.forget();
                Ok(Outcome::Done(json!({"waited": true})))
            }
            Some("write") => {
                let piece = |text: &str| Chunk::text("story.txt", "text/plain", text);
                context.artifact(piece("once "));
                context.artifact(piece("upon ").append());
                context.artifact(piece("a time").append().last());
                Ok(Outcome::Done(json!({"pieces": 3})))
            }
            Some("ask") if context.history().len() == 1 => Ok(Outcome::InputRequired("which one?".into())),
            Some("fail") => Err(SkillError::Failed("it broke".into())),
            Some("reject") => Err(SkillError::Rejected("not here".into())),
            Some("panic") => panic!("on purpose"),
            _ => Ok(Outcome::Done(json!({
                "input": input, "action": context.action(), "turn": context.history().len(),
            }))),
        }
    }
}

fn obedient() -> (Agent, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let skill = Arc::new(Obedient { gate: gate.clone() });
    (Agent { name: "obedient".into(), skills: vec![skill], instruments: Instruments::default() }, gate)
}

async fn served() -> (Served, Arc<Semaphore>) {
    let (agent, gate) = obedient();
    (serve(agent, None).await, gate)
}

fn list(context_id: &str) -> v1::ListTasksRequest {
    v1::ListTasksRequest { context_id: context_id.into(), ..Default::default() }
}

/// A `wait` task that has begun to wait, with the stream that started it.
async fn waiting(agent: &Served, id: &str) -> (tonic::Streaming<v1::StreamResponse>, String) {
    let mut stream = agent.stream(message(id, &json!({"do": "wait"}))).await;
    let Payload::Task(task) = next(&mut stream).await else { panic!("the task comes first") };
    assert_eq!(state(&task), TaskState::Submitted);
    while kind(&next(&mut stream).await) != "status TASK_STATE_WORKING" {}
    (stream, task.id)
}

#[tokio::test]
async fn the_card_and_the_service_share_a_port() {
    let (agent, _) = served().await;
    let answer = agent.http_get(CARD_PATH).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("application/json"), "{head}");
    let card = AgentCard::parse(body.as_bytes()).unwrap();
    assert_eq!((card.name.as_str(), card.skills[0].id.as_str()), ("obedient", "test.obey"));
    assert_eq!(card.grpc_interface().unwrap().url, agent.address.to_string());
    assert_eq!(card.capabilities.streaming, Some(true));
}

#[tokio::test]
async fn a_stream_tells_the_whole_life_of_a_task_and_ends() {
    let (agent, _) = served().await;
    let events = rest(agent.stream(message("m", &json!({"do": "write"}))).await).await;
    let kinds: Vec<_> = events.iter().map(kind).collect();
    let expected = [
        "task TASK_STATE_SUBMITTED",
        "status TASK_STATE_WORKING",
        "artifact story.txt append=false last=false",
        "artifact story.txt append=true last=false",
        "artifact story.txt append=true last=true",
        "artifact result append=false last=true",
        "status TASK_STATE_COMPLETED",
    ];
    assert_eq!(kinds, expected);
    let Payload::Task(task) = &events[0] else { panic!() };
    let task = agent.task(&task.id).await;
    assert_eq!(text(&task.artifacts[0].parts), "once upon a time");
    assert_eq!(result(&task), json!({"pieces": 3}));
}

#[tokio::test]
async fn a_unary_call_waits_for_the_end_unless_told_not_to() {
    let (agent, gate) = served().await;
    let mut request = send(message("m1", &json!({"x": [1, 2.5, "three"]})));
    request.metadata = Some(tutti_a2a::json::to_struct(json!({"action": "look"}).as_object().unwrap()).unwrap());
    let task = agent.try_send(request).await.unwrap();
    assert_eq!(state(&task), TaskState::Completed);
    assert_eq!(result(&task), json!({"input": {"x": [1, 2.5, "three"]}, "action": "look", "turn": 1}));

    let mut request = send(message("m2", &json!({"do": "wait"})));
    request.configuration = Some(v1::SendMessageConfiguration { return_immediately: true, ..Default::default() });
    let task = agent.try_send(request).await.unwrap();
    assert_eq!(state(&task), TaskState::Submitted);
    let end = agent.subscribe(&task.id).await.unwrap();
    gate.add_permits(1);
    let end = rest(end).await;
    assert_eq!(kind(end.last().unwrap()), "status TASK_STATE_COMPLETED");
}

#[tokio::test]
async fn a_caller_that_goes_away_finds_its_task_again() {
    let (agent, gate) = served().await;
    let (stream, id) = waiting(&agent, "m").await;
    drop(stream);

    let found = agent.list(list("context")).await.unwrap();
    assert_eq!(found.tasks.len(), 1);
    assert_eq!((found.tasks[0].id.as_str(), found.tasks[0].history[0].message_id.as_str()), (id.as_str(), "m"));

    let mut again = agent.subscribe(&id).await.unwrap();
    assert_eq!(kind(&next(&mut again).await), "task TASK_STATE_WORKING");
    gate.add_permits(1);
    let kinds: Vec<_> = rest(again).await.iter().map(kind).collect();
    assert_eq!(kinds, ["artifact result append=false last=true", "status TASK_STATE_COMPLETED"]);

    let over = agent.subscribe(&id).await.unwrap_err();
    assert_eq!(Reason::of(&over), Some(Reason::UnsupportedOperation));
}

#[tokio::test]
async fn a_message_id_never_runs_twice() {
    let (agent, gate) = served().await;
    let (first, id) = waiting(&agent, "m").await;
    let mut second = agent.stream(message("m", &json!({"do": "wait"}))).await;
    let Payload::Task(task) = next(&mut second).await else { panic!() };
    assert_eq!(task.id, id);
    gate.add_permits(1);
    assert_eq!(kind(rest(first).await.last().unwrap()), "status TASK_STATE_COMPLETED");
    assert_eq!(kind(rest(second).await.last().unwrap()), "status TASK_STATE_COMPLETED");

    // After the end the same message gets the finished task, by both calls. A second run would wait for ever.
    let task = soon(agent.send(message("m", &json!({"do": "wait"})))).await;
    assert_eq!((task.id.as_str(), state(&task)), (id.as_str(), TaskState::Completed));
    let events = rest(agent.stream(message("m", &json!({"do": "wait"}))).await).await;
    assert_eq!(events.iter().map(kind).collect::<Vec<_>>(), ["task TASK_STATE_COMPLETED"]);
    assert_eq!(agent.list(list("")).await.unwrap().total_size, 1);
}

#[tokio::test]
async fn cancelling_stops_a_task_for_good() {
    let (agent, gate) = served().await;
    let (stream, id) = waiting(&agent, "m").await;
    assert_eq!(state(&agent.cancel(&id).await.unwrap()), TaskState::Canceled);
    assert_eq!(kind(rest(stream).await.last().unwrap()), "status TASK_STATE_CANCELED");
    let again = agent.cancel(&id).await.unwrap_err();
    assert_eq!((again.code(), Reason::of(&again)), (Code::FailedPrecondition, Some(Reason::TaskNotCancelable)));

    // The cancelled work takes no permit: the next task gets the only one.
    gate.add_permits(1);
    let next = soon(agent.send(message("m2", &json!({"do": "wait"})))).await;
    assert_eq!(state(&next), TaskState::Completed);
    assert_eq!(state(&agent.task(&id).await), TaskState::Canceled);
}

#[tokio::test]
async fn failures_end_the_task_with_their_words() {
    let (agent, _) = served().await;
    for (what, end, says) in [
        ("fail", TaskState::Failed, "it broke"),
        ("reject", TaskState::Rejected, "not here"),
        ("panic", TaskState::Failed, "fault"),
    ] {
        let task = soon(agent.send(message(what, &json!({"do": what})))).await;
        assert_eq!(state(&task), end);
        assert!(words(&task).contains(says), "{}", words(&task));
    }
}

#[tokio::test]
async fn a_question_waits_for_the_next_message_of_the_task() {
    let (agent, _) = served().await;
    let events = rest(agent.stream(message("m1", &json!({"do": "ask"}))).await).await;
    assert_eq!(kind(events.last().unwrap()), "status TASK_STATE_INPUT_REQUIRED");
    let Payload::Task(task) = &events[0] else { panic!() };
    let asked = soon(agent.send(message("m1", &json!({"do": "ask"})))).await;
    assert_eq!(words(&asked), "which one?", "the same message again does not wait for an answer");

    let mut stranger = message("m2", &json!({"do": "ask"}));
    stranger.task_id.clone_from(&task.id);
    stranger.context_id = "another".into();
    let refused = agent.try_send(send(stranger.clone())).await.unwrap_err();
    assert_eq!(Reason::of(&refused), Some(Reason::InvalidParams));

    let answer = v1::Message { context_id: "context".into(), ..stranger };
    let done = soon(agent.send(answer.clone())).await;
    assert_eq!(state(&done), TaskState::Completed);
    assert_eq!(result(&done)["turn"], 3, "question and answer are in the history");
    let repeated = soon(agent.send(answer)).await;
    assert_eq!(repeated.id, done.id);

    let late = v1::Message { task_id: task.id.clone(), ..message("m3", &json!({})) };
    let refused = agent.try_send(send(late)).await.unwrap_err();
    assert_eq!(Reason::of(&refused), Some(Reason::UnsupportedOperation));
}

#[tokio::test]
async fn lists_are_newest_first_in_pages_and_without_artifacts() {
    let (agent, _) = served().await;
    for i in 0..5 {
        agent.send(message(&format!("m{i}"), &json!(i))).await;
    }
    let first = agent.list(v1::ListTasksRequest { page_size: Some(3), ..list("context") }).await.unwrap();
    let ids = |page: &v1::ListTasksResponse| -> Vec<String> {
        page.tasks.iter().map(|task| task.history[0].message_id.clone()).collect()
    };
    assert_eq!(ids(&first), ["m4", "m3", "m2"]);
    assert_eq!((first.total_size, first.page_size), (5, 3));
    assert!(first.tasks[0].artifacts.is_empty());
    let next = v1::ListTasksRequest {
        page_size: Some(3),
        page_token: first.next_page_token,
        include_artifacts: Some(true),
        ..list("context")
    };
    let second = agent.list(next).await.unwrap();
    assert_eq!(ids(&second), ["m1", "m0"]);
    assert_eq!(second.next_page_token, "");
    assert_eq!(result(&second.tasks[0])["input"], 1);

    let bare = agent.list(v1::ListTasksRequest { history_length: Some(0), ..list("context") }).await.unwrap();
    assert!(bare.tasks.iter().all(|task| task.history.is_empty()));
    assert!(agent.list(list("other")).await.unwrap().tasks.is_empty());
    let refused = agent.list(v1::ListTasksRequest { page_size: Some(101), ..list("") }).await.unwrap_err();
    assert_eq!(Reason::of(&refused), Some(Reason::InvalidParams));
}

#[tokio::test]
async fn what_is_wrong_or_not_offered_is_refused_with_its_reason() {
    let (agent, _) = served().await;
    let reason = |status: tonic::Status| Reason::of(&status).expect("a reason");
    let refused = |request| async { reason(agent.try_send(request).await.unwrap_err()) };

    assert_eq!(refused(v1::SendMessageRequest::default()).await, Reason::InvalidParams);
    assert_eq!(refused(send(message("", &json!(1)))).await, Reason::InvalidParams);
    let empty = v1::Message { parts: vec![], ..message("m", &json!(1)) };
    assert_eq!(refused(send(empty)).await, Reason::InvalidParams);
    let unknown = v1::Message { task_id: "mine".into(), ..message("m", &json!(1)) };
    assert_eq!(refused(send(unknown)).await, Reason::TaskNotFound);
    let mut push = send(message("m", &json!(1)));
    push.configuration = Some(v1::SendMessageConfiguration {
        task_push_notification_config: Some(v1::TaskPushNotificationConfig::default()),
        ..Default::default()
    });
    assert_eq!(refused(push).await, Reason::PushNotificationNotSupported);

    let mut client = agent.client.clone();
    let push = client.create_task_push_notification_config(v1::TaskPushNotificationConfig::default());
    assert_eq!(reason(push.await.unwrap_err()), Reason::PushNotificationNotSupported);
    let push = client.get_task_push_notification_config(v1::GetTaskPushNotificationConfigRequest::default());
    assert_eq!(reason(push.await.unwrap_err()), Reason::PushNotificationNotSupported);
    let push = client.list_task_push_notification_configs(v1::ListTaskPushNotificationConfigsRequest::default());
    assert_eq!(reason(push.await.unwrap_err()), Reason::PushNotificationNotSupported);
    let push = client.delete_task_push_notification_config(v1::DeleteTaskPushNotificationConfigRequest::default());
    assert_eq!(reason(push.await.unwrap_err()), Reason::PushNotificationNotSupported);
    let card = client.get_extended_agent_card(v1::GetExtendedAgentCardRequest::default());
    assert_eq!(reason(card.await.unwrap_err()), Reason::UnsupportedOperation);

    let absent = client.get_task(v1::GetTaskRequest { id: "none".into(), ..Default::default() }).await.unwrap_err();
    assert_eq!((absent.code(), reason(absent)), (Code::NotFound, Reason::TaskNotFound));
    assert_eq!(reason(agent.cancel("none").await.unwrap_err()), Reason::TaskNotFound);
    assert_eq!(reason(agent.subscribe("none").await.unwrap_err()), Reason::TaskNotFound);
}

#[tokio::test]
async fn other_versions_of_the_protocol_are_refused() {
    let (agent, _) = served().await;
    for accepted in ["1.0", "1.1", ""] {
        agent.with_version(accepted).await.unwrap();
    }
    for refused in ["0.3", "2.0", "one"] {
        let status = agent.with_version(refused).await.unwrap_err();
        assert_eq!(Reason::of(&status), Some(Reason::VersionNotSupported), "{} {refused}", metadata::VERSION);
    }
}

#[tokio::test]
async fn large_messages_pass_both_ways() {
    let (agent, _) = served().await;
    let large = json!({"text": "x".repeat(8 << 20)});
    let task = soon(agent.send(message("m", &large))).await;
    assert_eq!(result(&task)["input"], large);
}

#[tokio::test]
async fn a_server_leaves_when_idle_counted_from_the_end_of_the_last_task() {
    let (agent, gate) = obedient();
    let limit = Duration::from_secs(1);
    let mut agent = serve(agent, Some(limit)).await;
    let (stream, _) = waiting(&agent, "m").await;
    drop(stream);
    let released = Instant::now();
    gate.add_permits(1);
    soon(&mut agent.server).await.unwrap().unwrap();
    assert!(released.elapsed() >= limit, "{:?}", released.elapsed());
}

#[tokio::test]
async fn a_test_can_slow_an_agent_down_and_count_its_calls() {
    let (mut agent, _) = obedient();
    let log = std::env::temp_dir().join(format!("tutti-call-log-{}.jsonl", std::process::id()));
    agent.instruments = Instruments { delay: Duration::from_millis(60), call_log: Some(log.clone()) };
    let agent = serve(agent, None).await;
    let events = rest(agent.stream(message("m1", &json!({}))).await).await;
    let progress = |event: &Payload| match event {
        Payload::StatusUpdate(update) => update.metadata.as_ref().and_then(|m| m.fields.get("progress")).cloned(),
        _ => None,
    };
    let told: Vec<_> = events.iter().filter_map(progress).map(|v| tutti_a2a::json::from_proto(&v).unwrap()).collect();
    assert_eq!(told.len(), 20);
    assert!(told.windows(2).all(|pair| pair[0].as_f64() < pair[1].as_f64()), "{told:?}");

    agent.send(message("m1", &json!({}))).await;
    agent.send(message("m2", &json!({}))).await;
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let called: Vec<_> = lines.iter().map(|l| (l["message_id"].as_str(), l["skill"].as_str())).collect();
    assert_eq!(called, [(Some("m1"), Some("test.obey")), (Some("m2"), Some("test.obey"))]);
    assert_eq!(lines[0]["context_id"], "context");
}

#[tokio::test]
async fn an_agent_of_several_skills_is_told_which_is_asked_for() {
    let agent = serve(agent("market-analyst").unwrap(), None).await;
    let answer = agent.http_get(CARD_PATH).await;
    let card = AgentCard::parse(answer.split_once("\r\n\r\n").unwrap().1.as_bytes()).unwrap();
    let ids: Vec<_> = card.skills.iter().map(|skill| skill.id.as_str()).collect();
    assert_eq!(ids, ["technical_analysis", "sentiment_analysis"]);

    let ask = |id: &str, capability: Option<&str>| {
        let metadata = capability.map(|name| json!({"capability": name}).as_object().unwrap().clone());
        let metadata = metadata.map(|map| tutti_a2a::json::to_struct(&map).unwrap());
        agent.try_send(v1::SendMessageRequest { metadata, ..send(message(id, &json!({"symbols": ["CORE"]}))) })
    };
    let task = ask("m1", Some("sentiment_analysis")).await.unwrap();
    assert_eq!(result(&task)["news_impact"].as_array().unwrap().len(), 2);
    let refused = ask("m2", Some("fortune_telling")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("cannot do \"fortune_telling\", only technical_analysis, sentiment_analysis"));
    assert!(ask("m3", None).await.unwrap_err().message().contains("does not say which of technical_analysis"));
}
