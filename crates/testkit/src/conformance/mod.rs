//! Suites that check whether an adapter keeps the contract of its port. An adapter's tests call them with a way to make
//! fresh adapters; nothing in them knows any adapter.

mod case;
pub mod clock;
mod differential;
pub mod fleet;
pub mod inbox;
pub mod retention;
pub mod store;
pub mod transport;

pub use case::Case;
pub use differential::differential;
