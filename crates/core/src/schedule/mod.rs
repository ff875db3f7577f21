//! Which ready steps start, and when.

mod admission;
mod frontier;
mod policy;
mod queue;

pub use admission::{admit, admit_past, has_room};
pub use frontier::Frontier;
pub use policy::{Growth, Policy, StrategyDecision, StrategyReason, Width};
pub use queue::turn;
