//! Runs of one session, by the example.

use serde_json::{Value, json};

use crate::host::Host;
use crate::support::Place;

fn example(name: &str) -> String {
    format!("{}/../../examples/sessions/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Counts a log in a run of a session, or of none: what the run found.
fn tally(place: &Place, host: &Host, session: Option<&str>, log: &str) -> Value {
    let log = format!("log={}", example(log));
    let workflow = example("workflow.yaml");
    let session: Vec<&str> = session.into_iter().flat_map(|name| ["--session", name]).collect();
    let args = [&["submit", &workflow, "--wait", "-o", "json", "-i", &log][..], &session].concat();
    let run = host.tutti(place, &args).expect(0).json();
    let data = host.tutti(place, &["data", run["run_id"].as_str().unwrap()]).expect(0).json();
    data["tally"].clone()
}

#[test]
fn runs_of_a_session_go_on_with_what_the_ones_before_left_and_others_see_nothing_of_it() {
    let place = Place::new();
    let agents = example("agents.yaml");
    let host = Host::with(&place, &["--agents", &agents]);
    let monday = json!({"lines": 4, "levels": {"ERROR": 1, "INFO": 2, "WARN": 1}, "errors": ["backup failed"]});
    let both = json!({
        "lines": 7, "levels": {"ERROR": 2, "INFO": 4, "WARN": 1}, "errors": ["backup failed", "mail queue stuck"],
    });
    assert_eq!(tally(&place, &host, Some("week-31"), "monday.log"), monday);
    assert_eq!(tally(&place, &host, Some("week-31"), "tuesday.log"), both);
    let tuesday = json!({"lines": 3, "levels": {"ERROR": 1, "INFO": 2}, "errors": ["mail queue stuck"]});
    for session in [Some("week-32"), None] {
        assert_eq!(tally(&place, &host, session, "tuesday.log"), tuesday, "{session:?}");
    }
    // A server that comes after goes on with the sessions of its store.
    let host = host.again_with(&place, &["--agents", &agents]);
    let more = tally(&place, &host, Some("week-31"), "monday.log");
    assert_eq!(more["lines"], 11);
    let runs = host.tutti(&place, &["list", "-f", "session:week-31", "-o", "name"]).expect(0).stdout;
    assert_eq!(runs.lines().count(), 3);
}

#[test]
fn a_session_that_was_silent_for_too_long_begins_with_nothing() {
    let place = Place::new();
    place.write("tutti.toml", "[execution]\nsession_timeout_seconds = 1\n");
    let agents = example("agents.yaml");
    let host = Host::with(&place, &["--agents", &agents]);
    let lines = |log: &str| tally(&place, &host, Some("s"), log)["lines"].as_u64().unwrap();
    assert_eq!(lines("monday.log"), 4);
    let ended = std::time::Instant::now();
    crate::support::until("the end of the session", || (ended.elapsed().as_millis() > 1_100).then_some(()));
    assert_eq!(lines("tuesday.log"), 3);
}
