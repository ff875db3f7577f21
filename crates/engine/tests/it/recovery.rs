//! What follows failures, and steps that wait: the rules are tested beside themselves, here is what comes of them at agents.

use std::time::Duration;

use tutti_core::ids::RunId;
use tutti_core::ports::agent::AgentErrorKind::{InvalidInput, Unavailable};
use tutti_core::run::{Command, Event, Input, Order, Point, RunStatus, StepStatus, Verdict, Work};
use tutti_core::value::{Json, Payload};
use tutti_engine::driver::{Asker, CreateRun, Driver, DriverOptions, Effect, Message};
use tutti_engine::{Engine, Fork, Registry};

use crate::support::{Scripted, Step, World, plan, run_to_end, start, until};

const SAGA: &str = concat!(
    "- {id: flight, capability: c, output: {ref: flight}, compensate: {capability: c, action: cancel, input: {ref: flight}}}\n",
    "- {id: hotel, capability: c, depends_on: [flight], output: {ref: hotel}, compensate: {capability: c, input: {ref: hotel}}}\n",
    "- {id: car, capability: c, depends_on: [hotel], on_error: compensate}\n",
);

async fn command(engine: &Engine, run: RunId, command: Command) {
    engine.command(run, command, Order::new("ana", "because")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_done_is_undone_newest_first_with_what_it_needs_to_know() {
    let world = World::new(Scripted::new(|call, _| match call.key.path.as_str() {
        "car" => Step::Fail(InvalidInput),
        "flight" => Step::Answer(r#"{"ref":"F1"}"#),
        _ => Step::Answer(r#"{"ref":"H1"}"#),
    }));
    let plan = plan(SAGA);
    let (run, seen) = run_to_end(&world.engine(), &plan).await;
    let calls: Vec<String> = world.agents.calls().iter().map(|call| call.split('#').next().unwrap().into()).collect();
    assert_eq!(calls, ["flight", "hotel", "car", "hotel~undo", "flight~undo"]);
    assert_eq!(world.agents.inputs.lock().unwrap()["flight~undo"], r#"{"ref":"F1"}"#);
    assert_eq!(seen, world.history(run).await);
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Failed);
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_is_lost_while_it_undoes_is_followed_by_one_that_goes_on_there() {
    let world = World::new(Scripted::new(|call, _| match call.key.path.as_str() {
        "car" => Step::Fail(InvalidInput),
        "hotel~undo" => Step::Hang,
        _ => Step::Answer(r#"{"ref":"1"}"#),
    }));
    let plan = plan(SAGA);
    let first = world.engine();
    let run = first.new_run_id();
    let mut watch = first.watch(run);
    first.start_run_as(run, start(&plan)).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::AttemptStarted(it) if it.step.as_str() == "hotel~undo")).await;
    let second = world.engine();
    let mut watch = second.watch(run);
    second.take_over(run).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::RunFailed(_))).await;
    assert_eq!(world.agents.reattached.lock().unwrap().len(), 1, "it was asked how its undoing ended");
    let of = |what: &str| world.agents.calls().iter().filter(|call| call.starts_with(what)).count();
    assert_eq!((of("hotel~undo"), of("flight~undo")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_must_not_be_done_twice_is_not_sent_again_to_an_agent_that_knows_nothing() {
    let world = World::new(Scripted::new(|_, before| if before == 1 { Step::Hang } else { Step::Answer("1") }));
    let plan = plan("- {id: pay, capability: c, retry: unsafe}");
    let first = world.engine();
    let run = first.new_run_id();
    let mut watch = first.watch(run);
    first.start_run_as(run, start(&plan)).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::TaskAssigned(_))).await;
    // The agent has forgotten everything.
    world.agents.calls.lock().unwrap().clear();
    let second = world.engine();
    let mut watch = second.watch(run);
    second.take_over(run).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::StepHeld(held) if held.outcome_unknown)).await;
    assert!(world.agents.calls().is_empty());
    let output = Some(Payload::Inline(Json::parse(r#"{"paid":1}"#).unwrap()));
    command(&second, run, Command::Decide { step: "pay".into(), verdict: Verdict::Done, output }).await;
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_run_sleeps_and_asks_people_without_asking_an_agent() {
    let world = World::new(Scripted::new(|_, _| Step::Answer(r#"{"sum":7}"#)));
    let plan = plan(concat!(
        "- {id: a, capability: c, output: {sum: sum}}\n",
        "- {id: cool, sleep: 10m, depends_on: [a]}\n",
        "- {id: ok, depends_on: [cool], approval: {message: 'pay it?', by: [ana]}, input: {sum: sum}, output: {by: by}}\n",
        "- {id: paid, depends_on: [ok], signal: {}, output: {'*': receipt}}\n",
    ));
    let engine = world.engine();
    let run = engine.new_run_id();
    let mut watch = engine.watch(run);
    let began = tokio::time::Instant::now();
    engine.start_run_as(run, start(&plan)).await.unwrap();
    let mut shown = None;
    until(&mut watch, |event| {
        let Event::AttemptSuspended(it) = event else { return false };
        shown = it.shown.clone();
        it.step.as_str() == "ok"
    })
    .await;
    assert!(began.elapsed() >= Duration::from_secs(600));
    assert_eq!(shown, Some(Payload::Inline(Json::parse(r#"{"sum":7}"#).unwrap())));
    command(&engine, run, Command::Approve { step: String::new(), approved: true, data: None }).await;
    until(&mut watch, |event| matches!(event, Event::AttemptSuspended(it) if it.step.as_str() == "paid")).await;
    let answer = Payload::Inline(Json::parse("\"R7\"").unwrap());
    command(&engine, run, Command::Signal { step: "paid".into(), answer }).await;
    let state = world.state(run, &plan).await;
    assert_eq!((state.status(), world.agents.calls().len()), (RunStatus::Completed, 1));
}

#[tokio::test(start_paused = true)]
async fn a_run_rolled_back_stops_what_it_does_and_does_it_again() {
    let world = World::new(Scripted::new(|call, before| match call.key.path.as_str() {
        "b" if before == 1 => Step::Hang,
        _ => Step::Answer(r#"{"v":1}"#),
    }));
    let plan = plan("- {id: a, capability: c, checkpoint: done}\n- {id: b, capability: c, depends_on: [a]}");
    let engine = world.engine();
    let run = engine.new_run_id();
    let mut watch = engine.watch(run);
    engine.start_run_as(run, start(&plan)).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::TaskAssigned(it) if it.step.as_str() == "b")).await;
    let to = Point::Checkpoint("done".into());
    command(&engine, run, Command::Rollback { to, compensate: true }).await;
    until(&mut watch, |event| matches!(event, Event::RunCompleted(_))).await;
    assert_eq!(*world.agents.cancelled.lock().unwrap(), ["b#1@x"]);
    assert_eq!(world.state(run, &plan).await.generation(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_held_run_leaves_its_work_to_the_agents_and_finds_it_again() {
    let world = World::new(Scripted::new(|_, _| Step::Hang));
    let plan = plan("- {id: a, capability: c}");
    let engine = world.engine();
    let run = engine.new_run_id();
    let mut watch = engine.watch(run);
    engine.start_run_as(run, start(&plan)).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::TaskAssigned(_))).await;
    command(&engine, run, Command::PauseWork { work: Work::Leave }).await;
    let state = world.state(run, &plan).await;
    assert_eq!((state.status(), state.step(0).status()), (RunStatus::Paused, StepStatus::Running));
    command(&engine, run, Command::Resume).await;
    until(&mut watch, |event| matches!(event, Event::RunCompleted(_))).await;
    assert_eq!(world.agents.calls().len(), 1, "it was not sent again");
    assert!(world.agents.cancelled.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_fork_goes_on_from_where_the_other_run_stood() {
    let world = World::new(Scripted::new(|_, _| Step::Answer("1")));
    let plan =
        plan("- {id: a, capability: c, output: {v: va}}\n- {id: b, capability: c, depends_on: [a], input: {x: va}}");
    let engine = world.engine();
    let (from, _) = run_to_end(&engine, &plan).await;
    let fork = |output: Json| {
        let completed = vec![(plan.path(0), output)];
        tutti_engine::StartRun {
            fork: Some(Fork { from, seq: 3, completed, changed: vec!["va".into()] }),
            ..start(&plan)
        }
    };
    let large = format!(r#"{{"v":"{}"}}"#, "x".repeat(20_000));
    for output in [r#"{"v":5}"#.to_owned(), large] {
        let run = engine.new_run_id();
        let mut watch = engine.watch(run);
        engine.start_run_as(run, fork(Json::parse(output).unwrap())).await.unwrap();
        until(&mut watch, |event| matches!(event, Event::RunCompleted(_))).await;
        let state = world.state(run, &plan).await;
        assert_eq!((state.completed(), state.forked()), (2, Some((from, 3))));
    }
    let calls = world.agents.calls().len();
    assert_eq!(calls, 4, "two of the first run, and one of each fork");
    assert!(world.agents.inputs.lock().unwrap()["b"].len() > 20_000);
}

#[tokio::test(start_paused = true)]
async fn another_try_waits_no_longer_than_the_step_may_take() {
    let world = World::new(Scripted::new(|_, before| if before == 1 { Step::Fail(Unavailable) } else { Step::Hang }));
    let plan = plan("- {id: a, capability: c, timeout: 30s, total_timeout: 5s, retry: {max_attempts: 9, backoff: 1s}}");
    let began = tokio::time::Instant::now();
    let (run, _) = run_to_end(&world.engine(), &plan).await;
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Failed);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_panic_in_the_handling_of_one_run_harms_no_other() {
    let now = tutti_core::time::Timestamp::from_micros(1_000_000);
    let plan = plan("- {id: a, capability: c}");
    let mut driver = Driver::new(Registry::default(), DriverOptions { places: 10, rest: None });
    let mut drawn = 0_u128;
    let mut random = || {
        drawn += 1;
        drawn
    };
    let runs: Vec<RunId> = (1..=2).map(|n| RunId::new(n, [1; 10])).collect();
    for run in &runs {
        let start = start(&plan);
        let create = CreateRun {
            run: *run,
            namespace: start.namespace,
            request: start.request,
            plan: plan.clone(),
            data: Payload::of(&start.data),
            policy: start.policy,
            strategy: start.strategy,
            origin: start.origin,
            key_from: None,
            turn: None,
            forked: None,
        };
        driver.handle(Message::Create(Box::new(create), Box::new(drop)), now, &mut random);
        for effect in driver.effects() {
            if let Effect::Create(decided) = effect {
                let created = Ok(tutti_core::ports::store::Creation::Created);
                driver.handle(Message::Created(decided, created), now, &mut random);
            }
        }
    }
    driver.effects();
    let pause = || Input::Command { command: Command::Pause, order: Order::new("ana", "") };
    driver.handle(Message::Input(runs[0], pause(), Asker::Nobody), now, &mut random);
    driver.pump(now, &mut || panic!("as the test says"));
    let set_aside = driver.effects().into_iter().find_map(|effect| match effect {
        Effect::Quarantine(run, reason) => Some((run, reason)),
        _ => None,
    });
    assert_eq!(set_aside, Some((runs[0], "its handling panicked: as the test says".to_owned())));
    assert!(driver.state(runs[0]).is_none());
    driver.handle(Message::Input(runs[1], pause(), Asker::Nobody), now, &mut random);
    driver.pump(now, &mut random);
    assert_eq!(driver.state(runs[1]).unwrap().status(), RunStatus::Paused);
}
