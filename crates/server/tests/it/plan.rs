//! `tutti plan`: plans of workflows and of tasks in plain words.

use serde_json::{Value, json};

use crate::host::Host;
use crate::support::{Done, Place, jsonl, until};

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

/// A planner agent that gives these answers, one after the other, and an agent that does what is planned.
fn planner(place: &Place, answers: &[Value]) {
    let answers: Vec<Value> = answers.iter().map(|answer| json!({"answer": answer, "times": 1})).collect();
    let stubs = json!({"agents": [
        {"name": "planner", "skills": {"planning.create": answers}},
        {"name": "worker", "skills": {
            "stone.cut": {"answer": {"stone": "of ${input.task}"}},
            "stone.lay": {"answer": {"wall": true}},
            "stone.break": {"fail": "rejected"},
        }},
    ]});
    place.write("stubs.yaml", &stubs.to_string());
    let line = |name: &str| {
        format!(
            "- name: {name}\n  command: ['{{self}}', agent, stub, '{{dir}}/stubs.yaml', --agent, {name}, --port, \
             '{{port}}', --idle-exit, 1m, --calls, '{{dir}}/{name}.jsonl']\n"
        )
    };
    place.write("agents.yaml", &format!("agents:\n{}{}", line("planner"), line("worker")));
}

/// What the planner was asked.
fn asked(place: &Place) -> Vec<Value> {
    let calls = jsonl(&std::fs::read_to_string(place.path().join("planner.jsonl")).unwrap());
    calls.into_iter().filter(|call| call["event"] == "called").map(|call| call["input"].clone()).collect()
}

fn wall(capability: &str) -> Value {
    json!({"workflow": {"id": "wall", "steps": [
        {"id": "cut", "capability": "stone.cut", "input": {"task": {"value": "granite"}}, "output": {"*": "stone"}},
        {"id": "lay", "capability": capability, "depends_on": ["cut"], "output": {"*": "wall"}},
    ]}})
}

#[test]
fn without_a_planner_agent_templates_and_keyword_rules_plan() {
    let place = Place::new();
    let plan = |more: &[&str]| place.tutti(&[&["plan", "-o", "json", "--offline"], more].concat()).expect(0).json();
    let trip = plan(&["--query", "A trip to Tokyo: a flight, a hotel and a car", "--write", "trip.yaml"]);
    assert_eq!(trip["planned_by"], "template travel");
    assert_eq!(trip["critical_path"].as_array().unwrap().len(), 3);
    place.tutti(&["lint", "trip.yaml"]).expect(0);
    let rules = plan(&["--query", "Cut the stone, then lay the wall"]);
    assert_eq!((&rules["planned_by"], rules["levels"].as_array().unwrap().len()), (&json!("keyword rules"), 2));
    let named = plan(&["--query", "Bees", "--template", "research"]);
    assert_eq!(named["planned_by"], "template research");
    let told = place.tutti(&["plan", "--query", "Bees", "--template", "bees"]).expect(2).stderr;
    assert!(told.contains("there are: travel, data-pipeline, order-processing, research"), "{told}");
    // Templates of one's own are asked first.
    std::fs::create_dir(place.path().join("templates")).unwrap();
    let template = "template: walls\nkeywords: [wall, stone]\nplan: {id: wall, tasks: [Cut the stone, Lay it]}\n";
    place.write("templates/walls.yaml", template);
    place.write("tutti.toml", "[planner]\ntemplates = \"templates\"\n");
    assert_eq!(plan(&["--query", "A wall of stone"])["planned_by"], "template walls");
}

