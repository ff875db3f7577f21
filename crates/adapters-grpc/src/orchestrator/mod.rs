//! The server as an agent: A2A 1.0 over the inbound ports, so that whoever can call an agent can have workflows run.
//!
//! Each registered workflow is a skill. A task is a run: the task's id is the run's, and what the protocol says of tasks
//! is told from the run's history, so that tasks outlive the server's process. A message that starts a run is its request:
//! the request id follows from the caller and the message id, so that a message sent twice starts one run. What the
//! message says of the run that a run has no place for (its context, its own id) is kept in labels of the run.

mod artifact;
mod card;
mod follow;
mod input;
mod labels;
mod list;
mod refusal;
mod send;
mod service;
mod task;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Status};
use tutti_a2a::error::Reason;
use tutti_a2a::v1::a2a_service_server::A2aServiceServer;
use tutti_a2a::{CARD_PATH, MAX_MESSAGE_BYTES, VERSION, metadata};
use tutti_core::ports::inbound::runs::Runs;
use tutti_core::ports::inbound::values::Values;
use tutti_core::ports::inbound::views::Views;
use tutti_core::ports::inbound::workflows::Workflows;

/// How the agent presents itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentOptions {
    /// Its name for people. Default: `Tutti`.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Version of the product. Default: this package's.
    pub version: String,
    /// `host:port` under which callers reach it; `None`: the name by which the caller of the card came. Default: `None`.
    pub address: Option<String>,
    /// Whether callers must bear a token; the card says so. Default: false.
    pub bearer: bool,
    /// Longest that a message waits for the end of its run; it is answered with the run as it is then. Shorter than
    /// [`ServerLimits::request_timeout`](crate::serve::ServerLimits::request_timeout), after which there is no answer.
    /// Default: 4 min 50 s.
    pub longest_wait: Duration,
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            name: "Tutti".to_owned(),
            description: "Runs workflows of many agents: each skill is a workflow.".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address: None,
            bearer: false,
            longest_wait: Duration::from_secs(290),
        }
    }
}

/// The server as an A2A agent.
#[derive(Clone)]
pub struct OrchestratorAgent {
    runs: Arc<dyn Runs>,
    views: Arc<dyn Views>,
    values: Arc<dyn Values>,
    workflows: Arc<dyn Workflows>,
    options: Arc<AgentOptions>,
}

/// The service of the agent, to be served beside others.
pub type OrchestratorService =
    InterceptedService<A2aServiceServer<OrchestratorAgent>, fn(Request<()>) -> Result<Request<()>, Status>>;

impl OrchestratorAgent {
    /// An agent over the ports of a server.
    #[must_use]
    pub fn new(
        runs: Arc<dyn Runs>,
        views: Arc<dyn Views>,
        values: Arc<dyn Values>,
        workflows: Arc<dyn Workflows>,
        options: AgentOptions,
    ) -> Self {
        Self { runs, views, values, workflows, options: Arc::new(options) }
    }

    /// `lf.a2a.v1.A2AService`: all operations. Calls in another version of the protocol are refused.
    #[must_use]
    pub fn service(&self) -> OrchestratorService {
        let service = A2aServiceServer::new(self.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        InterceptedService::new(service, check_version)
    }

    /// The card over HTTP, at `/.well-known/agent-card.json`.
    pub fn card(&self) -> Router {
        Router::new().route(CARD_PATH, get(card::serve)).with_state(self.clone())
    }
}

/// Refuses calls in another version than 1.0, whatever its patch. No version means 0.3 (specification, "Versioning").
fn check_version(request: Request<()>) -> Result<Request<()>, Status> {
    let asked = request.metadata().get(metadata::VERSION).and_then(|version| version.to_str().ok()).unwrap_or("");
    let mut parts = asked.trim().split('.');
    if (parts.next(), parts.next()) == (Some("1"), Some("0")) {
        return Ok(request);
    }
    let said = if asked.is_empty() { "none, which means 0.3".to_owned() } else { asked.escape_debug().to_string() };
    let message = format!("this agent speaks A2A {VERSION}; the call's {} is {said}", metadata::VERSION);
    Err(Reason::VersionNotSupported.status(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_spoken_here_is_let_in() {
        let check = |version: &'static str| {
            let mut request = Request::new(());
            request.metadata_mut().insert(metadata::VERSION, version.parse().unwrap());
            check_version(request)
        };
        for spoken in ["1.0", "1.0.1", " 1.0"] {
            assert!(check(spoken).is_ok(), "{spoken}");
        }
        for other in ["", "0.3", "1", "1.1", "2.0", "10.0", "x"] {
            assert_eq!(Reason::of(&check(other).unwrap_err()), Some(Reason::VersionNotSupported), "{other}");
        }
        assert_eq!(Reason::of(&check_version(Request::new(())).unwrap_err()), Some(Reason::VersionNotSupported));
    }
}
