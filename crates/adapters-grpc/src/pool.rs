//! HTTP/2 channels to agents, one per address and way to reach it, kept for reuse.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};
use tower::service_fn;
use tutti_core::ports::agent::AgentErrorKind;

use crate::connect::{Connector, Failure, Route};
use crate::fault::Fault;

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

/// Channels by route. A channel connects when first used, carries any number of calls at once and reconnects by
/// itself. Of more addresses than fit, the one that was not used for longest is let go; calls under way keep theirs.
#[derive(Debug)]
pub struct Pool {
    size: usize,
    connector: Connector,
    /// The least recently used first.
    channels: Mutex<Vec<(Route, Channel)>>,
    opened: Arc<AtomicU64>,
    requests: AtomicU64,
}

impl Pool {
    /// A pool of at most `size` channels (at least one).
    pub fn new(size: usize, connector: Connector) -> Self {
        Self {
            size: size.max(1),
            connector,
            channels: Mutex::default(),
            opened: Arc::default(),
            requests: AtomicU64::new(0),
        }
    }

    /// The channel of a route, for one request.
    ///
    /// # Errors
    /// An address that cannot be understood.
    pub fn channel(&self, route: &Route) -> Result<Channel, Fault> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = channels.iter().position(|(known, _)| known == route) {
            channels[at..].rotate_left(1);
        } else {
            let channel = self.open(route)?;
            if channels.len() == self.size {
                channels.remove(0);
            }
            channels.push((route.clone(), channel));
        }
        let (_, channel) = channels.last().expect("the channel was just put there");
        Ok(channel.clone())
    }

    /// Lets go of the channel of a route: the next request opens another one, calls under way keep theirs.
    pub fn forget(&self, route: &Route) {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| known != route);
    }

    /// Figures since the pool was made.
    pub fn stats(&self) -> PoolStats {
        let opened = self.opened.load(Ordering::Relaxed);
        let reused = self.requests.load(Ordering::Relaxed).saturating_sub(opened);
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner).len();
        PoolStats { opened, reused, channels }
    }

    fn open(&self, route: &Route) -> Result<Channel, Fault> {
        let unusable =
            |error: String| Fault::refused(AgentErrorKind::Unsupported, format!("{}: {error}", route.address));
        // TLS is the connector's business: to tonic the connection is a plain one whose requests say "https".
        let authority = route.address.authority();
        let scheme = if route.address.tls { "https" } else { "http" };
        let origin = format!("{scheme}://{authority}")
            .parse()
            .map_err(|error: http::uri::InvalidUri| unusable(error.to_string()))?;
        let endpoint = Endpoint::from_shared(format!("http://{authority}"))
            .map_err(|error| unusable(error.to_string()))?
            .origin(origin)
            .http2_keep_alive_interval(HTTP2_PING)
            .keep_alive_timeout(HTTP2_PONG);
        let (connector, route) = (self.connector.clone(), Arc::new(route.clone()));
        let opened = Arc::clone(&self.opened);
        Ok(endpoint.connect_with_connector_lazy(service_fn(move |_| {
            let (connector, route, opened) = (connector.clone(), Arc::clone(&route), Arc::clone(&opened));
            async move {
                let connection = connector.connect(&route, b"h2").await?;
                opened.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Failure>(connection)
            }
        })))
    }
}

#[cfg(test)]
mod tests {
    use tutti_core::ports::agent::AgentAccess;

    use super::*;
    use crate::address::Address;
    use crate::connect::SystemResolver;
    use crate::policy::EndpointPolicy;

    fn pool() -> Pool {
        let connector =
            Connector::new(EndpointPolicy::default(), Arc::new(SystemResolver), std::time::Duration::from_secs(1));
        Pool::new(2, connector)
    }

    fn route(address: &str) -> Route {
        Route::new(Address::parse(address, Some(false)).unwrap(), &AgentAccess::default(), false)
    }

    #[tokio::test]
    async fn the_channel_not_used_for_longest_is_let_go() {
        let pool = pool();
        for address in ["a:1", "b:1", "a:1", "c:1"] {
            pool.channel(&route(address)).unwrap();
        }
        let held = pool.channels.lock().unwrap();
        let held: Vec<_> = held.iter().map(|(route, _)| route.address.authority()).collect();
        assert_eq!(held, ["a:1", "c:1"]);
    }

    #[tokio::test]
    async fn ways_that_differ_in_trust_do_not_share_a_channel() {
        let pool = pool();
        pool.channel(&route("a:1")).unwrap();
        pool.channel(&Route { trusted: true, ..route("a:1") }).unwrap();
        assert_eq!(pool.stats().channels, 2);
    }

    #[test]
    fn the_reuse_rate_is_a_share() {
        assert_eq!(PoolStats::default().reuse_rate(), None);
        assert_eq!(PoolStats { opened: 1, reused: 3, channels: 1 }.reuse_rate(), Some(0.75));
    }
}
