//! What a run needs before it is created: its turn, and its values where they are kept.

use std::time::Duration;

use tutti_core::ids::RunId;
use tutti_core::ports::filter::{Condition, RunFilter, Term};
use tutti_core::run::{ForkedStep, Origin, QUEUE_FORMAT, RunForked, RunStatus};
use tutti_core::schedule::turn;
use tutti_core::time::Timestamp;
use tutti_core::value::{Json, Payload};

use super::{Engine, EngineError, Fork, StartRun};

/// When a caller may ask again who found the queue full.
const FULL: Duration = Duration::from_secs(5);

impl Engine {
    /// The place in the queue of a run to be started, if it must wait: for room, or for its moment.
    pub(super) async fn turn(&self, start: &StartRun) -> Result<Option<Timestamp>, EngineError> {
        let (room, now) = (&self.0.room, self.0.ports.clock.now());
        let later = start.start_at.filter(|at| *at > now);
        // Servers of before there was a queue drive everything at once.
        let may_queue = (room.must_queue() || later.is_some()) && self.may_write(QUEUE_FORMAT).is_ok();
        let Some(residency) = room.residency().filter(|_| may_queue) else { return Ok(None) };
        let namespace = &start.namespace;
        let counting = room.to_count().await;
        let queued = match room.one_more(namespace) {
            Some(queued) => queued,
            None => {
                let pending = Term { not: false, is: Condition::State(vec![RunStatus::Pending]) };
                let counts = self.0.ports.query.count(namespace, &RunFilter { terms: vec![pending] }).await?;
                let queued = counts.values().sum::<u64>() + 1;
                room.counted(namespace, queued);
                queued
            }
        };
        drop(counting);
        if queued > residency.max_queued {
            let namespace = namespace.clone();
            return Err(EngineError::QueueFull { namespace, queued: queued - 1, retry_after: FULL });
        }
        Ok(Some(later.unwrap_or_else(|| turn(start.origin.priority, now))))
    }

    /// A run's origin with how its answers are judged, unless its caller said.
    pub(super) fn judged(&self, origin: Origin) -> Origin {
        let quality = origin.quality.or_else(|| self.0.quality.clone());
        Origin { quality, ..origin }
    }

    /// Keeps a value of a run that is about to be created.
    pub(super) async fn store_value(&self, run: RunId, value: &Json) -> Result<Payload, EngineError> {
        let payload = Payload::of(value);
        if let Payload::Stored(_) = payload {
            self.0.ports.payloads.put(run, value.bytes().clone()).await?;
        }
        Ok(payload)
    }

    /// Keeps the outputs that a fork begins with: a run's values are its own.
    pub(super) async fn forked(&self, run: RunId, fork: Fork) -> Result<RunForked, EngineError> {
        let Fork { from, seq, completed: outputs, changed } = fork;
        let mut completed = Vec::with_capacity(outputs.len());
        for (step, output) in outputs {
            completed.push(ForkedStep { step, output: self.store_value(run, &output).await? });
        }
        Ok(RunForked { from, seq, completed, changed })
    }
}
