//! Where a step's input comes from, and where its output goes.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::value::{DataPath, Json};

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
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}
