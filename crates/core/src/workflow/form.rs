//! Forms: the part of JSON Schema (draft 2020-12) that says what a person may fill in.
//!
//! Checked: `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`, `minItems`, `maxItems`,
//! `minLength`, `maxLength`, `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `allOf`, `anyOf`, `oneOf`, `not`,
//! and `true` or `false` in the place of a schema. Words that only describe are allowed. Any other is refused where the
//! workflow is checked, so that nothing is passed over that its author relies on.

use serde_json::{Map, Value};

use crate::limits::MAX_PROBLEMS;

/// Words that say nothing about what is valid.
const NOTES: &[&str] = &[
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "format",
    "deprecated",
    "readOnly",
    "writeOnly",
];

const TYPES: &[&str] = &["null", "boolean", "object", "array", "number", "integer", "string"];

/// The first thing that is wrong with a form itself, with its place.
///
/// # Errors
/// What is wrong, for a person.
pub fn check_form(form: &Value) -> Result<(), String> {
    let words = match form {
        Value::Bool(_) => return Ok(()),
        Value::Object(words) => words,
        _ => return Err("must be a JSON Schema: an object, or true or false".to_owned()),
    };
    for (word, value) in words {
        check_word(word, value).map_err(|why| format!("{word}: {why}"))?;
    }
    Ok(())
}

/// What of a value a form does not allow, each with its place in the value; nothing if it fulfils the form.
#[must_use]
pub fn form_problems(form: &Value, value: &Value) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    compare(form, value, "data", &mut problems);
    problems.truncate(MAX_PROBLEMS);
    problems
}

fn check_word(word: &str, value: &Value) -> Result<(), String> {
    let is = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("must be {what}")) };
    match word {
        "type" => {
            let known = |name: &Value| name.as_str().is_some_and(|name| TYPES.contains(&name));
            is(known(value) || value.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(known)), "a type")
        }
        "enum" => is(value.is_array(), "a list of values"),
        "const" => Ok(()),
        "properties" => {
            let properties = value.as_object().ok_or("must be an object of schemas")?;
            properties.iter().try_for_each(|(name, form)| check_form(form).map_err(|why| format!("{name}: {why}")))
        }
        "required" => is(value.as_array().is_some_and(|names| names.iter().all(Value::is_string)), "a list of names"),
        "additionalProperties" | "items" | "not" => check_form(value),
        "allOf" | "anyOf" | "oneOf" => {
            let forms = value.as_array().filter(|forms| !forms.is_empty()).ok_or("must be a list of schemas")?;
            forms.iter().try_for_each(check_form)
        }
        "minItems" | "maxItems" | "minLength" | "maxLength" => is(value.as_u64().is_some(), "a whole number from 0"),
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => is(value.is_number(), "a number"),
        note if NOTES.contains(&note) => Ok(()),
        _ => Err("is a word that forms do not know".to_owned()),
    }
}

fn compare(form: &Value, value: &Value, place: &str, problems: &mut Vec<(String, String)>) {
    let mut wrong = |why: String| problems.push((place.to_owned(), why));
    let words = match form {
        Value::Object(words) => words,
        Value::Bool(false) => return wrong("is not allowed".to_owned()),
        _ => return,
    };
    if let Some(wanted) = words.get("type").filter(|wanted| !has_type(wanted, value)) {
        let names = wanted.as_str().map_or_else(|| wanted.to_string(), str::to_owned);
        return wrong(format!("is {}; must be of type {names}", bounded(&value.to_string())));
    }
    if let Some(allowed) = words.get("enum").and_then(Value::as_array).filter(|allowed| !allowed.contains(value)) {
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        wrong(format!("must be one of {}", bounded(&allowed.join(", "))));
    }
    if let Some(only) = words.get("const").filter(|only| *only != value) {
        wrong(format!("must be {}", bounded(&only.to_string())));
    }
    for why in out_of_bounds(words, value) {
        wrong(why);
    }
    if let Some(members) = value.as_object() {
        compare_members(words, members, place, problems);
    }
    if let (Some(items), Some(values)) = (words.get("items"), value.as_array()) {
        for (index, value) in values.iter().enumerate() {
            compare(items, value, &format!("{place}[{index}]"), problems);
        }
    }
    compare_with_others(words, value, place, problems);
}

fn compare_members(
    words: &Map<String, Value>,
    members: &Map<String, Value>,
    place: &str,
    problems: &mut Vec<(String, String)>,
) {
    let names = words.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for name in names.filter(|name| !members.contains_key(*name)) {
        problems.push((format!("{place}.{name}"), "is missing".to_owned()));
    }
    let known = words.get("properties").and_then(Value::as_object);
    let others = words.get("additionalProperties");
    for (name, value) in members {
        if let Some(form) = known.and_then(|known| known.get(name)).or(others) {
            compare(form, value, &format!("{place}.{}", bounded(name)), problems);
        }
    }
}

