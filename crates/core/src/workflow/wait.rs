//! Steps that ask no agent: they wait for a person, a signal or a moment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Span;

/// A person approves or rejects. What the person is shown is the step's input; the output is
/// `{approved, by, reason, data}`. A rejection fails the step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// What is asked.
    pub message: String,
    /// Who may decide, by the names under which callers are known. Default: whoever may command the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
    /// `true`: whoever started the run may not decide. Default: `false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub four_eyes: bool,
    /// A JSON Schema that the data given with an approval must fulfil: the words of draft 2020-12 for types, members, items,
    /// bounds, enumerations and the joining of schemas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<serde_json::Value>,
    /// How long the decision may take. Default: as long as the run may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Span>,
    /// What happens when it took longer. Default: `fail`.
    #[serde(default)]
    pub overdue: Overdue,
    /// Who may decide too once it took longer, under `overdue: escalate`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalate_to: Vec<String>,
}

/// What happens when nobody decided in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overdue {
    /// The step fails.
    #[default]
    Fail,
    /// It is recorded, for whoever tells people, and again after each such time.
    Remind,
    /// Those of `escalate_to` may decide too; after the same time again the step fails.
    Escalate,
    /// It counts as approved.
    Approve,
    /// It counts as rejected.
    Reject,
}

/// Somebody or something outside tells the run to go on. The signal's payload is the step's output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwaitedSignal {
    /// What is waited for, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How long it may take; then the step fails. Default: as long as the run may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Span>,
}

/// What a step does: asks an agent, or waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StepKind<'s> {
    /// Asks an agent that has the capability.
    Call(&'s crate::ids::Capability),
    /// Waits for a person's decision.
    Approval(&'s Approval),
    /// Waits for a signal.
    Signal(&'s AwaitedSignal),
    /// Waits for so long.
    Sleep(Span),
    /// Waits for the moment that an input field holds.
    WaitUntil(&'s str),
    /// Holds other steps, and waits for them.
    Holds,
}
