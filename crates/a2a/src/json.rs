//! JSON to and from `google.protobuf.Value` and `Struct`.
//!
//! Protobuf's JSON has 64-bit floats as its only numbers and, in every implementation, a limit on nesting. What would
//! be changed on the way ([`is_lossless`]) is refused here or sent as text by the caller, never silently altered.

use std::fmt;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{self, Serialize, SerializeMap, SerializeSeq, Serializer};

/// How deep values to be sent may nest, a scalar counting as 0.
///
/// An object costs three levels on the wire, and prost and the C++ and Python runtimes stop at 100; 30 leaves room for
/// the messages around the value.
pub const MAX_DEPTH: usize = 30;

/// How deep values to be printed may nest: more than anything that can be decoded.
const MAX_PRINT_DEPTH: usize = 100;

/// JSON that has no faithful protobuf form, or the other way round; the text says which part and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Parses JSON text.
///
/// # Errors
/// Text that is not JSON, nests deeper than [`MAX_DEPTH`], or holds an integer that a 64-bit float cannot.
/// Fractions are rounded to the nearest float; ask [`is_lossless`] first when that matters.
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Seed { depth: 0 }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Converts a JSON value.
///
/// # Errors
/// As [`parse`].
pub fn to_proto(json: &serde_json::Value) -> Result<Value, JsonError> {
    Ok(Seed { depth: 0 }.deserialize(json)?)
}

/// Converts a JSON object, for metadata.
///
/// # Errors
/// As [`parse`].
pub fn to_struct(json: &serde_json::Map<String, serde_json::Value>) -> Result<Struct, JsonError> {
    let fields = json.iter().map(|(key, value)| Ok((key.clone(), to_proto(value)?)));
    Ok(Struct { fields: fields.collect::<Result<_, JsonError>>()? })
}

/// Prints a protobuf value as JSON text; a float that is an integer prints as one.
///
/// # Errors
/// NaN and infinities, which JSON does not have, and nesting deeper than 100, which no decoder lets through.
pub fn print(value: &Value) -> Result<Vec<u8>, JsonError> {
    Ok(serde_json::to_vec(&Json { value, depth: 0 })?)
}

/// Converts a protobuf value to a JSON value.
///
/// # Errors
/// As [`print()`].
pub fn from_proto(value: &Value) -> Result<serde_json::Value, JsonError> {
    Ok(serde_json::to_value(Json { value, depth: 0 })?)
}

/// Converts a protobuf struct (metadata) to a JSON object.
///
/// # Errors
/// As [`print()`].
pub fn from_struct(object: &Struct) -> Result<serde_json::Map<String, serde_json::Value>, JsonError> {
    object.fields.iter().map(|(key, value)| Ok((key.clone(), from_proto(value)?))).collect()
}

/// Says whether JSON text comes out of [`parse`] and [`print()`] with the same values: it nests at most [`MAX_DEPTH`]
/// deep and every number has the same decimal value after a trip through a 64-bit float (0.1 has, 2^53 + 1 has not).
///
/// The text is assumed to be valid JSON; the answer for anything else means nothing.
#[must_use]
pub fn is_lossless(text: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at = end_of_string(text, at),
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return false;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'-' | b'0'..=b'9' => {
                let rest = &text[at..];
                let len = rest.iter().position(|byte| !is_numeric(*byte)).unwrap_or(rest.len());
                if !survives_f64(&rest[..len]) {
                    return false;
                }
                at += len - 1;
            }
            _ => {}
        }
        at += 1;
    }
    true
}

/// The index of the quote that closes the string opened at `open`, or the end of the text.
fn end_of_string(text: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

fn is_numeric(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
}

fn survives_f64(number: &[u8]) -> bool {
    let Ok(number) = std::str::from_utf8(number) else { return false };
    let Ok(float) = number.parse::<f64>() else { return false };
    // Rust prints the shortest digits that read back as the same float, which is what every JSON printer does.
    float.is_finite() && Decimal::of(number) == Decimal::of(&format!("{float:e}"))
}

/// A decimal number in a form in which equal numbers are equal: 0.`digits` × 10^`exponent`, no zeros at either end.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn of(number: &str) -> Option<Self> {
        let (negative, number) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = [whole.as_bytes(), fraction.as_bytes()].concat();
        let mut exponent = exponent.parse::<i64>().ok()?.checked_add(i64::try_from(whole.len()).ok()?)?;
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..leading);
        exponent = exponent.checked_sub(i64::try_from(leading).ok()?)?;
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            exponent = 0;
        }
        Some(Self { negative, digits, exponent })
    }
}

