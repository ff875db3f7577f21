//! What callers may ask of an engine's runs, and engines that come after one that is gone.

use std::sync::Arc;
use std::time::Duration;

use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::agent::AgentErrorKind;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::runs::{CommandRequest, Runs, StartOptions, StartRequest, WorkflowSource};
use tutti_core::ports::inbound::views::{EventsRequest, ListRequest, Views};
use tutti_core::run::{Command, Order, RunStatus};
use tutti_core::schedule::{StrategyDecision, StrategyReason};
use tutti_core::value::{Json, Payload};
use tutti_core::workflow::Executor;
use tutti_engine::{Engine, EngineError, Residency, RunService, ServiceOptions};

use crate::support::{Scripted, Step, World, plan, start};

const TWO: &str = "- {id: a, capability: c}\n- {id: b, capability: c, depends_on: [a]}";

pub fn service(engine: Engine) -> RunService {
    RunService::new(
        engine,
        Arc::new(|_, executor| StrategyDecision {
            executor: if executor == Executor::Auto { Executor::Basic } else { executor },
            reason: StrategyReason::Requested,
            potential_improvement: None,
            system_load: None,
            available_workers: None,
        }),
        ServiceOptions::default(),
    )
}

pub fn request(number: u128, workflow: &str, inputs: &str) -> StartRequest {
    StartRequest {
        namespace: Namespace::default(),
        request: uuid::Uuid::from_u128(number),
        workflow: WorkflowSource::Text(workflow.to_owned()),
        inputs: inputs.to_owned(),
        options: StartOptions::default(),
    }
}

fn from(run: RunId, from: u64) -> EventsRequest {
    EventsRequest { namespace: Namespace::default(), run, from, limit: 3, wait: Duration::from_secs(15) }
}

