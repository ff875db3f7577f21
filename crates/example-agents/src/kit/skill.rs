//! What an agent can do, as its author writes it.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tonic::Status;
use tutti_a2a::card::AgentSkill;
use tutti_a2a::v1::{self, part::Content};
use tutti_a2a::{JSON_MEDIA_TYPE, json};

use super::{Instruments, TaskContext};

/// The work behind an agent.
#[async_trait]
pub trait Skill: Send + Sync + 'static {
    /// What the card tells about it; the id is the capability it is found by.
    fn card(&self) -> AgentSkill;

    /// Looks at a message before there is a task for it. One that was seen before is not looked at again.
    ///
    /// # Errors
    /// What the caller gets instead of a task.
    async fn admit(&self, _incoming: &Incoming<'_>) -> Result<(), Status> {
        Ok(())
    }

    /// Does the work of one message.
    ///
    /// `input` is the data part of the message (or its text, as JSON if its media type says so, else as a string).
    /// The future is dropped when the task is cancelled; work on other threads watches [`TaskContext::cancelled`].
    ///
    /// # Errors
    /// [`SkillError`], with a message for the caller.
    async fn run(&self, input: Value, context: &TaskContext) -> Result<Outcome, SkillError>;
}

/// A message that came.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// The message; with a task id it goes on with a task that waits for it.
    pub message: &'a v1::Message,
    /// The metadata of the request.
    pub metadata: &'a Map<String, Value>,
    /// What is in the message, as [`Skill::run`] gets it.
    pub input: &'a Value,
}

/// How the work on a message ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Done: the value becomes the artifact `result`, and the task is COMPLETED.
    Done(Value),
    /// Done, with nothing to hand over: the task is COMPLETED.
    Empty,
    /// The task waits for another message that answers this question (INPUT_REQUIRED).
    InputRequired(String),
    /// The task waits for an authorization (AUTH_REQUIRED).
    AuthRequired(String),
}

/// Why the work on a message failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SkillError {
    /// It was tried and failed: the task is FAILED.
    #[error("{0}")]
    Failed(String),
    /// It will not be tried: the task is REJECTED.
    #[error("{0}")]
    Rejected(String),
    /// It was given up: the task is CANCELED.
    #[error("{0}")]
    Cancelled(String),
}

/// An agent: a name, its skills, and what tests ask of it.
#[derive(Clone)]
pub struct Agent {
    /// Its name on the card.
    pub name: String,
    /// What it does. With several, the entry `capability` in the metadata of a message says which one is asked for.
    pub skills: Vec<Arc<dyn Skill>>,
    /// Delays and logs for tests.
    pub instruments: Instruments,
}

impl Agent {
    /// The skill that a message asks for: an only one does whatever it is asked.
    ///
    /// # Errors
    /// Which skills there are, if none is named or none has that name.
    pub(super) fn skill(&self, asked: Option<&str>) -> Result<Arc<dyn Skill>, String> {
        if let [only] = self.skills.as_slice() {
            return Ok(only.clone());
        }
        let ids: Vec<String> = self.skills.iter().map(|skill| skill.card().id).collect();
        let found = ids.iter().position(|id| Some(id.as_str()) == asked).map(|at| self.skills[at].clone());
        found.ok_or_else(|| match asked {
            Some(asked) => format!("this agent cannot do {asked:?}, only {}", ids.join(", ")),
            None => format!("does not say which of {} is asked for", ids.join(", ")),
        })
    }
}

/// A piece of an artifact beside the result.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    pub(super) artifact_id: String,
    pub(super) part: v1::Part,
    pub(super) append: bool,
    pub(super) last: bool,
}

impl Chunk {
    /// A piece of text. `name` is the id and the name of the artifact, and the file name of its parts.
    pub fn text(name: impl Into<String>, media_type: impl Into<String>, text: impl Into<String>) -> Self {
        let name = name.into();
        let part = v1::Part {
            filename: name.clone(),
            media_type: media_type.into(),
            content: Some(Content::Text(text.into())),
            metadata: None,
        };
        Self { artifact_id: name, part, append: false, last: false }
    }

