use bytes::Bytes;
use tutti_a2a::v1::{self, part::Content as Wire};

use super::*;

fn data(text: &str) -> v1::Part {
    part(Wire::Data(json::parse(text.as_bytes()).unwrap()), "", "")
}

fn text(text: &str, media_type: &str) -> v1::Part {
    part(Wire::Text(text.to_owned()), media_type, "")
}

fn file(bytes: &'static [u8], filename: &str) -> v1::Part {
    part(Wire::Raw(Bytes::from_static(bytes)), "", filename)
}

fn part(content: Wire, media_type: &str, filename: &str) -> v1::Part {
    v1::Part {
        content: Some(content),
        media_type: media_type.to_owned(),
        filename: filename.to_owned(),
        ..Default::default()
    }
}

fn group(id: &str, parts: Vec<v1::Part>) -> Group {
    Group { id: id.to_owned(), name: String::new(), pieces: Pieces::of(parts).unwrap() }
}

fn completed(artifacts: Vec<Group>, message: Option<Group>) -> (String, Vec<Artifact>) {
    match answer(artifacts, message, None).unwrap() {
        Answer::Completed { output, artifacts, .. } => (output.as_str().to_owned(), artifacts),
        Answer::Suspended { .. } => unreachable!("a completed task is never suspended"),
    }
}

fn ids(artifacts: &[Artifact]) -> Vec<&str> {
    artifacts.iter().map(|artifact| artifact.id.as_str()).collect()
}

#[test]
fn one_value_is_the_output_and_no_artifact() {
    let (output, artifacts) = completed(vec![group("a", vec![data("{\"n\":1}")])], None);
    assert_eq!(output, "{\"n\":1}");
    assert_eq!(artifacts, []);
}

#[test]
fn one_value_among_other_content_leaves_the_other_content() {
    let report = group("r", vec![text("# Report", "text/markdown")]);
    let mixed = group("m", vec![text("see", ""), data("{\"n\":1}")]);
    let (output, artifacts) = completed(vec![group("a", vec![data("{\"n\":1}")]), report.clone()], None);
    assert_eq!(output, "{\"n\":1}");
    assert_eq!(ids(&artifacts), ["r"]);
    assert_eq!(artifacts[0].bytes, "# Report");
    assert_eq!(artifacts[0].media_type.as_deref(), Some("text/markdown"));
    let (output, artifacts) = completed(vec![mixed, report], None);
    assert_eq!(output, "{\"n\":1}");
    assert_eq!(ids(&artifacts), ["m/1", "m/2", "r"]);
    assert_eq!(artifacts[1].bytes, "{\"n\":1}");
}

#[test]
fn several_objects_are_merged_the_later_wins() {
    let groups =
        vec![group("a", vec![data("{\"x\":1,\"y\":1}"), data("{\"y\":2}")]), group("b", vec![data("{\"z\":3}")])];
    let (output, artifacts) = completed(groups, None);
    assert_eq!(output, "{\"x\":1,\"y\":2,\"z\":3}");
    assert_eq!(ids(&artifacts), ["a/1", "a/2", "b"]);
}

#[test]
fn several_values_that_are_not_all_objects_are_an_array() {
    let (output, _) = completed(vec![group("a", vec![data("{\"x\":1}"), data("[2]"), data("null")])], None);
    assert_eq!(output, "[{\"x\":1},[2],null]");
}

#[test]
fn text_is_the_output_when_there_is_no_value() {
    let (output, artifacts) = completed(vec![group("a", vec![text("he", ""), text("llo", "")])], None);
    assert_eq!(output, "\"hello\"");
    assert_eq!(ids(&artifacts), ["a"]);
    assert_eq!(artifacts[0].media_type.as_deref(), Some("text/plain"));
}

#[test]
fn json_text_is_a_value_byte_for_byte() {
    let exact = "{\"id\": 12345678901234567890123}";
    let (head, tail) = exact.split_at(9);
    let parts = vec![text(head, "application/json"), text(tail, "application/json; charset=utf-8")];
    let (output, _) = completed(vec![group("a", vec![text(exact, "Application/JSON; charset=utf-8")])], None);
    assert_eq!(output, exact);
    // Another spelling of the media type is another piece, so this is text.
    let (output, _) = completed(vec![group("a", parts)], None);
    assert_eq!(output, Json::of(exact).unwrap().as_str());
    let (output, _) = completed(vec![group("a", vec![text("{broken", "application/json")])], None);
    assert_eq!(output, "\"{broken\"");
}

#[test]
fn the_message_counts_only_when_the_artifacts_say_nothing() {
    let message = || Some(group("m", vec![text("Done.", ""), file(b"x", "log.txt")]));
    let (output, artifacts) = completed(vec![group("a", vec![data("1")])], message());
    assert_eq!((output.as_str(), artifacts.len()), ("1", 0));
    let (output, artifacts) = completed(vec![], message());
    assert_eq!((output.as_str(), ids(&artifacts)), ("\"Done.\"", vec!["m/2"]));
    assert_eq!(artifacts[0].name, "log.txt");
    let (output, artifacts) = completed(vec![group("a", vec![file(b"png", "chart.png")])], message());
    assert_eq!((output.as_str(), ids(&artifacts)), ("\"Done.\"", vec!["a", "m/2"]));
}

#[test]
fn files_alone_are_named_by_the_output() {
    let link = part(Wire::Url("https://example.org/x".to_owned()), "image/png", "");
    let groups = vec![group("a", vec![file(b"png", "chart.png")]), group("b", vec![link])];
    let (output, artifacts) = completed(groups, None);
    assert_eq!(output, "{\"artifacts\":[\"chart.png\",\"b\"]}");
    assert_eq!(artifacts[1].media_type.as_deref(), Some("text/uri-list"));
    assert_eq!(artifacts[1].bytes, "https://example.org/x");
}

#[test]
fn the_name_of_an_artifact_is_its_own_before_its_files() {
    let named = |parts| Group { name: "Report".to_owned(), ..group("a", parts) };
    let (_, artifacts) = completed(vec![named(vec![file(b"x", "r.pdf")])], None);
    assert_eq!(artifacts[0].name, "Report");
    let (_, artifacts) = completed(vec![named(vec![file(b"x", "r.pdf"), file(b"y", "s.pdf"), text("t", "")])], None);
    let names: Vec<_> = artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
    assert_eq!(names, ["r.pdf", "s.pdf", "Report"]);
}

#[test]
fn nothing_is_an_empty_answer() {
    for (artifacts, message) in [
        (vec![], None),
        (vec![group("a", vec![])], Some(group("m", vec![]))),
        (vec![group("a", vec![text("", ""), file(b"", "")])], Some(group("m", vec![text("", "")]))),
    ] {
        assert_eq!(answer(artifacts, message, None).unwrap_err().kind, AgentErrorKind::EmptyAnswer);
    }
}

#[test]
fn a_value_that_is_no_json_breaks_the_protocol() {
    let nan = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(f64::NAN)) };
    let error = answer(vec![group("a", vec![part(Wire::Data(nan), "", "")])], None, None).unwrap_err();
    assert_eq!(error.kind, AgentErrorKind::InvalidAnswer);
}

#[test]
fn too_many_artifacts_break_the_protocol() {
    let groups = (0..=MAX_ARTIFACTS).map(|n| group(&n.to_string(), vec![file(b"x", "")])).collect();
    assert_eq!(answer(groups, None, None).unwrap_err().kind, AgentErrorKind::InvalidAnswer);
}
