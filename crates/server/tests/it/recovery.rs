//! What is done about runs that went wrong, as operators do it: real processes, agents that do what a file says.

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tutti_testkit::postgres::Database;

use crate::host::Host;
use crate::support::{Place, about, jsonl, seqs, until};

/// A saga of three bookings, the last of which cannot be had. To cancel takes a moment.
const TRIP: &str = "id: trip
executor: basic
on_error: compensate
steps:
  - {id: quote, capability: trip.quote, checkpoint: quoted}
  - {id: flight, capability: book, depends_on: [quote], compensate: {capability: book, action: cancel}}
  - {id: hotel, capability: book, depends_on: [flight], compensate: {capability: book, action: cancel}}
  - {id: car, capability: car, depends_on: [hotel], retry: {max_attempts: 1}}
";

/// Its agent; what it does for a car stands in the place of CAR.
const STUBS: &str = "agents:
  - name: desk
    skills:
      trip.quote: {answer: 820}
      book:
        - {action: cancel, answer: cancelled, delay: 700ms}
        - {answer: booked}
      car: CAR
";

/// The files of the trip; the workflow's name.
fn trip(place: &Place, car: &str) -> String {
    place.write("stubs.yaml", &STUBS.replace("CAR", car));
    let command =
        "['{self}', agent, stub, '{dir}/stubs.yaml', --agent, desk, --port, '{port}', --calls, '{dir}/stub.jsonl']";
    place.write("agents.yaml", &format!("agents:\n  - {{name: desk, command: {command}}}\n"));
    place.write("trip.yaml", TRIP)
}

fn has(events: &[Value], kind: &str, step: &str) -> bool {
    !about(events, kind, step).is_empty()
}

/// The events of a run so far.
fn events(host: &Host, place: &Place, run: &str) -> Vec<Value> {
    jsonl(&host.tutti(place, &["events", run, "-o", "jsonl"]).expect(0).stdout)
}

/// The steps that were undone, in the order in which they were.
fn undone(events: &[Value]) -> Vec<&str> {
    let done =
        events.iter().filter(|event| event["event"] == "StepCompleted").map(|event| event["step"].as_str().unwrap());
    done.filter_map(|step| step.strip_suffix("~undo")).collect()
}

#[test]
fn a_saga_goes_on_where_it_was_when_its_server_is_killed_between_two_compensations() {
    let place = Place::new();
    trip(&place, "{fail: failed}");
    let host = Host::with(&place, &[]);
    let run = host.submit_file(&place, "trip.yaml", &[]);
    until("the first is undone", || has(&events(&host, &place, &run), "StepCompleted", "hotel~undo").then_some(()));
    let host = host.again(&place);
    let events = host.follow(&place, &run);
    assert_eq!(undone(&events), ["hotel", "flight"], "newest first, each once");
    assert!(seqs(&events).into_iter().eq(1..=events.len() as u64));
    let end = events.last().unwrap();
    assert_eq!((&end["event"], &end["data"]["undone"]), (&json!("RunFailed"), &json!("compensated")));
    let calls = jsonl(&std::fs::read_to_string(place.path().join("stub.jsonl")).unwrap());
    let cancelled = |step: &str| {
        let called = calls.iter().filter(|call| call["event"] == "called" && call["step"] == step);
        called.count()
    };
    assert_eq!(cancelled("hotel~undo"), 1, "what is undone is not undone again");
    assert!((1..=2).contains(&cancelled("flight~undo")), "its agent may have died with the server");
}

#[test]
fn a_run_goes_back_to_a_checkpoint_at_a_server() {
    let place = Place::new();
    trip(&place, "{hang: true}");
    let host = Host::with(&place, &[]);
    let run = host.submit_file(&place, "trip.yaml", &[]);
    until("the car", || has(&events(&host, &place, &run), "AttemptStarted", "car").then_some(()));
    host.tutti(&place, &["checkpoint", &run, "booked"]).expect(0);
    let refused = host.tutti(&place, &["checkpoint", &run, "17"]).expect(2).stderr;
    assert!(refused.contains("digits alone"), "{refused}");
    let listed = host.tutti(&place, &["checkpoints", &run, "-o", "json"]).expect(0).json();
    let names: Vec<&Value> = listed["checkpoints"].as_array().unwrap().iter().map(|point| &point["name"]).collect();
    assert_eq!(names, ["booked", "quoted"]);
    assert_eq!(listed["checkpoints"][1]["undone"], json!(["hotel", "flight"]));
    let table = host.tutti(&place, &["checkpoints", &run]).expect(0).stdout;
    assert!(table.lines().nth(2).unwrap().ends_with("undone: hotel, flight"), "{table}");

    let asked = host.tutti(&place, &["rollback", &run, "--to", "quoted"]).expect(2).stderr;
    assert!(asked.contains("is undone, newest first: hotel, flight") && asked.contains("roll back run"), "{asked}");
    host.tutti(&place, &["rollback", &run, "--to", "nowhere", "--yes"]).expect(2);
    let began = host.tutti(&place, &["rollback", &run, "--to", "quoted", "--yes"]).expect(0).stderr;
    assert!(began.contains(&format!("run {run} goes back")), "{began}");
    let again = || about(&events(&host, &place, &run), "AttemptStarted", "car").len() == 2;
    until("the second car", || again().then_some(()));
    let events = events(&host, &place, &run);
    assert_eq!(undone(&events), ["hotel", "flight"]);
    assert_eq!(about(&events, "StepCompleted", "quote").len(), 1);
    assert_eq!(about(&events, "StepCompleted", "flight").len(), 2);
    let shown = host.tutti(&place, &["get", &run]).expect(0).stdout;
    assert!(shown.contains("undone") && shown.contains("hotel~undo"), "{shown}");
    host.tutti(&place, &["terminate", &run, "--reason", "test", "--yes"]).expect(0);
}

