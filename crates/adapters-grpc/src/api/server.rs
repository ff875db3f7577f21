//! What a server serves: the API and health. How it is served is told in [`crate::serve`].

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::server::{HealthReporter, health_reporter};
use tutti_api::MAX_MESSAGE_BYTES;
use tutti_api::v1::run_service_server::RunServiceServer;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inbound::runs::Runs;
use tutti_core::ports::inbound::views::Views;

use super::service::Service;
use crate::serve::{self, ServeError, ServeOptions};

/// What a server's callers may ask of it.
#[derive(Clone)]
pub struct Inbound {
    /// Changes runs.
    pub runs: Arc<dyn Runs>,
    /// Looks at runs.
    pub views: Arc<dyn Views>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// The services of a server, and what has to be told when it stops.
pub struct Api {
    routes: Routes,
    health: HealthReporter,
    closing: CancellationToken,
}

impl Api {
    /// The API and `grpc.health.v1`, which says SERVING.
    pub async fn new(inbound: Inbound) -> Self {
        let closing = CancellationToken::new();
        let service = RunServiceServer::new(Service { inbound, closing: closing.clone() })
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let (health, health_service) = health_reporter();
        health.set_serving::<RunServiceServer<Service>>().await;
        Self { routes: Routes::new(health_service).add_service(service), health, closing }
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
        let Self { routes, health, closing } = self;
        let stop = async {
            stop.await;
            health.set_not_serving::<RunServiceServer<Service>>().await;
            closing.cancel();
        };
        // Only one of the two may answer what neither knows: gRPC, by UNIMPLEMENTED.
        serve::serve(listener, routes.into_axum_router().merge(http), options, stop).await
    }
}

/// Serves the API alone: [`Api::serve`] without other routes.
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
