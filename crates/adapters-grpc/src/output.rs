//! What a finished task answers: which of its content is the step's output and what goes beside it as artifacts.
//!
//! The output is taken from the task's artifacts; when they hold neither values nor text, from the final message:
//! - exactly one value: that value;
//! - several values, all objects: merged in order, of equal names the later wins;
//! - several values, not all objects: an array of them;
//! - no value: the text, joined, as a JSON string;
//! - nothing but files or links: `{"artifacts": [names]}`;
//! - nothing at all: the error `EMPTY_ANSWER`.
//!
//! A value is a data part, or text of media type `application/json` that is JSON (how numbers travel that a 64-bit
//! float cannot hold). Every artifact is kept as such too, except one that is nothing but the one value that became the
//! output.

use std::collections::BTreeMap;

use tutti_a2a::{JSON_MEDIA_TYPE, json};
use tutti_core::limits::MAX_ARTIFACTS;
use tutti_core::ports::agent::{AgentError, AgentErrorKind, AgentReport, Answer, Artifact};
use tutti_core::value::{self, Json};

use crate::fault::broken;
use crate::pieces::{Body, Piece, Pieces};

/// The media type of an artifact that is a link to its content (RFC 2483).
const LINK_MEDIA_TYPE: &str = "text/uri-list";

/// A named group of content: an artifact, or a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The artifact's or message's id.
    pub id: String,
    /// Its name, if it has one.
    pub name: String,
    /// What is in it.
    pub pieces: Pieces,
}

/// The answer of a completed task with these artifacts and this final message.
///
/// # Errors
/// `EmptyAnswer` when there is nothing in it; `InvalidAnswer` when a value is no JSON or there is too much.
pub fn answer(
    artifacts: Vec<Group>,
    message: Option<Group>,
    report: Option<Box<AgentReport>>,
) -> Result<Answer, AgentError> {
    let mut artifacts = Content::of(artifacts)?;
    let mut output = artifacts.output()?;
    if output.is_some() {
        artifacts.drop_output();
    } else if let Some(message) = message {
        let mut message = Content::of(vec![message])?;
        output = message.output()?;
        // What a message says is its text and values; only files and links are products.
        message.items.retain(|item| matches!(item.kind, Kind::File));
        artifacts.items.append(&mut message.items);
    }
    let artifacts = artifacts.into_artifacts()?;
    let output = match output {
        Some(output) => output,
        None if artifacts.iter().any(|artifact| !artifact.bytes.is_empty()) => names(&artifacts)?,
        None => return Err(AgentError::new(AgentErrorKind::EmptyAnswer, "the task is complete but says nothing")),
    };
    Ok(Answer::Completed { output, artifacts, report })
}

/// The content of some groups, each piece converted.
struct Content {
    items: Vec<Item>,
}

struct Item {
    artifact: Artifact,
    kind: Kind,
    /// True when the piece is its whole group.
    whole: bool,
}

enum Kind {
    Value(Json),
    Text,
    File,
}

impl Content {
    fn of(groups: Vec<Group>) -> Result<Self, AgentError> {
        let mut items = Vec::new();
        for group in groups {
            let list = group.pieces.into_list();
            let whole = list.len() == 1;
            for (index, piece) in list.into_iter().enumerate() {
                let id = if whole { group.id.clone() } else { format!("{}/{}", group.id, index + 1) };
                items.push(Item::of(piece, id, &group.name, whole)?);
            }
        }
        Ok(Self { items })
    }

    fn values(&self) -> Vec<&Json> {
        let values = self.items.iter().filter_map(|item| match &item.kind {
            Kind::Value(value) => Some(value),
            _ => None,
        });
        values.collect()
    }

    fn output(&self) -> Result<Option<Json>, AgentError> {
        match self.values().as_slice() {
            [] => self.text(),
            [value] => Ok(Some((*value).clone())),
            values if values.iter().all(|value| value.is_object()) => {
                let members: BTreeMap<_, _> =
                    values.iter().filter_map(|value| value::members(value)).flatten().collect();
                json_of(&members).map(Some)
            }
            values => json_of(values).map(Some),
        }
    }

    fn text(&self) -> Result<Option<Json>, AgentError> {
        let mut text = String::new();
        for item in self.items.iter().filter(|item| matches!(item.kind, Kind::Text)) {
            text.push_str(&String::from_utf8_lossy(&item.artifact.bytes));
        }
        if text.is_empty() { Ok(None) } else { json_of(&text).map(Some) }
    }

    /// Leaves out the artifact that is nothing but the output.
    fn drop_output(&mut self) {
        if self.values().len() == 1 {
            self.items.retain(|item| !(item.whole && matches!(item.kind, Kind::Value(_))));
        }
    }

    fn into_artifacts(self) -> Result<Vec<Artifact>, AgentError> {
        if self.items.len() > MAX_ARTIFACTS {
            return Err(broken(format!("{} artifacts, more than {MAX_ARTIFACTS}", self.items.len())));
        }
        Ok(self.items.into_iter().map(|item| item.artifact).collect())
    }
}

impl Item {
    fn of(mut piece: Piece, id: String, group_name: &str, whole: bool) -> Result<Self, AgentError> {
        let kind = match &piece.body {
            Body::Data(value) => {
                let text = json::print(value).map_err(|error| broken(format!("a value is no JSON: {error}")))?;
                Kind::Value(json_from(text)?)
            }
            Body::Text(text) if is_json(&piece.media_type) => Json::parse(text.clone()).map_or(Kind::Text, Kind::Value),
            Body::Text(_) => Kind::Text,
            Body::Raw(_) | Body::Url(_) => Kind::File,
        };
        let bytes = match &kind {
            Kind::Value(value) => value.bytes().clone(),
            Kind::Text | Kind::File => piece.body.take_bytes(),
        };
        let name = [if whole { group_name } else { &piece.filename }, &piece.filename, group_name, &id]
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or_default()
            .to_owned();
        let media_type = media_type(&piece, &kind);
        Ok(Self { artifact: Artifact { id, name, media_type, bytes }, kind, whole })
    }
}

fn media_type(piece: &Piece, kind: &Kind) -> Option<String> {
    if let Body::Url(_) = piece.body {
        return Some(LINK_MEDIA_TYPE.to_owned());
    }
    if !piece.media_type.is_empty() {
        return Some(piece.media_type.clone());
    }
    match kind {
        Kind::Value(_) => Some(JSON_MEDIA_TYPE.to_owned()),
        Kind::Text => Some("text/plain".to_owned()),
        Kind::File => None,
    }
}

/// True for `application/json` with or without parameters.
fn is_json(media_type: &str) -> bool {
    media_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(JSON_MEDIA_TYPE))
}

fn names(artifacts: &[Artifact]) -> Result<Json, AgentError> {
    let names: Vec<_> = artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
    json_of(&BTreeMap::from([("artifacts", names)]))
}

fn json_of<T: serde::Serialize + ?Sized>(value: &T) -> Result<Json, AgentError> {
    Json::of(value).map_err(|error| broken(format!("the output is {error}")))
}

fn json_from(text: Vec<u8>) -> Result<Json, AgentError> {
    Json::parse(text).map_err(|error| broken(format!("a value is {error}")))
}

#[cfg(test)]
mod tests;
