//! The section that says how long runs are kept after their end.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tutti_core::ports::inbound::retention::Keep;
use tutti_core::time::Span;

/// How long runs are kept after their end, by a server of their store. A rule of their namespace comes before it: `tutti
/// retention` sets one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// How long runs are kept after their end, in seconds. Not set: for ever.
    #[schemars(range(min = 1, max = 3_153_600_000_u64))]
    pub keep_seconds: Option<u64>,
    /// How often a server looks for runs to purge, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub interval_seconds: u64,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { keep_seconds: None, interval_seconds: 60 }
    }
}

impl RetentionConfig {
    /// How long runs are kept whose namespace has no rule.
    pub fn keep(&self) -> Keep {
        self.keep_seconds.map_or(Keep::Forever, |seconds| Keep::For(Span(Duration::from_secs(seconds))))
    }

    /// How often a server looks for runs to purge.
    pub const fn interval(&self) -> Duration {
        Duration::from_secs(self.interval_seconds)
    }
}
