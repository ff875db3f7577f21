//! The eight agents of the data-science example, called in the order of its workflow.

use serde_json::{Value, json};
use tutti_a2a::card::AgentCard;
use tutti_a2a::v1::TaskState;
use tutti_a2a::{CARD_PATH, v1};
use tutti_example_agents::{agent, names};

use crate::support::{message, result, serve, soon, state, text, words};

const CUSTOMERS: &str = include_str!("../../../../examples/data-science/customers.csv");
const README: &str = include_str!("../../../../examples/data-science/README.md");
const MACHINES: &str = include_str!("../../../../examples/data-science/machines.csv");

async fn call(name: &str, input: &Value) -> v1::Task {
    let agent = serve(agent(name).unwrap(), None).await;
    soon(agent.send(message("m", input))).await
}

async fn done(name: &str, input: &Value) -> Value {
    let task = call(name, input).await;
    let why = task.status.as_ref().and_then(|status| status.message.clone());
    assert_eq!(state(&task), TaskState::Completed, "{name}: {why:?}");
    result(&task)
}

async fn fails(name: &str, input: &Value) -> String {
    let task = call(name, input).await;
    assert_eq!(state(&task), TaskState::Failed);
    words(&task)
}

async fn datasets(csv: &str) -> Value {
    let mut datasets = json!({});
    for part in ["a", "b", "c"] {
        datasets[part] = done(&format!("generator-{part}"), &json!({"csv": csv, "part": part})).await;
    }
    datasets
}

/// The outputs of all steps, by agent.
async fn run(csv: &str, label: &str, target: &str) -> (Value, String) {
    let datasets = datasets(csv).await;
    let analysis = done("analyzer", &json!({"datasets": datasets, "label": label, "target": target})).await;
    let training = json!({"dataset": analysis["dataset"], "label": label, "target": target});
    let alpha = done("trainer-alpha", &training).await;
    let beta = done("trainer-beta", &training).await;
    let models = json!({"dataset": analysis["dataset"], "classifier": alpha["model"], "regressor": beta["model"]});
    let ensemble = done("ensembler", &models).await;
    let findings = json!({
        "title": "Pipeline", "quality": analysis["quality"], "statistics": analysis["statistics"],
        "correlations": analysis["correlations"], "classifier": alpha, "regressor": beta, "ensemble": ensemble,
    });
    let report = call("reporter", &findings).await;
    let document = report.artifacts.iter().find(|a| a.name == "report.md").unwrap();
    assert!(document.parts.len() >= 2 && document.parts.iter().all(|p| p.media_type == "text/markdown"));
    let document = text(&document.parts);
    let all =
        json!({"analysis": analysis, "alpha": alpha, "beta": beta, "ensemble": ensemble, "report": result(&report)});
    (all, document)
}

/// The classes that a metric counts, from its confusion matrix.
fn counted(metrics: &Value) -> (u64, u64) {
    let confusion = metrics["confusion"].as_array().unwrap();
    let cell = |row: usize, column: usize| confusion[row][column].as_u64().unwrap();
    let all = (0..confusion.len()).flat_map(|r| (0..confusion.len()).map(move |c| (r, c)));
    (all.clone().filter(|(r, c)| r == c).map(|(r, c)| cell(r, c)).sum(), all.map(|(r, c)| cell(r, c)).sum())
}

#[tokio::test]
async fn each_agent_of_the_pipeline_tells_its_capability() {
    let mut found = Vec::new();
    for name in &names()[..8] {
        let agent = serve(agent(name).unwrap(), None).await;
        let answer = agent.http_get(CARD_PATH).await;
        let card = AgentCard::parse(answer.split_once("\r\n\r\n").unwrap().1.as_bytes()).unwrap();
        assert_eq!(card.name, *name);
        found.push(card.skills[0].id.clone());
    }
    let expected = [
        "data.generate",
        "data.generate",
        "data.generate",
        "data.analyze",
        "model.train.classification",
        "model.train.regression",
        "model.ensemble",
        "report.write",
    ];
    assert_eq!(found, expected);
    assert!(agent("nobody").is_err());
}

