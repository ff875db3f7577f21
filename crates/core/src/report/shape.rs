//! The shapes that stand beside the words of states, so that colour is never needed to tell them apart.

use crate::run::{RunStatus, StepStatus};

/// The shape of a step's state.
#[must_use]
pub const fn step_shape(status: StepStatus) -> char {
    match status {
        StepStatus::Pending => '○',
        StepStatus::Running => '◐',
        StepStatus::Retrying => '↻',
        StepStatus::Waiting => '◇',
        StepStatus::Completed => '●',
        StepStatus::Failed => '✖',
        StepStatus::Skipped | StepStatus::Cancelled => '–',
        StepStatus::OutcomeUnknown => '?',
    }
}

/// The shape of a run's state.
#[must_use]
pub const fn run_shape(status: RunStatus) -> char {
    match status {
        RunStatus::Pending => '○',
        RunStatus::Running => '◐',
        RunStatus::Paused | RunStatus::Waiting => '◇',
        RunStatus::Completed => '●',
        RunStatus::Failed => '✖',
        RunStatus::Cancelled | RunStatus::Terminated => '–',
        RunStatus::Stuck | RunStatus::Quarantined => '!',
    }
}
