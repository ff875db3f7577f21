//! The agents that steps can be asked of.

use std::time::Duration;

use async_trait::async_trait;

use super::error::RequestError;
use crate::ids::{AgentId, Capability, Namespace, RequestId};
use crate::ports::agent::{AgentEndpoint, CallLimits};
use crate::time::Timestamp;

/// The registry of agents. Those of the agents file are listed too, and stay as the file says.
///
/// Contract: that of [`inbound`](super). Registered agents are there again after a restart.
#[async_trait]
pub trait Agents: Send + Sync {
    /// Registers an agent: its card is read, and its skills are its capabilities if none are given. An agent that is
    /// registered under the id already is replaced.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::Invalid`] for an endpoint that may not be called or cannot be reached.
    async fn register(&self, request: RegisterAgent) -> Result<AgentStatus, RequestError>;

    /// Takes an agent out: no step is asked of it any more; what it works on goes on. False if there was none.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::NotAllowed`] for an agent of the agents file.
    async fn deregister(&self, namespace: &Namespace, agent: &AgentId) -> Result<bool, RequestError>;

    /// A sign of life with the agent's own view of its load; one that is registered to give them and does not is
    /// unhealthy.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn heartbeat(&self, namespace: &Namespace, agent: &AgentId, load: Option<f64>) -> Result<(), RequestError>;

    /// All agents, by id.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn list(&self, namespace: &Namespace) -> Result<Vec<AgentStatus>, RequestError>;

    /// Agents that have every one of these capabilities, best first, in the order in which steps are asked of
    /// them.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn discover(
        &self,
        namespace: &Namespace,
        capabilities: &[Capability],
    ) -> Result<Vec<AgentStatus>, RequestError>;
}

/// An agent to be registered.
#[derive(Debug, Clone)]
pub struct RegisterAgent {
    /// Whose.
    pub namespace: Namespace,
    /// The caller's id of the request.
    pub request: RequestId,
    /// Where it is, under which id, and what it takes to be let in.
    pub endpoint: AgentEndpoint,
    /// What it is asked for; empty for every skill of its card.
    pub capabilities: Vec<Capability>,
    /// How long it is trusted after a sign of life; `None` if it gives none.
    pub heartbeat: Option<Duration>,
    /// How much it is asked by each server.
    pub limits: CallLimits,
    /// Who registers it.
    pub by: String,
}

/// An agent as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentStatus {
    /// Its id.
    pub id: AgentId,
    /// Base URL of its card.
    pub url: String,
    /// What it is asked for.
    pub capabilities: Vec<Capability>,
    /// False if it has been silent for longer than it may be: it is not asked.
    pub healthy: bool,
    /// Its circuit breaker at this server.
    pub breaker: BreakerState,
    /// Until when it wants this server to leave it alone.
    pub resting_until: Option<Timestamp>,
    /// How much it is asked by each server.
    pub limits: CallLimits,
    /// Attempts that it works on for this server.
    pub in_flight: u32,
    /// The load that it told, 0 to 1.
    pub load: Option<f64>,
    /// Share of attempts that ended well, at all servers; absent before the first.
    pub success_rate: Option<f64>,
    /// How long an attempt that ends well takes, at all servers: a moving average; absent before the first.
    pub latency: Option<Duration>,
    /// Its last sign of life.
    pub last_seen: Option<Timestamp>,
    /// True if it stands in the agents file.
    pub of_file: bool,
}

/// How the circuit breaker of an agent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// The agent is asked.
    Closed,
    /// It failed again and again, and is not asked before a moment.
    Open {
        /// The moment.
        until: Timestamp,
    },
    /// One attempt tries it.
    HalfOpen,
}

impl BreakerState {
    /// The word for people and programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen => "half_open",
        }
    }
}