#[tokio::test]
async fn the_customers_are_learned_and_reported_truly() {
    let (all, document) = run(CUSTOMERS, "churned", "monthly_spend").await;
    assert_eq!(all["analysis"]["rows"], 600);
    assert_eq!(all["analysis"]["quality"]["ready"], true);
    assert_eq!(all["alpha"]["rows"], json!({"train": 360, "validation": 120, "test": 120}));

    let metrics = &all["alpha"]["metrics"];
    let (right, rows) = counted(metrics);
    assert_eq!(rows, 120);
    assert!((metrics["accuracy"].as_f64().unwrap() - right as f64 / 120.0).abs() < 1e-12);
    // The data was made with a relation to find: see make_data.py.
    assert!(metrics["accuracy"].as_f64() > metrics["baseline_accuracy"].as_f64(), "{metrics}");
    assert!(all["beta"]["metrics"]["r2"].as_f64().unwrap() > 0.5, "{}", all["beta"]["metrics"]);

    assert_eq!(all["ensemble"]["label"]["classifier"], *metrics, "measured on the same rows");
    assert_eq!(all["report"]["verdict"], "ready");
    assert_eq!(all["report"]["accuracy"], metrics["accuracy"]);
    let shown = format!("| {:.3} |", all["beta"]["metrics"]["rmse"].as_f64().unwrap());
    assert!(document.starts_with("# Pipeline") && document.contains(&shown), "{document}");
}

#[tokio::test]
async fn the_readme_shows_the_figures_of_the_customers() {
    let (all, _) = run(CUSTOMERS, "churned", "monthly_spend").await;
    for (question, metric) in [("label", "accuracy"), ("label", "log_loss"), ("target", "r2")] {
        let figure = |by: &str| format!("{:.3}", all["ensemble"][question][by][metric].as_f64().unwrap());
        let row = format!("| {} | {} | {} |", figure("classifier"), figure("regressor"), figure("ensemble"));
        assert!(README.contains(&row), "{question} {metric}: {row}");
    }
}

#[tokio::test]
async fn other_data_gives_other_numbers_and_the_same_data_the_same() {
    let (machines, _) = run(MACHINES, "fault", "wear_um").await;
    assert_eq!(machines["analysis"]["rows"], 360);
    assert_eq!(machines["alpha"]["metrics"]["classes"].as_array().unwrap().len(), 3);
    assert_eq!(machines["report"]["verdict"], "ready", "{}", machines["report"]);
    let (again, _) = run(MACHINES, "fault", "wear_um").await;
    assert_eq!(machines, again);
    let (customers, _) = run(CUSTOMERS, "churned", "monthly_spend").await;
    assert_ne!(machines["report"], customers["report"]);
}

#[tokio::test]
async fn bad_data_fails_with_words_that_help() {
    let generate = |csv: &str| json!({"csv": csv, "part": "a"});
    assert!(fails("generator-a", &generate("{\"not\": \"a csv\"}")).await.contains("not a usable CSV"));
    assert!(fails("generator-b", &generate("a,b\n1,2\n")).await.contains("too few rows: 1"));
    assert!(fails("generator-c", &json!({"csv": "a,b", "part": "d"})).await.contains("unknown variant `d`"));
    assert!(fails("generator-a", &json!({"part": "a"})).await.contains("missing field `csv`"));

    let datasets = datasets(CUSTOMERS).await;
    let analyze = |label: &str, target: &str| json!({"datasets": datasets, "label": label, "target": target});
    let missing = fails("analyzer", &analyze("churn", "monthly_spend")).await;
    assert!(missing.contains("the label column `churn` is missing; the columns are `customer_id`"), "{missing}");
    let quality = done("analyzer", &analyze("churned", "contract")).await;
    assert_eq!(quality["quality"]["ready"], false);

    let dataset = &quality["dataset"];
    let text_target = json!({"dataset": dataset, "label": "churned", "target": "contract"});
    assert!(fails("trainer-beta", &text_target).await.contains("is not numeric"));
    let no_label = json!({"dataset": dataset, "label": "customer_id", "target": "monthly_spend"});
    assert!(fails("trainer-alpha", &no_label).await.contains("600 different values"));
    let excluded = json!({"dataset": dataset, "label": "churned", "target": "monthly_spend", "exclude": ["nope"]});
    assert!(fails("trainer-alpha", &excluded).await.contains("the excluded column `nope` is missing"));

    let words: String = (0..40).map(|i| format!("w{i},v{}\n", i % 2)).collect();
    let words = self::datasets(&format!("name,kind\n{words}")).await;
    let no_number = fails("analyzer", &json!({"datasets": words, "label": "kind", "target": "name"})).await;
    assert!(no_number.contains("no numeric column"), "{no_number}");
}
