//! What holds for any sequence of events that an agent sends. The fuzz target `events` includes this file.

use std::collections::BTreeMap;
use std::sync::Mutex;

use prost::Message as _;
use prost_types::value::Kind;
use tutti_a2a::v1::{self, part::Content, stream_response::Payload};
use tutti_adapters_grpc::{Ending, TaskView};
use tutti_core::limits::{MAX_ARTIFACTS, MAX_MESSAGE_BYTES, MAX_VALUE_BYTES};
use tutti_core::ports::agent::{AgentUpdate, Answer, UpdateSink};
use tutti_core::value::Json;

/// Events that are taken at most: longer sequences teach nothing new.
const MAX_EVENTS: usize = 200;

/// Reads the bytes as events and gives them to a task until it ends or the protocol is broken. What comes out is in order
/// whatever went in, and the same for the same events.
pub fn agent_events(bytes: &[u8]) {
    let events: Vec<v1::StreamResponse> = Script(bytes).take(MAX_EVENTS).collect();
    let (one, seen) = follow(&events);
    let (two, again) = follow(&events);
    assert_eq!((one, seen), (two, again), "the same events end differently");
}

/// How the task ended, if it did.
fn follow(events: &[v1::StreamResponse]) -> (Option<Ending>, Vec<AgentUpdate>) {
    let news = News::default();
    let mut view = TaskView::default();
    let mut end = None;
    for event in events {
        let before = view.id().map(str::to_owned);
        match view.event(event.clone(), &news) {
            Ok(None) => {}
            Ok(Some(ending)) => {
                end = Some(ending);
                break;
            }
            Err(error) => {
                end = Some(Err(error));
                break;
            }
        }
        assert!(before.is_none() || before.as_deref() == view.id(), "the id changed");
    }
    if let Some(Ok(answer)) = &end {
        check_answer(answer);
    }
    let news = news.0.into_inner().expect("nobody panicked");
    news.iter().for_each(check_update);
    let told = news.iter().filter(|update| matches!(update, AgentUpdate::Task(_))).count();
    assert_eq!(told, usize::from(view.id().is_some()), "the id is told once");
    (end, news)
}

fn check_answer(answer: &Answer) {
    match answer {
        Answer::Completed { output, artifacts, .. } => {
            assert_eq!(Json::parse(output.bytes().clone()).as_ref(), Ok(output), "the output is no value");
            assert!(artifacts.len() <= MAX_ARTIFACTS);
            assert!(artifacts.iter().all(|artifact| artifact.bytes.len() <= MAX_VALUE_BYTES));
        }
        Answer::Suspended { message, .. } => assert!(message.len() <= MAX_MESSAGE_BYTES),
    }
}

fn check_update(update: &AgentUpdate) {
    match update {
        AgentUpdate::Task(task) => assert!(!task.is_empty()),
        AgentUpdate::Status(text) => assert!(!text.is_empty() && text.len() <= MAX_MESSAGE_BYTES),
        AgentUpdate::Progress(share) => assert!((0.0..=1.0).contains(share)),
        AgentUpdate::Artifact { .. } => {}
    }
}

#[derive(Default)]
struct News(Mutex<Vec<AgentUpdate>>);

impl UpdateSink for News {
    fn update(&self, update: AgentUpdate) {
        self.0.lock().expect("nobody panicked").push(update);
    }
}

/// Events written as bytes, so that any bytes are some events. Ends with the bytes.
struct Script<'a>(&'a [u8]);

