//! What a plan promises before it runs: levels, critical path and estimates ([`Analysis`]), which executor suits it
//! ([`strategy`]), and all of it as data ([`PlanReport`]), text ([`render_text`]) and pictures ([`picture`]).
//!
//! Pure functions of the plan and of what the caller says about the system's load.

pub mod analysis;
mod assessment;
mod opportunity;
pub mod picture;
pub mod query;
mod report;
pub mod strategy;
pub mod tasks;
#[cfg(test)]
mod testing;
mod text;
mod words;

pub use analysis::{Analysis, EstimateSource};
pub use assessment::{
    Assessment, CapabilityUse, PlanMode, PlanScore, PlanSummary, QualityPlan, ResourceBreakdown, Risk, RiskKind,
    RiskSummary, Severity, StepQuality, StepResources, Surroundings,
};
pub use opportunity::{Opportunities, Opportunity, ParallelGroup};
pub use report::{
    CoordinationStrategy, IndependentSet, LevelPlan, PastTimes, PlanOrigin, PlanReport, StagePlan, TaskPlan,
};
pub use text::render_text;
