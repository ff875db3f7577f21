//! `tutti run` from the file to the report.

use serde_json::Value;

use crate::support::{EXAMPLE, Place, workflow};

fn steps(report: &Value) -> Vec<(&str, &str, u64)> {
    report["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["id"].as_str().unwrap(), s["state"].as_str().unwrap(), s["attempts"].as_u64().unwrap()))
        .collect()
}

/// What the report step of the example found.
fn result(report: &Value) -> &Value {
    &report["steps"][7]["output"]
}

#[test]
fn the_example_runs_from_its_file_to_the_true_report() {
    let place = Place::new();
    let done = place.tutti(&["run", &workflow(), "-o", "json"]).expect(0);
    let report = done.json();
    assert_eq!(report["state"], "completed");
    let names =
        ["generate-a", "generate-b", "generate-c", "analyze", "train-alpha", "train-beta", "ensemble", "report"];
    assert_eq!(steps(&report), names.map(|name| (name, "completed", 1)));
    assert_eq!(report["levels"].as_array().unwrap().len(), 5);
    assert_eq!(report["stages"].as_array().unwrap().len(), 4);
    assert_eq!(report["totals"]["peak_in_flight"], 3);
    assert_eq!(report["run_id"].as_str().unwrap().len(), 36);
    assert_eq!(place.calls().len(), 8, "each step is one call of one agent");

    // The artifact tells the figures that the models came to.
    let accuracy = result(&report)["accuracy"].as_f64().unwrap();
    let page = place.tutti(&["artifacts", "latest", "report.md"]).expect(0).stdout;
    assert!(page.starts_with("# Data science report"), "{page}");
    assert!(accuracy > 0.7 && page.contains(&format!("accuracy {accuracy:.3}")), "{accuracy}\n{page}");

    // Talk is on stderr, and nothing is left behind.
    assert!(done.stderr.contains("└─● completed  report"), "{}", done.stderr);
    assert!(!place.agents_folder().exists());
}

#[test]
fn another_csv_gives_other_figures() {
    let place = Place::new();
    let first = place.tutti(&["run", &workflow(), "-o", "json", "--progress", "quiet"]).expect(0).json();
    let csv = format!("csv={EXAMPLE}/machines.csv");
    let inputs = place.write("inputs.json", r#"{"label": "fault", "target": "nothing of the kind"}"#);
    let args =
        ["run", &workflow(), "-o", "json", "--progress", "quiet", "-i", &csv, "-i", &inputs, "-i", "target=wear_um"];
    let done = place.tutti(&args).expect(0);
    assert_eq!(done.stderr, "", "quiet is quiet");
    let second = done.json();
    assert_ne!(result(&first)["accuracy"], result(&second)["accuracy"]);
    let data: Value = serde_json::from_str(&place.data()).unwrap();
    assert_eq!(data["target"], "wear_um", "later inputs win");
    assert!(data["csv"].as_str().unwrap().starts_with("machine_id,"));
}

#[test]
fn a_store_in_memory_leaves_no_trace() {
    let place = Place::new();
    let done = place.tutti(&["run", &workflow(), "--store", "memory", "-o", "json"]).expect(0);
    assert_eq!(done.json()["state"], "completed");
    let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["calls.jsonl"]);
    let told = place.tutti(&["list", "--store", "memory"]).expect(2).stderr;
    assert!(told.contains("a store in memory is gone"), "{told}");
}

#[test]
fn one_request_id_starts_one_run() {
    let place = Place::new();
    let id = "6d1c7f4e-0a51-4c0e-9c0d-2f8a5b1e7a10";
    let run = || {
        let done = place.tutti(&["run", &workflow(), "-o", "json", "--request-id", id]).expect(0);
        (done.json()["run_id"].clone(), done.stderr)
    };
    let (first, _) = run();
    let (second, told) = run();
    assert_eq!(first, second);
    assert!(told.contains("was started by this request before"), "{told}");
    assert_eq!(place.tutti(&["list", "-o", "name"]).expect(0).stdout.lines().count(), 1);
    assert_eq!(place.calls().len(), 8);
}

#[test]
fn a_failed_run_ends_with_1_and_says_why() {
    let place = Place::new();
    let csv = place.write("short.csv", "a,churned,monthly_spend\n1,yes,2\n2,no,3\n");
    let done = place.tutti(&["run", &workflow(), "-i", &format!("csv={csv}"), "-o", "json"]).expect(1);
    let report = done.json();
    assert_eq!(report["state"], "failed");
    // Every generator was asked before the step was given up, and nothing behind it ran.
    assert_eq!(report["steps"][0]["attempts"], 3);
    assert!(report["steps"][0]["error"].as_str().unwrap().contains("too few rows"), "{report}");
    assert_eq!(report["steps"][3]["state"], "skipped");
    assert!(done.stderr.contains("next:  tutti get "), "{}", done.stderr);
    let text = place.tutti(&["get", "latest"]).expect(0).stdout;
    assert!(text.starts_with("✖ failed") && text.contains("try 3"), "{text}");
}

#[test]
fn flags_files_and_the_environment_choose_the_executor_in_that_order() {
    let place = Place::new();
    let file = workflow();
    let peak = |environment: &[(&str, &str)], flags: &[&str]| {
        let args = [&["run", &file, "-o", "json"], flags].concat();
        let output = place.command(&args).envs(environment.iter().copied()).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        (report["executor"].as_str().unwrap().to_owned(), report["totals"]["peak_in_flight"].as_u64().unwrap())
    };
    assert_eq!(peak(&[("ORCHESTRATION_MODE", "basic")], &[]), ("parallel".into(), 3), "the file says parallel");
    assert_eq!(peak(&[("ENABLE_PARALLEL_EXECUTION", "false")], &[]), ("basic".into(), 1));
    let flags = ["--executor", "parallel", "--max-concurrent", "2"];
    assert_eq!(peak(&[("ENABLE_PARALLEL_EXECUTION", "false")], &flags), ("parallel".into(), 2));

    let mut command = place.command(&["run", &workflow()]);
    let output = command.env("PARALLEL_THRESHOLD", "many").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("PARALLEL_THRESHOLD is \"many\""), "{told}");
}

#[test]
fn what_is_given_wrongly_is_told_before_anything_starts() {
    let place = Place::new();
    let workflow = workflow();
    let told = |args: &[&str]| place.tutti(&[&["run"], args].concat()).expect(2).stderr;
    assert!(told(&["nowhere.yaml"]).contains("the workflow file nowhere.yaml cannot be read"));
    assert!(told(&[&workflow, "-i", "csv=nowhere.csv"]).contains("input \"csv\": the file nowhere.csv"));
    assert!(told(&[&workflow, "-i", "colour=red"]).contains("inputs.colour: is not an input of this workflow"));
    assert!(
        told(&[&workflow, "--store", "mysql://x"])
            .contains("a store is `sqlite:PATH`, `postgres://USER@HOST/DATABASE` or `memory`")
    );
    assert!(told(&[&workflow, "--max-concurrent", "0"]).contains("1 to 10000"));
    assert!(told(&[&workflow, "--log", "=="]).contains("--log"));
    assert!(!place.path().join(".tutti").exists() && place.calls().is_empty());
}
