//! Arithmetic and order of the two kinds of numbers.

use std::cmp::Ordering;

use super::EvaluateError;
use super::function::Operator;
use super::value::Value;

/// Two numbers and what is done with them; `None` if they are no numbers or it is no arithmetic.
pub(super) fn arithmetic(operator: Operator, a: &Value, b: &Value) -> Option<Result<Value, EvaluateError>> {
    Some(match (a, b) {
        (Value::Int(a), Value::Int(b)) => whole(operator, *a, *b)?.map(Value::Int),
        (Value::Int(_) | Value::Double(_), Value::Int(_) | Value::Double(_)) => {
            Ok(Value::Double(fractions(operator, as_double(a)?, as_double(b)?)?))
        }
        _ => return None,
    })
}

/// The order of two numbers, by their exact values; `None` if one is not a number (or not comparable).
pub(super) fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Double(b)) => order_mixed(*a, *b),
        (Value::Double(a), Value::Int(b)) => order_mixed(*b, *a).map(Ordering::reverse),
        _ => None,
    }
}

/// A number with a fraction as a whole one, its fraction cut off.
pub(super) fn truncated(value: f64) -> Option<i64> {
    // -2^63 is a whole number of both kinds, 2^63 is just beyond the greatest.
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    (-BOUND..BOUND).contains(&value).then_some(value as i64)
}

fn order_mixed(a: i64, b: f64) -> Option<Ordering> {
    if b.is_nan() {
        return None;
    }
    let Some(whole) = truncated(b) else {
        return Some(if b > 0.0 { Ordering::Less } else { Ordering::Greater });
    };
    let fraction = b - b.trunc();
    Some(a.cmp(&whole).then(0.0_f64.partial_cmp(&fraction)?))
}

const fn as_double(value: &Value) -> Option<f64> {
    match value {
        Value::Int(value) => Some(*value as f64),
        Value::Double(value) => Some(*value),
        _ => None,
    }
}

fn whole(operator: Operator, a: i64, b: i64) -> Option<Result<i64, EvaluateError>> {
    let value = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide if b != 0 => a.checked_div(b),
        Operator::Remainder if b != 0 => a.checked_rem(b),
        Operator::Divide | Operator::Remainder => {
            return Some(Err(EvaluateError::Invalid(format!("{a} cannot be divided by 0"))));
        }
        _ => return None,
    };
    Some(value.ok_or_else(|| EvaluateError::Invalid("a whole number is out of range".to_owned())))
}

fn fractions(operator: Operator, a: f64, b: f64) -> Option<f64> {
    Some(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        _ => return None,
    })
}
