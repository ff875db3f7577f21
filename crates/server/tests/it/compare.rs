//! `tutti diff` and `tutti compare`, with agents that take their time and tell their price.

use serde_json::Value;

use crate::host::Host;
use crate::support::Place;

const WORKFLOW: &str = r#"
id: study
description: Two views and a text
inputs: {topic: {default: boats}}
steps:
  - {id: market, capability: study.market, depends_on: [], input: {topic: topic}, output: {"*": views.market}}
  - {id: law, capability: study.law, depends_on: [], input: {topic: topic}, output: {"*": views.law}}
  - {id: text, capability: study.text, depends_on: [market, law], input: {views: views}, output: {"*": text}}
"#;

const STUBS: &str = r#"
agents:
  - name: one
    skills:
      study.market: {answer: {view: up}, delay: 150ms, quality: {accuracy: 0.9}, usage: {cost: 0.5, tokens_in: 7, tokens_out: 3}}
  - name: two
    skills:
      study.law:
        - {when: {topic: cars}, answer: {view: strict}, delay: 150ms}
        - {when: {topic: bombs}, fail: rejected}
        - {answer: {view: open}, delay: 150ms}
      study.text: {answer: {text: "It is ${input.views.law.view}."}}
"#;

fn place() -> (Place, String) {
    let place = Place::new();
    place.write("stubs.yaml", STUBS);
    let agent = |name: &str| {
        format!(
            "  - {{name: {name}, command: [\"{{self}}\", agent, stub, \"{{dir}}/stubs.yaml\", --agent, {name}, --port, \"{{port}}\"]}}\n"
        )
    };
    place.write("agents.yaml", &format!("agents:\n{}{}", agent("one"), agent("two")));
    let workflow = place.write("study.yaml", WORKFLOW);
    (place, workflow)
}

#[test]
fn a_workflow_is_compared_with_itself_in_both_ways() {
    let (place, workflow) = place();
    let done = place.tutti(&["compare", &workflow, "--runs", "2", "-o", "json"]).expect(0);
    let told = done.json();
    assert_eq!((&told["executions"], &told["parallel_steps"]), (&Value::from(2), &Value::from(2)));
    assert_eq!(told["agents"], serde_json::json!(["one", "two"]));
    let faster = told["improvement"]["speed_up"].as_f64().unwrap();
    assert!(faster > 1.1, "two waits of 150 ms side by side: {faster}");
    let one_by_one = &told["sequential"]["average"];
    assert!(one_by_one["total"].as_f64().unwrap() > 0.3 && one_by_one["agents"][0].as_f64().unwrap() > 0.15);
    assert!(told["parallel"]["average"]["aggregation"].as_f64().is_some());
    assert_eq!((&told["cost"]["basis"], &told["cost"]["difference"]), (&"money".into(), &"Same".into()));
    assert_eq!(told["cost"]["parallel"], 0.5);
    assert_eq!((&told["quality"]["difference"], &told["quality"]["parallel"]), (&"Same".into(), &0.9.into()));
    assert_eq!(told["quality"]["same_outputs"], true);
    assert!(told["conclusion"].as_str().unwrap().starts_with("Run it in parallel when time matters"));
    assert_eq!(done.stderr.lines().count(), 4, "a line for each run: {}", done.stderr);
    let runs = place.tutti(&["list", "-o", "json"]).expect(0).json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 4);
    assert!(place.agent_pids().is_empty(), "no agent is left behind");
}

#[test]
fn a_run_that_fails_ends_the_comparison() {
    let (place, workflow) = place();
    let done = place.tutti(&["compare", &workflow, "--runs", "2", "-i", "topic=bombs"]).expect(1);
    assert!(done.stderr.contains("is failed, so there is nothing to compare"), "{}", done.stderr);
    assert_eq!(done.stdout, "");
    assert!(place.agent_pids().is_empty());
}

#[test]
fn two_runs_are_held_against_each_other() {
    let (place, workflow) = place();
    let run = |topic: &str, code: i32| {
        let topic = format!("topic={topic}");
        place.tutti(&["run", &workflow, "-i", &topic, "-o", "json"]).expect(code).json()["run_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (boats, again, cars, bombs) = (run("boats", 0), run("boats", 0), run("cars", 0), run("bombs", 1));
    let diff = |a: &str, b: &str| place.tutti(&["diff", a, b, "-o", "json"]).expect(0).json();
    let same = diff(&boats, &again);
    assert_eq!((&same["same"], &same["first_difference"]), (&true.into(), &Value::Null));
    assert_eq!(same["left"]["usage"], serde_json::json!({"cost": 0.5, "tokens": 10}));

    let other = diff(&boats, &cars);
    assert_eq!(other["first_difference"]["what"], r#"topic: "boats" and "cars""#);
    let of = |step: usize| (&other["steps"][step]["step"], &other["steps"][step]["differs"]);
    assert_eq!(of(0), (&"market".into(), &serde_json::json!([])));
    assert_eq!(of(1), (&"law".into(), &serde_json::json!(["output"])));
    assert_eq!(
        other["steps"][2]["output"],
        serde_json::json!([{"path": "text", "left": "It is open.", "right": "It is strict."}])
    );
    let failed = diff(&boats, &bombs);
    assert_eq!(failed["steps"][1]["differs"][0], "state");
    assert_eq!(failed["steps"][2]["right"]["state"], "skipped");

    let text = place.tutti(&["diff", &boats, &cars]).expect(0).stdout;
    assert!(text.contains(r#"output: view: "open" and "strict""#), "{text}");
    place.tutti(&["diff", &boats, "ffffffff"]).expect(2);

    let server = Host::start(&place);
    assert_eq!(
        server.tutti(&place, &["diff", &boats, &cars]).expect(0).stdout,
        text,
        "a server says what its store says"
    );
}
