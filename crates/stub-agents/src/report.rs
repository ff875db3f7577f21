//! What is told beside an answer: scores and what it took, by the extension of A2A that Tutti reads.

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tutti_a2a::{extension, json};

use crate::file::Rule;
use crate::template::{Scope, fill};

/// The text that stands for the number that is none: JSON has no word for it.
const NAN: &str = "NaN";

/// The metadata of the task that a rule plays; `None` if it tells nothing.
///
/// # Errors
/// A reference to what is not there.
pub(crate) fn of(rule: &Rule, scope: Scope<'_>) -> Result<Option<Struct>, String> {
    let mut report = Struct::default();
    if !rule.quality.is_empty() {
        let mut scores = Struct::default();
        for (metric, score) in &rule.quality {
            let score = fill(score, scope)?;
            let told =
                if score == NAN { number(f64::NAN) } else { json::to_proto(&score).map_err(|e| e.to_string())? };
            scores.fields.insert(metric.clone(), told);
        }
        report.fields.insert("quality".to_owned(), object(scores));
    }
    if let Some(usage) = &rule.usage {
        let amounts =
            [("cost", usage.cost), ("tokens_in", usage.tokens_in as f64), ("tokens_out", usage.tokens_out as f64)];
        let fields = amounts.into_iter().map(|(name, amount)| (name.to_owned(), number(amount))).collect();
        report.fields.insert("usage".to_owned(), object(Struct { fields }));
    }
    let told = !report.fields.is_empty();
    let fields = [(extension::REPORT.to_owned(), object(report))].into_iter().collect();
    Ok(told.then_some(Struct { fields }))
}

const fn number(number: f64) -> Value {
    Value { kind: Some(Kind::NumberValue(number)) }
}

const fn object(object: Struct) -> Value {
    Value { kind: Some(Kind::StructValue(object)) }
}
