//! What the engine does when all goes well, and when agents do not.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tutti_core::ports::agent::AgentErrorKind;
use tutti_core::run::{Event, RunStatus, StepStatus};
use tutti_engine::EngineOptions;

use crate::support::{Scripted, Step, World, plan, run_to_end, start, until};

const DIAMOND: &str = concat!(
    "- {id: a, capability: c, output: {v: va}}\n",
    "- {id: b, capability: c, depends_on: [a], input: {x: va}, output: {v: vb}}\n",
    "- {id: d, capability: c, depends_on: [a], input: {x: va}, output: {v: vd}}\n",
    "- {id: e, capability: c, depends_on: [b, d], input: {b: vb, d: vd, n: n}}\n",
);

#[tokio::test(start_paused = true)]
async fn a_diamond_runs_and_its_history_is_what_watchers_saw() {
    let world = World::new(Scripted::new(|_, _| Step::Answer(r#"{"v": 1e400}"#)));
    let plan = plan(DIAMOND);
    let (run, seen) = run_to_end(&world.engine(), &plan).await;
    assert_eq!(seen, world.history(run).await);
    let state = world.state(run, &plan).await;
    assert_eq!((state.status(), state.completed()), (RunStatus::Completed, 4));
    assert_eq!(world.agents.calls().len(), 4);
    assert_eq!(world.agents.inputs.lock().unwrap()["e"], r#"{"b":1e400,"d":1e400,"n":1}"#);
    // A result and the start of what it releases are one commit: they carry one time.
    let position = |wanted: &str| seen.iter().position(|e| format!("{:?}", e.event).contains(wanted)).unwrap();
    assert!(
        position("StepCompleted(StepCompleted { step: \"a\"") < position("AttemptStarted(AttemptStarted { step: \"b\"")
    );
}

#[tokio::test(start_paused = true)]
async fn another_agent_is_asked_at_once_then_the_wait_begins() {
    let world = World::new(Scripted::new(|_, before| match before {
        1 | 2 => Step::Fail(AgentErrorKind::Unavailable),
        _ => Step::Answer("1"),
    }));
    let plan = plan("- {id: a, capability: c, retry: {max_attempts: 3, backoff: 10s, jitter: 0}}");
    let began = tokio::time::Instant::now();
    let (run, _) = run_to_end(&world.engine(), &plan).await;
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Completed);
    let calls = world.agents.calls();
    assert_eq!(calls[..2], ["a#1@x", "a#2@y"]);
    assert_eq!(calls.len(), 3);
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_cancelled_and_tried_elsewhere() {
    let world = World::new(Scripted::new(|_, before| if before == 1 { Step::Hang } else { Step::Answer("1") }));
    let plan = plan("- {id: a, capability: c, timeout: 5s}");
    let (run, _) = run_to_end(&world.engine(), &plan).await;
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Completed);
    assert_eq!(*world.agents.cancelled.lock().unwrap(), ["a#1@x"]);
}

#[tokio::test(start_paused = true)]
async fn answers_that_say_nothing_or_lack_a_field_are_failures() {
    let script = |_: &_, before| if before == 1 { Step::Answer("{}") } else { Step::Answer(r#"{"w":1}"#) };
    let world = World::new(Scripted::new(script));
    let plan = plan("- {id: a, capability: c, output: {v: r}, retry: {max_attempts: 2}}");
    let (run, seen) = run_to_end(&world.engine(), &plan).await;
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Failed);
    let kinds: Vec<AgentErrorKind> = seen
        .iter()
        .filter_map(|e| match &e.event {
            Event::AttemptFailed(failed) => Some(failed.error.kind),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, [AgentErrorKind::EmptyAnswer, AgentErrorKind::OutputFieldMissing]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_call_fails_the_attempt_only() {
    let world = World::new(Scripted::new(|_, before| if before == 1 { Step::Panic } else { Step::Answer("1") }));
    let plan = plan("- {id: a, capability: c}");
    let (run, _) = run_to_end(&world.engine(), &plan).await;
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_capability_that_nobody_has_fails_the_step_with_its_name() {
    let world = World::new(Scripted::new(|_, _| Step::Answer("1")));
    let plan = plan("- {id: a, capability: unheard-of}\n- {id: b, capability: c}");
    let (run, _) = run_to_end(&world.engine(), &plan).await;
    let state = world.state(run, &plan).await;
    assert_eq!(state.status(), RunStatus::Failed);
    assert!(state.failure().unwrap().1.message.contains("\"unheard-of\""));
    assert_eq!(state.step(1).status(), StepStatus::Completed, "the rest went on");
}

#[tokio::test(start_paused = true)]
async fn width_bounds_a_run_and_places_bound_the_engine() {
    let slow = |_: &_, _| Step::After(Duration::from_secs(1), "1");
    let steps: String = (0..40).map(|i| format!("- {{id: s{i}, capability: c}}\n")).collect();
    let world = World::new(Scripted::new(slow));
    let text = format!("id: w\nmax_concurrent_tasks: 7\nexecutor: parallel\nsteps:\n{steps}");
    let narrow = tutti_core::plan::Plan::new(tutti_core::workflow::parse(&text).unwrap().workflow).unwrap();
    run_to_end(&world.engine(), &narrow).await;
    assert_eq!(world.agents.peak.load(Ordering::SeqCst), 7);

    let world = World::new(Scripted::new(slow));
    let wide = plan(&steps);
    let engine = world.engine_on(
        world.ports(),
        EngineOptions { lanes: 1, max_in_flight: 9, residency: None, ..EngineOptions::default() },
    );
    let (one, two) = tokio::join!(run_to_end(&engine, &wide), run_to_end(&engine, &wide));
    assert_eq!(world.agents.peak.load(Ordering::SeqCst), 9);
    for run in [one.0, two.0] {
        assert_eq!(world.state(run, &wide).await.status(), RunStatus::Completed);
    }
}

#[tokio::test(start_paused = true)]
async fn large_values_go_to_the_payload_store_and_come_back() {
    let large: &'static str = Box::leak(format!(r#"{{"v":"{}"}}"#, "x".repeat(100_000)).into_boxed_str());
    let world = World::new(Scripted::new(move |_, _| Step::Answer(large)));
    let plan = plan(concat!(
        "- {id: a, capability: c, output: {v: big}}\n",
        "- {id: b, capability: c, depends_on: [a], input: {x: big}}\n",
    ));
    let (run, seen) = run_to_end(&world.engine(), &plan).await;
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Completed);
    assert_eq!(world.agents.inputs.lock().unwrap()["b"].len(), 100_000 + r#"{"x":""}"#.len());
    assert!(seen.iter().all(|e| tutti_core::run::encode(e).blob.len() < 10_000), "history stays small");
}

#[tokio::test(start_paused = true)]
async fn a_request_starts_one_run() {
    let world = World::new(Scripted::new(|_, _| Step::Hang));
    let engine = world.engine();
    let request = start(&plan(DIAMOND));
    let first = engine.start_run(request.clone()).await.unwrap();
    let second = engine.start_run(request).await.unwrap();
    assert!(!first.existed && second.existed);
    assert_eq!(first.run, second.run);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_agent_waits_for_somebody_waits() {
    let world = World::new(Scripted::new(|_, _| Step::Suspend));
    let engine = world.engine();
    let plan = plan("- {id: a, capability: c}");
    let run = engine.new_run_id();
    let mut watch = engine.watch(run);
    engine.start_run_as(run, start(&plan)).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::AttemptSuspended(s) if s.message == "which?")).await;
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Waiting);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_too_long_fails_and_its_tasks_are_cancelled() {
    let world = World::new(Scripted::new(|_, _| Step::Hang));
    let plan = plan("- {id: a, capability: c, timeout: 300d}");
    let began = tokio::time::Instant::now();
    let (run, _) = run_to_end(&world.engine(), &plan).await;
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Failed);
    assert_eq!(began.elapsed().as_secs(), 3600);
}
