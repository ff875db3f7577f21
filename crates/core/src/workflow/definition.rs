//! The workflow as data: one set of types for files, callers and the store.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aggregate::Aggregate;
use super::budget::{Budget, Reserve};
use super::grow::{Ask, Map, Repeat, SubWorkflow};
use super::mapping::{InputMapping, OutputField, OutputMapping, present};
use super::quality::Quality;
use super::recovery::{Compensation, OnError, RetryPolicy, default_timeout};
use super::resources::Resources;
use super::wait::{Approval, AwaitedSignal, StepKind};
use crate::expression::Expression;
use crate::ids::{AgentId, Capability, StepId, WorkflowId};
use crate::limits;
use crate::orchestration;
use crate::time::Span;
use crate::value::{DataPath, Digest, Json};

/// A graph of steps, each a call to an agent found by capability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    /// Names the workflow among all others.
    pub id: WorkflowId,
    /// A title for people. Default: the id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The author's version of this definition, such as `1.2`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// How steps are run. Default: `auto`.
    #[serde(default)]
    pub executor: Executor,
    /// Most steps in flight at once under `parallel` and `dynamic`, 1 to 10,000. Default: 4.
    #[serde(default = "default_width")]
    #[schemars(range(min = 1, max = limits::MAX_WIDTH))]
    pub max_concurrent_tasks: u32,
    /// Under executor `auto`: the number of mutually independent steps from which steps run in parallel. Default: 3.
    #[serde(default = "default_threshold")]
    #[schemars(range(min = 1))]
    pub parallel_threshold: u32,
    /// What a failed step means for the rest. Default: `fail` for `basic`, `continue` for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
    /// Under `on_error: retry`: how often a step that failed for good is begun anew, 1 to 100. Default: 3.
    #[serde(default = "default_recoveries", skip_serializing_if = "is_default_recoveries")]
    #[schemars(range(min = 1, max = limits::MAX_ATTEMPTS))]
    pub recoveries: u32,
    /// How long the run may take from its start (if it had to wait for room, from then on) or its last resumption. Default:
    /// 1h.
    #[serde(default = "default_run_timeout")]
    pub timeout: Span,
    /// Which runs go first when a server has more than it can drive: `high`, `normal` or `low`. Default: `normal`.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
    /// What a run takes as input: each becomes a member of the run's data under its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, InputSpec>,
    /// The run's data at the start: an object. Inputs are laid over it.
    #[serde(default = "Json::empty_object")]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub data: Json,
    /// What the run leaves to later runs of its session when it completes: paths in its data. They find it under
    /// `session`, as `session.PATH`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub share: Vec<DataPath>,
    /// What a run may spend. Default: as much as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Box<Budget>>,
    /// Dependencies by type, for steps that name none by `depends_on`: a step of a type depends on every step of the types
    /// listed here for it. A step's type is its `type`, or else its capability.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependency_rules: BTreeMap<String, Vec<String>>,
    /// What the answers of all steps must be like. Default: what the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Box<Quality>>,
    /// How a run is orchestrated: which of the seven phases are on. Default: what the submission says, the domain, or the
    /// configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<orchestration::Preset>,
    /// Phases that are on or off whatever the preset: `analysis`, `planning`, `streaming`, `quality`, `sessions`,
    /// `error_handling`, `artifacts`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub phases: BTreeMap<orchestration::Phase, bool>,
    /// The domain of the configuration that runs belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The steps, in the order in which they are shown and in which equals are started.
    #[schemars(length(min = 1, max = limits::MAX_STEPS))]
    pub steps: Vec<Step>,
}

