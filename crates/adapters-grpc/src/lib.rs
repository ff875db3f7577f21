//! The agent port over A2A 1.0 on gRPC, and in [`api`] the API of a server: its service and its client. How a
//! server serves its port stands in [`serve`].
//!
//! [`GrpcTransport`] reads an agent's card over HTTP, picks its gRPC interface and keeps one HTTP/2 channel per address.
//! A call is `SendStreamingMessage`; message and context id derive from the attempt's key, so that the task of a call
//! whose answer was lost is found again by `ListTasks` and followed by `GetTask` and `SubscribeToTask`.
//!
//! What a finished task's artifacts mean for the step's output is told in `output.rs`: one value is the output, several
//! objects are merged, and so on.
//!
//! The input travels as a data part. Protobuf has 64-bit floats as its only numbers: an input that they would change
//! (`12345678901234567890`, say), or that nests too deep for it, travels as text of media type `application/json`. Text
//! of that media type in an answer is taken as a value, byte for byte.

mod access;
mod address;
pub mod api;
mod connect;
mod discovery;
mod fault;
pub mod orchestrator;
mod output;
mod peer;
mod pieces;
mod policy;
mod pool;
mod report;
mod request;
pub mod serve;
mod session;
mod task;
mod tls;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use tutti_core::ports::agent::{
    AgentCall, AgentDescription, AgentEndpoint, AgentError, AgentReply, AgentTransport, AgentUpdate, Answer, UpdateSink,
};

use crate::connect::Connector;
use crate::discovery::Discovery;
use crate::fault::broken;
use crate::peer::Shared;
use crate::pool::Pool;
use crate::session::Session;

pub use crate::connect::{Resolve, SystemResolver};
pub use crate::policy::{Allowed, EndpointPolicy};
pub use crate::pool::PoolStats;
pub use crate::task::{Ending, TaskView};

/// How agents are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcConfig {
    /// Most channels (one per agent address) kept for reuse. Default: 20.
    pub pool_size: usize,
    /// How long connecting may take. Default: 5 s.
    pub connect_timeout: Duration,
    /// How long an answer that is due at once may take: a card, a task, a cancellation. Default: 10 s.
    pub request_timeout: Duration,
    /// How long a stream may be silent before the agent is asked about the task. A task under way is then waited for,
    /// unless it was found again after a break and the agent may have lost it: that one is cancelled. Default: 60 s.
    pub idle_timeout: Duration,
    /// How long an agent that goes away in the middle of a task is waited for. Default: 5 s.
    pub reconnect_window: Duration,
    /// Where agents may be. Default: in the internet; trusted ones also on loopback and in private networks.
    pub policy: EndpointPolicy,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            pool_size: 20,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            reconnect_window: Duration::from_secs(5),
            policy: EndpointPolicy::default(),
        }
    }
}

/// Calls A2A agents over gRPC.
#[derive(Debug)]
pub struct GrpcTransport {
    shared: Shared,
}

impl GrpcTransport {
    /// A transport with no connections yet.
    #[must_use]
    pub fn new(config: GrpcConfig) -> Self {
        Self::with_resolver(config, Arc::new(SystemResolver))
    }

    /// The same, with names looked up elsewhere than at the system.
    #[must_use]
    pub fn with_resolver(config: GrpcConfig, resolver: Arc<dyn Resolve>) -> Self {
        let connector = Connector::new(config.policy.clone(), resolver, config.connect_timeout);
        let pool = Pool::new(config.pool_size, connector.clone());
        let discovery = Discovery::new(connector, config.request_timeout);
        Self { shared: Shared { config, pool, discovery } }
    }

    /// How connections were used so far.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.shared.pool.stats()
    }
}

#[async_trait]
impl AgentTransport for GrpcTransport {
    async fn describe(&self, agent: &AgentEndpoint) -> Result<AgentDescription, AgentError> {
        self.shared.discovery.describe(agent).await.map_err(|fault| fault.error)
    }

    async fn call(&self, call: &AgentCall, updates: &dyn UpdateSink) -> Result<Answer, AgentError> {
        guard(Session::new(&self.shared, call, updates, call.timeout).call()).await
    }

    async fn reattach(&self, call: &AgentCall, updates: &dyn UpdateSink) -> Result<Option<Answer>, AgentError> {
        guard(Session::new(&self.shared, call, updates, call.timeout).reattach()).await
    }

    async fn answer(
        &self,
        call: &AgentCall,
        reply: &AgentReply,
        updates: &dyn UpdateSink,
    ) -> Result<Answer, AgentError> {
        guard(Session::new(&self.shared, call, updates, call.timeout).answer(reply)).await
    }

    async fn cancel(&self, call: &AgentCall) -> Result<(), AgentError> {
        // The attempt's own time may be over; stopping it is not to depend on that.
        guard(Session::new(&self.shared, call, &Deaf, self.shared.config.request_timeout).cancel()).await
    }
}

/// Hears nothing: who cancels a task has no use for its news.
struct Deaf;

impl UpdateSink for Deaf {
    fn update(&self, _: AgentUpdate) {}
}

/// Turns a panic into an error of this attempt: tonic panics on an error whose details are not base64, so that one bad
/// agent could otherwise take down whoever calls it.
async fn guard<T>(session: impl Future<Output = Result<T, AgentError>>) -> Result<T, AgentError> {
    AssertUnwindSafe(Box::pin(session))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(broken("an answer that the gRPC library cannot read")))
}
