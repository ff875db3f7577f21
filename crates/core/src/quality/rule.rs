//! What holds for one step: its own word before its workflow's, before the settings of its run.

use std::collections::BTreeMap;

use super::settings::{Settings, THRESHOLD, WARN_BELOW};
use crate::value::{DataPath, Json};
use crate::workflow::{AtLast, Judge, OnBelow, Quality, Step, Workflow};

/// The checks that are made here, as metrics: each must be fulfilled wholly.
pub(super) const CHECKS: [&str; 3] = ["length", "required", "schema"];

/// What the answers of a step must be like.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The name of the domain.
    pub domain: String,
    /// The metrics that have a weight or a threshold.
    pub metrics: BTreeMap<String, Bar>,
    /// What the overall score must reach.
    pub threshold: f64,
    /// Below this the overall score is marked.
    pub warn_below: f64,
    /// Fields that the output must have.
    pub required: Vec<DataPath>,
    /// What the output must be like.
    pub schema: Option<Json>,
    /// Fewest and most characters.
    pub length: (Option<u64>, Option<u64>),
    /// Who judges.
    pub judge: Option<Judge>,
    /// What follows an answer that is not good enough.
    pub on_below: OnBelow,
    /// What follows when there is no other try.
    pub at_last: AtLast,
    /// True if the workflow or the step asks for it, so that an answer of which nothing is known is recorded as such.
    pub is_said: bool,
}

/// How much a metric counts, and what it must reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// How much it counts in the overall score.
    pub weight: f64,
    /// What it must reach.
    pub threshold: Option<f64>,
}

/// True if a workflow says something of the quality of a step's answers.
#[must_use]
pub const fn said(workflow: &Workflow, step: &Step) -> bool {
    workflow.quality.is_some() || step.quality.is_some()
}

impl Rule {
    /// What holds for a step; `None` if its answers are taken as they are.
    #[must_use]
    pub fn of(settings: &Settings, workflow: &Workflow, step: &Step) -> Option<Self> {
        let nothing = Quality::default();
        let own = step.quality.as_deref().unwrap_or(&nothing);
        let common = workflow.quality.as_deref().unwrap_or(&nothing);
        if !own.enabled.or(common.enabled).unwrap_or(settings.enabled) {
            return None;
        }
        let is_said = said(workflow, step);
        let name = own.domain.as_ref().or(common.domain.as_ref()).unwrap_or(&settings.domain);
        let domain = settings.domain(name);
        let on_below = own.on_below.or(common.on_below);
        let on_below = on_below.unwrap_or(if is_said { OnBelow::Retry } else { settings.on_below });
        // What must not be done twice is not asked for twice: the agent did it.
        let again = matches!(on_below, OnBelow::Retry | OnBelow::NextAgent);
        let on_below = if step.retry.is_unsafe && again { OnBelow::Ask } else { on_below };
        Some(Self {
            metrics: metrics(
                [&domain.weights, &common.weights, &own.weights],
                [&domain.thresholds, &common.thresholds, &own.thresholds],
            ),
            threshold: own.threshold.or(common.threshold).or(domain.threshold).unwrap_or(THRESHOLD),
            warn_below: own.warn_below.or(common.warn_below).or(domain.warn_below).unwrap_or(WARN_BELOW),
            required: if own.required.is_empty() { common.required.clone() } else { own.required.clone() },
            schema: own.schema.as_ref().or(common.schema.as_ref()).cloned(),
            length: (own.min_length.or(common.min_length), own.max_length.or(common.max_length)),
            judge: own.judge.as_ref().or(common.judge.as_ref()).cloned(),
            at_last: own.at_last.or(common.at_last).unwrap_or_default(),
            domain: name.clone(),
            on_below,
            is_said,
        })
    }

    /// How much a metric counts, and what it must reach.
    #[must_use]
    pub fn bar(&self, metric: &str) -> Bar {
        let known = self.metrics.get(metric).copied();
        let unknown = Bar { weight: 1.0, threshold: None };
        let bar = known.unwrap_or(unknown);
        if CHECKS.contains(&metric) { Bar { threshold: bar.threshold.or(Some(1.0)), ..bar } } else { bar }
    }
}

/// Weights and thresholds, the later ones over the earlier ones.
fn metrics(weights: [&BTreeMap<String, f64>; 3], thresholds: [&BTreeMap<String, f64>; 3]) -> BTreeMap<String, Bar> {
    let mut metrics: BTreeMap<String, Bar> = BTreeMap::new();
    let mut bar = |metric: &String, change: &dyn Fn(&mut Bar)| {
        change(metrics.entry(metric.clone()).or_insert(Bar { weight: 1.0, threshold: None }));
    };
    for (metric, weight) in weights.into_iter().flatten() {
        bar(metric, &|bar| bar.weight = *weight);
    }
    for (metric, threshold) in thresholds.into_iter().flatten() {
        bar(metric, &|bar| bar.threshold = Some(*threshold));
    }
    metrics
}
