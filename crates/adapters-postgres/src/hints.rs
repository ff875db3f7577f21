//! Hints that something came into the inbox.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tutti_core::limits::SLOTS;

use crate::address::{Address, Purpose};
use crate::hosts::Hosts;
use crate::inbox::CHANNEL;

/// After so long without a hint, the connection is asked whether it still lives; and how soon it must answer, or be made.
const SILENCE: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(5);

/// How long after a connection was lost, or could not be made, another one is tried.
const PAUSE: Duration = Duration::from_millis(500);

/// Hears, on a connection of its own, for which slots something came into the [inbox](tutti_core::ports::inbox::Inbox).
///
/// A hint may be late, too many or missing: what there is says `pending` alone. Ends when it is dropped.
#[derive(Debug)]
pub struct Hints {
    heard: Arc<Heard>,
    listener: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Heard {
    slots: Mutex<BTreeSet<u16>>,
    some: Notify,
}

impl Hints {
    /// Begins to listen. A connection that is lost is made again, for as long as it takes.
    #[must_use]
    pub fn listen(address: &Address) -> Self {
        let heard = Arc::<Heard>::default();
        let listener = tokio::spawn(keep_listening(address.sessions(Purpose::Lease), heard.clone()));
        Self { heard, listener }
    }

    /// Waits for hints; the slots of all that came since the last call. All slots whenever a connection was made: what came
    /// before was not heard. A call that is dropped loses none.
    pub async fn next(&mut self) -> BTreeSet<u16> {
        loop {
            let slots = std::mem::take(&mut *self.heard.slots.lock().unwrap_or_else(PoisonError::into_inner));
            if !slots.is_empty() {
                return slots;
            }
            self.heard.some.notified().await;
        }
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Heard {
    fn add(&self, slots: impl IntoIterator<Item = u16>) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).extend(slots);
        self.some.notify_one();
    }
}

async fn keep_listening(hosts: Hosts, heard: Arc<Heard>) {
    // A standby lets nobody listen.
    for failures in 0.. {
        if let Err(error) = listen(hosts.candidate(failures), &heard).await {
            tracing::debug!(%error, "the connection that hears of commands in the inbox is lost; it is made again");
        }
        sleep(PAUSE).await;
    }
}

/// Listens until the connection is lost.
async fn listen(options: &PgConnectOptions, heard: &Heard) -> sqlx::Result<()> {
    // The listener wants a pool to make its connection.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ANSWER)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    // A lost connection ends this call, so that what came meanwhile is looked for.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    heard.add(0..SLOTS);
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(hint) => match hint? {
                Some(hint) => heard.add(hint.payload().parse().ok().filter(|slot| *slot < SLOTS)),
                None => return Ok(()),
            },
            Err(_) => {
                let answered = timeout(ANSWER, sqlx::raw_sql("SELECT 1").execute(&mut listener)).await;
                answered.map_err(|_| sqlx::Error::PoolTimedOut)??;
            }
        }
    }
}
