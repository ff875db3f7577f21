//! What holds where a workflow says nothing: the domains, and whether answers are looked at.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::workflow::OnBelow;

/// What the overall score must reach where nothing else is said.
pub(super) const THRESHOLD: f64 = 0.9;

/// Below this an overall score is marked where nothing else is said.
pub(super) const WARN_BELOW: f64 = 0.85;

/// The names of the domains that are there without any configuration.
pub const BUILT_IN: [&str; 5] = ["GENERIC", "ANALYTICAL", "CREATIVE", "CODING", "COMMUNICATION"];

/// How answers are judged where a workflow says nothing. Recorded with a run unless they are the default, whose meaning never
/// changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// False: answers are taken as they are, unless a workflow says otherwise.
    #[serde(skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// The domain of steps that name none.
    #[serde(skip_serializing_if = "is_generic")]
    pub domain: String,
    /// What follows an answer below its threshold in a workflow that says nothing of quality.
    #[serde(skip_serializing_if = "is_accept")]
    pub on_below: OnBelow,
    /// Domains by name beside the built-in ones, or in their place.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub domains: BTreeMap<String, Domain>,
}

/// Metrics that belong together, with their weights and thresholds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Domain {
    /// What the overall score must reach, 0 to 1. Default: 0.9.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// An overall score below this is marked. Default: 0.85.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn_below: Option<f64>,
    /// How much each metric counts in the overall score.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, f64>,
    /// What single metrics must reach, 0 to 1.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<String, f64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, domain: BUILT_IN[0].to_owned(), on_below: OnBelow::Accept, domains: BTreeMap::new() }
    }
}

impl Settings {
    /// A domain by its name; GENERIC in the place of one that is not known.
    #[must_use]
    pub fn domain(&self, name: &str) -> Domain {
        self.domains.get(name).cloned().unwrap_or_else(|| built_in(name))
    }

    /// True if it is the default, which is not recorded.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self == Self::common()
    }

    /// The default, once.
    #[must_use]
    pub fn common() -> &'static Self {
        static COMMON: LazyLock<Settings> = LazyLock::new(Settings::default);
        &COMMON
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde wants")]
const fn is_true(is: &bool) -> bool {
    *is
}

fn is_generic(domain: &str) -> bool {
    domain == BUILT_IN[0]
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde wants")]
fn is_accept(on_below: &OnBelow) -> bool {
    *on_below == OnBelow::Accept
}

/// Metrics and a number for each.
type Numbers<'n> = &'n [(&'n str, f64)];

/// A domain that is there without any configuration. Runs go by it for ever: a change is a new name.
fn built_in(name: &str) -> Domain {
    let (weights, thresholds): (Numbers<'_>, Numbers<'_>) = match name {
        "ANALYTICAL" => (
            &[("accuracy", 2.0), ("completeness", 1.5), ("relevance", 1.0), ("rigor", 1.0)],
            &[("accuracy", 0.95), ("completeness", 0.9)],
        ),
        "CREATIVE" => (
            &[("originality", 2.0), ("coherence", 1.5), ("relevance", 1.0), ("completeness", 0.5)],
            &[("completeness", 0.9)],
        ),
        "CODING" => (
            &[("correctness", 2.0), ("completeness", 1.0), ("accuracy", 1.0), ("readability", 0.5)],
            &[("accuracy", 0.95), ("completeness", 0.9), ("correctness", 0.95)],
        ),
        "COMMUNICATION" => (
            &[("clarity", 2.0), ("accuracy", 1.0), ("completeness", 1.0), ("tone", 1.0)],
            &[("accuracy", 0.95), ("completeness", 0.9)],
        ),
        _ => (
            &[("accuracy", 1.0), ("coherence", 1.0), ("completeness", 1.0), ("relevance", 1.0)],
            &[("accuracy", 0.95), ("completeness", 0.9)],
        ),
    };
    let map = |pairs: &[(&str, f64)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    Domain { threshold: None, warn_below: None, weights: map(weights), thresholds: map(thresholds) }
}
