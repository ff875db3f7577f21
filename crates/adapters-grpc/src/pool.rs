//! HTTP/2 channels to agents, one per address, kept for reuse.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tower::{Service as _, service_fn};
use tutti_core::ports::agent::AgentErrorKind;

use crate::fault::{Fault, causes};

/// How long a connection may be silent before the operating system asks whether the peer is alive.
const TCP_KEEPALIVE: Duration = Duration::from_secs(20);

/// How long sent data may stay unacknowledged before the connection counts as dead.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Time between HTTP/2 pings. gRPC servers end a connection that is pinged more often than every five minutes (their
/// default), so that these only keep middleboxes awake; dead peers are found by TCP.
const HTTP2_PING: Duration = Duration::from_secs(330);

/// How long the answer to a ping may take.
const HTTP2_PONG: Duration = Duration::from_secs(20);

/// Figures of a pool since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolStats {
    /// TCP connections opened to agents' gRPC addresses.
    pub opened: u64,
    /// Requests that went over a connection opened before.
    pub reused: u64,
    /// Channels held now.
    pub channels: usize,
}

impl PoolStats {
    /// The share of requests that needed no new connection, from 0 to 1; `None` before the first request.
    #[must_use]
    pub fn reuse_rate(&self) -> Option<f64> {
        let requests = self.opened + self.reused;
        (requests > 0).then(|| self.reused as f64 / requests as f64)
    }
}

/// Channels by address. A channel connects when first used, carries any number of calls at once and reconnects by
/// itself. Of more addresses than fit, the one that was not used for longest is let go; calls under way keep theirs.
#[derive(Debug)]
pub struct Pool {
    size: usize,
    connect_timeout: Duration,
    /// The least recently used first.
    channels: Mutex<Vec<(String, Channel)>>,
    opened: Arc<AtomicU64>,
    requests: AtomicU64,
}

impl Pool {
    /// A pool of at most `size` channels (at least one).
    pub fn new(size: usize, connect_timeout: Duration) -> Self {
        Self {
            size: size.max(1),
            connect_timeout,
            channels: Mutex::default(),
            opened: Arc::default(),
            requests: AtomicU64::new(0),
        }
    }

    /// The channel to an address, for one request.
    ///
    /// # Errors
    /// An address that cannot be understood, or that asks for TLS.
    pub fn channel(&self, address: &str) -> Result<Channel, Fault> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = channels.iter().position(|(known, _)| known == address) {
            channels[at..].rotate_left(1);
        } else {
            let channel = self.open(address)?;
            if channels.len() == self.size {
                channels.remove(0);
            }
            channels.push((address.to_owned(), channel));
        }
        let (_, channel) = channels.last().expect("the channel was just put there");
        Ok(channel.clone())
    }

    /// Figures since the pool was made.
    pub fn stats(&self) -> PoolStats {
        let opened = self.opened.load(Ordering::Relaxed);
        let reused = self.requests.load(Ordering::Relaxed).saturating_sub(opened);
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner).len();
        PoolStats { opened, reused, channels }
    }

    fn open(&self, address: &str) -> Result<Channel, Fault> {
        let endpoint = Endpoint::from_shared(url_of(address)?)
            .map_err(|error| Fault::refused(AgentErrorKind::Unsupported, format!("address \"{address}\": {error}")))?
            .http2_keep_alive_interval(HTTP2_PING)
            .keep_alive_timeout(HTTP2_PONG);
        let connect_timeout = self.connect_timeout;
        let http = http_connector(connect_timeout);
        let address: Arc<str> = address.into();
        let opened = Arc::clone(&self.opened);
        Ok(endpoint.connect_with_connector_lazy(service_fn(move |uri| {
            let (mut http, opened, address) = (http.clone(), Arc::clone(&opened), Arc::clone(&address));
            async move {
                // Looking the name up counts as well, which the connector's own timeout leaves out.
                let connection = timeout(connect_timeout, http.call(uri)).await;
                let connection = connection
                    .map_err(|_| format!("no connection to {address} within {connect_timeout:?}"))?
                    .map_err(|error| format!("no connection to {address}: {}", causes(&error)))?;
                opened.fetch_add(1, Ordering::Relaxed);
                Ok::<_, tower::BoxError>(connection)
            }
        })))
    }
}

/// Opens TCP connections as all clients here want them.
pub fn http_connector(connect_timeout: Duration) -> HttpConnector {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.set_connect_timeout(Some(connect_timeout));
    http.set_keepalive(Some(TCP_KEEPALIVE));
    http.set_keepalive_interval(Some(TCP_KEEPALIVE / 4));
    http.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
    http
}

/// The URL of a gRPC address as cards spell it: `host:port`, by the specification, or a URL.
fn url_of(address: &str) -> Result<String, Fault> {
    match address.split_once("://") {
        None => Ok(format!("http://{address}")),
        Some(("http" | "grpc", rest)) => Ok(format!("http://{rest}")),
        Some(_) => {
            let message = format!("address \"{address}\": only connections without TLS are supported");
            Err(Fault::refused(AgentErrorKind::Unsupported, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_cards_become_urls() {
        for (address, url) in [
            ("h:1", "http://h:1"),
            ("http://h:1", "http://h:1"),
            ("grpc://h:1", "http://h:1"),
            ("[::1]:5", "http://[::1]:5"),
        ] {
            assert_eq!(url_of(address).unwrap(), url);
        }
        assert_eq!(url_of("https://h:1").unwrap_err().error.kind, AgentErrorKind::Unsupported);
    }

    #[tokio::test]
    async fn the_channel_not_used_for_longest_is_let_go() {
        let pool = Pool::new(2, Duration::from_secs(1));
        for address in ["a:1", "b:1", "a:1", "c:1"] {
            pool.channel(address).unwrap();
        }
        let held = pool.channels.lock().unwrap();
        let held: Vec<_> = held.iter().map(|(address, _)| address.as_str()).collect();
        assert_eq!(held, ["a:1", "c:1"]);
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_refused() {
        let pool = Pool::new(2, Duration::from_secs(1));
        assert!(pool.channel("not an address").is_err());
        assert_eq!(pool.stats().channels, 0);
    }

    #[test]
    fn the_reuse_rate_is_a_share() {
        assert_eq!(PoolStats::default().reuse_rate(), None);
        assert_eq!(PoolStats { opened: 1, reused: 3, channels: 1 }.reuse_rate(), Some(0.75));
    }
}
