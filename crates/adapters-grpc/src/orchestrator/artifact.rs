//! What a run made: the artifacts of its steps, and its result.

use bytes::Bytes;
use prost::Message as _;
use prost_types::Value;
use serde_json::json;
use tonic::Status;
use tutti_a2a::v1::{self, part::Content};
use tutti_a2a::{JSON_MEDIA_TYPE, json};
use tutti_core::ids::{Namespace, RunId};
use tutti_core::plan::{Plan, StepIndex, run_data};
use tutti_core::report::RunView;
use tutti_core::run::ArtifactRecorded;
use tutti_core::value::{DataTree, Json};

use super::OrchestratorAgent;
use super::refusal::of_task;
use crate::api::data;

/// Id and name of the artifact that is the run's result. Those of steps have a slash in their id.
pub(super) const RESULT: &str = "result";

/// Largest piece of an artifact in a stream.
const PIECE: usize = 256 * 1024;

/// Largest result that travels as a data part, encoded; larger ones travel as JSON text, which can be cut into pieces.
/// gRPC libraries take 4 MiB unless told otherwise.
const MAX_DATA_PART: usize = 3 * 1024 * 1024;

/// The media type of an artifact that is a link (RFC 2483), as it is recorded of agents that give links.
const LINK_MEDIA_TYPE: &str = "text/uri-list";

/// An artifact, whole.
pub(super) struct Product {
    /// Without parts.
    artifact: v1::Artifact,
    media_type: String,
    filename: String,
    body: Body,
}

enum Body {
    Text(String),
    Raw(Bytes),
    Link(String),
    Value(Value),
}

/// A piece of an artifact in a stream.
pub(super) struct Piece {
    pub(super) artifact: v1::Artifact,
    pub(super) append: bool,
    pub(super) last: bool,
}

impl OrchestratorAgent {
    /// An artifact of a step.
    pub(super) async fn product(
        &self,
        namespace: &Namespace,
        run: RunId,
        of: &ArtifactRecorded,
    ) -> Result<Product, Status> {
        let bytes = self.values.payload(namespace, run, of.content).await.map_err(|error| of_task(&error))?;
        let media_type = of.media_type.clone().unwrap_or_default();
        // Only what is text by its type: JSON as text would be a value, and a task's values are its result.
        let body = match media_type.starts_with("text/").then(|| str::from_utf8(&bytes)) {
            Some(Ok(link)) if media_type == LINK_MEDIA_TYPE => Body::Link(link.to_owned()),
            Some(Ok(text)) => Body::Text(text.to_owned()),
            _ => Body::Raw(bytes),
        };
        Ok(Product { artifact: head(of), media_type, filename: of.name.clone(), body })
    }

    /// The result of a completed run: what its steps wrote into its data. If they write nothing there, the outputs of the
    /// last steps (those that no other depends on) by step.
    pub(super) async fn result(&self, namespace: &Namespace, view: &RunView) -> Result<Product, Status> {
        let plan = view.plan();
        let writes = view.steps().any(|step| !step.step.output.is_empty());
        let mut outputs: Vec<Option<Json>> = vec![None; plan.len()];
        for step in view.steps() {
            let counts = if writes { !step.step.output.is_empty() } else { is_last(plan, step.index) };
            if let (Some(output), Some(run), true) = (step.output, view.run(), counts) {
                outputs[step.index as usize] = Some(data::value(&*self.values, namespace, run, output).await?);
            }
        }
        let value = if writes {
            run_data(plan, &Json::empty_object(), |step| outputs[step as usize].clone())
        } else {
            let mut tree = DataTree::new(Json::empty_object());
            for (step, output) in view.steps().zip(outputs) {
                if let Some(output) = output {
                    tree.set_member(step.id().as_str(), output);
                }
            }
            tree.to_json()
        };
        let artifact =
            v1::Artifact { artifact_id: RESULT.to_owned(), name: RESULT.to_owned(), ..v1::Artifact::default() };
        let (body, media_type) = value_body(&value);
        Ok(Product { artifact, media_type, filename: String::new(), body })
    }
}

impl Product {
    /// A link in the place of an artifact that is too large to be told whole.
    pub(super) fn link(run: RunId, of: &ArtifactRecorded) -> Self {
        Self::instead(run, head(of))
    }

    /// The same for one that was read already.
    pub(super) fn into_link(self, run: RunId) -> Self {
        Self::instead(run, self.artifact)
    }

    fn instead(run: RunId, artifact: v1::Artifact) -> Self {
        let body = Body::Link(format!("tutti:runs/{run}/artifacts/{}", artifact.artifact_id));
        Self { artifact, media_type: String::new(), filename: String::new(), body }
    }

    /// Bytes of the content, as encoded on the wire.
    pub(super) fn len(&self) -> usize {
        match &self.body {
            Body::Text(text) | Body::Link(text) => text.len(),
            Body::Raw(bytes) => bytes.len(),
            Body::Value(value) => value.encoded_len(),
        }
    }

