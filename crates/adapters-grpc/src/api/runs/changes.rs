//! The stream of runs that change.

use std::sync::Arc;

use tokio::time::timeout;
use tonic::{Code, Status};
use tutti_api::v1;
use tutti_api::v1::watch_runs_response::Message;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::views::{Changes, ListRequest};
use tutti_core::ports::query::{ListRuns, RunPage};

use super::super::Inbound;
use super::super::convert::{change_out, moment, summary_out};
use super::super::errors::{info, status};
use super::super::outbox::{self, Answer, Closing, GoOn, HEARTBEAT, Outbox};

/// Messages that wait for the reader: few, so that what changes meanwhile is conflated and not kept.
const BUFFERED: usize = 2;

/// Most runs in one message.
const BATCH: usize = 500;

/// Most runs in the first message.
const EXISTING: usize = 1_000;

/// The runs that a filter takes and that change.
///
/// # Errors
/// Runs that cannot be listed or followed.
pub(super) async fn stream(
    inbound: &Inbound,
    mut query: ListRuns,
    include_existing: bool,
    closing: Closing,
) -> Result<Answer<v1::WatchRunsResponse>, Status> {
    // Followed before they are listed: what changes in between is told twice rather than never.
    let changes = inbound.views.changes(&query.namespace, &query.filter).await.map_err(|error| status(&error))?;
    let mut existing = None;
    if include_existing {
        query.limit = EXISTING;
        let page = inbound.views.list(ListRequest { query, prefix: None }).await.map_err(|error| status(&error))?;
        existing = Some(page_out(&page));
    }
    let clock = inbound.clock.clone();
    Ok(outbox::stream(BUFFERED, closing, |outbox| feed(changes, existing, clock, outbox)))
}

/// A page of runs as an answer.
pub(super) fn page_out(page: &RunPage) -> v1::ListRunsResponse {
    v1::ListRunsResponse {
        runs: page.runs.iter().map(summary_out).collect(),
        next_page_token: page.next.clone().unwrap_or_default(),
    }
}

async fn feed(
    mut changes: Box<dyn Changes>,
    existing: Option<v1::ListRunsResponse>,
    clock: Arc<dyn Clock>,
    outbox: Outbox<v1::WatchRunsResponse>,
) -> Result<(), Status> {
    if let Some(existing) = existing {
        send(&outbox, Message::Existing(existing)).await?;
    }
    loop {
        let heartbeat = || v1::RunsHeartbeat { time: Some(moment(clock.now())) };
        let Ok(next) = timeout(HEARTBEAT, changes.next()).await else {
            send(&outbox, Message::Heartbeat(heartbeat())).await?;
            continue;
        };
        match next {
            Ok(Some(changed)) => {
                for batch in changed.chunks(BATCH) {
                    let changes = batch.iter().map(change_out).collect();
                    send(&outbox, Message::Changes(v1::RunChanges { changes })).await?;
                }
            }
            Ok(None) => return Err(Status::unavailable("the server stops; go on at the next one")),
            Err(RequestError::Exhausted { reason, .. }) => {
                let info = info(tutti_api::CHANGES_LOST, [].into());
                return Err(tutti_a2a::error::with_info(Code::Aborted, reason, &info));
            }
            Err(error) => return Err(status(&error)),
        }
    }
}

async fn send(outbox: &Outbox<v1::WatchRunsResponse>, message: Message) -> Result<(), Status> {
    let go_on = || GoOn { message: "ask again with include_existing".to_owned(), at: None };
    outbox.send(v1::WatchRunsResponse { message: Some(message) }, go_on).await
}
