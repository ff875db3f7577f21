//! Attempts of the engine itself, carried out without an engine: by whoever drives a driver in a world of his own.

use std::sync::Arc;

use tutti_core::ports::agent::{AgentTransport, AgentUpdate, UpdateSink};
use tutti_core::ports::clock::Clock;
use tutti_core::ports::payload::PayloadStore;

use super::attempt::{AttemptContext, AttemptEnd, AttemptSpec, run_attempt};
use super::consult::Consultants;
use super::registry::Registry;
use super::scope::Scopes;

/// Carries out attempts as an engine does.
pub struct Attempts(AttemptContext);

impl Attempts {
    /// Attempts whose values lie in a store, and whose questions go to these agents.
    #[must_use]
    pub fn new(agents: Arc<dyn AgentTransport>, payloads: Arc<dyn PayloadStore>, clock: Arc<dyn Clock>) -> Self {
        let consultants = Consultants::new(Registry::default(), clock);
        Self(AttemptContext { transport: agents, payloads, consultants, scopes: Scopes::default() })
    }

    /// Carries one out. Of a step that has a condition which was not looked at, or that holds others, it asks no agent.
    pub async fn carry_out(&self, spec: &AttemptSpec) -> AttemptEnd {
        run_attempt(&self.0, spec, &Nobody).await
    }
}

struct Nobody;

impl UpdateSink for Nobody {
    fn update(&self, _: AgentUpdate) {}
}
