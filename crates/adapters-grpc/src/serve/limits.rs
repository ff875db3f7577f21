//! What a server gives to its callers at most. Every bound of the port stands here, with its default.

use std::time::Duration;

/// Bounds of one port. Durations and sizes of zero are not "no limit"; they refuse everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections at once; those above are closed when they come. Default: 4,096.
    pub max_connections: usize,
    /// Connections at once from one address; for IPv6 from one /64, which is what one caller has. Default: 1,024.
    pub max_connections_per_ip: usize,
    /// Calls and streams at once on one connection. Default: 1,024, so that 1,000 watchers of one client share a
    /// connection and leave room for calls. An attacker gains nothing by it: calls are bounded by
    /// `concurrency_per_connection` and `max_concurrent_calls`.
    pub max_concurrent_streams: u32,
    /// Calls under way at once on one connection; more of them wait. A stream is no longer one when it has begun.
    /// Default: 256.
    pub concurrency_per_connection: usize,
    /// Calls under way at once on all connections; those above are answered UNAVAILABLE (HTTP: 503) at once, to be tried
    /// again. A stream is no longer one when it has begun; a caller that waits for an answer is one. Default: 1,024.
    pub max_concurrent_calls: usize,
    /// Most bytes of the headers of one call. Default: 16 KiB.
    pub max_header_bytes: u32,
    /// Most bytes of a request's body that is not gRPC (those are bounded by their message size). Default: 4 MiB.
    pub max_http_body_bytes: usize,
    /// How long a call may take to begin to answer, whatever deadline its caller gave. Streams that have begun are exempt.
    /// Default: 5 min.
    pub request_timeout: Duration,
    /// How long a TLS handshake may take. Default: 5 s.
    pub tls_handshake_timeout: Duration,
    /// How long the first bytes may take, to the end of the preface if it is HTTP/2. Default: 5 s.
    pub first_bytes_timeout: Duration,
    /// How long the head of an HTTP/1 request may take, and how long such a connection may be idle. Default: 30 s.
    pub header_read_timeout: Duration,
    /// How long an HTTP/2 connection may be silent before it is asked for a sign of life. Default: 30 s.
    pub keepalive_interval: Duration,
    /// How long that sign may take. Default: 10 s.
    pub keepalive_timeout: Duration,
    /// HTTP/2 streams that the client reset before they were looked at; more of them close the connection (CVE-2023-44487,
    /// "rapid reset"). Default: 20.
    pub max_pending_accept_reset_streams: usize,
    /// HTTP/2 streams that the server reset because the client broke the protocol; more of them close the connection
    /// (CVE-2025-8671, "made you reset"). Default: 1,024.
    pub max_local_error_reset_streams: usize,
    /// When a connection is asked to end (GOAWAY), so that load spreads again and certificates are checked again. Spread by
    /// a tenth to either side, lest all clients come back at once. Default: 30 min.
    pub max_connection_age: Duration,
    /// How long calls on a connection that was asked to end may go on. Default: 5 min.
    pub connection_age_grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_connections: 4_096,
            max_connections_per_ip: 1_024,
            max_concurrent_streams: 1_024,
            concurrency_per_connection: 256,
            max_concurrent_calls: 1_024,
            max_header_bytes: 16 * 1024,
            max_http_body_bytes: 4 * 1024 * 1024,
            request_timeout: Duration::from_secs(300),
            tls_handshake_timeout: Duration::from_secs(5),
            first_bytes_timeout: Duration::from_secs(5),
            header_read_timeout: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            max_pending_accept_reset_streams: 20,
            max_local_error_reset_streams: 1_024,
            max_connection_age: Duration::from_secs(30 * 60),
            connection_age_grace: Duration::from_secs(300),
        }
    }
}
