//! The sections that every command may read.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tutti_core::limits::DEFAULT_PARALLEL_THRESHOLD;

use crate::store::StoreSpec;

/// Where runs are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The store: `sqlite:PATH`, or `memory`, which is gone when the command ends.
    #[serde(with = "super::text")]
    #[schemars(with = "String", extend("x-environment" = "TUTTI_STORE"))]
    pub url: StoreSpec,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { url: StoreSpec::DEFAULT.parse().expect("the default is a store, as a test says") }
    }
}

/// The agents and the connections to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AgentsConfig {
    /// The agents file. If none is named, `agents.yaml` beside the workflow, and for a server in its working folder.
    pub file: Option<PathBuf>,
    /// Where agents that callers register may be, besides public addresses: hosts, IP addresses and CIDR ranges, such as
    /// `10.0.0.0/8`.
    pub allow: Vec<String>,
    /// Agents that callers register may be on this machine (loopback addresses).
    pub allow_loopback: bool,
    /// Agents that callers register may be in private networks.
    pub allow_private: bool,
    /// Most connections to agents that are kept for reuse.
    #[schemars(range(min = 1, max = 10_000), extend("x-environment" = "CONNECTION_POOL_SIZE"))]
    pub connection_pool_size: usize,
    /// How long the stream of a task may be silent before the agent is asked about the task, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub idle_timeout_seconds: u64,
    /// How long after its last heartbeat a registered agent counts as gone, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub heartbeat_timeout_seconds: u64,
}

impl Default for AgentsConfig {
    fn default() -> Self {
        Self {
            file: None,
            allow: Vec::new(),
            allow_loopback: false,
            allow_private: false,
            connection_pool_size: 20,
            idle_timeout_seconds: 60,
            heartbeat_timeout_seconds: 60,
        }
    }
}

/// How steps are run. What a workflow file says of itself comes before this section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExecutionConfig {
    /// Which executor runs a workflow that names none.
    #[schemars(extend("x-environment" = "ORCHESTRATION_MODE"))]
    pub mode: Mode,
    /// Steps may run at the same time. `false` is a brake: one step at a time, whatever the workflow file says; only a
    /// flag beats it.
    #[schemars(extend("x-environment" = "ENABLE_PARALLEL_EXECUTION"))]
    pub parallel: bool,
    /// Independent steps from which a run is parallel, where that is chosen from the graph.
    #[schemars(range(min = 1), extend("x-environment" = "PARALLEL_THRESHOLD"))]
    pub parallel_threshold: u32,
    /// Most attempts in flight at once, over all runs.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_in_flight: usize,
    /// Lanes of the engine, each with a driver and a committer of its own; runs are spread over them.
    #[schemars(range(min = 1, max = 1_024))]
    pub lanes: usize,
}

impl Default for ExecutionConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Enhanced,
            parallel: true,
            parallel_threshold: DEFAULT_PARALLEL_THRESHOLD,
            max_in_flight: 10_000,
            lanes: 1,
        }
    }
}

/// Which executor runs a workflow that names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One step at a time.
    Basic,
    /// Chosen from the graph and the load.
    Enhanced,
    /// Steps at the same time.
    Parallel,
}

/// Traces, metrics and logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Traces and metrics are made at all.
    #[schemars(extend("x-environment" = "ENABLE_OBSERVABILITY"))]
    pub enabled: bool,
    /// Where traces, metrics and logs are sent by OTLP over gRPC, such as `http://127.0.0.1:4317`; nowhere if none is named.
    #[schemars(extend("x-environment" = "OTEL_EXPORTER_OTLP_ENDPOINT"))]
    pub otlp_endpoint: Option<String>,
    /// The name under which this process appears in traces and metrics.
    #[schemars(length(min = 1), extend("x-environment" = "OTEL_SERVICE_NAME"))]
    pub service_name: String,
    /// The share of runs that are traced, unless the caller decided.
    #[schemars(range(min = 0, max = 1))]
    pub sample_ratio: f64,
    /// The server offers its metrics to Prometheus.
    pub metrics: bool,
    /// The form of the log on stderr.
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug or trace, or a filter such as `tutti_engine=debug`. If none is given, a
    /// command logs nothing.
    #[schemars(extend("x-environment" = "TUTTI_LOG"))]
    pub log: Option<String>,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            otlp_endpoint: None,
            service_name: "tutti".to_owned(),
            sample_ratio: 1.0,
            metrics: true,
            log_format: LogFormat::Human,
            log: None,
        }
    }
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Quality of results. Accepted for when steps declare quality: no step is validated yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QualityConfig {
    /// Outputs of steps are validated. Read and checked, but without effect: no step is validated yet.
    #[schemars(extend("x-environment" = "ENABLE_QUALITY_VALIDATION"))]
    pub validation: bool,
    /// The domain of a step that names none. Read and checked, but without effect: no step is validated yet.
    #[schemars(extend("x-environment" = "DEFAULT_QUALITY_DOMAIN"))]
    pub default_domain: Domain,
}

impl Default for QualityConfig {
    fn default() -> Self {
        Self { validation: true, default_domain: Domain::Generic }
    }
}

/// What kind of work a result is judged as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Domain {
    /// Any.
    Generic,
    /// Analyses and figures.
    Analytical,
    /// Texts and pictures.
    Creative,
    /// Programs.
    Coding,
    /// Messages to people.
    Communication,
}

/// Sessions that runs share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SessionsConfig {
    /// How long after its last use a session expires, in seconds.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub timeout_seconds: u64,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self { timeout_seconds: 3_600 }
    }
}

/// Commands that call a server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientConfig {
    /// The server. If none is named, commands that only look use the store, and the others `http://127.0.0.1:7780`.
    #[schemars(extend("x-environment" = "TUTTI_SERVER"))]
    pub server: Option<String>,
}
