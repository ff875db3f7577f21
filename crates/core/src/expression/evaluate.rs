//! The evaluation of an expression, step by step.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::function::Operator;
use super::syntax::{Each, Makes, Node};
use super::value::Value;
use super::{EvaluateError, Steps, number};

/// The value of a node. Its recursion is as deep as the expression, which is bounded where it is parsed.
pub(super) fn evaluate(node: &Node, inputs: &Value, steps: &mut Steps) -> Result<Value, EvaluateError> {
    Evaluation { inputs, steps, items: Vec::new() }.value(node)
}

struct Evaluation<'a> {
    inputs: &'a Value,
    steps: &'a mut Steps,
    /// The item of each comprehension around.
    items: Vec<Value>,
}

impl Evaluation<'_> {
    fn value(&mut self, node: &Node) -> Result<Value, EvaluateError> {
        self.steps.take(1)?;
        match node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Input(name) => select(self.inputs, name),
            Node::Item(level) => Ok(self.items[*level].clone()),
            Node::Select(of, name) => select(&self.value(of)?, name),
            Node::Has(of, name) => match self.value(of)? {
                Value::Map(members) => Ok(Value::Bool(members.contains_key(name))),
                other => Err(no_member(&other, name)),
            },
            Node::Index(of, at) => {
                let of = self.value(of)?;
                index(&of, &self.value(at)?)
            }
            Node::List(nodes) => {
                let values = nodes.iter().map(|node| self.value(node)).collect::<Result<Vec<_>, _>>()?;
                Ok(Value::List(Arc::new(values)))
            }
            Node::Map(entries) => self.map(entries),
            Node::Not(of) => Ok(Value::Bool(!self.holds(of)?)),
            Node::Negate(of) => match self.value(of)? {
                Value::Double(value) => Ok(Value::Double(-value)),
                value => Operator::Subtract.apply(Value::Int(0), value, self.steps),
            },
            Node::And(a, b) => self.either(a, b, false),
            Node::Or(a, b) => self.either(a, b, true),
            Node::If(parts) => {
                let chosen = if self.holds(&parts.0)? { &parts.1 } else { &parts.2 };
                self.value(chosen)
            }
            Node::Binary(operator, a, b) => {
                let a = self.value(a)?;
                let b = self.value(b)?;
                operator.apply(a, b, self.steps)
            }
            Node::Call(function, nodes) => {
                let values = nodes.iter().map(|node| self.value(node)).collect::<Result<Vec<_>, _>>()?;
                function.call(&values, self.steps)
            }
            Node::Matches(of, pattern) => match self.value(of)? {
                Value::Text(text) => {
                    // A pattern looks at each byte with all of its states.
                    self.steps.take(1 + text.len())?;
                    Ok(Value::Bool(pattern.is_match(&text)))
                }
                other => Err(EvaluateError::Invalid(format!("matches does not work with {}", other.kind()))),
            },
            Node::Each(each) => self.each(each),
        }
    }

    fn holds(&mut self, node: &Node) -> Result<bool, EvaluateError> {
        match self.value(node)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(EvaluateError::Invalid(format!("{} stands where true or false is needed", other.kind()))),
        }
    }

    /// `&&` and `||`: one side that decides is enough, also if the other one has no value.
    fn either(&mut self, a: &Node, b: &Node, decides: bool) -> Result<Value, EvaluateError> {
        let first = self.holds(a);
        if first == Ok(decides) || first == Err(EvaluateError::Steps) {
            return first.map(Value::Bool);
        }
        let second = self.holds(b)?;
        if second == decides { Ok(Value::Bool(decides)) } else { first.map(Value::Bool) }
    }

    fn map(&mut self, entries: &[(Node, Node)]) -> Result<Value, EvaluateError> {
        let mut members = BTreeMap::new();
        for (key, value) in entries {
            let name = match self.value(key)? {
                Value::Text(name) => name,
                other => return Err(EvaluateError::Invalid(format!("the name of a member is {}", other.kind()))),
            };
            if members.insert(name.clone(), self.value(value)?).is_some() {
                return Err(EvaluateError::Invalid(format!("the member {} is there twice", quoted(&name))));
            }
        }
        Ok(Value::Map(Arc::new(members)))
    }

    fn each(&mut self, each: &Each) -> Result<Value, EvaluateError> {
        let range = self.value(&each.range)?;
        let level = self.items.len();
        self.items.push(Value::Null);
        let made = match &range {
            Value::List(values) => self.make(each, level, values.iter().cloned()),
            Value::Map(members) => self.make(each, level, members.keys().cloned().map(Value::Text)),
            other => Err(EvaluateError::Invalid(format!("{} has no items", other.kind()))),
        };
        self.items.truncate(level);
        made
    }

    fn make(&mut self, each: &Each, level: usize, items: impl Iterator<Item = Value>) -> Result<Value, EvaluateError> {
        let (mut made, mut count, mut wrong) = (Vec::new(), 0, None);
        for item in items {
            self.items[level] = item;
            if let Some(filter) = &each.filter
                && !self.holds(filter)?
            {
                continue;
            }
            match each.makes {
                Makes::Map => made.push(self.value(&each.body)?),
                Makes::Filter if self.holds(&each.body)? => made.push(self.items[level].clone()),
                Makes::Filter => {}
                Makes::ExistsOne => count += u32::from(self.holds(&each.body)?),
                Makes::All | Makes::Exists => match self.holds(&each.body) {
                    Ok(holds) if holds == (each.makes == Makes::Exists) => return Ok(Value::Bool(holds)),
                    Err(EvaluateError::Steps) => return Err(EvaluateError::Steps),
                    // An item without a value is made up for by a later one that decides, as with `&&` and `||`.
                    Err(why) => wrong = wrong.or(Some(why)),
                    Ok(_) => {}
                },
            }
        }
        match (each.makes, wrong) {
            (_, Some(why)) => Err(why),
            (Makes::Map | Makes::Filter, None) => Ok(Value::List(Arc::new(made))),
            (Makes::ExistsOne, None) => Ok(Value::Bool(count == 1)),
            (makes, None) => Ok(Value::Bool(makes == Makes::All)),
        }
    }
}

fn select(of: &Value, name: &str) -> Result<Value, EvaluateError> {
    match of {
        Value::Map(members) => members.get(name).cloned().ok_or_else(|| EvaluateError::Missing(quoted(name))),
        other => Err(no_member(other, name)),
    }
}

fn index(of: &Value, at: &Value) -> Result<Value, EvaluateError> {
    match (of, at) {
        (Value::Map(_), Value::Text(name)) => select(of, name),
        (Value::List(values), Value::Int(_) | Value::Double(_)) => {
            let place = match at {
                Value::Int(place) => Some(*place),
                Value::Double(place) if place.fract() == 0.0 => number::truncated(*place),
                _ => None,
            };
            let value = place.and_then(|place| values.get(usize::try_from(place).ok()?));
            value.cloned().ok_or_else(|| EvaluateError::Missing(format!("such item in a list of {}", values.len())))
        }
        _ => Err(EvaluateError::Invalid(format!("{} has no [{}]", of.kind(), at.kind()))),
    }
}

fn no_member(of: &Value, name: &str) -> EvaluateError {
    EvaluateError::Invalid(format!("{} has no member {}", of.kind(), quoted(name)))
}

/// A name as it stands in messages, bounded.
fn quoted(name: &str) -> String {
    let shown: String = name.chars().take(60).flat_map(char::escape_debug).collect();
    format!("\"{shown}\"")
}
