//! What holds for a step, and the verdict on its answers.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ids::AgentId;
use crate::value::Json;
use crate::workflow::{AtLast, OnBelow, Workflow, parse};

fn workflow(text: &str) -> Workflow {
    parse(&format!("id: w\n{text}")).unwrap_or_else(|problems| panic!("{problems:?}")).workflow
}

/// The rule of the only step of a workflow.
fn rule(text: &str) -> Rule {
    let workflow = workflow(text);
    Rule::of(Settings::common(), &workflow, &workflow.steps[0]).unwrap()
}

fn scores(scores: &[(&str, f64)]) -> BTreeMap<String, f64> {
    scores.iter().map(|(metric, score)| ((*metric).to_owned(), *score)).collect()
}

fn judged(agent_scores: &[(&str, f64)]) -> Assessment {
    assess(&rule("steps: [{id: a, capability: c, quality: {}}]"), &scores(agent_scores), &Findings::default())
}

fn failed(assessment: &Assessment) -> Vec<&str> {
    assessment.failed.iter().map(|missed| missed.metric.as_str()).collect()
}

#[test]
fn a_step_beats_its_workflow_and_that_the_settings() {
    let all = rule(
        "quality: {domain: CODING, threshold: 0.8, thresholds: {accuracy: 0.5, tone: 0.4}, on_below: ask}\n\
         steps: [{id: a, capability: c, quality: {thresholds: {accuracy: 0.6}, weights: {tone: 0}, at_last: accept}}]",
    );
    assert_eq!((all.domain.as_str(), all.threshold, all.warn_below), ("CODING", 0.8, 0.85));
    assert_eq!((all.on_below, all.at_last), (OnBelow::Ask, AtLast::Accept));
    assert_eq!(all.bar("accuracy"), Bar { weight: 1.0, threshold: Some(0.6) });
    assert_eq!(all.bar("tone"), Bar { weight: 0.0, threshold: Some(0.4) });
    assert_eq!(all.bar("correctness"), Bar { weight: 2.0, threshold: Some(0.95) });
    assert_eq!(all.bar("unheard"), Bar { weight: 1.0, threshold: None });
    let common = rule("steps: [{id: a, capability: c}]");
    assert_eq!((common.domain.as_str(), common.threshold, common.on_below), ("GENERIC", 0.9, OnBelow::Accept));
    assert_eq!(rule("steps: [{id: a, capability: c, quality: {}}]").on_below, OnBelow::Retry);
    let once = rule("quality: {on_below: retry}\nsteps: [{id: a, capability: c, retry: unsafe}]");
    assert_eq!(once.on_below, OnBelow::Ask, "what must not be done twice is not asked for twice");
}

#[test]
fn it_can_be_switched_off_at_every_level() {
    let off = Settings { enabled: false, ..Settings::default() };
    let is_on = |settings: &Settings, text: &str| {
        let workflow = workflow(text);
        Rule::of(settings, &workflow, &workflow.steps[0]).is_some()
    };
    assert!(is_on(Settings::common(), "steps: [{id: a, capability: c}]"));
    assert!(
        !is_on(&off, "steps: [{id: a, capability: c, quality: {}}]"),
        "the operator's word holds where nobody says more"
    );
    assert!(is_on(&off, "quality: {enabled: true}\nsteps: [{id: a, capability: c}]"));
    assert!(!is_on(&off, "quality: {enabled: true}\nsteps: [{id: a, capability: c, quality: {enabled: false}}]"));
}

#[test]
fn what_is_recorded_of_settings_is_what_differs_and_reads_back() {
    assert_eq!(serde_json::to_string(&Settings::default()).unwrap(), "{}");
    let domains = BTreeMap::from([("LEGAL".to_owned(), Domain { threshold: Some(0.99), ..Domain::default() })]);
    let settings = Settings { enabled: false, domains, ..Settings::default() };
    let text = serde_json::to_string(&settings).unwrap();
    assert_eq!(text, r#"{"enabled":false,"domains":{"LEGAL":{"threshold":0.99}}}"#);
    assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), settings);
    for name in BUILT_IN {
        let domain = settings.domain(name);
        assert!(!domain.weights.is_empty() && domain.thresholds["completeness"] == 0.9, "{name}");
    }
}

