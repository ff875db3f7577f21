//! Runs that go on elsewhere, as they go on: the events of one, or the changes of many.
//!
//! A task asks for what happens and hands it over, so that whoever shows it is free to do something else in between. A
//! server that goes away is asked again for a while, from where it was left; a store is looked into again and again.

mod many;
mod one;

use std::time::Duration;

use tokio::sync::mpsc::{Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tutti_adapters_grpc::api::{ApiClient, ApiError};
use tutti_core::time::Span;

pub use many::{Change, Wanted, changes};
pub use one::{Happening, events};

use crate::exit::{Failure, Result};
use crate::remote;
use crate::store::Reader;

/// How often a store is looked into.
const POLL: Duration = Duration::from_millis(200);

/// First and longest pause before a server that has gone away is asked again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How long a server must have answered to count as being there again.
const STABLE: Duration = Duration::from_secs(1);

/// What is handed over before the task waits.
const BUFFERED: usize = 256;

/// Where runs are watched.
#[derive(Clone)]
pub struct Place {
    /// To look into.
    pub reader: Reader,
    /// The server, if it is one.
    pub server: Option<Server>,
}

/// A server that is watched.
#[derive(Clone)]
pub struct Server {
    /// Its URL.
    pub url: String,
    /// Asks it.
    pub client: ApiClient,
    /// How long it may be away.
    pub patience: Duration,
}

/// What a task hands over; the task ends with this.
pub struct Feed<T> {
    news: tokio::sync::mpsc::Receiver<Result<T>>,
    task: JoinHandle<()>,
}

impl<T: Send + 'static> Feed<T> {
    /// Of a task that is given where to put things.
    fn of<F>(feed: impl FnOnce(Outlet<T>) -> F) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (sender, news) = channel(BUFFERED);
        let feeding = feed(Outlet(sender.clone()));
        let task = tokio::spawn(async move {
            if let Err(failure) = feeding.await {
                let _ = sender.send(Err(failure)).await;
            }
        });
        Self { news, task }
    }

    /// The next thing; `None` after the last one. May be dropped half-way without losing anything.
    ///
    /// # Errors
    /// What ended the watching early.
    pub async fn next(&mut self) -> Result<Option<T>> {
        self.news.recv().await.transpose()
    }
}

impl<T> Drop for Feed<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where a task puts things.
struct Outlet<T>(Sender<Result<T>>);

impl<T> Outlet<T> {
    /// Hands something over.
    async fn put(&self, news: T) {
        // Nobody takes it when the task is about to be ended.
        let _ = self.0.send(Ok(news)).await;
    }
}

/// Bears with a server that goes away, until it is away for too long.
struct Patience<'s> {
    server: &'s Server,
    opened: Instant,
    away_since: Option<Instant>,
    pause: Duration,
}

impl<'s> Patience<'s> {
    fn with(server: &'s Server) -> Self {
        Self { server, opened: Instant::now(), away_since: None, pause: PAUSE.0 }
    }

    /// The server is asked now.
    fn begin(&mut self) {
        self.opened = Instant::now();
    }

    /// The server answered with something.
    const fn answered(&mut self) {
        self.away_since = None;
        self.pause = PAUSE.0;
    }

    /// What to do after an error: what to say of it, if it is news. [`pause`](Self::pause) comes next.
    ///
    /// # Errors
    /// A refusal, or a server that was away for too long.
    fn bear(&mut self, error: ApiError, next: &str) -> Result<Option<String>> {
        let why = match error {
            // Whoever reads was slow; nothing is lost.
            ApiError::Interrupted(_) => return Ok(None),
            ApiError::Unavailable(why) => why,
            error => return Err(remote::failure(&self.server.url, error)),
        };
        if self.opened.elapsed() >= STABLE {
            self.answered();
        }
        let is_news = self.away_since.is_none();
        let since = *self.away_since.get_or_insert_with(Instant::now);
        let (url, patience) = (&self.server.url, self.server.patience);
        if since.elapsed() + self.pause > patience {
            let gone = format!("the server at {url} has been away for {}: {why}", Span(patience));
            return Err(Failure::unavailable(gone).next(next));
        }
        Ok(is_news.then(|| format!("the server at {url} has gone away; it is asked again for {}", Span(patience))))
    }

    /// Waits before the server is asked again.
    async fn pause(&mut self) {
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE.1);
    }
}
