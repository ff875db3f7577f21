//! The verbs that look on, while a run goes on and after it.

use serde_json::Value;

use crate::support::{Place, about, until, workflow};

#[test]
fn a_run_is_seen_from_other_processes_while_it_goes_on() {
    let place = Place::with_delay(400);
    let mut running = place.start(&["run", &workflow(), "--progress", "quiet"]);
    until("the analysis", || (!about(&place.events(), "AttemptStarted", "analyze").is_empty()).then_some(()));
    let list = place.tutti(&["list", "-o", "json", "--state", "running"]).expect(0).json();
    let run = list["runs"][0]["run_id"].as_str().expect("a running run").to_owned();
    let tree = place.tutti(&["get", &run[..18]]).expect(0).stdout;
    assert!(tree.starts_with(&format!("◐ running  {run}  data-science v1.0")), "{tree}");
    assert!(tree.contains("● completed  generate-a") && tree.contains("agent generator-"), "{tree}");
    assert!(tree.contains("○ pending    report") && tree.contains("needs ensemble"), "{tree}");
    let shown = place.tutti(&["get", "latest", "-o", "json"]).expect(0).json();
    assert_eq!(shown["monitor"]["total_steps"], 8);
    assert!(shown["monitor"]["completed_steps"].as_u64().unwrap() >= 3);
    assert!(!running.is_over(), "all this was seen while the run went on");

    // Another engine is kept away from the store.
    let told = place.tutti(&["run", &workflow()]).expect(69).stderr;
    assert!(told.contains("is in use"), "{told}");

    // A watcher that follows sees every event once and the end, from any number on.
    let followed = place.tutti(&["events", &run, "--follow", "--from", "5", "-o", "jsonl"]).expect(0).stdout;
    let followed: Vec<Value> = followed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<u64> = followed.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (5..5 + numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!(followed.last().unwrap()["event"], "RunCompleted");
    running.end().expect(0);
}

#[test]
fn lists_are_filtered_and_paged() {
    let place = Place::new();
    for _ in 0..3 {
        place.tutti(&["run", &workflow(), "--progress", "quiet"]).expect(0);
    }
    let all = place.tutti(&["list", "-o", "name"]).expect(0).stdout;
    let all: Vec<&str> = all.lines().collect();
    assert_eq!(all.len(), 3);
    assert!(all.is_sorted_by(|a, b| a > b), "newest first");
    let page = place.tutti(&["list", "-o", "json", "--limit", "2"]).expect(0).json();
    let cursor = page["next"].as_str().unwrap();
    let rest = place.tutti(&["list", "-o", "jsonl", "--limit", "2", "--cursor", cursor]).expect(0).stdout;
    let rest: Vec<Value> = rest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0]["run_id"], all[2]);
    assert_eq!((&rest[0]["state"], &rest[0]["completed"]), (&"completed".into(), &8.into()));
    assert_eq!(place.tutti(&["list", "-o", "name", "--state", "failed"]).expect(0).stdout, "");
    assert_eq!(place.tutti(&["list", "-o", "name", "--workflow", "other"]).expect(0).stdout, "");
    let table = place.tutti(&["list"]).expect(0).stdout;
    assert!(table.starts_with("STATE") && table.contains("● completed"), "{table}");
    let told = place.tutti(&["list", "--cursor", "made-up"]).expect(2).stderr;
    assert!(told.contains("cursor"), "{told}");
}

#[test]
fn artifacts_are_listed_and_written() {
    let place = Place::new();
    place.tutti(&["run", &workflow(), "--progress", "quiet"]).expect(0);
    let list = place.tutti(&["artifacts", "latest"]).expect(0).stdout;
    assert!(list.lines().count() == 2 && list.contains("report.md"), "{list}");
    let file = place.path().join("out.md");
    place.tutti(&["artifacts", "latest", "report/report.md", "--output", file.to_str().unwrap()]).expect(0);
    let written = std::fs::read_to_string(file).unwrap();
    assert_eq!(written, place.tutti(&["artifacts", "latest", "report.md", "-o", "-"]).expect(0).stdout);
    let told = place.tutti(&["artifacts", "latest", "nothing"]).expect(2).stderr;
    assert!(told.contains("no artifact \"nothing\""), "{told}");
}

#[test]
fn a_run_or_a_store_that_is_not_there_is_told_with_what_to_type() {
    let place = Place::new();
    for verb in ["list", "get", "events", "data", "artifacts", "resume"] {
        let args = if verb == "list" { vec![verb] } else { vec![verb, "latest"] };
        let told = place.tutti(&args).expect(69).stderr;
        assert!(told.contains("there is no store at .tutti/tutti.db") && told.contains("tutti run"), "{told}");
    }
    place.tutti(&["run", &workflow(), "--progress", "quiet"]).expect(0);
    let told = |run: &str| place.tutti(&["get", run]).expect(2).stderr;
    assert!(told("01890000").contains("there is no run \"01890000\""));
    assert!(told("01890000-0000-7000-8000-000000000000").contains("tutti list"));
    assert!(told("the-last-one").contains("not a run id"));
    assert!(told("").contains("not a run id"));
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let place = Place::new();
    place.tutti(&["run", &workflow(), "--progress", "quiet"]).expect(0);
    // `head` closes the pipe long before the data are through.
    let line =
        format!("'{}' data latest | head -c 10 >/dev/null; echo ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_tutti"));
    let program = std::process::Command::new("bash").arg("-c").arg(line).current_dir(place.path()).output().unwrap();
    assert_eq!(String::from_utf8(program.stdout).unwrap(), "0\n");
    assert_eq!(String::from_utf8(program.stderr).unwrap(), "");
}
