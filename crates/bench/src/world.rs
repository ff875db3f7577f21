//! An engine over a fresh store, with agents in the same process.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tutti_adapters_memory::MemoryStore;
use tutti_adapters_postgres::{Address, Postgres};
use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_core::ids::Namespace;
use tutti_core::plan::Plan;
use tutti_core::ports::agent::{
    AgentCall, AgentDescription, AgentEndpoint, AgentError, AgentErrorKind, AgentReply, AgentTransport, Answer,
    UpdateSink,
};
use tutti_core::ports::clock::Clock;
use tutti_core::ports::observer::NoObserver;
use tutti_core::ports::query::{ListRuns, RunQuery};
use tutti_core::ports::store::{EncodedEvent, StoreError, StoredEvent};
use tutti_core::run::{Event, Origin, kind_name};
use tutti_core::schedule::{StrategyDecision, StrategyReason};
use tutti_core::time::Timestamp;
use tutti_core::value::Json;
use tutti_core::workflow::Executor;
use tutti_engine::{AgentRecord, Engine, EngineOptions, Ports, Registry, StartRun, Update};
use tutti_testkit::postgres::{Database, Server};
use tutti_testkit::stores::Stores;

/// Where runs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// In memory.
    Memory,
    /// In a SQLite file, WAL, `synchronous=FULL`.
    Sqlite,
    /// In a PostgreSQL database: the one that `TUTTI_BENCH_DATABASE_URL` names, or one of a server to throw away.
    Postgres,
}

impl StoreKind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

impl StoreKind {
    /// A fresh store.
    pub async fn fresh(self) -> Result<(Stores, Kept), String> {
        Ok(match self {
            Self::Memory => (Stores::of(Arc::new(MemoryStore::new())), Kept::Nothing),
            Self::Sqlite => {
                let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
                let file = Sqlite::open(folder.path().join("bench.db"), OpenMode::Engine).map_err(|e| e.to_string())?;
                (Stores::of(Arc::new(file)), Kept::Folder(folder))
            }
            Self::Postgres => {
                let database = Database::fresh_in(&server());
                let address: Address = database.url().parse().map_err(|e: StoreError| e.to_string())?;
                tutti_adapters_postgres::migrate(&address).await.map_err(|e| e.to_string())?;
                let opened = Postgres::open(&address, tutti_adapters_postgres::OpenMode::Engine).await;
                (Stores::of(Arc::new(opened.map_err(|e| e.to_string())?)), Kept::Database(database))
            }
        })
    }
}

impl FromStr for StoreKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(Self::Memory),
            "sqlite" => Ok(Self::Sqlite),
            "postgres" => Ok(Self::Postgres),
            _ => Err(format!("{text} is not a store: memory, sqlite, postgres")),
        }
    }
}

/// An engine and what it stands on.
pub struct World {
    pub engine: Engine,
    query: Arc<dyn RunQuery>,
    _kept: Kept,
}

