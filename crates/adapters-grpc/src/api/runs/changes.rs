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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use async_trait::async_trait;
    use futures::StreamExt as _;
    use tokio_util::sync::CancellationToken;
    use tutti_core::ids::RunId;
    use tutti_core::ports::inbound::views::RunChange;
    use tutti_core::ports::query::RunSummary;
    use tutti_core::run::RunStatus;
    use tutti_core::time::Timestamp;
    use tutti_core::value::Digest;

    use super::*;

    type Next = Result<Option<Vec<RunChange>>, RequestError>;

    /// What a server tells, one after the other; then nothing more.
    struct Told(VecDeque<Next>);

    #[async_trait]
    impl Changes for Told {
        async fn next(&mut self) -> Next {
            match self.0.pop_front() {
                Some(next) => next,
                None => std::future::pending().await,
            }
        }
    }

    struct Clocked;

    impl Clock for Clocked {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(7)
        }
        fn random(&self) -> u128 {
            0
        }
    }

    fn change(n: u64) -> RunChange {
        let run = RunSummary {
            run: RunId::new(n, [0; 10]),
            workflow: "w".parse().unwrap(),
            version: String::new(),
            definition: Digest::of(b""),
            status: RunStatus::Running,
            steps: 1,
            completed: 0,
            failed: 0,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
            ended_at: None,
            error: None,
            key: None,
            session: None,
            labels: [].into(),
        };
        RunChange { run, matches: true }
    }

    fn told(next: impl IntoIterator<Item = Next>) -> Answer<v1::WatchRunsResponse> {
        let changes = Box::new(Told(next.into_iter().collect()));
        let closing = Closing { server: CancellationToken::new(), connection: CancellationToken::new() };
        outbox::stream(BUFFERED, closing, |outbox| feed(changes, None, Arc::new(Clocked), outbox))
    }

    #[tokio::test]
    async fn many_changes_come_in_batches_and_lost_ones_are_told() {
        let lost = RequestError::Exhausted { reason: "too much changed".to_owned(), retry_after: None };
        let mut stream = told([Ok(Some((0..BATCH as u64 + 1).map(change).collect())), Err(lost)]);
        for expected in [BATCH, 1] {
            let Some(Message::Changes(batch)) = stream.next().await.unwrap().unwrap().message else { panic!("none") };
            assert_eq!(batch.changes.len(), expected);
        }
        let error = stream.next().await.unwrap().unwrap_err();
        let reason = tutti_a2a::error::info(&error).unwrap().reason;
        assert_eq!((error.code(), reason.as_str()), (Code::Aborted, tutti_api::CHANGES_LOST));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_says_that_it_lives_and_one_without_a_server_ends() {
        let mut silent = told([]);
        for _ in 0..2 {
            let Some(Message::Heartbeat(beat)) = silent.next().await.unwrap().unwrap().message else { panic!("none") };
            assert_eq!(beat.time, Some(moment(Timestamp::from_micros(7))));
        }
        assert_eq!(told([Ok(None)]).next().await.unwrap().unwrap_err().code(), Code::Unavailable);
    }
}
