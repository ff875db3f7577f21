//! What a plan promises before it runs: levels, critical path and estimates ([`Analysis`]), which executor suits it
//! ([`strategy`]), and all of it as data ([`PlanReport`]), text ([`render_text`]) and pictures ([`picture`]).
//!
//! Pure functions of the plan and of what the caller says about the system's load.

pub mod analysis;
mod opportunity;
pub mod picture;
mod report;
pub mod strategy;
#[cfg(test)]
mod testing;
mod text;

pub use analysis::Analysis;
pub use opportunity::{Opportunities, Opportunity, ParallelGroup};
pub use report::{CoordinationStrategy, IndependentSet, LevelPlan, PlanReport, StagePlan, TaskPlan};
pub use text::render_text;
