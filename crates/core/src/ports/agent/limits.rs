//! How much may be asked: of an agent, or of all agents for a capability.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_RATE_CALLS, MAX_RATE_SPAN};
use crate::time::Span;

/// How much may be asked. The default is as much as there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallLimits {
    /// Most attempts in flight at once; `None`: no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<NonZeroU32>,
    /// Most attempts that are begun in a span; `None`: no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

/// So many in a span, as text `10/s` or `100/5m`: on average, and so many at once after a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    calls: NonZeroU32,
    per: Duration,
}

impl CallLimits {
    /// True if nothing is bounded.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.max_in_flight.is_none() && self.rate.is_none()
    }
}

impl Rate {
    /// So many in a span; `None` if it is out of bounds.
    #[must_use]
    pub fn new(calls: u32, per: Duration) -> Option<Self> {
        let calls = NonZeroU32::new(calls).filter(|calls| calls.get() <= MAX_RATE_CALLS)?;
        let rate = Self { calls, per };
        (per <= MAX_RATE_SPAN && rate.interval() >= Duration::from_micros(1)).then_some(rate)
    }

    /// How many.
    #[must_use]
    pub const fn calls(&self) -> u32 {
        self.calls.get()
    }

    /// In which span.
    #[must_use]
    pub const fn per(&self) -> Duration {
        self.per
    }

    /// The time from one to the next, if they come evenly.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.per / self.calls.get()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.calls, Span(self.per))
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{}\" is not a rate such as 10/s or 100/5m, at most 1000000 in a day at most",
                text.escape_debug()
            )
        };
        let (calls, per) = text.split_once('/').filter(|(_, per)| !per.is_empty()).ok_or_else(wrong)?;
        let per = if per.starts_with(|c: char| c.is_ascii_digit()) { per.to_owned() } else { format!("1{per}") };
        let per = Span::parse(&per).map_err(|_| wrong())?;
        Self::new(calls.trim().parse().map_err(|_| wrong())?, per.0).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_so_many_in_a_span() {
        let rate: Rate = "10/s".parse().unwrap();
        assert_eq!((rate.calls(), rate.per(), rate.to_string().as_str()), (10, Duration::from_secs(1), "10/1s"));
        assert_eq!("100/5m".parse::<Rate>().unwrap().interval(), Duration::from_secs(3));
        assert_eq!(rate.to_string().parse::<Rate>().unwrap(), rate);
        for text in ["10", "0/s", "x/s", "10/", "10/x", "1/2d", "1000001/s", "1000/1us", "-1/s"] {
            assert!(text.parse::<Rate>().unwrap_err().contains("is not a rate"), "{text}");
        }
    }

    #[test]
    fn limits_are_written_as_little_as_they_are() {
        let read = |text: &str| serde_json::from_str::<CallLimits>(text);
        for text in ["{}", r#"{"max_in_flight":4}"#, r#"{"max_in_flight":4,"rate":"10/1s"}"#] {
            assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        }
        assert!(read("{}").unwrap().is_none() && !read(r#"{"rate":"1/m"}"#).unwrap().is_none());
        assert!(read(r#"{"max_in_flight":0}"#).is_err() && read(r#"{"rates":"1/s"}"#).is_err());
    }
}
