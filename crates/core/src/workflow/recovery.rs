//! What follows a failure, as data: how often an attempt is repeated, what a failed step means, and how it is undone.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mapping::InputMapping;
use crate::ids::{AgentId, Capability};
use crate::limits;
use crate::time::Span;

/// What a failed step means for the rest of the run. A step's own word goes before the run's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The run fails at once; attempts in flight are cancelled.
    Fail,
    /// Steps that do not depend on the failed one go on; the run ends as failed with partial results.
    Continue,
    /// What was done since the last checkpoint (without one, since the start) is undone, newest first, the data is again what
    /// it was there, and the run ends as failed. A retry goes on from the checkpoint.
    Rollback,
    /// The step begins anew, with all of its attempts, up to `recoveries` times; then the run fails.
    Retry,
    /// Everything that was done is undone, newest first, and the run ends as failed. Its data stays, to be read.
    Compensate,
    /// The step waits until a person decides what becomes of it.
    Escalate,
}

/// How often and when a failed attempt is repeated. Another suitable agent is asked at once; the wait is for when none is
/// left: `backoff × backoff_factor^(n−1)` after the n-th round, at most `max_backoff`, a share `jitter` of it drawn by
/// chance. In files the bare word `unsafe` stands for `{unsafe: true}`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryPolicy {
    /// Attempts in all, 1 to 100. Default: 3.
    #[serde(default = "default_attempts")]
    #[schemars(range(min = 1, max = limits::MAX_ATTEMPTS))]
    pub max_attempts: u32,
    /// Wait after the first round of attempts. Default: 1s.
    #[serde(default = "default_backoff")]
    pub backoff: Span,
    /// Growth of the wait from round to round, 1 to 100. Default: 2.
    #[serde(default = "default_factor")]
    #[schemars(range(min = 1, max = 100))]
    pub backoff_factor: f64,
    /// Longest wait. Default: 1m.
    #[serde(default = "default_max_backoff")]
    pub max_backoff: Span,
    /// Share of the wait that is drawn by chance, 0 to 1. Default: 0.2.
    #[serde(default = "default_jitter")]
    #[schemars(range(min = 0, max = 1))]
    pub jitter: f64,
    /// `true`: the step must not be done twice. An attempt that may have been carried out, and of which no answer is known, is
    /// not repeated: the step waits until a person says what happened. Default: `false`.
    #[serde(default, rename = "unsafe", skip_serializing_if = "std::ops::Not::not")]
    pub is_unsafe: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: default_attempts(),
            backoff: default_backoff(),
            backoff_factor: default_factor(),
            max_backoff: default_max_backoff(),
            jitter: default_jitter(),
            is_unsafe: false,
        }
    }
}

/// How a step is undone: a call to an agent, made only if the run has to be undone after the step was completed. It reads the
/// run's data like a step that depends on the one it undoes, and it has no output mapping.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compensation {
    /// What the agent must be able to do: an A2A skill id.
    pub capability: Capability,
    /// What the agent is to do, if the skill can do several things.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Pins the call to one agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// Its input: field ← path in the run's data, or a fixed value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub input: BTreeMap<String, InputMapping>,
    /// How long one attempt may take. Default: 30s.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// How often and when a failed attempt is repeated. When no attempt is left the run is stuck, and a person decides.
    #[serde(default)]
    pub retry: RetryPolicy,
}

pub(super) const fn default_timeout() -> Span {
    Span(limits::DEFAULT_TIMEOUT)
}
const fn default_attempts() -> u32 {
    limits::DEFAULT_ATTEMPTS
}
const fn default_backoff() -> Span {
    Span(limits::DEFAULT_BACKOFF)
}
const fn default_factor() -> f64 {
    limits::DEFAULT_BACKOFF_FACTOR
}
const fn default_max_backoff() -> Span {
    Span(limits::DEFAULT_MAX_BACKOFF)
}
const fn default_jitter() -> f64 {
    limits::DEFAULT_JITTER
}
