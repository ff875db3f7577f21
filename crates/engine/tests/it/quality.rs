//! Answers that are judged: the rules are tested beside themselves, here is what comes of them at agents.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use tutti_core::ports::agent::AgentErrorKind;
use tutti_core::quality::Settings;
use tutti_core::run::{Command, Event, Order, QualityVerdict, Recorded, RunStatus, Verdict};
use tutti_engine::EngineOptions;

use crate::support::{Scripted, Step, World, plan, run_to_end, start, until};

/// The verdicts of a history with the scores, in order.
fn verdicts(history: &[Recorded]) -> Vec<(QualityVerdict, Option<f64>)> {
    let of = |recorded: &Recorded| match &recorded.event {
        Event::QualityAssessed(assessed) => Some((assessed.verdict, assessed.assessment.score)),
        _ => None,
    };
    history.iter().filter_map(of).collect()
}

fn count(history: &[Recorded], what: impl Fn(&Event) -> bool) -> usize {
    history.iter().filter(|recorded| what(&recorded.event)).count()
}

#[tokio::test(start_paused = true)]
async fn the_same_agent_is_asked_again_and_told_why_until_it_is_good_enough() {
    let world = World::new(Scripted::new(|_, before| Step::Scored([0.5, 0.7, 0.95][before - 1])));
    let plan = plan("- {id: a, capability: c, quality: {}}");
    let (run, history) = run_to_end(&world.engine(), &plan).await;
    let first = world.agents.calls()[0].split('@').nth(1).unwrap().to_owned();
    assert_eq!(world.agents.calls(), [1, 2, 3].map(|attempt| format!("a#{attempt}@{first}")));
    let told = world.agents.feedback.lock().unwrap().clone();
    assert_eq!(
        told.iter().map(|(_, told)| (told.attempt, told.score)).collect::<Vec<_>>(),
        [(1, Some(0.5)), (2, Some(0.7))]
    );
    assert_eq!(
        verdicts(&history),
        [(QualityVerdict::Below, Some(0.5)), (QualityVerdict::Below, Some(0.7)), (QualityVerdict::Passed, Some(0.95))]
    );
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn another_agent_is_asked_or_the_answer_is_taken_and_marked() {
    let world = World::new(Scripted::new(|_, before| Step::Scored([0.5, 0.95][before - 1])));
    let (_, history) =
        run_to_end(&world.engine(), &plan("- {id: a, capability: c, quality: {on_below: next_agent}}")).await;
    let calls = world.agents.calls();
    assert_ne!(calls[0].split('@').nth(1), calls[1].split('@').nth(1));
    assert_eq!(world.agents.feedback.lock().unwrap().len(), 1, "whoever is asked next is told too");
    assert_eq!(verdicts(&history).len(), 2);
    let world = World::new(Scripted::new(|_, _| Step::Scored(0.5)));
    let (run, history) =
        run_to_end(&world.engine(), &plan("- {id: a, capability: c, quality: {at_last: accept}}")).await;
    assert_eq!(world.agents.calls().len(), 3);
    assert_eq!(verdicts(&history)[2], (QualityVerdict::Accepted, Some(0.5)));
    assert_eq!(count(&world.history(run).await, |event| matches!(event, Event::RunCompleted(_))), 1);
}

#[tokio::test(start_paused = true)]
async fn a_score_that_is_none_is_the_agents_error() {
    let world = World::new(Scripted::new(|_, before| Step::Scored([f64::NAN, 7.0, 1.0][before - 1])));
    let (_, history) = run_to_end(&world.engine(), &plan("- {id: a, capability: c}")).await;
    let invalid = |event: &Event| matches!(event, Event::AttemptFailed(failed) if failed.error.kind == AgentErrorKind::InvalidAnswer);
    assert_eq!(count(&history, invalid), 2);
    assert_eq!(verdicts(&history), [(QualityVerdict::Passed, Some(1.0))]);
}

#[tokio::test(start_paused = true)]
async fn a_judge_is_heard_and_it_is_not_the_one_that_answered() {
    let world = World::new(Scripted::new(|call, before| match call.key.path.as_str() {
        "a~judge" if before == 1 => Step::Answer(r#"{"scores":{"accuracy":0.4},"feedback":"the sums are wrong"}"#),
        "a~judge" => Step::Scored(0.97),
        _ => Step::Scored(1.0),
    }));
    let (_, history) =
        run_to_end(&world.engine(), &plan("- {id: a, capability: c, quality: {judge: {capability: c}}}")).await;
    let calls = world.agents.calls();
    assert_eq!(calls.len(), 4, "{calls:?}");
    assert!(calls.chunks(2).all(|pair| pair[0].split('@').nth(1) != pair[1].split('@').nth(1)), "{calls:?}");
    let told = world.agents.feedback.lock().unwrap()[0].1.clone();
    assert_eq!(told.notes, ["the sums are wrong"]);
    assert_eq!(verdicts(&history), [(QualityVerdict::Below, Some(0.7)), (QualityVerdict::Passed, Some(0.97))]);
    let input = world.agents.inputs.lock().unwrap()["a~judge"].clone();
    assert!(input.contains(r#""answer":{"score":"1"}"#), "{input}");
}

#[tokio::test(start_paused = true)]
async fn without_a_judge_that_can_be_asked_the_rest_counts_and_it_is_said() {
    let world = World::new(Scripted::new(|_, _| Step::Scored(0.95)));
    let (_, history) = run_to_end(&world.engine(), &plan("- {id: a, capability: c, quality: {judge: {}}}")).await;
    let note = history.iter().find_map(|recorded| match &recorded.event {
        Event::QualityAssessed(assessed) => assessed.assessment.notes.first().cloned(),
        _ => None,
    });
    assert!(note.unwrap().contains("no agent with the capability \"quality.judge\""));
}

#[tokio::test(start_paused = true)]
async fn another_owner_tells_the_agent_what_the_first_one_would_have_told() {
    let hangs = AtomicBool::new(true);
    let world = World::new(Scripted::new(move |call, _| match call.key.attempt {
        1 => Step::Scored(0.5),
        _ if hangs.swap(false, Ordering::SeqCst) => Step::Hang,
        _ => Step::Scored(0.95),
    }));
    let plan = plan("- {id: a, capability: c, quality: {}}");
    let first = world.engine();
    let run = first.new_run_id();
    let mut watch = first.watch(run);
    first.start_run_as(run, start(&plan)).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::AttemptStarted(started) if started.attempt == 2)).await;
    while world.agents.calls().len() < 2 {
        tokio::task::yield_now().await;
    }
    world.agents.calls.lock().unwrap().clear();
    let second = world.engine();
    let mut watch = second.watch(run);
    second.take_over(run).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::RunCompleted(_))).await;
    let told = world.agents.feedback.lock().unwrap().clone();
    assert_eq!(told.len(), 2, "the agent knew nothing of it and was asked again");
    assert_eq!(told[0], told[1]);
}