impl Iterator for Script<'_> {
    type Item = v1::StreamResponse;

    fn next(&mut self) -> Option<v1::StreamResponse> {
        let payload = match self.byte()? % 8 {
            0 => Payload::Task(self.task()),
            1 => Payload::Message(self.message()),
            2 | 3 => Payload::StatusUpdate(v1::TaskStatusUpdateEvent {
                task_id: self.id(),
                status: self.flag().then(|| self.status()),
                metadata: self.flag().then(|| self.metadata()),
                ..Default::default()
            }),
            4..=6 => Payload::ArtifactUpdate(v1::TaskArtifactUpdateEvent {
                task_id: self.id(),
                artifact: self.flag().then(|| self.artifact()),
                append: self.flag(),
                last_chunk: self.flag(),
                ..Default::default()
            }),
            // As it would come off the wire.
            _ => return Some(v1::StreamResponse::decode(self.bytes()).unwrap_or_default()),
        };
        Some(v1::StreamResponse { payload: Some(payload) })
    }
}

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> u8 {
        self.byte().unwrap_or_default()
    }

    fn flag(&mut self) -> bool {
        !self.number().is_multiple_of(4)
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.number()).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// Mostly the same one.
    fn id(&mut self) -> String {
        ["t", "t", "t", "t", "t", "t", "", "other"][usize::from(self.number() % 8)].to_owned()
    }

    fn task(&mut self) -> v1::Task {
        let artifacts = (0..self.number() % 4).map(|_| self.artifact()).collect();
        let status = self.flag().then(|| self.status());
        v1::Task { id: self.id(), status, artifacts, ..Default::default() }
    }

    fn status(&mut self) -> v1::TaskStatus {
        // Some states are newer than any that is known.
        let state = i32::from(self.number() % 12) - 1;
        v1::TaskStatus { state, message: self.flag().then(|| self.message()), ..Default::default() }
    }

    fn message(&mut self) -> v1::Message {
        let metadata = self.flag().then(|| self.metadata());
        v1::Message { message_id: self.id(), task_id: self.id(), parts: self.parts(), metadata, ..Default::default() }
    }

    fn artifact(&mut self) -> v1::Artifact {
        let id = ["result", "a", "b", ""][usize::from(self.number() % 4)].to_owned();
        let name = if self.flag() { String::new() } else { self.text() };
        v1::Artifact { artifact_id: id, name, parts: self.parts(), ..Default::default() }
    }

    fn parts(&mut self) -> Vec<v1::Part> {
        (0..self.number() % 4).map(|_| self.part()).collect()
    }

    fn part(&mut self) -> v1::Part {
        let media = ["", "text/plain", "application/json", "application/json; charset=utf-8", "image/png", "odd"];
        let media_type = media[usize::from(self.number()) % media.len()].to_owned();
        let content = match self.number() % 6 {
            0 => None,
            1 | 2 => Some(Content::Text(self.text())),
            3 => Some(Content::Raw(self.bytes().to_vec().into())),
            4 => Some(Content::Url(self.text())),
            _ => Some(Content::Data(self.value(0))),
        };
        let filename = if self.flag() { String::new() } else { self.text() };
        v1::Part { media_type, content, filename, metadata: None }
    }

    fn value(&mut self, depth: usize) -> prost_types::Value {
        let kind = match self.number() % 8 {
            0 => None,
            1 => Some(Kind::NullValue(0)),
            2 => Some(Kind::NumberValue(self.float())),
            3 => Some(Kind::StringValue(self.text())),
            4 => Some(Kind::BoolValue(self.flag())),
            5 if depth < 200 => {
                let count = self.number() % 3;
                let values = (0..count).map(|_| self.value(depth + 1)).collect();
                Some(Kind::ListValue(prost_types::ListValue { values }))
            }
            _ if depth < 200 => {
                let count = self.number() % 3;
                let fields: BTreeMap<_, _> = (0..count).map(|_| (self.text(), self.value(depth + 1))).collect();
                Some(Kind::StructValue(prost_types::Struct { fields }))
            }
            _ => None,
        };
        prost_types::Value { kind }
    }

    fn metadata(&mut self) -> prost_types::Struct {
        let progress = prost_types::Value { kind: Some(Kind::NumberValue(self.float())) };
        let value = if self.flag() { progress } else { self.value(0) };
        prost_types::Struct { fields: BTreeMap::from([("progress".to_owned(), value)]) }
    }

    fn float(&mut self) -> f64 {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.5, 1e300, 9_007_199_254_740_993.0, -1.0];
        let chosen = self.number();
        odd.get(usize::from(chosen)).copied().unwrap_or(f64::from(chosen) / 7.0)
    }
}
