//! Why an attempt asks the agent that it asks, as it is recorded.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::AgentId;

/// Why this agent, of several that have the capability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentChoice {
    /// What decided.
    pub reason: ChoiceReason,
    /// How many agents have the capability, this one included.
    pub of: u32,
    /// Those that could not be asked, and why; not more than
    /// [`MAX_PASSED_AGENTS`](crate::limits::MAX_PASSED_AGENTS).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub passed: BTreeMap<AgentId, PassedOver>,
}

/// In what an agent was before the next best one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChoiceReason {
    /// No other could be asked.
    OnlyOne,
    /// Its last attempt did not fail.
    Healthy,
    /// It does not say that it is full.
    HasRoom,
    /// Fewer attempts were under way at it.
    LeastBusy,
    /// It tells a lower load.
    LowerLoad,
    /// A higher share of its attempts ends well.
    SuccessRate,
    /// It takes less time.
    Faster,
    /// Its name: they were equal in everything else.
    Name,
    /// A reason that a newer version of the product recorded.
    #[serde(other)]
    Unknown,
}

/// Why an agent could not be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PassedOver {
    /// It was asked already in this round of attempts.
    Asked,
    /// It has been silent for longer than it may be.
    Silent,
    /// As many attempts as it may have were under way at it.
    Full,
    /// As many attempts as may be begun in a span were begun at it.
    Rate,
    /// It had asked to be left alone.
    Resting,
    /// Its circuit breaker was open, or half-open with an attempt that tried it.
    BreakerOpen,
    /// A reason that a newer version of the product recorded.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for AgentChoice {
    /// As in `least_busy of=3 passed=a:full,b:asked`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of={}", self.reason, self.of)?;
        for (at, (agent, why)) in self.passed.iter().enumerate() {
            write!(f, "{}{agent}:{why}", if at == 0 { " passed=" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for ChoiceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnlyOne => "only_one",
            Self::Healthy => "healthy",
            Self::HasRoom => "has_room",
            Self::LeastBusy => "least_busy",
            Self::LowerLoad => "lower_load",
            Self::SuccessRate => "success_rate",
            Self::Faster => "faster",
            Self::Name => "name",
            Self::Unknown => "unknown",
        })
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "asked",
            Self::Silent => "silent",
            Self::Full => "full",
            Self::Rate => "rate",
            Self::Resting => "resting",
            Self::BreakerOpen => "breaker_open",
            Self::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_little_as_it_is_and_newer_reasons_are_read() {
        let text = r#"{"reason":"NAME","of":2}"#;
        let choice: AgentChoice = serde_json::from_str(text).unwrap();
        assert_eq!(
            (serde_json::to_string(&choice).unwrap().as_str(), choice.to_string().as_str()),
            (text, "name of=2")
        );
        let newer = r#"{"reason":"CHEAPER","of":4,"passed":{"a":"FULL","b":"MOOD"}}"#;
        let choice: AgentChoice = serde_json::from_str(newer).unwrap();
        assert_eq!(choice.to_string(), "unknown of=4 passed=a:full,b:unknown");
    }
}
