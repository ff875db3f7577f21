//! The sections that every command may read.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tutti_adapters_grpc::{Allowed, EndpointPolicy, GrpcConfig};
use tutti_core::limits::{
    DEFAULT_BREAKER_FAILURES, DEFAULT_BREAKER_REST, DEFAULT_PARALLEL_THRESHOLD, DEFAULT_SESSION_TIMEOUT,
};
use tutti_core::ports::agent::SecretRef;
use tutti_core::workflow::Executor;
use tutti_engine::{BreakerPolicy, DispatchPolicy, EngineOptions, Residency, ServiceOptions, WatchdogOptions};

use super::QualityConfig;
use super::limits::CapabilityLimits;
use crate::store::StoreSpec;

/// Where runs are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The store: `sqlite:PATH`, `postgres://USER@HOST/DATABASE`, or `memory`, which is gone when the command ends.
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
    /// Most connections to agents that are kept for reuse.
    #[schemars(range(min = 1, max = 10_000), extend("x-environment" = "CONNECTION_POOL_SIZE"))]
    pub connection_pool_size: usize,
    /// How long the stream of a task may be silent before the agent is asked about the task, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub idle_timeout_seconds: u64,
    /// Failures in a row that speak against an agent (it is not there, says nothing in time, lets nobody in, or answers what
    /// cannot be understood), after which its circuit breaker opens: it is not asked for a while, and then tried by one
    /// attempt. 0: never.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub breaker_failures: u32,
    /// How long an open breaker keeps an agent from being asked before one attempt tries it, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub breaker_rest_seconds: u64,
    /// How much this server asks of all agents together for a capability, each a text: `text.translate max_in_flight=8
    /// rate=100/m`. What one agent is asked stands with the agent.
    #[schemars(with = "Vec<String>")]
    pub capability_limits: Vec<CapabilityLimits>,
    /// Where agents may be that are registered at a server. Those of an agents file are trusted.
    pub policy: PolicyConfig,
}

/// Where agents may be that are registered at a server: in the internet, and where this says. Never at addresses at which
/// clouds tell their machines secrets, nor at multicast, reserved and unspecified ones.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// Networks and hosts that are allowed though they are private, link-local or loopback: `10.1.0.0/16`, `fd00::/8`,
    /// `agents.example`, `*.agents.example` for all names below.
    #[schemars(with = "Vec<String>")]
    pub allow: Vec<Allowed>,
    /// Agents may be on this machine. Not set: only if the server listens on loopback and asks nobody who calls, since
    /// then its callers are on this machine themselves.
    pub allow_loopback: Option<bool>,
    /// Agents may be in private networks: RFC 1918, RFC 6598, unique and site local IPv6.
    pub allow_private: bool,
    /// The secrets that they may be given, and the files for TLS, as `env:NAME` and `file:PATH`.
    #[schemars(with = "Vec<String>")]
    pub secrets: Vec<SecretRef>,
}

impl Default for AgentsConfig {
    fn default() -> Self {
        let GrpcConfig { pool_size, idle_timeout, .. } = GrpcConfig::default();
        Self {
            file: None,
            connection_pool_size: pool_size,
            idle_timeout_seconds: idle_timeout.as_secs(),
            breaker_failures: DEFAULT_BREAKER_FAILURES,
            breaker_rest_seconds: DEFAULT_BREAKER_REST.as_secs(),
            capability_limits: Vec::new(),
            policy: PolicyConfig::default(),
        }
    }
}

impl AgentsConfig {
    /// How agents are called.
    pub fn transport(&self) -> GrpcConfig {
        GrpcConfig {
            pool_size: self.connection_pool_size,
            idle_timeout: Duration::from_secs(self.idle_timeout_seconds),
            policy: self.policy.policy(),
            ..GrpcConfig::default()
        }
    }

    /// How agents are asked. Of two limits of a capability the last one counts.
    pub fn dispatch(&self) -> DispatchPolicy {
        let limits = self.capability_limits.iter().cloned();
        DispatchPolicy {
            breaker: BreakerPolicy {
                failures: self.breaker_failures,
                rest: Duration::from_secs(self.breaker_rest_seconds),
            },
            capabilities: limits.map(|CapabilityLimits { capability, limits }| (capability, limits)).collect(),
        }
    }
}

