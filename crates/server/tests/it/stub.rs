//! `tutti agent stub`: agents that do what a file says, and workflows that are tried out with them.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Place, jsonl, until};

const STUBS: &str = "agents:
  - name: bank
    skills:
      card.charge:
        - {fail: {kind: rate_limited, retry_after: 20ms}, times: 2}
        - {answer: {receipt: '${input.amount} EUR'}}
  - name: post
    skills:
      parcel.send: {input_required: 'to whom?', answer: {to: '${reply}'}}
";

const WORKFLOW: &str = "id: shop
inputs: {amount: {default: 30}}
steps:
  - {id: charge, capability: card.charge, input: {amount: amount}, retry: {backoff: 20ms}, output: {receipt: receipt}}
  - {id: send, capability: parcel.send, input: {for: receipt}, depends_on: [charge], output: {to: to}}
";

#[test]
fn a_file_is_checked_with_places() {
    let place = Place::new();
    let check = |text: &str| place.tutti(&["agent", "stub", &place.write("s.yaml", text), "--check"]);
    check(STUBS).expect(0);
    let told = check("agents:\n  - name: a\n    skills:\n      x: {answr: 1}\n").expect(2);
    assert!(told.stdout.contains("s.yaml:4:11: error: agents[0].skills.x.answr: unknown field"), "{}", told.stdout);
    assert!(told.stderr.contains("1 error"), "{}", told.stderr);
    let file = place.write("s.yaml", "agents: []");
    let told = place.tutti(&["agent", "stub", &file]).expect(2).stderr;
    assert!(told.contains("agents: is empty") && told.contains("--check"), "{told}");
    let file = place.write("s.yaml", STUBS);
    let told = place.tutti(&["agent", "stub", &file, "--agent", "shop"]).expect(2).stderr;
    assert!(told.contains("has no agent shop"), "{told}");
}

#[test]
fn a_workflow_is_tried_out_with_stubs_and_the_calls_are_told() {
    let place = Place::new();
    let (stubs, workflow) = (place.write("stubs.yaml", STUBS), place.write("w.yaml", WORKFLOW));
    let agents = place.path().join("made.yaml").display().to_string();
    let calls = place.path().join("stub-calls.jsonl");
    let log = calls.display().to_string();
    let stub = place.start(&["agent", "stub", &stubs, "--agents-file", &agents, "--calls", &log]);
    until("the agents file", || std::fs::metadata(&agents).ok());
    place.tutti(&["agent", "check", "--agents", &agents]).expect(0);

    place.tutti(&["run", &workflow, "--agents", &agents]).expect(5);
    let read = || jsonl(&std::fs::read_to_string(&calls).unwrap());
    let outcomes = |calls: &[Value]| -> Vec<String> {
        let ended = calls.iter().filter(|call| call["event"] == "ended");
        ended.map(|call| call["outcome"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(outcomes(&read()), ["rate_limited", "rate_limited", "completed", "input_required"]);
    place.tutti(&["signal", "latest", "ann"]).expect(0);
    place.tutti(&["resume", "latest"]).expect(0);
    let data: Value = serde_json::from_str(&place.data()).unwrap();
    assert_eq!((&data["receipt"], &data["to"]), (&Value::from("30 EUR"), &Value::from("ann")));

    let calls = read();
    let run = calls[0]["run"].as_str().unwrap();
    let asked: Vec<_> = calls.iter().filter(|call| call["event"] == "called" && call["step"] == "charge").collect();
    assert_eq!(asked.iter().map(|call| call["attempt"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(asked.iter().all(|call| call["run"] == run && call["input"]["amount"] == 30), "{asked:#?}");

    stub.signal(Signal::TERM);
    let done = stub.end().expect(0);
    assert_eq!(done.stdout.lines().count(), 2);
    assert!(done.stdout.starts_with("bank http://127.0.0.1:"), "{}", done.stdout);
    assert!(done.stderr.contains("bank card.charge") && done.stderr.contains("-> rate_limited"), "{}", done.stderr);
}
