//! Tells watchers what was committed, and what agents say in between.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::broadcast;
use tutti_core::ids::{AttemptKey, RunId};
use tutti_core::ports::agent::AgentUpdate;
use tutti_core::run::Recorded;

/// News of a run. Events come in order and once each; progress is not history and may be missed.
#[derive(Debug, Clone)]
pub enum Update {
    /// Something was recorded, and is durable.
    Event(Arc<Recorded>),
    /// An agent tells how an attempt goes.
    Progress {
        /// The attempt.
        key: AttemptKey,
        /// What it tells.
        update: AgentUpdate,
    },
    /// This engine does not own the run any more; what happens further must be read from the store.
    Released,
}

/// News for one watcher that it may not have taken yet; beyond this it lags and goes on from the store. Every watched run
/// holds room for so many, made and dropped with it, which is what watching costs.
const BUFFERED: usize = 256;

/// Changes that one who follows all runs may not have taken yet; beyond this it lags and must look anew.
const CHANGES: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Hub {
    runs: Mutex<HashMap<RunId, broadcast::Sender<Update>>>,
    /// Made when somebody follows all runs, so that nobody pays for it before.
    changes: OnceLock<broadcast::Sender<RunId>>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { runs: Mutex::default(), changes: OnceLock::new() }
    }
}

impl Hub {
    /// Runs that something is recorded for from now on.
    pub(crate) fn changes(&self) -> Changed {
        Changed(self.changes.get_or_init(|| broadcast::channel(CHANGES).0).subscribe())
    }

    pub(crate) fn watch(&self, run: RunId) -> Watch {
        let mut runs = self.lock();
        if runs.len() == runs.capacity() {
            // Before the map grows: runs that end elsewhere, or that never were, are not closed by anybody.
            runs.retain(|_, sender| sender.receiver_count() > 0);
        }
        Watch(runs.entry(run).or_insert_with(|| broadcast::channel(BUFFERED).0).subscribe())
    }

    pub(crate) fn publish(&self, run: RunId, update: Update) {
        // Nobody listening is not an error.
        if let (Update::Event(_), Some(changes)) = (&update, self.changes.get()) {
            let _ = changes.send(run);
        }
        if let Some(sender) = self.lock().get(&run) {
            let _ = sender.send(update);
        }
    }

    /// Ends the streams of a run; watchers still get what was published before.
    pub(crate) fn close(&self, run: RunId) {
        self.lock().remove(&run);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, broadcast::Sender<Update>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The news of one run from the moment of asking on.
#[derive(Debug)]
pub struct Watch(broadcast::Receiver<Update>);

/// The watcher was too slow; what it missed can be read from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the watcher was too slow and missed {0} updates; go on from the last sequence number seen")]
pub struct Lagged(pub u64);

impl Watch {
    /// The next update; `None` when the run has ended or left this engine and everything was told.
    ///
    /// # Errors
    /// [`Lagged`] if updates were missed.
    pub async fn next(&mut self) -> Result<Option<Update>, Lagged> {
        match self.0.recv().await {
            Ok(update) => Ok(Some(update)),
            Err(broadcast::error::RecvError::Closed) => Ok(None),
            Err(broadcast::error::RecvError::Lagged(missed)) => Err(Lagged(missed)),
        }
    }
}

/// The runs that change, from the moment of asking on.
#[derive(Debug)]
pub struct Changed(broadcast::Receiver<RunId>);

impl Changed {
    /// The runs that changed since the last call, each once, waiting for one; `None` when the engine is gone.
    ///
    /// # Errors
    /// [`Lagged`] if so many changed that some are not known.
    pub async fn next(&mut self) -> Result<Option<BTreeSet<RunId>>, Lagged> {
        use broadcast::error::{RecvError, TryRecvError};
        let mut runs = match self.0.recv().await {
            Ok(run) => BTreeSet::from([run]),
            Err(RecvError::Closed) => return Ok(None),
            Err(RecvError::Lagged(missed)) => return Err(Lagged(missed)),
        };
        loop {
            match self.0.try_recv() {
                Ok(run) => drop(runs.insert(run)),
                Err(TryRecvError::Lagged(missed)) => return Err(Lagged(missed)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Ok(Some(runs)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_nobody_watches_any_more_take_no_room() {
        let hub = Hub::default();
        let kept = hub.watch(RunId::new(0, [0; 10]));
        for millis in 1..1_000 {
            drop(hub.watch(RunId::new(millis, [0; 10])));
        }
        assert!(hub.lock().len() < 100, "{}", hub.lock().len());
        assert!(hub.lock().contains_key(&RunId::new(0, [0; 10])), "one that is watched stays");
        drop(kept);
    }
}