/// One call to an agent, one wait, or steps of its own: a step has one of `capability`, `approval`, `signal`, `sleep`,
/// `wait_until`, `steps` and `workflow`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Names the step in its workflow.
    pub id: StepId,
    /// What the agent must be able to do: an A2A skill id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<Capability>,
    /// A person approves or rejects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// A signal is waited for; its payload is the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<AwaitedSignal>,
    /// The step waits for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep: Option<Span>,
    /// The step waits for a moment: the name of the field of its input that holds it, as RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_until: Option<String>,
    /// Steps of a graph of their own, which read the run's data as this step does. What they write is the output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Another workflow, by its name in the registry or whole. It sees the step's input alone, laid over its own data; the
    /// data at its end is the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<SubWorkflow>,
    /// When the step is done at all: a CEL expression over the run's data. Where it does not hold the step is skipped, and what
    /// depends on it goes on without its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Expression>,
    /// The step is done for every item of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<Map>,
    /// The step is done until it is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// The step is asked of several agents at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<Ask>,
    /// How the results of the steps that it holds become one, and how many of them it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<Box<Aggregate>>,
    /// `true`: the output's member `steps` holds steps that are added to the run. Needs `executor: dynamic`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grows: bool,
    /// What kind of step it is, for `dependency_rules`. Default: the capability.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub task_type: Option<String>,
    /// What the agent is to do, if the skill can do several things; travels in the A2A metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Pins the step to one agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// A label to group steps for people; it has no effect on the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The step's input: field ← path in the run's data, or a fixed value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub input: BTreeMap<String, InputMapping>,
    /// Where the step's output goes: field of the output (`*`: the whole) → path in the run's data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub output: BTreeMap<OutputField, OutputMapping>,
    /// Steps that must be complete before this one starts. Default: what `dependency_rules` says for the step's type;
    /// an empty list: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<Vec<StepId>>,
    /// How long one attempt may take. Default: 30s.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// How long all attempts of the step may take together, with the waits between them. Default: as long as the run may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_timeout: Option<Span>,
    /// How long the stream of the step's task may be silent before the agent is asked about it; a task that was found again
    /// after a restart fails then. Default: what the configuration says, 1m if nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Span>,
    /// How often and when a failed attempt is repeated. The bare word `unsafe` stands for `{unsafe: true}`.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// What it means for the run if the step fails for good. Default: what the run's `on_error` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
    /// How the step is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensate: Option<Compensation>,
    /// Which of several ready steps starts first. Default: `normal`.
    #[serde(default)]
    pub priority: Priority,
    /// `false`: the step runs alone within its run. Default: `true`.
    #[serde(default = "yes")]
    pub parallel_safe: bool,
    /// How long the step is expected to take, for plans and progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_duration: Option<Span>,
    /// What the step is expected to use, for plans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// What one attempt is reckoned with in a budget before it is known. Default: what attempts with the same capability used at
    /// most in the run so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve: Option<Reserve>,
    /// What the step's answers must be like. Default: what the workflow says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Box<Quality>>,
    /// `true`: a checkpoint is recorded before the step starts.
    #[serde(default)]
    pub critical: bool,
    /// A checkpoint with this name is recorded when the step is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

impl Step {
    /// What kind of step it is: its `type`, or else its capability.
    #[must_use]
    pub fn task_type(&self) -> &str {
        self.task_type.as_deref().unwrap_or_else(|| self.does())
    }

    /// True if it says something that readers before format 6 do not know.
    #[must_use]
    fn orchestrates(&self) -> bool {
        let says = self.quality.is_some() || self.resources.is_some() || self.when.is_some();
        says || self.grows || self.container().is_some()
    }

    /// True if it waits for somebody or a moment.
    pub(super) const fn waits(&self) -> bool {
        self.approval.is_some() || self.signal.is_some() || self.sleep.is_some() || self.wait_until.is_some()
    }

