use std::sync::Mutex;

use bytes::Bytes;
use tutti_a2a::{json, v1::part::Content};
use tutti_core::value::Json;

use super::*;

#[derive(Default)]
struct News(Mutex<Vec<AgentUpdate>>);

impl UpdateSink for News {
    fn update(&self, update: AgentUpdate) {
        self.0.lock().unwrap().push(update);
    }
}

/// Feeds events until one ends the attempt; panics if none does.
fn run(events: Vec<Payload>) -> (Ending, Vec<AgentUpdate>) {
    let news = News::default();
    let mut view = TaskView::default();
    let end = events.into_iter().find_map(|event| match view.event(of(event), &news) {
        Ok(ending) => ending,
        Err(error) => Some(Err(error)),
    });
    (end.expect("no event ended the attempt"), news.0.into_inner().unwrap())
}

fn of(payload: Payload) -> v1::StreamResponse {
    v1::StreamResponse { payload: Some(payload) }
}

fn output(end: Ending) -> Json {
    match end {
        Ok(Answer::Completed { output, .. }) => output,
        other => panic!("not completed: {other:?}"),
    }
}

fn kind(end: Ending) -> AgentErrorKind {
    end.expect_err("a failure is expected").kind
}

fn text(text: &str) -> v1::Part {
    v1::Part { content: Some(Content::Text(text.to_owned())), ..Default::default() }
}

fn data(text: &str) -> v1::Part {
    v1::Part { content: Some(Content::Data(json::parse(text.as_bytes()).unwrap())), ..Default::default() }
}

fn message(parts: Vec<v1::Part>) -> v1::Message {
    v1::Message { message_id: "m".to_owned(), parts, ..Default::default() }
}

fn status(state: i32, said: &str) -> TaskStatus {
    let message = (!said.is_empty()).then(|| message(vec![text(said)]));
    TaskStatus { state, message, timestamp: None }
}

fn artifact(id: &str, parts: Vec<v1::Part>) -> v1::Artifact {
    v1::Artifact { artifact_id: id.to_owned(), parts, ..Default::default() }
}

fn task(id: &str, state: TaskState, artifacts: Vec<v1::Artifact>) -> Payload {
    Payload::Task(Task { id: id.to_owned(), status: Some(status(state.into(), "")), artifacts, ..Default::default() })
}

fn state(id: &str, state: impl Into<i32>, said: &str) -> Payload {
    Payload::StatusUpdate(TaskStatusUpdateEvent {
        task_id: id.to_owned(),
        status: Some(status(state.into(), said)),
        ..Default::default()
    })
}

fn chunk(task: &str, artifact: v1::Artifact, append: bool) -> Payload {
    Payload::ArtifactUpdate(TaskArtifactUpdateEvent {
        task_id: task.to_owned(),
        artifact: Some(artifact),
        append,
        ..Default::default()
    })
}

#[test]
fn a_whole_conversation_becomes_an_answer_and_its_news() {
    let (end, news) = run(vec![
        task("t", TaskState::Submitted, vec![]),
        state("t", TaskState::Working, "reading"),
        chunk("t", artifact("a", vec![text("one ")]), false),
        chunk("t", artifact("a", vec![text("two")]), true),
        state("t", TaskState::Completed, "Done."),
    ]);
    assert_eq!(output(end).as_str(), "\"one two\"");
    assert_eq!(
        news,
        [
            AgentUpdate::Task("t".to_owned()),
            AgentUpdate::Status("reading".to_owned()),
            AgentUpdate::Artifact { name: "a".to_owned(), bytes: 4 },
            AgentUpdate::Artifact { name: "a".to_owned(), bytes: 7 },
        ]
    );
}

#[test]
fn a_first_message_is_the_result_and_names_no_task() {
    let message = v1::Message { task_id: "nowhere".to_owned(), ..message(vec![data("{\"n\":1}")]) };
    let (end, news) = run(vec![Payload::Message(message)]);
    assert_eq!(output(end).as_str(), "{\"n\":1}");
    assert_eq!(news, []);
}

#[test]
fn a_message_in_a_task_is_talk() {
    let (end, news) = run(vec![
        task("t", TaskState::Working, vec![artifact("a", vec![data("1")])]),
        Payload::Message(message(vec![text("still here")])),
        state("t", TaskState::Completed, ""),
    ]);
    assert_eq!(output(end).as_str(), "1");
    assert!(news.contains(&AgentUpdate::Status("still here".to_owned())));
}

