//! What the engine does when it dies, when its store fails, and when another owner takes a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use tutti_adapters_memory::MemoryStore;
use tutti_core::ids::RunId;
use tutti_core::limits::STORE_ANSWER;
use tutti_core::plan::Plan;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::runs::Runs as _;
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::{ListRuns, RunQuery as _};
use tutti_core::ports::store::{
    ClaimOutcome, Claimer, Commit, CommitOutcome, Creation, DueRuns, NewRun, RunStore, Snapshot, StoreError,
};
use tutti_core::run::{Command, Event, FORMAT, Order, Rejection, RunStatus};
use tutti_core::value::PayloadRef;
use tutti_engine::{Engine, EngineError, EngineOptions, Plans, Ports, TakeOver, Update, load};

use crate::service::{followed, request, service};
use crate::support::{Scripted, Step, World, plan, run_to_end, start, until};

const CHAIN: &str = concat!(
    "- {id: a, capability: c, output: {'*': va}}\n",
    "- {id: b, capability: c, depends_on: [a], input: {x: va}}\n",
    "- {id: d, capability: c, depends_on: [b]}\n",
);

/// Hangs at step b the first time; everything else is answered.
fn hangs_at_b() -> Arc<Scripted> {
    Scripted::new(|call, before| match (call.key.path.as_str(), before) {
        ("b", 1) => Step::Hang,
        _ => Step::Answer("1"),
    })
}

/// A run at an engine whose agent has a task of the second step and does not end it.
async fn hanging(world: &World) -> (Engine, Arc<Plan>, RunId) {
    let plan = plan(CHAIN);
    let engine = world.engine();
    let run = engine.new_run_id();
    let mut watch = engine.watch(run);
    engine.start_run_as(run, start(&plan)).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::TaskAssigned(t) if t.step.as_str() == "b")).await;
    (engine, plan, run)
}

#[tokio::test(start_paused = true)]
async fn a_resumed_run_asks_for_the_task_under_way_and_repeats_nothing() {
    let world = World::new(hangs_at_b());
    let (_first, plan, run) = hanging(&world).await;

    // The first engine is as good as dead: the second one takes the run.
    let second = world.engine();
    let mut watch = second.watch(run);
    second.command(run, Command::Resume, Order::new("ana", "")).await.unwrap();
    while watch.next().await.unwrap().is_some() {}
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Completed);
    assert_eq!(*world.agents.reattached.lock().unwrap(), ["b#1@x task-b#1@x"]);
    assert_eq!(world.agents.calls(), ["a#1@x", "b#1@x", "d#1@x"], "nothing was sent twice");
    assert!(matches!(
        second.command(run, Command::Resume, Order::new("ana", "")).await,
        Err(EngineError::Rejected(Rejection::RunIs(_)))
    ));
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_lost_a_run_writes_nothing_more() {
    let slow = Scripted::new(|_, _| Step::After(std::time::Duration::from_secs(5), "1"));
    let world = World::new(slow);
    let plan = plan(CHAIN);
    let old = world.engine();
    let run = old.new_run_id();
    let mut watch = old.watch(run);
    old.start_run_as(run, start(&plan)).await.unwrap();
    world.store.claim(run, Claimer::reading(FORMAT)).await.unwrap().claimed().unwrap();
    loop {
        match watch.next().await.unwrap() {
            Some(Update::Released) => break,
            Some(Update::Event(event)) => assert!(!matches!(event.event, Event::StepCompleted(_))),
            Some(Update::Progress { .. }) => {}
            None => panic!("the watcher was not told"),
        }
    }
    let history = world.history(run).await;
    assert!(history.iter().all(|e| !matches!(e.event, Event::StepCompleted(_))), "{history:?}");
    assert!(world.agents.cancelled.lock().unwrap().is_empty(), "the task is the new owner's");
}

#[tokio::test(start_paused = true)]
async fn shutting_down_leaves_a_run_that_can_be_resumed() {
    let world = World::new(hangs_at_b());
    let plan = plan(CHAIN);
    let engine = world.engine();
    let run = engine.new_run_id();
    let mut watch = engine.watch(run);
    engine.start_run_as(run, start(&plan)).await.unwrap();
    until(&mut watch, |event| matches!(event, Event::AttemptStarted(s) if s.step.as_str() == "b")).await;
    engine.shutdown().await;
    assert!(matches!(engine.start_run(start(&plan)).await, Err(EngineError::ShuttingDown)));
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Running);
    let second = world.engine();
    let mut watch = second.watch(run);
    second.command(run, Command::Resume, Order::new("ana", "")).await.unwrap();
    while watch.next().await.unwrap().is_some() {}
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn restarts_in_good_order_are_not_counted_against_a_run() {
    let world = World::new(hangs_at_b());
    let (engine, _, run) = hanging(&world).await;
    engine.shutdown().await;
    world.agents.silent.store(true, Ordering::SeqCst);
    let events = world.history(run).await;
    for _ in 0..5 {
        let engine = world.engine();
        engine.take_over(run).await.unwrap();
        engine.shutdown().await;
    }
    assert_eq!(world.history(run).await, events, "nothing happened");
    assert_eq!(world.store.claim(run, Claimer::reading(FORMAT)).await.unwrap().claimed().unwrap().claims, 1);
}

