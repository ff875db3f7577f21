//! Runs held against each other.

use super::testing::{Drive, completed};
use super::{
    Comparison, CostBasis, CostDifference, QualityDifference, RunDifference, RunFigures, RunView, UsageFigures,
    ValueDifference, differences, render_comparison, render_difference,
};
use crate::schedule::Width;
use crate::value::Json;
use crate::workflow::OnError;

const STEPS: &str = "- {id: a, capability: c, depends_on: []}\n- {id: b, capability: c, depends_on: []}\n\
    - {id: join, capability: c, depends_on: [a, b]}\n";

/// A run whose steps `a` and `b` take a second each, one after another or at once.
fn run(parallel: bool, output: &str) -> RunFigures {
    let width = if parallel { Width::Bounded(4) } else { Width::One };
    let mut drive = Drive::new(STEPS, width, OnError::Fail);
    if parallel {
        drive.start("a", "one").start("b", "two").at(1.0);
        finish(&mut drive, "a", "1");
    } else {
        drive.start("a", "one").at(1.0);
        finish(&mut drive, "a", "1");
        drive.start("b", "two").at(2.0);
    }
    finish(&mut drive, "b", output);
    drive.start("join", "one").at(if parallel { 1.5 } else { 2.5 });
    finish(&mut drive, "join", "3");
    RunFigures::new(&RunView::of(drive.plan.clone(), &drive.history)).unwrap()
}

fn finish(drive: &mut Drive, step: &str, output: &str) {
    let done = completed(drive.key(step), output, vec![], vec![]);
    assert!(drive.input(&done));
}

#[test]
fn both_ways_are_told_with_what_they_gain() {
    let name = || "demo".parse().unwrap();
    let told = |sequential: &[RunFigures], parallel: &[RunFigures]| {
        Comparison::new(name(), "Three steps".to_owned(), sequential, parallel, 2)
    };
    let of = told(&[run(false, "2"), run(false, "2")], &[run(true, "2"), run(true, "2")]);
    assert_eq!(of.agents.iter().map(ToString::to_string).collect::<Vec<_>>(), ["one", "two"]);
    let one = &of.sequential.average;
    assert_eq!((one.agents.clone(), one.total), (vec![Some(1.5), Some(1.0)], Some(2.5)));
    let other = &of.parallel.average;
    assert_eq!((other.slowest_agent, other.aggregation, other.total), (Some(1.5), Some(0.5), Some(1.5)));
    assert_eq!(of.improvement.speed_up, Some(2.5 / 1.5));
    assert!((of.improvement.time_reduction.unwrap() - 0.4).abs() < 1e-9);
    assert_eq!((of.cost.basis, of.cost.difference), (CostBasis::Calls, Some(CostDifference::Same)));
    assert_eq!(of.quality.difference, Some(QualityDifference::Same), "the outputs are the same");
    let text = render_comparison(&of, 80);
    for part in [
        "Parallel vs Sequential Performance Analysis",
        "  Avg   1.50 s         1.00 s         2.50 s",
        "40.0 %",
        "1.67x",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");

    let with = |cost: f64, quality: f64, run: RunFigures| RunFigures {
        usage: Some(UsageFigures { cost, tokens: 5 }),
        quality: Some(quality),
        ..run
    };
    let of = told(&[with(1.0, 0.9, run(false, "2"))], &[with(1.2, 0.8, run(true, "2"))]);
    assert_eq!((of.cost.basis, of.cost.difference), (CostBasis::Money, Some(CostDifference::Higher)));
    assert_eq!(of.quality.difference, Some(QualityDifference::Worse));
    assert!(of.conclusion.contains("costs more") && of.conclusion.contains("worse"), "{}", of.conclusion);
    let of = told(&[with(1.0, 0.5, run(true, "2"))], &[with(0.5, 0.8, run(false, "2"))]);
    assert_eq!(
        (of.cost.difference, of.quality.difference),
        (Some(CostDifference::Lower), Some(QualityDifference::Better))
    );
    assert!(of.conclusion.starts_with("Run it one step at a time: side by side it takes longer"), "{}", of.conclusion);
    let of = told(&[run(false, "2")], &[run(true, "9")]);
    assert_eq!(of.quality.difference, None, "other outputs, and nobody told a score");
    assert_eq!(told(&[], &[]).improvement.speed_up, None);
}

#[test]
fn the_first_difference_is_the_step_that_began_first() {
    let same = RunDifference::new(run(false, "2"), run(true, "2.0"));
    assert!(same.same && same.first_difference.is_none(), "{:?}", same.first_difference);
    assert!(render_difference(&same, 80).contains("There is none"));
    let other = RunDifference::new(run(false, "{\"x\":[1,2]}"), run(true, "{\"x\":[1,3],\"y\":null}"));
    let first = other.first_difference.as_ref().unwrap();
    assert_eq!((first.step.as_deref(), first.what.as_str()), (Some("b"), "x[1]: 2 and 3"));
    let text = render_difference(&other, 80);
    assert!(text.contains("≠ b") && text.contains("= a") && text.contains("output: y: nothing and null"), "{text}");

    let mut grown = run(true, "2");
    let mut more = grown.steps[0].clone();
    more.path = "more".parse().unwrap();
    more.offset_seconds = None;
    grown.steps.push(more);
    let other = RunDifference::new(run(true, "2"), grown);
    assert_eq!(other.first_difference.unwrap().what, "the right run alone has it");
    assert_eq!(other.steps.len(), 4);
}

#[test]
fn values_differ_by_what_they_are_worth() {
    let json = |text: &str| Json::parse(text.to_owned()).unwrap();
    let places = |a: &str, b: &str| -> Vec<String> {
        differences(&json(a), &json(b)).iter().map(ValueDifference::told).collect()
    };
    assert!(places("{\"a\":1,\"b\":[2]}", "{\"b\":[2.0], \"a\":1.0}").is_empty());
    assert_eq!(places("1", "\"1\""), ["1 and \"1\""]);
    assert_eq!(places("[1,{\"a\":2}]", "[1,{\"a\":3},4]"), ["[1].a: 2 and 3", "[2]: nothing and 4"]);
    assert_eq!(places("9007199254740993", "9007199254740992").len(), 1);
    assert_eq!(places("1e999", "1e998").len(), 1);
    let many = format!("[{}]", vec!["1"; 100].join(","));
    assert_eq!(places(&many, "[]").len(), 20);
}
