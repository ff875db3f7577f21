//! What holds for whatever comes in from outside, as functions of arbitrary input: fuzz targets and property tests call them.

#![expect(clippy::unwrap_used, reason = "a property that does not hold is told by panicking")]

use serde_json::{Map, Value};
use tutti_core::plan::Plan;
use tutti_core::value::{DataPath, DataTree, Json};
use tutti_core::workflow::{Workflow, parse};

/// Whatever is given as a workflow is read or refused with reasons; what is read comes back from its stored form as it was,
/// and can be planned.
///
/// # Panics
/// If that does not hold.
pub fn workflow_text(text: &str) {
    match parse(text) {
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            for problem in problems {
                assert!(!problem.to_string().is_empty());
            }
        }
        Ok(parsed) => {
            let (definition, canonical) = parsed.workflow.to_canonical();
            let again = Workflow::from_canonical(&canonical).unwrap();
            assert_eq!(again, parsed.workflow, "the stored form is another workflow");
            assert_eq!(again.to_canonical(), (definition, canonical), "the stored form is not stable");
            let plan = Plan::new(again).unwrap_or_else(|problems| panic!("read, but not to be planned: {problems:?}"));
            assert_eq!(plan.len(), parsed.workflow.steps.len());
        }
    }
}

/// Values put at paths are read back byte for byte, and the whole is what plain objects would have become.
///
/// The first line of the text is the value at the start; each further line is a path, `=` and a value. Lines that are
/// neither are left out.
///
/// # Panics
/// If that does not hold.
pub fn mapping_lines(text: &str) {
    let mut lines = text.lines();
    let Ok(start) = Json::parse(lines.next().unwrap_or_default().to_owned()) else { return };
    let mut model = plain(&start);
    let mut tree = DataTree::new(start);
    let mut paths: Vec<DataPath> = Vec::new();
    for line in lines {
        let Some((path, value)) = line.split_once('=') else { continue };
        let Ok(path) = path.parse::<DataPath>() else { continue };
        check_path(&path, &paths);
        let Ok(value) = Json::parse(value.to_owned()) else {
            let _ = tree.get(&path);
            continue;
        };
        tree.set(&path, value.clone());
        assert_eq!(tree.get(&path), Some(value.clone()), "at {path}");
        match (&mut model, plain(&value)) {
            (Some(model), Some(value)) => put(model, &path, value),
            _ => model = None,
        }
        paths.push(path);
    }
    let whole = tree.to_json();
    if let Some(model) = model {
        assert_eq!(plain(&whole), Some(model));
    }
    for path in &paths {
        let again = DataTree::new(whole.clone());
        assert_eq!(again.get(path), tree.get(path), "at {path}, after the whole was written");
    }
}

fn check_path(path: &DataPath, others: &[DataPath]) {
    let joined = path.segments().collect::<Vec<_>>().join(".");
    assert_eq!((joined.as_str(), joined.parse()), (path.as_str(), Ok(path.clone())));
    assert!(path.is_within(path));
    for other in others {
        assert_eq!(path.overlaps(other), other.overlaps(path));
        let (longer, shorter): (Vec<_>, Vec<_>) = (path.segments().collect(), other.segments().collect());
        assert_eq!(path.is_within(other), longer.starts_with(&shorter), "{path} in {other}");
    }
}

/// A value as plain objects; `None` if it holds a number that they cannot (such as `1e400`).
fn plain(value: &Json) -> Option<Value> {
    let mut reader = serde_json::Deserializer::from_str(value.as_str());
    serde::de::Deserialize::deserialize(&mut reader).ok()
}

fn put(whole: &mut Value, path: &DataPath, value: Value) {
    let mut place = whole;
    for segment in path.segments() {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = place.as_object_mut().unwrap().entry(segment).or_insert(Value::Null);
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const WORKFLOW: &str = "id: w\nname: A workflow\nversion: '1.2'\nexecutor: parallel\nmax_concurrent_tasks: 4\n\
        timeout: 1h\non_error: continue\ndata: {start: {n: 7, list: [1, 2]}}\nsteps:\n\
        - {id: a, capability: c, input: {n: start.n, fixed: {value: [1]}}, output: {v: results.a}}\n\
        - id: b\n  capability: d\n  depends_on: [a]\n  action: act\n  critical: true\n  parallel_safe: false\n  \
        retry: {max_attempts: 3, backoff: 100ms, jitter: 0.5}\n  input:\n    x: {from: results.a, required: false}\n";

    /// What is inserted into a workflow: what means something to its reader, and what means nothing.
    const PIECES: [&str; 30] = [
        "\n",
        " ",
        "  ",
        ":",
        ": ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "'",
        "\"",
        "#",
        "|",
        ">",
        "&a ",
        "*a",
        "!!str ",
        "~",
        "a",
        "id",
        "steps",
        "depends_on",
        "-1",
        "99999999999999999999",
        "1e999",
        "\u{0}",
        "\u{feff}",
        "\u{1F980}",
    ];

    fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, &'static str)>> {
        vec((any::<prop::sample::Index>(), 0..6_usize, select(&PIECES[..])), 1..8)
    }

    /// The text with some characters at some places replaced by other pieces.
    fn edited(edits: &[(prop::sample::Index, usize, &'static str)]) -> String {
        let mut text: Vec<char> = WORKFLOW.chars().collect();
        for (at, removed, piece) in edits {
            let from = at.index(text.len() + 1);
            let to = (from + removed).min(text.len());
            text.splice(from..to, piece.chars());
        }
        text.into_iter().collect()
    }

    const VALUES: [&str; 9] = [
        "1",
        "null",
        "{}",
        "[1, 2]",
        r#"{"a":{"b":1}}"#,
        r#"{ "a" : 1, "a" : {"b":[]} }"#,
        "1e400",
        "{",
        "\"\\u0061\"",
    ];

    fn line() -> impl Strategy<Value = String> {
        let names = || select(&["a", "b", "c d", "0", "\u{e9}", "start", ""][..]);
        let path = vec(names(), 1..5).prop_map(|names| names.join("."));
        prop_oneof![
            4 => (path, select(&VALUES[..])).prop_map(|(path, value)| format!("{path}={value}")),
            1 => ".*",
        ]
    }

    #[test]
    fn the_workflow_that_is_edited_is_valid() {
        assert!(parse(WORKFLOW).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn any_text_is_a_workflow_or_refused(text in "(?s).{0,400}") {
            workflow_text(&text);
        }

        #[test]
        fn an_edited_workflow_is_read_or_refused(edits in edits()) {
            workflow_text(&edited(&edits));
        }

        #[test]
        fn mappings_are_as_plain_objects(start in line(), lines in vec(line(), 0..8)) {
            let start = start.split_once('=').map_or("{}", |(_, value)| value);
            mapping_lines(&format!("{start}\n{}", lines.join("\n")));
        }
    }
}
