//! A few connections of one purpose, and calls over them.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::{Error, PgConnection, Row as _};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tutti_core::ports::store::StoreError;

use crate::error::classify;
use crate::hosts::{Hosts, Session};

/// Longest wait for a place, and for a connection to be made; less for calls that may take less.
const WAIT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(8));

/// After so long without an answer, another session asks whether the server still works on it; and how soon it must know.
/// Together less than ten seconds: so soon a way is noticed that is gone without a word, whatever a statement may take.
const SILENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3));

/// The result of a statement. The outer error is the database's or the connection's; the inner one is an answer.
pub type Outcome<T> = sqlx::Result<Result<T, StoreError>>;

/// Work on a connection, which borrows what was asked.
pub type Working<'c, T> = Pin<Box<dyn Future<Output = Outcome<T>> + Send + 'c>>;

/// Work on a connection, for [`Connections::run`].
pub type Work<A, T> = for<'c> fn(&'c mut PgConnection, &'c A) -> Working<'c, T>;

/// Makes connections as they are needed, up to a number, and keeps them. Clones share them.
#[derive(Debug, Clone)]
pub struct Connections {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    size: usize,
}

#[derive(Debug)]
struct Shared {
    hosts: Hosts,
    /// Longest that a call may take: beyond it, the server or the way to it is gone.
    longest: Duration,
    idle: Mutex<Vec<Session>>,
}

impl Connections {
    /// None is made yet.
    pub fn new(hosts: Hosts, size: usize, longest: Duration) -> Self {
        let shared = Shared { hosts, longest, idle: Mutex::new(Vec::new()) };
        Self { shared: Arc::new(shared), places: Arc::new(Semaphore::new(size)), size }
    }

    /// Does some work on a connection, in a task of its own: a caller that goes away leaves no statement half done.
    pub async fn run<A, T>(&self, asked: A, work: Work<A, T>) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        let busy = |_| StoreError::Unavailable(format!("all {} connections are busy", self.size));
        let place =
            timeout(WAIT.0.min(self.shared.longest), self.places.clone().acquire_owned()).await.map_err(busy)?;
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
        let (kept, began) = (self.shared.has_idle(), Instant::now());
        match self.run(asked.clone(), work).await {
            // One that was silent was not lost before: the way is gone, or the database is busy.
            Err(StoreError::Unavailable(_))
                if kept && !self.shared.has_idle() && began.elapsed() < SILENCE.0.min(self.shared.longest) =>
            {
                self.run(asked, work).await
            }
            answer => answer,
        }
    }
}

impl Shared {
    async fn call<A, T>(&self, asked: &A, work: Work<A, T>) -> Result<T, StoreError> {
        let mut session = self.session().await?;
        let (began, pid) = (Instant::now(), session.pid);
        let Some(answer) = self.answer(pid, work(&mut session.db, asked)).await else {
            // What became of the statement is unknown; the connection ends here.
            self.forget_idle();
            let silence = began.elapsed().as_secs_f32();
            return Err(StoreError::Unavailable(format!("no answer from the database in {silence:.1} s")));
        };
        match &answer {
            Err(error) if !is_usable_after(error) => self.forget_idle(),
            _ => self.idle().push(session),
        }
        answer.map_err(|error| classify(&error))?
    }

    /// Waits for an answer; `None` if it took too long, or none can come any more.
    async fn answer<T>(&self, pid: i32, working: Working<'_, T>) -> Option<Outcome<T>> {
        let mut working = pin!(timeout(self.longest, working));
        loop {
            if let Ok(answer) = timeout(SILENCE.0, &mut working).await {
                return answer.ok();
            }
            tokio::select! {
                answer = &mut working => return answer.ok(),
                at_work = self.is_at_work(pid) => if !at_work { return None },
            }
        }
    }

    /// True if the server has the session still, and works on what it was asked.
    async fn is_at_work(&self, pid: i32) -> bool {
        let asking = async {
            let mut session = self.hosts.connect(SILENCE.1).await.ok()?;
            let asked = "SELECT count(*) > 0 FROM pg_stat_activity WHERE pid = $1 AND state IS DISTINCT FROM 'idle'";
            let row = sqlx::query(asked).bind(pid).fetch_one(&mut session.db).await.ok()?;
            row.try_get(0).ok()
        };
        matches!(timeout(SILENCE.1, asking).await, Ok(Some(true)))
    }

    async fn session(&self) -> Result<Session, StoreError> {
        let kept = self.idle().pop();
        match kept {
            Some(session) => Ok(session),
            None => self.hosts.connect(WAIT.1.min(self.longest)).await,
        }
    }

    fn has_idle(&self) -> bool {
        !self.idle().is_empty()
    }

    /// When one connection is lost, the others are as well, or will soon be.
    fn forget_idle(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new session, made as those that calls are done in.
pub async fn connect(hosts: &Hosts) -> Result<Session, StoreError> {
    hosts.connect(WAIT.1).await
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
