//! What is found out about an answer beside its agent's own scores: by checks that are made here, and by a judge.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::rule::{Bar, CHECKS, Rule};
use crate::ids::AgentId;
use crate::limits::{MAX_MESSAGE_BYTES, MAX_PROBLEMS};
use crate::ports::agent::AgentReport;
use crate::value::{DataPath, Json, member};
use crate::workflow::form_problems;

/// What was found out about an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// Scores of checks that are made here.
    pub scores: BTreeMap<String, f64>,
    /// What they found.
    pub notes: Vec<String>,
    /// What a judge says.
    pub judge: Option<Judgement>,
    /// True if another suitable agent has not been asked in this round.
    pub other_agent: bool,
}

/// What a judge says of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Who.
    pub agent: AgentId,
    /// Its scores by metric.
    pub scores: BTreeMap<String, f64>,
    /// Its words.
    pub notes: Vec<String>,
}

/// Makes the checks of a rule on an output.
#[must_use]
pub fn check(rule: &Rule, output: &Json) -> Findings {
    let mut findings = Findings::default();
    if !rule.required.is_empty() {
        let is_there = |path: &&DataPath| has(output, path);
        let there = rule.required.iter().filter(is_there).count();
        findings.scores.insert("required".to_owned(), there as f64 / rule.required.len() as f64);
        let missing = rule.required.iter().filter(|path| !is_there(path));
        findings.notes.extend(missing.map(|path| format!("{path} is missing")));
    }
    if let Some(schema) = &rule.schema {
        let read = |text: &Json| serde_json::from_str::<Value>(text.as_str()).unwrap_or_default();
        let problems = form_problems(&read(schema), &read(output));
        findings.scores.insert("schema".to_owned(), if problems.is_empty() { 1.0 } else { 0.0 });
        let words = problems.into_iter().map(|(place, why)| format!("{place} {why}"));
        findings.notes.extend(words);
    }
    if rule.length != (None, None) {
        let length = length(output);
        let (min, max) = rule.length;
        let fits = min.is_none_or(|min| length >= min) && max.is_none_or(|max| length <= max);
        findings.scores.insert("length".to_owned(), if fits { 1.0 } else { 0.0 });
        let bound = |word: &str, bound: Option<u64>| bound.map(|bound| format!("{word} {bound}"));
        let bounds: Vec<String> = [bound("at least", min), bound("at most", max)].into_iter().flatten().collect();
        findings.notes.extend((!fits).then(|| format!("has {length} characters; {} are wanted", bounds.join(" and "))));
    }
    bound_notes(&mut findings.notes);
    findings
}

/// What a judge is given: what was asked, what was answered, and by what it is to be judged.
#[derive(Debug, Serialize)]
struct Brief<'a> {
    task: Task<'a>,
    answer: &'a Json,
    domain: &'a str,
    metrics: BTreeMap<&'a str, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<&'a str>,
}

/// What was asked.
#[derive(Debug, Serialize)]
struct Task<'a> {
    capability: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    input: &'a Json,
}

/// What a judge is given of a task (its capability, action and input) and the answer to it.
///
/// # Errors
/// Says why it is no value, as when it is too large.
pub fn judge_input(rule: &Rule, task: (&str, Option<&str>, &Json), answer: &Json) -> Result<Json, String> {
    let metrics = rule.metrics.iter().filter(|(metric, _)| !CHECKS.contains(&metric.as_str()));
    let bar = |(metric, bar): (_, &Bar)| {
        let metric: &String = metric;
        (metric.as_str(), json!({"weight": bar.weight, "threshold": bar.threshold}))
    };
    let (capability, action, input) = task;
    let brief = Brief {
        task: Task { capability, action, input },
        answer,
        domain: &rule.domain,
        metrics: metrics.map(bar).collect(),
        instructions: rule.judge.as_ref().and_then(|judge| judge.instructions.as_deref()),
    };
    Json::of(&brief).map_err(|error| error.to_string())
}

/// What a judge says by its answer: scores in its report, else in `scores` of its output; its words in `feedback`.
///
/// # Errors
/// Says why it is no judgement.
pub fn judgement(agent: AgentId, output: &Json, report: Option<&AgentReport>) -> Result<Judgement, String> {
    let value: Value = serde_json::from_str(output.as_str()).map_err(|e| e.to_string())?;
    let told = report.map(|report| &report.quality).filter(|scores| !scores.is_empty());
    let scores = match told {
        Some(scores) => scores.clone(),
        None => {
            let scores = value.get("scores").and_then(Value::as_object);
            let scores = scores.ok_or("its answer has neither a report with scores nor a member \"scores\"")?;
            let scores = scores.iter().filter(|(_, score)| !score.is_null());
            let number = |(metric, score): (&String, &Value)| match score.as_f64() {
                Some(number) => Ok((metric.clone(), number)),
                None => Err(format!("its score {} is no number", metric.escape_debug())),
            };
            scores.map(number).collect::<Result<_, _>>()?
        }
    };
    let mut report = AgentReport { quality: scores, ..AgentReport::default() };
    report.check().map_err(|error| error.message)?;
    let mut notes: Vec<String> = match value.get("feedback") {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    bound_notes(&mut notes);
    Ok(Judgement { agent, scores: report.quality, notes })
}

/// True if there is a value at a path, other than null.
fn has(output: &Json, path: &DataPath) -> bool {
    let found = path.segments().try_fold(output.clone(), |value, name| member(&value, name));
    found.is_some_and(|value| value.as_str() != "null")
}

/// Characters of a text, or of the JSON text of anything else.
fn length(output: &Json) -> u64 {
    let text = serde_json::from_str::<String>(output.as_str());
    text.map_or_else(|_| output.as_str().chars().count(), |text| text.chars().count()) as u64
}

/// What is recorded of many or long words.
fn bound_notes(notes: &mut Vec<String>) {
    notes.truncate(MAX_PROBLEMS);
    let mut left = MAX_MESSAGE_BYTES;
    notes.retain_mut(|note| {
        note.truncate(note.floor_char_boundary(left));
        left -= note.len();
        !note.is_empty()
    });
}
