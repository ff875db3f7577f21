//! The cases.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tutti_core::ids::AttemptKey;
use tutti_core::ports::agent::{AgentCall, AgentError, AgentErrorKind, AgentUpdate, Answer, Artifact, Need, Retry};
use tutti_core::value::Json;

use super::{ARTIFACT, Behaviour, CAPABILITY, News, Subject, WORDS, call, until};

/// How much later than its timeout a call may return.
const GRACE: Duration = Duration::from_secs(10);

fn parsed(json: &Json) -> Value {
    serde_json::from_str(json.as_str()).unwrap()
}

fn completed(answer: Result<Answer, AgentError>) -> (Value, Vec<Artifact>) {
    match answer {
        Ok(Answer::Completed { output, artifacts, .. }) => (parsed(&output), artifacts),
        other => panic!("not completed: {other:?}"),
    }
}

pub async fn an_agent_tells_what_it_can_do(subject: Subject) {
    let (agent, _) = subject.start(Behaviour::Echo).await;
    let description = subject.transport.describe(&agent.endpoint()).await.unwrap();
    assert!(description.capabilities.iter().any(|known| known.as_str() == CAPABILITY), "{description:?}");
    assert!(!description.name.is_empty());
}

pub async fn nobody_describes_an_agent_that_is_not_there(subject: Subject) {
    let nowhere = subject.agents.nowhere().await;
    assert_eq!(subject.transport.describe(&nowhere).await.unwrap_err().kind, AgentErrorKind::Unavailable);
}

pub async fn every_value_comes_back_as_it_was_sent(subject: Subject) {
    let (agent, _) = subject.start(Behaviour::Echo).await;
    let inputs = [
        r#"{}"#,
        r#"{"n": 0, "f": 0.1, "neg": -7, "big": 12345678901234567890, "tiny": 1e-300}"#,
        r#"{"text": "h\u00e9 \u0000 \"quoted\" \ud83e\udd80", "": "an empty name", "null": null, "no": false}"#,
        r#"{"list": [[], [[]], {}, {"a": {"b": {"c": [1, "two", null]}}}]}"#,
    ];
    for input in inputs {
        let call = call(agent.endpoint(), input);
        let (output, artifacts) = completed(subject.transport.call(&call, &News::default()).await);
        assert_eq!(output, parsed(&call.input), "{input}");
        assert_eq!(artifacts, []);
    }
}

