//! Functions and operators of expressions.

use std::cmp::Ordering;
use std::sync::Arc;

use super::value::Value;
use super::{EvaluateError, Steps, number};

/// A function, called as `f(a, b)` or as `a.f(b)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Int,
    Double,
    Text,
    Bool,
}

impl Function {
    /// The function of a name, called with so many values, the one before the dot among them.
    pub(super) fn named(name: &str, method: bool, values: usize) -> Option<Self> {
        Some(match (name, method, values) {
            ("size", _, 1) => Self::Size,
            ("contains", true, 2) => Self::Contains,
            ("startsWith", true, 2) => Self::StartsWith,
            ("endsWith", true, 2) => Self::EndsWith,
            ("int", false, 1) => Self::Int,
            ("double", false, 1) => Self::Double,
            ("string", false, 1) => Self::Text,
            ("bool", false, 1) => Self::Bool,
            _ => return None,
        })
    }

    /// Calls it.
    pub(super) fn call(self, values: &[Value], steps: &mut Steps) -> Result<Value, EvaluateError> {
        for value in values {
            if let Value::Text(text) = value {
                steps.take_text(text.len())?;
            }
        }
        let value = match (self, values) {
            (Self::Size, [Value::Text(text)]) => Some(count(text.chars().count())),
            (Self::Size, [Value::List(list)]) => Some(count(list.len())),
            (Self::Size, [Value::Map(map)]) => Some(count(map.len())),
            (Self::Contains, [Value::Text(text), Value::Text(part)]) => Some(Value::Bool(text.contains(&**part))),
            (Self::StartsWith, [Value::Text(text), Value::Text(part)]) => Some(Value::Bool(text.starts_with(&**part))),
            (Self::EndsWith, [Value::Text(text), Value::Text(part)]) => Some(Value::Bool(text.ends_with(&**part))),
            (Self::Int, [value]) => to_int(value),
            (Self::Double, [value]) => to_double(value),
            (Self::Text, [value]) => to_text(value),
            (Self::Bool, [Value::Bool(value)]) => Some(Value::Bool(*value)),
            (Self::Bool, [Value::Text(text)]) => text.parse().ok().map(Value::Bool),
            _ => None,
        };
        value.ok_or_else(|| {
            let kinds: Vec<&str> = values.iter().map(Value::kind).collect();
            let name = format!("{self:?}").to_lowercase();
            EvaluateError::Invalid(format!("{name} does not work with {}", kinds.join(" and ")))
        })
    }
}

/// An operator between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

impl Operator {
    /// The operator of a sign, with how strongly it binds.
    pub(super) fn of(sign: &str) -> Option<(Self, u8)> {
        Some(match sign {
            "==" => (Self::Equal, 3),
            "!=" => (Self::NotEqual, 3),
            "<" => (Self::Less, 3),
            "<=" => (Self::LessOrEqual, 3),
            ">" => (Self::Greater, 3),
            ">=" => (Self::GreaterOrEqual, 3),
            "in" => (Self::In, 3),
            "+" => (Self::Add, 4),
            "-" => (Self::Subtract, 4),
            "*" => (Self::Multiply, 5),
            "/" => (Self::Divide, 5),
            "%" => (Self::Remainder, 5),
            _ => return None,
        })
    }

