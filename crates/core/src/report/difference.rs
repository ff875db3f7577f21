//! How two runs differ: what became of their steps, what came out, how long it took and what it cost.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::figures::{Output, RunFigures, StepFigures};
use crate::value::Json;

/// Most places that are told in which two values differ.
const PLACES: usize = 20;

/// How two runs differ. Times and costs are told; they are no differences.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunDifference {
    /// The one.
    pub left: RunFigures,
    /// The other.
    pub right: RunFigures,
    /// True if both ended alike: the same state, the same steps with the same states and outputs.
    pub same: bool,
    /// The first difference, by the time at which the steps began.
    pub first_difference: Option<FirstDifference>,
    /// How the data at the start differs.
    pub start: Vec<ValueDifference>,
    /// Every step of either, in the order of the one, then those that the other alone has.
    pub steps: Vec<StepDifference>,
}

/// Where two runs begin to differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FirstDifference {
    /// The step; nothing if it is the data at the start.
    pub step: Option<String>,
    /// What differs, for a person (untrusted text).
    pub what: String,
}

/// A step of two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepDifference {
    /// The step.
    pub step: String,
    /// What it came to in the one run; nothing if that has no such step.
    pub left: Option<StepFigures>,
    /// What it came to in the other one.
    pub right: Option<StepFigures>,
    /// In what it differs.
    pub differs: Vec<Aspect>,
    /// Where the outputs differ, the first 20 places.
    pub output: Vec<ValueDifference>,
}

/// In what a step differs. The agent and the number of attempts are told, though what came out may be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// One run alone has it.
    Presence,
    /// Its state.
    State,
    /// Its output.
    Output,
    /// The agent that was asked last.
    Agent,
    /// How often it was tried.
    Attempts,
}

/// A place in which two values differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValueDifference {
    /// The place, such as `price` or `parts[2].text`; empty for the whole.
    pub path: String,
    /// What the one has there.
    pub left: Option<Json>,
    /// What the other has there.
    pub right: Option<Json>,
}

impl RunDifference {
    /// Holds two runs against each other.
    #[must_use]
    pub fn new(left: RunFigures, right: RunFigures) -> Self {
        let start = match (&left.start, &right.start) {
            (Some(a), Some(b)) => differences(a, b),
            _ => Vec::new(),
        };
        let others: BTreeMap<String, &StepFigures> =
            right.steps.iter().map(|step| (step.path.to_string(), step)).collect();
        let ours: BTreeSet<String> = left.steps.iter().map(|step| step.path.to_string()).collect();
        let mut steps: Vec<StepDifference> = left
            .steps
            .iter()
            .map(|step| StepDifference::new(Some(step), others.get(&step.path.to_string()).copied()))
            .collect();
        let rest = right.steps.iter().filter(|step| !ours.contains(&step.path.to_string()));
        steps.extend(rest.map(|step| StepDifference::new(None, Some(step))));
        let same = left.state == right.state && start.is_empty() && !steps.iter().any(StepDifference::matters);
        let first_difference = first(&start, &steps);
        Self { left, right, same, first_difference, start, steps }
    }
}

impl StepDifference {
    fn new(left: Option<&StepFigures>, right: Option<&StepFigures>) -> Self {
        let mut differs = Vec::new();
        let mut output = Vec::new();
        if let (Some(a), Some(b)) = (left, right) {
            match (&a.output, &b.output) {
                (Some(Output::Known(a)), Some(Output::Known(b))) => output = differences(a, b),
                (a, b) if a == b => {}
                (a, b) => output.push(ValueDifference { path: String::new(), left: known(a), right: known(b) }),
            }
            for (aspect, is) in [
                (Aspect::State, a.state != b.state),
                (Aspect::Output, !output.is_empty()),
                (Aspect::Agent, a.agent != b.agent),
                (Aspect::Attempts, a.attempts != b.attempts),
            ] {
                differs.extend(is.then_some(aspect));
            }
        } else {
            differs.push(Aspect::Presence);
        }
        let step = left.or(right).map(|step| step.path.to_string()).unwrap_or_default();
        Self { step, left: left.cloned(), right: right.cloned(), differs, output }
    }

