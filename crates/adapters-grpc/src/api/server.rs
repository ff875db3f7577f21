//! What a server serves: the API and health. How it is served is told in [`crate::serve`].

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};
use tutti_a2a::v1::a2a_service_server::A2aServiceServer;
use tutti_api::MAX_MESSAGE_BYTES;
use tutti_api::v1::access_service_server::AccessServiceServer;
use tutti_api::v1::agent_service_server::AgentServiceServer;
use tutti_api::v1::monitor_service_server::MonitorServiceServer;
use tutti_api::v1::recovery_service_server::RecoveryServiceServer;
use tutti_api::v1::retention_service_server::RetentionServiceServer;
use tutti_api::v1::run_service_server::RunServiceServer;
use tutti_api::v1::workflow_service_server::WorkflowServiceServer;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inbound::access::Access;
use tutti_core::ports::inbound::agents::Agents;
use tutti_core::ports::inbound::health::Health;
use tutti_core::ports::inbound::retention::Housekeeping;
use tutti_core::ports::inbound::runs::Runs;
use tutti_core::ports::inbound::values::Values;
use tutti_core::ports::inbound::views::Views;
use tutti_core::ports::inbound::workflows::Workflows;

use super::access::AccessApi;
use super::agents::AgentApi;
use super::auth::Auth;
use super::monitor::{ExecuteStreamSwitch, MonitorApi};
use super::recovery::RecoveryApi;
use super::retention::RetentionApi;
use super::runs::RunApi;
use super::workflows::WorkflowApi;
use crate::orchestrator::OrchestratorAgent;
use crate::serve::{self, ServeError, ServeOptions};

/// What a server's callers may ask of it.
#[derive(Clone)]
pub struct Inbound {
    /// Changes runs.
    pub runs: Arc<dyn Runs>,
    /// Looks at runs.
    pub views: Arc<dyn Views>,
    /// Has the values of runs.
    pub values: Arc<dyn Values>,
    /// Keeps registered workflows.
    pub workflows: Arc<dyn Workflows>,
    /// Knows the agents.
    pub agents: Arc<dyn Agents>,
    /// Knows who may call.
    pub access: Arc<dyn Access>,
    /// Knows how the server is.
    pub health: Arc<dyn Health>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// The services of a server, and what has to be told when it stops.
pub struct Api {
    routes: Routes,
    health: HealthReporter,
    closing: CancellationToken,
    auth: Auth,
    reflection: bool,
    execute_stream: ExecuteStreamSwitch,
    http: Router,
    /// The names under which health is told.
    names: Vec<&'static str>,
    /// What describes the services.
    descriptors: Vec<&'static [u8]>,
}

/// That of the server as a whole, and those of its services.
const NAMES: [&str; 7] = [
    "",
    RunServiceServer::<RunApi>::NAME,
    RecoveryServiceServer::<RecoveryApi>::NAME,
    WorkflowServiceServer::<WorkflowApi>::NAME,
    MonitorServiceServer::<MonitorApi>::NAME,
    AgentServiceServer::<AgentApi>::NAME,
    AccessServiceServer::<AccessApi>::NAME,
];

impl Api {
    /// The API and `grpc.health.v1`, which says SERVING of all of it once it is served. Nobody is asked who calls; see [`Api::auth`].
    pub async fn new(inbound: Inbound) -> Self {
        let closing = CancellationToken::new();
        let execute_stream = ExecuteStreamSwitch::default();
        let (health, health_service) = health_reporter();
        macro_rules! bounded {
            ($server:ident, $service:expr) => {
                $server::new($service)
                    .max_decoding_message_size(MAX_MESSAGE_BYTES)
                    .max_encoding_message_size(MAX_MESSAGE_BYTES)
            };
        }
        let access = AccessApi { access: inbound.access.clone() };
        let routes = Routes::new(health_service)
            .add_service(bounded!(AgentServiceServer, AgentApi { agents: inbound.agents.clone() }))
            .add_service(bounded!(AccessServiceServer, access))
            .add_service(bounded!(WorkflowServiceServer, WorkflowApi { workflows: inbound.workflows.clone() }))
            .add_service(bounded!(
                MonitorServiceServer,
                MonitorApi {
                    inbound: inbound.clone(),
                    closing: closing.clone(),
                    execute_stream: execute_stream.clone()
                }
            ))
            .add_service(bounded!(RecoveryServiceServer, RecoveryApi { inbound: inbound.clone() }))
            .add_service(bounded!(RunServiceServer, RunApi { inbound, closing: closing.clone() }));
        Self {
            routes,
            health,
            closing,
            auth: Auth::off(),
            reflection: false,
            execute_stream,
            http: Router::new(),
            names: NAMES.to_vec(),
            descriptors: vec![tutti_api::FILE_DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET],
        }
    }

