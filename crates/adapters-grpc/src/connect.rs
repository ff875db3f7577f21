//! Connections to agents: looked up once, every address checked, TLS where the address says so.
//!
//! Cards and calls go this way alike, so that one rule holds for both. What was checked is what is connected to: a name
//! is not looked up again, and nothing follows a redirect.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower::{Service as _, service_fn};
use tutti_core::ports::agent::{AgentAccess, AgentErrorKind, AgentTls};

use crate::address::{Address, Host};
use crate::fault::causes;
use crate::policy::{Class, EndpointPolicy};
use crate::tls;

/// How long a connection may be silent before the operating system asks whether the peer is alive.
const TCP_KEEPALIVE: Duration = Duration::from_secs(20);

/// How long sent data may stay unacknowledged before the connection counts as dead.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Looks up the addresses of hosts.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// Every address of a host, each with the port.
    ///
    /// # Errors
    /// The host is not known, or nobody can be asked.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// Asks the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        tokio::net::lookup_host((host, port)).await.map(Iterator::collect)
    }
}

/// Where to connect to, and how.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// The address.
    pub address: Address,
    /// Files for TLS.
    pub tls: Option<AgentTls>,
    /// Whether the operator named the agent.
    pub trusted: bool,
    /// Whether a secret is to be sent: over TLS, or not further than this machine.
    pub secret: bool,
}

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What it means for the attempt.
    pub kind: AgentErrorKind,
    /// What happened.
    pub message: String,
}

/// An open connection.
pub type Connection = TokioIo<Box<dyn Stream>>;

/// What bytes go over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens connections. Cloning is cheap.
#[derive(Clone)]
pub struct Connector {
    policy: Arc<EndpointPolicy>,
    resolver: Arc<dyn Resolve>,
    connect_timeout: Duration,
}

impl Route {
    /// The way to an address of an agent; `secret` if one is to be sent.
    pub fn new(address: Address, access: &AgentAccess, secret: bool) -> Self {
        Self { address, tls: access.tls.clone(), trusted: access.trusted, secret }
    }
}

impl Failure {
    /// A connection that is not to be made.
    pub fn refused(kind: AgentErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    fn unreachable(address: &Address, why: impl fmt::Display) -> Self {
        Self { kind: AgentErrorKind::Unavailable, message: format!("no connection to {address}: {why}") }
    }
}

impl Connector {
    /// Opens connections by this policy; each may take `connect_timeout`, the lookup of its name included.
    pub fn new(policy: EndpointPolicy, resolver: Arc<dyn Resolve>, connect_timeout: Duration) -> Self {
        Self { policy: Arc::new(policy), resolver, connect_timeout }
    }

    /// The policy.
    pub fn policy(&self) -> &EndpointPolicy {
        &self.policy
    }

    /// Connects, with this protocol offered in TLS (ALPN).
    ///
    /// # Errors
    /// The agent cannot be reached, or is not allowed to be where it is.
    pub async fn connect(&self, route: &Route, protocol: &[u8]) -> Result<Connection, Failure> {
        let within = self.connect_timeout;
        timeout(within, self.open(route, protocol))
            .await
            .unwrap_or_else(|_| Err(Failure::unreachable(&route.address, format!("not within {within:?}"))))
    }

    async fn open(&self, route: &Route, protocol: &[u8]) -> Result<Connection, Failure> {
        let address = &route.address;
        let addresses = self.addresses(route).await?;
        let tcp = dial(addresses, self.connect_timeout).await.map_err(|why| Failure::unreachable(address, why))?;
        if !address.tls {
            return Ok(TokioIo::new(Box::new(tcp)));
        }
        let config = tls::config(&self.policy, route, protocol).await?;
        let name = tls::server_name(route)?;
        let stream = TlsConnector::from(config).connect(name, tcp).await;
        Ok(TokioIo::new(Box::new(stream.map_err(|error| Failure::unreachable(address, causes(&error)))?)))
    }

    /// The addresses of the host. One that is not allowed spoils all: a name that also leads elsewhere is not honest.
    async fn addresses(&self, route: &Route) -> Result<Vec<SocketAddr>, Failure> {
        let Address { host, port, .. } = &route.address;
        let addresses = match host {
            Host::Ip(ip) => vec![SocketAddr::new(*ip, *port)],
            Host::Name(name) => self
                .resolver
                .resolve(name, *port)
                .await
                .map_err(|error| Failure::unreachable(&route.address, format!("{name} is not found: {error}")))?,
        };
        if addresses.is_empty() {
            return Err(Failure::unreachable(&route.address, "it has no address"));
        }
        for address in &addresses {
            let denied = |why| Failure::refused(AgentErrorKind::Unsupported, format!("{}: {why}", route.address));
            self.policy.check_ip(host, address.ip(), route.trusted).map_err(denied)?;
            if route.secret && !route.address.tls && Class::of(address.ip()) != Class::Loopback {
                let message = format!("{}: credentials are sent over TLS or to this machine only", route.address);
                return Err(Failure::refused(AgentErrorKind::Unauthorized, message));
            }
        }
        Ok(addresses)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Connects to one of the addresses, in turn or side by side if they are of both kinds (RFC 6555).
async fn dial(addresses: Vec<SocketAddr>, connect_timeout: Duration) -> Result<TcpStream, String> {
    let port = addresses.first().map_or(0, SocketAddr::port);
    let mut http = HttpConnector::new_with_resolver(service_fn(move |_| {
        let addresses = addresses.clone();
        async move { Ok::<_, io::Error>(addresses.into_iter()) }
    }));
    http.set_nodelay(true);
    http.set_connect_timeout(Some(connect_timeout));
    http.set_keepalive(Some(TCP_KEEPALIVE));
    http.set_keepalive_interval(Some(TCP_KEEPALIVE / 4));
    http.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
    // A name that stands for the addresses, so that nothing else is looked up.
    let uri = http::Uri::try_from(format!("http://checked:{port}")).map_err(|error| error.to_string())?;
    http.call(uri).await.map(TokioIo::into_inner).map_err(|error| causes(&error))
}
