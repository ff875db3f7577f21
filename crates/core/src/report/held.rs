//! The steps that steps hold, as people look at them: counted, and those first that matter.

use serde::Serialize;

use super::attempt::Outcome;
use super::view::{RunView, StepView};
use crate::ids::{AgentId, StepPath};
use crate::plan::StepIndex;
use crate::run::StepStatus;
use crate::time::Timestamp;

/// How many steps one step holds. Field names are stable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct HeldCounts {
    /// In all, so far.
    pub all: u32,
    /// That are done.
    pub completed: u32,
    /// That failed for good.
    pub failed: u32,
    /// That are under way, wait for somebody or are about to be tried again.
    pub under_way: u32,
}

/// The steps that one step holds. Field names are stable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeldReport {
    /// How many.
    #[serde(flatten)]
    pub counts: HeldCounts,
    /// Some of them, in their order: all if they are few, else those that failed and those under way before others.
    pub steps: Vec<HeldStepReport>,
    /// How many are not among these.
    pub left_out: u32,
}

/// A step that another one holds. Field names are stable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeldStepReport {
    /// Its path in the run.
    pub path: StepPath,
    /// Its state.
    pub state: StepStatus,
    /// Whom its last attempt asked.
    pub agent: Option<AgentId>,
    /// Number of attempts.
    pub attempts: u32,
    /// From the run's creation to its first attempt.
    pub offset_seconds: Option<f64>,
    /// From the end of its last dependency to its first attempt.
    pub wait_seconds: Option<f64>,
    /// From its first attempt to its end in seconds, waits between attempts included.
    pub duration: Option<f64>,
    /// Why it failed, or its last attempt did (untrusted text).
    pub error: Option<String>,
    /// What it holds itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Box<HeldReport>>,
}

impl RunView {
    /// All steps, also those that steps hold, but for those that undo others.
    pub fn all_steps(&self) -> impl Iterator<Item = StepView<'_>> {
        self.plan().forward().map(|index| self.step(index))
    }

    /// How many steps a step holds; `None` if it has begun none.
    #[must_use]
    pub fn held_counts(&self, holder: StepIndex) -> Option<HeldCounts> {
        let mut counts = HeldCounts::default();
        for step in self.held_by(holder) {
            counts.all += 1;
            match rank(step.status) {
                Rank::Failed => counts.failed += 1,
                Rank::UnderWay => counts.under_way += 1,
                Rank::Done => counts.completed += 1,
                Rank::Other => {}
            }
        }
        (counts.all > 0).then_some(counts)
    }

    /// So many of the steps that a step holds, in their order: those that failed and those under way before others.
    #[must_use]
    pub fn held_first(&self, holder: StepIndex, most: usize) -> Vec<StepView<'_>> {
        let mut steps: Vec<(usize, StepView<'_>)> = self.held_by(holder).enumerate().collect();
        if steps.len() > most {
            steps.sort_by_key(|(place, step)| (rank(step.status), *place));
            steps.truncate(most);
            steps.sort_by_key(|(place, _)| *place);
        }
        steps.into_iter().map(|(_, step)| step).collect()
    }

    /// What a step holds, told with at most so many steps in all; they are taken from `room`.
    pub(super) fn held_report(&self, holder: StepIndex, created_at: Timestamp, room: &mut usize) -> Option<HeldReport> {
        let counts = self.held_counts(holder)?;
        let shown = self.held_first(holder, MOST.min(*room));
        *room -= shown.len();
        let left_out = counts.all - shown.len() as u32;
        let steps = shown.into_iter().map(|step| self.held_step(&step, created_at, room)).collect();
        Some(HeldReport { counts, steps, left_out })
    }

    fn held_step(&self, step: &StepView<'_>, created_at: Timestamp, room: &mut usize) -> HeldStepReport {
        let last = step.attempts.last().filter(|attempt| attempt.outcome != Outcome::Completed);
        HeldStepReport {
            path: self.plan().path(step.index),
            state: step.status,
            agent: step.agent().cloned(),
            attempts: step.attempts.len() as u32,
            offset_seconds: step.started_at.map(|at| at.since(created_at).as_secs_f64()),
            wait_seconds: step.wait().map(|span| span.as_secs_f64()),
            duration: step.duration().map(|span| span.as_secs_f64()),
            error: step.error.or(last.and_then(|attempt| attempt.error.as_ref())).map(ToString::to_string),
            held: self.held_report(step.index, created_at, room).map(Box::new),
        }
    }
}

/// Most steps of one container in a report.
const MOST: usize = 100;

/// What is looked at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Failed,
    UnderWay,
    Other,
    Done,
}

const fn rank(status: StepStatus) -> Rank {
    match status {
        StepStatus::Failed | StepStatus::OutcomeUnknown => Rank::Failed,
        StepStatus::Running | StepStatus::Retrying | StepStatus::Waiting => Rank::UnderWay,
        StepStatus::Pending | StepStatus::Skipped | StepStatus::Cancelled => Rank::Other,
        StepStatus::Completed => Rank::Done,
    }
}
