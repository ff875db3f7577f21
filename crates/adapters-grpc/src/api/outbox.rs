//! A stream to a reader who has to keep up: what waits for it is bounded, and how long it may wait is too. Nothing is
//! left out silently; who is too slow is sent away and told where to go on.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};

use super::errors::info;
use crate::serve::ConnectionClosing;

/// How long a stream may be silent.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a reader may take nothing before it is sent away.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a service answers with a stream.
pub(crate) type Answer<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// What ends a stream early, so that its reader goes on elsewhere or by another connection.
pub(crate) struct Closing {
    /// The server stops.
    pub(crate) server: CancellationToken,
    /// The connection has become old.
    pub(crate) connection: CancellationToken,
}

impl Closing {
    /// For the stream that answers a request.
    pub(crate) fn of<T>(server: &CancellationToken, request: &Request<T>) -> Self {
        let connection = request.extensions().get::<ConnectionClosing>().map(|closing| closing.0.clone());
        Self { server: server.clone(), connection: connection.unwrap_or_default() }
    }

    /// Ready when the stream is to end, with why.
    pub(super) async fn early(&self) -> &'static str {
        tokio::select! {
            biased;
            () = self.server.cancelled() => "the server stops",
            () = self.connection.cancelled() => "the connection has become old",
        }
    }
}

/// Where the messages of one stream go.
pub(crate) struct Outbox<M>(mpsc::Sender<M>);

/// Where a reader that was sent away goes on: a word for it, and what programs look at.
pub(crate) struct GoOn {
    pub(crate) message: String,
    pub(crate) at: Option<(&'static str, String)>,
}

impl GoOn {
    /// After an event.
    pub(super) fn after(seq: u64) -> Self {
        Self { message: format!("go on from event {}", seq + 1), at: Some((tutti_api::LAST_SEQ, seq.to_string())) }
    }
}

impl<M> Outbox<M> {
    /// Hands a message over.
    ///
    /// # Errors
    /// A reader that is gone, or was too slow.
    pub(crate) async fn send(&self, message: M, go_on: impl FnOnce() -> GoOn) -> Result<(), Status> {
        match timeout(PATIENCE, self.0.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Status::cancelled("the reader is gone")),
            Err(_) => {
                let GoOn { message, at } = go_on();
                let metadata: HashMap<String, String> =
                    at.into_iter().map(|(name, at)| (name.to_owned(), at)).collect();
                let message = format!("the reader was too slow; {message}");
                Err(tutti_a2a::error::with_info(Code::Aborted, message, &info(tutti_api::SLOW_READER, metadata)))
            }
        }
    }
}

/// The stream of what `feed` hands over, of which at most `buffered` messages wait beside what HTTP/2 buffers. It ends
/// when `feed` does, after everything that was handed over, and by its error if it has one. `feed` is dropped when the
/// reader is gone.
pub(crate) fn stream<M: Send + 'static, F>(
    buffered: usize,
    closing: Closing,
    feed: impl FnOnce(Outbox<M>) -> F,
) -> Answer<M>
where
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let (messages, reader) = mpsc::channel(buffered);
    let (ending, end) = oneshot::channel();
    let gone = messages.clone();
    let feeding = feed(Outbox(messages));
    tokio::spawn(async move {
        let outcome = tokio::select! {
            // A server that stops ends its connections too: that it stops is what is worth telling.
            biased;
            () = gone.closed() => return,
            early = closing.early() => Err(Status::unavailable(format!("{early}; go on by another connection"))),
            outcome = feeding => outcome,
        };
        // The end comes after everything that was sent.
        let _ = ending.send(outcome);
    });
    let fault = || Err(Status::internal("the server has a fault"));
    let end =
        stream::once(end).filter_map(move |outcome| async move { outcome.unwrap_or_else(|_| fault()).err().map(Err) });
    Box::pin(ReceiverStream::new(reader).map(Ok).chain(end))
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn closing() -> Closing {
        Closing { server: CancellationToken::new(), connection: CancellationToken::new() }
    }

    fn nowhere() -> GoOn {
        GoOn { message: "begin anew".to_owned(), at: None }
    }

    #[tokio::test]
    async fn what_was_handed_over_comes_before_the_error() {
        let stream = stream(8, closing(), |outbox| async move {
            outbox.send(1, nowhere).await?;
            outbox.send(2, nowhere).await?;
            Err(Status::data_loss("no more"))
        });
        let seen: Vec<Result<i32, Code>> = stream.map(|item| item.map_err(|status| status.code())).collect().await;
        assert_eq!(seen, [Ok(1), Ok(2), Err(Code::DataLoss)]);
    }

    #[tokio::test]
    async fn a_fault_is_no_good_end() {
        let feed = |_: Outbox<()>| async { panic!("a fault of this test") };
        let seen: Vec<_> = stream(1, closing(), feed).collect().await;
        assert_eq!(seen[0].as_ref().unwrap_err().code(), Code::Internal);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_sent_away_and_told_where_to_go_on() {
        let mut stream = stream(1, closing(), |outbox| async move {
            for seq in 1.. {
                outbox.send(seq, || GoOn::after(seq - 1)).await?;
            }
            Ok(())
        });
        tokio::time::advance(PATIENCE * 2).await;
        let _ = timeout(PATIENCE * 2, std::future::pending::<()>()).await;
        assert_eq!(stream.next().await.unwrap().unwrap(), 1);
        let error = stream.next().await.unwrap().unwrap_err();
        let info = tutti_a2a::error::info(&error).unwrap();
        assert_eq!((error.code(), info.reason.as_str()), (Code::Aborted, tutti_api::SLOW_READER));
        assert_eq!(info.metadata[tutti_api::LAST_SEQ], "1");
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn who_left_is_fed_no_more() {
        /// Tells when it is dropped.
        struct Told(tokio::sync::mpsc::UnboundedSender<()>);
        impl Drop for Told {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let (told, mut dropped) = unbounded_channel();
        let told = Told(told);
        let stream: Answer<()> = stream(1, closing(), |outbox| async move {
            let _told = told;
            let _outbox = outbox;
            std::future::pending().await
        });
        drop(stream);
        assert_eq!(timeout(PATIENCE, dropped.recv()).await, Ok(Some(())));
    }
}
