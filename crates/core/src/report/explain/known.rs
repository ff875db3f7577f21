//! What only the owner of a run knows of it.

use std::collections::BTreeMap;

use crate::ids::AgentId;
use crate::plan::StepIndex;
use crate::ports::agent::Rate;
use crate::time::Timestamp;

/// What only the owner of a run knows of it. The default is what is known where a store alone is read: nothing.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// What the server that was asked says of itself; `None`: none was.
    pub owner: Option<Owner>,
    /// How the run stands in the queue, if it waits there.
    pub queue: Option<QueuePlace>,
    /// Whom the steps of [`steps_without_agent`](super::steps_without_agent) could be asked of.
    pub outlooks: BTreeMap<StepIndex, Outlook>,
}

/// What a server says of its part in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// The run is in its memory, and driven.
    pub drives: bool,
    /// The run has steps to start, and the server carries out as many attempts as it may.
    pub is_full: bool,
    /// Since when something that was decided is not durable.
    pub commit_since: Option<Timestamp>,
}

/// How a run stands in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuePlace {
    /// Runs that go before it.
    pub before: u64,
    /// True if there are more of them than were counted.
    pub or_more: bool,
}

/// Whom a step could be asked of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// The agents that could do it, in the order in which they are asked.
    pub agents: Vec<AgentOutlook>,
    /// What keeps all of them from being asked for this capability.
    pub capability: Option<Hindrance>,
    /// Runs that wait for the same before this one; `None` if it does not wait in line.
    pub ahead: Option<u32>,
}

/// Whether an agent can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentOutlook {
    /// The agent.
    pub agent: AgentId,
    /// What keeps it from being asked; `None`: nothing.
    pub hindrance: Option<Hindrance>,
}

/// What keeps an agent from being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hindrance {
    /// So many attempts are under way, as many as there may be.
    InFlight(u32),
    /// No more than a rate, and not before a moment.
    Rate(Rate, Timestamp),
    /// It said that it is busy until then.
    Rests(Timestamp),
    /// It failed again and again, and is not asked before this moment.
    BreakerOpen(Timestamp),
    /// It failed again and again, and one attempt tries whether it can be asked.
    BreakerTrial,
    /// It gave no sign of life for too long; the last one, if there was one.
    Silent(Option<Timestamp>),
    /// The step was asked of it in this round already.
    Asked,
}
