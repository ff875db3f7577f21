//! Watching runs that go on elsewhere.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::host::{AGENTS, CHAIN, Host, Talking, lines};
use crate::support::{Place, about, seqs, until};

/// A run's state as a line of JSON has it; the line also counts steps, under the same words.
const COMPLETED: &str = "\"state\":\"completed\"";
const FAILED: &str = "\"state\":\"failed\"";

/// Waits until a run has begun to work.
fn begun(place: &Place) {
    until("the first step", || (!about(&place.events(), "AttemptStarted", "one").is_empty()).then_some(()));
}

#[test]
fn a_run_at_a_server_is_shown_as_one_that_is_driven_here_and_ends_the_command_as_it_ended() {
    let place = Place::with_delay(100);
    let host = Host::start(&place);
    let watched = host.tutti(&place, &["submit", "chain.yaml", "--watch", "--progress", "json"]).expect(0);
    let events = lines(&watched.stderr);
    assert!(seqs(&events).into_iter().eq(1..=events.len() as u64), "every event, once: {}", watched.stderr);
    assert_eq!(events.last().unwrap()["event"], "RunCompleted");
    assert!(watched.stdout.starts_with("● completed in "), "{}", watched.stdout);
    let run = host.tutti(&place, &["run", "chain.yaml", "-o", "json", "--progress", "plain"]).expect(0);
    assert_eq!(run.json()["state"], "completed");
    assert!(run.stderr.contains(" three completed try=1") && run.stderr.contains("└─● completed  three"));

    // One that has ended is reported on at once; one that failed, was cancelled or is to be judged by its own code.
    assert!(host.tutti(&place, &["watch", "latest"]).expect(0).stdout.starts_with("● completed in "));
    let failed = host.tutti(&place, &["submit", "chain.yaml", "--wait", "-o", "json", "-i", "lines=[\"x\"]"]).expect(1);
    assert_eq!(failed.json()["state"], "failed");
    assert!(!failed.stderr.contains("try=1"), "only waited for: {}", failed.stderr);
    assert!(failed.stderr.lines().any(|line| line.starts_with("run ")), "{}", failed.stderr);
    let run = host.submit(&place, &[]);
    let watching = host.start_tutti(&place, &["watch", &run, "--progress", "quiet"]);
    host.tutti(&place, &["cancel", &run, "--reason", "x", "--yes"]).expect(0);
    watching.end().expect(4);
    let both = host.tutti(&place, &["watch", &run, failed.json()["run_id"].as_str().unwrap()]).expect(4);
    assert_eq!(both.stdout.lines().count(), 2, "a line per run: {}", both.stdout);
    host.tutti(&place, &["watch", "ffff"]).expect(2);
}

#[test]
fn a_run_is_watched_beside_the_engine_that_drives_it() {
    let place = Place::with_delay(200);
    place.write("agents.yaml", AGENTS);
    place.write("chain.yaml", CHAIN);
    let running = place.start(&["run", "chain.yaml", "--progress", "quiet"]);
    begun(&place);
    let watched = place.tutti(&["watch", "latest", "--progress", "plain", "-o", "json"]).expect(0);
    assert_eq!(watched.json()["state"], "completed");
    assert!(watched.stderr.contains(" three completed try=1"), "{}", watched.stderr);
    running.end().expect(0);
    let list = place.tutti(&["watch", "latest", "latest", "-o", "json", "--progress", "quiet"]).expect(0).json();
    assert_eq!(list["runs"][0]["state"], "completed");
}

#[test]
fn a_watcher_goes_on_when_the_server_is_there_again_and_misses_nothing() {
    let place = Place::with_delay(400);
    let host = Host::start(&place);
    let watching = host.start_tutti(&place, &["submit", "chain.yaml", "--watch", "--progress", "json"]);
    watching.says(&["AttemptStarted"]);
    let many = host.start_tutti(&place, &["watch", "-f", "workflow:chain", "--progress", "json"]);
    many.answers(&["\"state\":\"running\""]);
    host.signal(Signal::KILL);
    let host = host.again(&place);
    let watched = watching.end().expect(0);
    let events = lines(&watched.stderr);
    assert!(seqs(&events).into_iter().eq(1..=events.len() as u64), "no gap, no duplicate: {}", watched.stderr);
    assert_eq!(events.last().unwrap()["event"], "RunCompleted");

    // The other one sees what happens at the new server too.
    let next = host.submit(&place, &[]);
    host.follow(&place, &next);
    many.answers(&[&next, COMPLETED]);
    many.signal(Signal::INT);
    let seen = lines(&many.end().expect(130).stdout);
    let ended = |run: &str| seen.iter().any(|line| line["run_id"] == *run && line["state"] == "completed");
    assert!(ended(&next), "{seen:#?}");
}

