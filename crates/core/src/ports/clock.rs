//! Time and chance.

use crate::time::Timestamp;

/// Tells the time and draws random numbers, so that the engine itself is deterministic.
///
/// Contract: `now` may step back (clocks are set), and must not block; `random` is uniform over all values.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;

    /// Random bits.
    fn random(&self) -> u128;
}
