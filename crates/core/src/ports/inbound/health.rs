//! How a server is.

use std::time::Duration;

use crate::ids::ServerId;
use crate::time::Timestamp;
use crate::workflow::Executor;

/// How a server is, as it knows by itself; asking waits for nothing.
pub trait Health: Send + Sync {
    /// The figures of this moment, counted since the server started.
    fn health(&self) -> ServerHealth;
}

/// How a server is. Attempts are those that this server carries out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerHealth {
    /// The executor that the last run got.
    pub strategy: Option<Executor>,
    /// When that was decided.
    pub decided_at: Option<Timestamp>,
    /// Attempts under way.
    pub active_attempts: u64,
    /// Attempts that ended well.
    pub completed_attempts: u64,
    /// Attempts that failed.
    pub failed_attempts: u64,
    /// Average time of the attempts that ended; absent before the first.
    pub average_response: Option<Duration>,
    /// Its version.
    pub version: String,
    /// Runs that it drives, of those that it has in memory.
    pub driven_runs: u64,
    /// Of these, how many made no progress though they should have, when it looked last.
    pub stalled_runs: u64,
    /// How it shares its store with other servers; `None` if it has it alone.
    pub fleet: Option<FleetHealth>,
}

/// How a server shares its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetHealth {
    /// Its id.
    pub server: ServerId,
    /// Slots that it has; what hashes to them is driven here.
    pub slots: u32,
    /// Servers whose leases last, itself included, as it knew when it last renewed its own.
    pub servers: u32,
    /// How its lease is.
    pub lease: Lease,
}

/// How the lease of a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// It lasts.
    Held,
    /// It was not renewed in time: nothing is started until it is.
    Lost,
    /// Another server was started under this server's id.
    Replaced,
}

impl ServerHealth {
    /// Share of attempts that ended well, 0 to 1; absent before the first end.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        let ended = self.completed_attempts + self.failed_attempts;
        (ended > 0).then(|| self.completed_attempts as f64 / ended as f64)
    }
}
