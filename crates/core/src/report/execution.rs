//! The report on a run as data. Its field names are stable; a moment is RFC 3339 text in UTC with microseconds, a span
//! is a number of seconds, and what is not known or not defined is null.

use std::collections::BTreeMap;

use serde::Serialize;

use super::attempt::Outcome;
use super::held::HeldReport;
use super::moment::rfc3339;
use super::phases::{OrchestrationReport, PhaseBreakdown};
use super::spent::BudgetReport;
use super::undo::WayBack;
use crate::ids::{AgentId, RunId, StepId, WorkflowId};
use crate::ports::agent::Usage;
use crate::quality::Assessment;
use crate::run::{AgentChoice, QualityVerdict, RunStatus, StepStatus, Undone, Verdict};
use crate::schedule::StrategyReason;
use crate::value::{Digest, Json, Payload, PayloadRef};
use crate::workflow::Executor;

/// What became of a run. [`ExecutionReport::new`](Self::new) makes one at any time, best after the end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExecutionReport {
    /// The run.
    pub run_id: RunId,
    /// Its workflow.
    pub workflow: WorkflowId,
    /// The workflow's title.
    pub title: String,
    /// The author's version of the workflow.
    pub version: String,
    /// The run's state.
    pub state: RunStatus,
    /// The executor it got.
    pub executor: Executor,
    /// Why it got that one.
    pub strategy_reason: StrategyReason,
    /// The share of time that running in parallel was expected to save, if it was weighed.
    pub potential_improvement: Option<f64>,
    /// When the run was created.
    pub created_at: Option<String>,
    /// When its first attempt began.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// From its creation to its end, in seconds.
    pub duration: Option<f64>,
    /// Why it failed, was cancelled or set aside (untrusted text).
    pub error: Option<String>,
    /// How often the plan was changed while the run went on.
    #[serde(skip_serializing_if = "is_zero")]
    pub plan_revision: u32,
    /// Every step, in the order of the workflow.
    pub steps: Vec<StepReport>,
    /// How the run was undone, if it failed and was.
    pub undone: Option<Undone>,
    /// What undoes steps, as far as it was or is to be done, in the order in which that is done.
    pub undos: Vec<UndoReport>,
    /// Steps that were done when the run was undone last, and that nothing undoes; the newest first.
    pub kept: Vec<StepId>,
    /// The points by name to which the run can be rolled back, newest first.
    pub checkpoints: Vec<CheckpointReport>,
    /// How it stands with what the run may spend; empty without a budget.
    pub budget: Vec<BudgetReport>,
    /// The run in numbers.
    pub totals: Totals,
    /// The levels of the graph.
    pub levels: Vec<LevelReport>,
    /// The stages that the workflow names, in the order in which they come first in the graph.
    pub stages: Vec<StageReport>,
    /// The completed steps.
    pub successful: Vec<StepId>,
    /// A line per failed step, `Task i failed: …`, where i is its place in `steps`, from 0 (untrusted text).
    pub failed: Vec<String>,
    /// True if the run ended with some of its steps complete, but not all.
    pub partial_completion: bool,
    /// How it was orchestrated; none if nobody asked for a preset.
    pub orchestration: Option<OrchestrationReport>,
    /// What its time went into, once it has ended.
    pub phase_breakdown: Option<PhaseBreakdown>,
    /// What to think of it, in a few sentences; safe to show.
    pub assessment: String,
}

/// One step of the report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    /// The step.
    pub id: StepId,
    /// Its stage label.
    pub stage: Option<String>,
    /// Its level in the graph, from 0.
    pub level: u32,
    /// What its agent must be able to do.
    pub capability: String,
    /// Its state.
    pub state: StepStatus,
    /// Whom its last attempt asked.
    pub agent: Option<AgentId>,
    /// Number of attempts.
    pub attempts: u32,
    /// When its first attempt began.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// From the run's creation to its first attempt.
    pub offset_seconds: Option<f64>,
    /// From its first attempt to its end in seconds, waits between attempts included.
    pub duration: Option<f64>,
    /// From the end of its last dependency to its first attempt.
    pub wait_seconds: Option<f64>,
    /// Its output, if it is complete.
    pub output: Option<OutputReport>,
    /// Why it failed, or its last attempt did (untrusted text).
    pub error: Option<String>,
    /// What came with its output.
    pub artifacts: Vec<ArtifactReport>,
    /// Input fields that were left out because their path had no value.
    pub missing_inputs: Vec<String>,
    /// What its agents reported that all its attempts took.
    pub usage: Option<Usage>,
    /// How its last answer was judged, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<StepQuality>,
    /// What a person may decide about it; empty unless it is held.
    pub verdicts: Vec<Verdict>,
    /// Each attempt.
    pub attempt_log: Vec<AttemptReport>,
    /// The steps that it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldReport>,
}

/// What undoes one step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UndoReport {
    /// The step that it undoes.
    pub step: StepId,
    /// What its agent must be able to do.
    pub capability: String,
    /// Its state: `completed` is undone, `waiting` cannot be undone and a person must decide, `skipped` was left as it was.
    pub state: StepStatus,
    /// Whom its last attempt asked.
    pub agent: Option<AgentId>,
    /// Number of attempts.
    pub attempts: u32,
    /// When its first attempt began.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Why it is held, or its last attempt failed (untrusted text).
    pub error: Option<String>,
    /// What a person may decide about it; empty unless it is held.
    pub verdicts: Vec<Verdict>,
    /// Each attempt.
    pub attempt_log: Vec<AttemptReport>,
}