#[test]
fn a_missing_score_counts_for_nothing_and_fails_nothing() {
    assert_eq!(judged(&[]), Assessment::default());
    let good = judged(&[("accuracy", 0.96)]);
    assert_eq!((good.score, good.is_good(), good.warning), (Some(0.96), true, false));
    let none = judged(&[("accuracy", f64::NAN), ("tone", 7.0)]);
    assert_eq!((none.score, none.scores.len()), (None, 0), "what is no score is a missing one");
}

#[test]
fn the_overall_score_and_single_metrics_have_their_own_thresholds() {
    let low = judged(&[("completeness", 0.6), ("accuracy", 0.97)]);
    assert_eq!(failed(&low), ["overall", "completeness"]);
    assert!((low.score.unwrap() - 0.785).abs() < 1e-9 && low.warning);
    assert_eq!(low.shortfall(), "overall is 0.785, below 0.9; completeness is 0.6, below 0.9");
    let one = judged(&[("completeness", 0.89), ("accuracy", 1.0), ("relevance", 1.0)]);
    assert_eq!(failed(&one), ["completeness"]);
    assert!(!one.warning);
}

#[test]
fn checks_are_scores_like_others_and_a_judge_is_heard_before_the_agent_itself() {
    let rule = rule(
        "steps: [{id: a, capability: c, quality: {required: [title, body.text], schema: {type: object, required: [title]}, \
         min_length: 10, max_length: 20, weights: {length: 0}}}]",
    );
    let output = Json::parse(r#"{"title":"x","body":{"text":null}}"#).unwrap();
    let mut findings = check(&rule, &output);
    assert_eq!(findings.scores, scores(&[("length", 0.0), ("required", 0.5), ("schema", 1.0)]));
    assert_eq!(findings.notes, ["body.text is missing", "has 34 characters; at least 10 and at most 20 are wanted"]);
    let agent: AgentId = "critic".parse().unwrap();
    findings.judge =
        Some(Judgement { agent: agent.clone(), scores: scores(&[("accuracy", 0.5)]), notes: vec!["no".into()] });
    let all = assess(&rule, &scores(&[("accuracy", 1.0), ("relevance", 1.0)]), &findings);
    assert_eq!(failed(&all), ["overall", "accuracy", "length", "required"]);
    assert_eq!(all.score, Some((0.5 + 1.0 + 0.5 + 1.0) / 4.0), "the length has no weight");
    assert_eq!(all.sources.into_iter().collect::<Vec<_>>(), [Source::Agent, Source::Checks, Source::Judge]);
    assert_eq!((all.judge, all.notes.len()), (Some(agent), 3));
}

#[test]
fn a_judge_may_answer_by_report_or_by_output_and_nothing_else_is_a_judgement() {
    let agent = || "critic".parse::<AgentId>().unwrap();
    let of = |text: &str| judgement(agent(), &Json::parse(text.to_owned()).unwrap(), None);
    let one = of(r#"{"scores": {"accuracy": 0.5, "tone": null}, "feedback": "more"}"#).unwrap();
    assert_eq!((one.scores, one.notes), (scores(&[("accuracy", 0.5)]), vec!["more".to_owned()]));
    for wrong in [r#"{}"#, r#""good""#, r#"{"scores": {"accuracy": "high"}}"#, r#"{"scores": {"accuracy": 2}}"#] {
        assert!(of(wrong).is_err(), "{wrong}");
    }
    let report = crate::ports::agent::AgentReport { quality: scores(&[("tone", 0.7)]), ..Default::default() };
    let told = judgement(agent(), &Json::parse(r#"{"scores": {"tone": 0.1}}"#).unwrap(), Some(&report)).unwrap();
    assert_eq!(told.scores, scores(&[("tone", 0.7)]));
    let rule = rule("steps: [{id: a, capability: c, quality: {judge: {instructions: be hard}, weights: {schema: 2}}}]");
    let input =
        judge_input(&rule, ("write", Some("draft"), &Json::empty_object()), &Json::parse("[1]").unwrap()).unwrap();
    let input: serde_json::Value = serde_json::from_str(input.as_str()).unwrap();
    assert_eq!(input["task"]["action"], "draft");
    assert_eq!((&input["answer"], &input["instructions"]), (&serde_json::json!([1]), &serde_json::json!("be hard")));
    assert_eq!(input["metrics"]["accuracy"]["threshold"], 0.95);
    assert!(input["metrics"].get("schema").is_none(), "checks are made here");
}

#[test]
fn what_cannot_be_meant_is_told_with_its_place() {
    for (quality, place) in [
        ("{threshold: 1.2}", "quality.threshold"),
        ("{thresholds: {accuracy: -1}}", "quality.thresholds.accuracy"),
        ("{weights: {accuracy: 2000}}", "quality.weights.accuracy"),
        ("{thresholds: {'a b': 1}}", "quality.thresholds.a b"),
        ("{schema: {pattern: x}}", "quality.schema"),
        ("{min_length: 5, max_length: 2}", "quality.max_length"),
        ("{on_below: later}", "quality"),
        ("{unheard: 1}", "quality"),
    ] {
        for text in [
            format!("quality: {quality}\nsteps: [{{id: a, capability: c}}]"),
            format!("steps: [{{id: a, capability: c, quality: {quality}}}]"),
        ] {
            let problems = parse(&format!("id: w\n{text}")).unwrap_err();
            assert!(problems.iter().any(|problem| problem.field.starts_with(place)), "{text}: {problems:?}");
        }
    }
    for (step, place) in [
        ("sleep: 1s, quality: {}", "quality"),
        ("capability: c, retry: unsafe, quality: {on_below: retry}", "quality.on_below"),
    ] {
        let problems = parse(&format!("id: w\nsteps: [{{id: a, {step}}}]")).unwrap_err();
        assert!(problems.iter().any(|problem| problem.field == place), "{step}: {problems:?}");
    }
}

proptest! {
    #[test]
    fn the_overall_score_lies_between_the_least_and_the_most_and_what_failed_is_what_is_below(
        told in prop::collection::btree_map("[a-e]", prop_oneof![0.0..=1.0, Just(f64::NAN), Just(-1.0)], 0..5),
        weights in prop::collection::btree_map("[a-e]", 0.0..5.0, 0..5),
        thresholds in prop::collection::btree_map("[a-e]", 0.0..=1.0, 0..5),
        threshold in 0.0..=1.0,
    ) {
        let mut rule = rule("steps: [{id: a, capability: c, quality: {}}]");
        rule.threshold = threshold;
        rule.metrics.clear();
        for metric in weights.keys().chain(thresholds.keys()) {
            let bar = Bar { weight: weights.get(metric).copied().unwrap_or(1.0), threshold: thresholds.get(metric).copied() };
            rule.metrics.insert(metric.clone(), bar);
        }
        let assessment = assess(&rule, &told, &Findings::default());
        let counts: Vec<f64> = told.iter().filter(|(m, s)| (0.0..=1.0).contains(*s) && rule.bar(m).weight > 0.0).map(|(_, s)| *s).collect();
        let (least, most) = counts.iter().fold((1.0_f64, 0.0_f64), |(least, most), s| (least.min(*s), most.max(*s)));
        prop_assert_eq!(assessment.score.is_some(), !counts.is_empty());
        prop_assert!(assessment.score.is_none_or(|score| least - 1e-6 <= score && score <= most + 1e-6));
        for (metric, score) in &assessment.scores {
            let is_below = thresholds.get(metric).is_some_and(|threshold| *score < crate::ports::agent::round_score(*threshold));
            prop_assert_eq!(assessment.failed.iter().any(|missed| missed.metric == *metric), is_below);
        }
        let text = serde_json::to_string(&assessment).unwrap();
        prop_assert_eq!(serde_json::from_str::<Assessment>(&text).unwrap(), assessment);
    }
}
