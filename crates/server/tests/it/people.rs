//! Runs that wait for people and for time: by the binary, through deaths and restarts, and by other servers.

use rustix::process::Signal;
use serde_json::{Value, json};
use tutti_testkit::postgres::Database;

use crate::host::Host;
use crate::support::{Done, Place, about, until};

/// A person decides, with what is filled in; then a step sleeps.
const RELEASE: &str = "id: release\ninputs: {amount: {default: 30}}\nsteps:\n\
    - {id: check, approval: {message: release it?, form: {type: object, required: [limit], properties: {limit: {type: integer, maximum: 100}}}}, \
       input: {amount: amount}, output: {data: decision, by: by}}\n\
    - {id: rest, sleep: 300ms, depends_on: [check]}\n";

/// No agent is needed.
fn place() -> Place {
    let place = Place::new();
    place.write("agents.yaml", "agents: []\n");
    place.write("release.yaml", RELEASE);
    place
}

fn asked(done: &Done) -> Vec<Value> {
    done.json().as_array().unwrap().clone()
}

fn waits(server: &Host, place: &Place, run: &str) {
    until("the question", || (server.state(place, run) == "waiting").then_some(()));
}

#[test]
fn a_run_waits_for_a_decision_and_goes_on_by_the_same_words_in_a_store_and_at_a_server() {
    let place = place();
    let done = place.tutti(&["run", "release.yaml"]).expect(5);
    assert!(done.stderr.contains("next:  tutti approve"), "{}", done.stderr);
    let listed = asked(&place.tutti(&["approvals", "-o", "json"]).expect(0));
    let [one] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!(
        (&one["step"], &one["kind"], &one["message"]),
        (&json!("check"), &json!("approval"), &json!("release it?"))
    );
    assert_eq!((&one["shown"], &one["form"]["required"][0]), (&json!({"amount": 30}), &json!("limit")));
    let whole = place.tutti(&["approvals", "latest"]).expect(0).stdout;
    assert!(whole.contains("step check asks for: approval") && whole.contains(r#"shown     {"amount":30}"#), "{whole}");

    for (data, told) in [("{}", "data_json.limit: is missing"), (r#"{"limit":101}"#, "must be at most 100")] {
        let refused = place.tutti(&["approve", "latest", "--data", data]).expect(2).stderr;
        assert!(refused.contains(told), "{refused}");
    }
    let long = format!("{{\"limit\":1,\"note\":\"{}\"}}", "x".repeat(9_000));
    let refused = place.tutti(&["approve", "latest", "--data", &long]).expect(2).stderr;
    assert!(refused.contains("8192 are allowed"), "{refused}");
    place.tutti(&["signal", "latest", "yes"]).expect(2);
    place.tutti(&["approve", "latest", "check", "--data", r#"{"limit":5}"#, "--reason", "seen"]).expect(0);
    assert!(asked(&place.tutti(&["approvals", "-o", "json"]).expect(0)).is_empty());
    place.tutti(&["resume", "latest"]).expect(0);
    assert!(place.data().contains(r#""decision":{"limit":5}"#), "{}", place.data());
    let received = place.events().into_iter().find(|event| event["event"] == "SignalReceived").unwrap();
    assert_eq!(received["data"]["reason"], "seen", "{received}");

    let server = Host::with(&place, &[]);
    let run = server.submit_file(&place, "release.yaml", &["-i", "amount=31"]);
    waits(&server, &place, &run);
    let listed = asked(&server.tutti(&place, &["approvals", "-o", "json", "-f", "workflow:release"]).expect(0));
    assert_eq!((listed.len(), &listed[0]["shown"]["amount"]), (1, &json!(31)));
    server.tutti(&place, &["approve", &run, "--data", "{}"]).expect(2);
    // Beside the server, by its store.
    place.tutti(&["approve", &run, "--data", "{}"]).expect(2);
    place.tutti(&["reject", &run, "--reason", "too much"]).expect(0);
    until("its end", || (server.state(&place, &run) == "failed").then_some(()));
    assert!(asked(&server.tutti(&place, &["approvals", "-o", "json"]).expect(0)).is_empty());
}

#[test]
fn a_question_survives_its_server_and_is_answered_at_one_that_does_not_have_the_run() {
    let (here, there) = (place(), place());
    let database = Database::fresh();
    here.tutti(&["migrate", "--store", &database.url()]).expect(0);
    let server = |place: &Place, id: &str| {
        place.write("fleet.toml", &format!("[fleet]\nserver_id = \"{id}\"\nlease_seconds = 1\n"));
        Host::with(place, &["--config", "fleet.toml", "--agents", "agents.yaml", "--store", &database.url()])
    };
    let (one, two) = (server(&here, "one"), server(&there, "two"));
    let decide = |server: &Host, place: &Place, run: &str| {
        server.tutti(place, &["approve", run, "--data", r#"{"limit":7}"#]).expect(0);
        let events = server.follow(place, run);
        assert_eq!(events.last().unwrap()["event"], "RunCompleted", "{events:?}");
        assert_eq!(about(&events, "StepCompleted", "check").len(), 1, "decided once");
    };
    let (first, second) = (one.submit_file(&here, "release.yaml", &[]), one.submit_file(&here, "release.yaml", &[]));
    waits(&one, &here, &second);
    waits(&one, &here, &first);
    let listed = asked(&two.tutti(&there, &["approvals", "-o", "json"]).expect(0));
    assert_eq!(listed.len(), 2, "{listed:?}");
    decide(&two, &there, &first);
    one.signal(Signal::KILL);
    decide(&two, &there, &second);
    // The last server, too, and back again.
    let third = two.submit_file(&there, "release.yaml", &[]);
    waits(&two, &there, &third);
    two.signal(Signal::KILL);
    drop((one, two));
    let again = server(&here, "one");
    decide(&again, &here, &third);
}

#[test]
fn whoever_starts_a_run_does_not_decide_it_where_four_eyes_are_wanted() {
    let place = place();
    place.write("w.yaml", "id: w\nsteps:\n- {id: pay, approval: {message: pay?, four_eyes: true, by: [ana, ben]}}\n");
    let token = |name: &str| place.token(&["--role", "author", "--name", name]);
    let (ana, ben, eve) = (token("ana"), token("ben"), token("eve"));
    place.token(&["--role", "admin", "--name", "root"]);
    let server =
        Host::of(&place, place.command(&["serve", "--listen", "127.0.0.1:0"]).env("TUTTI_AUTH__ENABLED", "true"));
    let by = |token: &str, args: &[&str]| {
        let mut command = place.command(&[args, &["--server", &server.url]].concat());
        Done::of(command.env("TUTTI_TOKEN", token).output().unwrap())
    };
    let run = by(&ana, &["submit", "w.yaml"]).expect(0).stdout.trim().to_owned();
    let listed =
        until("the question", || Some(asked(&by(&ben, &["approvals", "-o", "json"]))).filter(|all| !all.is_empty()));
    assert_eq!((&listed[0]["four_eyes"], &listed[0]["started_by"]), (&json!(true), &json!("ana")));
    let refused = by(&ana, &["approve", &run]).expect(77).stderr;
    assert!(refused.contains("whoever started the run does not decide it"), "{refused}");
    let refused = by(&eve, &["approve", &run]).expect(77).stderr;
    assert!(refused.contains("these may: ana, ben"), "{refused}");
    by(&ben, &["approve", &run, "--reason", "the invoice is right"]).expect(0);
    let events = by(&ben, &["events", &run, "--follow", "-o", "jsonl"]).expect(0).stdout;
    assert!(events.contains("the invoice is right") && events.contains("RunCompleted"), "{events}");
}

#[test]
fn what_is_overdue_is_told_and_then_decided_while_its_run_is_not_in_memory() {
    let place = place();
    let file = |name: &str, overdue: &str| {
        let step = format!("{{id: ask, approval: {{message: may it?, by: [ana], due: 1500ms, {overdue}}}}}");
        place.write(name, &format!("id: w\nsteps:\n- {step}\n"));
    };
    file("remind.yaml", "overdue: remind");
    file("approve.yaml", "overdue: approve");
    file("escalate.yaml", "overdue: escalate, escalate_to: [ben]");
    // Runs rest after a second.
    place.write("tutti.toml", "[execution]\nrest_seconds = 1\n");
    let server = Host::with(&place, &[]);
    let [remind, approve, escalate] =
        ["remind.yaml", "approve.yaml", "escalate.yaml"].map(|file| server.submit_file(&place, file, &[]));
    let question = |run: &str| asked(&server.tutti(&place, &["approvals", run, "-o", "json"]).expect(0)).pop();
    until("the reminder", || question(&remind).filter(|question| question["overdue_times"].as_u64() >= Some(1)));
    until("the escalation", || {
        let decided = server.state(&place, &escalate) == "failed";
        let passed_on = question(&escalate).is_some_and(|question| question["may_decide"] == json!(["ana", "ben"]));
        (decided || passed_on).then_some(())
    });
    until("the decision by time", || (server.state(&place, &approve) == "completed").then_some(()));
    until("the end of patience", || (server.state(&place, &escalate) == "failed").then_some(()));
    assert_eq!(server.state(&place, &remind), "waiting");
}

#[test]
fn a_run_sleeps_and_comes_back_by_its_moment_though_its_server_is_started_anew() {
    let place = place();
    place.write("sleep.yaml", "id: sleep\nsteps:\n- {id: a, sleep: 3s}\n- {id: b, sleep: 100ms, depends_on: [a]}\n");
    place.write("tutti.toml", "[execution]\nrest_seconds = 1\n");
    let server = Host::with(&place, &[]);
    let run = server.submit_file(&place, "sleep.yaml", &[]);
    until("its sleep", || {
        server.tutti(&place, &["events", &run]).expect(0).stdout.contains("AttemptSuspended").then_some(())
    });
    assert_eq!(server.state(&place, &run), "running", "nobody has to do anything");
    let server = server.again(&place);
    assert_eq!(server.follow(&place, &run).last().unwrap()["event"], "RunCompleted");
    drop(server);
    // A command stays until the moment has come.
    let done = place.tutti(&["run", "sleep.yaml", "-o", "json"]).expect(0).json();
    assert!(done["duration_seconds"].as_f64().is_none_or(|took| took >= 3.0), "{done}");
    let sleeping = place.start(&["run", "sleep.yaml"]);
    until("its sleep", || {
        let events = place.events();
        let has = |kind: &str| events.iter().any(|event| event["event"] == kind);
        (has("AttemptSuspended") && !has("RunCompleted")).then_some(())
    });
    sleeping.signal(Signal::KILL);
    sleeping.end();
    place.tutti(&["resume", "latest"]).expect(0);
}

#[test]
fn a_run_begins_at_its_moment_and_not_before() {
    let place = place();
    place.write("nap.yaml", "id: nap\nsteps:\n- {id: a, sleep: 10ms}\n");
    let server = Host::with(&place, &[]);
    let run = server.submit_file(&place, "nap.yaml", &["--delay", "2s"]);
    let shown = server.tutti(&place, &["get", &run, "-o", "json"]).expect(0).json();
    assert_eq!(shown["state"], "pending", "{shown}");
    assert!(shown["start_at"].is_string(), "{shown}");
    assert!(server.tutti(&place, &["get", &run]).expect(0).stdout.contains("begins at "));
    let events = server.follow(&place, &run);
    assert_eq!(events.last().unwrap()["event"], "RunCompleted", "{events:?}");
    let far = server.submit_file(&place, "nap.yaml", &["--start-at", "2099-01-01T00:00:00Z"]);
    assert_eq!(server.state(&place, &far), "pending");
    server.tutti(&place, &["cancel", &far, "--reason", "never", "--yes"]).expect(0);
    server.tutti(&place, &["submit", "nap.yaml", "--start-at", "tomorrow"]).expect(2);
}

#[test]
fn a_fork_begins_where_the_other_run_stood_with_what_was_changed() {
    let place = place();
    let server = Host::with(&place, &[]);
    let run = server.submit_file(&place, "release.yaml", &[]);
    waits(&server, &place, &run);
    server.tutti(&place, &["approve", &run, "--data", r#"{"limit":5}"#]).expect(0);
    let events = server.follow(&place, &run);
    let before = server.tutti(&place, &["events", &run, "-o", "jsonl"]).expect(0).stdout;
    let decided = about(&events, "StepCompleted", "check")[0]["seq"].to_string();
    let fork = |args: &[&str]| {
        let done = server.tutti(&place, &[&["fork", &run], args].concat()).expect(0);
        done.stdout.trim().to_owned()
    };
    let data = |run: &str| server.tutti(&place, &["data", run]).expect(0).json();

    let changed =
        fork(&["--at", &decided, "--set", "decision.limit=9", "--set", "amount=40", "--label", "why=what-if"]);
    server.follow(&place, &changed);
    let (old, new) = (data(&run), data(&changed));
    assert_eq!((&new["decision"]["limit"], &new["amount"], &new["by"]), (&json!(9), &json!(40), &old["by"]));
    let shown = server.tutti(&place, &["get", &changed, "-o", "json"]).expect(0).json();
    assert_eq!((&shown["forked_from"]["run_id"], &shown["forked_from"]["seq"].to_string()), (&json!(run), &decided));
    let same = fork(&["--at", &decided]);
    server.follow(&place, &same);
    assert_eq!(data(&same), old);

    let anew = server.tutti(&place, &["restart", &run]).expect(0).stdout.trim().to_owned();
    waits(&server, &place, &anew);
    let parent = server.tutti(&place, &["get", &run, "-o", "json"]).expect(0).json();
    assert_eq!(parent["forks"], json!([anew, same, changed]));
    assert_eq!(server.tutti(&place, &["events", &run, "-o", "jsonl"]).expect(0).stdout, before, "as it was");

    for (args, told) in [
        (&["--at", "99"][..], "event 99"),
        (&["--at", "nowhere"], "checkpoint \"nowhere\""),
        (&["--set", "a..b=1"], "empty part"),
        (&["--label", "tutti.asks=yes"], "the product's own"),
    ] {
        let refused = server.tutti(&place, &[&["fork", &run], args].concat()).expect(2).stderr;
        assert!(refused.contains(told), "{refused}");
    }
    let request = ["--request-id", "0b54a9c8-3c8c-4f0e-9a55-6c7d1b6f0019", "--at", "1"];
    assert_eq!(fork(&request), fork(&request), "one request, one run");
    drop(server);
    // Without a server the command drives the fork itself.
    let done = place.tutti(&["fork", &run, "--at", &decided, "--agents", "agents.yaml", "-o", "json"]).expect(0).json();
    assert_eq!(done["state"], "completed");
    place.tutti(&["restart", &run, "--agents", "agents.yaml"]).expect(5);
}

#[test]
fn no_agent_bears_the_name_of_the_engine() {
    let place = Place::new();
    place.write("w.yaml", "id: w\nsteps:\n- {id: a, sleep: 1ms}\n");
    place.write("named.yaml", "agents:\n  - {name: tutti, url: 'http://127.0.0.1:1'}\n");
    let refused = place.tutti(&["run", "w.yaml", "--agents", "named.yaml"]).expect(2).stderr;
    assert!(refused.contains("is the name of the engine itself"), "{refused}");
    place.write("agents.yaml", "agents: []\n");
    let server = Host::with(&place, &[]);
    let refused =
        server.tutti(&place, &["agent", "add", "tutti", "https://agent.example", "--capability", "x"]).expect(2);
    assert!(refused.stderr.contains("is the name of the engine itself"), "{}", refused.stderr);
}