/// Lets the engine work until something is so.
pub async fn until(so: impl Fn() -> bool) {
    for _ in 0..100_000 {
        if so() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it did not come");
}

/// Every event from a number on, to the end of the run.
pub async fn followed(runs: &RunService, run: RunId, mut next: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    loop {
        let page = runs.events(from(run, next)).await.unwrap();
        seen.extend(page.events.iter().map(|event| event.seq));
        next = seen.last().map_or(next, |seq| seq + 1);
        if page.ended && page.events.is_empty() {
            return seen;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_is_started_once_and_followed_from_anywhere() {
    let world = World::new(Scripted::new(|_, _| Step::After(Duration::from_secs(20), "1")));
    let runs = service(world.engine());
    let workflow = format!("id: w\nsteps:\n{TWO}");
    let first = runs.start(request(1, &workflow, "")).await.unwrap();
    let again = runs.start(request(1, &workflow, "")).await.unwrap();
    assert_eq!((again.run, first.existed, again.existed), (first.run, false, true));
    let (all, tail) = tokio::join!(followed(&runs, first.run, 1), followed(&runs, first.run, 3));
    assert!(all.iter().copied().eq(1..=all.len() as u64), "{all:?}");
    assert_eq!(all[2..], tail);
    let view = runs.get(&Namespace::default(), first.run).await.unwrap();
    assert_eq!((view.status(), view.seq()), (RunStatus::Completed, all.len() as u64));

    let other = "other".parse().unwrap();
    assert!(matches!(runs.get(&other, first.run).await, Err(RequestError::NotFound(_))));
    let strange = EventsRequest { namespace: other, ..from(first.run, 1) };
    assert!(matches!(runs.events(strange).await, Err(RequestError::NotFound(_))));
    let prefix = Some(first.run.to_string()[..9].to_uppercase());
    assert_eq!(runs.list(ListRequest { prefix, ..ListRequest::default() }).await.unwrap().runs.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_told_by_field() {
    let world = World::new(Scripted::new(|_, _| Step::Answer("1")));
    let runs = service(world.engine());
    let fields = |error: RequestError| match error {
        RequestError::Invalid(violations) => violations.into_iter().map(|v| v.field).collect::<Vec<_>>(),
        other => panic!("{other}"),
    };
    let refused = async |request: StartRequest| fields(runs.start(request).await.unwrap_err());
    let needy = "id: w\ninputs: {n: {required: true}}\nsteps: [{id: s, capability: c}]";
    let file = "id: w\ninputs: {f: {file: true, default: x.csv}}\nsteps: [{id: s, capability: c}]";
    let unknown = "id: w\nsteps: [{id: s, capability: c, depends_on: [x]}]";
    assert_eq!(refused(request(1, unknown, "")).await, ["workflow.steps[s].depends_on[0]"]);
    assert_eq!(refused(request(1, needy, "{}")).await, ["inputs_json.n"]);
    assert_eq!(refused(request(1, needy, "{")).await, ["inputs_json"]);
    assert_eq!(refused(request(1, file, "")).await, ["inputs_json.f"]);
    let options = StartOptions { max_concurrent_tasks: Some(0), ..StartOptions::default() };
    let wide = StartRequest { options, ..request(1, needy, r#"{"n":1}"#) };
    assert_eq!(refused(wide).await, ["max_concurrent_tasks"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_cancelled_once_and_by_name() {
    let world = World::new(Scripted::new(|_, _| Step::Hang));
    let runs = service(world.engine());
    let run = runs.start(request(1, &format!("id: w\nsteps:\n{TWO}"), "")).await.unwrap().run;
    until(|| !world.agents.calls().is_empty()).await;
    let cancel = |run| CommandRequest {
        namespace: Namespace::default(),
        run,
        command: Command::Cancel,
        order: Order::new("ana", "wrong data"),
    };
    assert_eq!(runs.command(cancel(run)).await, Ok(false));
    assert_eq!(runs.command(cancel(run)).await, Ok(true), "asking again is safe");
    until(|| !world.agents.cancelled.lock().unwrap().is_empty()).await;
    let history = world.history(run).await;
    assert!(format!("{:?}", history.last().unwrap().event).contains("wrong data"));
    let nobody = RunId::new(0, [0; 10]);
    assert!(matches!(runs.command(cancel(nobody)).await, Err(RequestError::NotFound(_))));
}

#[tokio::test(start_paused = true)]
async fn the_next_engine_takes_over_what_is_open_and_cancels_what_nobody_drives() {
    let world = World::new(Scripted::new(|call, before| match call.key.path.as_str() {
        "slow" if before <= 3 => Step::Fail(tutti_core::ports::agent::AgentErrorKind::Timeout),
        _ => Step::Answer("1"),
    }));
    // One ends, three wait half an hour for their next try.
    let (quick, slow) = (
        plan("- {id: a, capability: c}"),
        plan(
            "- {id: slow, agent: x, capability: c, retry: {max_attempts: 3, backoff: 30m, max_backoff: 1h, jitter: 0}}",
        ),
    );
    let first = world.engine();
    crate::support::run_to_end(&first, &quick).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(first.start_run(start(&slow)).await.unwrap().run);
    }
    until(|| world.agents.calls().len() == 4).await;
    first.shutdown().await;

    let second = world.resident(Residency::default());
    second.command(waiting[0], Command::Cancel, Order::new("ana", "not needed")).await.unwrap();
    assert_eq!(world.state(waiting[0], &slow).await.status(), RunStatus::Cancelled);
    assert_eq!(second.take_over_all().await, Ok(0), "nothing is under way");
    for run in &waiting[1..] {
        let runs = service(second.clone());
        followed(&runs, *run, 1).await;
        assert_eq!(world.state(*run, &slow).await.status(), RunStatus::Completed);
    }
    assert_eq!(second.take_over_all().await, Ok(0), "nothing is open");
    assert!(matches!(
        second.command(waiting[1], Command::Cancel, Order::new("ana", "late")).await,
        Err(EngineError::Rejected(_))
    ));
}

fn order(request: u128) -> Order {
    Order { request: Some(uuid::Uuid::from_u128(request)), ..Order::new("ana", "because") }
}

fn wanted(run: RunId, command: Command, request: u128) -> CommandRequest {
    CommandRequest { namespace: Namespace::default(), run, command, order: order(request) }
}

#[tokio::test(start_paused = true)]
async fn a_paused_run_waits_for_its_resumption_and_a_repeated_request_does_nothing() {
    let world = World::new(Scripted::new(|_, _| Step::After(Duration::from_secs(20), "1")));
    let runs = service(world.engine());
    let run = runs.start(request(1, &format!("id: w\nsteps:\n{TWO}"), "")).await.unwrap().run;
    assert_eq!(runs.command(wanted(run, Command::Pause, 7)).await, Ok(false));
    assert_eq!(runs.command(wanted(run, Command::Pause, 8)).await, Ok(true), "it is paused already");
    let of_first = EventsRequest { wait: Duration::from_secs(60), ..from(run, 4) };
    assert_eq!(runs.events(of_first).await.unwrap().events.len(), 1, "the attempt under way ends");
    assert_eq!(world.agents.calls().len(), 1, "and nothing follows");
    assert_eq!(runs.command(wanted(run, Command::Resume, 9)).await, Ok(false));
    assert_eq!(runs.command(wanted(run, Command::Pause, 7)).await, Ok(false), "a late copy of the first request");
    followed(&runs, run, 1).await;
    assert_eq!(runs.get(&Namespace::default(), run).await.unwrap().status(), RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_is_retried_where_it_failed() {
    let world = World::new(Scripted::new(|call, before| match (call.key.path.as_str(), before) {
        ("b", 1) => Step::Fail(AgentErrorKind::InvalidInput),
        _ => Step::Answer("1"),
    }));
    let runs = service(world.engine());
    let run = runs.start(request(1, &format!("id: w\nsteps:\n{TWO}"), "")).await.unwrap().run;
    let seen = followed(&runs, run, 1).await.len() as u64;
    assert_eq!(runs.get(&Namespace::default(), run).await.unwrap().status(), RunStatus::Failed);
    assert!(matches!(runs.command(wanted(run, Command::Resume, 2)).await, Err(RequestError::NotAllowed(_))));
    assert_eq!(runs.command(wanted(run, Command::Retry, 3)).await, Ok(false));
    followed(&runs, run, seen + 1).await;
    let view = runs.get(&Namespace::default(), run).await.unwrap();
    assert_eq!((view.status(), view.error()), (RunStatus::Completed, None));
    let of_a = world.agents.calls().iter().filter(|call| call.starts_with("a#")).count();
    assert_eq!(of_a, 1, "what is complete stays");
}

#[tokio::test(start_paused = true)]
async fn an_answer_reaches_the_agent_that_asked_also_by_another_engine() {
    let world = World::new(Scripted::new(|_, _| Step::Suspend));
    let runs = service(world.engine());
    let one = "id: w\nsteps:\n- {id: a, capability: c}";
    let run = runs.start(request(1, one, "")).await.unwrap().run;
    let page = EventsRequest { wait: Duration::from_secs(60), ..from(run, 3) };
    while runs.get(&Namespace::default(), run).await.unwrap().status() != RunStatus::Waiting {
        runs.events(page.clone()).await.unwrap();
    }
    let second = service(world.engine());
    let large = Json::of(&"x".repeat(20_000)).unwrap();
    let answer = Command::Signal { step: "a".into(), answer: Payload::Inline(large.clone()) };
    assert_eq!(second.command(wanted(run, answer, 2)).await, Ok(false));
    followed(&second, run, 1).await;
    assert_eq!(second.get(&Namespace::default(), run).await.unwrap().status(), RunStatus::Completed);
    let calls = world.agents.calls();
    assert!(calls.last().unwrap().ends_with(&format!(" answer 1={}", large.as_str())), "{:?}", calls.last());
}

#[tokio::test(start_paused = true)]
async fn a_terminated_run_leaves_its_tasks_and_a_cancelled_one_stops_them() {
    for (command, stopped) in [(Command::Terminate, 0), (Command::Cancel, 1)] {
        let world = World::new(Scripted::new(|_, _| Step::Hang));
        let runs = service(world.engine());
        let run = runs.start(request(1, "id: w\nsteps:\n- {id: a, capability: c}", "")).await.unwrap().run;
        until(|| !world.agents.calls().is_empty()).await;
        runs.command(wanted(run, command, 2)).await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.agents.cancelled.lock().unwrap().len(), stopped);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_nobody_drives_takes_a_command_at_rest() {
    let world = World::new(Scripted::new(|_, _| Step::After(Duration::from_secs(20), "1")));
    let engine = world.engine();
    let runs = service(engine.clone());
    let run = runs.start(request(1, &format!("id: w\nsteps:\n{TWO}"), "")).await.unwrap().run;
    engine.shutdown().await;
    let ports = world.ports();
    let at_rest = |command: Command| {
        let wanted = (command, Order::new("ana", "because"));
        tutti_engine::command_at_rest(&*ports.store, &*ports.query, &*ports.payloads, &*ports.clock, run, wanted)
    };
    assert_eq!(at_rest(Command::Pause).await.unwrap().status(), RunStatus::Paused);
    assert!(matches!(at_rest(Command::Retry).await, Err(EngineError::Rejected(_))));
    let again = service(world.engine());
    assert_eq!(again.command(wanted(run, Command::Resume, 5)).await, Ok(false));
    followed(&again, run, 1).await;
    assert_eq!(again.get(&Namespace::default(), run).await.unwrap().status(), RunStatus::Completed);
}
