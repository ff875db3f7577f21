//! Runs that say what they wait for, and a watchdog that tells of those that make no progress.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tutti_adapters_memory::MemoryStore;
use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::inbound::health::Health as _;
use tutti_core::ports::inbound::views::Views as _;
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::store::{
    ClaimOutcome, Claimer, Commit, CommitOutcome, Creation, DueRuns, NewRun, RunStore, Snapshot, StoreError,
};
use tutti_core::report::{Explanation, Reason};
use tutti_core::run::RunStatus;
use tutti_core::value::PayloadRef;
use tutti_engine::{DispatchPolicy, Engine, EngineOptions, Ports, Registry, Residency, RunService, WatchdogOptions};

use crate::places::agent;
use crate::service::{service, until};
use crate::support::{Scripted, Step, World, plan, start};

const ONE: &str = "- {id: a, capability: c}";

async fn explain(runs: &RunService, run: RunId) -> Explanation {
    runs.explain(&Namespace::default(), run, None).await.unwrap()
}

fn has(explained: &Explanation, reason: Reason, words: &str) -> bool {
    let of_steps = explained.steps.iter().flat_map(|step| &step.findings);
    let mut all = explained.findings.iter().chain(of_steps);
    all.any(|finding| finding.reason == reason && finding.text.contains(words))
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_a_busy_agent_says_so_and_tells_its_place_in_line() {
    let world = World::new(Scripted::new(|_, _| Step::Hang));
    let registry = Registry::new(DispatchPolicy::default());
    registry.register(agent("x", "c", r#"{"max_in_flight":1}"#));
    let engine = Engine::start(world.ports(), registry, EngineOptions::default());
    let (runs, plan, mut started) = (service(engine.clone()), plan(ONE), Vec::new());
    for waiting in 0..3 {
        started.push(engine.start_run(start(&plan)).await.unwrap().run);
        until(|| engine.registry().waiting().values().sum::<u64>() == waiting).await;
    }
    let explained = explain(&runs, started[2]).await;
    assert!(has(&explained, Reason::AgentBusy, "Agent x: 1 at once are under way"), "{explained:#?}");
    assert!(has(&explained, Reason::Line, "1 that want the same wait in line before it"), "{explained:#?}");
    let explained = explain(&runs, started[1]).await;
    assert!(has(&explained, Reason::AgentBusy, "") && !has(&explained, Reason::Line, ""), "{explained:#?}");
    assert!(has(&explain(&runs, started[0]).await, Reason::Working, "under way at x"));
    assert!(runs.explain(&Namespace::default(), started[0], Some("b")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_run_in_the_queue_tells_its_place() {
    let world = World::new(Scripted::new(|_, _| Step::Hang));
    let engine = world.resident(Residency { max_live: 1, ..Residency::default() });
    let (runs, plan, mut started) = (service(engine.clone()), plan(ONE), Vec::new());
    for _ in 0..3 {
        started.push(engine.start_run(start(&plan)).await.unwrap().run);
        pass(Duration::from_millis(100)).await;
    }
    let explained = explain(&runs, started[2]).await;
    assert_eq!(explained.state, RunStatus::Pending);
    assert!(has(&explained, Reason::Queue, "one run goes before it"), "{explained:#?}");
}

/// Answers no commit, and gives no payload, while it hangs.
struct Hanging(Arc<MemoryStore>, watch::Sender<bool>);

impl Hanging {
    fn over(world: &World) -> Arc<Self> {
        Arc::new(Self(world.store.clone(), watch::Sender::new(false)))
    }

    async fn answers(&self) {
        let _ = self.1.subscribe().wait_for(|hangs| !*hangs).await;
    }
}

#[async_trait]
impl RunStore for Hanging {
    async fn create(&self, run: NewRun) -> Result<Creation, StoreError> {
        self.0.create(run).await
    }
    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        self.answers().await;
        self.0.commit(commits).await
    }
    async fn claim(&self, run: RunId, claimer: Claimer) -> Result<ClaimOutcome, StoreError> {
        self.0.claim(run, claimer).await
    }
    async fn due(&self, query: DueRuns) -> Result<Vec<RunId>, StoreError> {
        self.0.due(query).await
    }
    async fn save_snapshot(&self, run: RunId, snapshot: Snapshot) -> Result<(), StoreError> {
        self.0.save_snapshot(run, snapshot).await
    }
    async fn snapshot(&self, run: RunId) -> Result<Option<Snapshot>, StoreError> {
        self.0.snapshot(run).await
    }
}

#[async_trait]
impl PayloadStore for Hanging {
    async fn put(&self, run: RunId, bytes: Bytes) -> Result<PayloadRef, StoreError> {
        self.0.put(run, bytes).await
    }
    async fn get(&self, run: RunId, at: PayloadRef) -> Result<Option<Bytes>, StoreError> {
        self.answers().await;
        self.0.get(run, at).await
    }
}

/// An engine whose watchdog looks every 10 s for what is 30 s late.
fn watched(world: &World, ports: Ports) -> (Engine, RunService) {
    let engine = world.engine_on(ports, EngineOptions::default());
    let runs = service(engine.clone());
    let watching = runs.clone();
    let options = WatchdogOptions { interval: Duration::from_secs(10), grace: Duration::from_secs(30) };
    tokio::spawn(async move { watching.watch_progress(options).await });
    (engine, runs)
}

/// Lets virtual time pass.
async fn pass(span: Duration) {
    let _ = tokio::time::timeout(span, std::future::pending::<()>()).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_commit_is_not_answered_is_told_of_until_it_is() {
    let world = World::new(Scripted::new(|_, _| Step::After(Duration::from_secs(1), "1")));
    let store = Hanging::over(&world);
    let (engine, runs) = watched(&world, Ports { store: store.clone(), ..world.ports() });
    let plan = plan(ONE);
    let quiet = engine.start_run(start(&plan)).await.unwrap().run;
    pass(Duration::from_secs(60)).await;
    assert_eq!((world.state(quiet, &plan).await.status(), engine.stalled_runs()), (RunStatus::Completed, 0));
    let run = engine.start_run(start(&plan)).await.unwrap().run;
    store.1.send_replace(true);
    pass(Duration::from_secs(25)).await;
    assert_eq!(engine.stalled_runs(), 0, "it may be late");
    pass(Duration::from_secs(30)).await;
    assert_eq!((engine.stalled_runs(), runs.health().stalled_runs), (1, 1));
    let explained = explain(&runs, run).await;
    assert!(has(&explained, Reason::Commit, "is not durable yet"), "{explained:#?}");
    store.1.send_replace(false);
    pass(Duration::from_secs(15)).await;
    assert_eq!((world.state(run, &plan).await.status(), engine.stalled_runs()), (RunStatus::Completed, 0));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_should_have_ended_is_told_of_and_those_that_wait_are_not() {
    // Larger than what stands in the history itself.
    let large: &'static str = Box::leak(format!("\"{}\"", "x".repeat(20_000)).into_boxed_str());
    let world = World::new(Scripted::new(move |_, _| Step::Answer(large)));
    let store = Hanging::over(&world);
    let (engine, runs) = watched(&world, Ports { payloads: store.clone(), ..world.ports() });
    store.1.send_replace(true);
    let steps = "- {id: a, capability: c, output: {'*': v}}\n- {id: b, capability: c, depends_on: [a], input: {x: v}}";
    let run = engine.start_run(start(&plan(steps))).await.unwrap().run;
    engine.start_run(start(&plan("- {id: nap, sleep: 1h}"))).await.unwrap();
    engine.start_run(start(&plan("- {id: go, signal: {}}"))).await.unwrap();
    pass(Duration::from_secs(55)).await;
    assert_eq!(engine.stalled_runs(), 0, "30 s for the attempt, and 30 s late");
    pass(Duration::from_secs(20)).await;
    assert_eq!(engine.stalled_runs(), 1);
    assert!(has(&explain(&runs, run).await, Reason::Working, "Attempt 1 is under way"));
}
