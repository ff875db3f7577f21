//! Agents and capabilities with limits, agents that fail: who waits, for how long, and who does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tutti_core::ids::RunId;
use tutti_core::plan::Plan;
use tutti_core::ports::agent::{AgentAccess, AgentErrorKind, CallLimits};
use tutti_core::run::{Command, Event, Order, RunStatus};
use tutti_core::workflow::Workflow;
use tutti_engine::{AgentRecord, DispatchPolicy, Engine, EngineOptions, Registry, Update};

use crate::support::{Scripted, Step, World, plan, run_to_end, start, until};

const SPAN: Duration = Duration::from_secs(10);

fn limits(json: &str) -> CallLimits {
    serde_json::from_str(json).unwrap()
}

/// An agent for a capability, with limits as JSON.
pub fn agent(id: &str, capability: &str, json: &str) -> AgentRecord {
    AgentRecord {
        id: id.parse().unwrap(),
        url: format!("http://{id}"),
        access: AgentAccess::default(),
        capabilities: vec![capability.parse().unwrap()],
        limits: limits(json),
    }
}

/// An engine of four lanes.
fn engine(world: &World, policy: DispatchPolicy, agents: &[AgentRecord]) -> Engine {
    let registry = Registry::new(policy);
    agents.iter().for_each(|agent| registry.register(agent.clone()));
    Engine::start(world.ports(), registry, EngineOptions { lanes: 4, ..EngineOptions::default() })
}

/// Starts runs one after the other; gives for each how long it took until it ended.
async fn all(engine: &Engine, world: &World, runs: usize, steps: &str) -> Vec<(RunId, Duration)> {
    let (plan, began) = (plan(steps), Instant::now());
    let mut watches = Vec::new();
    for _ in 0..runs {
        let run = engine.new_run_id();
        watches.push((run, engine.watch(run)));
        engine.start_run_as(run, start(&plan)).await.unwrap();
    }
    let ends = watches.into_iter().map(|(run, mut watch)| async move {
        while watch.next().await.unwrap().is_some() {}
        (run, began.elapsed())
    });
    let ends = futures::future::join_all(ends).await;
    for (run, _) in &ends {
        assert_eq!(world.state(*run, &plan).await.status(), RunStatus::Completed);
    }
    ends
}

