//! One connection, from its handshake to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::calls::Calls;
use super::first_bytes::FirstBytes;
use super::limits::ServerLimits;
use super::tls::{Certificates, PeerCertificate};
use super::{ConnectionClosing, PeerAddress};

/// Smallest buffer that hyper takes for the head of an HTTP/1 request.
const MIN_HEAD_BYTES: usize = 8 * 1024;

/// What all connections share.
pub(super) struct Serving {
    pub(super) calls: Arc<Calls>,
    pub(super) certificates: Option<Arc<Certificates>>,
    /// The server stops.
    pub(super) closing: CancellationToken,
    pub(super) limits: ServerLimits,
}

impl Serving {
    /// Serves a connection to its end.
    pub(super) async fn connection(&self, stream: TcpStream, peer: SocketAddr) {
        // Answers are small and awaited; where this fails the connection is gone already.
        let _ = stream.set_nodelay(true);
        let Some(certificates) = &self.certificates else {
            return self.speak(stream, peer, None).await;
        };
        let handshake = async {
            let acceptor = certificates.acceptor().await;
            acceptor.accept(stream).await
        };
        let accepted = tokio::select! {
            accepted = timeout(self.limits.tls_handshake_timeout, handshake) => accepted,
            () = self.closing.cancelled() => return,
        };
        match accepted {
            Ok(Ok(stream)) => {
                let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
                let certificate = chain.first().and_then(PeerCertificate::of);
                self.speak(stream, peer, certificate).await;
            }
            Ok(Err(error)) => tracing::debug!(%peer, "no TLS with this caller: {error}"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }

    /// Speaks HTTP until the connection ends, or was asked to and has had its time.
    async fn speak<IO>(&self, stream: IO, peer: SocketAddr, certificate: Option<PeerCertificate>)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let closing = self.closing.child_token();
        let turns = Arc::new(Semaphore::new(self.limits.concurrency_per_connection));
        let (calls, token) = (self.calls.clone(), closing.clone());
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            let extensions = request.extensions_mut();
            extensions.insert(PeerAddress(peer));
            extensions.insert(ConnectionClosing(token.clone()));
            if let Some(certificate) = &certificate {
                extensions.insert(certificate.clone());
            }
            let answer = calls.clone().answer(turns.clone(), request);
            async move { Ok::<_, std::convert::Infallible>(answer.await) }
        });
        let io = TokioIo::new(FirstBytes::new(stream, self.limits.first_bytes_timeout));
        let builder = builder(&self.limits);
        let connection = builder.serve_connection(io, TowerToHyperService::new(service));
        tokio::pin!(connection);
        let age = sleep(spread(self.limits.max_connection_age, peer));
        tokio::select! {
            ended = connection.as_mut() => return report(peer, ended),
            () = closing.cancelled() => {}
            () = age => closing.cancel(),
        }
        connection.as_mut().graceful_shutdown();
        match timeout(self.limits.connection_age_grace, connection).await {
            Ok(ended) => report(peer, ended),
            Err(_) => tracing::debug!(%peer, "an old connection is closed with calls under way"),
        }
    }
}

fn report(peer: SocketAddr, ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(%peer, "a connection broke: {error}");
    }
}

fn builder(limits: &ServerLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .max_buf_size((limits.max_header_bytes as usize).max(MIN_HEAD_BYTES));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout)
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_header_list_size(limits.max_header_bytes)
        .max_pending_accept_reset_streams(limits.max_pending_accept_reset_streams)
        .max_local_error_reset_streams(limits.max_local_error_reset_streams);
    builder
}

/// The age, a tenth shorter to a tenth longer: by the caller's port, which differs from one connection to the next.
fn spread(age: Duration, peer: SocketAddr) -> Duration {
    age.mul_f64(0.9 + 0.2 * f64::from(peer.port() % 101) / 100.0)
}
