//! Runs as people and programs look at them: a view that follows the events, the report at the end, the monitor on the
//! way, and text that is safe to show. Nothing here changes a run.

mod assess;
mod attempt;
mod build;
#[cfg(test)]
mod compare_tests;
mod comparison;
mod comparison_text;
mod difference;
mod difference_text;
mod execution;
mod explain;
mod figures;
mod growth;
mod held;
mod moment;
mod monitor;
mod page;
mod past;
mod phases;
mod plan_diff;
mod printable;
mod question;
mod recovery;
mod shape;
mod spent;
mod step_view;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod text;
mod times;
mod undo;
mod view;

pub use attempt::{AttemptView, Checkpoint, Outcome};
pub use comparison::{
    Averages, Comparison, CostBasis, CostComparison, CostDifference, Improvement, QualityComparison, QualityDifference,
    Timing, Way,
};
pub use comparison_text::render_comparison;
pub use difference::{
    Aspect as DifferingAspect, FirstDifference, RunDifference, StepDifference, ValueDifference, differences,
};
pub use difference_text::render_difference;
pub use execution::{
    AgentReport, ArtifactReport, AttemptReport, CheckpointReport, CriticalPathReport, ExecutionReport, LevelReport,
    OutputReport, QualityTotals, StageReport, StepQuality, StepReport, Totals, UndoReport,
};
pub use explain::{
    AgentOutlook, Aspect, ExplainedStep, Explanation, Finding, Hindrance, Known, Outlook, Owner, QueuePlace, Reason,
    render_explanation, steps_without_agent,
};
pub use figures::{Output, RunFigures, StepFigures, UsageFigures};
pub use held::{HeldCounts, HeldReport, HeldStepReport};
pub use moment::{human_bytes, human_seconds, parse_rfc3339, rfc3339};
pub use monitor::{Monitor, PerformanceMetrics, step_outputs};
pub use page::Page;
pub use past::{Lesson, PastEstimate, PastRuns};
pub use phases::{OrchestrationReport, PhaseBreakdown, PhaseLog, PhaseMark, PhaseReport, render_phases};
pub use plan_diff::{Change, PlanDiff, ReplacedStep};
pub use printable::{columns, fit, pad, printable, wrap};
pub use question::Question;
pub use recovery::recovery_news;
pub use shape::{run_shape, step_shape};
pub use spent::{BudgetReport, told_usage};
pub use text::render_text;
pub use times::EarliestTimes;
pub use undo::{Concerned, WayBack};
pub use view::{RunView, StepView};
