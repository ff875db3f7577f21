//! A few connections of one purpose, and calls over them.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Error, PgConnection};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tutti_core::ports::store::StoreError;

use crate::error::classify;

/// Longest wait for a place, and for a connection to be made; less for calls that may take less.
const WAIT: Duration = Duration::from_secs(10);

/// The result of a statement. The outer error is the database's or the connection's; the inner one is an answer.
pub type Outcome<T> = sqlx::Result<Result<T, StoreError>>;

/// Work on a connection, which borrows what was asked.
pub type Working<'c, T> = Pin<Box<dyn Future<Output = Outcome<T>> + Send + 'c>>;

/// Work on a connection, for [`Connections::run`].
pub type Work<A, T> = for<'c> fn(&'c mut PgConnection, &'c A) -> Working<'c, T>;

/// Makes connections as they are needed, up to a number, and keeps them.
#[derive(Debug)]
pub struct Connections {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    size: usize,
}

#[derive(Debug)]
struct Shared {
    options: PgConnectOptions,
    /// Longest that a call may take: beyond it, the server or the way to it is gone.
    longest: Duration,
    idle: Mutex<Vec<PgConnection>>,
}

impl Connections {
    /// None is made yet.
    pub fn new(options: PgConnectOptions, size: usize, longest: Duration) -> Self {
        let shared = Shared { options, longest, idle: Mutex::new(Vec::new()) };
        Self { shared: Arc::new(shared), places: Arc::new(Semaphore::new(size)), size }
    }

    /// Does some work on a connection, in a task of its own: a caller that goes away leaves no statement half done.
    pub async fn run<A, T>(&self, asked: A, work: Work<A, T>) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        let busy = |_| StoreError::Unavailable(format!("all {} connections are busy", self.size));
        let place = timeout(WAIT.min(self.shared.longest), self.places.clone().acquire_owned()).await.map_err(busy)?;
        let place = place.expect("the semaphore is never closed");
        let shared = self.shared.clone();
        let task = tokio::spawn(async move {
            let answer = shared.call(&asked, work).await;
            drop(place);
            answer
        });
        task.await.map_err(|error| StoreError::Unavailable(format!("a call was given up: {error}")))?
    }

    /// As [`run`](Self::run), once more on a new connection if a kept one turns out to be lost. For reads.
    pub async fn read<A, T>(&self, asked: A, work: Work<A, T>) -> Result<T, StoreError>
    where
        A: Send + Sync + Clone + 'static,
        T: Send + 'static,
    {
        let kept = self.shared.has_idle();
        match self.run(asked.clone(), work).await {
            Err(StoreError::Unavailable(_)) if kept && !self.shared.has_idle() => self.run(asked, work).await,
            answer => answer,
        }
    }
}

impl Shared {
    async fn call<A, T>(&self, asked: &A, work: Work<A, T>) -> Result<T, StoreError> {
        let mut db = self.connection().await?;
        let Ok(answer) = timeout(self.longest, work(&mut db, asked)).await else {
            // What became of the statement is unknown; the connection ends here.
            self.forget_idle();
            return Err(StoreError::Unavailable(format!("no answer from the database in {:?}", self.longest)));
        };
        match &answer {
            Err(error) if !is_usable_after(error) => self.forget_idle(),
            _ => self.idle().push(db),
        }
        answer.map_err(|error| classify(&error))?
    }

    async fn connection(&self) -> Result<PgConnection, StoreError> {
        let kept = self.idle().pop();
        match kept {
            Some(db) => Ok(db),
            None => connect_within(&self.options, WAIT.min(self.longest)).await,
        }
    }

    fn has_idle(&self) -> bool {
        !self.idle().is_empty()
    }

    /// When one connection is lost, the others are as well, or will soon be.
    fn forget_idle(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new connection.
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    connect_within(options, WAIT).await
}

async fn connect_within(options: &PgConnectOptions, longest: Duration) -> Result<PgConnection, StoreError> {
    match timeout(longest, options.connect()).await {
        Ok(connected) => connected.map_err(|error| classify(&error)),
        Err(_) => Err(StoreError::Unavailable(format!("the database takes no connection in {longest:?}"))),
    }
}

/// True if the server said what was wrong with the statement, and waits for the next.
fn is_usable_after(error: &Error) -> bool {
    match error {
        Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            // 57P01 to 57P05: it has ended the session. 25: it only reads, and the next one may not.
            !code.starts_with("57P") && !code.starts_with("08") && !code.starts_with("25")
        }
        Error::ColumnDecode { .. } | Error::Decode(_) => true,
        _ => false,
    }
}
