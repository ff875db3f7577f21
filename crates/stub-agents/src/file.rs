//! The file: which agents there are, and what each of their skills answers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tutti_core::ids::{AgentId, Capability};
use tutti_core::time::Span;
use tutti_core::value::DataPath;

/// A file of stub agents.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StubFile {
    /// The agents.
    #[schemars(length(min = 1))]
    pub agents: Vec<StubAgent>,
}

/// An agent: what it is called, where it listens and what it can do.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StubAgent {
    /// Its name, distinct in the file.
    pub name: AgentId,
    /// The port that it listens on. Default: a free one.
    #[serde(default)]
    pub port: u16,
    /// What it can do, by capability: a rule, or a list of rules.
    #[schemars(with = "BTreeMap<String, Script>", extend("minProperties" = 1))]
    pub skills: BTreeMap<Capability, Script>,
}

/// The rules of a skill: a call is answered by the first one that is for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// The rules, in the order in which they are asked.
    pub rules: Vec<Rule>,
    /// Whether they are written as a list.
    pub(crate) is_list: bool,
}

/// Which calls a rule is for, and how they are answered.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Only for calls with this action. Default: for calls with any action, and without one.
    pub action: Option<String>,
    /// Only for calls with these values in their input, by path.
    #[schemars(with = "BTreeMap<String, Value>")]
    pub when: BTreeMap<DataPath, Value>,
    /// Only for so many calls of each operation, which is a step of a run: its attempts are calls of one operation.
    #[schemars(range(min = 1))]
    pub times: Option<u32>,
    /// Only for so many calls in all, whoever calls.
    #[schemars(range(min = 1))]
    pub times_in_all: Option<u32>,
    /// Time that passes before anything is answered. Default: none.
    pub delay: Option<Span>,
    /// What is said while the delay passes, at even distances, with the share that is done.
    pub progress: Vec<String>,
    /// What is handed over beside the answer.
    pub artifacts: Vec<StubArtifact>,
    /// A question: the task waits for an input (INPUT_REQUIRED), which is `${reply}` in what follows.
    pub input_required: Option<String>,
    /// A question: the task waits for an authorization (AUTH_REQUIRED).
    pub auth_required: Option<String>,
    /// The output, any value. In its texts `${input.path}` stands for a value of the input, `${reply}` for what was
    /// replied to a question, `${call}` for the number of the call in its operation, from 1. Default after a question:
    /// the reply.
    #[serde(deserialize_with = "present")]
    #[schemars(with = "Value")]
    pub answer: Option<Value>,
    /// Scores of the answer by metric, from 0 to 1, told beside it. Null is a score that is missing; references are filled in as
    /// in answers; the text `NaN` is the number that is none, to try what follows.
    #[schemars(with = "BTreeMap<String, Value>")]
    pub quality: BTreeMap<String, Value>,
    /// What the answer, or the failure of its task, took: told beside it.
    pub usage: Option<StubUsage>,
    /// How the call fails: a word, or an object that tells more.
    pub fail: Option<Failing>,
    /// True: nothing is ever answered; the task ends when it is cancelled.
    pub hang: bool,
}

/// What an answer took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StubUsage {
    /// Money, in the currency of budgets.
    #[schemars(range(min = 0))]
    pub cost: f64,
    /// Tokens read.
    pub tokens_in: u64,
    /// Tokens written.
    pub tokens_out: u64,
}

/// How a call fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// In which way.
    pub kind: Fault,
    /// What the agent says about it. References are filled in as in answers.
    pub message: Option<String>,
    /// How long the agent asks to be left alone.
    pub retry_after: Option<Span>,
}

/// The ways to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The task is FAILED.
    Failed,
    /// The task is REJECTED: another agent may do it.
    Rejected,
    /// The task is CANCELED though nobody asked.
    Cancelled,
    /// The task is COMPLETED and says nothing.
    EmptyAnswer,
    /// The call is refused: UNAVAILABLE.
    Unavailable,
    /// The call is refused: RESOURCE_EXHAUSTED.
    RateLimited,
    /// The call is refused: UNAUTHENTICATED.
    Unauthorized,
    /// The call is refused: CONTENT_TYPE_NOT_SUPPORTED.
    Unsupported,
    /// The call is refused: INVALID_PARAMS.
    InvalidInput,
    /// The call is refused: INVALID_AGENT_RESPONSE.
    InvalidAnswer,
}

/// Something that is handed over beside the answer: either text or a value.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StubArtifact {
    /// Its name.
    pub name: String,
    /// Its text. References are filled in as in answers.
    pub text: Option<String>,
    /// Its value, handed over as JSON. References are filled in as in answers.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Value")]
    pub json: Option<Value>,
    /// The media type of its text. Default: text/plain.
    pub media_type: Option<String>,
}

impl Fault {
    /// Whether the call is refused, so that there is no task.
    #[must_use]
    pub const fn refuses(self) -> bool {
        !matches!(self, Self::Failed | Self::Rejected | Self::Cancelled | Self::EmptyAnswer)
    }

    /// Whether an agent that fails so may say when to come back.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Unavailable | Self::RateLimited)
    }
}

impl Rule {
    /// What is asked before there is an answer.
    #[must_use]
    pub fn question(&self) -> Option<&str> {
        self.input_required.as_deref().or(self.auth_required.as_deref())
    }

    /// Whether it is for every call.
    pub(crate) fn is_for_all(&self) -> bool {
        self.action.is_none() && self.when.is_empty() && self.times.is_none() && self.times_in_all.is_none()
    }
}

/// A value that is there, if only as null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for Script {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Script;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rule or a list of rules")
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Script, M::Error> {
                Rule::deserialize(MapAccessDeserializer::new(map))
                    .map(|rule| Script { rules: vec![rule], is_list: false })
            }
            fn visit_seq<S: SeqAccess<'de>>(self, list: S) -> Result<Script, S::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(|rules| Script { rules, is_list: true })
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl JsonSchema for Script {
    fn schema_name() -> Cow<'static, str> {
        "Script".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rule = generator.subschema_for::<Rule>();
        json_schema!({
            "description": "The rules of a skill: a call is answered by the first one that is for it. A call that none is for is rejected.",
            "anyOf": [rule, {"type": "array", "items": rule, "minItems": 1}]
        })
    }
}

/// A failing as an object.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FailingObject {
    /// In which way.
    kind: Fault,
    /// What the agent says about it.
    message: Option<String>,
    /// How long the agent asks to be left alone; for `unavailable` and `rate_limited`.
    retry_after: Option<Span>,
}

impl<'de> Deserialize<'de> for Failing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrObject;
        impl<'de> Visitor<'de> for WordOrObject {
            type Value = Failing;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a way to fail, such as `failed`, or an object with `kind`")
            }
            fn visit_str<E: Error>(self, word: &str) -> Result<Failing, E> {
                let kind = Fault::deserialize(serde::de::value::StrDeserializer::new(word))?;
                Ok(Failing { kind, message: None, retry_after: None })
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Failing, M::Error> {
                let FailingObject { kind, message, retry_after } =
                    FailingObject::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Failing { kind, message, retry_after })
            }
        }
        deserializer.deserialize_any(WordOrObject)
    }
}

impl JsonSchema for Failing {
    fn schema_name() -> Cow<'static, str> {
        "Failing".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (kind, object) = (generator.subschema_for::<Fault>(), generator.subschema_for::<FailingObject>());
        json_schema!({"description": "How a call fails: in which way, or an object that tells more.", "anyOf": [kind, object]})
    }
}
