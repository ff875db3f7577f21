//! A server on its port: the API and health, with limits.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tutti_api::MAX_MESSAGE_BYTES;
use tutti_api::v1::run_service_server::RunServiceServer;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::runs::Runs;

use super::service::Service;

/// What one connection may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLimits {
    /// Calls and streams at once on one connection. Default: 1,000.
    pub max_concurrent_streams: u32,
    /// Calls under way at once on one connection; a stream is no longer one when it has begun. Default: 256.
    pub concurrency_per_connection: usize,
    /// How long a connection may be silent before it is asked for a sign of life. Default: 30 s.
    pub keepalive_interval: Duration,
    /// How long that sign may take. Default: 10 s.
    pub keepalive_timeout: Duration,
    /// Most bytes of the headers of one call. Default: 16 KiB.
    pub max_header_bytes: u32,
    /// How long calls under way get when the server stops. Default: 3 s.
    pub grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_concurrent_streams: 1_000,
            concurrency_per_connection: 256,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            max_header_bytes: 16 * 1024,
            grace: Duration::from_secs(3),
        }
    }
}

/// Why a server went down.
#[derive(Debug, thiserror::Error)]
#[error("the server cannot go on: {0}")]
pub struct ServeError(String);

/// Serves the API and `grpc.health.v1` until `stop` is ready. Then nothing more is accepted, the streams of watchers end
/// with UNAVAILABLE, and calls under way get a moment to finish.
///
/// # Errors
/// [`ServeError`] if the listener fails.
pub async fn serve(
    listener: TcpListener,
    runs: Arc<dyn Runs>,
    clock: Arc<dyn Clock>,
    limits: ServerLimits,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let closing = CancellationToken::new();
    let service = RunServiceServer::new(Service { runs, clock, closing: closing.clone() })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<RunServiceServer<Service>>().await;
    let server = Server::builder()
        .max_concurrent_streams(limits.max_concurrent_streams)
        .concurrency_limit_per_connection(limits.concurrency_per_connection)
        .http2_keepalive_interval(Some(limits.keepalive_interval))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
        .http2_max_header_list_size(limits.max_header_bytes)
        .add_service(health)
        .add_service(service)
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            closing.clone().cancelled_owned(),
        );
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return ended.map_err(|error| ServeError(error.to_string())),
        () = stop => {}
    }
    reporter.set_not_serving::<RunServiceServer<Service>>().await;
    closing.cancel();
    match tokio::time::timeout(limits.grace, server).await {
        Ok(ended) => ended.map_err(|error| ServeError(error.to_string())),
        Err(_) => {
            tracing::warn!("connections that were still open are closed");
            Ok(())
        }
    }
}
