//! What servers answer bit by bit.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;
use tonic::{Status, Streaming};
use tutti_api::v1;
use tutti_api::v1::{download_artifact_response, watch_run_response, watch_runs_response};
use tutti_core::limits::MAX_VALUE_BYTES;
use tutti_core::ports::inbound::views::RunChange;
use tutti_core::ports::query::{RunPage, RunSummary};
use tutti_core::run::{ArtifactRecorded, Recorded, decode};
use tutti_core::value::Digest;

use super::super::convert::{artifact_in, change_in, event_in, summary_in};
use super::super::outbox::HEARTBEAT;
use super::{ApiError, text, unread};

/// How long a server that tells its streams that it is there may be silent: as long as three of its heartbeats.
const SILENCE: Duration = HEARTBEAT.saturating_mul(3);

/// The events of a run.
#[derive(Debug)]
pub struct EventStream(Streaming<v1::WatchRunResponse>);

impl EventStream {
    pub(super) const fn new(stream: Streaming<v1::WatchRunResponse>) -> Self {
        Self(stream)
    }

    /// The next event; `None` after the last one of a run that has ended.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn next(&mut self) -> Result<Option<Recorded>, ApiError> {
        while let Some(response) = heard(self.0.message()).await? {
            if let Some(watch_run_response::Message::Event(event)) = response.message {
                let stored = event_in(&event).map_err(unread)?;
                return decode(&stored).map(Some).map_err(unread);
            }
        }
        Ok(None)
    }
}

/// The runs that change.
#[derive(Debug)]
pub struct ChangeStream(Streaming<v1::WatchRunsResponse>);

/// What a stream of changes tells.
#[derive(Debug, Clone)]
pub enum RunsNews {
    /// The runs that are there, the newest ones; told first, if it was asked for.
    Existing(RunPage),
    /// Runs that changed.
    Changed(Vec<RunChange>),
}

impl ChangeStream {
    pub(super) const fn new(stream: Streaming<v1::WatchRunsResponse>) -> Self {
        Self(stream)
    }

    /// The next news; goes on until the server stops.
    ///
    /// # Errors
    /// [`ApiError`]; after [`ApiError::Interrupted`] changes were lost: ask anew, with the runs that are there.
    pub async fn next(&mut self) -> Result<Option<RunsNews>, ApiError> {
        while let Some(response) = heard(self.0.message()).await? {
            match response.message {
                Some(watch_runs_response::Message::Existing(page)) => {
                    let runs: Result<Vec<RunSummary>, String> = page.runs.into_iter().map(summary_in).collect();
                    let page = RunPage { runs: runs.map_err(unread)?, next: text(page.next_page_token) };
                    return Ok(Some(RunsNews::Existing(page)));
                }
                Some(watch_runs_response::Message::Changes(batch)) => {
                    let changes: Result<Vec<RunChange>, String> = batch.changes.into_iter().map(change_in).collect();
                    return Ok(Some(RunsNews::Changed(changes.map_err(unread)?)));
                }
                Some(watch_runs_response::Message::Heartbeat(_)) | None => {}
            }
        }
        Ok(None)
    }
}

/// The content of an artifact, on its way.
#[derive(Debug)]
pub struct ArtifactDownload {
    /// What it is.
    pub artifact: ArtifactRecorded,
    stream: Streaming<v1::DownloadArtifactResponse>,
}

impl ArtifactDownload {
    pub(super) async fn begin(mut stream: Streaming<v1::DownloadArtifactResponse>) -> Result<Self, ApiError> {
        let first = stream.message().await?.and_then(|response| response.message);
        let Some(download_artifact_response::Message::Artifact(artifact)) = first else {
            return Err(unread("a download that does not begin with what it is"));
        };
        Ok(Self { artifact: artifact_in(artifact).map_err(unread)?, stream })
    }

    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// [`ApiError`]; what came so far is good, and the rest is to be had from there on.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        while let Some(response) = self.stream.message().await? {
            if let Some(download_artifact_response::Message::Chunk(chunk)) = response.message {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// All of it, checked against its hash; for a download from the beginning.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn all(mut self) -> Result<Bytes, ApiError> {
        let mut content = BytesMut::new();
        while let Some(chunk) = self.next().await? {
            content.extend_from_slice(&chunk);
            if content.len() > MAX_VALUE_BYTES {
                return Err(unread("an artifact that is larger than artifacts are"));
            }
        }
        if Digest::of(&content) != self.artifact.content.hash {
            return Err(unread("an artifact that is not what its hash says"));
        }
        Ok(content.freeze())
    }
}

/// What happens because of a request.
#[derive(Debug)]
pub struct ExecuteStream(Streaming<v1::ExecuteStreamResponse>);

impl ExecuteStream {
    pub(super) const fn new(stream: Streaming<v1::ExecuteStreamResponse>) -> Self {
        Self(stream)
    }

    /// The next message, heartbeats left out; `None` after the end of the run.
    ///
    /// # Errors
    /// [`ApiError`]; the same request goes on after the last message by its sequence number and part.
    pub async fn next(&mut self) -> Result<Option<v1::ExecuteStreamResponse>, ApiError> {
        use v1::execute_stream_response::Event;
        while let Some(response) = heard(self.0.message()).await? {
            if !matches!(response.event, Some(Event::Heartbeat(_)) | None) {
                return Ok(Some(response));
            }
        }
        Ok(None)
    }
}

/// The next message of a stream that has heartbeats.
async fn heard<M>(message: impl Future<Output = Result<Option<M>, Status>>) -> Result<Option<M>, ApiError> {
    let silent = |_| ApiError::Unavailable(format!("nothing was heard of it for {} seconds", SILENCE.as_secs()));
    Ok(timeout(SILENCE, message).await.map_err(silent)??)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_without_heartbeats_is_one_whose_server_is_gone() {
        let late = async {
            let _ = timeout(HEARTBEAT * 2, pending::<()>()).await;
            Ok(Some(1))
        };
        assert_eq!(heard(late).await, Ok(Some(1)));
        let begun = Instant::now();
        let silent = heard::<u8>(pending()).await;
        assert!(matches!(silent, Err(ApiError::Unavailable(_))), "{silent:?}");
        assert_eq!(begun.elapsed().as_secs(), SILENCE.as_secs());
    }
}
