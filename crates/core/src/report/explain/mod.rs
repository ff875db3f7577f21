//! Why a run stands as it does: what it waits for, why it failed, whom it asked and why, and what happens next. A pure
//! function of its history, and of what only its owner knows.

mod failed;
mod finding;
mod known;
mod run;
mod step;
mod text;
mod wait;

#[cfg(test)]
mod tests;

use serde::Serialize;

pub use finding::{Aspect, Finding, Reason};
pub use known::{AgentOutlook, Hindrance, Known, Outlook, Owner, QueuePlace};
pub use text::render_explanation;

use super::view::RunView;
use crate::ids::{RunId, StepPath};
use crate::limits::MAX_EXPLAINED_STEPS;
use crate::plan::StepIndex;
use crate::run::{Phase, RunState, RunStatus, StepStatus};
use crate::time::Timestamp;

/// Why a run stands as it does. Field names are stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The run.
    pub run_id: RunId,
    /// Its state.
    pub state: RunStatus,
    /// The last event that this takes in.
    pub last_seq: u64,
    /// What there is to say of the run.
    pub findings: Vec<Finding>,
    /// The step that was named, or those that matter.
    pub steps: Vec<ExplainedStep>,
    /// Steps that matter too and are left out.
    pub left_out: u32,
}

/// Why a step stands as it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedStep {
    /// The step.
    pub step: StepPath,
    /// Its state.
    pub state: StepStatus,
    /// What there is to say of it.
    pub findings: Vec<Finding>,
}

impl Explanation {
    /// Explains a run at a moment: the steps that matter, or the one that is meant. `None` for a run whose creation is not
    /// in the view.
    #[must_use]
    pub fn new(view: &RunView, step: Option<StepIndex>, known: &Known, now: Timestamp) -> Option<Self> {
        let state = view.state()?;
        let (indexes, left_out) = match step {
            Some(step) => (vec![step], 0),
            None => matter(view, state),
        };
        let of_step = |index| ExplainedStep {
            step: view.plan().path(index),
            state: view.step(index).status,
            findings: step::findings(&step::Subject { view, state, index, known, now }),
        };
        Some(Self {
            run_id: state.run(),
            state: state.status(),
            last_seq: state.seq(),
            findings: run::findings(view, state, known, now),
            steps: indexes.into_iter().map(of_step).collect(),
            left_out,
        })
    }
}

/// Steps whose agents [`Known::outlooks`] is to tell of: those that may start or go on, and wait for an agent. No more than are
/// explained; only the one that is meant, if one is.
#[must_use]
pub fn steps_without_agent(view: &RunView, step: Option<StepIndex>, now: Timestamp) -> Vec<StepIndex> {
    let Some(state) = view.state() else { return Vec::new() };
    let wants = |index: &StepIndex| {
        view.plan().step(*index).capability.is_some()
            && match &state.step(*index).phase {
                Phase::Ready(at) => at.is_none_or(|at| at <= now),
                Phase::Open(open) => open.suspended.is_some() && open.answer.is_some(),
                _ => false,
            }
    };
    let indexes = step.map_or_else(|| matter(view, state).0, |step| vec![step]);
    indexes.into_iter().filter(wants).collect()
}

/// The steps that matter, those first that need somebody, and how many are left out.
fn matter(view: &RunView, state: &RunState) -> (Vec<StepIndex>, u32) {
    let rank = |index: StepIndex| match &state.step(index).phase {
        Phase::Held(_) => Some(0),
        Phase::Open(open) if open.suspended.is_some() => Some(1),
        Phase::Ready(Some(_)) => Some(2),
        Phase::Ready(None) => Some(3),
        Phase::Open(_) => Some(4),
        Phase::Failed(_) => Some(5),
        Phase::Blocked(_) | Phase::Idle | Phase::Completed(_) | Phase::Skipped | Phase::Omitted | Phase::Cancelled => {
            None
        }
    };
    let mut steps: Vec<(u8, StepIndex)> =
        view.plan().indexes().filter_map(|index| Some((rank(index)?, index))).collect();
    steps.sort_unstable();
    let left_out = steps.len().saturating_sub(MAX_EXPLAINED_STEPS) as u32;
    (steps.into_iter().take(MAX_EXPLAINED_STEPS).map(|(_, index)| index).collect(), left_out)
}
