//! One server over a store that outlives it, as `tutti serve` has it, without the network.

use std::convert::Infallible;
use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;
use tutti_adapters_postgres::{Address, Postgres};
use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_core::ids::{Namespace, RunId};
use tutti_core::plan::Plan;
use tutti_core::ports::fleet::Fleet;
use tutti_core::ports::observer::{CommitSample, Observer};
use tutti_core::ports::query::RunQuery;
use tutti_core::ports::store::{
    ClaimOutcome, Claimer, Commit, CommitOutcome, Creation, DueRuns, NewRun, RunStore, Snapshot, StoreError,
};
use tutti_core::run::{Event, Origin, Recorded};
use tutti_core::workflow::{Executor, Priority};
use tutti_engine::{Engine, EngineOptions, FleetOptions, Ports, Residency, StartRun};
use tutti_testkit::stores::Stores;

use crate::world::{Idle, WallClock, registry, strategy};

/// The id of the server; whoever comes after it under the same has its slots at once.
const SERVER: &str = "bench";

/// As servers have it by default.
const LEASE: Duration = Duration::from_secs(10);

/// A server that runs. Dropped, it stops without a word.
pub struct Server {
    pub engine: Engine,
    pub query: Arc<dyn RunQuery>,
    pub seen: Arc<Seen>,
    tasks: JoinSet<Infallible>,
}

/// What was seen of it.
#[derive(Default)]
pub struct Seen {
    /// Runs that have ended.
    pub ended: AtomicU64,
    /// Runs that were started new.
    pub new: AtomicU64,
    /// Claims that were asked for, those under way, and the most of those at once.
    pub claims: AtomicU64,
    claiming: AtomicUsize,
    pub most_claiming: AtomicUsize,
    /// The longest commit, in milliseconds, and how many were not answered.
    pub longest_commit: AtomicU64,
    pub unanswered: AtomicU64,
}

impl Server {
    /// Opens a store and comes up over it: it can be asked for runs when this returns. Its agents take so long for a step.
    pub async fn start(store: &str, agents: Duration, residency: Residency) -> Result<Self, String> {
        let (stores, fleet) = open(store).await?;
        let seen = Arc::new(Seen::default());
        let query = stores.query.clone();
        let ports = Ports {
            store: Arc::new(Counted(stores.runs, seen.clone())),
            payloads: stores.payloads,
            query: stores.query,
            records: stores.records,
            inbox: stores.inbox,
            agents: Arc::new(Idle::new(agents)?),
            clock: Arc::new(WallClock::default()),
            observer: seen.clone(),
        };
        let options = EngineOptions { residency: Some(residency), ..EngineOptions::default() };
        let engine = Engine::start(ports, registry()?, options);
        let mut tasks = JoinSet::new();
        let is_shared = fleet.is_some();
        if let Some(fleet) = fleet {
            let options = FleetOptions { server: SERVER.parse().map_err(|_| "a valid id")?, lease: LEASE };
            let mut membership = engine.join(fleet, options).await.map_err(|e| e.to_string())?;
            tasks.spawn(async move {
                membership.run().await;
                pending().await
            });
        }
        let (waking, answering) = (engine.clone(), engine.clone());
        tasks.spawn(async move {
            if !is_shared && let Err(error) = waking.take_over_all().await {
                eprintln!("runs that were under way do not go on: {error}");
            }
            waking.wake_runs().await;
            pending().await
        });
        tasks.spawn(async move {
            answering.answer_inbox().await;
            pending().await
        });
        engine.admitted().await;
        Ok(Self { engine, query, seen, tasks })
    }

    /// Starts a run; it is durable then.
    pub async fn start_run(&self, plan: &Arc<Plan>, priority: Priority) -> Result<RunId, String> {
        let run = self.engine.new_run_id();
        let strategy = strategy(Executor::Parallel);
        let start = StartRun {
            namespace: Namespace::default(),
            request: run.as_uuid(),
            plan: plan.clone(),
            data: plan.workflow().data.clone(),
            policy: tutti_engine::executors::policy(plan.workflow(), strategy.executor),
            strategy,
            origin: Origin { priority, ..Origin::default() },
            key_from: None,
            start_at: None,
            fork: None,
        };
        self.engine.start_run_as(run, start).await.map_err(|e| e.to_string())?;
        Ok(run)
    }

    /// Stops in good order.
    pub async fn stop(mut self) {
        self.engine.shutdown().await;
        self.tasks.shutdown().await;
    }
}

/// The ports of the store at a path or an address, and what servers share it by.
async fn open(store: &str) -> Result<(Stores, Option<Arc<dyn Fleet>>), String> {
    if !store.starts_with("postgres://") {
        let file = Sqlite::open(Path::new(store), OpenMode::Engine).map_err(|e| e.to_string())?;
        return Ok((Stores::of(Arc::new(file)), None));
    }
    let address: Address = store.parse().map_err(|e: StoreError| e.to_string())?;
    let opened = Postgres::open(&address, tutti_adapters_postgres::OpenMode::Server).await;
    let database = Arc::new(opened.map_err(|e| e.to_string())?);
    Ok((Stores::of(database.clone()), Some(database)))
}

impl Observer for Seen {
    fn recorded(&self, _: RunId, event: &Arc<Recorded>) {
        if matches!(event.event, Event::RunCompleted(_)) {
            self.ended.fetch_add(1, Ordering::Relaxed);
        }
    }
    fn committed(&self, _: &[Commit], sample: CommitSample) {
        self.longest_commit.fetch_max(u64::try_from(sample.took.as_millis()).unwrap_or_default(), Ordering::Relaxed);
        self.unanswered.fetch_add(u64::from(!sample.answered), Ordering::Relaxed);
    }
}

/// A store whose claims are counted.
struct Counted(Arc<dyn RunStore>, Arc<Seen>);

#[async_trait]
impl RunStore for Counted {
    async fn create(&self, run: NewRun) -> Result<Creation, StoreError> {
        self.0.create(run).await
    }
    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        self.0.commit(commits).await
    }
    async fn claim(&self, run: RunId, claimer: Claimer) -> Result<ClaimOutcome, StoreError> {
        let seen = &self.1;
        seen.claims.fetch_add(1, Ordering::Relaxed);
        let at_once = seen.claiming.fetch_add(1, Ordering::Relaxed) + 1;
        seen.most_claiming.fetch_max(at_once, Ordering::Relaxed);
        let claimed = self.0.claim(run, claimer).await;
        seen.claiming.fetch_sub(1, Ordering::Relaxed);
        claimed
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
