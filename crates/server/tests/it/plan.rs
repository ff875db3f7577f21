//! `tutti plan`: plans of workflows and of tasks in plain words.

use serde_json::json;

use crate::host::Host;
use crate::support::{Done, Place, until};

/// Agents that are stubs of one file, each started by the command.
fn agents(place: &Place, stubs: &str, names: &[&str]) -> String {
    place.write("stubs.yaml", stubs);
    let line = |name: &&str| {
        format!(
            "  - name: {name}\n    command: ['{{self}}', agent, stub, '{{dir}}/stubs.yaml', --agent, {name}, --port, \
             '{{port}}', --idle-exit, 1m]\n"
        )
    };
    place.write("agents.yaml", &format!("agents:\n{}", names.iter().map(line).collect::<String>()))
}

#[test]
fn tasks_in_plain_words_are_grouped_by_service() {
    let place = Place::new();
    let tasks = ["Book a flight to Tokyo", "Find a HOTEL near the station", "Rent a car", "Book the flight home"];
    let said: Vec<&str> = tasks.iter().flat_map(|task| ["--task", *task]).collect();
    let plan = |more: &[&str]| place.tutti(&[&["plan"], &said[..], more].concat()).expect(0);
    let json = plan(&["-o", "json"]).json();
    assert_eq!(
        json["parallel_groups"],
        json!([
            {"group": "flights", "tasks": ["book-flight-tokyo", "book-flight-home"]},
            {"group": "hotels", "tasks": ["find-hotel-near-station"]},
            {"group": "cars", "tasks": ["rent-car"]},
        ])
    );
    assert_eq!((&json["sequential_chain"], &json["planned_by"]), (&json!([]), &json!("tasks")));
    assert_eq!(json["levels"][1]["steps"], json!(["book-flight-home"]));
    assert_eq!(json["planning_mode"], "sophisticated");
    for part in ["analysis", "resource_breakdown", "risks", "quality_validation_plan", "plan_score"] {
        assert!(!json[part].is_null(), "{part}");
    }
    let simple = plan(&["-o", "json", "--mode", "simple"]).json();
    assert_eq!((&simple["planning_mode"], simple.get("risks")), (&json!("simple"), None));
    let text = plan(&[]).stdout;
    assert!(text.contains("flights: book-flight-tokyo → book-flight-home") && text.contains("\nScore\n"), "{text}");

    // The table is configuration, and what is written is a workflow like any other.
    place.write("tutti.toml", "[planner]\nmode = \"simple\"\ngroups = [\"trips words=flight,hotel type=trip\"]\n");
    let json = plan(&["-o", "json", "--write", "made.yaml"]).json();
    assert_eq!(json["parallel_groups"][0]["tasks"].as_array().unwrap().len(), 3);
    assert_eq!(json.get("plan_score"), None);
    place.tutti(&["lint", "made.yaml"]).expect(0);
    let again = place.tutti(&["plan", "made.yaml", "-o", "json"]).expect(0).json();
    assert_eq!(again["critical_path"], json["critical_path"]);
    assert!(plan_again(&place).stderr.contains("made.yaml cannot be written"));
}

fn plan_again(place: &Place) -> Done {
    place.tutti(&["plan", "--task", "x", "--write", "made.yaml"]).expect(2)
}

#[test]
fn a_file_of_tasks_with_rules_gets_the_capabilities_that_are_offered() {
    let place = Place::new();
    let file = place.write(
        "tasks.yaml",
        "id: evening\ndependency_rules: {data_processing: [], analytics: [data_processing]}\ntasks:\n\
         - {description: Analyze the sales, type: analytics}\n- {description: Clean the sales, type: data_processing}\n",
    );
    place.write(
        "agents.yaml",
        "agents:\n- {name: one, url: 'http://127.0.0.1:9', capabilities: [operations.clean, operations.analyze]}\n",
    );
    let json = place.tutti(&["plan", &file, "-o", "json"]).expect(0).json();
    assert_eq!(json["tasks"][0]["capability"], "operations.analyze");
    assert_eq!(json["levels"][0]["steps"], json!(["clean-sales"]));
    assert_eq!(json["sequential_chain"], json!(["analyze-sales"]));
    assert!(json["risks"].as_array().unwrap().iter().any(|risk| risk["kind"] == "single_agent"), "{json}");
    let wrong = place.write("wrong.yaml", "tasks:\n- {description: x, colour: red}\n");
    let told = place.tutti(&["plan", &wrong]).expect(2).stderr;
    assert!(told.contains("wrong.yaml:2:3: error: tasks[0]: unknown field `colour`"), "{told}");
}

#[test]
fn a_plan_goes_by_what_past_runs_took() {
    let place = Place::new();
    let stubs = "agents:\n- name: slow\n  skills:\n    wait.long: {delay: 300ms, answer: {done: true}}\n    wait.short: {answer: {done: true}}\n";
    agents(&place, stubs, &["slow"]);
    let file = place.write(
        "w.yaml",
        "id: w\nsteps:\n- {id: a, capability: wait.long}\n- {id: b, capability: wait.short, estimated_duration: 7s}\n",
    );
    let plan = || place.tutti(&["plan", &file, "-o", "json"]).expect(0).json();
    assert_eq!(plan()["tasks"][0]["estimate_source"], "assumed");
    place.tutti(&["run", &file]).expect(0);
    place.tutti(&["run", &file]).expect(0);
    let learned = plan();
    let (a, b) = (&learned["tasks"][0], &learned["tasks"][1]);
    assert_eq!((&a["estimate_source"], &a["past"]["runs"]), (&json!("past_runs"), &json!(2)));
    assert!((0.3..3.0).contains(&a["estimated_duration"].as_f64().unwrap()), "{a}");
    assert_eq!((&b["estimate_source"], &b["estimated_duration"]), (&json!("workflow"), &json!(7.0)));
    // Another namespace has runs of its own.
    let other = place.tutti(&["plan", &file, "-o", "json", "--namespace", "other"]).expect(0).json();
    assert_eq!(other["tasks"][0]["estimate_source"], "assumed");

    // A server keeps what its runs took too, and goes by it.
    let host = Host::start(&place);
    host.tutti(&place, &["submit", &file, "--wait", "-o", "json"]).expect(0);
    let text = until("three runs that were learned from", || {
        let text = host.tutti(&place, &["workflow", "graph", "w.yaml"]).expect(0).stdout;
        text.contains("of 3 runs").then_some(text)
    });
    assert!(text.contains("one agent alone offers wait.long"), "{text}");
}
