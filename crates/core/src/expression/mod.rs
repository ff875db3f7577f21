//! Expressions over a run's data: the Common Expression Language (CEL), bounded.
//!
//! The syntax, the macros and what they mean are CEL's; the reader and the evaluation are here because a workflow file may
//! come from anybody. The libraries for CEL neither bound an evaluation nor let go of one, go through objects in an order that
//! changes from process to process, and take so much stack for each bracket that a dozen of them end a thread. Here each node
//! that is evaluated takes a step from a fixed number of them, and what an expression makes grows by no more than the steps it
//! takes. So one evaluation is bounded in time and memory whatever the text and the data are, and the same data always gives
//! the same value.
//!
//! Where data is JSON, which has one kind of number, expressions are kinder than CEL: a whole number and one with a fraction
//! may be added or multiplied (the result has a fraction then). Members of an object come in the order of their names. Not
//! there: bytes, unsigned numbers, messages, optional values, types as values, time, and patterns of `matches` that are not written
//! as a text.

mod evaluate;
mod function;
mod number;
mod parse;
mod syntax;
mod token;
mod value;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::{MAX_EXPRESSION_BYTES, MAX_EXPRESSION_INPUT, MAX_EXPRESSION_STEPS};
use crate::value::{DataPath, Json};
use syntax::{Node, Reads};
use value::Value;

/// An expression that was checked. Cloning shares it; two are equal if their texts are.
#[derive(Clone)]
pub struct Expression(Arc<Parsed>);

struct Parsed {
    text: String,
    node: Node,
    reads: Reads,
}

/// Why an expression has no value for some data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// It needs more than [`MAX_EXPRESSION_STEPS`] steps.
    #[error("the expression takes more than {MAX_EXPRESSION_STEPS} steps with this data")]
    Steps,
    /// What it reads is larger than [`MAX_EXPRESSION_INPUT`].
    #[error("the expression reads {0} bytes of data, more than {MAX_EXPRESSION_INPUT}")]
    Input(usize),
    /// What it reads is not there; `has(…)` asks.
    #[error("there is no {0}")]
    Missing(String),
    /// An operation that its values do not allow, or a result of the wrong kind.
    #[error("{0}")]
    Invalid(String),
}

impl Expression {
    /// Parses and checks an expression.
    ///
    /// # Errors
    /// What is wrong, for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_EXPRESSION_BYTES {
            return Err(format!("is {} bytes, more than the {MAX_EXPRESSION_BYTES} of an expression", text.len()));
        }
        let node = parse::parse(text)?;
        let mut reads = Reads::default();
        node.read_into(&mut reads);
        Ok(Self(Arc::new(Parsed { text: text.to_owned(), node, reads })))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The places in the data that it reads, in order, none within another. Variables of its own are none of them.
    #[must_use]
    pub fn reads(&self) -> Vec<DataPath> {
        self.0.reads.paths()
    }

    /// Its value, if that is `true` or `false`. `data` is an object whose members are the names in the expression.
    ///
    /// # Errors
    /// [`EvaluateError`], also for a value that is neither.
    pub fn evaluate_bool(&self, data: &Json) -> Result<bool, EvaluateError> {
        match self.evaluate(data)?.0 {
            Value::Bool(holds) => Ok(holds),
            other => Err(EvaluateError::Invalid(format!("the value is {}, not true or false", other.kind()))),
        }
    }

    /// Its value as JSON. `data` is an object whose members are the names in the expression.
    ///
    /// # Errors
    /// [`EvaluateError`], also for a number that JSON has not (the quotient of 1.0 and 0.0) and a value that is too large.
    pub fn evaluate_json(&self, data: &Json) -> Result<Json, EvaluateError> {
        let (value, mut steps) = self.evaluate(data)?;
        value.to_json(&mut steps)
    }

    fn evaluate(&self, data: &Json) -> Result<(Value, Steps), EvaluateError> {
        let mut left = MAX_EXPRESSION_INPUT;
        let inputs = value::pick(data, &self.0.reads, &mut left)?;
        let mut steps = Steps(MAX_EXPRESSION_STEPS);
        let value = evaluate::evaluate(&self.0.node, &inputs, &mut steps)?;
        Ok((value, steps))
    }
}

/// The steps that an evaluation has left.
struct Steps(u32);

impl Steps {
    fn take(&mut self, steps: usize) -> Result<(), EvaluateError> {
        let steps = u32::try_from(steps).map_err(|_| EvaluateError::Steps)?;
        self.0 = self.0.checked_sub(steps).ok_or(EvaluateError::Steps)?;
        Ok(())
    }

    /// Takes what it costs to look at so many bytes of text.
    fn take_text(&mut self, bytes: usize) -> Result<(), EvaluateError> {
        self.take(1 + bytes / 32)
    }
}

impl FromStr for Expression {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Expression {}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.text, f)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.text)
    }
}

impl Serialize for Expression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.text)
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Expression {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Expression".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "An expression over the run's data in the Common Expression Language, such as order.total > 100 && size(items) > 2.",
            "maxLength": MAX_EXPRESSION_BYTES
        })
    }
}

#[cfg(test)]
mod tests;
