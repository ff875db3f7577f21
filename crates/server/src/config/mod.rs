//! Configuration of the binary: a file, the environment and flags, each above the one before, over the defaults.
//!
//! [`Config`] is what the rest of the binary reads: one section per component, every default in its `Default`. What a
//! section may hold, which values it takes and which variables set it is told by its JSON Schema, from which the checks,
//! `tutti config` and the reference in `docs/configuration.md` are made.

mod auth;
mod client;
mod execution;
mod fleet;
pub mod keys;
mod limits;
mod load;
mod orchestration;
mod planner;
mod quality;
mod retention;
mod sections;
mod server;
mod telemetry;
mod text;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::auth::AuthConfig;
pub use self::client::ClientConfig;
pub use self::execution::{Explicit, Flags, max_concurrent, server_executor, settled};
pub use self::fleet::FleetConfig;
pub use self::load::{Loaded, environment, load};
pub use self::orchestration::OrchestrationConfig;
pub use self::planner::PlannerConfig;
pub use self::quality::QualityConfig;
pub use self::retention::RetentionConfig;
pub use self::sections::{AgentsConfig, ExecutionConfig, StoreConfig};
pub use self::server::{ServerConfig, TlsConfig};
pub use self::telemetry::{LogFormat, OtlpEndpoint, TelemetryConfig};

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where runs are kept.
    pub store: StoreConfig,
    /// What `tutti serve` offers.
    pub server: ServerConfig,
    /// TLS of the server.
    pub tls: TlsConfig,
    /// Who may call the server.
    pub auth: AuthConfig,
    /// How the commands speak TLS to a server.
    pub client: ClientConfig,
    /// Servers that share one PostgreSQL database.
    pub fleet: FleetConfig,
    /// How long runs are kept after their end.
    pub retention: RetentionConfig,
    /// The agents and the connections to them.
    pub agents: AgentsConfig,
    /// How steps are run.
    pub execution: ExecutionConfig,
    /// How runs are orchestrated.
    pub orchestration: OrchestrationConfig,
    /// How plans are made.
    pub planner: PlannerConfig,
    /// How the answers of agents are judged.
    pub quality: QualityConfig,
    /// Traces, metrics and logs.
    pub telemetry: TelemetryConfig,
}
