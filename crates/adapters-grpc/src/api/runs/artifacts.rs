//! What agents produced beside the outputs of steps.

use bytes::Bytes;
use tonic::Status;
use tutti_api::v1;
use tutti_api::v1::download_artifact_response::Message;
use tutti_core::ids::{Namespace, RunId};
use tutti_core::plan::StepIndex;
use tutti_core::ports::cursor;
use tutti_core::report::RunView;
use tutti_core::run::ArtifactRecorded;
use tutti_core::value::PayloadRef;

use super::super::Inbound;
use super::super::convert::artifact_out;
use super::super::errors::{page_size, status, wrong};
use super::super::outbox::{self, Answer, Closing, GoOn, Outbox};

/// Artifacts on a page if the caller does not say.
const PAGE: usize = 50;

/// Pieces that wait for the reader.
const BUFFERED: usize = 4;

/// A page of a run's artifacts.
pub(super) fn list(view: &RunView, asked: &v1::ListArtifactsRequest) -> Result<v1::ListArtifactsResponse, Status> {
    let limit = page_size(asked.page_size)?;
    let limit = if limit == 0 { PAGE } else { limit };
    let list = format!("artifacts {} {}", asked.run_id, asked.step);
    let after = after(&list, &asked.page_token)?;
    let mut rest = places(view, &asked.step)?.filter(|(place, _)| after.is_none_or(|after| *place > after)).peekable();
    let mut artifacts = Vec::new();
    let mut last = None;
    for (place, artifact) in rest.by_ref().take(limit) {
        artifacts.push(artifact_out(artifact));
        last = Some(place);
    }
    let next = last.filter(|_| rest.peek().is_some());
    let next = next.map(|(step, number)| cursor::encode_name(&list, &format!("{step}.{number}")));
    Ok(v1::ListArtifactsResponse { artifacts, next_page_token: next.unwrap_or_default() })
}

/// The place that a page token follows.
fn after(list: &str, token: &str) -> Result<Option<(StepIndex, usize)>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let place = cursor::decode_name(list, token).ok();
    let place = place.as_ref().and_then(|place| place.split_once('.'));
    let place = place.and_then(|(step, number)| Some((step.parse().ok()?, number.parse().ok()?)));
    place.map(Some).ok_or_else(|| wrong("page_token", "was not given out by this server for these artifacts"))
}

/// The artifacts of a step, or of all, each with its place.
fn places<'v>(
    view: &'v RunView,
    step: &str,
) -> Result<impl Iterator<Item = ((StepIndex, usize), &'v ArtifactRecorded)>, Status> {
    let only = if step.is_empty() { None } else { Some(find_step(view, step)?) };
    let steps = view.all_steps().filter(move |step| only.is_none_or(|only| step.index == only));
    Ok(steps.flat_map(|step| {
        step.artifacts.iter().enumerate().map(move |(number, artifact)| ((step.index, number), artifact))
    }))
}

/// A step by its path.
pub(super) fn find_step(view: &RunView, path: &str) -> Result<StepIndex, Status> {
    let found = path.parse().ok().and_then(|path| view.plan().find(&path));
    found.ok_or_else(|| wrong("step", "is not a step of this run"))
}

/// The one artifact that a request names.
pub(super) fn choose<'v>(
    view: &'v RunView,
    asked: &v1::DownloadArtifactRequest,
) -> Result<&'v ArtifactRecorded, Status> {
    if asked.artifact_id.is_empty() && asked.name.is_empty() {
        return Err(wrong("name", "is required, or artifact_id"));
    }
    let fits = |artifact: &&ArtifactRecorded| {
        (asked.artifact_id.is_empty() || artifact.artifact == asked.artifact_id)
            && (asked.name.is_empty() || artifact.name == asked.name)
    };
    let mut fitting = places(view, &asked.step)?.map(|(_, artifact)| artifact).filter(fits);
    let found = fitting.next().ok_or_else(|| Status::not_found("the run has no such artifact"))?;
    match fitting.next() {
        None => Ok(found),
        Some(other) if other.step == found.step => {
            Err(wrong("artifact_id", "is required: several artifacts of the step have this name"))
        }
        Some(other) => {
            let reason = format!("is required: the steps {} and {} have such an artifact", found.step, other.step);
            Err(wrong("step", reason))
        }
    }
}

/// The content of an artifact from an offset on.
///
/// # Errors
/// An offset beyond the end, or content that cannot be read.
pub(super) async fn download(
    inbound: &Inbound,
    (namespace, run): (&Namespace, RunId),
    artifact: &ArtifactRecorded,
    offset: u64,
    closing: Closing,
) -> Result<Answer<v1::DownloadArtifactResponse>, Status> {
    let PayloadRef { len, .. } = artifact.content;
    if offset > len {
        return Err(Status::out_of_range(format!("the artifact has {len} bytes")));
    }
    let content = inbound.values.payload(namespace, run, artifact.content).await.map_err(|error| status(&error))?;
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
    let head = artifact_out(artifact);
    Ok(outbox::stream(BUFFERED, closing, |outbox| feed(head, content, start, outbox)))
}

async fn feed(
    head: v1::Artifact,
    content: Bytes,
    start: usize,
    outbox: Outbox<v1::DownloadArtifactResponse>,
) -> Result<(), Status> {
    let send = async |message, sent: usize| {
        let go_on = || GoOn { message: format!("go on from offset {sent}"), at: None };
        outbox.send(v1::DownloadArtifactResponse { message: Some(message) }, go_on).await
    };
    send(Message::Artifact(head), start).await?;
    let mut at = start;
    while at < content.len() {
        let end = content.len().min(at + tutti_api::CHUNK_BYTES);
        send(Message::Chunk(content.slice(at..end)), at).await?;
        at = end;
    }
    Ok(())
}