    const fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
        }
    }

    /// Applies it.
    pub(super) fn apply(self, a: Value, b: Value, steps: &mut Steps) -> Result<Value, EvaluateError> {
        match self {
            Self::Equal => return Ok(Value::Bool(equal(&a, &b, steps)?)),
            Self::NotEqual => return Ok(Value::Bool(!equal(&a, &b, steps)?)),
            Self::Add if matches!(a, Value::Text(_) | Value::List(_)) => return join(a, b, steps),
            Self::In => {
                if let Some(found) = find(&a, &b, steps)? {
                    return Ok(Value::Bool(found));
                }
            }
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual => {
                if let Some(holds) = self.compare(&a, &b, steps)? {
                    return Ok(Value::Bool(holds));
                }
            }
            _ => {}
        }
        number::arithmetic(self, &a, &b).unwrap_or_else(|| Err(unfit(self, &a, &b)))
    }

    /// Whether an order holds between two numbers, two texts or two truths; `None` if there is no order between them.
    fn compare(self, a: &Value, b: &Value, steps: &mut Steps) -> Result<Option<bool>, EvaluateError> {
        let order = match (a, b) {
            (Value::Text(a), Value::Text(b)) => {
                steps.take_text(a.len().min(b.len()))?;
                Some(a.cmp(b))
            }
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            // What is no number is in no order: 0.0 / 0.0.
            (Value::Int(_) | Value::Double(_), Value::Int(_) | Value::Double(_)) => match number::order(a, b) {
                None => return Ok(Some(false)),
                order => order,
            },
            _ => None,
        };
        Ok(order.map(|order| match self {
            Self::Less => order == Ordering::Less,
            Self::LessOrEqual => order != Ordering::Greater,
            Self::Greater => order == Ordering::Greater,
            _ => order != Ordering::Less,
        }))
    }
}

/// Equality: numbers by value, whatever their kind; values of different kinds are not equal.
fn equal(a: &Value, b: &Value, steps: &mut Steps) -> Result<bool, EvaluateError> {
    steps.take(1)?;
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => {
            steps.take_text(a.len().min(b.len()))?;
            a == b
        }
        (Value::List(a), Value::List(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (a, b) in a.iter().zip(b.iter()) {
                if !equal(a, b, steps)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(a), Value::Map(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for ((key, a), (other, b)) in a.iter().zip(b.iter()) {
                steps.take_text(key.len())?;
                if key != other || !equal(a, b, steps)? {
                    return Ok(false);
                }
            }
            true
        }
        _ => number::order(a, b) == Some(Ordering::Equal),
    })
}

/// Whether a list has a value, or an object a member; `None` if the second is neither.
fn find(a: &Value, b: &Value, steps: &mut Steps) -> Result<Option<bool>, EvaluateError> {
    Ok(match (a, b) {
        (_, Value::List(values)) => {
            for value in values.iter() {
                if equal(a, value, steps)? {
                    return Ok(Some(true));
                }
            }
            Some(false)
        }
        (Value::Text(name), Value::Map(members)) => Some(members.contains_key(name)),
        (_, Value::Map(_)) => Some(false),
        _ => None,
    })
}

/// One text or list after another. A list that nobody else holds grows in its place.
fn join(a: Value, b: Value, steps: &mut Steps) -> Result<Value, EvaluateError> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => {
            steps.take_text(a.len() + b.len())?;
            Ok(Value::Text(format!("{a}{b}").into()))
        }
        (Value::List(mut a), Value::List(b)) => {
            let copied = if Arc::get_mut(&mut a).is_some() { 0 } else { a.len() };
            steps.take(copied + b.len())?;
            Arc::make_mut(&mut a).extend(b.iter().cloned());
            Ok(Value::List(a))
        }
        (a, b) => Err(unfit(Operator::Add, &a, &b)),
    }
}

fn unfit(operator: Operator, a: &Value, b: &Value) -> EvaluateError {
    EvaluateError::Invalid(format!("{} does not work between {} and {}", operator.sign(), a.kind(), b.kind()))
}

fn count(size: usize) -> Value {
    Value::Int(i64::try_from(size).unwrap_or(i64::MAX))
}

fn to_int(value: &Value) -> Option<Value> {
    match value {
        Value::Int(value) => Some(*value),
        Value::Double(value) => number::truncated(*value),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
    .map(Value::Int)
}

fn to_double(value: &Value) -> Option<Value> {
    match value {
        Value::Int(value) => Some(*value as f64),
        Value::Double(value) => Some(*value),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
    .map(Value::Double)
}

fn to_text(value: &Value) -> Option<Value> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Int(value) => Some(value.to_string().into()),
        Value::Double(value) => Some(value.to_string().into()),
        Value::Bool(value) => Some(value.to_string().into()),
        _ => None,
    }
    .map(Value::Text)
}