#[tokio::test(start_paused = true)]
async fn a_person_takes_the_answer_that_was_not_good_enough() {
    let world = World::new(Scripted::new(|_, _| Step::Scored(0.5)));
    let plan = plan("- {id: a, capability: c, quality: {on_below: ask}}");
    let engine = world.engine();
    let run = engine.new_run_id();
    let mut watch = engine.watch(run);
    engine.start_run_as(run, start(&plan)).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::StepHeld(_))).await;
    let decide = Command::Decide { step: "a".into(), verdict: Verdict::Done, output: None };
    engine.command(run, decide, Order::new("ana", "good enough")).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::RunCompleted(_))).await;
    assert_eq!(world.agents.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_holds_where_nothing_is_said_is_recorded_unless_it_is_the_default() {
    let of = async |settings: Settings| {
        let world = World::new(Scripted::new(|_, _| Step::Scored(0.5)));
        let options = EngineOptions { quality: settings, ..EngineOptions::default() };
        let (_, history) =
            run_to_end(&world.engine_on(world.ports(), options), &plan("- {id: a, capability: c}")).await;
        let Event::RunCreated(created) = &history[0].event else { panic!("{history:?}") };
        (created.origin.quality.is_some(), verdicts(&history))
    };
    assert_eq!(of(Settings::default()).await, (false, vec![(QualityVerdict::Accepted, Some(0.5))]));
    assert_eq!(of(Settings { enabled: false, ..Settings::default() }).await, (true, vec![]));
    let low = tutti_core::quality::Domain { threshold: Some(0.4), ..Default::default() };
    let own = Settings { domains: BTreeMap::from([("GENERIC".to_owned(), low)]), ..Settings::default() };
    assert_eq!(of(own).await, (true, vec![(QualityVerdict::Passed, Some(0.5))]));
}
