//! How the results of several agents become one, as data.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::mapping::present;
use super::recovery::default_timeout;
use crate::ids::{AgentId, Capability};
use crate::limits;
use crate::time::Span;
use crate::value::{DataPath, Json};

/// How the results of a step's members (of `steps`, `ask` or `map`) become one, and how many of them it takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// How one result is made of several. Default: `auto`.
    #[serde(default)]
    pub strategy: Aggregation,
    /// Under `auto`: what kind of task it is. Default: what the words of the step's `type` say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskKind>,
    /// Under `consensus`: the places in a result that must agree, each for itself. Default: the whole result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<DataPath>,
    /// Under `consensus`: by how much two numbers may differ that agree. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub tolerance: Option<f64>,
    /// How many members must succeed: a number, or a share such as `60%`. Default: 1 under `on_partial: proceed`, else all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Minimum>,
    /// How long the members may take together. Who is not done by then has failed. Default: 1m.
    #[serde(default = "default_wait")]
    pub deadline: Span,
    /// What happens if fewer members than `minimum` succeeded. Default: `proceed`.
    #[serde(default)]
    pub on_partial: OnPartial,
    /// What happens if `on_partial` leaves it at fewer than `minimum`, or if no member succeeded. Default: `fail`.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// The result under `on_failure: default`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub default: Option<Json>,
    /// Who writes one result of several under `synthesis`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthesis: Option<Synthesis>,
}

/// How one result is made of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Chosen by the kind of task: data gathering is merged, of content the best is taken (or one is written of all), facts are
    /// verified by consensus, an analysis is written of all.
    #[default]
    Auto,
    /// All results, each as `NAME_result`.
    MergeAll,
    /// The result with the highest quality score.
    Best,
    /// What more than half of those that succeeded agree on; without it, the result is flagged for review.
    Consensus,
    /// An agent writes one result of all.
    Synthesis,
}

impl Aggregation {
    /// The word used in files and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::MergeAll => "merge_all",
            Self::Best => "best",
            Self::Consensus => "consensus",
            Self::Synthesis => "synthesis",
        }
    }
}

/// What kind of task several agents were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Each brings something of its own.
    DataGathering,
    /// Each makes a proposal of the same thing.
    Content,
    /// Each says whether, or what, something is.
    FactVerification,
    /// Each looks at the same thing in a way of its own.
    Analysis,
}

/// What happens if some members succeeded, but fewer than the minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnPartial {
    /// Nothing more is tried: `on_failure` says what follows.
    #[default]
    Proceed,
    /// Those that failed begin anew, once, after the step's `retry.backoff`. If there are fewer than the minimum still,
    /// `on_failure` says what follows.
    Retry,
    /// A person decides.
    Escalate,
}

/// What happens if too few members succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The step fails.
    #[default]
    Fail,
    /// A person decides.
    Escalate,
    /// The value of `default` is the result.
    Default,
}

/// The agent that writes one result of several. It is given `task`, `instructions`, `results` and `failed_agents`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Synthesis {
    /// What the agent must be able to do: an A2A skill id.
    pub capability: Capability,
    /// What the agent is to do, if the skill can do several things.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Pins the call to one agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// What it is told to make of the results.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instructions: String,
    /// How long it may take. Default: 30s.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
}

/// How many of several are enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Minimum {
    /// So many.
    Count(u32),
    /// So many in a hundred, 1 to 100.
    Percent(u8),
}

impl Minimum {
    /// How many of so many.
    #[must_use]
    pub fn of(self, members: usize) -> usize {
        match self {
            Self::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Self::Percent(share) => members.saturating_mul(usize::from(share)).div_ceil(100),
        }
    }
}

impl Default for Aggregate {
    fn default() -> Self {
        Self {
            strategy: Aggregation::default(),
            task: None,
            fields: Vec::new(),
            tolerance: None,
            minimum: None,
            deadline: default_wait(),
            on_partial: OnPartial::default(),
            on_failure: OnFailure::default(),
            default: None,
            synthesis: None,
        }
    }
}

impl Aggregate {
    /// How many of so many members must succeed: at least one.
    #[must_use]
    pub fn needed(&self, members: usize) -> usize {
        let needed = match self.minimum {
            Some(minimum) => minimum.of(members),
            None if self.on_partial == OnPartial::Proceed => 1,
            None => members,
        };
        needed.max(1)
    }

