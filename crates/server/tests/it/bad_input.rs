//! Hostile and mistaken input: a clear error that names the field, exit code 2, nothing written, nothing started.

use std::time::{Duration, Instant};

use crate::support::Place;

/// Each with what the answer must say. Every one but the last few is told with its place in the file.
const WORKFLOWS: &[(&str, &str, &[&str])] = &[
    (
        "a step that waits for itself",
        "- {id: a, capability: c, depends_on: [a]}",
        &["step a", "depends_on[0]", "itself"],
    ),
    (
        "two that wait for each other",
        "- {id: a, capability: c, depends_on: [b]}\n- {id: b, capability: c, depends_on: [a]}",
        &["depends_on", "a → b → a"],
    ),
    (
        "ids that differ by case",
        "- {id: a, capability: c}\n- {id: A, capability: c}",
        &["step A", "id:", "differs only by case"],
    ),
    ("an unknown dependency", "- {id: a, capability: c, depends_on: [gone]}", &["step a", "depends_on[0]", "\"gone\""]),
    (
        "a dependency named twice",
        "- {id: a, capability: c}\n- {id: b, capability: c, depends_on: [a, a]}",
        &["step b", "depends_on[1]", "twice"],
    ),
    ("no steps", "[]", &["steps:", "at least one"]),
    ("NUL in an id", "- {id: \"a\\0\", capability: c}", &["id:", "character outside"]),
    ("NUL in a label", "- {id: a, capability: c, stage: \"x\\0\"}", &["step a", "stage:", "control character"]),
    ("a path out of the folder as an id", "- {id: ../../etc/passwd, capability: c}", &["id:", "character outside"]),
    ("a percent escape in an id", "- {id: \"a%00\", capability: c}", &["id:", "character outside"]),
    ("an emoji as an id", "- {id: 🎼, capability: c}", &["id:", "character outside"]),
    ("an id from right to left", "- {id: \"\\u202ea\", capability: c}", &["id:", "character outside"]),
    ("an empty id", "- {id: \"\", capability: c}", &["id:", "empty"]),
    ("NaN as a factor", "- {id: a, capability: c, retry: {backoff_factor: .nan}}", &["step a", "retry.backoff_factor"]),
    ("infinity as jitter", "- {id: a, capability: c, retry: {jitter: .inf}}", &["step a", "retry.jitter"]),
    ("jitter beyond 1", "- {id: a, capability: c, retry: {jitter: 1.1}}", &["step a", "retry.jitter", "0 to 1"]),
    (
        "a factor below 1",
        "- {id: a, capability: c, retry: {backoff_factor: 0}}",
        &["step a", "retry.backoff_factor", "1 to 100"],
    ),
    ("a huge factor", "- {id: a, capability: c, retry: {backoff_factor: 1e308}}", &["step a", "retry.backoff_factor"]),
    ("no attempts", "- {id: a, capability: c, retry: {max_attempts: 0}}", &["step a", "retry.max_attempts"]),
    ("negative attempts", "- {id: a, capability: c, retry: {max_attempts: -1}}", &["step a", "retry.max_attempts"]),
    (
        "very many attempts",
        "- {id: a, capability: c, retry: {max_attempts: 4294967295}}",
        &["step a", "retry.max_attempts"],
    ),
    ("a timeout of nothing", "- {id: a, capability: c, timeout: 0}", &["step a", "timeout", "must be more"]),
    ("a negative timeout", "- {id: a, capability: c, timeout: -5s}", &["step a", "timeout"]),
    ("an endless timeout", "- {id: a, capability: c, timeout: 9223372036854775807}", &["step a", "timeout", "at most"]),
    ("a timeout beyond a year", "- {id: a, capability: c, timeout: 366d}", &["step a", "timeout", "at most"]),
    (
        "a number beyond all numbers",
        "- {id: a, capability: c, estimated_duration: 1e999999}",
        &["step a", "estimated_duration"],
    ),
    ("an unknown word", "- {id: a, capability: c, priority: urgent}", &["step a", "priority", "`urgent`", "`high`"]),
    ("a path with a hole", "- {id: a, capability: c, input: {x: a..b}}", &["step a", "input.x", "empty part"]),
    (
        "a path that nothing writes",
        "- {id: a, capability: c, input: {x: nowhere}}",
        &["step a", "input.x", "\"nowhere\""],
    ),
    (
        "a mistyped field",
        "- {id: a, capability: c, dependson: []}",
        &["step a", "dependson", "did you mean \"depends_on\"?"],
    ),
];

