//! Runs that begin where another one stood.

use std::sync::atomic::{AtomicBool, Ordering};

use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::agent::AgentErrorKind;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::runs::{CommandRequest, ForkRequest, Runs};
use tutti_core::ports::inbound::values::Values;
use tutti_core::ports::query::RunQuery;
use tutti_core::run::{Command, Event, Order, Point, RunStatus};
use tutti_core::value::Json;
use tutti_engine::RunService;

use crate::service::{followed, request, service};
use crate::support::{Scripted, Step, World};

/// The third step asks for a person's word; a large output goes beside the history.
const WORKFLOW: &str = "id: w\ndata: {k: 0}\nsteps:\n\
    - {id: a, capability: c, output: {x: one}, checkpoint: begun}\n\
    - {id: b, capability: c, depends_on: [a], output: {'*': two}}\n\
    - {id: e, capability: c, depends_on: [a], output: {large: three}}\n\
    - {id: d, capability: c, depends_on: [b, e], input: {of: two.y}, output: {z: two.z}}\n";

/// Agents that answer by the step alone; the first attempt at the last step fails for good.
fn world() -> World {
    let failed = AtomicBool::new(false);
    let large: &'static str = Box::leak(format!(r#"{{"large":"{}"}}"#, "x".repeat(10_000)).into_boxed_str());
    World::new(Scripted::new(move |call, _| match call.key.path.as_str() {
        "a" => Step::Answer(r#"{"x":1e400}"#),
        "b" => Step::Answer(r#"{"y":[ 1 ]}"#),
        "e" => Step::Answer(large),
        _ if failed.swap(true, Ordering::SeqCst) => Step::Answer(r#"{"z":7}"#),
        _ => Step::Fail(AgentErrorKind::InvalidInput),
    }))
}

fn fork(number: u128, from: RunId, at: Option<Point>, changes: &[(&str, &str)]) -> ForkRequest {
    let change = |(path, value): &(&str, &str)| (path.parse().unwrap(), Json::parse((*value).to_owned()).unwrap());
    ForkRequest {
        namespace: Namespace::default(),
        request: uuid::Uuid::from_u128(number),
        from,
        at,
        changes: changes.iter().map(change).collect(),
        key: None,
        labels: std::collections::BTreeMap::new(),
        by: "ana".to_owned(),
    }
}

/// A run that failed, was rolled back and is complete.
async fn parent(runs: &RunService) -> RunId {
    let run = runs.start(request(1, WORKFLOW, "")).await.unwrap().run;
    let seen = followed(runs, run, 1).await;
    let rollback = Command::Rollback { to: Point::Checkpoint("begun".into()), compensate: true };
    let order = Order { request: Some(uuid::Uuid::from_u128(2)), ..Order::new("ana", "again") };
    let wanted = CommandRequest { namespace: Namespace::default(), run, command: rollback, order };
    runs.command(wanted).await.unwrap();
    followed(runs, run, seen.len() as u64 + 1).await;
    run
}

async fn data(runs: &RunService, run: RunId) -> String {
    runs.data(&Namespace::default(), run).await.unwrap().as_str().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_fork_without_a_change_ends_as_the_other_run_from_any_event() {
    let world = world();
    let runs = service(world.engine());
    let run = parent(&runs).await;
    let before = world.store.events(run, 1, 1_000).await.unwrap();
    assert!(world.history(run).await.iter().any(|event| matches!(event.event, Event::RunRewound(_))));
    let expected = data(&runs, run).await;
    assert!(expected.contains("1e400") && expected.contains("[ 1 ]"), "{expected}");
    for seq in 1..=before.len() as u64 {
        let forked = runs.fork(fork(100 + u128::from(seq), run, Some(Point::Seq(seq)), &[])).await.unwrap().run;
        followed(&runs, forked, 1).await;
        assert_eq!(data(&runs, forked).await, expected, "from event {seq}");
        let history = world.history(forked).await;
        let Event::RunForked(begins) = &history[1].event else { panic!("{history:?}") };
        assert_eq!((begins.from, begins.seq), (run, seq));
        // What was complete is not done again.
        let done = history.iter().filter(|event| matches!(event.event, Event::StepCompleted(_))).count();
        assert_eq!(done + begins.completed.len(), 4);
        // A fork of a fork is no different.
        let again = runs.fork(fork(500 + u128::from(seq), forked, Some(Point::Seq(2)), &[])).await.unwrap().run;
        followed(&runs, again, 1).await;
        assert_eq!(data(&runs, again).await, expected);
    }
    assert_eq!(world.store.events(run, 1, 1_000).await.unwrap(), before, "the other run is as it was");
}

#[tokio::test(start_paused = true)]
async fn a_change_is_read_by_what_comes_after_it() {
    let world = world();
    let runs = service(world.engine());
    let run = parent(&runs).await;
    let history = world.history(run).await;
    let done = |step: &str| {
        let is = |event: &Event| matches!(event, Event::StepCompleted(done) if done.step.as_str() == step);
        history.iter().rev().find(|recorded| is(&recorded.event)).unwrap().seq
    };
    let at = Some(Point::Seq(done("b").max(done("e"))));
    let forked = runs.fork(fork(3, run, at, &[("two.y", r#"{"new":true}"#), ("k", "5")])).await.unwrap().run;
    followed(&runs, forked, 1).await;
    assert_eq!(world.agents.inputs.lock().unwrap()["d"], r#"{"of":{"new":true}}"#);
    let data = data(&runs, forked).await;
    assert!(data.contains(r#""k":5"#) && data.contains(r#""two":{"y":{"new":true},"z":7}"#), "{data}");
    let refused = runs.fork(fork(4, run, Some(Point::Checkpoint("no".into())), &[])).await;
    assert!(matches!(refused, Err(RequestError::NotFound(_))), "{refused:?}");
    let refused = runs.fork(fork(4, run, Some(Point::Seq(0)), &[])).await;
    assert!(matches!(refused, Err(RequestError::NotFound(_))), "{refused:?}");
    let whole = runs.fork(fork(5, run, None, &[])).await.unwrap();
    let again = runs.fork(fork(5, run, None, &[])).await.unwrap();
    assert_eq!((whole.run, again.existed), (again.run, true));
    followed(&runs, whole.run, 1).await;
    assert_eq!(world.store.find(&Namespace::default(), whole.run).await.unwrap().unwrap().status, RunStatus::Completed);
    let other = runs.fork(fork(5, run, Some(Point::Seq(1)), &[])).await;
    assert!(matches!(other, Err(RequestError::AlreadyExists { .. })), "one request, one fork");
}