pub async fn a_large_value_comes_back(subject: Subject) {
    let (agent, _) = subject.start(Behaviour::Echo).await;
    let call = call(agent.endpoint(), &format!(r#"{{"text": "{}"}}"#, "x".repeat(1 << 20)));
    assert_eq!(completed(subject.transport.call(&call, &News::default()).await).0, parsed(&call.input));
}

pub async fn the_id_of_the_task_is_told_before_the_end(subject: Subject) {
    let (agent, call) = subject.start(Behaviour::Hold).await;
    let (transport, news) = (subject.transport.clone(), Arc::new(News::default()));
    let told = news.clone();
    let under_way = tokio::spawn(async move { transport.call(&call, &*told).await });
    until(|| news.task().is_some_and(|task| !task.is_empty())).await;
    assert!(!under_way.is_finished());
    agent.release();
    completed(under_way.await.unwrap());
    let told = news.seen().iter().filter(|update| matches!(update, AgentUpdate::Task(_))).count();
    assert_eq!(told, 1, "the id is told once");
}

pub async fn a_failed_task_gives_the_agents_reason(subject: Subject) {
    let (_agent, call) = subject.start(Behaviour::Fail).await;
    let error = subject.transport.call(&call, &News::default()).await.unwrap_err();
    assert_eq!(error.kind, AgentErrorKind::Failed);
    assert!(error.message.contains(WORDS), "{error}");
}

pub async fn a_rejected_task_is_told_from_a_failed_one(subject: Subject) {
    let (_agent, call) = subject.start(Behaviour::Reject).await;
    let error = subject.transport.call(&call, &News::default()).await.unwrap_err();
    assert_eq!((error.kind, error.kind.retry()), (AgentErrorKind::Rejected, Retry::Elsewhere));
    assert!(error.message.contains(WORDS), "{error}");
}

pub async fn the_pieces_of_an_artifact_are_joined(subject: Subject) {
    let (_agent, call) = subject.start(Behaviour::Artifacts).await;
    let news = News::default();
    let (output, artifacts) = completed(subject.transport.call(&call, &news).await);
    assert_eq!(output, parsed(&call.input));
    let (name, pieces) = ARTIFACT;
    assert_eq!(artifacts.len(), 1, "{artifacts:?}");
    assert_eq!((artifacts[0].name.as_str(), &*artifacts[0].bytes), (name, pieces.concat().as_bytes()));
    let told = |update: &AgentUpdate| matches!(update, AgentUpdate::Artifact { name: told, .. } if told == name);
    assert!(news.seen().iter().any(told), "{:?}", news.seen());
}

pub async fn a_question_suspends_the_attempt(subject: Subject) {
    let (_agent, call) = subject.start(Behaviour::Ask).await;
    let answer = subject.transport.call(&call, &News::default()).await;
    assert_eq!(answer, Ok(Answer::Suspended { need: Need::Input, message: WORDS.to_owned() }));
}

pub async fn a_call_ends_when_its_time_is_up(subject: Subject) {
    let (_agent, call) = subject.start(Behaviour::Hold).await;
    let call = AgentCall { timeout: Duration::from_millis(300), ..call };
    let start = Instant::now();
    let error = subject.transport.call(&call, &News::default()).await.unwrap_err();
    assert_eq!(error.kind, AgentErrorKind::Timeout, "{error}");
    assert!(start.elapsed() >= call.timeout, "it gave up after {:?}", start.elapsed());
    assert!(start.elapsed() < call.timeout + GRACE, "it took {:?}", start.elapsed());
}

pub async fn a_call_to_nobody_is_worth_repeating(subject: Subject) {
    let call = call(subject.agents.nowhere().await, "{}");
    let error = subject.transport.call(&call, &News::default()).await.unwrap_err();
    assert_eq!((error.kind, error.kind.retry()), (AgentErrorKind::Unavailable, Retry::Again));
}

pub async fn a_finished_task_is_found_again(subject: Subject) {
    let (agent, call) = subject.start(Behaviour::Artifacts).await;
    let news = News::default();
    let first = subject.transport.call(&call, &news).await.unwrap();
    // Found by its message alone, and by the id that was told.
    for task in [None, news.task()] {
        let again = AgentCall { task, ..call.clone() };
        assert_eq!(
            subject.transport.reattach(&again, &News::default()).await,
            Ok(Some(first.clone())),
            "{:?}",
            again.task
        );
    }
    assert_eq!(agent.started(), 1);
}

pub async fn a_task_under_way_is_found_again(subject: Subject) {
    let (agent, call) = subject.start(Behaviour::Hold).await;
    let (transport, lost) = (subject.transport.clone(), call.clone());
    let under_way = tokio::spawn(async move { transport.call(&lost, &News::default()).await });
    until(|| agent.started() == 1).await;
    // Nobody waits for the answer any more; the agent goes on.
    under_way.abort();
    assert!(under_way.await.unwrap_err().is_cancelled());
    let (transport, again) = (subject.transport.clone(), call.clone());
    let found = Arc::new(News::default());
    let told = found.clone();
    let found_again = tokio::spawn(async move { transport.reattach(&again, &*told).await });
    until(|| found.task().is_some() || found_again.is_finished()).await;
    agent.release();
    let answer = found_again.await.unwrap().unwrap().expect("the agent knows the task");
    assert_eq!(completed(Ok(answer)).0, parsed(&call.input));
    assert_eq!(agent.started(), 1);
}

pub async fn a_suspended_task_is_found_again(subject: Subject) {
    let (agent, call) = subject.start(Behaviour::Ask).await;
    let first = subject.transport.call(&call, &News::default()).await.unwrap();
    assert_eq!(subject.transport.reattach(&call, &News::default()).await, Ok(Some(first)));
    assert_eq!(agent.started(), 1);
}

pub async fn a_message_that_was_never_sent_is_not_found(subject: Subject) {
    let (agent, call) = subject.start(Behaviour::Echo).await;
    assert_eq!(subject.transport.reattach(&call, &News::default()).await, Ok(None));
    assert_eq!(agent.started(), 0);
    completed(subject.transport.call(&call, &News::default()).await);
    assert_eq!(agent.started(), 1);
}

pub async fn an_agent_that_cannot_be_asked_is_an_error(subject: Subject) {
    let call = call(subject.agents.nowhere().await, "{}");
    let error = subject.transport.reattach(&call, &News::default()).await.unwrap_err();
    assert_eq!(error.kind, AgentErrorKind::Unavailable);
}

pub async fn attempts_are_apart(subject: Subject) {
    let (agent, call) = subject.start(Behaviour::Echo).await;
    completed(subject.transport.call(&call, &News::default()).await);
    let next = AttemptKey { attempt: 2, ..call.key.clone() };
    let second = AgentCall { key: next, ..call };
    assert_eq!(subject.transport.reattach(&second, &News::default()).await, Ok(None));
    completed(subject.transport.call(&second, &News::default()).await);
    assert_eq!(agent.started(), 2);
}

pub async fn many_calls_keep_their_answers_apart(subject: Subject) {
    let (agent, _) = subject.start(Behaviour::Echo).await;
    let calls = (0..100).map(|n| {
        let (transport, call) = (subject.transport.clone(), call(agent.endpoint(), &format!(r#"{{"n": {n}}}"#)));
        tokio::spawn(async move { (parsed(&call.input), transport.call(&call, &News::default()).await) })
    });
    for call in calls.collect::<Vec<_>>() {
        let (input, answer) = call.await.unwrap();
        assert_eq!(completed(answer).0, input);
    }
    assert_eq!(agent.started(), 100);
}

pub async fn a_cancelled_task_ends(subject: Subject) {
    let (agent, call) = subject.start(Behaviour::Hold).await;
    let (transport, news, asked) = (subject.transport.clone(), Arc::new(News::default()), call.clone());
    let told = news.clone();
    let under_way = tokio::spawn(async move { transport.call(&asked, &*told).await });
    until(|| agent.started() == 1).await;
    // By its message alone, as after a crash before the id was recorded.
    subject.transport.cancel(&call).await.unwrap();
    assert_eq!(under_way.await.unwrap().unwrap_err().kind, AgentErrorKind::Cancelled);
}

pub async fn a_task_that_is_over_or_unknown_is_cancelled_with_success(subject: Subject) {
    let (agent, call) = subject.start(Behaviour::Echo).await;
    subject.transport.cancel(&call).await.unwrap();
    let news = News::default();
    let first = subject.transport.call(&call, &news).await.unwrap();
    for task in [None, news.task()] {
        subject.transport.cancel(&AgentCall { task, ..call.clone() }).await.unwrap();
    }
    assert_eq!(subject.transport.reattach(&call, &News::default()).await, Ok(Some(first)), "what is over stays");
    assert_eq!(agent.started(), 1);
}

pub async fn cancelling_at_nobody_is_an_error(subject: Subject) {
    let call = call(subject.agents.nowhere().await, "{}");
    assert_eq!(subject.transport.cancel(&call).await.unwrap_err().kind, AgentErrorKind::Unavailable);
}
