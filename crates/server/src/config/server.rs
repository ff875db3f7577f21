//! The sections that `tutti serve` alone reads.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tutti_adapters_grpc::serve::{ServeOptions, ServerLimits, TlsOptions, TlsVersion as ServedVersion};

/// What `tutti serve` offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// The address to listen on, such as `127.0.0.1:7780`; port 0 takes a free one.
    #[serde(with = "address")]
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Listen on an address that other machines reach, though callers are not checked.
    pub insecure_public: bool,
    /// How long calls under way get when the server stops, and after them the engine to let go of its runs, in seconds.
    #[schemars(range(min = 1, max = 3_600))]
    pub drain_seconds: u64,
    /// The server describes its services to callers (`grpc.reflection.v1` and `v1alpha`), as grpcurl and others ask.
    pub reflection: bool,
    /// `MonitorService.ExecuteStream` is offered, which starts a run and streams what happens. `false` switches it off:
    /// it answers `FAILED_PRECONDITION`.
    #[schemars(extend("x-environment" = "ENABLE_PHASE_7_STREAMING"))]
    pub execute_stream: bool,
    /// What one server takes from its callers.
    pub limits: ServerLimitsConfig,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 7780).into(),
            insecure_public: false,
            drain_seconds: 3,
            reflection: false,
            execute_stream: true,
            limits: ServerLimitsConfig::default(),
        }
    }
}

/// What one server takes from its callers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerLimitsConfig {
    /// Most connections at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections: usize,
    /// Most connections at once from one IP address.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_per_ip: usize,
    /// Most calls under way at once on all connections; a stream is no longer one when it has begun.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub calls: usize,
    /// Most calls under way at once on one connection; more of them wait.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub calls_per_connection: usize,
    /// Most calls and streams at once on one connection.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub streams_per_connection: u32,
    /// Most bytes of the headers of one call.
    #[schemars(range(min = 1_024, max = 1_048_576))]
    pub header_bytes: u32,
    /// How long a connection may be silent before it is asked for a sign of life, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub keepalive_seconds: u64,
    /// How old a connection may become before its caller is asked to connect anew, in seconds.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub connection_age_seconds: u64,
    /// How long a call may take to begin to answer, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub request_timeout_seconds: u64,
    /// How long a TLS handshake may take, in seconds.
    #[schemars(range(min = 1, max = 3_600))]
    pub handshake_timeout_seconds: u64,
}

impl Default for ServerLimitsConfig {
    fn default() -> Self {
        let limits = ServerLimits::default();
        Self {
            connections: limits.max_connections,
            connections_per_ip: limits.max_connections_per_ip,
            calls: limits.max_concurrent_calls,
            calls_per_connection: limits.concurrency_per_connection,
            streams_per_connection: limits.max_concurrent_streams,
            header_bytes: limits.max_header_bytes,
            keepalive_seconds: limits.keepalive_interval.as_secs(),
            connection_age_seconds: limits.max_connection_age.as_secs(),
            request_timeout_seconds: limits.request_timeout.as_secs(),
            handshake_timeout_seconds: limits.tls_handshake_timeout.as_secs(),
        }
    }
}

impl ServerConfig {
    /// How the port is served.
    pub fn options(&self, tls: &TlsConfig) -> ServeOptions {
        let ServerLimitsConfig {
            connections,
            connections_per_ip,
            calls,
            calls_per_connection,
            streams_per_connection,
            header_bytes,
            keepalive_seconds,
            connection_age_seconds,
            request_timeout_seconds,
            handshake_timeout_seconds,
        } = self.limits;
        let limits = ServerLimits {
            max_connections: connections,
            max_connections_per_ip: connections_per_ip,
            max_concurrent_calls: calls,
            concurrency_per_connection: calls_per_connection,
            max_concurrent_streams: streams_per_connection,
            max_header_bytes: header_bytes,
            keepalive_interval: Duration::from_secs(keepalive_seconds),
            max_connection_age: Duration::from_secs(connection_age_seconds),
            request_timeout: Duration::from_secs(request_timeout_seconds),
            tls_handshake_timeout: Duration::from_secs(handshake_timeout_seconds),
            ..ServerLimits::default()
        };
        ServeOptions { limits, tls: tls.options(), grace: Duration::from_secs(self.drain_seconds) }
    }
}

/// TLS of the server. It is on if `cert` and `key` are given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The server's certificate chain, a PEM file.
    pub cert: Option<PathBuf>,
    /// The private key of the certificate, a PEM file.
    pub key: Option<PathBuf>,
    /// The authorities whose client certificates are accepted, a PEM file.
    pub client_ca: Option<PathBuf>,
    /// Callers without an accepted certificate are turned away. Needs `client_ca`, and is on if that is given.
    pub require_client_cert: Option<bool>,
    /// The oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { cert: None, key: None, client_ca: None, require_client_cert: None, min_version: TlsVersion::V1_3 }
    }
}

impl TlsConfig {
    /// What does not go together.
    pub fn problems(&self) -> Vec<&'static str> {
        let (cert, key) = (self.cert.is_some(), self.key.is_some());
        let checks = [
            (cert && !key, "tls.cert is given without tls.key; TLS needs both"),
            (key && !cert, "tls.key is given without tls.cert; TLS needs both"),
            (self.client_ca.is_some() && !cert && !key, "tls.client_ca is given without tls.cert and tls.key"),
            (
                self.require_client_cert == Some(true) && self.client_ca.is_none(),
                "tls.require_client_cert is on without tls.client_ca, by which certificates are checked",
            ),
        ];
        checks.into_iter().filter_map(|(wrong, problem)| wrong.then_some(problem)).collect()
    }

    /// True if only callers with an accepted certificate get through.
    pub fn requires_certificate(&self) -> bool {
        self.client_ca.is_some() && self.require_client_cert.unwrap_or(true)
    }

    fn options(&self) -> Option<TlsOptions> {
        let options = TlsOptions::new(self.cert.clone()?, self.key.clone()?);
        Some(TlsOptions {
            client_ca: self.client_ca.clone(),
            require_client_cert: self.requires_certificate(),
            min_version: match self.min_version {
                TlsVersion::V1_2 => ServedVersion::Tls12,
                TlsVersion::V1_3 => ServedVersion::Tls13,
            },
            ..options
        })
    }
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

/// An address as text, with an error that shows the form.
mod address {
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer, de};

    pub use crate::config::text::serialize;

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| de::Error::custom("it takes an IP address and a port, such as 127.0.0.1:7780"))
    }
}
