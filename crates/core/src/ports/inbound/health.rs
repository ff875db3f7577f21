//! How a server is.

use std::time::Duration;

use crate::time::Timestamp;
use crate::workflow::Executor;

/// How a server is, as it knows by itself; asking waits for nothing.
pub trait Health: Send + Sync {
    /// The figures of this moment, counted since the server started.
    fn health(&self) -> ServerHealth;
}

/// How a server is. Attempts are those that this server carries out.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
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
}

impl ServerHealth {
    /// Share of attempts that ended well, 0 to 1; absent before the first end.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        let ended = self.completed_attempts + self.failed_attempts;
        (ended > 0).then(|| self.completed_attempts as f64 / ended as f64)
    }
}
