//! `tutti lint`, `plan`, `schema` and `version`: nothing is run.

use crate::support::{Place, workflow};

const FAULTY: &str = "\
id: faulty
steps:
  - id: a
    capability: x
    depends_on: [c]
  - id: a
    capability: x
  - id: b
    capability: x
    depends_on: [nobody]
    timeout: never
  - id: c
    capability: x
    depends_on: [a]
    retry: {max_attempts: 0}
";

#[test]
fn every_fault_is_told_with_its_place() {
    let place = Place::new();
    let file = place.write("faulty.yaml", FAULTY);
    let done = place.tutti(&["lint", &file]).expect(2);
    let lines: Vec<&str> = done.stdout.lines().collect();
    let told = |line: usize, words: &[&str]| {
        let start = format!("{file}:{line}:");
        assert!(
            lines.iter().any(|l| l.starts_with(&start) && words.iter().all(|word| l.contains(word))),
            "{start} {words:?} in {lines:#?}"
        );
    };
    told(6, &["error: step a", "id"]);
    told(11, &["error: step b", "timeout", "never"]);
    told(15, &["error: step c", "retry.max_attempts"]);
    assert!(done.stderr.contains("errors, 0 warnings"), "{}", done.stderr);

    let json = place.tutti(&["lint", &file, "-o", "json"]).expect(2).json();
    assert_eq!(json["errors"].as_u64().unwrap() as usize, lines.len());
    let first = &json["problems"][0];
    assert!(first["position"]["line"].is_u64() && first["reason"].is_string() && first["severity"] == "error");

    // The same file is refused by whoever would run it.
    for verb in ["run", "plan"] {
        let told = place.tutti(&[verb, &file]).expect(2).stderr;
        assert!(told.contains("the workflow cannot be used") && told.contains("tutti lint"), "{told}");
    }
}

#[test]
fn a_cycle_is_told_with_its_path() {
    let place = Place::new();
    let step = |id: &str, on: &str| format!("  - {{id: {id}, capability: x, depends_on: [{on}]}}\n");
    let file = place.write("cycle.yaml", &format!("id: c\nsteps:\n{}{}", step("a", "b"), step("b", "a")));
    let told = place.tutti(&["lint", &file]).expect(2).stdout;
    assert!(told.contains("a → b → a") || told.contains("b → a → b"), "{told}");
}

#[test]
fn an_unknown_capability_is_a_warning_and_an_error_if_strict() {
    let place = Place::new();
    let file = place.write("w.yaml", "id: w\nsteps:\n  - {id: a, capability: x}\n  - {id: b, capability: y}\n");
    place.tutti(&["lint", &file, "--strict"]).expect(0);
    place.write("agents.yaml", "agents:\n  - {name: one, url: 'http://127.0.0.1:9', capabilities: [x]}\n");
    let done = place.tutti(&["lint", &file]).expect(0);
    assert!(done.stdout.contains("w.yaml:4:13: warning: step b: capability: no agent in"), "{}", done.stdout);
    let done = place.tutti(&["lint", &file, "--strict"]).expect(2);
    assert!(done.stdout.contains("w.yaml:4:13: error: step b: capability:"), "{}", done.stdout);
    let other =
        place.write("other.yaml", "agents:\n  - {name: one, url: 'http://127.0.0.1:9', capabilities: [x, y]}\n");
    place.tutti(&["lint", &file, "--strict", "--agents", &other]).expect(0);
    let told = place.tutti(&["run", &file]).expect(2).stderr;
    assert!(told.contains("step b: capability: no agent in"), "{told}");
}

#[test]
fn the_example_is_sound() {
    let place = Place::new();
    let done = place.tutti(&["lint", &workflow(), "--strict"]).expect(0);
    assert_eq!(done.stdout, "");
}

#[test]
fn a_plan_is_shown_in_every_form_without_running_it() {
    let place = Place::new();
    let plan = |form: &str| place.tutti(&["plan", &workflow(), "-o", form]).expect(0);
    let text = plan("text").stdout;
    assert!(text.contains("generate-a → analyze → train-alpha → ensemble → report"), "{text}");
    let json = plan("json").json();
    assert_eq!(json["tasks"].as_array().unwrap().len(), 8);
    assert_eq!(json["coordination_strategy"], "parallel");
    assert!(plan("dot").stdout.starts_with("digraph"));
    let mermaid = plan("mermaid").stdout;
    assert!(mermaid.contains("flowchart"), "{mermaid}");
    assert!(!place.path().join(".tutti").exists() && place.calls().is_empty());
}

#[test]
fn the_schema_and_the_version_are_printed() {
    let place = Place::new();
    let schema = place.tutti(&["schema"]).expect(0).json();
    assert!(schema["properties"]["steps"].is_object());
    let version = place.tutti(&["version"]).expect(0).stdout;
    assert!(version.starts_with(concat!("tutti ", env!("CARGO_PKG_VERSION"))), "{version}");
    place.tutti(&["no-such-verb"]).expect(2);
}
