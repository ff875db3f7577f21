//! A span of a run, as plain data.

use tutti_core::ids::{AgentId, Capability, WorkflowId};
use tutti_core::ports::agent::Usage;
use tutti_core::run::{Failure, RunStatus};
use tutti_core::time::Timestamp;

/// A span that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// What it is called in lists of spans.
    pub name: String,
    /// The trace that it belongs to.
    pub trace: [u8; 16],
    /// Its id, which follows from what it stands for.
    pub id: [u8; 8],
    /// The span that it is part of.
    pub parent: Option<[u8; 8]>,
    /// True if the parent is the caller's.
    pub is_remote: bool,
    /// False if the caller does not keep the trace.
    pub sampled: bool,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// What it stands for.
    pub about: About,
    /// More about it, by the names of [`names::key`](super::names::key).
    pub attributes: Vec<(&'static str, Value)>,
    /// What happened on the way.
    pub moments: Vec<(&'static str, Timestamp)>,
}

/// What a span stands for, with what metrics tell apart.
#[derive(Debug, Clone, PartialEq)]
pub enum About {
    /// A run, or one generation of it.
    Run {
        /// The workflow.
        workflow: WorkflowId,
        /// The state in which it ended.
        state: RunStatus,
        /// Of a completed run, 1 − time from the first attempt to the end of the last step ÷ sum of the steps' durations, as
        /// in its report.
        efficiency: Option<f64>,
    },
    /// The choice of an executor.
    Plan,
    /// A step, with all its attempts.
    Step {
        /// What it needs, if the workflow could be read.
        capability: Option<Capability>,
    },
    /// A call of an agent.
    Attempt {
        /// Whom it asked.
        agent: AgentId,
        /// What it took, if its agent told.
        spent: Option<Box<Spent>>,
    },
    /// A phase of a run that is orchestrated.
    Phase,
    /// Making events durable.
    Commit,
}

/// What an attempt took, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// The workflow.
    pub workflow: WorkflowId,
    /// What its step needs, if the workflow could be read.
    pub capability: Option<Capability>,
    /// What its agent reported.
    pub usage: Usage,
}

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Completed,
    /// It failed.
    Failed(Failure),
    /// The run ended first, or somebody ended it.
    Cancelled,
}

impl Outcome {
    /// The word used in attributes and labels.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Number(i64),
    Share(f64),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}
