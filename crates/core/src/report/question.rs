//! What a run asks people and what lies outside, and who may answer.

use serde_json::Value as Schema;

use super::view::RunView;
use crate::ids::StepPath;
use crate::plan::StepIndex;
use crate::ports::agent::Need;
use crate::run::RunState;
use crate::time::Timestamp;
use crate::value::{Json, Payload};
use crate::workflow::{Approval, StepKind, form_problems};

/// What a step asks, until it is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The step.
    pub step: StepPath,
    /// What it waits for.
    pub need: Need,
    /// The question (that of an agent is untrusted text).
    pub message: String,
    /// What is shown to decide by: the step's input.
    pub shown: Option<Payload>,
    /// A JSON Schema that the data given with an approval must fulfil.
    pub form: Option<Schema>,
    /// Since when it asks.
    pub since: Timestamp,
    /// When it is overdue.
    pub due: Option<Timestamp>,
    /// How often it was overdue already.
    pub overdue: u32,
    /// Who may decide; empty: whoever may command the run.
    pub by: Vec<String>,
    /// True if whoever started the run may not.
    pub four_eyes: bool,
}

impl RunView {
    /// What the run asks, in the order of its steps.
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        let asks = self.state().into_iter().flat_map(RunState::asks);
        asks.filter_map(|index| self.question(index)).collect()
    }

    /// What of the data given with an approval the step's form does not allow, each with its place; nothing if the step has
    /// no form, or if none or several steps ask and none is named.
    #[must_use]
    pub fn form_problems(&self, step: &str, data: Option<&Json>) -> Vec<(String, String)> {
        let Some(state) = self.state() else { return Vec::new() };
        let form = |index: StepIndex| self.approval(index).map(|approval| approval.form.as_ref());
        let mut asked = state.asks().filter_map(|index| {
            (step.is_empty() || state.plan().path(index).as_str() == step).then(|| form(index)).flatten()
        });
        let (Some(Some(form)), None) = (asked.next(), asked.next()) else { return Vec::new() };
        let data = data.and_then(|data| serde_json::from_str(data.as_str()).ok()).unwrap_or_default();
        form_problems(form, &data)
    }

    fn approval(&self, index: StepIndex) -> Option<&Approval> {
        match self.plan().step(index).kind() {
            StepKind::Approval(approval) => Some(approval),
            _ => None,
        }
    }

    fn question(&self, index: StepIndex) -> Option<Question> {
        let step = self.step(index);
        let (need, message) = step.question()?;
        let open = self.state()?.open_attempt(index)?;
        let (since, shown) = step.attempts.last()?.asked.clone()?;
        let approval = self.approval(index);
        let mut by = approval.map(|approval| approval.by.clone()).unwrap_or_default();
        if let Some(approval) = approval.filter(|_| open.overdue > 0 && !by.is_empty()) {
            by.extend(approval.escalate_to.iter().cloned());
        }
        Some(Question {
            step: self.plan().path(index),
            need,
            message: message.to_owned(),
            shown,
            form: approval.and_then(|approval| approval.form.clone()),
            since,
            due: open.due,
            overdue: open.overdue,
            by,
            four_eyes: approval.is_some_and(|approval| approval.four_eyes),
        })
    }
}
