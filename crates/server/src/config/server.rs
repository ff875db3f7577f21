//! The sections that `tutti serve` alone reads.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What `tutti serve` offers, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// The address to listen on, such as `127.0.0.1:7780`; port 0 takes a free one.
    #[serde(with = "address")]
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Listen on an address that other machines reach, though callers are not checked or not encrypted.
    pub insecure_public: bool,
    /// How long calls and attempts under way get when the server stops, in seconds.
    #[schemars(range(max = 3_600))]
    pub drain_seconds: u64,
    /// Callers may ask the server for its API (gRPC reflection).
    pub reflection: bool,
    /// Planning, progress and artifacts of a request are streamed as they happen.
    #[schemars(extend("x-environment" = "ENABLE_PHASE_7_STREAMING"))]
    pub phase_7_streaming: bool,
    /// The server is an A2A agent: each registered workflow is a skill.
    pub a2a: bool,
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
            phase_7_streaming: true,
            a2a: true,
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
    pub per_ip: usize,
    /// Most calls under way at once on one connection; a stream is no longer one when it has begun.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrent_calls: usize,
    /// Most calls and streams at once on one connection.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub streams: u32,
    /// Most bytes of the headers of one call.
    #[schemars(range(min = 1_024, max = 1_048_576))]
    pub header_bytes: u32,
    /// How long a connection may be silent before it is asked for a sign of life, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub keepalive_seconds: u64,
    /// How old a connection may become before its caller is asked to connect anew, in seconds.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub max_connection_age_seconds: u64,
    /// How long a call may take that is no stream, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub request_timeout_seconds: u64,
    /// How long a TLS handshake may take, in seconds.
    #[schemars(range(min = 1, max = 3_600))]
    pub handshake_timeout_seconds: u64,
}

impl Default for ServerLimitsConfig {
    fn default() -> Self {
        Self {
            connections: 4_096,
            per_ip: 1_024,
            concurrent_calls: 256,
            streams: 1_000,
            header_bytes: 16 * 1024,
            keepalive_seconds: 30,
            max_connection_age_seconds: 1_800,
            request_timeout_seconds: 60,
            handshake_timeout_seconds: 5,
        }
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
    /// Callers without an accepted certificate are turned away. Needs `client_ca`.
    pub require_client_cert: bool,
    /// The oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { cert: None, key: None, client_ca: None, require_client_cert: false, min_version: TlsVersion::V1_3 }
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

/// Who may call the server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// How callers show who they are.
    pub mode: AuthMode,
    /// What the holder of a client certificate may do, by a subject alternative name (DNS name, URI or email address) of
    /// the certificate.
    pub mtls_principals: BTreeMap<String, Principal>,
}

/// How callers show who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthMode {
    /// They need not: whoever reaches the server may do everything.
    #[default]
    None,
    /// By a bearer token, or a client certificate that `mtls_principals` names.
    Tokens,
}

/// What a caller may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// What the caller may do.
    pub role: Role,
    /// Where; `default` if none is named.
    #[serde(default = "default_namespace")]
    pub namespace: String,
}

/// What a caller may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Reader,
    /// Start, pause, resume and end runs.
    Operator,
    /// Register workflows.
    Author,
    /// Everything, with agents, namespaces and tokens.
    Admin,
}

fn default_namespace() -> String {
    "default".to_owned()
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
