//! The section that says how answers are judged where a workflow says nothing.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tutti_core::limits::MAX_WEIGHT;
use tutti_core::ports::agent::{is_metric, is_score};
use tutti_core::quality::{Domain, Settings};
use tutti_core::workflow::OnBelow;

/// How the answers of agents are judged. What a workflow says of quality comes before this section; what holds for a run is
/// recorded with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QualityConfig {
    /// Answers are judged. `false`: only where a workflow says `enabled: true`.
    #[schemars(extend("x-environment" = "ENABLE_QUALITY_VALIDATION"))]
    pub enabled: bool,
    /// The domain of steps that name none: GENERIC, ANALYTICAL, CREATIVE, CODING, COMMUNICATION, or one of `domains`.
    #[schemars(extend("x-environment" = "DEFAULT_QUALITY_DOMAIN"))]
    pub domain: String,
    /// What follows an answer that is not good enough in a workflow that says nothing of quality.
    pub on_below: OnBelow,
    /// Further domains, or others in the place of those that are there, each a text: `LEGAL threshold=0.95 warn_below=0.9
    /// accuracy=2/0.98 tone=1`. A metric has a weight, and behind `/` the threshold that it must reach.
    #[schemars(with = "Vec<String>")]
    pub domains: Vec<DomainText>,
}

impl Default for QualityConfig {
    fn default() -> Self {
        let Settings { enabled, domain, on_below, domains: _ } = Settings::default();
        Self { enabled, domain, on_below, domains: Vec::new() }
    }
}

impl QualityConfig {
    /// What holds for runs whose workflow says nothing. Of two domains of one name the last one counts.
    pub fn settings(&self) -> Settings {
        let domains: BTreeMap<String, Domain> = self.domains.iter().filter_map(|text| read(&text.0).ok()).collect();
        Settings { enabled: self.enabled, domain: self.domain.clone(), on_below: self.on_below, domains }
    }
}

/// A domain as a text that can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainText(String);

impl TryFrom<String> for DomainText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        read(&text).map(|_| Self(text))
    }
}

impl From<DomainText> for String {
    fn from(text: DomainText) -> Self {
        text.0
    }
}

fn read(text: &str) -> Result<(String, Domain), String> {
    let mut words = text.split_whitespace();
    let name = words.next().filter(|name| is_metric(name)).ok_or("must begin with a name: letters, digits, _ . -")?;
    let mut domain = Domain::default();
    for word in words {
        let (key, value) =
            word.split_once('=').ok_or_else(|| format!("\"{word}\" is not of the form metric=weight"))?;
        let score = |text: &str| match text.parse::<f64>() {
            Ok(score) if is_score(score) => Ok(score),
            _ => Err(format!("\"{word}\": \"{text}\" is no number from 0 to 1")),
        };
        match key {
            "threshold" => domain.threshold = Some(score(value)?),
            "warn_below" => domain.warn_below = Some(score(value)?),
            metric if is_metric(metric) => {
                let (weight, threshold) = value.split_once('/').map_or((value, None), |(w, t)| (w, Some(t)));
                let weight = weight.parse().ok().filter(|weight| (0.0..=MAX_WEIGHT).contains(weight));
                let weight =
                    weight.ok_or_else(|| format!("\"{word}\": the weight is no number from 0 to {MAX_WEIGHT}"))?;
                domain.weights.insert(metric.to_owned(), weight);
                if let Some(threshold) = threshold {
                    domain.thresholds.insert(metric.to_owned(), score(threshold)?);
                }
            }
            _ => return Err(format!("\"{key}\" is no name of a metric: letters, digits, _ . -")),
        }
    }
    Ok((name.to_owned(), domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_read_from_a_line() {
        let text = DomainText::try_from("LEGAL threshold=0.95 accuracy=2/0.98 tone=1".to_owned()).unwrap();
        let settings = QualityConfig { domains: vec![text], ..QualityConfig::default() }.settings();
        let legal = settings.domain("LEGAL");
        assert_eq!((legal.threshold, legal.weights["accuracy"], legal.thresholds["accuracy"]), (Some(0.95), 2.0, 0.98));
        assert_eq!((legal.weights["tone"], legal.thresholds.contains_key("tone")), (1.0, false));
        assert!(QualityConfig::default().settings().is_default());
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for wrong in ["", "A x", "A accuracy=many", "A accuracy=1/2", "A threshold=NaN", "A ä=1", "A accuracy=-1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