#[test]
fn a_planner_agent_is_told_once_what_is_wrong_and_then_replaced() {
    let place = Place::new();
    planner(&place, &[wall("stone.paint"), wall("stone.lay")]);
    let done = place.tutti(&["run", "--query", "Build a wall"]).expect(0);
    assert!(done.stderr.contains("answer 1 of agent planner was not used: step lay: capability"), "{}", done.stderr);
    assert!(done.stderr.contains("planned by agent planner: wall of 2 steps"), "{}", done.stderr);
    assert!(place.data().contains(r#""stone":"of granite""#));
    let asked_of_it = asked(&place);
    let offers: Vec<_> =
        asked_of_it[0]["capabilities"].as_array().unwrap().iter().map(|offer| offer["capability"].clone()).collect();
    assert_eq!(offers, ["stone.break", "stone.cut", "stone.lay"]);
    assert_eq!((&asked_of_it[0]["query"], asked_of_it[0].get("problems")), (&json!("Build a wall"), None));
    assert_eq!(asked_of_it[1]["problems"], json!(["step lay: capability: no agent offers \"stone.paint\""]));
    assert_eq!(asked_of_it[1]["previous_answer"]["workflow"]["id"], "wall");
    let label = place.tutti(&["list", "-o", "json", "--filter", "label.tutti.planned-by=\"agent planner\""]);
    assert!(label.stdout.contains("wall"), "{}{}", label.stdout, label.stderr);

    let place = Place::new();
    planner(&place, &[wall("stone.paint"), wall("stone.sell"), json!({"refused": "no mortar"})]);
    let plan = |more: &[&str]| place.tutti(&[&["plan", "--query", "Lay a stone"], more].concat());
    let json = plan(&["-o", "json"]).expect(0).json();
    assert_eq!((&json["planned_by"], json["notes"].as_array().unwrap().len()), (&json!("keyword rules"), 2));
    assert_eq!(json["tasks"][0]["capability"], "stone.lay");
    // Each command has agents of its own, which begin anew.
    planner(&place, &[json!({"refused": "no mortar"})]);
    let told = plan(&["--no-fallback"]).expect(2).stderr;
    assert!(told.contains("agent planner refused: no mortar"), "{told}");
}

#[test]
fn a_server_plans_for_callers_and_for_other_orchestrators() {
    let place = Place::new();
    planner(&place, &[wall("stone.lay")]);
    let host = Host::start(&place);
    let json = host.tutti(&place, &["plan", "--query", "Build a wall", "-o", "json"]).expect(0).json();
    assert_eq!((&json["planned_by"], &json["workflow"]), (&json!("agent planner"), &json!("wall")));
    let text = host.tutti(&place, &["plan", "--query", "Build a wall", "-o", "workflow"]).expect(0).stdout;
    assert!(text.starts_with("id: wall\n"), "{text}");
    host.tutti(&place, &["submit", "--query", "Build a wall", "--wait"]).expect(0);

    // Another orchestrator sees an agent with the skill of planning.
    let other = Place::new();
    other.write("agents.yaml", &format!("agents:\n- {{name: builders, url: '{}'}}\n", host.url));
    let outer = other.write(
        "w.yaml",
        "id: w\nsteps:\n- {id: a, capability: tutti.plan, input: {query: {value: Build a wall}}, output: {\"*\": done}}\n",
    );
    other.tutti(&["run", &outer]).expect(0);
    assert!(other.data().contains("of granite"), "{}", other.data());
}

#[test]
fn a_failed_run_is_planned_anew() {
    let place = Place::new();
    planner(&place, &[json!({"workflow": {"id": "rescue", "steps": [{"id": "lay", "capability": "stone.lay"}]}})]);
    let file = place.write(
        "w.yaml",
        "id: w\nsteps:\n- {id: a, capability: stone.cut, input: {task: {value: granite}}, output: {\"*\": stone}}\n\
         - {id: b, capability: stone.break, depends_on: [a]}\n",
    );
    let host = Host::start(&place);
    let run = host.tutti(&place, &["submit", &file, "--replan", "1"]).expect(0).stdout.trim().to_owned();
    let filter = format!("label.tutti.replan-of={run}");
    let next = until("the run of the new plan", || {
        let list = host.tutti(&place, &["list", "-o", "json", "--filter", &filter]).expect(0).json();
        list["runs"].as_array()?.iter().find(|run| run["state"] == "completed").cloned()
    });
    assert_eq!(next["workflow"], "rescue");
    let failure = &asked(&place)[0]["failure"];
    assert_eq!((&failure["run"], &failure["completed"]), (&json!(run), &json!(["a"])));
    assert_eq!(failure["failed"][0]["step"], "b");
    assert_eq!(failure["data"]["stone"]["stone"], "of granite");
}
