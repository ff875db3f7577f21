//! From a request in plain words to a workflow: what a planner agent is asked and may answer, and the plan that is made
//! without one.

mod answer;
mod fallback;
mod replan;
mod templates;

use serde::Serialize;
use serde_json::{Value, json};
use tutti_core::ids::Capability;

pub use answer::{Rejected, read_answer};
pub use fallback::fallback;
pub use replan::{FailedRun, FailedStep, rest};
pub use templates::{Template, Templates};

use crate::assessment::PlanMode;

/// Longest request in plain words, in bytes: a page of text is enough, and each agent's message holds it.
pub const MAX_QUERY_BYTES: usize = 64 * 1024;

/// What a planner agent is asked. Its members are the format of the request; see the page on planning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanRequest {
    /// What is wanted, in plain words.
    pub query: String,
    /// How much the plan should tell.
    pub mode: PlanMode,
    /// What there are agents for.
    pub capabilities: Vec<Offer>,
    /// Names of plan templates that may be used as a pattern.
    pub templates: Vec<String>,
    /// Which forms of answers are understood.
    pub answers: Value,
    /// The run that failed, if a new plan is wanted for what it did not do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailedRun>,
    /// What was wrong with the answer before, which comes with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// That answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_answer: Option<Value>,
}

/// Something that there are agents for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// The capability.
    pub capability: Capability,
    /// How many agents have it.
    pub agents: u32,
}

impl PlanRequest {
    /// The first request.
    #[must_use]
    pub fn new(query: &str, mode: PlanMode, capabilities: Vec<Offer>, templates: &Templates) -> Self {
        Self {
            query: query.to_owned(),
            mode,
            capabilities,
            templates: templates.names().map(str::to_owned).collect(),
            answers: json!({
                "workflow": "a workflow, as an object or as the text of its file",
                "tasks": "a list of tasks in plain words, instead",
                "refused": "why there is no plan, instead",
            }),
            failure: None,
            problems: Vec::new(),
            previous_answer: None,
        }
    }

    /// The same, with what was wrong with an answer.
    #[must_use]
    pub fn again(&self, answer: &str, problems: Vec<String>) -> Self {
        let previous_answer = serde_json::from_str(answer).ok();
        Self { problems, previous_answer, ..self.clone() }
    }
}
