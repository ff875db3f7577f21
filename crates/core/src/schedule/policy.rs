//! How a run is driven, as data in its first event. The executors differ in nothing else.

use serde::{Deserialize, Serialize};

use crate::workflow::{Executor, OnError};

/// The policy of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How many steps may be in flight.
    pub width: Width,
    /// Whether the graph may change.
    pub growth: Growth,
    /// What a failed step means for the rest.
    pub on_error: OnError,
}

/// How many steps of a run may be in flight. Read by admission alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Width {
    /// One, which is finished, with its retries, before the next starts.
    One,
    /// At most so many.
    Bounded(u32),
}

/// Whether the graph of a run may change while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Growth {
    /// It stays as it was started.
    Fixed,
    /// Steps may be added up to this many in all.
    Amendable(u32),
}

/// Which executor a run got, and why; recorded with the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StrategyDecision {
    /// The executor; never `auto`.
    pub executor: Executor,
    /// Why this one.
    pub reason: StrategyReason,
    /// 1 − parallel time ÷ sequential time by the estimates, if the graph was weighed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub potential_improvement: Option<f64>,
    /// Share of the processors in use, 0 to 1, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_load: Option<f64>,
    /// Free places for steps, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_workers: Option<u32>,
}

/// Why an executor was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrategyReason {
    /// The workflow or the caller said so.
    Requested,
    /// One step: nothing to run beside it.
    SingleTask,
    /// Enough mutually independent steps, and enough to gain.
    IndependentTasks,
    /// Fewer mutually independent steps than the threshold.
    FewIndependentTasks,
    /// The system is too busy, or has too few free places.
    HighSystemLoad,
    /// The graph gains too little from running in parallel.
    InsufficientBenefit,
}
