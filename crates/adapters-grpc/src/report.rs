//! What an agent tells in metadata of how good its answer is and what it took: an extension of A2A.

use prost_types::Struct;
use prost_types::value::Kind;
use tutti_a2a::extension;
use tutti_core::ports::agent::{AgentError, AgentReport};

use crate::fault::broken;

/// Millionths of the currency in one.
const MICROS: f64 = 1_000_000.0;

/// The largest whole number that a 64-bit float holds exactly with all before it.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Adds what metadata tells to what is known; of one thing told twice the last word counts. Scores are taken as they are,
/// NaN too: whoever called [checks](AgentReport::check) them. What a later version of the extension may add is passed over.
///
/// # Errors
/// `InvalidAnswer` when it has not the form of the extension.
pub fn read(known: &mut Option<Box<AgentReport>>, metadata: Option<&Struct>) -> Result<(), AgentError> {
    let Some(told) = metadata.and_then(|metadata| metadata.fields.get(extension::REPORT)) else { return Ok(()) };
    let report = known.get_or_insert_default();
    for (name, member) in object(told.kind.as_ref(), "the report")? {
        match name.as_str() {
            "quality" => {
                for (metric, score) in object(member.kind.as_ref(), "quality")? {
                    match score.kind {
                        Some(Kind::NumberValue(score)) => report.quality.insert(metric.clone(), score),
                        // Told to be missing.
                        Some(Kind::NullValue(_)) | None => report.quality.remove(metric),
                        _ => return Err(broken(format!("the quality score {metric} is no number"))),
                    };
                }
            }
            "usage" => {
                for (name, amount) in object(member.kind.as_ref(), "usage")? {
                    let (place, factor) = match name.as_str() {
                        "cost" => (&mut report.usage.cost_micros, MICROS),
                        "tokens_in" => (&mut report.usage.tokens_in, 1.0),
                        "tokens_out" => (&mut report.usage.tokens_out, 1.0),
                        _ => continue,
                    };
                    *place = amount_of(name, amount.kind.as_ref(), factor)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The members of an object; of null, none.
fn object<'a>(
    kind: Option<&'a Kind>,
    what: &str,
) -> Result<impl Iterator<Item = (&'a String, &'a prost_types::Value)>, AgentError> {
    let fields = match kind {
        Some(Kind::StructValue(object)) => Some(&object.fields),
        Some(Kind::NullValue(_)) | None => None,
        _ => return Err(broken(format!("{what} in the metadata {} is no object", extension::REPORT))),
    };
    Ok(fields.into_iter().flatten())
}

fn amount_of(name: &str, kind: Option<&Kind>, factor: f64) -> Result<u64, AgentError> {
    match kind {
        Some(Kind::NumberValue(amount)) if (0.0..=MAX_EXACT).contains(&(amount * factor)) => {
            // In bounds, so that nothing is lost but a fraction.
            Ok((amount * factor).round() as u64)
        }
        Some(Kind::NullValue(_)) | None => Ok(0),
        _ => Err(broken(format!("{name} in the usage is no number of 0 or more, or too large"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tutti_a2a::json::to_struct;
    use tutti_core::ports::agent::AgentErrorKind;

    use super::*;

    fn metadata(report: &Value) -> Struct {
        let Value::Object(entries) = json!({(extension::REPORT): report, "other": 1}) else { unreachable!() };
        to_struct(&entries).unwrap()
    }

    fn read_one(report: &Value) -> Result<Option<Box<AgentReport>>, AgentError> {
        let mut known = None;
        read(&mut known, Some(&metadata(report))).map(|()| known)
    }

    #[test]
    fn scores_and_usage_are_read_and_the_last_word_counts() {
        let mut known = read_one(&json!({
            "quality": {"accuracy": 0.5, "completeness": 0.9},
            "usage": {"cost": 0.001_234, "tokens_in": 10, "tokens_out": 2, "seconds": "later"},
            "later": true,
        }))
        .unwrap();
        let again = json!({"quality": {"accuracy": 0.7, "completeness": null}, "usage": {"cost": 2}});
        read(&mut known, Some(&metadata(&again))).unwrap();
        read(&mut known, None).unwrap();
        let report = known.unwrap();
        assert_eq!(report.quality.into_iter().collect::<Vec<_>>(), [("accuracy".to_owned(), 0.7)]);
        assert_eq!((report.usage.cost_micros, report.usage.tokens()), (2_000_000, 12));
    }

    #[test]
    fn metadata_without_the_extension_is_no_report() {
        let mut known = None;
        read(&mut known, Some(&Struct::default())).unwrap();
        assert_eq!(known, None);
    }

    #[test]
    fn what_has_not_the_form_is_the_agents_error() {
        for wrong in [
            json!(1),
            json!({"quality": [1]}),
            json!({"quality": {"accuracy": "good"}}),
            json!({"usage": {"cost": -1}}),
            json!({"usage": {"tokens_in": 1e300}}),
            json!({"usage": {"tokens_out": "many"}}),
        ] {
            assert_eq!(read_one(&wrong).unwrap_err().kind, AgentErrorKind::InvalidAnswer, "{wrong}");
        }
    }
}
