//! How far a run is and how long it may still take.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::execution::OutputReport;
use super::moment::{ratio, rfc3339};
use super::times::EarliestTimes;
use super::view::{RunView, StepView};
use crate::ids::StepId;
use crate::run::{RunStatus, StepStatus};
use crate::time::Timestamp;

/// A run at a moment, for people and programs that watch it. Field names are stable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Monitor {
    /// The run's state.
    pub status: RunStatus,
    /// Completed steps as a share of all, 0 to 100.
    pub progress_percentage: f64,
    /// Steps of the workflow.
    pub total_steps: u32,
    /// Steps that completed.
    pub completed_steps: u32,
    /// Steps that failed for good.
    pub failed_steps: u32,
    /// Steps that will not run.
    pub skipped_steps: u32,
    /// Seconds until the run ends, by the longest chain of what is left if the workflow estimates each of those steps,
    /// otherwise as the number of steps left times the average duration of those that completed; 0 after the end, null
    /// while nothing is known.
    pub estimated_completion_seconds: Option<f64>,
    /// The current step that began first.
    pub current_step: Option<StepId>,
    /// Steps under way, waiting for somebody or about to be tried again, in the order of the workflow.
    pub current_steps: Vec<StepId>,
    /// When the first attempt began.
    pub started_at: Option<String>,
    /// Since the run was created, until its end.
    pub elapsed_seconds: f64,
    /// Why it failed, was cancelled or set aside (untrusted text).
    pub error: Option<String>,
    /// How it does.
    pub performance_metrics: PerformanceMetrics,
}

/// How a run does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PerformanceMetrics {
    /// Attempts begun.
    pub attempts: u32,
    /// Attempts beyond the first of each step.
    pub retries: u32,
    /// Attempts under way.
    pub in_flight: u32,
    /// Most attempts under way at once.
    pub peak_in_flight: u32,
    /// Average duration of the completed steps.
    pub average_step_seconds: Option<f64>,
    /// Completed steps as a share of those that ended.
    pub success_rate: Option<f64>,
}

impl Monitor {
    /// The run at a moment. Linear in the size of the graph.
    #[must_use]
    pub fn new(view: &RunView, now: Timestamp) -> Self {
        let count = |status| view.steps().filter(|step| step.status == status).count() as u32;
        let completed = count(StepStatus::Completed);
        let ended = view.steps().filter(|step| step.status.is_ended()).count();
        let total = view.plan().len() as u32;
        let attempts: usize = view.all_steps().map(|step| step.attempts.len()).sum();
        let tried = view.all_steps().filter(|step| !step.attempts.is_empty()).count();
        let current: Vec<StepView<'_>> = view.steps().filter(is_current).collect();
        let first = current.iter().min_by_key(|step| step.started_at);
        let until = view.ended_at().unwrap_or(now);
        Self {
            status: view.status(),
            progress_percentage: f64::from(completed) * 100.0 / f64::from(total.max(1)),
            total_steps: total,
            completed_steps: completed,
            failed_steps: count(StepStatus::Failed),
            skipped_steps: count(StepStatus::Skipped) + count(StepStatus::Cancelled),
            estimated_completion_seconds: remaining(view, now).map(|span| span.as_secs_f64()),
            current_step: first.map(|step| step.id().clone()),
            current_steps: current.iter().map(|step| step.id().clone()).collect(),
            started_at: view.started_at().map(rfc3339),
            elapsed_seconds: view.created_at().map_or(0.0, |created| until.since(created).as_secs_f64()),
            error: view.error(),
            performance_metrics: PerformanceMetrics {
                attempts: attempts as u32,
                retries: (attempts - tried) as u32,
                in_flight: view.state().map_or(0, crate::run::RunState::in_flight),
                peak_in_flight: view.peak_in_flight(),
                average_step_seconds: average(view).map(|span| span.as_secs_f64()),
                success_rate: ratio(f64::from(completed), ended as f64),
            },
        }
    }
}

/// The outputs of the completed steps, by step.
#[must_use]
pub fn step_outputs(view: &RunView) -> BTreeMap<StepId, OutputReport> {
    view.steps().filter_map(|step| Some((step.id().clone(), OutputReport::from(step.output?)))).collect()
}

fn is_current(step: &StepView<'_>) -> bool {
    matches!(step.status, StepStatus::Running | StepStatus::Retrying | StepStatus::Waiting)
}

fn remaining(view: &RunView, now: Timestamp) -> Option<Duration> {
    if view.status().is_ended() {
        return Some(Duration::ZERO);
    }
    let left = || view.steps().filter(|step| !step.status.is_ended());
    if left().all(|step| step.step.estimated_duration.is_some()) {
        let durations: Vec<Duration> = view.steps().map(|step| step_remaining(&step, now)).collect();
        return Some(EarliestTimes::new(view.plan().topology(), &durations).total());
    }
    let left = u32::try_from(left().count()).unwrap_or(u32::MAX);
    average(view).map(|average| average.saturating_mul(left))
}

/// What is left of a step by its estimate: from the start of the attempt under way, or after the wait for the next one.
fn step_remaining(step: &StepView<'_>, now: Timestamp) -> Duration {
    let estimate = step.step.estimated_duration.map_or(Duration::ZERO, |span| span.0);
    match (step.status, step.attempts.last()) {
        (status, _) if status.is_ended() => Duration::ZERO,
        (StepStatus::Running | StepStatus::Waiting, Some(attempt)) => {
            estimate.saturating_sub(now.since(attempt.started_at))
        }
        _ => estimate.saturating_add(step.retry_at.map_or(Duration::ZERO, |at| at.since(now))),
    }
}

fn average(view: &RunView) -> Option<Duration> {
    let completed = view.steps().filter(|step| step.status == StepStatus::Completed);
    let (sum, count) = completed
        .filter_map(|step| step.duration())
        .fold((Duration::ZERO, 0_u32), |(sum, count), span| (sum.saturating_add(span), count + 1));
    sum.checked_div(count)
}