/// Reads a protobuf value from any source of JSON.
struct Seed {
    depth: usize,
}

impl Seed {
    fn deeper<E: de::Error>(&self) -> Result<usize, E> {
        if self.depth == MAX_DEPTH { Err(E::custom(TooDeep(MAX_DEPTH))) } else { Ok(self.depth + 1) }
    }
}

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value { kind: Some(Kind::NullValue(0)) })
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value { kind: Some(Kind::BoolValue(value)) })
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        if value.is_finite() {
            Ok(Value { kind: Some(Kind::NumberValue(value)) })
        } else {
            Err(E::custom(NotFinite(value)))
        }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        exact(i128::from(value), value as f64)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        exact(i128::from(value), value as f64)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value { kind: Some(Kind::StringValue(value)) })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(Seed { depth })? {
            values.push(value);
        }
        Ok(Value { kind: Some(Kind::ListValue(ListValue { values })) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut object = Struct::default();
        while let Some(key) = entries.next_key()? {
            object.fields.insert(key, entries.next_value_seed(Seed { depth })?);
        }
        Ok(Value { kind: Some(Kind::StructValue(object)) })
    }
}

fn exact<E: de::Error>(integer: i128, float: f64) -> Result<Value, E> {
    if float as i128 == integer {
        Ok(Value { kind: Some(Kind::NumberValue(float)) })
    } else {
        Err(E::custom(format_args!("the integer {integer} does not fit in a 64-bit float")))
    }
}

/// Prints a protobuf value as JSON.
struct Json<'a> {
    value: &'a Value,
    depth: usize,
}

impl Json<'_> {
    fn deeper<E: ser::Error>(&self) -> Result<usize, E> {
        if self.depth == MAX_PRINT_DEPTH { Err(E::custom(TooDeep(MAX_PRINT_DEPTH))) } else { Ok(self.depth + 1) }
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value.kind {
            // A value without a kind is an error of its sender; the runtimes read it as null.
            None | Some(Kind::NullValue(_)) => serializer.serialize_unit(),
            Some(Kind::BoolValue(value)) => serializer.serialize_bool(*value),
            Some(Kind::StringValue(value)) => serializer.serialize_str(value),
            Some(Kind::NumberValue(value)) => serialize_number(*value, serializer),
            Some(Kind::ListValue(list)) => {
                let depth = self.deeper()?;
                let mut out = serializer.serialize_seq(Some(list.values.len()))?;
                for value in &list.values {
                    out.serialize_element(&Json { value, depth })?;
                }
                out.end()
            }
            Some(Kind::StructValue(object)) => {
                let depth = self.deeper()?;
                let mut out = serializer.serialize_map(Some(object.fields.len()))?;
                for (key, value) in &object.fields {
                    out.serialize_entry(key, &Json { value, depth })?;
                }
                out.end()
            }
        }
    }
}

fn serialize_number<S: Serializer>(value: f64, serializer: S) -> Result<S::Ok, S::Error> {
    if !value.is_finite() {
        return Err(ser::Error::custom(NotFinite(value)));
    }
    let integer = value as i64;
    // The second test keeps 2^63, to which the cast saturates, and -0.0 apart.
    if integer as f64 == value && integer != i64::MAX && !(value == 0.0 && value.is_sign_negative()) {
        serializer.serialize_i64(integer)
    } else {
        serializer.serialize_f64(value)
    }
}

struct TooDeep(usize);

impl fmt::Display for TooDeep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "nested deeper than {} levels", self.0)
    }
}

struct NotFinite(f64);

impl fmt::Display for NotFinite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the number {} does not exist in JSON", self.0)
    }
}

#[cfg(test)]
mod tests;
