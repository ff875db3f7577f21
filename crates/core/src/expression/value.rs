//! Values of expressions, made from JSON and turned into it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::syntax::Reads;
use super::{EvaluateError, Steps};
use crate::limits::{MAX_DEPTH, MAX_VALUE_BYTES};
use crate::value::{Json, members};

/// A value. Cloning shares what is large.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Arc<str>),
    List(Arc<Vec<Value>>),
    Map(Arc<BTreeMap<Arc<str>, Value>>),
}

impl Value {
    /// What it is, for messages.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a whole number",
            Self::Double(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
        }
    }

    /// Itself as JSON.
    pub(super) fn to_json(&self, steps: &mut Steps) -> Result<Json, EvaluateError> {
        let mut text = Vec::new();
        self.write(&mut text, 0, steps)?;
        Json::parse(text).map_err(|wrong| EvaluateError::Invalid(format!("the value: {wrong}")))
    }

    fn write(&self, text: &mut Vec<u8>, depth: usize, steps: &mut Steps) -> Result<(), EvaluateError> {
        steps.take(1)?;
        if depth > MAX_DEPTH || text.len() > MAX_VALUE_BYTES {
            return Err(EvaluateError::Invalid("the value is too large".to_owned()));
        }
        match self {
            Self::Null => text.extend_from_slice(b"null"),
            Self::Bool(value) => text.extend_from_slice(if *value { b"true" } else { b"false" }),
            Self::Int(value) => text.extend_from_slice(value.to_string().as_bytes()),
            Self::Double(value) if !value.is_finite() => {
                return Err(EvaluateError::Invalid(format!("the value is {value}, which JSON has not")));
            }
            Self::Double(value) => write_plain(text, value)?,
            Self::Text(value) => write_text(text, value, steps)?,
            Self::List(values) => {
                text.push(b'[');
                for (i, value) in values.iter().enumerate() {
                    if i > 0 {
                        text.push(b',');
                    }
                    value.write(text, depth + 1, steps)?;
                }
                text.push(b']');
            }
            Self::Map(members) => {
                text.push(b'{');
                for (i, (name, value)) in members.iter().enumerate() {
                    if i > 0 {
                        text.push(b',');
                    }
                    write_text(text, name, steps)?;
                    text.push(b':');
                    value.write(text, depth + 1, steps)?;
                }
                text.push(b'}');
            }
        }
        Ok(())
    }
}

fn write_text(text: &mut Vec<u8>, value: &str, steps: &mut Steps) -> Result<(), EvaluateError> {
    steps.take_text(value.len())?;
    write_plain(text, value)
}

fn write_plain<T: serde::Serialize + ?Sized>(text: &mut Vec<u8>, value: &T) -> Result<(), EvaluateError> {
    serde_json::to_writer(text, value).map_err(|wrong| EvaluateError::Invalid(wrong.to_string()))
}

/// What an expression reads of some data. `left` is how many bytes it may read still.
pub(super) fn pick(data: &Json, reads: &Reads, left: &mut usize) -> Result<Value, EvaluateError> {
    let object = if reads.whole { None } else { members(data) };
    let Some(mut found) = object else { return whole(data, reads, left) };
    let mut picked = BTreeMap::new();
    for (name, reads) in &reads.members {
        if let Some(value) = found.remove(name) {
            picked.insert(Arc::from(name.as_str()), pick(&value, reads, left)?);
        }
    }
    Ok(Value::Map(Arc::new(picked)))
}

fn whole(data: &Json, reads: &Reads, left: &mut usize) -> Result<Value, EvaluateError> {
    // A list of which a member is asked has none, whatever is in it.
    if !reads.whole && data.as_str().starts_with('[') {
        return Ok(Value::List(Arc::default()));
    }
    let bytes = data.bytes().len();
    *left = left.checked_sub(bytes).ok_or(EvaluateError::Input(bytes))?;
    let mut reader = serde_json::Deserializer::from_slice(data.bytes());
    Read.deserialize(&mut reader).map_err(|wrong| EvaluateError::Invalid(format!("the data: {wrong}")))
}

/// Reads JSON. A whole number that fits is [`Value::Int`], any other a [`Value::Double`].
struct Read;

impl<'de> DeserializeSeed<'de> for Read {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Read {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Double(value as f64), Value::Int))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        if value.is_finite() { Ok(Value::Double(value)) } else { Err(E::custom("a number is out of range")) }
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.into()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(Read)? {
            values.push(value);
        }
        Ok(Value::List(Arc::new(values)))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            members.insert(name.into(), map.next_value_seed(Read)?);
        }
        Ok(Value::Map(Arc::new(members)))
    }
}
