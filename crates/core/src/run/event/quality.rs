//! What is recorded of the quality of answers.

use serde::{Deserialize, Serialize};

use crate::ids::StepPath;
use crate::plan::PlanPatch;
use crate::ports::agent::AgentReport;
use crate::quality::Assessment;
use crate::value::Payload;

/// See [`Event::QualityAssessed`](super::Event::QualityAssessed). What follows from it is recorded with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QualityAssessed {
    /// The step.
    pub step: StepPath,
    /// The attempt.
    pub attempt: u32,
    /// The domain by which it was judged.
    pub domain: String,
    /// What it came to.
    pub verdict: QualityVerdict,
    /// What is known of the answer.
    #[serde(flatten)]
    pub assessment: Assessment,
}

/// What an assessment came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QualityVerdict {
    /// The answer is good enough.
    Passed,
    /// It is not, and is taken all the same.
    Accepted,
    /// It is not, and is not taken.
    Below,
    /// Nothing is known of it: it is taken.
    Unscored,
}

impl QualityVerdict {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Accepted => "accepted",
            Self::Below => "below",
            Self::Unscored => "unscored",
        }
    }
}

/// An answer that a person decides about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// The output.
    pub output: Payload,
    /// Input fields that were left out because their path had no value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_inputs: Vec<String>,
    /// What its agent told beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Box<AgentReport>>,
    /// Steps that it adds to the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grows: Option<Box<PlanPatch>>,
}
