//! What happens after a failure: steps held for a person, work undone, runs rewound and forked.

use serde::{Deserialize, Serialize};

use super::super::input::{Order, Verdict};
use super::{Failure, KeptAnswer};
use crate::ids::{RunId, StepPath};
use crate::time::Timestamp;
use crate::value::Payload;

/// See [`Event::UndoStarted`](super::Event::UndoStarted).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoStarted {
    /// Who wanted it, and why; none if the run's policy did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// The step whose failure led to it (none if the run's time was up), and why it failed; none if somebody wanted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<(Option<StepPath>, Failure)>,
    /// What was completed after the event with this number is undone.
    pub to: u64,
    /// The name of the checkpoint that stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// False: nothing is called; the run is rewound only.
    pub compensate: bool,
    /// True: the data is then again what it was there. False: it stays, to be read.
    pub rewind: bool,
    /// What follows.
    pub then: Afterwards,
}

/// What follows when everything is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Afterwards {
    /// The run goes on from there.
    GoOn,
    /// The run is held there, as it was before.
    Pause,
    /// The run fails.
    Fail,
}

/// See [`Event::RunRewound`](super::Event::RunRewound).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRewound {
    /// The run's steps stand as after the event with this number.
    pub to: u64,
    /// The new generation; results of an older one are never applied.
    pub generation: u32,
}

/// How a failed run was undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undone {
    /// Everything that could be was undone; the data stands as it was at the failure.
    Compensated,
    /// What came after the last checkpoint was undone, and the data is what it was there.
    RolledBack,
}

/// See [`Event::RunStuck`](super::Event::RunStuck).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStuck {
    /// The step that could not be undone, as the path of what undoes it.
    pub step: StepPath,
    /// Why.
    pub error: Failure,
}

/// See [`Event::RunForked`](super::Event::RunForked).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunForked {
    /// The run that it is a fork of.
    pub from: RunId,
    /// The number of the event after which it leaves that run's history.
    pub seq: u64,
    /// The steps that were complete there, in the order in which they were completed.
    pub completed: Vec<ForkedStep>,
    /// Paths in the data that were changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
}

/// A step that a fork finds complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkedStep {
    /// The step.
    pub step: StepPath,
    /// Its output, with the changes that the fork makes in it.
    pub output: Payload,
}

/// See [`Event::StepHeld`](super::Event::StepHeld).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepHeld {
    /// The step.
    pub step: StepPath,
    /// Its last attempt.
    pub attempt: u32,
    /// What happened to it.
    pub error: Failure,
    /// True if the agent may have done what it was asked, and must not be asked twice.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outcome_unknown: bool,
    /// Its answer, if a person decides whether it is good enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Box<KeptAnswer>>,
}

/// See [`Event::StepDecided`](super::Event::StepDecided).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepDecided {
    /// Who, and why.
    #[serde(flatten)]
    pub order: Order,
    /// The step.
    pub step: StepPath,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// See [`Event::StepRecovered`](super::Event::StepRecovered).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecovered {
    /// The step.
    pub step: StepPath,
    /// How often it was begun anew, this time included.
    pub recovery: u32,
    /// When it may start.
    pub at: Timestamp,
}

/// See [`Event::ResultDiscarded`](super::Event::ResultDiscarded).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultDiscarded {
    /// The step.
    pub step: StepPath,
    /// The generation of the attempt.
    pub generation: u32,
    /// The attempt.
    pub attempt: u32,
}

/// See [`Event::WaitOverdue`](super::Event::WaitOverdue).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitOverdue {
    /// The step.
    pub step: StepPath,
    /// The attempt.
    pub attempt: u32,
    /// How often it was overdue, this time included.
    pub times: u32,
    /// When it will be overdue again.
    pub due: Timestamp,
}
