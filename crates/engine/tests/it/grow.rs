//! Steps that hold others, and plans that change, as agents, forks and later owners see them.

use std::collections::BTreeSet;
use std::time::Duration;

use tutti_core::ids::{Namespace, RunId};
use tutti_core::plan::PlanPatch;
use tutti_core::ports::agent::AgentErrorKind::InvalidInput;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::runs::{CommandRequest, ForkRequest, PatchRequest, Runs};
use tutti_core::ports::inbound::values::Values;
use tutti_core::run::{Command, Event, Order, Point, RunStatus};
use tutti_engine::{Engine, RunService};

use crate::service::{followed, request, service};
use crate::support::{Scripted, Step, World, plan, run_to_end, start, until};

fn calls_of(world: &World, what: &str) -> Vec<String> {
    world.agents.calls().into_iter().filter(|call| call.starts_with(what)).collect()
}

#[tokio::test(start_paused = true)]
async fn the_same_is_asked_of_different_agents_as_far_as_there_are_so_many() {
    let world = World::new(Scripted::new(|_, _| Step::After(Duration::from_secs(1), r#"{"v":1}"#)));
    let agents = |world: &World| {
        let calls = world.agents.calls();
        calls.iter().filter_map(|call| call.split('@').next_back().map(str::to_owned)).collect::<Vec<_>>()
    };
    let two = plan("- {id: a, capability: c, ask: {agents: 2}, output: {'*': all}}");
    let (run, _) = run_to_end(&world.engine(), &two).await;
    assert_eq!(world.state(run, &two).await.status(), RunStatus::Completed);
    let asked: BTreeSet<String> = agents(&world).into_iter().collect();
    assert_eq!((agents(&world).len(), asked.len()), (2, 2), "{asked:?}");
    let five = plan("- {id: a, capability: c, ask: {agents: 5}}");
    let (run, _) = run_to_end(&world.engine(), &five).await;
    assert_eq!(world.state(run, &five).await.status(), RunStatus::Completed, "two agents are asked more than once");
    assert_eq!(agents(&world).len(), 7);
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_beside_others_is_another_one_even_if_he_answers_when_they_are_done() {
    // One after another there is no moment at which both are asked.
    let world = World::new(Scripted::new(|_, _| Step::Answer(r#"{"v":1}"#)));
    let text = "id: w\nexecutor: basic\nsteps: [{id: a, capability: c, ask: {agents: 2}}]";
    let plan = tutti_core::plan::Plan::new(tutti_core::workflow::parse(text).unwrap().workflow).unwrap();
    run_to_end(&world.engine(), &plan).await;
    let (x, y) = (
        world.agents.calls().iter().any(|c| c.ends_with("@x")),
        world.agents.calls().iter().any(|c| c.ends_with("@y")),
    );
    assert!(x && y, "{:?}", world.agents.calls());
}

const LIST: &str = "- {id: a, capability: c, map: {over: list, max_concurrent: 3}, input: {of: item}, output: {'*': all}}\n\
                    - {id: b, capability: c, depends_on: [a], input: {all: all}, output: {v: v}}\n";

fn list() -> std::sync::Arc<tutti_core::plan::Plan> {
    let text = format!("id: w\nexecutor: parallel\ndata: {{list: [5, 6, 7, 8]}}\nsteps:\n{LIST}");
    tutti_core::plan::Plan::new(tutti_core::workflow::parse(&text).unwrap().workflow).unwrap()
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_a_run_over_goes_on_within_what_a_step_holds_and_collects_it() {
    let world = World::new(Scripted::new(|call, before| match call.key.path.as_str() {
        "a[2]" if before == 1 => Step::Hang,
        _ => Step::Answer(r#"{"v":1}"#),
    }));
    let plan = list();
    let first = world.engine();
    let run = first.new_run_id();
    let mut watch = first.watch(run);
    first.start_run_as(run, start(&plan)).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::StepCompleted(it) if it.step.as_str() == "a[3]")).await;
    let second = world.engine();
    let mut watch = second.watch(run);
    second.take_over(run).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::RunCompleted(_))).await;
    for item in 0..4 {
        assert_eq!(calls_of(&world, &format!("a[{item}]")).len(), 1, "each item is asked once");
    }
    let inputs = world.agents.inputs.lock().unwrap();
    assert_eq!(inputs["a[1]"], r#"{"of":6}"#);
    assert_eq!(inputs["b"], r#"{"all":[{"v":1},{"v":1},{"found":true},{"v":1}]}"#);
}

fn fork(number: u128, from: RunId, at: u64) -> ForkRequest {
    ForkRequest {
        namespace: Namespace::default(),
        request: uuid::Uuid::from_u128(number),
        from,
        at: Some(Point::Seq(at)),
        changes: Vec::new(),
        key: None,
        labels: std::collections::BTreeMap::new(),
        by: "ana".to_owned(),
    }
}

async fn command(runs: &RunService, run: RunId, number: u128, command: Command) {
    let order = Order { request: Some(uuid::Uuid::from_u128(number)), ..Order::new("ana", "because") };
    runs.command(CommandRequest { namespace: Namespace::default(), run, command, order }).await.unwrap();
}

/// The data at the end of a fork from every event of a run.
async fn forks_end_as(world: &World, runs: &RunService, run: RunId, expected: &str) {
    let history = world.history(run).await;
    for seq in 1..=history.len() as u64 {
        let forked = runs.fork(fork(1_000 + u128::from(seq), run, seq)).await.unwrap().run;
        followed(runs, forked, 1).await;
        let data = runs.data(&Namespace::default(), forked).await.unwrap();
        assert_eq!(data.as_str(), expected, "from event {seq}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fork_begins_with_steps_that_are_complete_and_without_what_they_held() {
    let world = World::new(Scripted::new(|_, _| Step::Answer(r#"{"v":1}"#)));
    let runs = service(world.engine());
    let text = format!("id: w\nexecutor: parallel\ndata: {{list: [5, 6]}}\nsteps:\n{LIST}");
    let run = runs.start(request(1, &text, "")).await.unwrap().run;
    followed(&runs, run, 1).await;
    let data = runs.data(&Namespace::default(), run).await.unwrap().as_str().to_owned();
    let before = calls_of(&world, "a[").len();
    let last = world.history(run).await.len() as u64;
    let forked = runs.fork(fork(7, run, last)).await.unwrap().run;
    followed(&runs, forked, 1).await;
    assert_eq!(calls_of(&world, "a[").len(), before, "what is complete is not done again");
    forks_end_as(&world, &runs, run, &data).await;
}

#[tokio::test(start_paused = true)]
async fn a_fork_of_a_run_whose_plan_has_changed_follows_the_plan_of_its_point() {
    let world = World::new(Scripted::new(|call, _| match call.key.path.as_str() {
        "slow" => Step::After(Duration::from_secs(1), r#"{"v":2}"#),
        _ => Step::Answer(r#"{"v":1}"#),
    }));
    let runs = service(world.engine());
    let text = "id: w\nexecutor: dynamic\nsteps:\n- {id: slow, capability: c, output: {v: slow}}\n\
                - {id: gone, capability: c, depends_on: [slow], output: {v: gone}}\n\
                - {id: end, capability: c, depends_on: [slow], output: {v: end}}";
    let run = runs.start(request(1, text, "")).await.unwrap().run;
    let patch = r#"{"add":[{"id":"new","capability":"c","output":{"v":{"to":"new"}}}],"remove":["gone"],
        "replace":[{"id":"end","capability":"c","depends_on":["slow","new"],"output":{"v":{"to":"end"}}}]}"#;
    let patch: PlanPatch = serde_json::from_str(patch).unwrap();
    command(&runs, run, 2, Command::Patch { patch: Box::new(patch) }).await;
    followed(&runs, run, 1).await;
    let changed = r#"{"end":1,"new":1,"slow":2}"#;
    assert_eq!(runs.data(&Namespace::default(), run).await.unwrap().as_str(), changed);
    let history = world.history(run).await;
    let at = history.iter().find(|recorded| matches!(recorded.event, Event::PlanRevised(_))).unwrap().seq;
    for seq in 1..=history.len() as u64 {
        let forked = runs.fork(fork(100 + u128::from(seq), run, seq)).await.unwrap().run;
        followed(&runs, forked, 1).await;
        let data = runs.data(&Namespace::default(), forked).await.unwrap();
        let expected = if seq < at { r#"{"end":1,"gone":1,"slow":2}"# } else { changed };
        assert_eq!(data.as_str(), expected, "from event {seq}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_failed_is_asked_again_as_a_new_message_when_a_person_wants_it() {
    let world = World::new(Scripted::new(|call, before| match call.key.path.as_str() {
        "a[1]" if before == 1 => Step::Fail(InvalidInput),
        _ => Step::Answer(r#"{"v":1}"#),
    }));
    let engine: Engine = world.engine();
    let text = format!(
        "id: w\nexecutor: parallel\ndata: {{list: [5, 6]}}\nsteps:\n{}",
        LIST.replace("capability: c, map", "capability: c, on_error: escalate, retry: {max_attempts: 1}, map")
    );
    let plan = tutti_core::plan::Plan::new(tutti_core::workflow::parse(&text).unwrap().workflow).unwrap();
    let run = engine.new_run_id();
    let mut watch = engine.watch(run);
    engine.start_run_as(run, start(&plan)).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::StepHeld(it) if it.step.as_str() == "a")).await;
    let decide = Command::Decide { step: "a".into(), verdict: tutti_core::run::Verdict::Retry, output: None };
    engine.command(run, decide, Order::new("ana", "mended")).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::RunCompleted(_))).await;
    let calls: BTreeSet<String> = calls_of(&world, "a[").into_iter().collect();
    assert_eq!(calls.len(), 3, "{calls:?}");
}

fn change(runs_on: RunId, number: u128, patch: String, dry_run: bool) -> PatchRequest {
    let order = Order { request: Some(uuid::Uuid::from_u128(number)), ..Order::new("ana", "because") };
    PatchRequest { namespace: Namespace::default(), run: runs_on, patch, order, dry_run }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_steps_are_added_to_a_run_that_goes_on() {
    let world = World::new(Scripted::new(|call, _| match call.key.path.as_str() {
        "slow" => Step::After(Duration::from_secs(1), r#"{"v":2}"#),
        _ => Step::Answer(r#"{"v":1}"#),
    }));
    let runs = service(world.engine());
    let text =
        "id: w\nexecutor: dynamic\nmax_concurrent_tasks: 64\nsteps:\n- {id: slow, capability: c, output: {v: slow}}";
    let run = runs.start(request(1, text, "")).await.unwrap().run;
    let steps: String = (0..10_000).map(|i| format!("{{id: s{i}, capability: c, depends_on: [slow]}},")).collect();
    let patch = format!("{{base: 0, add: [{steps}]}}");
    let told = runs.patch(change(run, 2, patch.clone(), true)).await.unwrap();
    assert_eq!((told.revision, told.diff.unwrap().added.len()), (1, 10_000));
    assert!(world.history(run).await.iter().all(|recorded| !matches!(recorded.event, Event::PlanRevised(_))));
    runs.patch(change(run, 2, patch.clone(), false)).await.unwrap();
    let again = runs.patch(change(run, 2, patch, false)).await.unwrap();
    assert_eq!((again.revision, again.diff), (1, None), "one request changes once");
    followed(&runs, run, 1).await;
    let history = world.history(run).await;
    let done = history.iter().filter(|recorded| matches!(recorded.event, Event::StepCompleted(_))).count();
    assert_eq!(done, 10_001);
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_wrong_with_a_change_is_told_by_its_field() {
    let world = World::new(Scripted::new(|_, _| Step::Hang));
    let runs = service(world.engine());
    let text = "id: w\nexecutor: dynamic\nsteps:\n- {id: a, capability: c}";
    let run = runs.start(request(1, text, "")).await.unwrap().run;
    let refused = async |patch: &str| match runs.patch(change(run, 2, patch.to_owned(), true)).await {
        Err(RequestError::Invalid(wrong)) => wrong.into_iter().map(|v| v.to_string()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let told = refused("replace: [{id: q, capability: c}]\nremove: [z, a, a]").await;
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("patch.replace[0].id: ") && told[1].starts_with("patch.remove[0]: "), "{told:?}");
    let told = refused("add: [{id: b, capability: c, depends_on: [x]}, {id: d, workflow: nobody}]").await;
    assert!(told.iter().any(|line| line.starts_with("patch.b.depends_on")), "{told:?}");
    assert!(told.iter().any(|line| line.contains("no registered workflow \"nobody\"")), "{told:?}");
    assert!(refused("{}").await[0].contains("changes nothing"));
    let stale = runs.patch(change(run, 3, "{base: 4, max_concurrent_tasks: 2}".into(), false)).await;
    assert!(matches!(stale, Err(RequestError::NotAllowed(_))), "{stale:?}");
}
