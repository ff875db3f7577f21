//! Attempts of steps that hold others or have a condition: they are the engine's own, and carried out as it does.

use std::sync::Arc;

use async_trait::async_trait;
use tutti_core::ports::agent::{
    AgentCall, AgentDescription, AgentEndpoint, AgentError, AgentErrorKind, AgentReply, AgentTransport, Answer,
    UpdateSink,
};
use tutti_core::ports::clock::Clock;
use tutti_core::ports::payload::PayloadStore;
use tutti_core::time::Timestamp;
use tutti_engine::Attempts;
use tutti_engine::driver::AttemptSpec;

/// Carries out the engine's own attempts over a store.
pub(crate) fn attempts(payloads: Arc<dyn PayloadStore>) -> Attempts {
    Attempts::new(Arc::new(Nobody), payloads, Arc::new(Nobody))
}

/// True for an attempt in which no agent is asked, whatever the step is.
pub(crate) fn is_own(spec: &AttemptSpec) -> bool {
    spec.checks || spec.plan.step(spec.step).container().is_some()
}

struct Nobody;

fn refused() -> AgentError {
    AgentError::new(AgentErrorKind::Unavailable, "there are no agents to be asked")
}

#[async_trait]
impl AgentTransport for Nobody {
    async fn describe(&self, _: &AgentEndpoint) -> Result<AgentDescription, AgentError> {
        Err(refused())
    }
    async fn call(&self, _: &AgentCall, _: &dyn UpdateSink) -> Result<Answer, AgentError> {
        Err(refused())
    }
    async fn reattach(&self, _: &AgentCall, _: &dyn UpdateSink) -> Result<Option<Answer>, AgentError> {
        Err(refused())
    }
    async fn answer(&self, _: &AgentCall, _: &AgentReply, _: &dyn UpdateSink) -> Result<Answer, AgentError> {
        Err(refused())
    }
    async fn cancel(&self, _: &AgentCall) -> Result<(), AgentError> {
        Ok(())
    }
}

impl Clock for Nobody {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(0)
    }
    fn random(&self) -> u128 {
        0
    }
}