#[tokio::test(start_paused = true)]
async fn runs_of_all_lanes_take_turns_at_an_agent_and_waiting_is_no_attempt() {
    let world = World::new(Scripted::new(|_, _| Step::After(SPAN, "1")));
    let engine = engine(&world, DispatchPolicy::default(), &[agent("x", "c", r#"{"max_in_flight":2}"#)]);
    let ends = all(&engine, &world, 20, "- {id: a, capability: c}").await;
    assert_eq!(world.agents.peak.load(Ordering::SeqCst), 2);
    for (number, (run, took)) in ends.iter().enumerate() {
        assert_eq!(took.as_secs(), SPAN.as_secs() * (number as u64 / 2 + 1), "first come, first served");
        let kinds: Vec<_> = world.history(*run).await.iter().map(|event| event.event.name()).collect();
        assert_eq!(kinds, ["RunCreated", "AttemptStarted", "TaskAssigned", "StepCompleted", "RunCompleted"]);
    }
    assert!(engine.registry().waiting().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_step_that_waits_keeps_neither_its_run_nor_others_waiting() {
    let world = World::new(Scripted::new(|_, _| Step::After(SPAN, "1")));
    let agents = [agent("x", "c", r#"{"max_in_flight":1}"#), agent("y", "d", "{}")];
    let engine = engine(&world, DispatchPolicy::default(), &agents);
    let steps = concat!(
        "- {id: a, capability: c}\n- {id: b, capability: c}\n- {id: e, capability: c, priority: high}\n",
        "- {id: d, capability: d, priority: low}\n- {id: f, capability: d, depends_on: [d]}"
    );
    let narrow = Workflow { max_concurrent_tasks: 2, ..plan(steps).workflow().clone() };
    let plan = Plan::new(narrow).unwrap();
    let (_, seen) = run_to_end(&engine, &plan).await;
    let began: Vec<_> = seen
        .iter()
        .filter_map(|event| match &event.event {
            Event::AttemptStarted(started) => Some((started.step.to_string(), event.at)),
            _ => None,
        })
        .collect();
    let at = |step: &str| began.iter().find(|(name, _)| name == step).unwrap().1.since(began[0].1).as_secs();
    assert_eq!(["e", "d", "f", "a", "b"].map(at), [0, 0, 10, 10, 20], "{began:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rate_and_a_capability_bound_what_is_begun() {
    let world = World::new(Scripted::new(|_, _| Step::Answer("1")));
    let capabilities = [("c".parse().unwrap(), limits(r#"{"rate":"2/10s"}"#))].into();
    let policy = DispatchPolicy { capabilities, ..DispatchPolicy::default() };
    let engine = engine(&world, policy, &[agent("x", "c", "{}"), agent("y", "c", "{}")]);
    let ends = all(&engine, &world, 6, "- {id: a, capability: c}").await;
    let took: Vec<u64> = ends.iter().map(|(_, took)| took.as_secs()).collect();
    assert_eq!(took, [0, 0, 5, 10, 15, 20]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_while_it_waits_keeps_nobody_from_going_on() {
    let world = World::new(Scripted::new(|_, _| Step::After(SPAN, "1")));
    let engine = engine(&world, DispatchPolicy::default(), &[agent("x", "c", r#"{"max_in_flight":1}"#)]);
    let plan = plan("- {id: a, capability: c}");
    let runs: Vec<RunId> = (0..4).map(|_| engine.new_run_id()).collect();
    let mut last = engine.watch(runs[3]);
    for run in &runs {
        engine.start_run_as(*run, start(&plan)).await.unwrap();
    }
    for run in &runs[1..3] {
        engine.command(*run, Command::Cancel, Order::new("ana", "not needed")).await.unwrap();
    }
    let began = Instant::now();
    while last.next().await.unwrap().is_some() {}
    assert_eq!(began.elapsed().as_secs(), 20);
    assert_eq!(world.agents.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_fails_again_and_again_is_asked_by_one_until_it_is_well() {
    let ill = Arc::new(AtomicBool::new(true));
    let is_ill = ill.clone();
    let world = World::new(Scripted::new(move |_, _| match is_ill.load(Ordering::SeqCst) {
        true => Step::Fail(AgentErrorKind::Unavailable),
        false => Step::Answer("1"),
    }));
    let engine = engine(&world, DispatchPolicy::default(), &[agent("x", "c", "{}")]);
    let steps = "- {id: a, capability: c, retry: {max_attempts: 100, backoff: 1ms, backoff_factor: 1, jitter: 0}}";
    let plan = plan(steps);
    let runs: Vec<RunId> = (0..10).map(|_| engine.new_run_id()).collect();
    let mut watches: Vec<_> = runs.iter().map(|run| engine.watch(*run)).collect();
    for run in &runs {
        engine.start_run_as(*run, start(&plan)).await.unwrap();
    }
    // The time is that of a paused runtime.
    let _ = tokio::time::timeout(Duration::from_secs(95), std::future::pending::<()>()).await;
    // Five that open the breaker, and one after each rest.
    assert_eq!(world.agents.calls().len(), 5 + 3);
    ill.store(false, Ordering::SeqCst);
    for watch in &mut watches {
        while let Some(update) = watch.next().await.unwrap() {
            assert!(!matches!(update, Update::Event(event) if matches!(event.event, Event::RunFailed(_))));
        }
    }
    assert_eq!(world.agents.calls().len(), 5 + 3 + 10);
    assert_eq!(engine.registry().list()[0].1.breaker_opened, 4);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_asks_for_it_is_left_alone_by_all_runs_and_that_counts_for_none() {
    let world = World::new(Scripted::new(|call, before| match (call.key.path.to_string().as_str(), before) {
        ("a", 1) => Step::Busy(Duration::from_secs(40)),
        _ => Step::Answer("1"),
    }));
    let engine = engine(&world, DispatchPolicy::default(), &[agent("x", "c", "{}")]);
    let plan = plan("- {id: a, capability: c, retry: {max_attempts: 1}}");
    let run = engine.new_run_id();
    let mut watch = engine.watch(run);
    let began = Instant::now();
    engine.start_run_as(run, start(&plan)).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::AttemptFailed(failed) if failed.uncounted)).await;
    let ends = all(&engine, &world, 1, "- {id: b, capability: c}").await;
    assert_eq!((ends[0].1.as_secs(), began.elapsed().as_secs()), (40, 40), "another run");
    while watch.next().await.unwrap().is_some() {}
    assert_eq!(began.elapsed().as_secs(), 40);
    let state = world.state(run, &plan).await;
    assert_eq!((state.status(), state.step(0).attempts), (RunStatus::Completed, 2));
}
