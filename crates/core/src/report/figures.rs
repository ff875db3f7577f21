//! What a run came to, as far as runs are compared with one another.

use serde::Serialize;

use super::moment::rfc3339;
use super::view::{RunView, StepView};
use crate::ids::{AgentId, RunId, StepPath, WorkflowId};
use crate::ports::agent::Usage;
use crate::run::{RunStatus, StepStatus};
use crate::value::{Json, Payload};
use crate::workflow::Executor;

/// What a run came to. Spans are in seconds; what nobody told is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunFigures {
    /// The run.
    pub run_id: RunId,
    /// Its workflow.
    pub workflow: WorkflowId,
    /// The author's version of the workflow.
    pub version: String,
    /// The executor it got.
    pub executor: Executor,
    /// Its state.
    pub state: RunStatus,
    /// When it was created.
    pub created_at: Option<String>,
    /// From its creation to its end.
    pub duration: Option<f64>,
    /// Attempts of all steps; those of the engine itself are none.
    pub attempts: u32,
    /// What its agents told that they took, together.
    pub usage: Option<UsageFigures>,
    /// The mean of the scores of its steps.
    pub quality: Option<f64>,
    /// Its steps, those that were added on the way too, in their order.
    #[serde(skip)]
    pub steps: Vec<StepFigures>,
    /// Its data at the start, if it was fetched.
    #[serde(skip)]
    pub start: Option<Json>,
}

/// What agents took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct UsageFigures {
    /// Money, in units of the currency.
    pub cost: f64,
    /// Tokens, read and written.
    pub tokens: u64,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepFigures {
    /// The step.
    #[serde(skip)]
    pub path: StepPath,
    /// What its agent must be able to do.
    #[serde(skip)]
    pub capability: String,
    /// Its state.
    pub state: StepStatus,
    /// Whom its last attempt asked.
    pub agent: Option<AgentId>,
    /// Number of attempts.
    pub attempts: u32,
    /// From the run's creation to its first attempt.
    pub offset_seconds: Option<f64>,
    /// From its first attempt to its end.
    pub duration: Option<f64>,
    /// Time of its attempts at each agent.
    #[serde(skip)]
    pub at_agents: Vec<(AgentId, f64)>,
    /// Number of steps before it.
    #[serde(skip)]
    pub dependencies: usize,
    /// What its agents told that they took.
    pub usage: Option<UsageFigures>,
    /// The mean of the scores that its agent told of its result.
    pub quality: Option<f64>,
    /// Its output, if it is complete; a large one once it was fetched.
    #[serde(skip)]
    pub output: Option<Output>,
    /// Why it failed (untrusted text).
    pub error: Option<String>,
}

/// The output of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// The value.
    Known(Json),
    /// One that is kept apart and was not fetched.
    Apart(Payload),
}

impl RunFigures {
    /// Of a run as it stands; `None` before its creation was taken in.
    #[must_use]
    pub fn new(view: &RunView) -> Option<Self> {
        let (created, created_at) = (view.created()?, view.created_at()?);
        let steps: Vec<StepFigures> = view
            .plan()
            .indexes()
            .filter(|index| view.plan().undone_by(*index).is_none())
            .map(|index| StepFigures::new(view, &view.step(index)))
            .collect();
        let start = match &created.data {
            Payload::Inline(value) => Some(value.clone()),
            Payload::Stored(_) => None,
        };
        Some(Self {
            run_id: created.run,
            workflow: created.workflow.clone(),
            version: created.version.clone(),
            executor: created.strategy.executor,
            state: view.status(),
            created_at: Some(rfc3339(created_at)),
            duration: view.ended_at().map(|at| at.since(created_at).as_secs_f64()),
            attempts: steps.iter().filter(|step| !step.is_engines()).map(|step| step.attempts).sum(),
            usage: steps.iter().filter_map(|step| step.usage).reduce(UsageFigures::plus),
            quality: mean(steps.iter().filter_map(|step| step.quality)),
            steps,
            start,
        })
    }
}

impl StepFigures {
    fn new(view: &RunView, step: &StepView<'_>) -> Self {
        let reports = || step.attempts.iter().filter_map(|attempt| attempt.report.as_deref());
        let usage = reports().map(|report| report.usage).filter(|usage| !usage.is_empty()).reduce(Usage::plus);
        let offset = |at: crate::time::Timestamp| view.created_at().map(|from| at.since(from).as_secs_f64());
        let at_agents = step
            .attempts
            .iter()
            .filter_map(|attempt| Some((attempt.agent.clone()?, attempt.duration()?.as_secs_f64())));
        Self {
            path: view.plan().path(step.index),
            capability: step.step.does().to_owned(),
            state: step.status,
            agent: step.agent().cloned(),
            attempts: step.attempts.len() as u32,
            offset_seconds: step.started_at.and_then(offset),
            duration: step.duration().map(|took| took.as_secs_f64()),
            at_agents: at_agents.collect(),
            dependencies: view.plan().dependencies(step.index).len(),
            usage: usage.map(UsageFigures::of),
            quality: reports().last().and_then(|report| mean(report.quality.values().copied())),
            output: step.output.map(|output| match output {
                Payload::Inline(value) => Output::Known(value.clone()),
                stored @ Payload::Stored(_) => Output::Apart(stored.clone()),
            }),
            error: step.error.map(ToString::to_string),
        }
    }

    /// True for what the engine did itself: it waited, or held other steps.
    #[must_use]
    pub fn is_engines(&self) -> bool {
        self.agent.as_ref().is_some_and(|agent| *agent == AgentId::engine())
    }

    /// True for a step that stands within another one.
    #[must_use]
    pub fn is_within(&self, holder: &Self) -> bool {
        let (inner, outer) = (self.path.to_string(), holder.path.to_string());
        inner.strip_prefix(&outer).is_some_and(|rest| rest.starts_with(['/', '[', '#', '@']))
    }
}

impl UsageFigures {
    fn of(usage: Usage) -> Self {
        Self { cost: usage.cost_micros as f64 / 1e6, tokens: usage.tokens() }
    }

    fn plus(self, other: Self) -> Self {
        Self { cost: self.cost + other.cost, tokens: self.tokens.saturating_add(other.tokens) }
    }
}

/// The mean; `None` of nothing.
pub(super) fn mean(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = numbers.fold((0.0, 0_u32), |(sum, count), number| (sum + number, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}
