//! The stream of a watcher: pages of events from the port, pulled one after another, so that nothing can be missed.

use std::sync::Arc;
use std::time::Duration;

use tonic::Status;
use tutti_api::v1;
use tutti_api::v1::watch_run_response::Message;
use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::inbound::views::{EventsRequest, Views};

use super::convert::event_out;
use super::errors::status;
use super::outbox::{self, Answer, Closing, GoOn, HEARTBEAT, Outbox};

/// Messages that wait for the reader.
const BUFFERED: usize = 64;

/// Events read at once.
pub(super) const PAGE: usize = 256;

/// The events of a run from a number on, to its end.
///
/// # Errors
/// A run that is not there, or has not got as far as the number.
pub(super) async fn stream(
    views: Arc<dyn Views>,
    namespace: Namespace,
    run: RunId,
    from: u64,
    closing: Closing,
) -> Result<Answer<v1::WatchRunResponse>, Status> {
    let before = EventsRequest { namespace, run, from: from.max(2) - 1, limit: 1, wait: Duration::ZERO };
    let page = views.events(before.clone()).await.map_err(|error| status(&error))?;
    if from > 1 && page.events.is_empty() {
        return Err(Status::out_of_range(format!("the run has no event {} yet", from - 1)));
    }
    let request = EventsRequest { from, limit: PAGE, wait: HEARTBEAT, ..before };
    Ok(outbox::stream(BUFFERED, closing, |outbox| feed(views, request, outbox)))
}

/// Sends events until the run has ended.
async fn feed(
    views: Arc<dyn Views>,
    mut request: EventsRequest,
    outbox: Outbox<v1::WatchRunResponse>,
) -> Result<(), Status> {
    loop {
        let page = views.events(request.clone()).await.map_err(|error| status(&error))?;
        if page.events.is_empty() {
            if page.ended {
                return Ok(());
            }
            let heartbeat = v1::Heartbeat { last_seq: request.from - 1 };
            send(&outbox, Message::Heartbeat(heartbeat), request.from - 1).await?;
        }
        for event in &page.events {
            send(&outbox, Message::Event(event_out(event)?), request.from - 1).await?;
            request.from = event.seq + 1;
        }
    }
}

async fn send(outbox: &Outbox<v1::WatchRunResponse>, message: Message, sent: u64) -> Result<(), Status> {
    outbox.send(v1::WatchRunResponse { message: Some(message) }, || GoOn::after(sent)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use futures::{Stream, StreamExt as _};
    use tokio::time::timeout;
    use tokio_util::sync::CancellationToken;
    use tonic::Code;
    use tutti_core::ports::filter::RunFilter;
    use tutti_core::ports::inbound::RequestError;
    use tutti_core::ports::inbound::views::{Changes, EventPage, ListRequest};
    use tutti_core::ports::query::{RunCounts, RunPage};
    use tutti_core::ports::store::EncodedEvent;
    use tutti_core::report::{Explanation, RunView};
    use tutti_core::run::blob_of_json;
    use tutti_core::time::Timestamp;

    use crate::api::outbox::PATIENCE;

    /// A run with so many events that ends or does not.
    struct Events(u64, bool);

    #[async_trait]
    impl Views for Events {
        async fn get(&self, _: &Namespace, _: RunId) -> Result<RunView, RequestError> {
            unreachable!()
        }
        async fn list(&self, _: ListRequest) -> Result<RunPage, RequestError> {
            unreachable!()
        }
        async fn count(&self, _: &Namespace, _: &RunFilter) -> Result<RunCounts, RequestError> {
            unreachable!()
        }
        async fn explain(&self, _: &Namespace, _: RunId, _: Option<&str>) -> Result<Explanation, RequestError> {
            unreachable!()
        }
        async fn changes(&self, _: &Namespace, _: &RunFilter) -> Result<Box<dyn Changes>, RequestError> {
            unreachable!()
        }
        async fn events(&self, request: EventsRequest) -> Result<EventPage, RequestError> {
            let event = |seq| EncodedEvent {
                seq,
                at: Timestamp::from_micros(0),
                kind: 3,
                version: 1,
                blob: blob_of_json("{}"),
            };
            let events: Vec<EncodedEvent> = (request.from..=self.0).take(request.limit).map(event).collect();
            if events.is_empty() && !self.1 {
                tokio::time::advance(request.wait).await;
            }
            Ok(EventPage { events, ended: self.1 })
        }
    }

    async fn watch(
        events: Events,
        from: u64,
    ) -> Result<impl Stream<Item = Result<v1::WatchRunResponse, Status>>, Status> {
        let run = RunId::new(0, [0; 10]);
        let closing = Closing { server: CancellationToken::new(), connection: CancellationToken::new() };
        Ok(Box::pin(stream(Arc::new(events), Namespace::default(), run, from, closing).await?))
    }

    fn seq(message: &v1::WatchRunResponse) -> u64 {
        match message.message.as_ref().unwrap() {
            Message::Event(event) => event.seq,
            Message::Heartbeat(heartbeat) => heartbeat.last_seq,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_begins_where_it_is_asked_to_and_ends_with_the_run() {
        let seen: Vec<u64> = watch(Events(1_000, true), 7).await.unwrap().map(|m| seq(&m.unwrap())).collect().await;
        assert!(seen.into_iter().eq(7..=1_000));
        assert_eq!(watch(Events(5, true), 6).await.unwrap().count().await, 0, "just after the end");
        assert_eq!(watch(Events(5, true), 7).await.err().unwrap().code(), Code::OutOfRange);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_says_that_it_lives() {
        let mut stream = watch(Events(2, false), 1).await.unwrap();
        for expected in [1, 2, 2, 2] {
            assert_eq!(seq(&stream.next().await.unwrap().unwrap()), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_its_connection() {
        let closing = Closing { server: CancellationToken::new(), connection: CancellationToken::new() };
        let run = RunId::new(1, [0; 10]);
        let old = closing.connection.clone();
        let stream = stream(Arc::new(Events(2, false)), Namespace::default(), run, 1, closing).await.unwrap();
        let mut stream = Box::pin(stream);
        assert_eq!(seq(&stream.next().await.unwrap().unwrap()), 1);
        old.cancel();
        let end = loop {
            if let Err(end) = stream.next().await.unwrap() {
                break end;
            }
        };
        assert_eq!(end.code(), Code::Unavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_told_where_to_go_on_and_misses_nothing() {
        let mut stream = watch(Events(1_000, true), 1).await.unwrap();
        // It takes nothing for longer than it may.
        let _ = timeout(PATIENCE * 2, std::future::pending::<()>()).await;
        let mut last = 0;
        let error = loop {
            match stream.next().await.unwrap() {
                Ok(message) => {
                    assert_eq!(seq(&message), last + 1);
                    last += 1;
                }
                Err(error) => break error,
            }
        };
        assert_eq!((error.code(), last), (Code::Aborted, BUFFERED as u64));
        let info = tutti_a2a::error::info(&error).unwrap();
        assert_eq!((info.reason.as_str(), info.metadata["last_seq"].clone()), ("SLOW_READER", last.to_string()));
        assert!(stream.next().await.is_none());
    }
}
