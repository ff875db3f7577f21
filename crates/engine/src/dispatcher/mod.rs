//! Finds an agent for an attempt and carries the attempt out.

mod agent;
mod aggregate;
mod attempt;
mod breaker;
mod consult;
mod gate;
mod hold;
mod judge;
mod learned;
mod line;
mod outlook;
mod own;
mod rank;
mod registry;
mod scope;
mod tally;

pub(crate) use agent::Ending;
pub use agent::{AgentRecord, AgentState, AgentStats};
pub(crate) use attempt::{AttemptContext, cancel, run_attempt};
pub use attempt::{AttemptEnd, AttemptSpec, CallMode};
pub use breaker::BreakerPolicy;
pub(crate) use consult::{Consultants, Question};
pub(crate) use gate::Opening;
pub(crate) use hold::members;
pub use learned::Learned;
pub(crate) use line::{LaneNumber, Ticket, Want};
pub use own::Attempts;
pub(crate) use registry::{Choice, Grant};
pub use registry::{DispatchPolicy, Registry};
pub(crate) use scope::Scopes;
pub use tally::AttemptFigures;
pub(crate) use tally::Tally;
