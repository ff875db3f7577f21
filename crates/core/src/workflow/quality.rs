//! What answers must be like: said by a workflow for its steps, or by a step for itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::form::check_form;
use crate::ids::{AgentId, Capability};
use crate::limits::MAX_WEIGHT;
use crate::ports::agent::{is_metric, is_score};
use crate::value::{DataPath, Json};

/// What answers must be like, and what follows if they are not. What a step says beats what its workflow says, which beats the
/// configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quality {
    /// `false`: answers are taken as they are. Default: what the configuration says, true if nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The metrics, weights and thresholds to go by: GENERIC, ANALYTICAL, CREATIVE, CODING, COMMUNICATION, or one of the
    /// configuration. Default: what the configuration says, GENERIC if nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// What the overall score must reach, 0 to 1. Default: that of the domain, 0.9 if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// An overall score below this is marked, whatever follows. Default: that of the domain, 0.85 if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn_below: Option<f64>,
    /// What single metrics must reach, 0 to 1, over those of the domain.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<String, f64>,
    /// How much metrics count in the overall score, over those of the domain; 0: not at all. Default for a metric that the
    /// domain does not know: 1.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, f64>,
    /// Fields that the output must have, as paths in it, with values other than null: the share that is there is the metric
    /// `required`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<DataPath>,
    /// What the output must be like, as JSON Schema (the part of it that forms know): 0 or 1 of the metric `schema`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub schema: Option<Json>,
    /// Fewest characters: of a text, or of the JSON text of anything else. 0 or 1 of the metric `length`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u64>,
    /// Most characters, counted in the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// An agent that judges the answer. Its scores count instead of those that the answering agent gives itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<Judge>,
    /// What follows an answer that is not good enough. Default where a workflow or a step says anything of quality: `retry`; else
    /// what the configuration says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_below: Option<OnBelow>,
    /// What follows when it cannot be tried again. Default: `fail`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_last: Option<AtLast>,
}

/// An agent that judges answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Judge {
    /// What it must be able to do. Default: `quality.judge`.
    #[serde(default = "judging")]
    pub capability: Capability,
    /// Pins it to one agent. Default: the best that did not give the answer itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// What it is to look at, in words that it gets with the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
}

/// What follows an answer that is not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBelow {
    /// The same agent is asked again at once and told what was not good enough, as often as `retry` of the step lets.
    #[default]
    Retry,
    /// Another agent is asked at once and told what was not good enough, as long as there is one.
    NextAgent,
    /// The answer is taken, and marked.
    Accept,
    /// The step fails: its `on_error` says what follows.
    Fail,
    /// A person decides; the answer is kept for that.
    Ask,
}

/// What follows when an answer is not good enough and there is no other try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AtLast {
    /// The step fails: its `on_error` says what follows.
    #[default]
    Fail,
    /// The last answer is taken, and marked.
    Accept,
    /// A person decides; the last answer is kept for that.
    Ask,
}

impl Quality {
    /// What is wrong with it: fields and reasons.
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        for (field, score) in [("threshold", self.threshold), ("warn_below", self.warn_below)] {
            if score.is_some_and(|score| !is_score(score)) {
                problems.push((field.to_owned(), "must be a number from 0 to 1".to_owned()));
            }
        }
        for (metric, threshold) in &self.thresholds {
            if !is_score(*threshold) {
                problems.push((format!("thresholds.{metric}"), "must be a number from 0 to 1".to_owned()));
            }
        }
        for (metric, weight) in &self.weights {
            if !(0.0..=MAX_WEIGHT).contains(weight) {
                problems.push((format!("weights.{metric}"), format!("must be a number from 0 to {MAX_WEIGHT}")));
            }
        }
        for (field, names) in [("thresholds", self.thresholds.keys()), ("weights", self.weights.keys())] {
            for name in names.filter(|name| !is_metric(name)) {
                problems.push((format!("{field}.{name}"), "is no name of a metric: letters, digits, _ . -".to_owned()));
            }
        }
        if self.domain.as_deref().is_some_and(|domain| !is_metric(domain)) {
            problems.push(("domain".to_owned(), "is no name of a domain: letters, digits, _ . -".to_owned()));
        }
        if let Some(schema) = &self.schema {
            let wrong = serde_json::from_str(schema.as_str()).map_err(|e| e.to_string());
            if let Err(reason) = wrong.and_then(|schema| check_form(&schema)) {
                problems.push(("schema".to_owned(), reason));
            }
        }
        if let (Some(min), Some(max)) = (self.min_length, self.max_length)
            && min > max
        {
            problems.push(("max_length".to_owned(), format!("is less than min_length, which is {min}")));
        }
        problems
    }
}

fn judging() -> Capability {
    "quality.judge".parse().expect("the name follows the rules for capabilities")
}
