//! Budgets: by the binary, with agents that tell what they took, through restarts.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::host::Host;
use crate::support::{Done, Place, Started, about, until};
use crate::telemetry::get;

const STUBS: &str = "agents:
  - name: writer
    skills:
      text.write:
        - {answer: {text: 'a page'}, usage: {cost: 0.40, tokens_in: 100, tokens_out: 20}}
";

/// Three pages, one after another, of which the budget takes two.
fn workflow(on_spent: &str) -> String {
    let step = |id: &str, after: &str| {
        format!("- {{id: {id}, capability: text.write, reserve: {{money: 0.50}}, depends_on: [{after}]}}\n")
    };
    let budget = format!("budget: {{money: 1.20, calls: 9, on_spent: {on_spent}}}");
    format!("id: book\n{budget}\nsteps:\n{}{}{}", step("one", ""), step("two", "one"), step("three", "two"))
}

/// A place with its agents.
fn place(on_spent: &str) -> (Place, Started) {
    let place = Place::new();
    let (stubs, agents) = (place.write("stubs.yaml", STUBS), place.path().join("agents.yaml"));
    place.write("w.yaml", &workflow(on_spent));
    let stub = place.start(&["agent", "stub", &stubs, "--agents-file", &agents.display().to_string()]);
    until("the agents file", || std::fs::metadata(&agents).ok());
    (place, stub)
}

fn budget(done: &Done) -> Value {
    done.json()["budget"][0].clone()
}

#[test]
fn a_run_fails_when_its_budget_is_spent_and_goes_on_when_it_is_raised() {
    let (place, _stub) = place("stop");
    let failed = place.tutti(&["run", "w.yaml", "--agents", "agents.yaml"]).expect(1);
    assert!(failed.stdout.contains("0.80 of 1.20 money are used"), "{}", failed.stdout);
    let shown = place.tutti(&["budget", "latest", "-o", "json"]).expect(0);
    assert_eq!(
        budget(&shown),
        json!({"kind": "money", "limit": 1_200_000, "used": 800_000, "reserved": 0}),
        "{}",
        shown.stdout
    );
    assert_eq!(shown.json()["usage"], json!({"cost_micros": 800_000, "tokens_in": 200, "tokens_out": 40}));
    let told = place.tutti(&["explain", "latest"]).expect(0).stdout;
    assert!(told.contains("BUDGET_SPENT") && told.contains("--add-money"), "{told}");
    let refused = place.tutti(&["budget", "latest", "--add-tokens", "5"]).expect(2).stderr;
    assert!(refused.contains("does not bound tokens"), "{refused}");
    place.tutti(&["budget", "latest", "--add-money", "0.10", "--reason", "worth it"]).expect(0);
    let report = place.tutti(&["resume", "latest", "--agents", "agents.yaml"]).expect(0).stdout;
    assert!(report.contains("1.20 of 1.30"), "{report}");
    assert!(report.contains("300 tokens in"), "{report}");
    let events = place.events();
    let raised = events.iter().find(|event| event["event"] == "BudgetRaised").unwrap();
    assert_eq!((&raised["data"]["reason"], &raised["data"]["add"]), (&json!("worth it"), &json!({"money": 100_000})));
    assert_eq!(events.iter().filter(|event| event["event"] == "BudgetWarned").count(), 1);
    assert_eq!(about(&events, "StepCompleted", "one").len(), 1, "what was done is not done again");
}

#[test]
fn a_run_waits_for_a_person_when_its_budget_is_spent_and_its_server_may_die_meanwhile() {
    let (place, _stub) = place("ask");
    let server = Host::with(&place, &["--agents", "agents.yaml"]);
    let run = server.submit_file(&place, "w.yaml", &[]);
    until("the budget to be spent", || (server.state(&place, &run) == "waiting").then_some(()));
    let told = server.tutti(&place, &["explain", &run]).expect(0).stdout;
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("the run waits until a person raises the budget"), "{told}");
    assert!(told.contains("It waits because the budget is spent: 0.80 of 1.20 money are used"), "{told}");
    server.signal(Signal::KILL);
    drop(server);

    let server = Host::with(&place, &["--agents", "agents.yaml"]);
    assert_eq!(server.state(&place, &run), "waiting");
    let shown = server.tutti(&place, &["budget", &run, "-o", "json"]).expect(0);
    assert_eq!(budget(&shown)["used"], 800_000);
    let refused = server.tutti(&place, &["budget", &run, "--add-time", "1m"]).expect(2).stderr;
    assert!(refused.contains("does not bound time"), "{refused}");
    server.tutti(&place, &["budget", &run, "--add-money", "1"]).expect(0);
    let events = server.follow(&place, &run);
    assert_eq!(events.last().unwrap()["event"], "RunCompleted", "{events:?}");
    let metrics = get(&server.url, "/metrics");
    let cost = "tutti_usage_cost_total{tutti_step_capability=\"text.write\",tutti_workflow_id=\"book\"}";
    assert!(metrics.lines().any(|line| line.starts_with(cost)), "{metrics}");
}