#[test]
fn a_workflow_that_cannot_be_meant_is_refused_before_anything_is_written() {
    for (what, steps, words) in WORKFLOWS {
        let steps = if steps.starts_with('[') { format!("steps: {steps}\n") } else { format!("steps:\n{steps}\n") };
        let place = Place::new();
        let file = place.write("bad.yaml", &format!("id: bad\n{steps}"));
        let told = place.tutti(&["lint", &file]).expect(2).stdout;
        assert!(words.iter().all(|word| told.contains(word)), "{what}: {words:?} in {told}");
        assert!(told.lines().all(|line| line.starts_with(&format!("{file}:"))), "{what}: a place in {told}");
        assert!(!told.chars().any(|c| c != '\n' && c.is_control()), "{what}: {told:?}");
        place.tutti(&["run", &file]).expect(2);
        assert!(!place.path().join(".tutti").exists(), "{what}: nothing is written");
    }
}

#[test]
fn text_that_is_no_workflow_is_refused() {
    let deep = format!("id: w\ndata: {{a: {}{}}}\nsteps: [{{id: a, capability: c}}]", "[".repeat(129), "]".repeat(129));
    let deeper = format!("id: w\ndata: {{a: {}", "[".repeat(1_000_000));
    let mut laughs = String::from("id: w\ndata:\n  a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..10 {
        laughs += &format!("  a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(","));
    }
    laughs += "steps: [{id: a, capability: c}]\n";
    let long = format!("id: {}\nsteps: [{{id: a, capability: c}}]", "x".repeat(10_000));
    let cases: &[(&str, &str)] = &[
        ("", "empty"),
        ("just words", "object"),
        ("id: [", "not valid YAML or JSON"),
        ("id: w\nid: w\nsteps: []", "a second time"),
        (&deep, "nested"),
        (&deeper, "not valid YAML or JSON"),
        (&laughs, "too many values"),
        (&long, "longer than 200"),
    ];
    for (text, words) in cases {
        let place = Place::new();
        let file = place.write("bad.yaml", text);
        let told = place.tutti(&["lint", &file]).expect(2);
        assert!(told.stdout.contains(words), "{words:?} in {}{}", told.stdout, told.stderr);
        assert!(told.stdout.len() < 2_000, "an answer is shorter than what it is about");
    }
    let place = Place::new();
    std::fs::write(place.path().join("bad.yaml"), b"id: \xff\xfe").unwrap();
    assert!(place.tutti(&["lint", "bad.yaml"]).expect(2).stderr.contains("bad.yaml"));
}

#[test]
fn a_hundred_thousand_steps_are_checked_in_seconds_and_more_are_refused() {
    let chain = |count: usize| {
        let step = |i: usize| match i {
            0 => "- {id: s0, capability: c, output: {'*': o0}}\n".to_owned(),
            i => format!(
                "- {{id: s{i}, capability: c, output: {{'*': o{i}}}, input: {{x: o{}}}, depends_on: [s{}]}}\n",
                i - 1,
                i - 1
            ),
        };
        format!("id: w\nsteps:\n{}", (0..count).map(step).collect::<String>())
    };
    let place = Place::new();
    let file = place.write("chain.yaml", &chain(100_000));
    let began = Instant::now();
    place.tutti(&["lint", &file]).expect(0);
    // A build for tests on a busy machine; released it is a tenth of that.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let file = place.write("longer.yaml", &chain(100_001));
    let told = place.tutti(&["lint", &file]).expect(2).stdout;
    assert!(told.contains("100001 steps; 100000 are allowed"), "{told}");
}

#[test]
fn inputs_that_cannot_be_taken_are_named() {
    let place = Place::new();
    let text = "id: w\ninputs: {n: {required: true}, text: {file: true, default: missing.txt}}\nsteps: [{id: a, capability: c}]\n";
    let file = place.write("w.yaml", text);
    let deep = format!("{{\"n\": {}1{}}}", "[".repeat(200), "]".repeat(200));
    place.write("deep.json", &deep);
    place.write("list.json", "[1]");
    place.write("broken.json", "{");
    place.write("here.txt", "here");
    let refused = |args: &[&str], words: &str| {
        let told = place.tutti(&[&["run", &file][..], args].concat()).expect(2).stderr;
        assert!(told.contains(words), "{args:?}: {words:?} in {told}");
    };
    refused(&["-i", "text=here.txt"], "inputs.n");
    refused(&["-i", "n=1"], "missing.txt");
    refused(&["-i", "n=1", "-i", "text=here.txt", "-i", "m=2"], "inputs.m");
    refused(&["-i", "deep.json", "-i", "text=here.txt"], "deep");
    refused(&["-i", "list.json"], "object");
    refused(&["-i", "broken.json"], "broken.json");
    refused(&["-i", "gone.json"], "gone.json");
    assert!(!place.path().join(".tutti").exists(), "nothing is written");
}