    /// In one piece.
    pub(super) fn whole(self) -> v1::Artifact {
        let Self { artifact, media_type, filename, body } = self;
        let content = match body {
            Body::Text(text) => Content::Text(text),
            Body::Raw(bytes) => Content::Raw(bytes),
            Body::Link(link) => Content::Url(link),
            Body::Value(value) => Content::Data(value),
        };
        v1::Artifact { parts: vec![part(content, media_type, filename)], ..artifact }
    }

    /// In pieces as a stream takes them; values and links are not cut.
    pub(super) fn pieces(self) -> Vec<Piece> {
        let contents: Vec<Content> = match self.body {
            Body::Text(text) if text.len() > PIECE => {
                cut_text(&text).map(|text| Content::Text(text.to_owned())).collect()
            }
            Body::Raw(bytes) if bytes.len() > PIECE => cut(&bytes).map(Content::Raw).collect(),
            _ => return vec![Piece { artifact: self.whole(), append: false, last: true }],
        };
        let count = contents.len();
        let piece = |(index, content)| Piece {
            artifact: v1::Artifact {
                parts: vec![part(content, self.media_type.clone(), self.filename.clone())],
                ..self.artifact.clone()
            },
            append: index > 0,
            last: index + 1 == count,
        };
        contents.into_iter().enumerate().map(piece).collect()
    }
}

/// A value as a part: data, or JSON text where protobuf would change it, or a part could not be cut.
pub(super) fn value_part(value: &Json) -> v1::Part {
    let (body, media_type) = value_body(value);
    let content = match body {
        Body::Value(value) => Content::Data(value),
        _ => Content::Text(value.as_str().to_owned()),
    };
    part(content, media_type, String::new())
}

fn value_body(value: &Json) -> (Body, String) {
    let bytes = value.bytes();
    let data = if bytes.len() <= MAX_DATA_PART && json::is_lossless(bytes) { json::parse(bytes).ok() } else { None };
    match data.filter(|data| data.encoded_len() <= MAX_DATA_PART) {
        Some(data) => (Body::Value(data), String::new()),
        None => (Body::Text(value.as_str().to_owned()), JSON_MEDIA_TYPE.to_owned()),
    }
}

/// The artifact of a step without its content. Its id is told by the agent, and unique with the step.
fn head(of: &ArtifactRecorded) -> v1::Artifact {
    let metadata = json!({"step": of.step.as_str(), "bytes": of.content.len});
    v1::Artifact {
        artifact_id: format!("{}/{}", of.step, of.artifact),
        name: of.name.clone(),
        metadata: metadata.as_object().and_then(|metadata| json::to_struct(metadata).ok()),
        ..v1::Artifact::default()
    }
}

fn part(content: Content, media_type: String, filename: String) -> v1::Part {
    v1::Part { content: Some(content), media_type, filename, ..v1::Part::default() }
}

fn is_last(plan: &Plan, step: StepIndex) -> bool {
    plan.topology().successors(step).is_empty()
}

fn cut(bytes: &Bytes) -> impl Iterator<Item = Bytes> {
    (0..bytes.len()).step_by(PIECE).map(|from| bytes.slice(from..bytes.len().min(from + PIECE)))
}

fn cut_text(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, tail) = rest.split_at(rest.floor_char_boundary(PIECE));
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(body: Body) -> Product {
        let artifact = v1::Artifact { artifact_id: "s/a".to_owned(), ..Default::default() };
        Product { artifact, media_type: "text/plain".to_owned(), filename: "a".to_owned(), body }
    }

    fn text_of(artifact: &v1::Artifact) -> &str {
        match artifact.parts[0].content.as_ref() {
            Some(Content::Text(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn large_texts_are_cut_between_characters_and_small_ones_are_not() {
        let text = "é".repeat(PIECE + 1);
        let pieces = product(Body::Text(text.clone())).pieces();
        assert!(pieces.iter().all(|piece| text_of(&piece.artifact).len() <= PIECE));
        assert_eq!(pieces.iter().map(|piece| text_of(&piece.artifact)).collect::<String>(), text);
        let flags: Vec<_> = pieces.iter().map(|piece| (piece.append, piece.last)).collect();
        assert_eq!(flags, [(false, false), (true, false), (true, true)]);
        let small = product(Body::Text("x".to_owned())).pieces();
        assert_eq!((small.len(), small[0].append, small[0].last), (1, false, true));
        let raw = product(Body::Raw(Bytes::from(vec![7; 2 * PIECE]))).pieces();
        assert_eq!(raw.len(), 2);
    }

    #[test]
    fn values_travel_as_data_unless_that_would_change_them_or_they_are_large() {
        let content = |text: String| value_part(&Json::parse(text).unwrap()).content.unwrap();
        assert!(matches!(content("{\"n\":0.5}".to_owned()), Content::Data(_)));
        for text in ["{\"n\":12345678901234567890}".to_owned(), format!("[{}0]", "1,".repeat(400_000))] {
            assert_eq!(content(text.clone()), Content::Text(text));
        }
    }

    #[test]
    fn what_is_left_out_is_a_link() {
        let run = RunId::new(1, [0; 10]);
        let link = product(Body::Text("x".to_owned())).into_link(run).whole();
        let expected = format!("tutti:runs/{run}/artifacts/s/a");
        assert_eq!(link.parts[0].content, Some(Content::Url(expected)));
    }
}
