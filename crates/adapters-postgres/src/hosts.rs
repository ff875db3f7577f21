//! The machines that may have the database, and sessions with the one that has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Error, PgConnection, Row as _};
use tokio::time::timeout;
use tutti_core::ports::store::StoreError;

use crate::error::classify;

/// Writes the line of history that the database is on where statements of the session find it. A standby that is promoted
/// begins a new one.
const NOTE_TIMELINE: &str = "SELECT set_config('tutti.timeline',
    ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int8::text, false)";

/// The line of history that the database is on, in statements; null where it does not tell.
macro_rules! timeline {
    () => {
        "nullif(current_setting('tutti.timeline', true), '')::int8"
    };
}
pub(crate) use timeline;

/// Numbers from here on are of this line of history and not of an earlier one, for statements that give out numbers that
/// only rise: none is given that was given before by a server whose place a copy has taken, and that the copy does not know of.
macro_rules! timeline_numbers {
    () => {
        concat!("((", crate::hosts::timeline!(), " - 1) << 32)")
    };
}
pub(crate) use timeline_numbers;

/// How sessions of one purpose are begun.
#[derive(Debug, Clone)]
pub struct Hosts {
    options: Arc<[PgConnectOptions]>,
    /// The machine that had the database last; every purpose learns of it.
    last: Arc<AtomicUsize>,
}

/// A session with the database.
#[derive(Debug)]
pub struct Session {
    /// The connection.
    pub db: PgConnection,
    /// By which the server knows it.
    pub pid: i32,
}

impl Hosts {
    /// At least one.
    pub fn new(options: Arc<[PgConnectOptions]>, last: Arc<AtomicUsize>) -> Self {
        Self { options, last }
    }

    /// A new session. Of several machines it is with the first that is no standby, from the one on that had the database
    /// last; each has its part of the time.
    pub async fn connect(&self, longest: Duration) -> Result<Session, StoreError> {
        let count = self.options.len();
        let first = self.last.load(Ordering::Relaxed);
        let mut refused = Vec::with_capacity(count);
        for at in (0..count).map(|n| (first + n) % count) {
            match self.begin(at, longest / u32::try_from(count).unwrap_or(u32::MAX)).await {
                Ok(session) => {
                    if at != first {
                        tracing::info!(host = %name(&self.options[at]), "the database is at this host now");
                    }
                    self.last.store(at, Ordering::Relaxed);
                    return Ok(session);
                }
                Err(error) => refused.push((at, error)),
            }
        }
        Err(self.summed(refused))
    }

    /// How a session is begun whose caller learns by itself whether the machine has the database: another one each time
    /// that it did not.
    pub fn candidate(&self, failures: usize) -> &PgConnectOptions {
        let first = self.last.load(Ordering::Relaxed);
        &self.options[first.wrapping_add(failures) % self.options.len()]
    }

    async fn begin(&self, at: usize, longest: Duration) -> Result<Session, StoreError> {
        let begun = async {
            let mut db = self.options[at].connect().await?;
            let row = sqlx::query("SELECT pg_backend_pid(), pg_is_in_recovery()").fetch_one(&mut db).await?;
            let (pid, is_standby): (i32, bool) = (row.try_get(0)?, row.try_get(1)?);
            if !is_standby {
                match sqlx::query(NOTE_TIMELINE).execute(&mut db).await {
                    Ok(_) => {}
                    // Not every database that is compatible tells.
                    Err(Error::Database(error)) => tracing::debug!(%error, "the timeline is not known"),
                    Err(error) => return Err(error),
                }
            }
            Ok((Session { db, pid }, is_standby))
        };
        match timeout(longest, begun).await {
            // Who names one machine means it.
            Ok(Ok((_, true))) if self.options.len() > 1 => Err(StoreError::Unavailable("it is a standby".to_owned())),
            Ok(Ok((session, _))) => Ok(session),
            Ok(Err(error)) => Err(classify(&error)),
            Err(_) => Err(StoreError::Unavailable(format!("the database takes no connection in {longest:?}"))),
        }
    }

    /// What to say when none was of use: it is worth another try if any of them is.
    fn summed(&self, mut refused: Vec<(usize, StoreError)>) -> StoreError {
        if let [(_, only)] = &mut refused[..] {
            return only.clone();
        }
        let about = |(at, error): &(usize, StoreError)| {
            let (StoreError::Unavailable(why) | StoreError::Permanent(why)) = error else { return error.to_string() };
            format!("{}: {why}", name(&self.options[*at]))
        };
        let told = refused.iter().map(about).collect::<Vec<_>>().join("; ");
        if refused.iter().any(|(_, error)| error.is_retryable()) {
            return StoreError::Unavailable(told);
        }
        StoreError::Permanent(told)
    }
}

/// A machine as it is shown: host and port. A folder with a socket stands escaped, where a name or number would.
pub fn name(options: &PgConnectOptions) -> String {
    let socket = options.get_socket().map(|socket| socket.display().to_string());
    let host = socket.unwrap_or_else(|| options.get_host().to_owned()).replace('/', "%2F");
    format!("{host}:{}", options.get_port())
}
