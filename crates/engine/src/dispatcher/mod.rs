//! Finds an agent for an attempt and carries the attempt out.

mod attempt;
mod registry;
mod tally;

pub(crate) use attempt::{AttemptContext, cancel, run_attempt};
pub use attempt::{AttemptEnd, AttemptSpec, CallMode};
pub use registry::{AgentRecord, AgentState, AgentStats, Registry};
pub use tally::AttemptFigures;
pub(crate) use tally::Tally;
