//! Commands that other processes took in for runs of this engine, and commands of its callers for runs of others.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tutti_core::ids::{RequestId, RunId};
use tutti_core::ports::inbox::{Consumed, InboxItem, Letter, Verdict};
use tutti_core::run::{Command, Order, format_of_command};

use super::commands::Wanted;
use super::{Engine, EngineError};
use crate::rest::{command_by_inbox, store_answer};

/// How often the inbox is looked into.
const LOOK: Duration = Duration::from_millis(200);

/// Items taken from it at once.
const PAGE: usize = 500;

/// How often outcomes that nobody asks for any more are removed, and how long they are kept.
const TIDY: Duration = Duration::from_secs(600);
const KEEP_OUTCOMES: Duration = Duration::from_secs(24 * 3600);

/// After so long an item that is still there is brought to its run once more.
const AGAIN: Duration = Duration::from_secs(10);

impl Engine {
    /// Brings what is posted to the runs of this engine, until the engine shuts down.
    pub async fn answer_inbox(&self) {
        let mut brought: HashMap<(RunId, RequestId), Instant> = HashMap::new();
        let mut tidied = Instant::now();
        loop {
            sleep(LOOK).await;
            if tidied.elapsed() >= TIDY {
                tidied = Instant::now();
                self.forget_outcomes().await;
            }
            let slots: Vec<u16> = self.0.slots.get().into_iter().collect();
            if slots.is_empty() {
                continue;
            }
            let items = match self.0.ports.inbox.pending(&slots, PAGE).await {
                Ok(items) => items,
                Err(error) => {
                    tracing::warn!(%error, "the inbox cannot be read");
                    continue;
                }
            };
            brought.retain(|_, at| at.elapsed() < AGAIN);
            for item in items {
                if brought.contains_key(&(item.run, item.request)) {
                    continue;
                }
                brought.insert((item.run, item.request), Instant::now());
                match self.bring(&item).await {
                    Ok(()) => {}
                    Err(EngineError::ShuttingDown) => return,
                    Err(error) => {
                        tracing::warn!(run = %item.run, %error, "a command of the inbox was not brought to its run");
                    }
                }
            }
        }
    }

    /// Nobody waits for what became of a command for so long.
    async fn forget_outcomes(&self) {
        let before = self.0.ports.clock.now().minus(KEEP_OUTCOMES);
        if let Err(error) = self.0.ports.inbox.forget_outcomes(before).await {
            tracing::warn!(%error, "outcomes of old commands were not removed");
        }
    }

    async fn bring(&self, item: &InboxItem) -> Result<(), EngineError> {
        let Letter { mut command, order } = match Letter::decode(&item.blob) {
            Ok(letter) => letter,
            Err(reason) => return self.refuse(item, &reason).await,
        };
        store_answer(&*self.0.ports.payloads, item.run, &mut command).await?;
        let order = Order { request: Some(item.request), ..order };
        self.want(item.run, Wanted { command, order, posted: Some(item.request) }).await
    }

    /// Answers what cannot be read: it is damaged, or a newer server has posted what this one does not know.
    async fn refuse(&self, item: &InboxItem, reason: &str) -> Result<(), EngineError> {
        tracing::warn!(run = %item.run, request = %item.request, reason, "a command of the inbox cannot be read");
        let reason = format!("the server that has the run cannot read what was posted: {reason}");
        let (request, at) = (item.request, self.0.ports.clock.now());
        let refused = Consumed { request, at, outcome: Verdict::Rejected(reason).encode() };
        Ok(self.0.ports.inbox.refuse(item.run, refused).await?)
    }

    /// Posts a command for a run of another engine, and waits for what becomes of it.
    ///
    /// # Errors
    /// As [`command_by_inbox`](crate::command_by_inbox); [`EngineError::OlderServers`].
    pub async fn post(&self, run: RunId, command: Command, order: Order) -> Result<(), EngineError> {
        self.may_write(format_of_command(&command))?;
        command_by_inbox(&*self.0.ports.inbox, &*self.0.ports.clock, run, (command, order)).await
    }

    /// True if every run of the store is this engine's: it shares with nobody.
    #[must_use]
    pub fn has_all(&self) -> bool {
        self.0.slots.are_all()
    }

    /// The slots that are this engine's.
    #[must_use]
    pub(crate) fn own_slots(&self) -> Vec<u16> {
        self.0.slots.get().into_iter().collect()
    }

    /// True if the runs of this slot are this engine's.
    #[must_use]
    pub fn has(&self, run: RunId) -> bool {
        self.0.slots.has(run)
    }
}
