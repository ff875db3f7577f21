//! The sophisticated mode: resources, risks with what to do against them, how quality is to be checked, and a score.

mod quality;
mod resources;
mod risks;
mod score;

use std::collections::BTreeMap;

use serde::Serialize;
use tutti_core::ids::{Capability, StepId};
use tutti_core::plan::Plan;

use crate::analysis::Analysis;
use crate::report::{CoordinationStrategy, PlanReport};

pub use quality::{QualityPlan, StepQuality};
pub use resources::{CapabilityUse, ResourceBreakdown, StepResources};
pub use risks::{Risk, RiskKind, Severity};
pub use score::PlanScore;

/// How much a plan tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanMode {
    /// Order, times and strategy.
    #[default]
    Simple,
    /// Resources, risks, quality and a score, too.
    Sophisticated,
}

/// What is known of the world that a plan is for.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// How many agents offer each capability; `None` if nobody knows.
    pub offers: Option<BTreeMap<Capability, u32>>,
}

/// What the sophisticated mode adds to a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Assessment {
    /// The plan in a few words.
    pub analysis: PlanSummary,
    /// What it uses, by step and in all.
    pub resource_breakdown: ResourceBreakdown,
    /// What may go wrong, the gravest first.
    pub risks: Vec<Risk>,
    /// How its results are to be checked.
    pub quality_validation_plan: QualityPlan,
    /// How complete and how feasible it is.
    pub plan_score: PlanScore,
}

/// The plan in a few words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanSummary {
    /// How its steps are coordinated.
    pub execution_strategy: CoordinationStrategy,
    /// The chain of steps that decides the time.
    pub critical_path: Vec<StepId>,
    /// `1 − estimated_parallel_time ÷ estimated_total_time`.
    pub parallel_potential: f64,
    /// What results must reach.
    pub quality_requirements: BTreeMap<String, f64>,
    /// Most agents that are at work at once, by capability.
    pub resource_allocation: Vec<CapabilityUse>,
    /// The gravest risk, and how many there are of each severity.
    pub risk_assessment: RiskSummary,
}

/// Risks counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RiskSummary {
    /// The severity of the gravest; `None` without risks.
    pub level: Option<Severity>,
    /// Grave ones.
    pub high: usize,
    /// Those in between.
    pub medium: usize,
    /// Slight ones.
    pub low: usize,
}

impl RiskSummary {
    fn of(risks: &[Risk]) -> Self {
        let count = |severity| risks.iter().filter(|risk| risk.severity == severity).count();
        let level = risks.iter().map(|risk| risk.severity).max();
        Self { level, high: count(Severity::High), medium: count(Severity::Medium), low: count(Severity::Low) }
    }
}

impl Assessment {
    /// Assesses a plan by its report and by what is known of its surroundings.
    #[must_use]
    pub fn new(plan: &Plan, analysis: &Analysis, report: &PlanReport, around: &Surroundings) -> Self {
        let resource_breakdown = ResourceBreakdown::new(plan, analysis, around);
        let risks = risks::find(plan, analysis, report, around);
        let quality_validation_plan = QualityPlan::new(plan);
        let plan_score = PlanScore::new(plan, analysis, report, around, &risks);
        let analysis = PlanSummary {
            execution_strategy: report.coordination_strategy,
            critical_path: report.critical_path.clone(),
            parallel_potential: report.parallel_potential,
            quality_requirements: quality_validation_plan.thresholds.clone(),
            resource_allocation: resource_breakdown.by_capability.clone(),
            risk_assessment: RiskSummary::of(&risks),
        };
        Self { analysis, resource_breakdown, risks, quality_validation_plan, plan_score }
    }
}