#[test]
fn an_artifact_sent_again_replaces_the_first() {
    let (end, _) = run(vec![
        chunk("t", artifact("a", vec![data("1")]), false),
        chunk("t", artifact("a", vec![data("2")]), false),
        state("t", TaskState::Completed, ""),
    ]);
    assert_eq!(output(end).as_str(), "2");
}

#[test]
fn a_snapshot_replaces_artifacts_and_appends_extend_them() {
    let (end, _) = run(vec![
        chunk("t", artifact("a", vec![text("stale")]), false),
        task("t", TaskState::Working, vec![artifact("a", vec![text("one "), text("two ")])]),
        chunk("t", artifact("a", vec![text("three")]), true),
        state("t", TaskState::Completed, ""),
    ]);
    assert_eq!(output(end).as_str(), "\"one two three\"");
}

#[test]
fn endings_other_than_completion_are_typed() {
    for (ended, expected) in [
        (TaskState::Failed, AgentErrorKind::Failed),
        (TaskState::Canceled, AgentErrorKind::Cancelled),
        (TaskState::Rejected, AgentErrorKind::Rejected),
    ] {
        let (end, _) = run(vec![state("t", ended, "because")]);
        assert_eq!(end, Err(AgentError::new(expected, "because")));
        let (end, _) = run(vec![task("t", ended, vec![artifact("a", vec![data("1")])])]);
        assert_eq!(kind(end), expected);
    }
    for (ended, need) in [(TaskState::InputRequired, Need::Input), (TaskState::AuthRequired, Need::Auth)] {
        let (end, _) = run(vec![state("t", ended, "which city?")]);
        assert_eq!(end, Ok(Answer::Suspended { need, message: "which city?".to_owned() }));
    }
}

#[test]
fn an_empty_completion_is_an_error() {
    let (end, _) = run(vec![state("t", TaskState::Completed, "")]);
    assert_eq!(kind(end), AgentErrorKind::EmptyAnswer);
}

#[test]
fn what_is_newer_than_this_version_is_tolerated() {
    let news = News::default();
    let mut view = TaskView::default();
    assert_eq!(view.event(v1::StreamResponse { payload: None }, &news), Ok(None));
    let (end, news) = run(vec![state("t", 99, "new"), state("t", TaskState::Completed, "ok")]);
    assert_eq!(output(end).as_str(), "\"ok\"");
    assert!(news.contains(&AgentUpdate::Status("new".to_owned())));
}

#[test]
fn events_of_another_task_break_the_protocol() {
    for event in [
        task("other", TaskState::Completed, vec![]),
        state("other", TaskState::Completed, "done"),
        chunk("other", artifact("a", vec![data("1")]), false),
    ] {
        let (end, _) = run(vec![task("t", TaskState::Working, vec![]), event]);
        assert_eq!(kind(end), AgentErrorKind::InvalidAnswer);
    }
    let (end, _) = run(vec![state("", TaskState::Completed, "done")]);
    assert_eq!(kind(end), AgentErrorKind::InvalidAnswer);
}

#[test]
fn what_another_operation_was_answered_is_not_taken() {
    let operation = |step: &str| format!("01890000-0000-7000-8000-000000000000/0/{step}");
    let of_context = |context_id: String| {
        let task = Task {
            id: "t".to_owned(),
            context_id,
            status: Some(status(TaskState::Completed.into(), "done")),
            ..Default::default()
        };
        let mut view = TaskView::new(operation("a"), None);
        view.event(of(Payload::Task(task)), &News::default()).map(|ending| ending.is_some())
    };
    assert_eq!(of_context(operation("b")).unwrap_err().kind, AgentErrorKind::InvalidAnswer);
    // Agents may well have contexts of their own.
    for context in [operation("a"), String::new(), "thread-7".to_owned(), "a/b".to_owned()] {
        assert_eq!(of_context(context.clone()), Ok(true), "{context}");
    }
}