    /// How callers are known. Default: [`Auth::off`].
    #[must_use]
    pub fn auth(self, auth: Auth) -> Self {
        Self { auth, ..self }
    }

    /// Whether the services describe themselves to callers (`grpc.reflection.v1` and `v1alpha`). Default: false.
    #[must_use]
    pub fn reflection(self, reflection: bool) -> Self {
        Self { reflection, ..self }
    }

    /// Whether `MonitorService.ExecuteStream` is there; if not, it answers FAILED_PRECONDITION. Default: true.
    #[must_use]
    pub fn execute_stream(self, offered: bool) -> Self {
        self.execute_stream.set(offered);
        self
    }

    /// Offers the server as an A2A agent too: the agent's service, and its card over HTTP. Default: it is none.
    #[must_use]
    pub fn agent(mut self, agent: &OrchestratorAgent) -> Self {
        self.routes = self.routes.add_service(agent.service());
        self.http = self.http.merge(agent.card());
        self.names.push(A2aServiceServer::<OrchestratorAgent>::NAME);
        self.descriptors.push(tutti_a2a::FILE_DESCRIPTOR_SET);
        self
    }

    /// Offers to remove runs that have ended. Default: it does not.
    #[must_use]
    pub fn retention(mut self, house: Arc<dyn Housekeeping>, clock: Arc<dyn Clock>) -> Self {
        let service = RetentionServiceServer::new(RetentionApi { house, clock })
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        self.routes = self.routes.add_service(service);
        self.names.push(RetentionServiceServer::<RetentionApi>::NAME);
        self
    }

    /// Serves this and other HTTP routes until `stop` is ready. Then nothing more is accepted, health says NOT_SERVING, the
    /// streams of watchers end with UNAVAILABLE, and calls under way get a moment to finish.
    ///
    /// # Errors
    /// [`ServeError`] if it cannot begin.
    pub async fn serve(
        self,
        listener: TcpListener,
        http: Router,
        options: ServeOptions,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let Self { mut routes, health, closing, auth, reflection, http: own, names, descriptors, .. } = self;
        if reflection {
            routes = reflecting(routes, &descriptors);
        }
        for name in &names {
            health.set_service_status(*name, ServingStatus::Serving).await;
        }
        let stop = async {
            stop.await;
            for name in &names {
                health.set_service_status(*name, ServingStatus::NotServing).await;
            }
            closing.cancel();
        };
        // Only one of the two may answer what neither knows: gRPC, by UNIMPLEMENTED.
        serve::serve(listener, auth.around(routes.into_axum_router().merge(own).merge(http)), options, stop).await
    }
}

/// The same services and those that describe them, in both versions that clients ask for.
fn reflecting(routes: Routes, descriptors: &[&'static [u8]]) -> Routes {
    let builder = || {
        let builder = tonic_reflection::server::Builder::configure();
        descriptors.iter().fold(builder, |builder, set| builder.register_encoded_file_descriptor_set(set))
    };
    let readable = "the descriptors were made when this was built";
    routes.add_service(builder().build_v1().expect(readable)).add_service(builder().build_v1alpha().expect(readable))
}

/// Serves the API alone, to whoever calls: [`Api::serve`] without other routes.
///
/// # Errors
/// [`ServeError`] if it cannot begin.
pub async fn serve(
    listener: TcpListener,
    inbound: Inbound,
    options: ServeOptions,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    Api::new(inbound).await.serve(listener, Router::new(), options, stop).await
}
