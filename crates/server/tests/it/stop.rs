//! Ctrl-C and its kin.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, test_kill_process};

use crate::support::{Place, about, until, workflow};

/// Starts the example with slow agents and waits until the analysis is under way.
fn running(place: &Place) -> crate::support::Started {
    let running = place.start(&["run", &workflow(), "--progress", "plain"]);
    until("the analysis", || (!about(&place.events(), "AttemptStarted", "analyze").is_empty()).then_some(()));
    running
}

#[test]
fn ctrl_c_stops_cleanly_and_the_run_goes_on_later() {
    let place = Place::with_delay(300);
    let running = running(&place);
    let agents = place.agent_pids();
    assert_eq!(agents.len(), 8);
    let asked = Instant::now();
    running.signal(Signal::INT);
    let done = running.end().expect(130);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(done.stdout, "", "there is no report yet");
    let run = place.tutti(&["list", "-o", "name", "--state", "running"]).expect(0).stdout;
    assert!(done.stderr.contains(&format!("next:  tutti resume {}", run.trim())), "{}", done.stderr);
    for pid in agents {
        assert!(test_kill_process(Pid::from_raw(pid).unwrap()).is_err(), "agent {pid} is stopped");
    }
    assert!(place.agent_pids().is_empty());

    let resumed = place.tutti(&["resume", run.trim(), "-o", "json", "--progress", "plain"]).expect(0);
    let first = resumed.stderr.lines().next().unwrap();
    assert!(first.contains(" - resumed by=") && first.ends_with("done=3/8"), "only what is new is told: {first}");
    assert_eq!(resumed.json()["state"], "completed");
    for step in ["generate-a", "generate-b", "generate-c"] {
        let asked = place.calls().iter().filter(|call| call.contains(&format!("/{step}/"))).count();
        assert_eq!(asked, 1, "{step} was done before");
    }
    assert!(!place.agents_folder().exists());
}

#[test]
fn a_second_ctrl_c_stops_at_once_and_nothing_is_lost() {
    let place = Place::with_delay(300);
    // An agent that does not let go when it is asked to: the first Ctrl-C would take two seconds.
    let stubborn = "agents:\n  - name: all\n    command: [bash, -c, \"trap '' TERM; exec -a agent '{self}' example-agent generator-a --port {port}\"]\n    capabilities: [data.generate]\n";
    let agents = place.write("agents.yaml", stubborn);
    let step = "  - id: s\n    capability: data.generate\n    input: {csv: csv, part: {value: a}}\n";
    let inputs = format!("inputs: {{csv: {{file: true, default: {}/customers.csv}}}}\n", crate::support::EXAMPLE);
    let file = place.write("w.yaml", &format!("id: w\n{inputs}steps:\n{step}"));
    let running = place.start(&["run", &file, "--agents", &agents, "--progress", "quiet"]);
    until("the step", || (!about(&place.events(), "TaskAssigned", "s").is_empty()).then_some(()));
    running.signal(Signal::INT);
    running.signal(Signal::TERM);
    let code = running.end().code.unwrap();
    assert!([130, 143].contains(&code), "{code}");
    let report = place.tutti(&["resume", "latest", "-o", "json"]).expect(0).json();
    assert_eq!(report["state"], "completed");
}

#[test]
fn ctrl_c_while_the_agents_start_leaves_none_of_them() {
    let place = Place::new();
    let silent = "agents:\n  - {name: a, startup_timeout: 60s, command: [sh, -c, 'echo {port}; exec sleep 60']}\n";
    let agents = place.write("agents.yaml", silent);
    let file = place.write("w.yaml", "id: w\nsteps:\n  - {id: s, capability: x}\n");
    let starting = place.start(&["run", &file, "--agents", &agents]);
    let pids = until("the agent", || Some(place.agent_pids()).filter(|pids| !pids.is_empty()));
    starting.signal(Signal::INT);
    let done = starting.end().expect(130);
    assert!(done.stderr.contains("stopped while the agents started"), "{}", done.stderr);
    assert!(test_kill_process(Pid::from_raw(pids[0]).unwrap()).is_err());
    assert_eq!(place.tutti(&["list", "-o", "name"]).expect(0).stdout, "", "there is no run");
}

#[test]
fn sigterm_is_as_polite() {
    let place = Place::with_delay(300);
    let running = running(&place);
    running.signal(Signal::TERM);
    let done = running.end().expect(143);
    assert!(done.stderr.contains("tutti resume"), "{}", done.stderr);
    assert!(place.agent_pids().is_empty());
}