    /// A piece of bytes, otherwise as [`Chunk::text`].
    pub fn bytes(name: impl Into<String>, media_type: impl Into<String>, bytes: Vec<u8>) -> Self {
        let mut chunk = Self::text(name, media_type, "");
        chunk.part.content = Some(Content::Raw(bytes.into()));
        chunk
    }

    /// The piece continues the artifact instead of replacing it.
    #[must_use]
    pub fn append(self) -> Self {
        Self { append: true, ..self }
    }

    /// No further piece follows.
    #[must_use]
    pub fn last(self) -> Self {
        Self { last: true, ..self }
    }

    /// The result of a task. A value that protobuf's JSON would change (an integer beyond 2^53, deep nesting) goes as text.
    pub(super) fn result(value: &Value) -> Self {
        let content = match json::to_proto(value) {
            Ok(data) => Content::Data(data),
            Err(_) => Content::Text(value.to_string()),
        };
        let part = v1::Part { media_type: JSON_MEDIA_TYPE.into(), content: Some(content), ..Default::default() };
        Self { artifact_id: "result".into(), part, append: false, last: true }
    }
}

/// The input of a message: its only data part, else its texts.
///
/// # Errors
/// Several data parts, or text that claims to be JSON and is not; the message says which.
pub(super) fn input(parts: &[v1::Part]) -> Result<Value, String> {
    let data: Vec<_> = parts.iter().filter_map(data_of).collect();
    match data.as_slice() {
        [one] => return json::from_proto(one).map_err(|e| format!("the data part is not JSON: {e}")),
        [] => {}
        more => return Err(format!("{} data parts were sent, one is expected", more.len())),
    }
    if let [part] = parts
        && part.media_type.starts_with(JSON_MEDIA_TYPE)
    {
        let bytes = match &part.content {
            Some(Content::Text(text)) => text.as_bytes(),
            Some(Content::Raw(bytes)) => bytes,
            _ => return Err("a JSON part without content was sent".into()),
        };
        return serde_json::from_slice(bytes).map_err(|e| format!("the text part is not JSON: {e}"));
    }
    let texts: Vec<&str> = parts.iter().filter_map(text_of).collect();
    if texts.is_empty() {
        return Err("neither a data part nor a text part was sent".into());
    }
    Ok(Value::String(texts.join("\n")))
}

fn data_of(part: &v1::Part) -> Option<&prost_types::Value> {
    match &part.content {
        Some(Content::Data(data)) => Some(data),
        _ => None,
    }
}

fn text_of(part: &v1::Part) -> Option<&str> {
    match &part.content {
        Some(Content::Text(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(media_type: &str, text: &str) -> v1::Part {
        Chunk::text("", media_type, text).part
    }

    #[test]
    fn the_data_part_is_the_input_whatever_stands_beside_it() {
        let value = json!({"n": 3, "list": [1.5, null]});
        assert_eq!(input(&[text("text/plain", "please"), Chunk::result(&value).part]), Ok(value));
    }

    #[test]
    fn text_is_json_only_if_it_says_so() {
        assert_eq!(
            input(&[text("application/json", "{\"n\": 9007199254740993}")]),
            Ok(json!({"n": 9_007_199_254_740_993_u64}))
        );
        assert_eq!(input(&[text("", "{"), text("text/plain", "b")]), Ok(json!("{\nb")));
        assert!(input(&[text("application/json", "{")]).unwrap_err().contains("not JSON"));
    }

    #[test]
    fn no_input_and_two_inputs_are_errors() {
        let data = Chunk::result(&json!(1)).part;
        assert!(input(&[data.clone(), data]).unwrap_err().contains("2 data parts"));
        assert!(input(&[v1::Part::default()]).is_err());
    }

    #[test]
    fn an_integer_that_a_float_cannot_hold_is_sent_as_text() {
        let part = Chunk::result(&json!({"n": 9_007_199_254_740_993_u64})).part;
        assert_eq!(part.content, Some(Content::Text("{\"n\":9007199254740993}".into())));
        assert_eq!(part.media_type, JSON_MEDIA_TYPE);
    }
}
