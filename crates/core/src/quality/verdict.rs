//! The verdict on an answer, from all that is known of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::check::Findings;
use super::rule::Rule;
use crate::ids::AgentId;
use crate::ports::agent::{is_score, round_score};

/// The name under which the overall score is told when it is too low.
const OVERALL: &str = "overall";

/// What is known of the quality of an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// The mean of all scores by weight; none if there is no score that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The scores by metric.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, f64>,
    /// What is too low.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Missed>,
    /// True if the overall score is so low that it should be looked at, whatever was decided.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warning: bool,
    /// Where scores come from.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sources: BTreeSet<Source>,
    /// Who judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<AgentId>,
    /// What checks and judge say about it, for people and for the agent that is asked again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A score below its threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Missed {
    /// The metric; `overall` for the overall score.
    pub metric: String,
    /// Its score.
    pub score: f64,
    /// What it had to reach.
    pub threshold: f64,
}

/// Where a score comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The agent that gave the answer.
    Agent,
    /// Checks that are made here.
    Checks,
    /// An agent that judges.
    Judge,
}

impl Assessment {
    /// True if nothing is too low.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.failed.is_empty()
    }

    /// What is too low, in words; empty if nothing is.
    #[must_use]
    pub fn shortfall(&self) -> String {
        let missed = self.failed.iter().map(|missed| {
            let Missed { metric, score, threshold } = missed;
            format!("{metric} is {}, below {}", round(*score), round(*threshold))
        });
        missed.collect::<Vec<_>>().join("; ")
    }
}

/// What is known of an answer, by the scores that its agent told and what was found out here. Of one metric the judge's score
/// counts before a check's, and that before the agent's own. A score that is none, as NaN, counts as missing.
#[must_use]
pub fn assess(rule: &Rule, told: &BTreeMap<String, f64>, findings: &Findings) -> Assessment {
    let judged = findings.judge.as_ref();
    let all = [
        (Source::Agent, Some(told)),
        (Source::Checks, Some(&findings.scores)),
        (Source::Judge, judged.map(|judged| &judged.scores)),
    ];
    let mut scores: BTreeMap<String, (f64, Source)> = BTreeMap::new();
    for (source, told) in all {
        let told = told.into_iter().flatten().filter(|(_, score)| is_score(**score));
        scores.extend(told.map(|(metric, score)| (metric.clone(), (round_score(*score), source))));
    }
    let score = mean(scores.iter().map(|(metric, (score, _))| (rule.bar(metric).weight, *score)));
    let missed = |metric: &str, score: f64, threshold: f64| {
        let threshold = round_score(threshold);
        (score < threshold).then(|| Missed { metric: metric.to_owned(), score, threshold })
    };
    let overall = score.and_then(|score| missed(OVERALL, score, rule.threshold));
    let single = scores.iter().filter_map(|(metric, (score, _))| missed(metric, *score, rule.bar(metric).threshold?));
    Assessment {
        failed: overall.into_iter().chain(single).collect(),
        warning: score.is_some_and(|score| score < rule.warn_below),
        sources: scores.values().map(|(_, source)| *source).collect(),
        judge: judged.map(|judged| judged.agent.clone()),
        notes: findings.notes.iter().chain(judged.into_iter().flat_map(|judged| &judged.notes)).cloned().collect(),
        scores: scores.into_iter().map(|(metric, (score, _))| (metric, score)).collect(),
        score,
    }
}

/// The mean by weight; none without any weight. Never outside of what goes into it.
fn mean(scores: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (mut weights, mut sum) = (0.0, 0.0);
    for (weight, score) in scores {
        weights += weight;
        sum += weight * score;
    }
    (weights > 0.0).then(|| round_score(sum / weights).clamp(0.0, 1.0))
}

/// A score for people: three digits after the point at most.
fn round(score: f64) -> f64 {
    // Rounded down, so that what is too low never reads as enough.
    ((score * 1e6).round() / 1e3).floor() / 1e3
}
