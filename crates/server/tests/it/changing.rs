//! Workflows that name others, and plans that are changed while their runs go on.

use serde_json::{Value, json};

use crate::host::Host;
use crate::support::{Place, about, jsonl, until};

const AGENTS: &str = "agents:\n  - name: echo\n    command: [\"{self}\", agent, stub, \"{dir}/stubs.yaml\", --agent, echo, --port, \"{port}\"]\n";

const STUBS: &str = "agents:
  - name: echo
    skills:
      text.say: {answer: {said: '${input.text}'}}
      plan.more: {answer: {steps: [{id: extra, capability: text.say, depends_on: [plan], input: {text: name}, output: {said: extra}}]}}
";

/// Asks, then says; in between the plan may change.
const OPEN: &str = "id: open
executor: dynamic
data: {name: ann}
steps:
  - {id: wait, signal: {}}
  - {id: say, capability: text.say, depends_on: [wait], input: {text: name}, output: {said: first}, estimated_duration: 10s}
  - {id: last, capability: text.say, depends_on: [say], input: {text: first}, output: {said: last}, estimated_duration: 10s}
";

const CHANGE: &str = "base: 0
add:
  - {id: more, capability: text.say, depends_on: [say], input: {text: first}, output: {said: more}}
  - {id: list, capability: text.say, depends_on: [more], map: {over: names, as: one}, input: {text: one}, output: {'*': list}}
replace:
  - {id: last, capability: text.say, depends_on: [list], input: {text: more}, output: {said: last}, estimated_duration: 10s}
max_concurrent_tasks: 1
";

const INNER: &str = "id: inner
version: '1'
inputs: {word: {}}
steps:
  - {id: one, capability: text.say, input: {text: word}, output: {said: one}}
  - {id: two, capability: text.say, depends_on: [one], input: {text: one}, output: {said: two}}
";

const OUTER: &str = "id: outer
version: '1'
data: {name: ann}
steps:
  - {id: call, workflow: inner, input: {word: name}, output: {two: answer}}
";

fn place() -> Place {
    let place = Place::new();
    place.write("agents.yaml", AGENTS);
    place.write("stubs.yaml", STUBS);
    place
}

