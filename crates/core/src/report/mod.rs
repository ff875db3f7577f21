//! Runs as people and programs look at them: a view that follows the events, the report at the end, the monitor on the
//! way, and text that is safe to show. Nothing here changes a run.

mod assess;
mod attempt;
mod build;
mod execution;
mod explain;
mod moment;
mod monitor;
mod page;
mod past;
mod printable;
mod question;
mod recovery;
mod shape;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod text;
mod times;
mod undo;
mod view;

pub use attempt::{AttemptView, Checkpoint, Outcome};
pub use execution::{
    AgentReport, ArtifactReport, AttemptReport, CheckpointReport, CriticalPathReport, ExecutionReport, LevelReport,
    OutputReport, StageReport, StepReport, Totals, UndoReport,
};
pub use explain::{
    AgentOutlook, Aspect, ExplainedStep, Explanation, Finding, Hindrance, Known, Outlook, Owner, QueuePlace, Reason,
    render_explanation, steps_without_agent,
};
pub use moment::{human_bytes, human_seconds, parse_rfc3339, rfc3339};
pub use monitor::{Monitor, PerformanceMetrics, step_outputs};
pub use page::Page;
pub use past::{Lesson, PastEstimate, PastRuns};
pub use printable::{columns, fit, pad, printable, wrap};
pub use question::Question;
pub use recovery::recovery_news;
pub use shape::{run_shape, step_shape};
pub use text::render_text;
pub use times::EarliestTimes;
pub use undo::{Concerned, WayBack};
pub use view::{RunView, StepView};
