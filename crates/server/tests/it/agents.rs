//! Agents that cannot be used, and agents that run already.

use std::net::TcpListener;
use std::time::Instant;

use serde_json::Value;

use crate::host::{Host, Talking};
use crate::support::{EXAMPLE, Place, about, jsonl, until};

/// A workflow of one step.
fn one_step(place: &Place) -> String {
    let inputs = format!("inputs: {{csv: {{file: true, default: {EXAMPLE}/customers.csv}}}}\n");
    let step =
        "  - {id: s, capability: data.generate, retry: {max_attempts: 1}, input: {csv: csv, part: {value: b}}}\n";
    place.write("w.yaml", &format!("id: one\n{inputs}steps:\n{step}"))
}

#[test]
fn without_an_agents_file_the_command_says_where_it_looked() {
    let place = Place::new();
    let told = place.tutti(&["run", &one_step(&place)]).expect(2).stderr;
    assert!(told.contains("there is no agents file beside") && told.contains("--agents FILE"), "{told}");
    place.write("agents.yaml", "agents:\n  - name: a\n    url: x\n    comand: [y]\n");
    let told = place.tutti(&["run", &one_step(&place)]).expect(2).stderr;
    assert!(told.contains("agents.yaml:4:5: error: agents[0].comand: unknown field"), "{told}");
}

#[test]
fn an_agent_that_cannot_start_is_told_with_its_last_words() {
    let place = Place::new();
    let file = one_step(&place);
    let told = |agents: &str, code| {
        place.write("agents.yaml", agents);
        let told = place.tutti(&["run", &file]).expect(code).stderr;
        assert!(place.agent_pids().is_empty(), "nothing is left running");
        told
    };
    let gone = told("agents:\n  - {name: a, command: [no-such-program, '{port}']}\n", 2);
    assert!(gone.contains("agent a: there is no program \"no-such-program\""), "{gone}");
    let dead = told("agents:\n  - {name: a, command: [sh, -c, 'echo {port} is no good >&2; exit 3']}\n", 69);
    assert!(dead.contains("agent a ended before it showed its card (exit status: 3)"), "{dead}");
    assert!(dead.contains("is no good") && dead.contains("a.log"), "{dead}");
    let silent = "agents:\n  - {name: a, startup_timeout: 300ms, command: [sh, -c, 'echo {port}; sleep 60']}\n";
    let silent = told(silent, 69);
    assert!(silent.contains("did not show its card within 300ms"), "{silent}");
    let nowhere = told("agents:\n  - {name: a, url: 'http://127.0.0.1:9'}\n", 69);
    assert!(nowhere.contains("agent a at http://127.0.0.1:9 does not show its card"), "{nowhere}");
    let wrong = told("agents:\n  - {name: a, command: ['{self}', example-agent, reporter, --port, '{port}']}\n", 2);
    assert!(
        wrong.contains("step s: an agent with \"data.generate\"") && wrong.contains("agent a: report.write"),
        "{wrong}"
    );
    assert!(place.calls().is_empty());
}

#[test]
fn an_agent_that_runs_already_is_called_and_left_running() {
    let place = Place::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut agent = place.start(&["example-agent", "generator-b", "--port", &port]);
    until("the agent", || std::net::TcpStream::connect(format!("127.0.0.1:{port}")).ok());
    place.write("agents.yaml", &format!("agents:\n  - {{name: far, url: 'http://127.0.0.1:{port}'}}\n"));
    let report = place.tutti(&["run", &one_step(&place), "-o", "json"]).expect(0).json();
    assert_eq!(report["steps"][0]["agent"], "far");
    assert!(!agent.is_over());
}

#[test]
fn another_agent_takes_over_when_one_cannot_be_reached() {
    let place = Place::new();
    let command = "command: ['{self}', example-agent, generator-a, --port, '{port}']";
    let dead = "{name: a-dead, url: 'http://127.0.0.1:9', capabilities: [data.generate]}";
    place.write("agents.yaml", &format!("agents:\n  - {dead}\n  - {{name: b-alive, {command}}}\n"));
    let file = one_step(&place);
    let text = std::fs::read_to_string(&file).unwrap().replace("max_attempts: 1", "max_attempts: 2");
    place.write("w.yaml", &text);
    let begun = Instant::now();
    let report = place.tutti(&["run", &file, "-o", "json"]).expect(0).json();
    let asked: Vec<&Value> =
        report["steps"][0]["attempt_log"].as_array().unwrap().iter().map(|a| &a["agent"]).collect();
    assert_eq!(asked, ["a-dead", "b-alive"]);
    assert!(begun.elapsed().as_secs() < 30, "another agent is asked at once");
}

#[test]
fn a_server_of_this_machine_needs_no_agents_file_and_takes_agents_that_are_registered() {
    let place = Place::new();
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (address, near) = (free(), free());
    let port = near.rsplit(':').next().unwrap();
    let _agent = place.start(&["example-agent", "generator-b", "--port", port]);
    until("the agent", || std::net::TcpStream::connect(&near).ok());
    let server = Talking::start(&place, &["serve", "--listen", &address]);
    server.answers(&["listening on"]);
    server.says(&["tutti agent add"]);
    let url = format!("http://{address}");
    let tutti = |args: &[&str]| place.tutti(&[args, &["--server", &url]].concat());
    tutti(&["agent", "add", "near", &format!("http://{near}")]).expect(0);
    let run = tutti(&["submit", &one_step(&place), "--wait", "-o", "json"]).expect(0);
    assert!(run.stdout.contains("near"), "{}", run.stdout);
}

#[test]
fn an_agent_that_fails_again_and_again_is_shown_and_what_wants_it_waits() {
    let place = Place::new();
    place.write("stubs.yaml", "agents:\n  - {name: down, skills: {x: {fail: unavailable}}}\n");
    let command = "['{self}', agent, stub, '{dir}/stubs.yaml', --agent, down, --port, '{port}']";
    place.write("agents.yaml", &format!("agents:\n  - {{name: down, max_in_flight: 3, command: {command}}}\n"));
    let file =
        place.write("w.yaml", "id: w\nsteps:\n  - {id: s, capability: x, retry: {max_attempts: 9, backoff: 10ms}}\n");
    let mut serve = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    serve.env("TUTTI_AGENTS__BREAKER_FAILURES", "2").env("TUTTI_AGENTS__BREAKER_REST_SECONDS", "3600");
    let server = Host::of(&place, &mut serve);
    let run = server.submit_file(&place, &file, &[]);
    let shown = until("an open breaker", || {
        let page = server.tutti(&place, &["agent", "list", "-o", "json"]).expect(0).json();
        Some(page["agents"][0].clone()).filter(|agent| agent["breaker"] == "open")
    });
    assert_eq!((shown["max_in_flight"].as_u64(), shown["success_rate"].as_f64()), (Some(3), Some(0.0)), "{shown}");
    assert!(shown["breaker_until"].is_string(), "{shown}");
    let told = server.tutti(&place, &["agent", "check"]).expect(1).stdout;
    assert!(told.contains("it failed again and again: breaker open until"), "{told}");
    assert_eq!(server.state(&place, &run), "running");
    let events = jsonl(&server.tutti(&place, &["events", &run, "-o", "jsonl"]).expect(0).stdout);
    assert_eq!(about(&events, "AttemptStarted", "s").len(), 2, "a wait is no attempt");
}
