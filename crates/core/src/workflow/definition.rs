//! The workflow as data: one set of types for files, callers and the store.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::ids::{AgentId, Capability, StepId, WorkflowId};
use crate::limits;
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
    /// Dependencies by type, for steps that name none by `depends_on`: a step of a type depends on every step of the types
    /// listed here for it. A step's type is its `type`, or else its capability.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependency_rules: BTreeMap<String, Vec<String>>,
    /// The steps, in the order in which they are shown and in which equals are started.
    #[schemars(length(min = 1, max = limits::MAX_STEPS))]
    pub steps: Vec<Step>,
}

/// One call to an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Names the step in its workflow.
    pub id: StepId,
    /// What the agent must be able to do: an A2A skill id.
    pub capability: Capability,
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
    /// How often and when a failed attempt is repeated.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// Which of several ready steps starts first. Default: `normal`.
    #[serde(default)]
    pub priority: Priority,
    /// `false`: the step runs alone within its run. Default: `true`.
    #[serde(default = "yes")]
    pub parallel_safe: bool,
    /// How long the step is expected to take, for plans and progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_duration: Option<Span>,
    /// `true`: a checkpoint is recorded before the step starts.
    #[serde(default)]
    pub critical: bool,
}

impl Step {
    /// What kind of step it is: its `type`, or else its capability.
    #[must_use]
    pub fn task_type(&self) -> &str {
        self.task_type.as_deref().unwrap_or_else(|| self.capability.as_str())
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

/// What a failed step means for the rest of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The run fails at once; attempts in flight are cancelled.
    Fail,
    /// Steps that do not depend on the failed one go on; the run ends as failed with partial results.
    Continue,
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

/// How often and when a failed attempt is repeated. Another suitable agent is asked at once; the wait is for when none is
/// left: `backoff × backoff_factor^(n−1)` after the n-th round, at most `max_backoff`, a share `jitter` of it drawn by
/// chance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryPolicy {
    /// Attempts in all, 1 to 100. Default: 3.
    #[serde(default = "default_attempts")]
    #[schemars(range(min = 1, max = limits::MAX_ATTEMPTS))]
    pub max_attempts: u32,
    /// Wait after the first round of attempts. Default: 1s.
    #[serde(default = "default_backoff")]
    pub backoff: Span,
    /// Growth of the wait from round to round, 1 to 100. Default: 2.
    #[serde(default = "default_factor")]
    #[schemars(range(min = 1, max = 100))]
    pub backoff_factor: f64,
    /// Longest wait. Default: 1m.
    #[serde(default = "default_max_backoff")]
    pub max_backoff: Span,
    /// Share of the wait that is drawn by chance, 0 to 1. Default: 0.2.
    #[serde(default = "default_jitter")]
    #[schemars(range(min = 0, max = 1))]
    pub jitter: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: default_attempts(),
            backoff: default_backoff(),
            backoff_factor: default_factor(),
            max_backoff: default_max_backoff(),
            jitter: default_jitter(),
        }
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

/// Where a field of a step's input comes from. In files a bare text is the path.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InputMapping {
    /// A path in the run's data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<DataPath>,
    /// A fixed value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Json>,
    /// `true`: the step fails if the path has no value. `false`: the field is left out without a word. Not given: it is
    /// left out, and noted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
}

impl<'de> Deserialize<'de> for InputMapping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            from: Option<DataPath>,
            #[serde(default, deserialize_with = "present")]
            value: Option<Json>,
            required: Option<bool>,
        }
        let whole = match text_or::<Whole, D>(deserializer)? {
            Ok(from) => Whole { from: Some(from), value: None, required: None },
            Err(whole) => whole,
        };
        if whole.from.is_some() == whole.value.is_some() {
            return Err(serde::de::Error::custom("needs either `from` (a path) or `value`"));
        }
        Ok(Self { from: whole.from, value: whole.value, required: whole.required })
    }
}

impl JsonSchema for InputMapping {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "InputMapping".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let path = generator.subschema_for::<DataPath>();
        schemars::json_schema!({
            "description": "Where a field of the step's input comes from: a path in the run's data, or a fixed value.",
            "anyOf": [
                path,
                {"type": "object", "required": ["from"], "additionalProperties": false, "properties": {
                    "from": path,
                    "required": {"type": "boolean", "description": "true: the step fails if the path has no value; false: the field is left out without a word; not given: it is left out, and noted."}}},
                {"type": "object", "required": ["value"], "additionalProperties": false, "properties": {
                    "value": {"description": "A fixed value."}}}
            ]
        })
    }
}

/// Where a field of a step's output goes. In files a bare text is the path.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutputMapping {
    /// A path in the run's data.
    pub to: DataPath,
    /// `true`: an output without the field is fine. Default: the attempt fails with `OUTPUT_FIELD_MISSING`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

impl<'de> Deserialize<'de> for OutputMapping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            to: DataPath,
            #[serde(default)]
            optional: bool,
        }
        Ok(match text_or::<Whole, D>(deserializer)? {
            Ok(to) => Self { to, optional: false },
            Err(Whole { to, optional }) => Self { to, optional },
        })
    }
}

impl JsonSchema for OutputMapping {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OutputMapping".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let path = generator.subschema_for::<DataPath>();
        schemars::json_schema!({
            "description": "Where a field of the step's output goes: a path in the run's data.",
            "anyOf": [
                path,
                {"type": "object", "required": ["to"], "additionalProperties": false, "properties": {
                    "to": path,
                    "optional": {"type": "boolean", "description": "true: an output without the field is fine."}}}
            ]
        })
    }
}

/// A field of a step's output, or all of it (`*`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub enum OutputField {
    /// The whole output.
    Whole,
    /// One member of it. An output that is no object counts as this member.
    Member(String),
}

impl From<String> for OutputField {
    fn from(name: String) -> Self {
        if name == "*" { Self::Whole } else { Self::Member(name) }
    }
}

impl From<OutputField> for String {
    fn from(field: OutputField) -> Self {
        field.to_string()
    }
}

impl fmt::Display for OutputField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("*"),
            Self::Member(name) => f.write_str(name),
        }
    }
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

    /// The title, or the id if there is none.
    #[must_use]
    pub fn title(&self) -> &str {
        if self.name.is_empty() { self.id.as_str() } else { &self.name }
    }
}

/// Reads a bare text as a path (`Ok`), anything else as the whole form (`Err`).
fn text_or<'de, T: serde::de::DeserializeOwned, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Result<DataPath, T>, D::Error> {
    use serde::de::Error;
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    let strip = |e: serde_json::Error| D::Error::custom(super::problem::without_position(&e));
    if raw.get().starts_with('"') {
        serde_json::from_str(raw.get()).map(Ok).map_err(strip)
    } else {
        serde_json::from_str(raw.get()).map(Err).map_err(strip)
    }
}

/// Keeps a `null` that was written as a value, apart from a field that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
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
const fn default_timeout() -> Span {
    Span(limits::DEFAULT_TIMEOUT)
}
const fn default_run_timeout() -> Span {
    Span(limits::DEFAULT_RUN_TIMEOUT)
}
const fn default_attempts() -> u32 {
    limits::DEFAULT_ATTEMPTS
}
const fn default_backoff() -> Span {
    Span(limits::DEFAULT_BACKOFF)
}
const fn default_factor() -> f64 {
    limits::DEFAULT_BACKOFF_FACTOR
}
const fn default_max_backoff() -> Span {
    Span(limits::DEFAULT_MAX_BACKOFF)
}
const fn default_jitter() -> f64 {
    limits::DEFAULT_JITTER
}