impl PolicyConfig {
    /// The policy that it stands for.
    pub fn policy(&self) -> EndpointPolicy {
        let Self { allow, allow_loopback, allow_private, secrets } = self.clone();
        EndpointPolicy { allow, allow_loopback: allow_loopback.unwrap_or(false), allow_private, secrets }
    }
}

/// How steps are run. What a workflow file says of itself comes before this section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExecutionConfig {
    /// Which executor runs a workflow that names none. If it is set, it names the preset too: `lightweight` under `basic`, else
    /// `full`.
    #[schemars(extend("x-environment" = "ORCHESTRATION_MODE"))]
    pub mode: Mode,
    /// Steps may run at the same time. `false` is a brake: one step at a time, whatever the workflow file says; only a
    /// flag beats it, and at a server nothing.
    #[schemars(extend("x-environment" = "ENABLE_PARALLEL_EXECUTION"))]
    pub parallel: bool,
    /// Independent steps from which a workflow runs them at the same time, if its executor is chosen and its file does not
    /// say.
    #[schemars(range(min = 1, max = 4_294_967_295_u32), extend("x-environment" = "PARALLEL_THRESHOLD"))]
    pub parallel_threshold: u32,
    /// A session is over when none of its runs started or ended for so long, in seconds: the next run of it begins with
    /// nothing.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub session_timeout_seconds: u64,
    /// Most attempts in flight at once, over all runs.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_in_flight: usize,
    /// Runs that a server drives at once. What comes beyond waits in the store, in turn between namespaces and by priority.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_live_runs: usize,
    /// Runs of a namespace that may wait; who starts one more is refused and may come again later.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub max_queued_runs: u64,
    /// A run that has nothing to do for longer than this, in seconds, leaves the server's memory until its moment or an
    /// answer comes.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub rest_seconds: u64,
    /// How often a server looks whether its runs make progress, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub watchdog_interval_seconds: u64,
    /// How late, in seconds, what should happen in a run may be before the server says so in its log and its metrics.
    #[schemars(range(min = 1, max = 86_400))]
    pub watchdog_grace_seconds: u64,
    /// Lanes of the engine, each with a driver and a committer of its own; runs are spread over them.
    #[schemars(range(min = 1, max = 1_024))]
    pub lanes: usize,
}

impl Default for ExecutionConfig {
    fn default() -> Self {
        let EngineOptions { lanes, max_in_flight, .. } = EngineOptions::default();
        let Residency { max_live, max_queued, rest } = Residency::default();
        let WatchdogOptions { interval, grace } = WatchdogOptions::default();
        Self {
            mode: Mode::Enhanced,
            parallel: true,
            parallel_threshold: DEFAULT_PARALLEL_THRESHOLD,
            session_timeout_seconds: DEFAULT_SESSION_TIMEOUT.as_secs(),
            max_in_flight,
            max_live_runs: max_live,
            max_queued_runs: max_queued,
            rest_seconds: rest.as_secs(),
            watchdog_interval_seconds: interval.as_secs(),
            watchdog_grace_seconds: grace.as_secs(),
            lanes,
        }
    }
}

impl ExecutionConfig {
    /// How the engine of a command drives the runs that it was given.
    pub fn engine(&self, quality: &QualityConfig) -> EngineOptions {
        let quality = quality.settings();
        EngineOptions { lanes: self.lanes, max_in_flight: self.max_in_flight, residency: None, quality }
    }

    /// How the engine of a server drives runs.
    pub fn serving(&self, quality: &QualityConfig) -> EngineOptions {
        let residency = Residency {
            max_live: self.max_live_runs,
            max_queued: self.max_queued_runs,
            rest: Duration::from_secs(self.rest_seconds),
        };
        EngineOptions { residency: Some(residency), ..self.engine(quality) }
    }

    /// How closely a server watches that runs make progress.
    pub const fn watchdog(&self) -> WatchdogOptions {
        WatchdogOptions {
            interval: Duration::from_secs(self.watchdog_interval_seconds),
            grace: Duration::from_secs(self.watchdog_grace_seconds),
        }
    }

    /// How runs are served to callers.
    pub const fn service(&self) -> ServiceOptions {
        ServiceOptions {
            session_timeout: Duration::from_secs(self.session_timeout_seconds),
            parallel_threshold: Some(self.parallel_threshold),
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

impl Mode {
    /// The executor that it stands for.
    pub const fn executor(self) -> Executor {
        match self {
            Self::Basic => Executor::Basic,
            Self::Enhanced => Executor::Auto,
            Self::Parallel => Executor::Parallel,
        }
    }
}
