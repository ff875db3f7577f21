//! Finds an agent for an attempt and carries the attempt out.

mod attempt;
mod registry;

pub(crate) use attempt::{AttemptContext, cancel, run_attempt};
pub use attempt::{AttemptEnd, AttemptSpec, CallMode};
pub use registry::{AgentRecord, AgentStats, Registry};