#[test]
fn a_step_that_must_not_be_done_twice_waits_for_a_word_when_its_agent_dies() {
    let place = Place::new();
    trip(&place, "{hang: true}");
    let workflow = "id: pay\nsteps: [{id: pay, capability: car, retry: unsafe, output: {receipt: receipt}}]\n";
    let file = place.write("pay.yaml", workflow);
    let running = place.start(&["run", &file, "--progress", "plain"]);
    until("the task", || has(&place.events(), "TaskAssigned", "pay").then_some(()));
    kill_process_group(Pid::from_raw(place.agent_pids()[0]).unwrap(), Signal::KILL).unwrap();
    let told = running.end().expect(6).stderr;
    assert!(told.contains("step pay may have been done or not") && told.contains("next:  tutti outcome"), "{told}");
    let shown = place.tutti(&["get", "latest", "-o", "json"]).expect(0).json();
    let step = &shown["steps"][0];
    assert_eq!((&shown["state"], &step["state"]), (&json!("waiting"), &json!("outcome_unknown")));
    assert_eq!(step["verdicts"], json!(["retry", "done", "skip", "fail", "ask"]));
    place.tutti(&["outcome", "latest", "pay"]).expect(2);

    let file = place.write("receipt.json", "{\"receipt\": 1.50}");
    let told = place.tutti(&["outcome", "latest", "pay", "--happened", &file]).expect(0).stderr;
    assert!(told.contains("next:  tutti resume"), "{told}");
    place.tutti(&["outcome", "latest", "pay", "--not-happened"]).expect(2);
    place.tutti(&["resume", "latest"]).expect(0);
    assert_eq!(about(&place.events(), "AttemptStarted", "pay").len(), 1, "it was not asked twice");
    assert!(place.data().contains("1.50"), "byte for byte");
}

#[test]
fn a_stuck_run_tells_what_can_be_done_and_goes_on_as_it_is_told() {
    let place = Place::new();
    trip(&place, "{fail: failed}");
    let stubs = STUBS.replace("CAR", "{fail: failed}").replace("answer: cancelled, delay: 700ms", "fail: rejected");
    place.write("stubs.yaml", &stubs);
    let told = place.tutti(&["run", "trip.yaml"]).expect(6);
    assert!(
        told.stdout.contains("cannot be undone") && told.stdout.contains("Nothing undoes quote."),
        "{}",
        told.stdout
    );
    assert!(told.stderr.contains("or:    tutti skip") && told.stderr.contains("hotel~undo"), "{}", told.stderr);
    let shown = place.tutti(&["get", "latest", "-o", "json"]).expect(0).json();
    let undos: Vec<_> = shown["undos"].as_array().unwrap().iter().map(|undo| (&undo["step"], &undo["state"])).collect();
    assert_eq!(undos, [(&json!("hotel"), &json!("waiting")), (&json!("flight"), &json!("pending"))]);
    let wrong = place.tutti(&["fail", "latest", "hotel"]).expect(2).stderr;
    assert!(wrong.contains("done by hand"), "{wrong}");
    place.tutti(&["skip", "latest"]).expect(0);
    place.tutti(&["resume", "latest"]).expect(6);
    place.tutti(&["resolve", "latest", "flight", "--reason", "by telephone"]).expect(0);
    let shown = place.tutti(&["get", "latest", "-o", "json"]).expect(0).json();
    assert_eq!((&shown["state"], &shown["undone"]), (&json!("failed"), &json!("compensated")));
    let undos: Vec<_> = shown["undos"].as_array().unwrap().iter().map(|undo| &undo["state"]).collect();
    assert_eq!(undos, ["skipped", "completed"]);
}

#[test]
fn any_server_of_a_database_takes_a_decision_and_tells_what_is_wrong_with_it() {
    let (here, there) = (Place::new(), Place::new());
    let database = Database::fresh();
    here.tutti(&["migrate", "--store", &database.url()]).expect(0);
    let server = |place: &Place, id: &str| {
        trip(place, "{fail: failed}");
        place.write("trip.yaml", &TRIP.replace("compensate\n", "escalate\n"));
        place.write("fleet.toml", &format!("[fleet]\nserver_id = \"{id}\"\nlease_seconds = 1\n"));
        Host::with(place, &["--config", "fleet.toml", "--store", &database.url()])
    };
    let (one, two) = (server(&here, "one"), server(&there, "two"));
    // Each server drives what it started: of two commands at both one goes through the inbox.
    let run = one.submit_file(&here, "trip.yaml", &[]);
    until("the step is held", || has(&events(&one, &here, &run), "StepHeld", "car").then_some(()));
    for (server, place) in [(&one, &here), (&two, &there)] {
        let wrong = server.tutti(place, &["rollback", &run, "--to", "nowhere", "--yes"]).expect(2).stderr;
        assert!(wrong.contains("to: the run cannot be rolled back to"), "the field is named: {wrong}");
    }
    two.tutti(&there, &["rollback", &run, "--to", "quoted", "--yes"]).expect(0);
    let held = || about(&events(&one, &here, &run), "StepHeld", "car").len() == 2;
    until("the step is held again", || held().then_some(()));
    two.tutti(&there, &["skip", &run, "car"]).expect(0);
    let events = one.follow(&here, &run);
    assert_eq!(undone(&events), ["hotel", "flight"]);
    assert_eq!(events.last().unwrap()["event"], "RunCompleted");
}
