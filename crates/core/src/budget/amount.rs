//! Amounts as whole numbers: no float ever holds money.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::run::words;
use crate::time::Span;
use crate::value::Json;

/// Decimal places of an amount of money.
const PLACES: usize = 6;
/// Millionths in a whole.
const WHOLE: u64 = 1_000_000;

/// An amount of money, in millionths of the unit in which agents report what they cost. Which currency that is, is for whoever runs
/// the agents to say: all of them report in one. In files it is a number such as `2.50`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(pub u64);

impl Money {
    /// Reads a decimal number.
    ///
    /// # Errors
    /// Says what is wrong with the text: not a number, below zero, more than six decimal places, or too much.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{}\" is not an amount such as 2.50", text.escape_debug());
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(part) {
            return Err(wrong());
        }
        let part = part.trim_end_matches('0');
        if part.len() > PLACES {
            return Err(format!("{text} has more than {PLACES} decimal places"));
        }
        let too_much = || format!("{} is more than can be counted", text.escape_debug());
        let whole: u64 = whole.parse().map_err(|_| too_much())?;
        let part: u64 = format!("{part:0<PLACES$}").parse().map_err(|_| wrong())?;
        whole.checked_mul(WHOLE).and_then(|whole| whole.checked_add(part)).map(Self).ok_or_else(too_much)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = format!("{:0PLACES$}", self.0 % WHOLE);
        let part = part.trim_end_matches('0');
        write!(f, "{}.{part:0<2}", self.0 / WHOLE)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The text of the number, as it stands in the file: no float comes between.
        let json = Json::deserialize(deserializer)?;
        Self::parse(json.as_str().trim_matches('"')).map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Money {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Money".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "An amount of money such as 2.50, with at most six decimal places.",
            "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,6})?$"}]
        })
    }
}

words!(
    /// What can be spent.
    Kind {
        /// What agents say that they cost.
        Money = "money",
        /// Tokens read and written, as agents report them.
        Tokens = "tokens",
        /// Attempts that ask an agent.
        Calls = "calls",
        /// What those attempts take together.
        Time = "time",
    }
);

/// So much of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Amounts {
    /// In millionths.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub money: u64,
    /// Tokens.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tokens: u64,
    /// Calls.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub calls: u64,
    /// In microseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub time: u64,
}

impl Amounts {
    /// How much of a kind.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Money => self.money,
            Kind::Tokens => self.tokens,
            Kind::Calls => self.calls,
            Kind::Time => self.time,
        }
    }

    /// Both together; stops at the most that can be counted.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            money: self.money.saturating_add(other.money),
            tokens: self.tokens.saturating_add(other.tokens),
            calls: self.calls.saturating_add(other.calls),
            time: self.time.saturating_add(other.time),
        }
    }

    /// What is left of it; nothing of what there is less of.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            money: self.money.saturating_sub(other.money),
            tokens: self.tokens.saturating_sub(other.tokens),
            calls: self.calls.saturating_sub(other.calls),
            time: self.time.saturating_sub(other.time),
        }
    }

    /// No more of each kind than so much.
    #[must_use]
    pub fn at_most(self, most: u64) -> Self {
        Self {
            money: self.money.min(most),
            tokens: self.tokens.min(most),
            calls: self.calls.min(most),
            time: self.time.min(most),
        }
    }

    /// The larger of each kind.
    #[must_use]
    pub fn or_larger(self, other: Self) -> Self {
        Self {
            money: self.money.max(other.money),
            tokens: self.tokens.max(other.tokens),
            calls: self.calls.max(other.calls),
            time: self.time.max(other.time),
        }
    }

    /// True if there is nothing of any kind.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl Kind {
    /// An amount of this kind, for people.
    #[must_use]
    pub fn show(self, amount: u64) -> String {
        match self {
            Self::Money => Money(amount).to_string(),
            Self::Tokens | Self::Calls => amount.to_string(),
            // People reckon in milliseconds at most.
            Self::Time => Span(Duration::from_millis(amount / 1_000)).to_string(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
const fn is_zero(amount: &u64) -> bool {
    *amount == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_read_and_written_without_loss() {
        for (text, micros, shown) in [
            ("2.50", 2_500_000, "2.50"),
            ("0.1", 100_000, "0.10"),
            ("3", 3_000_000, "3.00"),
            ("0.000001", 1, "0.000001"),
            ("1.2340000000", 1_234_000, "1.234"),
            ("18446744073709.551615", u64::MAX, "18446744073709.551615"),
        ] {
            assert_eq!(Money::parse(text), Ok(Money(micros)), "{text}");
            assert_eq!(Money(micros).to_string(), shown);
            assert_eq!(Money::parse(shown), Ok(Money(micros)));
            assert_eq!(serde_json::from_str::<Money>(&format!("\"{text}\"")).unwrap(), Money(micros));
        }
        for bad in ["", ".", "1.", ".5", "-1", "+1", "1e3", "NaN", "1,5", "0.0000001", "18446744073709.551616"] {
            assert!(Money::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(serde_json::from_str::<Money>("0.3").unwrap(), Money(300_000), "which no float is");
        assert!(serde_json::from_str::<Money>("null").is_err());
    }
}
