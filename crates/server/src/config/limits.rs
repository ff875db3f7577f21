//! Limits of capabilities, each a line of text.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tutti_core::ids::Capability;
use tutti_core::ports::agent::CallLimits;

/// How much is asked of all agents together for a capability: `text.translate max_in_flight=8 rate=100/m`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CapabilityLimits {
    /// The capability.
    pub capability: Capability,
    /// How much.
    pub limits: CallLimits,
}

impl FromStr for CapabilityLimits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let capability: Capability = words.next().unwrap_or_default().parse().map_err(|e| format!("{e}"))?;
        let mut limits = CallLimits::default();
        for word in words {
            match word.split_once('=') {
                Some(("max_in_flight", most)) => {
                    let most = most.parse::<NonZeroU32>();
                    limits.max_in_flight = Some(most.map_err(|_| format!("{word}: it takes a whole number from 1"))?);
                }
                Some(("rate", rate)) => limits.rate = Some(rate.parse()?),
                _ => return Err(format!("{word} is neither max_in_flight=NUMBER nor rate=RATE")),
            }
        }
        if limits.is_none() {
            return Err(format!("{capability} needs max_in_flight=NUMBER or rate=RATE, such as 10/s"));
        }
        Ok(Self { capability, limits })
    }
}

impl fmt::Display for CapabilityLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.capability)?;
        if let Some(most) = self.limits.max_in_flight {
            write!(f, " max_in_flight={most}")?;
        }
        if let Some(rate) = self.limits.rate {
            write!(f, " rate={rate}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for CapabilityLimits {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CapabilityLimits> for String {
    fn from(limits: CapabilityLimits) -> Self {
        limits.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_and_written_again() {
        for text in ["x max_in_flight=8", "a.b rate=10/1s", "a.b max_in_flight=1 rate=100/300s"] {
            assert_eq!(text.parse::<CapabilityLimits>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, why) in [
            ("", "capability"),
            ("x", "needs max_in_flight"),
            ("x max_in_flight=0", "whole number from 1"),
            ("x rate=fast", "is not a rate"),
            ("x most=3", "is neither"),
        ] {
            let error = text.parse::<CapabilityLimits>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
