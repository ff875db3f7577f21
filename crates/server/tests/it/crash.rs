//! `kill -9` at any moment, then `resume`: the data of an uninterrupted run, and no step asked for twice.

use std::collections::BTreeMap;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::support::{Place, about, until, workflow};

/// How long the agents take for each step.
const DELAY: u64 = 300;

/// The data that a run which nobody interrupts ends with.
fn undisturbed() -> String {
    let place = Place::new();
    place.tutti(&["run", &workflow(), "--progress", "quiet"]).expect(0);
    place.data()
}

/// Starts the example, kills tutti with SIGKILL when the moment has come, and says what was recorded until then.
fn killed(place: &Place, moment: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let running = place.start(&["run", &workflow(), "--progress", "quiet"]);
    until("the moment", || moment(&place.events()).then_some(()));
    running.signal(Signal::KILL);
    assert_eq!(running.end().code, None, "ended by the signal");
    place.events()
}

fn resumed(place: &Place) -> Value {
    place.tutti(&["resume", "latest", "-o", "json", "--progress", "quiet"]).expect(0).json()
}

/// Kills at a moment, resumes, and checks what must hold whatever the moment was.
#[track_caller]
fn check(moment: impl Fn(&[Value]) -> bool) {
    let place = Place::with_delay(DELAY);
    let before = killed(&place, moment);
    let completed = |events: &[Value]| events.iter().filter(|event| event["event"] == "StepCompleted").count();
    assert!(completed(&before) < 8, "killed before the end");
    let report = resumed(&place);
    assert_eq!(report["state"], "completed");
    assert_eq!(place.data(), undisturbed(), "the data of an uninterrupted run");

    // Every step was asked for once: finished ones not again, those under way were found again.
    let mut counts = BTreeMap::new();
    for call in place.calls() {
        *counts.entry(call).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 8, "{counts:#?}");
    assert!(counts.values().all(|count| *count == 1), "{counts:#?}");
    let after = place.events();
    assert_eq!(after[..before.len()], before, "what was recorded stands");
    for step in report["steps"].as_array().unwrap() {
        let id = step["id"].as_str().unwrap();
        assert_eq!(about(&after, "AttemptStarted", id).len(), 1, "{id}");
        assert_eq!(about(&after, "StepCompleted", id).len(), 1, "{id}");
    }
    assert!(after.iter().map(|event| event["seq"].as_u64().unwrap()).eq(1..=after.len() as u64), "no gap");
    assert!(!place.agents_folder().exists(), "the agents that were found again were stopped");
}

#[test]
fn killed_at_the_start() {
    check(|events| !events.is_empty());
}

#[test]
fn killed_while_the_generators_work() {
    check(|events| events.iter().any(|event| event["event"] == "TaskAssigned"));
}

#[test]
fn killed_when_the_first_step_is_done() {
    check(|events| events.iter().any(|event| event["event"] == "StepCompleted"));
}

#[test]
fn killed_between_two_levels() {
    check(|events| !about(events, "AttemptStarted", "analyze").is_empty());
}

#[test]
fn killed_while_two_models_are_trained() {
    check(|events| !about(events, "TaskAssigned", "train-beta").is_empty());
}

#[test]
fn killed_in_the_last_step() {
    check(|events| !about(events, "AttemptStarted", "report").is_empty());
}

#[test]
fn killed_with_its_agents_only_what_was_under_way_is_asked_for_again() {
    let place = Place::with_delay(DELAY);
    let running = place.start(&["run", &workflow(), "--progress", "quiet"]);
    until("the models", || (!about(&place.events(), "TaskAssigned", "train-beta").is_empty()).then_some(()));
    running.signal(Signal::KILL);
    running.end();
    for pid in place.agent_pids() {
        kill_process_group(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
    resumed(&place);
    assert_eq!(place.data(), undisturbed());
    let calls = place.calls();
    for step in ["generate-a", "generate-b", "generate-c", "analyze", "ensemble", "report"] {
        let of_step = calls.iter().filter(|call| call.contains(&format!("/{step}/"))).count();
        assert_eq!(of_step, 1, "{step}: {calls:#?}");
    }
}

#[test]
fn killed_again_and_again_it_still_ends() {
    let place = Place::with_delay(DELAY);
    killed(&place, |events| events.iter().any(|event| event["event"] == "AttemptStarted"));
    for step in ["analyze", "train-alpha"] {
        let resuming = place.start(&["resume", "latest", "--progress", "quiet"]);
        until(step, || (!about(&place.events(), "AttemptStarted", step).is_empty()).then_some(()));
        resuming.signal(Signal::KILL);
        resuming.end();
    }
    resumed(&place);
    assert_eq!(place.data(), undisturbed());
    assert_eq!(place.calls().len(), 8);
}

#[test]
fn a_run_that_has_ended_is_reported_and_not_run_again() {
    let place = Place::new();
    place.tutti(&["run", &workflow(), "--progress", "quiet"]).expect(0);
    let done = place.tutti(&["resume", "latest", "-o", "json"]).expect(0);
    assert!(done.stderr.contains("has ended: it is completed"), "{}", done.stderr);
    assert_eq!(done.json()["state"], "completed");
    assert_eq!(place.calls().len(), 8);
}