/// A point by name to which a run can be rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckpointReport {
    /// Its name.
    pub name: String,
    /// The number of its event.
    pub seq: u64,
    /// When.
    pub time: String,
    /// Steps that would be undone on the way back, in the order in which that would be done: the first 20.
    pub undone: Vec<StepId>,
    /// How many would be.
    pub undone_count: u32,
    /// Steps done since that nothing undoes, whose results would be dropped: the newest 20.
    pub dropped: Vec<StepId>,
    /// How many there are.
    pub dropped_count: u32,
}

/// One attempt of a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptReport {
    /// Its number, from 1.
    pub number: u32,
    /// Whom it asked; none if there was nobody to ask.
    pub agent: Option<AgentId>,
    /// Why this one, if several have the capability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<AgentChoice>,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// From the run's creation to its start.
    pub offset_seconds: f64,
    /// How long it took, in seconds.
    pub duration: Option<f64>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed (untrusted text).
    pub error: Option<String>,
    /// The agent's id of the task (untrusted text).
    pub task: Option<String>,
    /// What its agent reported that it took: money in millionths, and tokens.
    pub usage: Option<Usage>,
}

/// A step's output: the value itself, or `{"payload": {"hash": …, "len": …}}` for one that is kept apart by its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum OutputReport {
    /// The value.
    Inline(Json),
    /// Where the run's payloads have it.
    Stored {
        /// Its name there.
        payload: PayloadRef,
    },
}

/// What came with a step's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactReport {
    /// Its name (untrusted text).
    pub name: String,
    /// Its media type, if told (untrusted text).
    pub media_type: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content, which names it among the run's payloads.
    pub hash: Digest,
}

/// A run in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Totals {
    /// Steps of the workflow.
    pub steps: u32,
    /// Steps that completed.
    pub completed: u32,
    /// Steps that failed for good.
    pub failed: u32,
    /// Steps that were not run because a step before them failed or the run did.
    pub skipped: u32,
    /// Steps that the end of the run stopped.
    pub cancelled: u32,
    /// Attempts of all steps, also of those that steps hold.
    pub attempts: u32,
    /// Attempts beyond the first of each step.
    pub retries: u32,
    /// Completed steps as a share of those that ended.
    pub success_rate: Option<f64>,
    /// Sum of the durations of all steps, for those that hold others of these: about the time that they take one after another.
    pub sequential_seconds: f64,
    /// From the start of the first attempt to the end of the last step, once the run has ended.
    pub makespan_seconds: Option<f64>,
    /// `sequential_seconds ÷ makespan_seconds`.
    pub speed_up: Option<f64>,
    /// `1 − makespan_seconds ÷ sequential_seconds`; below 0 if the run stood still for longer than it saved.
    pub parallel_efficiency: Option<f64>,
    /// Most attempts under way at once.
    pub peak_in_flight: u32,
    /// The chain of steps that took the longest.
    pub critical_path: CriticalPathReport,
    /// What agents reported that all attempts took together, those included that undid something.
    pub usage: Option<Usage>,
    /// What each agent did, by name.
    pub agents: Vec<AgentReport>,
    /// How the answers were judged, if any was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<QualityTotals>,
}

/// How the last answer of a step was judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepQuality {
    /// What it came to.
    pub verdict: QualityVerdict,
    /// What is known of it.
    #[serde(flatten)]
    pub assessment: Assessment,
}

/// How the answers of a run's steps were judged: the last one of each.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QualityTotals {
    /// Steps whose answer was good enough.
    pub passed: u32,
    /// Steps whose answer was not, whatever followed.
    pub failed: u32,
    /// Steps that were judged as a share of those that completed or failed.
    pub validation_rate: Option<f64>,
    /// The mean of the overall scores.
    pub average_score: Option<f64>,
    /// The mean of each metric's scores.
    pub averages: BTreeMap<String, f64>,
}

/// A longest chain of dependent steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CriticalPathReport {
    /// The steps, first one first.
    pub steps: Vec<StepId>,
    /// Their time together.
    pub seconds: f64,
}

/// What one agent did in a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgentReport {
    /// The agent.
    pub agent: AgentId,
    /// Attempts that asked it.
    pub attempts: u32,
    /// Attempts that it completed.
    pub completed: u32,
    /// Attempts that failed.
    pub failed: u32,
    /// Time of its attempts that have ended.
    pub seconds: f64,
}

/// One level of the graph: steps with equally long chains of dependencies before them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LevelReport {
    /// Its number, from 0.
    pub level: u32,
    /// Its steps.
    pub steps: u32,
    /// Steps of it that completed.
    pub completed: u32,
    /// When the last of its steps completed; none until all have.
    pub completed_at: Option<String>,
    /// From the run's creation to that.
    pub offset_seconds: Option<f64>,
}

/// One stage: the steps that share a label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageReport {
    /// The label (the author's text).
    pub stage: String,
    /// Its steps.
    pub steps: u32,
    /// Steps of it that completed.
    pub completed: u32,
    /// Steps of it that failed.
    pub failed: u32,
    /// When the first of its steps started.
    pub started_at: Option<String>,
    /// When the last of its steps ended; none until all have.
    pub ended_at: Option<String>,
    /// From the one to the other.
    pub duration: Option<f64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl From<&WayBack> for CheckpointReport {
    fn from(way: &WayBack) -> Self {
        Self {
            name: way.checkpoint.name.clone(),
            seq: way.checkpoint.seq,
            time: rfc3339(way.checkpoint.at),
            undone: way.undone.steps.clone(),
            undone_count: way.undone.count,
            dropped: way.dropped.steps.clone(),
            dropped_count: way.dropped.count,
        }
    }
}

impl From<&Payload> for OutputReport {
    fn from(payload: &Payload) -> Self {
        match payload {
            Payload::Inline(value) => Self::Inline(value.clone()),
            Payload::Stored(at) => Self::Stored { payload: *at },
        }
    }
}
