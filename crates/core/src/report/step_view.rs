//! A step of a run as people look at it.

use std::time::Duration;

use super::attempt::{AttemptView, Outcome};
use crate::ids::{AgentId, StepId};
use crate::plan::StepIndex;
use crate::ports::agent::Need;
use crate::run::{ArtifactRecorded, Failure, Judged, StepStatus};
use crate::time::Timestamp;
use crate::value::Payload;
use crate::workflow::Step;

/// A step of a run as it stands.
#[derive(Debug, Clone, Copy)]
pub struct StepView<'v> {
    /// Its place in the workflow.
    pub index: StepIndex,
    /// Its definition.
    pub step: &'v Step,
    /// Its state.
    pub status: StepStatus,
    /// Every attempt, first one first.
    pub attempts: &'v [AttemptView],
    /// When its dependencies were done; none if they are not.
    pub ready_at: Option<Timestamp>,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended; none for a step that never started and did not fail.
    pub ended_at: Option<Timestamp>,
    /// Its output, once complete.
    pub output: Option<&'v Payload>,
    /// Why its last attempt failed: the step's failure, or the reason for which it is tried again.
    pub error: Option<&'v Failure>,
    /// When it may be tried again, while it waits for that.
    pub retry_at: Option<Timestamp>,
    /// What came with its result.
    pub artifacts: &'v [ArtifactRecorded],
    /// Input fields that were left out because their path had no value.
    pub missing_inputs: &'v [String],
    /// How its last answer was judged, if it was.
    pub judged: Option<&'v Judged>,
}

impl<'v> StepView<'v> {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> &'v StepId {
        &self.step.id
    }

    /// Its stage label, if it has one.
    #[must_use]
    pub fn stage(&self) -> Option<&'v str> {
        self.step.stage.as_deref()
    }

    /// Whom its last attempt asked.
    #[must_use]
    pub fn agent(&self) -> Option<&'v AgentId> {
        self.attempts.last().and_then(|attempt| attempt.agent.as_ref())
    }

    /// From its first attempt to its end, waits between attempts included.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.started_at.zip(self.ended_at).map(|(start, end)| end.since(start))
    }

    /// From the end of its last dependency to its first attempt.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.ready_at.zip(self.started_at).map(|(ready, start)| start.since(ready))
    }

    /// What its agent asks, while it waits for somebody (untrusted text).
    #[must_use]
    pub fn question(&self) -> Option<(Need, &'v str)> {
        let waiting = self.attempts.last().filter(|attempt| attempt.outcome == Outcome::Suspended)?;
        let asked = waiting.suspended.as_ref().filter(|(need, _)| *need != Need::Steps);
        asked.map(|(need, message)| (*need, message.as_str()))
    }
}
