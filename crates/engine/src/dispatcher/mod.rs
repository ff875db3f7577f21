//! Finds an agent for an attempt and carries the attempt out.

mod attempt;
mod registry;

pub(crate) use attempt::{AttemptContext, CallMode, cancel, run_attempt};
pub use attempt::{AttemptEnd, AttemptSpec};
pub use registry::{AgentRecord, AgentStats, Registry};