    /// What the step does.
    #[must_use]
    pub fn kind(&self) -> StepKind<'_> {
        if self.container().is_some() {
            return StepKind::Holds;
        }
        // Validation sees to it that a step has one of them.
        match (&self.capability, &self.approval, &self.signal, self.sleep, &self.wait_until) {
            (Some(capability), ..) => StepKind::Call(capability),
            (_, Some(approval), ..) => StepKind::Approval(approval),
            (_, _, Some(signal), ..) => StepKind::Signal(signal),
            (_, _, _, Some(span), _) => StepKind::Sleep(span),
            (_, _, _, _, Some(field)) => StepKind::WaitUntil(field),
            _ => StepKind::Holds,
        }
    }

    /// The word for what the step does: its capability, or the kind of wait.
    #[must_use]
    pub fn does(&self) -> &str {
        match &self.capability {
            Some(capability) => capability.as_str(),
            None if self.approval.is_some() => "approval",
            None if self.signal.is_some() => "signal",
            None if self.sleep.is_some() => "sleep",
            None if self.wait_until.is_some() => "wait_until",
            None if self.workflow.is_some() => "workflow",
            None => "steps",
        }
    }
}

/// How steps are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Executor {
    /// `basic` or `parallel`, chosen when the run starts from the graph and the load; the reason is recorded.
    #[default]
    Auto,
    /// One step at a time in dependency order; the first failure ends the run.
    Basic,
    /// Independent steps at once; what does not depend on a failed step goes on.
    Parallel,
    /// As `parallel`, for graphs that may grow while they run.
    Dynamic,
}

/// Which of several ready steps starts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// After the others.
    Low,
    /// In between.
    #[default]
    Normal,
    /// Before the others.
    High,
}

impl Priority {
    /// The word used in files and metadata.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    /// True for what is neither before nor after others.
    #[must_use]
    pub const fn is_normal(&self) -> bool {
        matches!(self, Self::Normal)
    }
}

/// A value that a run takes as input.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// What it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// `true`: a run without it is refused.
    #[serde(default)]
    pub required: bool,
    /// `true`: the value given is the name of a file, whose text becomes the value. A default is a path relative to the
    /// workflow file.
    #[serde(default)]
    pub file: bool,
    /// The value if none is given.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub default: Option<Json>,
}

impl Workflow {
    /// The form that is stored and hashed.
    ///
    /// # Panics
    /// Never: every part serializes.
    #[must_use]
    pub fn to_canonical(&self) -> (Digest, Vec<u8>) {
        let bytes = serde_json::to_vec(self).expect("a workflow serializes into memory");
        (Digest::of(&bytes), bytes)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|e| e.to_string())
    }

    /// True if it says something of failures or waits that readers before format 5 do not know.
    #[must_use]
    pub fn recovers(&self) -> bool {
        let known = |on_error: Option<OnError>| matches!(on_error, None | Some(OnError::Fail | OnError::Continue));
        let known_step = |step: &Step| {
            step.capability.is_some()
                && step.on_error.is_none()
                && step.compensate.is_none()
                && step.checkpoint.is_none()
                && step.total_timeout.is_none()
                && step.idle_timeout.is_none()
                && !step.retry.is_unsafe
        };
        !known(self.on_error) || !is_default_recoveries(&self.recoveries) || !self.steps.iter().all(known_step)
    }

    /// True if it says something that readers before format 6 do not know.
    #[must_use]
    pub fn orchestrates(&self) -> bool {
        self.budget.is_some()
            || self.quality.is_some()
            || !self.wishes().is_empty()
            || self.steps.iter().any(Step::orchestrates)
    }

    /// The title, or the id if there is none.
    #[must_use]
    pub fn title(&self) -> &str {
        if self.name.is_empty() { self.id.as_str() } else { &self.name }
    }
}

const fn yes() -> bool {
    true
}
const fn default_width() -> u32 {
    limits::DEFAULT_WIDTH
}
const fn default_threshold() -> u32 {
    limits::DEFAULT_PARALLEL_THRESHOLD
}
const fn default_recoveries() -> u32 {
    limits::DEFAULT_RECOVERIES
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
const fn is_default_recoveries(recoveries: &u32) -> bool {
    *recoveries == limits::DEFAULT_RECOVERIES
}
const fn default_run_timeout() -> Span {
    Span(limits::DEFAULT_RUN_TIMEOUT)
}
