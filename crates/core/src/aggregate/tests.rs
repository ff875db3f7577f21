use proptest::prelude::*;

use super::*;
use crate::value::members as members_of;
use crate::workflow::{Synthesis, TaskKind};

fn member(name: &str, output: &str, quality: Option<f64>) -> Member {
    Member { name: name.to_owned(), output: Some(Json::parse(output.to_owned()).unwrap()), quality, error: None }
}

fn failed(name: &str) -> Member {
    Member { name: name.to_owned(), error: Some("timeout".to_owned()), ..Member::default() }
}

fn done(strategy: Aggregation, members: &[Member]) -> Aggregated {
    match combine(&Aggregate { strategy, ..Aggregate::default() }, "", members).unwrap() {
        Combined::Done(made) => *made,
        Combined::Ask(_) => panic!("nobody is to be asked"),
    }
}

fn writer() -> Synthesis {
    serde_json::from_str(r#"{"capability":"write","instructions":"Be brief."}"#).unwrap()
}

#[test]
fn merging_keeps_everything_under_its_name() {
    let made = done(
        Aggregation::MergeAll,
        &[member("a", "{ \"x\":1.0}", Some(0.5)), failed("b"), member("c", "2", None), member("a", "3", Some(1.0))],
    );
    assert_eq!(made.aggregated_result.as_str(), r#"{"a_2_result":3,"a_result":{ "x":1.0},"c_result":2}"#);
    assert_eq!((made.sources.join(","), made.failed_agents.join(",")), ("a,c,a".to_owned(), "b".to_owned()));
    assert!(made.partial && !made.flagged_for_review);
    assert_eq!(made.quality_score, Some(0.75));
    assert_eq!(
        Json::of(&done(Aggregation::MergeAll, &[member("a", "1", None)])).unwrap().as_str(),
        r#"{"aggregated_result":{"a_result":1},"sources":["a"],"quality_score":null,"partial":false,"failed_agents":[],"strategy":"merge_all","reason":"the workflow says so","flagged_for_review":false}"#
    );
}

#[test]
fn the_best_has_the_highest_score_and_of_equals_the_first_is_taken() {
    for (scores, best) in [
        (&[Some(0.1), Some(0.9), Some(0.5)][..], "a1"),
        (&[None, Some(0.0), None], "a1"),
        (&[Some(0.7), Some(0.7)], "a0"),
        (&[None, None], "a0"),
        (&[Some(f64::NAN), Some(0.2)], "a1"),
    ] {
        let members: Vec<Member> =
            scores.iter().enumerate().map(|(i, score)| member(&format!("a{i}"), &i.to_string(), *score)).collect();
        let made = done(Aggregation::Best, &members);
        assert_eq!(made.sources, [best], "{scores:?}");
        assert_eq!(format!("a{}", made.aggregated_result.as_str()), best);
    }
}

#[test]
fn a_synthesis_is_asked_of_an_agent() {
    let policy = Aggregate { strategy: Aggregation::Synthesis, synthesis: Some(writer()), ..Aggregate::default() };
    let members = [member("a", "[1]", Some(0.5)), failed("b"), member("c", "2", None)];
    let Combined::Ask(unwritten) = combine(&policy, "research", &members).unwrap() else { panic!("nobody is asked") };
    assert_eq!(
        unwritten.request.as_str(),
        r#"{"task":"research","instructions":"Be brief.","results":[{"agent":"a","output":[1],"quality":0.5},{"agent":"c","output":2}],"failed_agents":["b"]}"#
    );
    let made = unwritten.clone().written(Json::null(), Some(0.9));
    assert_eq!((made.quality_score, made.sources.join(",")), (Some(0.9), "a,c".to_owned()));
    assert!(made.partial);
    assert_eq!(unwritten.written(Json::null(), None).quality_score, Some(0.5));
}

#[test]
fn auto_goes_by_the_kind_of_task() {
    let scored = [member("a", "1", Some(0.5))];
    let plain = [member("a", "1", None)];
    for (task, members, synthesis, wanted) in [
        ("data_gathering", &scored, true, Aggregation::MergeAll),
        ("fetch-quotes", &scored, true, Aggregation::MergeAll),
        ("Content generation", &scored, true, Aggregation::Best),
        ("write_text", &plain, true, Aggregation::Synthesis),
        ("write_text", &plain, false, Aggregation::Best),
        ("fact_check", &scored, true, Aggregation::Consensus),
        ("validation.address", &plain, false, Aggregation::Consensus),
        ("market_analysis", &scored, true, Aggregation::Synthesis),
        ("research", &scored, false, Aggregation::MergeAll),
        ("artifact", &scored, true, Aggregation::MergeAll),
        ("", &scored, true, Aggregation::MergeAll),
    ] {
        let policy = Aggregate { synthesis: synthesis.then(writer), ..Aggregate::default() };
        let choice = choose(&policy, task, members);
        assert_eq!(choice.strategy, wanted, "{task}: {}", choice.reason);
        assert!(!choice.reason.is_empty());
    }
    let named = Aggregate { task: Some(TaskKind::FactVerification), ..Aggregate::default() };
    assert_eq!(choose(&named, "research", &scored).strategy, Aggregation::Consensus, "what is named counts");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the names are, every result is there once, unchanged, and every failure is named.
    #[test]
    fn merging_loses_nothing(names in prop::collection::vec(("[ab2_]{0,4}", any::<bool>()), 0..8)) {
        let members: Vec<Member> = names
            .iter()
            .enumerate()
            .map(|(i, (name, good))| if *good { member(name, &i.to_string(), None) } else { failed(name) })
            .collect();
        let made = done(Aggregation::MergeAll, &members);
        let mut kept: Vec<String> =
            members_of(&made.aggregated_result).unwrap().into_values().map(|value| value.as_str().to_owned()).collect();
        kept.sort();
        let wanted: Vec<String> = names.iter().enumerate().filter(|(_, (_, good))| *good).map(|(i, _)| i.to_string()).collect();
        prop_assert_eq!(kept, wanted);
        prop_assert_eq!(made.sources.len() + made.failed_agents.len(), members.len());
        prop_assert_eq!(made.partial, names.iter().any(|(_, good)| !good));
    }
}
