//! Each example as its README runs it, with its own agents: levels, states, and what comes out.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Place, root};

/// An example that ran to its end.
struct Ran {
    place: Place,
    report: Value,
    data: Value,
}

impl Ran {
    /// Runs an example that must complete, every step at the first attempt.
    #[track_caller]
    fn completed(example: &str, inputs: &[&str]) -> Self {
        let ran = Self::ended(example, inputs, 0);
        assert_eq!(ran.report["state"], "completed");
        for step in steps(&ran.report) {
            assert_eq!((&step["state"], &step["attempts"]), (&json!("completed"), &json!(1)), "{step:#}");
        }
        assert_eq!(ran.place.calls().len(), steps(&ran.report).len(), "each step is one call of one agent");
        ran
    }

    #[track_caller]
    fn ended(example: &str, inputs: &[&str], code: i32) -> Self {
        let place = Place::new();
        let workflow = file(example, "workflow.yaml");
        let linted = place.tutti(&["lint", &workflow]).expect(0);
        assert!(linted.stderr.contains("0 errors, 0 warnings"), "{linted:?}");
        let inputs = inputs.iter().flat_map(|input| ["-i", input]);
        let args: Vec<&str> =
            ["run", &workflow, "-o", "json", "--progress", "quiet"].into_iter().chain(inputs).collect();
        let report = place.tutti(&args).expect(code).json();
        let data = serde_json::from_str(&place.data()).unwrap();
        Self { place, report, data }
    }

    /// The names of the steps by level, in the order of the file.
    fn levels(&self) -> Vec<Vec<&str>> {
        let mut levels = Vec::new();
        for step in steps(&self.report) {
            let level = usize::try_from(step["level"].as_u64().unwrap()).unwrap();
            levels.resize(levels.len().max(level + 1), Vec::new());
            levels[level].push(step["id"].as_str().unwrap());
        }
        levels
    }

    fn step(&self, id: &str) -> &Value {
        steps(&self.report).iter().find(|step| step["id"] == id).unwrap()
    }

    fn artifact(&self, name: &str) -> String {
        self.place.tutti(&["artifacts", "latest", name]).expect(0).stdout
    }
}

fn steps(report: &Value) -> &Vec<Value> {
    report["steps"].as_array().unwrap()
}

fn file(example: &str, name: &str) -> String {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    examples.join(example).join(name).display().to_string()
}

#[test]
fn trading() {
    let ran = Ran::completed("trading", &[]);
    let expected = [
        vec!["market_data_collection"],
        vec!["technical_analysis", "sentiment_analysis"],
        vec!["risk_assessment"],
        vec!["trading_decision"],
    ];
    assert_eq!(ran.levels(), expected);
    let data = &ran.data;
    assert_eq!(data["raw_market_data"]["ACME"].as_array().unwrap().len(), 30);
    // Taken from the price table by other means.
    assert_eq!(
        data["technical_signals"]["BOLT"],
        json!({"action": "sell", "price": 28.66, "short_average": 28.684, "long_average": 29.93,
               "momentum": -0.0478, "volatility": 0.007})
    );
    assert_eq!(data["market_sentiment"], json!({"ACME": 0.4286, "BOLT": -1, "CORE": 0.5}));
    assert_eq!((&data["calculated_risk"], &data["position_limit"]), (&json!(0.0319), &json!(23706.0601)));
    assert_eq!(
        data["recommended_trades"],
        json!([{"symbol": "ACME", "side": "buy", "share": 0.6467}, {"symbol": "BOLT", "side": "sell", "share": 0.8326}])
    );
}

