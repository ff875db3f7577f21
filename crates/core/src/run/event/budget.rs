//! What becomes of a run's budget.

use serde::{Deserialize, Serialize};

use super::super::input::Order;
use crate::budget::{Amounts, Kind};
use crate::ids::StepPath;

/// See [`Event::BudgetWarned`](super::Event::BudgetWarned).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetWarned {
    /// Of what so much is used.
    pub kind: Kind,
    /// What is used.
    pub used: u64,
    /// What may be used.
    pub limit: u64,
}

/// See [`Event::BudgetSpent`](super::Event::BudgetSpent).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetSpent {
    /// Of what there is too little.
    pub kind: Kind,
    /// What is used.
    pub used: u64,
    /// What is reserved for attempts that wait for somebody.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reserved: u64,
    /// What may be used.
    pub limit: u64,
    /// The first step that cannot start because of it; none if the run goes on regardless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepPath>,
    /// What an attempt of that step is reckoned with.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub needed: u64,
}

/// See [`Event::BudgetRaised`](super::Event::BudgetRaised).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetRaised {
    /// Who, and why.
    #[serde(flatten)]
    pub order: Order,
    /// What was added.
    pub add: Amounts,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
const fn is_zero(amount: &u64) -> bool {
    *amount == 0
}