    /// What is wrong with it: each with the field, and what would be right. `members` is how many there will be, if that is
    /// known before a run.
    #[must_use]
    pub fn problems(&self, members: Option<usize>) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut report = |field, wrong: bool, reason: &str| {
            if wrong {
                problems.push((field, reason.to_owned()));
            }
        };
        let auto = self.strategy == Aggregation::Auto;
        let consensus = auto || self.strategy == Aggregation::Consensus;
        report("fields", !consensus && !self.fields.is_empty(), "belongs with `strategy: consensus`");
        let overlapping = |(i, a): (usize, &DataPath)| self.fields[i + 1..].iter().any(|b| a.overlaps(b));
        report(
            "fields",
            self.fields.iter().enumerate().any(overlapping),
            "names one place twice, or one within another",
        );
        report("tolerance", !consensus && self.tolerance.is_some(), "belongs with `strategy: consensus`");
        let bad = |tolerance: f64| !tolerance.is_finite() || tolerance < 0.0;
        report("tolerance", self.tolerance.is_some_and(bad), "must be a number, 0 or more");
        report("task", !auto && self.task.is_some(), "belongs with `strategy: auto`");
        let synthesis = self.strategy == Aggregation::Synthesis;
        report("synthesis", synthesis && self.synthesis.is_none(), "is missing: `strategy: synthesis` needs an agent");
        let unused = !synthesis && !auto && self.synthesis.is_some();
        report("synthesis", unused, "belongs with `strategy: synthesis` or `auto`");
        let fixed = self.on_failure == OnFailure::Default;
        report("default", fixed != self.default.is_some(), "belongs with `on_failure: default`, and it with this");
        let too_many = members.is_some_and(|members| self.needed(members) > members);
        report("minimum", too_many, "is more than there are members");
        report("deadline", self.deadline.0.is_zero(), "must be more than 0");
        report("deadline", self.deadline.0 > limits::MAX_TIMEOUT, "is longer than a year");
        problems
    }
}

impl FromStr for Minimum {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let share = text.strip_suffix('%').and_then(|share| share.trim_end().parse().ok());
        match share {
            Some(share @ 1..=100) => Ok(Self::Percent(share)),
            _ => Err("must be a number from 1, or a share from 1% to 100%".to_owned()),
        }
    }
}

impl fmt::Display for Minimum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(share) => write!(f, "{share}%"),
        }
    }
}

impl Serialize for Minimum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u32(*count),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Minimum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let wrong = || D::Error::custom("must be a number from 1, or a share from 1% to 100%");
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text.parse().map_err(D::Error::custom),
            value => value
                .as_u64()
                .and_then(|count| u32::try_from(count).ok())
                .filter(|count| *count > 0)
                .map(Self::Count)
                .ok_or_else(wrong),
        }
    }
}

impl JsonSchema for Minimum {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Minimum".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "How many of several are enough: a number, or a share such as 60%.",
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": "^(100|[1-9][0-9]?) *%$"}
            ]
        })
    }
}

const fn default_wait() -> Span {
    Span(limits::DEFAULT_GROUP_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Aggregate, String> {
        serde_json::from_str(text).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn what_is_written_is_read_and_written_again() {
        let text = r#"{"strategy":"consensus","fields":["a.b"],"tolerance":0.5,"minimum":"60%","deadline":"30s","on_partial":"retry","on_failure":"default","default":null}"#;
        let whole = read(text).unwrap();
        assert_eq!(whole.problems(Some(3)), []);
        assert_eq!(whole.default, Some(Json::null()));
        assert_eq!(read(&serde_json::to_string(&whole).unwrap()).unwrap(), whole);
        assert_eq!(read("{}").unwrap(), Aggregate::default());
        assert!(read(r#"{"minimum":0}"#).is_err() && read(r#"{"minimum":"0%"}"#).is_err());
        assert!(read(r#"{"minimum":"101%"}"#).is_err() && read(r#"{"strategy":"vote"}"#).is_err());
    }

    #[test]
    fn the_minimum_is_at_least_one_and_a_share_is_rounded_up() {
        let needed = |minimum, members| Aggregate { minimum, ..Aggregate::default() }.needed(members);
        assert_eq!(needed(Some(Minimum::Percent(60)), 4), 3);
        assert_eq!(needed(Some(Minimum::Percent(1)), 3), 1);
        assert_eq!(needed(Some(Minimum::Count(2)), 4), 2);
        assert_eq!(needed(None, 4), 1);
        assert_eq!(Aggregate { on_partial: OnPartial::Retry, ..Aggregate::default() }.needed(4), 4);
        assert_eq!(needed(None, 0), 1);
    }

    #[test]
    fn what_does_not_belong_together_is_told() {
        for (text, members, field) in [
            (r#"{"strategy":"best","fields":["a"]}"#, None, "fields"),
            (r#"{"fields":["a","a.b"]}"#, None, "fields"),
            (r#"{"strategy":"best","tolerance":1}"#, None, "tolerance"),
            (r#"{"tolerance":-1}"#, None, "tolerance"),
            (r#"{"strategy":"best","task":"content"}"#, None, "task"),
            (r#"{"strategy":"synthesis"}"#, None, "synthesis"),
            (r#"{"strategy":"best","synthesis":{"capability":"write"}}"#, None, "synthesis"),
            (r#"{"on_failure":"default"}"#, None, "default"),
            (r#"{"default":1}"#, None, "default"),
            (r#"{"minimum":4}"#, Some(3), "minimum"),
            (r#"{"deadline":0}"#, None, "deadline"),
        ] {
            let problems = read(text).unwrap().problems(members);
            assert!(problems.len() == 1 && problems[0].0 == field, "{text}: {problems:?}");
        }
    }
}
