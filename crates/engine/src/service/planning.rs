//! Requests in plain words: somebody plans them, and asks agents for it outside of any run.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tutti_core::ids::{AgentId, AttemptKey, Capability, Namespace, RunId, StepId, StepPath};
use tutti_core::ports::agent::{AgentError, AgentErrorKind, AgentTransport};
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inbound::RequestError;
use tutti_core::report::RunView;
use tutti_core::value::Json;
use tutti_core::workflow::Priority;

use crate::dispatcher::{CallMode, Consultants, Question, Registry};
use crate::engine::Engine;

/// Makes workflows of requests in plain words.
#[async_trait]
pub trait Planner: Send + Sync {
    /// Makes a workflow that every check lets pass.
    ///
    /// # Errors
    /// [`RequestError::Invalid`] with the reasons why there is none.
    async fn propose(&self, wanted: Wanted) -> Result<Proposed, RequestError>;
}

/// What is to be planned.
#[derive(Debug)]
pub struct Wanted {
    /// For whom.
    pub namespace: Namespace,
    /// In plain words.
    pub query: String,
    /// True: no agent is asked.
    pub alone: bool,
    /// The run that failed, and its data, if a new plan is wanted for what it did not do.
    pub failed: Option<(Box<RunView>, Json)>,
}

/// A workflow that was made of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    /// The text of its file.
    pub text: String,
    /// Who made it.
    pub by: String,
    /// What happened on the way, for people.
    pub notes: Vec<String>,
}

/// Asks agents on the behalf of a server, within their limits, breakers and the line.
pub struct Asker {
    consultants: Consultants,
    transport: Arc<dyn AgentTransport>,
    clock: Arc<dyn Clock>,
}

/// A question to an agent.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Whose agents.
    pub namespace: Namespace,
    /// What the agent must be able to do.
    pub capability: Capability,
    /// A word for what is asked.
    pub word: &'static str,
    /// Which conversation it belongs to; see [`Asker::conversation`].
    pub conversation: RunId,
    /// Which question of the conversation it is, from 1.
    pub round: u32,
    /// What is asked: an object.
    pub input: Json,
    /// How long it may take.
    pub timeout: Duration,
}

impl Asker {
    /// Asks the agents of a registry.
    #[must_use]
    pub fn new(registry: Registry, transport: Arc<dyn AgentTransport>, clock: Arc<dyn Clock>) -> Self {
        Self { consultants: Consultants::new(registry, clock.clone()), transport, clock }
    }

    /// Asks the agents of an engine.
    #[must_use]
    pub fn of(engine: &Engine) -> Self {
        let ports = engine.ports();
        Self::new(engine.registry().clone(), ports.agents.clone(), ports.clock.clone())
    }

    /// A conversation of questions that belong together: agents get them in one A2A context.
    #[must_use]
    pub fn conversation(&self) -> RunId {
        let mut random = [0; 10];
        random.copy_from_slice(&self.clock.random().to_be_bytes()[..10]);
        RunId::new(u64::try_from(self.clock.now().as_micros() / 1_000).unwrap_or_default(), random)
    }

    /// Asks the best agent that can be asked, and another one if that fails. After a crash the question is not found again:
    /// its caller asks anew.
    ///
    /// # Errors
    /// That of the last agent; [`AgentErrorKind::NoAgent`] if there is none.
    pub async fn ask(&self, ask: Ask) -> Result<(AgentId, Json), AgentError> {
        let Ask { namespace, capability, word, conversation, round, input, timeout } = ask;
        let step: StepId = word.parse().map_err(|error: tutti_core::ids::InvalidName| {
            AgentError::new(AgentErrorKind::InvalidInput, error.to_string())
        })?;
        let path = StepPath::from(&step);
        let attempt = AttemptKey { run: conversation, generation: 0, path, attempt: round };
        let question = Question {
            attempt,
            word,
            namespace,
            capability,
            agent: None,
            but: Vec::new(),
            action: None,
            priority: Priority::Normal,
            input,
            timeout,
            mode: CallMode::Fresh,
            trace_parent: None,
        };
        let consulted = self.consultants.ask(&*self.transport, question).await?;
        Ok((consulted.agent, consulted.output))
    }
}