#[test]
fn events_and_names_are_bounded() {
    let mut view = TaskView { events: MAX_TASK_EVENTS - 1, ..TaskView::default() };
    let news = || of(state("t", TaskState::Working, "still at it"));
    assert_eq!(view.event(news(), &News::default()), Ok(None));
    assert!(view.event(news(), &News::default()).unwrap_err().message.contains("more than 1000000 events"));

    let long = "x".repeat(5_000);
    for event in [
        task(&long, TaskState::Working, vec![]),
        chunk("t", artifact(&long, vec![]), false),
        chunk("t", v1::Artifact { name: long.clone(), ..artifact("a", vec![]) }, false),
        chunk("t", artifact("a", vec![v1::Part { filename: long.clone(), ..text("x") }]), false),
        chunk("t", artifact("a", vec![v1::Part { media_type: long.clone(), ..text("x") }]), false),
    ] {
        let (end, _) = run(vec![event]);
        assert!(end.unwrap_err().message.contains("an id or a name of 5000 bytes"));
    }
    // Nothing in them, but a lot of them.
    let empty = |n: usize| v1::Part {
        content: Some(Content::Url(String::new())),
        filename: format!("{n:0>2000}"),
        ..Default::default()
    };
    let many = |id: usize| chunk("t", artifact(&id.to_string(), (0..5_000).map(empty).collect()), false);
    let (end, _) = run(vec![many(1), many(2)]);
    assert!(end.unwrap_err().message.contains("too many parts"));
}

#[test]
fn progress_is_a_share() {
    let update = |metadata: &str| {
        let object = serde_json::from_str(metadata).unwrap();
        Payload::StatusUpdate(TaskStatusUpdateEvent {
            task_id: "t".to_owned(),
            status: Some(status(TaskState::Working.into(), "")),
            metadata: Some(json::to_struct(&object).unwrap()),
            ..Default::default()
        })
    };
    let (_, news) = run(vec![
        update("{\"progress\": 0.5}"),
        update("{\"progress\": 7}"),
        update("{\"progress\": \"half\"}"),
        state("t", TaskState::Completed, "done"),
    ]);
    assert_eq!(news[1..], [AgentUpdate::Progress(0.5), AgentUpdate::Progress(1.0)]);
}

#[test]
fn artifacts_together_are_capped() {
    let full = |id: &str| {
        let raw = v1::Part { content: Some(Content::Raw(Bytes::from(vec![0; MAX_VALUE_BYTES]))), ..Default::default() };
        chunk("t", artifact(id, vec![raw]), false)
    };
    let (end, _) = run(vec![full("a"), full("b"), full("c"), full("d"), full("e")]);
    assert_eq!(kind(end), AgentErrorKind::InvalidAnswer);
    let (end, _) = run((0..=MAX_ARTIFACTS).map(|n| chunk("t", artifact(&n.to_string(), vec![]), false)).collect());
    assert_eq!(kind(end), AgentErrorKind::InvalidAnswer);
}

#[test]
fn what_is_told_beside_the_answer_comes_with_it_from_wherever_it_stands() {
    use serde_json::{Value, json};
    let told = |report: Value| {
        let Value::Object(entries) = json!({(tutti_a2a::extension::REPORT): report}) else { unreachable!() };
        Some(json::to_struct(&entries).unwrap())
    };
    let artifact = v1::Artifact {
        artifact_id: "a".to_owned(),
        parts: vec![data("1")],
        metadata: told(json!({"quality": {"accuracy": 0.2, "depth": 0.3}})),
        ..Default::default()
    };
    let task = |state: TaskState, metadata| Task {
        id: "t".to_owned(),
        artifacts: vec![artifact.clone()],
        status: Some(status(state.into(), "")),
        metadata,
        ..Default::default()
    };
    let spent = || told(json!({"quality": {"accuracy": 0.9}, "usage": {"tokens_in": 5}}));
    let (end, _) = run(vec![Payload::Task(task(TaskState::Completed, spent()))]);
    let Ok(Answer::Completed { report: Some(report), .. }) = end else { panic!("{end:?}") };
    assert_eq!(
        report.quality.into_iter().collect::<Vec<_>>(),
        [("accuracy".to_owned(), 0.9), ("depth".to_owned(), 0.3)]
    );
    assert_eq!(report.usage.tokens_in, 5);
    let (end, _) = run(vec![Payload::Task(task(TaskState::Failed, spent()))]);
    assert_eq!(end.unwrap_err().usage.unwrap().tokens_in, 5, "a failure costs too");
    let (end, _) = run(vec![Payload::Task(task(TaskState::Completed, told(json!({"quality": 1}))))]);
    assert_eq!(kind(end), AgentErrorKind::InvalidAnswer);
}
