//! Agents whose process ends in the middle of a run.

use rustix::process::{Pid, Signal, kill_process_group};

use crate::support::{EXAMPLE, Place, about, until};

/// Writes a workflow of one step, and an agent for it: a shell script whose first process never gets done with a task.
/// `again` is what later processes do before they serve.
fn slow_at_first(place: &Place, again: &str) -> String {
    let script = format!(
        "echo words on {{port}}; if [ -e begun ]; then {again}; else touch begun; export TUTTI_EXAMPLE_DELAY_MS=600000; fi; \
         exec '{{self}}' example-agent generator-b --port {{port}}"
    );
    place.write("agents.yaml", &format!("agents:\n  - name: a\n    command: [sh, -c, \"{script}\"]\n"));
    let inputs = format!("inputs: {{csv: {{file: true, default: {EXAMPLE}/customers.csv}}}}\n");
    let step = "  - {id: s, capability: data.generate, retry: {max_attempts: 2, backoff: 10ms}, input: {csv: csv, part: {value: b}}}\n";
    place.write("w.yaml", &format!("id: one\n{inputs}steps:\n{step}"))
}

/// Kills the agent when it works on the step.
fn kill_at_work(place: &Place) {
    until("the work", || (!place.calls().is_empty()).then_some(()));
    let pids = place.agent_pids();
    assert_eq!(pids.len(), 1);
    kill_process_group(Pid::from_raw(pids[0]).unwrap(), Signal::KILL).unwrap();
}

/// The lines of the agent's log that the script wrote.
fn logged(place: &Place, word: &str) -> Vec<String> {
    let log = std::fs::read_to_string(place.agents_folder().join("a.log")).unwrap();
    log.lines().filter(|line| line.starts_with(word)).map(str::to_owned).collect()
}

#[test]
fn an_agent_killed_at_work_is_started_again_and_the_run_completes() {
    let place = Place::new();
    let file = slow_at_first(&place, "true");
    let running = place.start(&["run", &file, "-o", "json", "--progress", "plain"]);
    kill_at_work(&place);
    let done = running.end().expect(0);
    let told: Vec<&str> = done.stderr.lines().filter(|line| line.contains("agent a ended")).collect();
    assert_eq!(told.len(), 1, "{}", done.stderr);
    assert!(told[0].ends_with(" - agent a ended (signal: 9 (SIGKILL)) and is started again"), "{}", told[0]);
    let report = done.json();
    assert_eq!(report["state"], "completed");
    assert_eq!(report["steps"][0]["attempt_log"].as_array().unwrap().len(), 2);
    assert_eq!(place.calls().len(), 2, "each process was asked once");
    let words = logged(&place, "words on");
    assert_eq!(words.len(), 2, "the log of the first process is kept");
    assert_ne!(words[0], words[1], "a fresh port");
    assert!(place.agent_pids().is_empty(), "the second process is stopped as well");
}

#[test]
fn an_agent_that_outlived_tutti_is_started_again_too() {
    let place = Place::new();
    let file = slow_at_first(&place, "true");
    let running = place.start(&["run", &file, "--progress", "quiet"]);
    until("the task", || (!about(&place.events(), "TaskAssigned", "s").is_empty()).then_some(()));
    running.signal(Signal::KILL);
    running.end();
    let resuming = place.start(&["resume", "latest", "-o", "json", "--progress", "plain"]);
    until("the run", || place.events().iter().any(|event| event["event"] == "RunResumed").then_some(()));
    kill_at_work(&place);
    let done = resuming.end().expect(0);
    assert!(done.stderr.contains(" - agent a ended and is started again\n"), "{}", done.stderr);
    assert_eq!(done.json()["state"], "completed");
    assert_eq!(logged(&place, "words on").len(), 2);
}

#[test]
fn an_agent_that_ends_again_and_again_is_given_up_with_its_last_words() {
    let place = Place::new();
    let file = slow_at_first(&place, "echo out of luck; exit 3");
    let running = place.start(&["run", &file, "-o", "json", "--progress", "plain"]);
    kill_at_work(&place);
    let done = running.end().expect(1);
    let told = &done.stderr;
    assert_eq!(told.matches("and is started again").count(), 3, "{told}");
    assert_eq!(
        told.matches("agent a ended before it showed its card (exit status: 3) and is started again").count(),
        2
    );
    let end =
        "agent a ended before it showed its card (exit status: 3) and is given up: it was started again 3 times\n";
    let (_, words) = told.split_once(end).unwrap_or_else(|| panic!("{told}"));
    let words: Vec<&str> = words.lines().take(3).collect();
    assert!(words[0].starts_with("  | words on ") && words[1] == "  | out of luck", "{words:?}");
    assert!(words[2].starts_with("next:  read ") && words[2].ends_with("a.log"), "only of the last process: {words:?}");
    assert_eq!(logged(&place, "out of luck").len(), 3);
    assert!(place.agent_pids().is_empty());
}