/// What goes when a store is not needed any more.
pub enum Kept {
    Nothing,
    Folder(#[expect(dead_code, reason = "dropped")] tempfile::TempDir),
    Database(#[expect(dead_code, reason = "dropped")] Database),
}

impl World {
    /// An engine over a fresh store, whose agents answer after a while.
    pub async fn new(store: StoreKind, answer_after: Duration) -> Result<Self, String> {
        Self::over(store, Arc::new(Idle::new(answer_after)?)).await
    }

    /// An engine over a fresh store and these agents.
    pub async fn over(store: StoreKind, agents: Arc<dyn AgentTransport>) -> Result<Self, String> {
        let (stores, kept) = store.fresh().await?;
        let query = stores.query.clone();
        let ports = Ports {
            store: stores.runs,
            payloads: stores.payloads,
            query: stores.query,
            records: stores.records,
            inbox: stores.inbox,
            agents,
            clock: Arc::new(WallClock::default()),
            observer: Arc::new(NoObserver),
        };
        let options = EngineOptions { max_in_flight: 1_000_000, ..EngineOptions::default() };
        Ok(Self { engine: Engine::start(ports, registry()?, options), query, _kept: kept })
    }

    /// What one step of a chain wrote that was run here: that it is complete, and the start of the next one.
    pub async fn events_of_a_step(&self) -> Result<Vec<EncodedEvent>, String> {
        let newest = ListRuns { limit: 1, ..ListRuns::default() };
        let page = self.query.list(newest).await.map_err(|e| e.to_string())?;
        let run = page.runs.first().ok_or("nothing was run")?.run;
        let events = self.query.events(run, 1, 1_000).await.map_err(|e| e.to_string())?;
        let complete = |event: &StoredEvent| kind_name(event.event.kind) == Some("StepCompleted");
        let step = events.into_iter().skip_while(|event| !complete(event)).take(2);
        Ok(step.map(|stored| stored.event).collect())
    }

    /// Runs a plan in parallel to its good end.
    pub async fn run(&self, plan: &Arc<Plan>) -> Result<(), String> {
        self.run_by(plan, strategy(Executor::Parallel)).await
    }

    /// Runs a plan to its good end by the executor that was decided on.
    pub async fn run_by(&self, plan: &Arc<Plan>, strategy: StrategyDecision) -> Result<(), String> {
        let run = self.engine.new_run_id();
        let mut watch = self.engine.watch(run);
        let start = StartRun {
            namespace: Namespace::default(),
            request: run.as_uuid(),
            plan: plan.clone(),
            data: plan.workflow().data.clone(),
            policy: tutti_engine::executors::policy(plan.workflow(), strategy.executor),
            strategy,
            origin: Origin::default(),
            key_from: None,
            start_at: None,
            fork: None,
        };
        self.engine.start_run_as(run, start).await.map_err(|e| e.to_string())?;
        // A watcher that lags is only told later; what counts is the end of the stream.
        let mut completed = false;
        loop {
            match watch.next().await {
                Ok(Some(Update::Event(event))) => completed |= matches!(event.event, Event::RunCompleted(_)),
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => break,
            }
        }
        if completed { Ok(()) } else { Err(format!("run {run} did not complete")) }
    }
}

/// The address of the server whose databases are measured.
pub fn server() -> String {
    static SERVER: OnceLock<(Option<Server>, String)> = OnceLock::new();
    let (_, url) = SERVER.get_or_init(|| match std::env::var("TUTTI_BENCH_DATABASE_URL") {
        Ok(url) if !url.is_empty() => (None, url),
        _ => {
            let server = Server::start(&["shared_buffers=512MB", "max_wal_size=4GB"]);
            let url = server.url();
            (Some(server), url)
        }
    });
    url.clone()
}

/// One agent, which has the capability `c`.
pub fn registry() -> Result<Registry, String> {
    let registry = Registry::default();
    registry.register(AgentRecord {
        id: "idle".parse().map_err(|_| "a valid name")?,
        url: "http://in-process".into(),
        access: Default::default(),
        capabilities: vec!["c".parse().map_err(|_| "a valid name")?],
        limits: Default::default(),
    });
    Ok(registry)
}

/// An executor that was asked for.
pub const fn strategy(executor: Executor) -> StrategyDecision {
    StrategyDecision {
        executor,
        reason: StrategyReason::Requested,
        potential_improvement: None,
        system_load: None,
        available_workers: None,
    }
}

/// The most memory that this process ever had, in megabytes, as Linux tells it.
pub fn most_memory_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kb: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kb / 1024.0)
}

/// An agent that answers every call the same, at once or after a while.
pub struct Idle {
    answer_after: Duration,
    output: Json,
}

impl Idle {
    /// It answers after a while.
    pub fn new(answer_after: Duration) -> Result<Self, String> {
        Ok(Self { answer_after, output: Json::parse(r#"{"v":1}"#).map_err(|e| e.to_string())? })
    }
}

#[async_trait]
impl AgentTransport for Idle {
    async fn describe(&self, _: &AgentEndpoint) -> Result<AgentDescription, AgentError> {
        Err(AgentError::new(AgentErrorKind::Unsupported, "an agent of the bench"))
    }
    async fn call(&self, _: &AgentCall, _: &dyn UpdateSink) -> Result<Answer, AgentError> {
        if !self.answer_after.is_zero() {
            tokio::time::sleep(self.answer_after).await;
        }
        Ok(Answer::Completed { output: self.output.clone(), artifacts: vec![], report: None })
    }
    async fn reattach(&self, _: &AgentCall, _: &dyn UpdateSink) -> Result<Option<Answer>, AgentError> {
        Ok(None)
    }
    async fn answer(&self, call: &AgentCall, _: &AgentReply, updates: &dyn UpdateSink) -> Result<Answer, AgentError> {
        self.call(call, updates).await
    }
    async fn cancel(&self, _: &AgentCall) -> Result<(), AgentError> {
        Ok(())
    }
}

/// The system's time, and numbers that only need to differ, also from those of another process on the same store.
pub struct WallClock(AtomicU64);

impl Default for WallClock {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(AtomicU64::new(u64::try_from(since.as_nanos()).unwrap_or_default()))
    }
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(0).plus(since)
    }
    fn random(&self) -> u128 {
        let n = u128::from(self.0.fetch_add(1, Ordering::Relaxed)) + 1;
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }
}