#[tokio::test(start_paused = true)]
async fn commits_in_doubt_are_repeated_and_recorded_once() {
    let world = World::new(Scripted::new(|_, _| Step::Answer("1")));
    let plan = plan(CHAIN);
    let store = Arc::new(Flaky::new(&world));
    let engine = world.engine_on(Ports { store: store.clone(), ..world.ports() }, EngineOptions::default());
    let (run, seen) = run_to_end(&engine, &plan).await;
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Completed);
    assert_eq!(seen, world.history(run).await);
    assert!(store.calls.load(Ordering::SeqCst) >= 8, "every call failed once");
}

#[tokio::test(start_paused = true)]
async fn who_starts_a_run_while_the_store_is_away_is_answered_and_the_same_request_starts_one_run() {
    let world = World::new(Scripted::new(|_, _| Step::Answer("1")));
    let store = Arc::new(Flaky { is_away: AtomicBool::new(true), ..Flaky::new(&world) });
    let engine = world.engine_on(Ports { store: store.clone(), ..world.ports() }, EngineOptions::default());
    let runs = service(engine);
    let begun = tokio::time::Instant::now();
    let asked = || request(1, "id: w\nsteps: [{id: s, capability: c}]", "");
    let refused = runs.start(asked()).await;
    assert!(matches!(refused, Err(RequestError::Unavailable(_))), "{refused:?}");
    assert_eq!(begun.elapsed().as_secs(), STORE_ANSWER.as_secs());
    store.is_away.store(false, Ordering::SeqCst);
    let started = runs.start(asked()).await.unwrap();
    let seen = followed(&runs, started.run, 1).await;
    assert!(seen.iter().copied().eq(1..=seen.len() as u64));
    // The engine went on trying for the first caller.
    tokio::time::advance(STORE_ANSWER).await;
    let kept = world.store.list(ListRuns::default()).await.unwrap().runs;
    assert_eq!(kept.iter().map(|line| line.run).collect::<Vec<_>>(), [started.run]);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_claims_were_not_answered_is_taken_over_as_one_that_was_claimed_once() {
    let world = World::new(hangs_at_b());
    let (_first, plan, run) = hanging(&world).await;
    let store = Flaky { lost_claims: AtomicU32::new(5), ..Flaky::new(&world) };
    let next = world.engine_on(Ports { store: Arc::new(store), ..world.ports() }, EngineOptions::default());
    for _ in 0..5 {
        assert!(matches!(next.take_over(run).await, Err(EngineError::Store(StoreError::Unavailable(_)))));
    }
    let mut watch = next.watch(run);
    next.take_over(run).await.expect("it took nobody down");
    while watch.next().await.unwrap().is_some() {}
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_its_owner_down_again_and_again_is_set_aside_until_somebody_resumes_it() {
    let world = World::new(hangs_at_b());
    let (_first, plan, run) = hanging(&world).await;
    let claim = async || {
        let (now, id) = (world.clock.now(), world.clock.random());
        load(&*world.store, (&*world.store, &Plans::default()), run, TakeOver::Automatic, false, now, id).await
    };
    for _ in 0..3 {
        claim().await.unwrap();
    }
    assert!(matches!(claim().await, Err(EngineError::Quarantined(_))));
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Quarantined);
    assert!(matches!(claim().await, Err(EngineError::Quarantined(_))));

    let engine = world.engine();
    let mut watch = engine.watch(run);
    engine.command(run, Command::Resume, Order::new("ana", "")).await.unwrap();
    while watch.next().await.unwrap().is_some() {}
    assert_eq!(world.state(run, &plan).await.status(), RunStatus::Completed);
    assert_eq!(world.agents.calls(), ["a#1@x", "b#1@x", "d#1@x"], "nothing was sent twice");
}

#[tokio::test(start_paused = true)]
async fn long_histories_are_loaded_from_a_snapshot() {
    let steps: String = (0..3_000)
        .map(|i| {
            let on = if i == 0 { String::new() } else { format!(", depends_on: [s{}]", i - 1) };
            format!("- {{id: s{i}, capability: c{on}}}\n")
        })
        .collect();
    let world =
        World::new(Scripted::new(
            |call, _| if call.key.path.as_str() == "s2900" { Step::Hang } else { Step::Answer("1") },
        ));
    let plan = plan(&steps);
    let engine = world.engine();
    let run = engine.new_run_id();
    let mut watch = engine.watch(run);
    engine.start_run_as(run, start(&plan)).await.unwrap();
    // The watcher may be too slow for so many events: it goes on from where the stream is.
    loop {
        match watch.next().await {
            Ok(Some(Update::Event(e))) if matches!(&e.event, Event::AttemptStarted(s) if s.step.as_str() == "s2900") => {
                break;
            }
            Ok(None) => panic!("the run ended before"),
            _ => {}
        }
    }
    engine.shutdown().await;
    let snapshot = world.store.snapshot(run).await.unwrap().unwrap();
    assert!(snapshot.seq > 1_000);
    let second = world.engine();
    let mut watch = second.watch(run);
    second.command(run, Command::Resume, Order::new("ana", "")).await.unwrap();
    while !matches!(watch.next().await, Ok(None)) {}
    let state = world.state(run, &plan).await;
    assert_eq!((state.status(), state.completed()), (RunStatus::Completed, 3_000));
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_stored_values_were_changed_is_set_aside() {
    let large: &'static str = Box::leak(format!(r#"{{"v":"{}"}}"#, "x".repeat(20_000)).into_boxed_str());
    let world = World::new(Scripted::new(move |_, _| Step::Answer(large)));
    let plan = plan(CHAIN);
    let ports = Ports { payloads: Arc::new(Forged(world.store.clone())), ..world.ports() };
    let engine = world.engine_on(ports, EngineOptions::default());
    let (run, _) = run_to_end(&engine, &plan).await;
    let state = world.state(run, &plan).await;
    assert_eq!((state.status(), state.completed()), (RunStatus::Quarantined, 1));
    assert_eq!(world.agents.calls(), ["a#1@x"], "nothing was built on the changed value");
}

/// A payload store whose content was changed behind its back.
struct Forged(Arc<MemoryStore>);

#[async_trait]
impl PayloadStore for Forged {
    async fn put(&self, run: RunId, bytes: Bytes) -> Result<PayloadRef, StoreError> {
        self.0.put(run, bytes).await
    }
    async fn get(&self, _: RunId, at: PayloadRef) -> Result<Option<Bytes>, StoreError> {
        Err(StoreError::Corrupt(format!("payload {} does not have its hash", at.hash)))
    }
}

/// Fails every call once, after or before doing what was asked in turn. Of claims so many are done and not answered; while
/// it is away, nothing is created.
struct Flaky {
    inner: Arc<MemoryStore>,
    calls: AtomicU32,
    lost_claims: AtomicU32,
    is_away: AtomicBool,
}

impl Flaky {
    fn new(world: &World) -> Self {
        let (inner, none) = (world.store.clone(), || AtomicU32::new(0));
        Self { inner, calls: none(), lost_claims: none(), is_away: AtomicBool::new(false) }
    }
    fn turn(&self) -> u32 {
        self.calls.fetch_add(1, Ordering::SeqCst) % 3
    }
    fn lost<T>() -> Result<T, StoreError> {
        Err(StoreError::Unavailable("the answer was lost".into()))
    }
}

#[async_trait]
impl RunStore for Flaky {
    async fn create(&self, run: NewRun) -> Result<Creation, StoreError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Self::lost();
        }
        match self.turn() {
            0 => self.inner.create(run).await.and_then(|_| Self::lost()),
            1 => Self::lost(),
            _ => self.inner.create(run).await,
        }
    }
    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        match self.turn() {
            0 => self.inner.commit(commits).await.and_then(|_| Self::lost()),
            1 => Self::lost(),
            _ => self.inner.commit(commits).await,
        }
    }
    async fn claim(&self, run: RunId, claimer: Claimer) -> Result<ClaimOutcome, StoreError> {
        let claimed = self.inner.claim(run, claimer).await;
        let fewer = |lost: u32| lost.checked_sub(1);
        match self.lost_claims.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer) {
            Ok(_) => Self::lost(),
            Err(_) => claimed,
        }
    }
    async fn due(&self, query: DueRuns) -> Result<Vec<RunId>, StoreError> {
        self.inner.due(query).await
    }
    async fn save_snapshot(&self, run: RunId, snapshot: Snapshot) -> Result<(), StoreError> {
        self.inner.save_snapshot(run, snapshot).await
    }
    async fn snapshot(&self, run: RunId) -> Result<Option<Snapshot>, StoreError> {
        self.inner.snapshot(run).await
    }
}
