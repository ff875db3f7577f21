//! Runs that come into memory: those of owners that are gone, those whose moment has come, and those in the queue, as far as
//! there is room and not too many at once.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use tokio::time::sleep;
use tutti_core::ids::RunId;
use tutti_core::limits::LOADS;
use tutti_core::ports::store::{Due, DueRuns};
use tutti_core::run::FORMAT;

use super::{Engine, EngineError};

/// Runs that are asked for at once.
const PAGE: usize = 500;

/// How often is looked for runs whose moment has come: so much later than that they may go on, if they left memory.
const LOOK: Duration = Duration::from_millis(500);

/// How often, while runs wait for room.
const LOOK_SOON: Duration = Duration::from_millis(20);

impl Engine {
    /// Takes over every active run of this engine's slots, in pages; how many. One that cannot be taken over is logged and
    /// left, so that it does not keep the others waiting.
    ///
    /// # Errors
    /// [`EngineError::Store`] if the store does not tell which, [`EngineError::ShuttingDown`].
    pub async fn take_over_all(&self) -> Result<usize, EngineError> {
        Ok(self.take_over_slots(&self.0.slots.get()).await?.0)
    }

    /// How many runs were taken over, and the slots of those that could not be because the store was away.
    pub(super) async fn take_over_slots(&self, slots: &BTreeSet<u16>) -> Result<(usize, BTreeSet<u16>), EngineError> {
        let (mut taken, mut missed, mut after) = (0, BTreeSet::new(), None);
        let slots: Vec<u16> = slots.iter().copied().collect();
        loop {
            let query = DueRuns { slots: slots.clone(), due: Due::Active(after), reads: FORMAT, limit: PAGE };
            let due = self.0.ports.store.due(query).await?;
            let loaded = self.load_all(&due).await?;
            taken += loaded.taken;
            missed.extend(loaded.missed);
            match due.last() {
                Some(last) if due.len() == PAGE => after = Some(*last),
                _ => return Ok((taken, missed)),
            }
        }
    }

    /// Brings in runs whose moment has come and those in the queue, until the engine shuts down. Without a
    /// [`Residency`](crate::Residency) there is nothing to do: no run is let go of.
    pub async fn wake_runs(&self) {
        if self.0.room.residency().is_none() {
            return;
        }
        loop {
            let awaited = match self.wake_page().await {
                Ok(awaited) => awaited,
                Err(EngineError::ShuttingDown) => return,
                Err(error) => {
                    tracing::warn!(%error, "runs whose moment has come are not known");
                    false
                }
            };
            self.0.room.set_awaited(awaited);
            sleep(if awaited { LOOK_SOON } else { LOOK }).await;
        }
    }

    /// True if more runs are due than there was room for.
    async fn wake_page(&self) -> Result<bool, EngineError> {
        let slots: Vec<u16> = self.0.slots.get().into_iter().collect();
        if slots.is_empty() {
            return Ok(false);
        }
        let most = self.0.room.left().min(PAGE);
        // One more than can be taken tells whether others wait.
        let query = DueRuns { slots, due: Due::Until(self.0.ports.clock.now()), reads: FORMAT, limit: most + 1 };
        let due = self.0.ports.store.due(query).await?;
        self.load_all(&due[..due.len().min(most)]).await?;
        Ok(due.len() > most)
    }

    /// Takes runs over, some at a time and each when there is room for it.
    async fn load_all(&self, runs: &[RunId]) -> Result<Loaded, EngineError> {
        let mut outcomes = stream::iter(runs.iter().copied())
            .map(|run| async move { (run, self.take_over_in_turn(run).await) })
            .buffer_unordered(LOADS);
        let mut loaded = Loaded::default();
        while let Some((run, outcome)) = outcomes.next().await {
            match outcome {
                Ok(()) => loaded.taken += 1,
                Err(EngineError::ShuttingDown) => return Err(EngineError::ShuttingDown),
                // It is another server's now.
                Err(EngineError::NoSlots | EngineError::NotLive(_)) => {}
                Err(EngineError::Store(error)) if error.is_retryable() => {
                    tracing::warn!(%run, %error, "not taken over yet");
                    loaded.missed.insert(run.slot());
                }
                Err(error) => tracing::error!(%run, %error, "not taken over"),
            }
        }
        Ok(loaded)
    }

    async fn take_over_in_turn(&self, run: RunId) -> Result<(), EngineError> {
        if self.progress(run).await?.is_some() {
            return Ok(());
        }
        let _place = self.0.room.to_load().await;
        self.take_over(run).await
    }
}

/// What became of runs that were to be taken over.
#[derive(Default)]
struct Loaded {
    taken: usize,
    /// Slots of those that could not be because the store was away.
    missed: BTreeSet<u16>,
}
