//! One port for gRPC and HTTP, with bounds on everything a caller can ask for, and TLS.
//!
//! What is served is a [`Router`]; which services stand in it is told elsewhere. The loop accepts connections, speaks
//! HTTP/1.1 and HTTP/2 on them, and ends them in good order: asked to stop it accepts no more, tells HTTP/2 clients so
//! (GOAWAY), and gives the calls under way their time. Dropped, it closes everything at once.

mod calls;
mod connection;
mod first_bytes;
mod limits;
mod tls;

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

pub use limits::ServerLimits;
pub use tls::{PeerCertificate, TlsOptions, TlsVersion};

pub(crate) use self::calls::{allowed, is_grpc, refusal};

use self::calls::Calls;
use self::connection::Serving;
use self::tls::Certificates;

/// How long accepting pauses when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How a server is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeOptions {
    /// What its callers may ask for.
    pub limits: ServerLimits,
    /// TLS; `None`: plain text. Default: `None`.
    pub tls: Option<TlsOptions>,
    /// How long calls under way get when the server stops. Default: 3 s.
    pub grace: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self { limits: ServerLimits::default(), tls: None, grace: Duration::from_secs(3) }
    }
}

/// Why a server went down, or did not come up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// The certificates cannot be used: which file, and why.
    #[error("TLS cannot be served: {0}")]
    Tls(String),
}

/// Where a request comes from. In the extensions of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Ends when the request's connection was asked to end, because the server stops or the connection is old. In the
/// extensions of every request: a stream that goes on for ever ends itself then, by UNAVAILABLE and what to go on from.
#[derive(Debug, Clone)]
pub struct ConnectionClosing(pub CancellationToken);

/// Serves the routes until `stop` is ready and what was under way has ended, or its grace is over.
///
/// # Errors
/// [`ServeError`] if it cannot begin. A listener that has no descriptors left is tried again.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    options: ServeOptions,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let certificates = options.tls.map(Certificates::load).transpose().map_err(ServeError::Tls)?;
    let closing = CancellationToken::new();
    let serving = Arc::new(Serving {
        calls: Arc::new(Calls::new(routes, &options.limits)),
        certificates: certificates.map(Arc::new),
        closing: closing.clone(),
        limits: options.limits,
    });
    // Its drop aborts all connections.
    let mut connections = JoinSet::new();
    accept(listener, &serving, &mut connections, stop).await;
    closing.cancel();
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(options.grace, drained).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections that were still open are closed");
        connections.shutdown().await;
    }
    Ok(())
}

/// Accepts until `stop`; the listener is closed then.
async fn accept(
    listener: TcpListener,
    serving: &Arc<Serving>,
    connections: &mut JoinSet<()>,
    stop: impl Future<Output = ()>,
) {
    let per_address = Arc::new(PerAddress::default());
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => admit(stream, peer, serving, &per_address, connections),
                Err(error) if gone(&error) => {}
                Err(error) => {
                    tracing::warn!("connections cannot be accepted: {error}");
                    tokio::select! {
                        () = &mut stop => return,
                        () = sleep(ACCEPT_PAUSE) => {}
                    }
                }
            },
        }
    }
}

/// Serves a connection, or closes it when there are too many.
fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    serving: &Arc<Serving>,
    per_address: &Arc<PerAddress>,
    connections: &mut JoinSet<()>,
) {
    let limits = &serving.limits;
    if connections.len() >= limits.max_connections {
        return tracing::warn!(%peer, limit = limits.max_connections, "a connection too many is closed");
    }
    let Some(place) = per_address.take(peer.ip(), limits.max_connections_per_ip) else {
        return tracing::warn!(%peer, limit = limits.max_connections_per_ip, "a connection too many of one address is closed");
    };
    let serving = serving.clone();
    connections.spawn(async move {
        serving.connection(stream, peer).await;
        drop(place);
    });
}

/// Whether the caller left before it was accepted.
fn gone(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// How many connections each address has.
#[derive(Default)]
struct PerAddress(Mutex<HashMap<IpAddr, usize>>);

impl PerAddress {
    /// A place for one more, given back when it is dropped.
    fn take(self: &Arc<Self>, ip: IpAddr, max: usize) -> Option<Place> {
        let ip = caller(ip);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&ip).copied().unwrap_or_default();
        if count >= max {
            return None;
        }
        counts.insert(ip, count + 1);
        Some(Place { all: self.clone(), ip })
    }
}

struct Place {
    all: Arc<PerAddress>,
    ip: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}

/// One caller's addresses as one: a host has a whole /64 of IPv6 to itself.
fn caller(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_caller_and_given_back() {
        let all = Arc::new(PerAddress::default());
        let take = |ip: &str| all.take(ip.parse().unwrap(), 1);
        let first = take("192.0.2.1").unwrap();
        assert!(take("192.0.2.1").is_none());
        assert!(take("::ffff:192.0.2.1").is_none(), "the same host through a socket of both families");
        let six = take("2001:db8:0:1::1").unwrap();
        assert!(take("2001:db8:0:1::2").is_none(), "the same /64");
        assert!(take("2001:db8:0:2::1").is_some());
        drop((first, six));
        assert!(take("192.0.2.1").is_some());
        assert!(all.0.lock().unwrap().is_empty(), "nothing is left of those that went");
    }
}