    /// True if the step ended in another way, or with another output.
    #[must_use]
    pub fn matters(&self) -> bool {
        self.differs.iter().any(|aspect| matches!(aspect, Aspect::Presence | Aspect::State | Aspect::Output))
    }

    fn began(&self) -> f64 {
        let began = |step: &Option<StepFigures>| step.as_ref().and_then(|step| step.offset_seconds);
        began(&self.left).or(began(&self.right)).unwrap_or(f64::INFINITY)
    }

    fn what(&self) -> String {
        let (Some(a), Some(b)) = (&self.left, &self.right) else {
            return format!("the {} run alone has it", if self.left.is_some() { "left" } else { "right" });
        };
        if a.state != b.state {
            let why = |step: &StepFigures| step.error.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            return format!("it is {}{} and {}{}", a.state, why(a), b.state, why(b));
        }
        match self.output.first() {
            Some(place) => place.told(),
            None => String::new(),
        }
    }
}

impl ValueDifference {
    /// The difference in words (untrusted text).
    #[must_use]
    pub fn told(&self) -> String {
        let shown =
            |value: &Option<Json>| value.as_ref().map_or_else(|| "nothing".to_owned(), |value| short(value.as_str()));
        let at = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
        format!("{at}{} and {}", shown(&self.left), shown(&self.right))
    }
}

/// The places in which two values differ, the first 20: numbers by what they are worth, objects whatever the order of their
/// members.
#[must_use]
pub fn differences(left: &Json, right: &Json) -> Vec<ValueDifference> {
    let mut found = Vec::new();
    if left == right {
        return found;
    }
    match (serde_json::from_str(left.as_str()), serde_json::from_str(right.as_str())) {
        (Ok(a), Ok(b)) => compare(&a, &b, String::new(), &mut found),
        // A number that is out of range: the texts differ, and nobody can say more.
        _ => found.push(ValueDifference { path: String::new(), left: Some(left.clone()), right: Some(right.clone()) }),
    }
    found
}

fn compare(left: &Value, right: &Value, path: String, found: &mut Vec<ValueDifference>) {
    if found.len() >= PLACES {
        return;
    }
    let json = |value: Option<&Value>| value.and_then(|value| Json::of(value).ok());
    match (left, right) {
        (Value::Object(a), Value::Object(b)) => {
            for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                pair(a.get(name), b.get(name), path, found);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for index in 0..a.len().max(b.len()) {
                pair(a.get(index), b.get(index), format!("{path}[{index}]"), found);
            }
        }
        (Value::Number(a), Value::Number(b)) if a == b || (!(a.is_i64() && b.is_i64()) && a.as_f64() == b.as_f64()) => {
        }
        (a, b) if a == b => {}
        (a, b) => found.push(ValueDifference { path, left: json(Some(a)), right: json(Some(b)) }),
    }
}

fn pair(left: Option<&Value>, right: Option<&Value>, path: String, found: &mut Vec<ValueDifference>) {
    let json = |value: Option<&Value>| value.and_then(|value| Json::of(value).ok());
    match (left, right) {
        (Some(a), Some(b)) => compare(a, b, path, found),
        (a, b) if found.len() < PLACES => found.push(ValueDifference { path, left: json(a), right: json(b) }),
        _ => {}
    }
}

/// The first difference that matters.
fn first(start: &[ValueDifference], steps: &[StepDifference]) -> Option<FirstDifference> {
    if let Some(place) = start.first() {
        return Some(FirstDifference { step: None, what: place.told() });
    }
    let first = steps.iter().filter(|step| step.matters()).min_by(|a, b| a.began().total_cmp(&b.began()))?;
    Some(FirstDifference { step: Some(first.step.clone()), what: first.what() })
}

fn known(output: &Option<Output>) -> Option<Json> {
    match output {
        Some(Output::Known(value)) => Some(value.clone()),
        Some(Output::Apart(payload)) => Json::of(payload).ok(),
        None => None,
    }
}

/// The beginning of a value.
fn short(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
