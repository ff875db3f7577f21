//! What an agent tells beside its answer: how good it finds it, and what it took.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AgentError, AgentErrorKind};
use crate::limits::{MAX_METRIC_NAME, MAX_METRICS};
use crate::quality::Missed;

/// What an agent tells beside its answer. What it does not tell is not there: a missing score is no score of 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentReport {
    /// Scores of the answer by metric, each from 0 to 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quality: BTreeMap<String, f64>,
    /// What the answer took.
    #[serde(default, skip_serializing_if = "Usage::is_empty")]
    pub usage: Usage,
}

/// What was not good enough about an earlier answer, for the agent that is asked again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Feedback {
    /// The attempt that brought the answer.
    pub attempt: u32,
    /// Its overall score, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// What was too low.
    pub failed: Vec<Missed>,
    /// What checks and judge said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What an answer took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Money, in millionths of the currency in which budgets are kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cost_micros: u64,
    /// Tokens read by models.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tokens_in: u64,
    /// Tokens written by models.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tokens_out: u64,
}

impl AgentReport {
    /// A report that tells of nothing but what was taken.
    #[must_use]
    pub fn of_usage(usage: &Usage) -> Box<Self> {
        Box::new(Self { usage: *usage, ..Self::default() })
    }

    /// True if the agent told nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.quality.is_empty() && self.usage.is_empty()
    }

    /// The mean of its scores; none without any.
    #[must_use]
    pub fn score(&self) -> Option<f64> {
        let count = self.quality.len();
        (count > 0).then(|| self.quality.values().sum::<f64>() / count as f64)
    }

    /// Checks that every score is one: a number from 0 to 1, under a name, and not too many of them; and rounds them, so that they
    /// are written and read without a change.
    ///
    /// # Errors
    /// [`AgentErrorKind::InvalidAnswer`], with the metric and its score.
    pub fn check(&mut self) -> Result<(), AgentError> {
        let invalid = |why: String| Err(AgentError::new(AgentErrorKind::InvalidAnswer, why));
        if self.quality.len() > MAX_METRICS {
            return invalid(format!("{} quality scores came back; {MAX_METRICS} are allowed", self.quality.len()));
        }
        for (metric, score) in &mut self.quality {
            if !is_metric(metric) {
                let metric: String = metric.chars().take(MAX_METRIC_NAME).collect();
                return invalid(format!("\"{}\" is no name of a quality score", metric.escape_debug()));
            }
            if !is_score(*score) {
                return invalid(format!("the quality score {metric} is {score}; a score is a number from 0 to 1"));
            }
            *score = round_score(*score);
        }
        Ok(())
    }
}

impl Usage {
    /// True if nothing is known to have been used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            cost_micros: self.cost_micros.saturating_add(other.cost_micros),
            tokens_in: self.tokens_in.saturating_add(other.tokens_in),
            tokens_out: self.tokens_out.saturating_add(other.tokens_out),
        }
    }

    /// Tokens read and written.
    #[must_use]
    pub const fn tokens(self) -> u64 {
        self.tokens_in.saturating_add(self.tokens_out)
    }
}

/// A score to six digits after the point: every such number is written and read without a change.
#[must_use]
pub fn round_score(score: f64) -> f64 {
    (score * 1e6).round() / 1e6
}

/// True for a number from 0 to 1.
#[must_use]
pub fn is_score(score: f64) -> bool {
    (0.0..=1.0).contains(&score)
}

/// True for a name that a metric may have: letters, digits and `_.-`, no longer than [`MAX_METRIC_NAME`].
#[must_use]
pub fn is_metric(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !name.is_empty() && name.len() <= MAX_METRIC_NAME && name.bytes().all(allowed)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde wants")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(metric: &str, score: f64) -> AgentReport {
        AgentReport { quality: BTreeMap::from([(metric.to_owned(), score)]), usage: Usage::default() }
    }

    #[test]
    fn a_score_is_a_number_from_0_to_1_under_a_name() {
        for score in [0.0, 0.5, 1.0] {
            assert_eq!(report("accuracy", score).check(), Ok(()));
        }
        for score in [f64::NAN, f64::INFINITY, -0.01, 1.01] {
            assert_eq!(report("accuracy", score).check().unwrap_err().kind, AgentErrorKind::InvalidAnswer, "{score}");
        }
        for name in ["", "a b", "ä", &"x".repeat(MAX_METRIC_NAME + 1)] {
            assert!(report(name, 0.5).check().is_err(), "{name}");
        }
        let many = (0..=MAX_METRICS).map(|i| (format!("m{i}"), 0.5)).collect();
        assert!(AgentReport { quality: many, ..AgentReport::default() }.check().is_err());
    }

    #[test]
    fn usage_adds_up_and_nothing_is_written_of_nothing() {
        let one = Usage { cost_micros: u64::MAX, tokens_in: 3, tokens_out: 4 };
        assert_eq!(one.plus(one), Usage { cost_micros: u64::MAX, tokens_in: 6, tokens_out: 8 });
        assert_eq!(one.tokens(), 7);
        assert_eq!(serde_json::to_string(&AgentReport::default()).unwrap(), "{}");
    }
}
