//! Runs that are not in memory: those that wait, and those that found no room.

use std::collections::HashMap;
use std::time::Duration;

use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::query::RunQuery;
use tutti_core::run::{Command, Event, Order, Origin, Recorded, RunStatus};
use tutti_core::value::{Json, Payload};
use tutti_core::workflow::Priority;
use tutti_engine::{Engine, EngineError, Residency, StartRun};

use crate::support::{Scripted, Step, World, plan, start};

/// How long an agent takes.
const CALL: Duration = Duration::from_secs(10);

/// Waits for something, in virtual time, for a day at most.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..100_000 {
        if holds().await {
            return;
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await;
    }
    panic!("it did not come about");
}

async fn status(world: &World, run: RunId) -> RunStatus {
    world.store.find(&Namespace::default(), run).await.unwrap().unwrap().status
}

async fn until_ended(world: &World, runs: &[RunId]) {
    for run in runs {
        until(async || world.history(*run).await.last().is_some_and(|event| event.event.ends_run())).await;
    }
}

fn when(history: &[Recorded], wanted: fn(&Event) -> bool) -> i64 {
    history.iter().find(|recorded| wanted(&recorded.event)).expect("it happened").at.as_micros()
}

fn order() -> Order {
    Order::new("ana", "")
}

fn answer() -> Command {
    Command::Signal { step: String::new(), answer: Payload::Inline(Json::parse("7").unwrap()) }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_a_moment_leaves_memory_and_comes_back_for_it() {
    let world = World::new(Scripted::new(|_, before| match before {
        1 => Step::Fail(tutti_core::ports::agent::AgentErrorKind::Timeout),
        _ => Step::Answer("1"),
    }));
    let engine = world.resident(Residency::default());
    let plan = plan("- {id: s, agent: x, capability: c, retry: {backoff: 30m, max_backoff: 1h, jitter: 0}}");
    let run = engine.start_run(start(&plan)).await.unwrap().run;
    until(async || world.agents.calls().len() == 1 && engine.live_runs() == 0).await;
    until_ended(&world, &[run]).await;
    let history = world.history(run).await;
    let failed = when(&history, |event| matches!(event, Event::AttemptFailed(_)));
    let again = when(&history, |event| matches!(event, Event::RunCompleted(_)));
    assert!(again >= failed + 30 * 60 * 1_000_000, "not before its time");
    assert!(again <= failed + 30 * 60 * 1_000_000 + 600_000, "and hardly after: {} us", again - failed);
    assert_eq!(status(&world, run).await, RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_somebody_leaves_memory_however_often() {
    let world = World::new(Scripted::new(|_, _| Step::Suspend));
    let engine = world.resident(Residency::default());
    let plan = plan("- {id: s, agent: x, capability: c}\ntimeout: 2d");
    let run = engine.start_run(start(&plan)).await.unwrap().run;
    // It is looked at in vain again and again, which must not count as deaths of its server.
    for _ in 0..5 {
        until(async || status(&world, run).await == RunStatus::Waiting && engine.live_runs() == 0).await;
        let nobody = Command::Signal { step: "t".into(), answer: Payload::Inline(Json::empty_object()) };
        assert!(matches!(engine.command(run, nobody, order()).await, Err(EngineError::Rejected(_))));
    }
    engine.command(run, answer(), order()).await.unwrap();
    until_ended(&world, &[run]).await;
    assert_eq!(status(&world, run).await, RunStatus::Completed);
    until(async || engine.live_runs() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_with_much_to_do_soon_stays() {
    let world = World::new(Scripted::new(|_, _| Step::After(CALL, "1")));
    let engine = world.resident(Residency::default());
    engine.start_run(start(&plan("- {id: s, agent: x, capability: c}"))).await.unwrap();
    until(async || world.agents.calls().len() == 1).await;
    assert_eq!(engine.live_runs(), 1);
}

/// Starts runs in a namespace, of a priority.
async fn start_many(engine: &Engine, namespace: &str, priority: Priority, count: usize) -> Vec<RunId> {
    let plan = plan("- {id: s, agent: x, capability: c}");
    let mut runs = Vec::new();
    for _ in 0..count {
        let origin = Origin { priority, ..Origin::default() };
        let start = StartRun { namespace: namespace.parse().unwrap(), origin, ..start(&plan) };
        runs.push(engine.start_run(start).await.unwrap().run);
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    runs
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_waits_in_turn_between_namespaces_and_by_priority() {
    let world = World::new(Scripted::new(|_, _| Step::After(CALL, "1")));
    let engine = world.resident(Residency { max_live: 2, ..Residency::default() });
    let first = start_many(&engine, "busy", Priority::Normal, 2).await;
    let low = start_many(&engine, "busy", Priority::Low, 2).await;
    let normal = start_many(&engine, "busy", Priority::Normal, 3).await;
    let high = start_many(&engine, "busy", Priority::High, 2).await;
    let other = start_many(&engine, "quiet", Priority::Low, 2).await;
    assert_eq!(engine.live_runs(), 2);
    for run in [&low[..], &normal, &high, &other].concat() {
        assert_eq!(world.history(run).await.len(), 1, "created, and nothing else");
    }
    let all = [&first[..], &low, &normal, &high, &other].concat();
    until_ended(&world, &all).await;
    assert_eq!(world.agents.peak.load(std::sync::atomic::Ordering::SeqCst), 2, "never more than there was room for");
    let mut started = HashMap::new();
    for run in all {
        started.insert(run, when(&world.history(run).await, |event| matches!(event, Event::AttemptStarted(_))));
    }
    assert!(other.iter().all(|run| started[run] <= started[&normal[1]]), "the quiet namespace is not kept waiting");
    let own = [&high[..], &normal, &low].concat();
    assert!(own.is_sorted_by_key(|run| started[run]), "high before normal before low, in the order of their starts");
}

#[tokio::test(start_paused = true)]
async fn time_in_the_queue_is_not_the_time_of_the_run() {
    let world = World::new(Scripted::new(|_, _| Step::After(CALL, "1")));
    let engine = world.resident(Residency { max_live: 1, ..Residency::default() });
    let plan = plan("- {id: s, agent: x, capability: c, timeout: 12s}\ntimeout: 15s");
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(engine.start_run(start(&plan)).await.unwrap().run);
    }
    until_ended(&world, &runs).await;
    for run in runs {
        assert_eq!(status(&world, run).await, RunStatus::Completed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_sends_away_and_a_queued_run_takes_commands() {
    let world = World::new(Scripted::new(|_, _| Step::After(CALL, "1")));
    let engine = world.resident(Residency { max_live: 1, max_queued: 2, ..Residency::default() });
    let live = start_many(&engine, "default", Priority::Normal, 1).await;
    let queued = start_many(&engine, "default", Priority::Normal, 2).await;
    let more = engine.start_run(start(&plan("- {id: s, agent: x, capability: c}"))).await;
    assert!(matches!(more, Err(EngineError::QueueFull { queued: 2, .. })), "{more:?}");
    let elsewhere = start_many(&engine, "other", Priority::Normal, 1).await;

    engine.command(queued[0], Command::Cancel, order()).await.unwrap();
    engine.command(queued[1], Command::Pause, order()).await.unwrap();
    until_ended(&world, &[live[0], queued[0], elsewhere[0]]).await;
    assert_eq!(status(&world, queued[0]).await, RunStatus::Cancelled);
    assert_eq!(status(&world, queued[1]).await, RunStatus::Paused, "its turn has come, and it is held");
    engine.command(queued[1], Command::Resume, order()).await.unwrap();
    until_ended(&world, &[queued[1]]).await;
    assert_eq!(start_many(&engine, "default", Priority::Normal, 1).await.len(), 1, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn the_queue_outlives_its_server() {
    let world = World::new(Scripted::new(|_, _| Step::After(CALL, "1")));
    let residency = Residency { max_live: 1, ..Residency::default() };
    let first = world.resident(residency);
    let runs = start_many(&first, "default", Priority::Normal, 4).await;
    first.shutdown().await;
    let second = world.resident(residency);
    assert_eq!(second.take_over_all().await, Ok(1), "the one that was under way");
    until_ended(&world, &runs).await;
}
