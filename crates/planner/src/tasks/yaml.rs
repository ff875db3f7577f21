//! A value as YAML that people read and change.

use std::fmt::Write as _;

use serde_json::Value;

/// Members of workflows and tasks that come first, in this order; the others follow by name.
const FIRST: [&str; 24] = [
    "id",
    "name",
    "version",
    "description",
    "query",
    "type",
    "capability",
    "action",
    "agent",
    "stage",
    "executor",
    "max_concurrent_tasks",
    "inputs",
    "data",
    "input",
    "output",
    "depends_on",
    "dependencies",
    "estimated_duration",
    "resources",
    "timeout",
    "retry",
    "dependency_rules",
    "steps",
];

/// The value as YAML 1.2: objects and lists in blocks, short lists of plain values in a line.
#[must_use]
pub fn yaml(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn block(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_by_key(|(name, _)| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()));
            for (at, (name, value)) in members.into_iter().enumerate() {
                // The first member of a list's item stands behind the dash.
                let first_of_item = at == 0 && text.ends_with("- ");
                if !first_of_item {
                    _ = write!(text, "{:indent$}", "");
                }
                _ = write!(text, "{}:", scalar(&Value::String(name.clone())));
                nested(value, indent + 2, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                _ = write!(text, "{:indent$}- ", "");
                match item {
                    Value::Object(members) if !members.is_empty() => block(item, indent + 2, text),
                    _ => _ = writeln!(text, "{}", flow(item)),
                }
            }
        }
        other => _ = writeln!(text, "{:indent$}{}", "", flow(other)),
    }
}

fn nested(value: &Value, indent: usize, text: &mut String) {
    let is_plain = |value: &Value| !value.is_object() && !value.is_array();
    match value {
        Value::Object(members) if members.len() > 1 || members.values().any(|value| !is_plain(value)) => {
            text.push('\n');
            block(value, indent, text);
        }
        Value::Array(items) if items.iter().any(|item| !is_plain(item)) => {
            text.push('\n');
            block(value, indent, text);
        }
        other => _ = writeln!(text, " {}", flow(other)),
    }
}

/// A value in one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let told = members.iter().map(|(name, value)| format!("{}: {}", scalar(&name.clone().into()), flow(value)));
            format!("{{{}}}", told.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        other => scalar(other),
    }
}

/// A text without quotes where no reader can take it for something else, all else as JSON, which YAML contains.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_plain(text: &str) -> bool {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    if unit.len() < text.len() && ["us", "ms", "s", "m", "h"].contains(&unit) {
        return true;
    }
    const WORDS: [&str; 8] = ["true", "false", "null", "yes", "no", "on", "off", "y"];
    let lowercase = text.to_ascii_lowercase();
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-' | '/' | '(' | ')'))
        && !text.ends_with(' ')
        && !WORDS.contains(&lowercase.as_str())
        && lowercase != "n"
        && !text.contains(" -")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use tutti_core::workflow::Document;

    use super::*;

    #[test]
    fn a_workflow_is_readable() {
        let value =
            json!({"id": "w", "steps": [{"id": "a", "depends_on": ["b", "c"], "input": {"x": {"value": "no: 1"}}}]});
        let text = yaml(&value);
        assert_eq!(text, "id: w\nsteps:\n  - id: a\n    input:\n      x: {value: \"no: 1\"}\n    depends_on: [b, c]\n");
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[ -~é\n\t]{0,12}".prop_map(Value::from),
            prop::sample::select(vec!["true", "No", "~", "1e3", "- a", "a: b", "#c", ""]).prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ -~]{1,6}", inner, 0..4).prop_map(|m| json!(m)),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in values()) {
            let text = yaml(&json!({"value": value}));
            let read = Document::read(&text).map_err(|problems| TestCaseError::fail(format!("{problems:?}\n{text}")))?;
            let read: Value = serde_json::from_str(&read.to_json()).unwrap();
            prop_assert_eq!(&read["value"], &value, "{}", text);
        }
    }
}