/// What other schemas say of the same value.
fn compare_with_others(words: &Map<String, Value>, value: &Value, place: &str, problems: &mut Vec<(String, String)>) {
    let forms = |word: &str| words.get(word).and_then(Value::as_array);
    let fits = |form: &Value| form_problems(form, value).is_empty();
    for form in forms("allOf").into_iter().flatten() {
        compare(form, value, place, problems);
    }
    let mut wrong = |why: &str| problems.push((place.to_owned(), why.to_owned()));
    if forms("anyOf").is_some_and(|forms| !forms.iter().any(fits)) {
        wrong("fits none of the forms of anyOf");
    }
    if forms("oneOf").is_some_and(|forms| forms.iter().filter(|form| fits(form)).count() != 1) {
        wrong("must fit exactly one of the forms of oneOf");
    }
    if words.get("not").is_some_and(fits) {
        wrong("fits the form of not");
    }
}

/// Bounds of numbers, of the characters of texts, and of the items of lists.
fn out_of_bounds(words: &Map<String, Value>, value: &Value) -> Vec<String> {
    let number = |word: &str| words.get(word).and_then(Value::as_f64);
    let mut wrong = Vec::new();
    if let Some(value) = value.as_f64() {
        let bounds = [
            ("minimum", "at least", number("minimum").is_none_or(|bound| value >= bound)),
            ("maximum", "at most", number("maximum").is_none_or(|bound| value <= bound)),
            ("exclusiveMinimum", "more than", number("exclusiveMinimum").is_none_or(|bound| value > bound)),
            ("exclusiveMaximum", "less than", number("exclusiveMaximum").is_none_or(|bound| value < bound)),
        ];
        for (word, what, _) in bounds.iter().filter(|(_, _, holds)| !holds) {
            wrong.push(format!("must be {what} {}", number(word).unwrap_or_default()));
        }
    }
    let sizes = [
        (value.as_str().map(|text| text.chars().count()), "minLength", "maxLength", "characters"),
        (value.as_array().map(Vec::len), "minItems", "maxItems", "items"),
    ];
    for (size, least, most, what) in sizes {
        let Some(size) = size.map(|size| size as f64) else { continue };
        if let Some(least) = number(least).filter(|least| size < *least) {
            wrong.push(format!("must have at least {least} {what}"));
        }
        if let Some(most) = number(most).filter(|most| size > *most) {
            wrong.push(format!("must have at most {most} {what}"));
        }
    }
    wrong
}

/// The beginning of what a message quotes.
fn bounded(text: &str) -> String {
    const SHOWN: usize = 100;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

fn has_type(wanted: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => value.is_number(),
    };
    match wanted {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_filled_in_is_held_against_the_form() {
        let form = json!({
            "type": "object",
            "required": ["limit"],
            "additionalProperties": false,
            "properties": {
                "limit": {"type": "integer", "minimum": 1, "maximum": 5000},
                "currency": {"enum": ["EUR", "CHF"]},
                "note": {"type": ["string", "null"], "maxLength": 3},
                "tags": {"type": "array", "minItems": 1, "items": {"type": "string"}},
            },
        });
        assert_eq!(check_form(&form), Ok(()));
        let good = json!({"limit": 5.0, "currency": "EUR", "note": "äöü", "tags": ["a"]});
        assert_eq!(form_problems(&form, &good), []);
        let bad = json!({"limit": 0, "currency": "USD", "note": "long", "tags": [], "more": 1});
        let places: Vec<String> = form_problems(&form, &bad).into_iter().map(|(place, _)| place).collect();
        assert_eq!(places, ["data.currency", "data.limit", "data.more", "data.note", "data.tags"]);
        assert_eq!(form_problems(&form, &json!({})), [("data.limit".into(), "is missing".into())]);
        assert_eq!(form_problems(&form, &Value::Null), [("data".into(), "is null; must be of type object".into())]);
        assert_eq!(form_problems(&form, &json!({"limit": 1.5})).len(), 1);
        assert_eq!(form_problems(&form, &json!({"limit": 2, "tags": ["a", 1]}))[0].0, "data.tags[1]");
    }

    #[test]
    fn forms_are_joined() {
        let form = json!({"oneOf": [{"type": "string"}, {"const": 7}], "not": {"const": "no"}});
        for (value, fits) in [(json!("yes"), true), (json!(7), true), (json!("no"), false), (json!(8), false)] {
            assert_eq!(form_problems(&form, &value).is_empty(), fits, "{value}");
        }
        let any = json!({"anyOf": [{"minimum": 5}, {"type": "string"}], "allOf": [{"maximum": 9}]});
        assert!(form_problems(&any, &json!(6)).is_empty());
        assert!(!form_problems(&any, &json!(3)).is_empty() && !form_problems(&any, &json!(10)).is_empty());
    }

    #[test]
    fn a_form_that_is_none_is_told_with_its_place() {
        for (form, told) in [
            (json!(7), "must be a JSON Schema"),
            (json!({"type": "text"}), "type: must be a type"),
            (
                json!({"properties": {"a": {"pattern": "^x"}}}),
                "properties: a: pattern: is a word that forms do not know",
            ),
            (json!({"required": "a"}), "required: must be a list of names"),
            (json!({"oneOf": []}), "oneOf: must be a list of schemas"),
        ] {
            let why = check_form(&form).unwrap_err();
            assert!(why.starts_with(told), "{why}");
        }
        assert_eq!(check_form(&json!({"title": "Limit", "format": "date"})), Ok(()));
    }
}
