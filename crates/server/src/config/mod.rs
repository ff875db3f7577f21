//! Configuration of the binary: a file, the environment and flags, each above the one before, over the defaults.
//!
//! [`Config`] is what the rest of the binary reads: one section per component, every default in its `Default`. What a
//! section may hold, which values it takes and which variables set it is told by its JSON Schema, from which the checks,
//! `tutti config` and the reference in `docs/configuration.md` are made.

mod execution;
pub mod keys;
mod load;
mod sections;
mod server;
mod text;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::execution::{Environment, Explicit, Flags, max_concurrent, settled};
pub use self::load::{Loaded, environment, load};
pub use self::sections::{
    AgentsConfig, ClientConfig, Domain, ExecutionConfig, LogFormat, Mode, QualityConfig, SessionsConfig, StoreConfig,
    TelemetryConfig,
};
pub use self::server::{
    AuthConfig, AuthMode, Principal, Role, ServerConfig, ServerLimitsConfig, TlsConfig, TlsVersion,
};

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where runs are kept.
    pub store: StoreConfig,
    /// What `tutti serve` offers, and to whom.
    pub server: ServerConfig,
    /// TLS of the server.
    pub tls: TlsConfig,
    /// Who may call the server.
    pub auth: AuthConfig,
    /// The agents and the connections to them.
    pub agents: AgentsConfig,
    /// How steps are run.
    pub execution: ExecutionConfig,
    /// Traces, metrics and logs.
    pub telemetry: TelemetryConfig,
    /// Quality of results. Accepted for when steps declare quality: no step is validated yet.
    pub quality: QualityConfig,
    /// Sessions that runs share.
    pub sessions: SessionsConfig,
    /// Commands that call a server.
    pub client: ClientConfig,
}