fn data(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_workflow_holds_one_that_it_names() {
    let place = place();
    let outer = place.write("outer.yaml", OUTER);
    let told = place.tutti(&["lint", &outer]).expect(0);
    assert!(told.stdout.contains("warning: step call: workflow: names the workflow \"inner\""), "{}", told.stdout);
    let told = place.tutti(&["run", &outer]).expect(2).stderr;
    assert!(told.contains("there is no registered workflow \"inner\""), "{told}");

    // As a file beside it.
    let inner = place.write("inner.yaml", INNER);
    assert_eq!(place.tutti(&["lint", &outer]).expect(0).stdout, "");
    place.tutti(&["run", &outer]).expect(0);
    assert_eq!(data(&place.data())["answer"], "ann");
    let looped =
        place.write("inner.yaml", &INNER.replace("capability: text.say, input: {text: word}", "workflow: outer"));
    let told = place.tutti(&["lint", &outer]).expect(2).stdout;
    assert!(told.contains("holds itself: outer → inner → outer"), "{told}");

    // Registered; the run keeps what it was started with.
    std::fs::remove_file(looped).unwrap();
    std::fs::write(place.path().join("other.yaml"), INNER).unwrap();
    let other = place.path().join("other.yaml").display().to_string();
    place.tutti(&["workflow", "apply", &other]).expect(0);
    place.tutti(&["run", &outer]).expect(0);
    let agents = place.path().join("agents.yaml").display().to_string();
    let server = Host::with(&place, &["--agents", &agents]);
    let run = server.submit_file(&place, &outer, &[]);
    server.follow(&place, &run);
    assert_eq!(data(&server.tutti(&place, &["data", &run]).expect(0).stdout)["answer"], "ann");
    server.tutti(&place, &["workflow", "apply", &outer]).expect(0);
    let itself = place
        .write("itself.yaml", &OUTER.replace("id: outer", "id: itself").replace("workflow: inner", "workflow: itself"));
    let told = server.tutti(&place, &["workflow", "apply", &itself]).expect(2).stderr;
    assert!(told.contains("itself → itself"), "{told}");
    drop(inner);
}

#[test]
fn the_plan_of_a_run_at_a_server_is_changed_and_a_restart_keeps_it() {
    let place = place();
    let (open, change) = (
        place.write("open.yaml", &OPEN.replace("{name: ann}", "{name: ann, names: [b, c]}")),
        place.write("change.yaml", CHANGE),
    );
    let agents = place.path().join("agents.yaml").display().to_string();
    let server = Host::with(&place, &["--agents", &agents]);
    let run = server.submit_file(&place, &open, &[]);
    let patch = |server: &Host, more: &[&str]| server.tutti(&place, &[&["patch", &run], more].concat());

    let dry = patch(&server, &[&change, "--dry-run", "-o", "json"]).expect(0).json();
    assert_eq!((&dry["revision"], &dry["added"]), (&json!(1), &json!(["more", "list"])));
    assert_eq!(dry["replaced"], json!([{"id": "last", "fields": ["depends_on", "input"]}]));
    assert_eq!(dry["levels"], json!({"before": 3, "after": 5}));
    assert_eq!(dry["critical_path_seconds"], json!({"before": 20.0, "after": 20.0}));

    let request = "0b54a9c8-3c8c-4f0e-9a55-6c7d1b6f0002";
    let told = patch(&server, &[&change, "--reason", "more names", "--request-id", request]).expect(0).stdout;
    for line in ["plan revision 0 → 1", "  + more, list", "  ~ last (depends_on, input)", "  levels: 3 → 5"] {
        assert!(told.contains(line), "{told}");
    }
    let again = patch(&server, &[&change, "--request-id", request]).expect(0);
    assert!(again.stderr.contains("was applied before"), "{}", again.stderr);
    let stale = patch(&server, &[&change]).expect(2).stderr;
    assert!(stale.contains("revision 0") && stale.contains("revision 1"), "{stale}");
    let bad = place.write("bad.yaml", "add: [{id: q, capability: c, depends_on: [nobody]}]\nremove: [zz]\n");
    let told = patch(&server, &[&bad]).expect(2).stderr;
    assert!(told.contains("remove[0]") && told.contains("\"zz\""), "{told}");

    let server = server.again_with(&place, &["--agents", &agents]);
    patch(&server, &["--width", "3"]).expect(0);
    server.tutti(&place, &["signal", &run, "go"]).expect(0);
    let events = server.follow(&place, &run);
    assert_eq!(events.last().unwrap()["event"], "RunCompleted");
    let data = data(&server.tutti(&place, &["data", &run]).expect(0).stdout);
    assert_eq!(data["list"], json!([{"said": "b"}, {"said": "c"}]));
    assert_eq!((&data["more"], &data["last"]), (&json!("ann"), &json!("ann")));
    let revised: Vec<&Value> = events.iter().filter(|event| event["event"] == "PlanRevised").collect();
    assert_eq!((revised.len(), &revised[0]["data"]["order"]["reason"]), (2, &json!("more names")));
    let late = patch(&server, &["--width", "1"]).expect(2).stderr;
    assert!(late.contains("completed"), "{late}");
}

#[test]
fn the_plan_of_a_run_in_a_store_is_changed_with_and_without_an_engine() {
    let place = place();
    let (open, change) = (
        place.write("open.yaml", OPEN),
        place.write(
            "change.yaml",
            "add: [{id: more, capability: text.say, depends_on: [say], input: {text: first}, output: {said: more}}]",
        ),
    );
    place.tutti(&["run", &open]).expect(5);
    place.tutti(&["patch", "latest", &change, "--dry-run"]).expect(0);
    place.tutti(&["patch", "latest", &change]).expect(0);
    // Beside an engine that has the store.
    let agents = place.path().join("agents.yaml").display().to_string();
    let server = Host::with(&place, &["--agents", &agents]);
    let sub =
        place.write("sub.yaml", "add: [{id: called, workflow: inner, input: {word: name}, output: {two: called}}]");
    let told = place.tutti(&["patch", "latest", &sub]).expect(2).stderr;
    assert!(told.contains("no registered workflow \"inner\""), "{told}");
    let inner = place.write("other.yaml", INNER);
    server.tutti(&place, &["workflow", "apply", &inner]).expect(0);
    place.tutti(&["patch", "latest", &sub]).expect(0);
    place.tutti(&["signal", "latest", "go"]).expect(0);
    until("the end", || place.events().iter().any(|event| event["event"] == "RunCompleted").then_some(()));
    let data = data(&place.data());
    assert_eq!((&data["more"], &data["called"]), (&json!("ann"), &json!("ann")));
    let fixed = place.write("fixed.yaml", &OPEN.replace("executor: dynamic\n", ""));
    let run = server.submit_file(&place, &fixed, &[]);
    let told = server.tutti(&place, &["patch", &run, "--width", "2"]).expect(2).stderr;
    assert!(told.contains("executor: dynamic"), "{told}");
}

#[test]
fn a_step_adds_steps_by_its_answer() {
    let place = place();
    let file = place.write(
        "w.yaml",
        "id: w\nexecutor: dynamic\ndata: {name: ann}\nsteps:\n  - {id: plan, capability: plan.more, grows: true}\n",
    );
    place.tutti(&["run", &file]).expect(0);
    assert_eq!(data(&place.data())["extra"], "ann");
    let events = jsonl(&place.tutti(&["events", "latest", "-o", "jsonl"]).stdout);
    assert_eq!(about(&events, "StepCompleted", "extra").len(), 1);
}