#[test]
fn trading_refuses_a_portfolio_that_it_cannot_judge() {
    let ran = Ran::ended("trading", &[r#"trading_symbols=["ACME"]"#], 1);
    let step = ran.step("risk_assessment");
    assert_eq!((&step["state"], &step["attempts"]), (&json!("failed"), &json!(1)), "{step:#}");
    assert!(step["error"].to_string().contains("there is no signal for BOLT"), "{step:#}");
    assert_eq!(ran.data.get("recommended_trades"), None);
    assert_eq!(ran.data["technical_confidence"], 1, "what was found before is kept");
}

#[test]
fn producer_consumer() {
    let ran = Ran::completed("producer-consumer", &[]);
    let expected =
        [vec!["produce-1"], vec!["produce-2", "consume-1"], vec!["produce-3", "consume-2"], vec!["consume-3"]];
    assert_eq!(ran.levels(), expected);
    let errors = ["disk full on /var", "connection to database lost", "disk full on /var"];
    let tally = json!({"lines": 21, "levels": {"ERROR": 3, "INFO": 14, "WARN": 4}, "errors": errors});
    assert_eq!(ran.data["tally"], tally);
    let other = Ran::completed("producer-consumer", &["batch_size=3"]);
    assert_eq!(other.data["tally"], tally, "whatever the size of the batches");
    assert_eq!(other.data["batches"]["b2"]["next"], 6);
}

#[test]
fn fan_out_fan_in() {
    let ran = Ran::completed("fan-out-fan-in", &["top=3"]);
    let expected = [vec!["split"], vec!["count-1", "count-2", "count-3", "count-4"], vec!["merge"]];
    assert_eq!(ran.levels(), expected);
    let top = json!([{"word": "that", "count": 13}, {"word": "the", "count": 11}, {"word": "we", "count": 10}]);
    assert_eq!(ran.data["summary"], json!({"words": 272, "distinct": 138, "top": top}));
}

#[test]
fn diamond() {
    let ran = Ran::completed("diamond", &[]);
    assert_eq!(ran.levels(), [vec!["review"], vec!["credit", "affordability"], vec!["decide"]]);
    // 20,000 over 60 months at half a percent a month.
    assert_eq!(ran.data["reviewed"]["instalment"], 386.66);
    assert_eq!(ran.data["judged"]["credit"], json!({"score": 647, "late": 1}));
    assert_eq!(ran.data["decision"], json!({"approved": true, "reasons": []}));

    let poor = json!({"applicant": "Bob", "amount": 20000, "years": 5, "yearly_rate_percent": 6, "income": 2500,
                      "spending": 2100, "payments_late_days": [40]});
    let refused = Ran::completed("diamond", &[&format!("application={poor}")]);
    let reasons = ["the score 540 is below 620", "the instalment takes 0.97 of what is left, more than 0.6"];
    assert_eq!(refused.data["decision"], json!({"approved": false, "reasons": reasons}));
}

#[test]
fn business_process() {
    let ran = Ran::completed("business-process", &[]);
    let expected =
        [vec!["validate-order"], vec!["reserve-stock", "price-order"], vec!["plan-shipment"], vec!["write-invoice"]];
    assert_eq!(ran.levels(), expected);
    let price = json!({"net": 17890, "discount": 894, "tax_percent": 19, "tax": 3229, "total": 20225});
    assert_eq!(ran.data["price"], price);
    assert_eq!(ran.data["stock"]["left"], json!({"lamp": 10, "desk-pad": 47, "bookend": 5}));
    assert_eq!(ran.data["packages"], json!([4950, 3650]));
    let invoice = ran.artifact("invoice.txt");
    assert!(invoice.starts_with("Invoice A-1042\nGrace Hopper\n") && invoice.contains(" 202.25\n"), "{invoice}");
}

#[test]
fn business_process_invoices_nothing_that_is_not_there() {
    let order =
        r#"order={"number": "A-1043", "customer": "Alan Turing", "country": "FR", "articles": {"bookend": 10}}"#;
    let ran = Ran::ended("business-process", &[order], 1);
    assert!(ran.step("reserve-stock")["error"].to_string().contains("only 9 of \\\"bookend\\\" are left"));
    assert_eq!(ran.step("price-order")["state"], "completed", "what does not need the goods goes on");
    assert_eq!(ran.step("plan-shipment")["state"], "skipped");
    assert_eq!(ran.step("write-invoice")["state"], "skipped");
    assert_eq!(ran.data.get("invoice"), None);
}

#[test]
fn ci_cd() {
    let ran = Ran::completed("ci-cd", &[]);
    let expected = [vec!["build"], vec!["test", "scan"], vec!["package"], vec!["deploy"], vec!["verify"]];
    assert_eq!(ran.levels(), expected);
    assert_eq!(ran.data["build"]["files"]["config.json"], "{\"version\": \"1.4.0\", \"languages\": [\"en\"]}\n");
    assert_eq!(ran.data["tested"], json!({"checks": 8}));
    assert_eq!(ran.data["release"]["served"], ran.data["build"]["digests"]);
    assert_eq!(ran.data["verification"], json!({"verified": 4}));
    let archive = ran.artifact("site.tar");
    assert_eq!(json!(archive.len()), ran.data["package"]["bytes"]);
    assert!(archive.contains("<h1>Meadow</h1>"), "{archive}");
}

#[test]
fn ci_cd_packs_nothing_that_fails_a_test() {
    let place = Place::new();
    let broken = place.write("about.html", "<title>x</title><a href=\"gone.html\">gone</a>");
    let ran = Ran::ended("ci-cd", &[&format!("about={broken}")], 1);
    assert!(ran.step("test")["error"].to_string().contains("gone.html"), "{:#}", ran.step("test"));
    assert_eq!(ran.step("scan")["state"], "completed");
    for step in ["package", "deploy", "verify"] {
        assert_eq!(ran.step(step)["state"], "skipped");
    }
}

#[test]
fn content_pipeline() {
    let ran = Ran::completed("content-pipeline", &[]);
    assert_eq!(ran.levels(), [vec!["ingest"], vec!["transform", "find-keywords", "summarize"], vec!["publish"]]);
    assert_eq!(ran.data["content"]["keywords"], json!(["cable", "bridge", "frequency", "wind"]));
    assert_eq!(ran.data["published"]["slug"], "why-bridges-hum");
    let page = ran.artifact("why-bridges-hum.html");
    assert_eq!(json!(page.len()), ran.data["published"]["bytes"]);
    for part in
        ["<title>Why Bridges Hum</title>", "<h2>A steady wind</h2>", "<li>dampers turn the swing into heat</li>"]
    {
        assert!(page.contains(part), "{page}");
    }
}

#[test]
fn travel() {
    let ran = Ran::completed("travel", &[]);
    assert_eq!(ran.levels(), [vec!["flight", "hotel", "car"], vec!["insurance", "activity"]]);
    let bookings = json!({
        "flight": {"name": "Night Air", "price": 1380},
        "hotel": {"name": "Garden", "district": "Asakusa", "price": 600},
        "car": {"name": "1 × compact", "price": 270},
        "insurance": {"name": "Night Air and Garden", "price": 80},
        "activity": {"name": "Temple walk", "district": "Asakusa", "price": 50},
    });
    assert_eq!(ran.data["bookings"], bookings);
}

#[test]
fn operations() {
    let ran = Ran::completed("operations", &[]);
    assert_eq!(ran.levels(), [vec!["clean", "notify"], vec!["analyze"], vec!["report"], vec!["archive"]]);
    assert_eq!(
        ran.data["analysis"],
        json!({"totals": {"east": 640, "north": 1295, "south": 1850, "west": 825}, "best": "south"})
    );
    assert_eq!(ran.data["messages"]["Ada"], "Dear Ada, the sales of 2025-01-06 are being worked on.");
    let report = ran.artifact("report.md");
    assert!(report.ends_with("4610 in all, most in south. 2 lines could not be read.\n"), "{report}");
    assert_eq!(ran.data["archived"]["bytes"], json!(report.len()));
    // The agent and the store took the digest each by itself.
    let digest = ran.data["archived"]["digest"].as_str().unwrap();
    assert_eq!(ran.step("report")["artifacts"][0]["hash"], digest);
    assert_eq!(ran.data["archived"]["name"], json!(format!("2025-01-06-{}.md", &digest[..8])));
}

#[test]
fn sessions() {
    // Without a session there is nothing to go on with; `sessions.rs` tests the rest.
    let ran = Ran::completed("sessions", &[]);
    assert_eq!(ran.levels(), [vec!["read"], vec!["count"]]);
    assert_eq!(ran.data["tally"]["lines"], 4);
}

#[test]
fn resilient() {
    let ran = Ran::ended("resilient", &[], 1);
    assert_eq!((&ran.report["state"], &ran.report["undone"]), (&json!("failed"), &json!("compensated")));
    let undos = ran.report["undos"].as_array().unwrap();
    let told: Vec<_> = undos.iter().map(|undo| (&undo["step"], &undo["state"], &undo["attempts"])).collect();
    let completed = json!("completed");
    assert_eq!(
        told,
        [(&json!("hotel"), &completed, &json!(2)), (&json!("flight"), &completed, &json!(1))],
        "the newest booking first"
    );
    assert_eq!(ran.report["kept"], json!(["quote"]));
    assert_eq!(ran.data["hotel"], "H-Lisbon", "the data stays");
    let text = ran.place.tutti(&["get", "latest"]).expect(0).stdout;
    assert!(text.contains("hotel~undo") && text.contains("nothing undoes quote"), "{text}");

    let ran = Ran::ended("resilient", &["trip={\"to\": \"Graz\", \"nights\": 2}"], 0);
    assert_eq!((&ran.report["state"], &ran.report["undos"]), (&json!("completed"), &json!([])));
    assert_eq!(ran.data["car"], "C-Graz");
}

/// Runs an example of stubs in the order that its plan promises, and gives what the plan says of time saved, in percent.
#[track_caller]
fn as_planned(example: &str, levels: &[&[&str]]) -> (Ran, f64) {
    let ran = Ran::ended(example, &[], 0);
    assert_eq!(ran.levels(), levels);
    let plan = ran.place.tutti(&["plan", &file(example, "workflow.yaml"), "-o", "json"]).expect(0).json();
    let steps = steps(&ran.report);
    for (step, planned) in steps.iter().zip(plan["tasks"].as_array().unwrap()) {
        assert_eq!(step["state"], "completed", "{step:#}");
        assert!(planned["estimate_source"] == "workflow" && planned["past"]["runs"] == 1, "{planned:#}");
    }
    (ran, (plan["parallel_potential"].as_f64().unwrap() * 1000.0).round() / 10.0)
}

#[test]
fn business_trip() {
    let (ran, saved) = as_planned("business-trip", &[&["planner"], &["flights", "hotel", "car"]]);
    assert_eq!(saved, 50.0);
    assert_eq!(ran.data["bookings"]["flight"], json!({"number": "F-Tokyo", "date": "2026-03-02"}));
    assert_eq!(ran.report["totals"]["peak_in_flight"], 3);
}

#[test]
fn family_vacation() {
    let levels: [&[&str]; 3] = [&["planner"], &["flight-1", "hotel-1"], &["flight-2", "hotel-2", "activities"]];
    let (ran, saved) = as_planned("family-vacation", &levels);
    assert_eq!(saved, 45.8);
    assert_eq!(ran.data["legs"]["second"]["flight"]["number"], "F-Porto");
    assert_eq!(ran.data["activities"], json!({"found": "3 places at the zoo", "near": "H-Lisbon"}));
    assert_eq!(ran.report["totals"]["peak_in_flight"], 3);
}

#[test]
fn order_processing() {
    let levels: [&[&str]; 3] = [&["planner"], &["payment", "inventory"], &["shipping", "email", "sms"]];
    let (ran, saved) = as_planned("order-processing", &levels);
    assert_eq!(saved, 45.8);
    assert_eq!((&ran.data["receipt"], &ran.data["label"]), (&json!("R-A-7"), &json!("L-A-7")));
}

#[test]
fn customer_report() {
    let (ran, saved) = as_planned("customer-report", &[&["task_1"], &["task_2"], &["task_3"]]);
    assert_eq!(saved, 0.0);
    assert_eq!(ran.data["results"]["task_3"]["report"], "How do our customers do? 3 customers, 27 on average");
    // The workflow is what is made of the tasks.
    let made = ran.place.tutti(&["plan", &file("customer-report", "tasks.yaml"), "-o", "workflow"]).expect(0).stdout;
    let kept = std::fs::read_to_string(file("customer-report", "workflow.yaml")).unwrap();
    assert_eq!(kept.split_once('\n').unwrap().1, made);
}

#[test]
fn research() {
    let ran = Ran::ended("research", &[], 0);
    let names: Vec<&String> = ran.data["sources"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["market_result", "society_result", "technology_result"]);
    assert_eq!(ran.data["missing_sources"], json!(["law"]));
    assert_eq!((&ran.data["fact"]["year"], &ran.data["fact_is_doubtful"]), (&json!(2025), &json!(false)));
    // Whom of the two that agree the value is taken from follows from whom the registry names first.
    assert!([json!(20.9), json!(21.2)].contains(&ran.data["fact"]["share"]), "{}", ran.data["fact"]);
    assert_eq!(ran.data["headline"], json!({"text": "One home in five heats with air"}));
    assert_eq!(ran.data["headline_by"], json!(["bureau"]));
    assert_eq!(
        (&ran.data["report"]["text"], &ran.data["report_quality"]),
        (&json!("A text on analysis, of four views"), &json!(0.9))
    );

    let share = &ran.step("share")["output"];
    assert_eq!((&share["strategy"], &share["votes"][0]["dissenting"]), (&json!("consensus"), &json!(["archive"])));
    let sources = &ran.step("sources")["output"];
    assert_eq!((&sources["partial"], &sources["strategy"]), (&json!(true), &json!("merge_all")));
    let report = &ran.step("report")["output"];
    assert_eq!((&report["strategy"], &report["sources"][3]), (&json!("synthesis"), &json!("sociologist")));
}

#[test]
fn research_that_lacks_too_much() {
    let place = Place::new();
    let read = |name: &str| std::fs::read_to_string(root().join("examples/research").join(name)).unwrap();
    place.write("stubs.yaml", &read("stubs.yaml"));
    place.write("agents.yaml", &read("agents.yaml"));
    let run = |aggregate: &str, code: i32| {
        let workflow = read("workflow.yaml").replace("{minimum: 3, deadline: 30s}", aggregate);
        let workflow = place.write("workflow.yaml", &workflow);
        place.tutti(&["run", &workflow, "-o", "json"]).expect(code).json()
    };
    let failed = run("{minimum: 4}", 1);
    let told = failed["error"].as_str().unwrap();
    assert!(told.contains("3 of 4 succeeded, 4 must; law: FAILED: the register is closed"), "{told}");
    let fixed = run("{minimum: 100%, on_failure: default, default: {market_result: none}}", 0);
    assert_eq!(fixed["steps"][0]["output"]["aggregated_result"], json!({"market_result": "none"}));
    let held = run("{minimum: 4, on_partial: escalate}", 5);
    assert_eq!((&held["state"], &held["steps"][0]["state"]), (&json!("waiting"), &json!("waiting")));
}
