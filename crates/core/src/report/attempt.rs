//! Attempts and named points on the timeline of a run.

use std::time::Duration;

use serde::Serialize;

use crate::ids::AgentId;
use crate::ports::agent::{AgentReport, Need, Usage};
use crate::run::{AgentChoice, ArtifactRecorded, Failure};
use crate::time::Timestamp;
use crate::value::Payload;

/// One attempt of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptView {
    /// Its number, from 1.
    pub number: u32,
    /// Whom it asked; none if there was nobody to ask.
    pub agent: Option<AgentId>,
    /// Why this one, if several have the capability.
    pub choice: Option<AgentChoice>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it stands.
    pub outcome: Outcome,
    /// Why it failed.
    pub error: Option<Failure>,
    /// The agent's id of the task (untrusted text).
    pub task: Option<String>,
    /// For what it waits or waited, and what the agent asks (untrusted text).
    pub suspended: Option<(Need, String)>,
    /// Since when, and what a person is shown to decide by.
    pub asked: Option<(Timestamp, Option<Payload>)>,
    /// What its agent told beside the result.
    pub report: Option<Box<AgentReport>>,
}

/// How an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Under way.
    Running,
    /// Its task waits for somebody.
    Suspended,
    /// It gave the step's output.
    Completed,
    /// It failed.
    Failed,
    /// The run ended first, or was held or undone.
    Cancelled,
    /// Nobody knows: the agent may have done it.
    Unknown,
}

/// A named point of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its name.
    pub name: String,
    /// The sequence number of its event.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
}

/// What a step's state does not tell.
#[derive(Debug, Clone, Default)]
pub(super) struct Track {
    pub(super) attempts: Vec<AttemptView>,
    pub(super) ready_at: Option<Timestamp>,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) artifacts: Vec<ArtifactRecorded>,
    pub(super) missing_inputs: Vec<String>,
}

impl AttemptView {
    /// How long it took, if it has ended.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.ended_at.map(|end| end.since(self.started_at))
    }

    /// What its agent told that it took; none if it told nothing of that.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.report.as_ref().map(|report| report.usage).filter(|usage| !usage.is_empty())
    }

    pub(super) const fn new(number: u32, agent: Option<AgentId>, started_at: Timestamp) -> Self {
        Self {
            number,
            agent,
            choice: None,
            started_at,
            ended_at: None,
            outcome: Outcome::Running,
            error: None,
            task: None,
            suspended: None,
            asked: None,
            report: None,
        }
    }

    pub(super) const fn close(&mut self, outcome: Outcome, at: Timestamp) {
        self.outcome = outcome;
        self.ended_at = Some(at);
    }
}

impl Track {
    /// An attempt by number. One that never started, because there was nobody to ask, is made up.
    pub(super) fn attempt(&mut self, number: u32, at: Timestamp) -> &mut AttemptView {
        let known = self.attempts.iter().rposition(|attempt| attempt.number == number);
        let at = known.unwrap_or_else(|| {
            self.attempts.push(AttemptView::new(number, None, at));
            self.attempts.len() - 1
        });
        &mut self.attempts[at]
    }
}

impl Outcome {
    /// The word used in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }
}