#[test]
fn a_server_that_stays_away_is_given_up() {
    let place = Place::with_delay(60_000);
    let host = Host::start(&place);
    let patient = ["--patience", "1s", "--progress"];
    let watching = host.start_tutti(&place, &[&["submit", "chain.yaml", "--watch"][..], &patient, &["plain"]].concat());
    watching.says(&[" one running try=1"]);
    let many = host.start_tutti(&place, &[&["watch", "-f", "state:running"][..], &patient, &["json"]].concat());
    many.answers(&["\"state\":\"running\""]);
    host.signal(Signal::KILL);
    let killed = Instant::now();
    let told = watching.end().expect(69).stderr;
    assert!(killed.elapsed() < Duration::from_secs(20), "{:?}", killed.elapsed());
    assert!(told.contains("has gone away; it is asked again for 1s"), "{told}");
    assert!(told.contains("has been away for 1s") && told.contains("next:  tutti events "), "{told}");
    many.end().expect(69);
}

#[test]
fn ctrl_c_detaches_and_the_run_goes_on() {
    let place = Place::with_delay(400);
    let host = Host::start(&place);
    let watching = host.start_tutti(&place, &["submit", "chain.yaml", "--watch", "--progress", "plain"]);
    watching.says(&[" one running try=1"]);
    watching.signal(Signal::INT);
    let left = watching.end().expect(130);
    let run = host.tutti(&place, &["list", "-o", "name"]).expect(0).stdout.trim().to_owned();
    assert!(left.stderr.contains("detached with") && left.stderr.contains("the run goes on"), "{}", left.stderr);
    assert!(left.stderr.contains(&format!("next:  tutti watch {run} --server {}", host.url)), "{}", left.stderr);
    assert_eq!(left.stdout, "");
    assert_eq!(host.follow(&place, &run).last().unwrap()["event"], "RunCompleted");
}

#[test]
fn many_runs_are_followed_by_a_filter_as_they_change() {
    let place = Place::with_delay(100);
    let host = Host::start(&place);
    let before = host.submit(&place, &["--label", "team=a"]);
    host.follow(&place, &before);
    let args = ["watch", "-f", "label.team=a -state:failed", "--progress"];
    let json = host.start_tutti(&place, &[&args[..], &["json"]].concat());
    let plain = host.start_tutti(&place, &[&args[..], &["plain"]].concat());
    let local = Talking::start(&place, &["watch", "-f", "label.team=a", "--progress", "json"]);
    for watching in [&json, &local, &plain] {
        watching.answers(&[&before[..13]]);
    }
    let mine = host.submit(&place, &["--label", "team=a"]);
    let other = host.submit(&place, &["--label", "team=b"]);
    let failing = host.submit(&place, &["--label", "team=a", "-i", "lines=[\"x\"]"]);
    for run in [&mine, &other, &failing] {
        host.follow(&place, run);
    }
    json.answers(&[&mine, COMPLETED]);
    json.answers(&[&failing, "\"matches\":false"]);
    plain.answers(&[&mine[..13], "completed"]);
    plain.answers(&["chain failed", " left"]);
    local.answers(&[&mine, COMPLETED]);
    local.answers(&[&failing, FAILED]);
    let end = |watching: Talking| {
        watching.signal(Signal::TERM);
        let done = watching.end().expect(143);
        assert!(done.stderr.contains("detached; the runs go on"), "{}", done.stderr);
        done.stdout
    };
    let seen = lines(&end(json));
    let of = |run: &str| -> Vec<&Value> { seen.iter().filter(|line| line["run_id"] == *run).collect() };
    assert_eq!(of(&before).len(), 1, "it was there, and did not change");
    assert_eq!(of(&mine).last().unwrap()["state"], "completed");
    assert!(of(&other).is_empty());
    let left = of(&failing).last().copied().unwrap();
    assert_eq!((&left["state"], &left["matches"]), (&"failed".into(), &false.into()), "{seen:#?}");
    let plain = end(plain);
    assert!(plain.contains(&format!("{} chain completed done=3/3\n", &mine[..13])), "{plain}");
    assert!(plain.lines().any(|line| line.contains(" chain failed ") && line.ends_with(" left")), "{plain}");
    let local = lines(&end(local));
    for run in [&before, &mine, &failing] {
        assert!(local.iter().any(|line| line["run_id"] == **run && line["matches"] == true), "{local:#?}");
    }
}
