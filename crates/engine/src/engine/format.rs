//! What may be written while servers of different versions share a store: what all of them read.
//!
//! Any of them may come to have any run. So what only newer ones understand is refused for as long as there is an older one,
//! and no run is in the hands of a server that cannot read it. Nothing is remembered: when the last older server is gone,
//! everything may be written; when one joins again, nothing more that it does not read.

use std::sync::atomic::{AtomicU16, Ordering};

use tutti_core::run::FORMAT;

use super::{Engine, EngineError};

/// The newest format that all servers read.
#[derive(Debug)]
pub(super) struct Common(AtomicU16);

impl Default for Common {
    fn default() -> Self {
        Self(AtomicU16::new(FORMAT))
    }
}

impl Common {
    /// What the servers read that share the store now; this one among them.
    pub(super) fn set(&self, reads: u16) {
        let before = self.0.swap(reads, Ordering::Relaxed);
        if before != reads {
            tracing::info!(format = reads, "every server reads this format of histories");
        }
    }

    /// Refuses what needs a newer reader than some server is.
    pub(super) fn check(&self, needs: u16) -> Result<(), EngineError> {
        let reads = self.0.load(Ordering::Relaxed);
        if needs <= reads { Ok(()) } else { Err(EngineError::OlderServers { needs, reads }) }
    }
}

impl Engine {
    /// Refuses what is written in a format that not every server of the store reads yet.
    ///
    /// # Errors
    /// [`EngineError::OlderServers`].
    pub(super) fn may_write(&self, needs: u16) -> Result<(), EngineError> {
        self.0.common.check(needs)
    }
}
