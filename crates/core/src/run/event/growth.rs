//! Events of plans that grow and change while they run.

use serde::{Deserialize, Serialize};

use crate::ids::StepPath;
use crate::plan::PlanPatch;
use crate::run::input::Order;
use crate::time::Timestamp;

/// A step that holds others begins them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepExpanded {
    /// The step.
    pub step: StepPath,
    /// Its attempt.
    pub attempt: u32,
    /// The number of the first time that it is done now.
    pub first: u32,
    /// How many times.
    pub count: u32,
    /// Until when it is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
}

/// The condition of a step holds: it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepChecked {
    /// The step.
    pub step: StepPath,
    /// The attempt that found out.
    pub attempt: u32,
}

/// The condition of a step does not hold: it is not done, and what depends on it goes on without its output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOmitted {
    /// The step.
    pub step: StepPath,
    /// The attempt that found out.
    pub attempt: u32,
    /// Why, for people.
    pub reason: String,
}

/// What a step holds is not waited for any longer: it goes on with what is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitClosed {
    /// The step.
    pub step: StepPath,
    /// Its attempt.
    pub attempt: u32,
}

/// The plan is another one from now on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanRevised {
    /// The new revision.
    pub revision: u32,
    /// What is changed.
    pub patch: PlanPatch,
    /// The step whose output holds the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepPath>,
    /// Who wanted it, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
}
