//! Agents that follow a script, and an engine around them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tutti_adapters_memory::MemoryStore;
use tutti_core::ids::{Namespace, RunId};
use tutti_core::plan::Plan;
use tutti_core::ports::agent::{
    AgentAccess, AgentCall, AgentDescription, AgentEndpoint, AgentError, AgentErrorKind, AgentReply, AgentReport,
    AgentTransport, AgentUpdate, Answer, CallLimits, Feedback, UpdateSink,
};
use tutti_core::ports::clock::Clock;
use tutti_core::ports::observer::NoObserver;
use tutti_core::ports::query::RunQuery;
use tutti_core::run::{Event, Origin, Recorded, RunState, decode, fold};
use tutti_core::schedule::{StrategyDecision, StrategyReason};
use tutti_core::time::Timestamp;
use tutti_core::value::Json;
use tutti_core::workflow::parse;
use tutti_engine::{AgentRecord, Engine, EngineOptions, Ports, Registry, Residency, StartRun, Update};

/// The clock of a paused runtime: it moves when nothing else can.
pub struct VirtualClock {
    origin: tokio::time::Instant,
    drawn: AtomicU64,
}

impl VirtualClock {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { origin: tokio::time::Instant::now(), drawn: AtomicU64::new(0) })
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_000_000_000).plus(self.origin.elapsed())
    }
    fn random(&self) -> u128 {
        let n = u128::from(self.drawn.fetch_add(1, Ordering::Relaxed)) + 1;
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }
}

type Script = Box<dyn Fn(&AgentCall, usize) -> Step + Send + Sync>;

/// What an agent does with a call.
pub enum Step {
    Answer(&'static str),
    /// An answer with a score for completeness.
    Scored(f64),
    Fail(AgentErrorKind),
    Busy(Duration),
    After(Duration, &'static str),
    Hang,
    Panic,
    Suspend,
}

/// Agents that follow a script and remember what they were asked.
pub struct Scripted {
    script: Script,
    pub calls: Mutex<Vec<String>>,
    pub inputs: Mutex<HashMap<String, String>>,
    /// What agents were told of earlier answers, by call.
    pub feedback: Mutex<Vec<(String, Feedback)>>,
    pub reattached: Mutex<Vec<String>>,
    pub cancelled: Mutex<Vec<String>>,
    /// Tasks that are found again say nothing.
    pub silent: AtomicBool,
    in_flight: AtomicI64,
    pub peak: AtomicI64,
}

impl Scripted {
    pub fn new(script: impl Fn(&AgentCall, usize) -> Step + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            script: Box::new(script),
            calls: Mutex::default(),
            inputs: Mutex::default(),
            feedback: Mutex::default(),
            reattached: Mutex::default(),
            cancelled: Mutex::default(),
            silent: AtomicBool::new(false),
            in_flight: AtomicI64::new(0),
            peak: AtomicI64::new(0),
        })
    }

    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

fn name(call: &AgentCall) -> String {
    format!("{}#{}@{}", call.key.path, call.key.attempt, call.agent.id)
}

#[async_trait]
impl AgentTransport for Scripted {
    async fn describe(&self, _: &AgentEndpoint) -> Result<AgentDescription, AgentError> {
        unreachable!("the engine describes nobody")
    }

    async fn call(&self, call: &AgentCall, updates: &dyn UpdateSink) -> Result<Answer, AgentError> {
        let before = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(name(call));
            calls.iter().filter(|c| c.starts_with(&format!("{}#", call.key.path))).count()
        };
        self.inputs.lock().unwrap().insert(call.key.path.to_string(), call.input.as_str().to_owned());
        if let Some(feedback) = call.feedback.as_deref() {
            self.feedback.lock().unwrap().push((name(call), feedback.clone()));
        }
        updates.update(AgentUpdate::Task(format!("task-{}", name(call))));
        let flying = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(flying, Ordering::SeqCst);
        let completed = |text: &str| Answer::Completed {
            output: Json::parse(text.to_owned()).unwrap(),
            artifacts: vec![],
            report: None,
        };
        let answer = match (self.script)(call, before) {
            Step::Answer(text) => Ok(completed(text)),
            Step::Scored(score) => {
                let report = AgentReport { quality: [("completeness".to_owned(), score)].into(), ..Default::default() };
                let output = Json::parse(format!("{{\"score\":\"{score}\"}}")).unwrap();
                Ok(Answer::Completed { output, artifacts: vec![], report: Some(Box::new(report)) })
            }
            Step::After(span, text) => {
                let _ = tokio::time::timeout(span, std::future::pending::<()>()).await;
                Ok(completed(text))
            }
            Step::Fail(kind) => Err(AgentError::new(kind, "as the script says")),
            Step::Busy(span) => {
                let busy = AgentError::new(AgentErrorKind::RateLimited, "as the script says");
                Err(AgentError { retry_after: Some(span), ..busy })
            }
            Step::Hang => std::future::pending().await,
            Step::Panic => panic!("as the script says"),
            Step::Suspend => {
                Ok(Answer::Suspended { need: tutti_core::ports::agent::Need::Input, message: "which?".into() })
            }
        };
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        answer
    }

    async fn reattach(&self, call: &AgentCall, _: &dyn UpdateSink) -> Result<Option<Answer>, AgentError> {
        self.reattached.lock().unwrap().push(format!("{} {}", name(call), call.task.as_deref().unwrap_or("-")));
        if self.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let known = self.calls.lock().unwrap().contains(&name(call));
        Ok(known.then(|| Answer::Completed {
            output: Json::parse(r#"{"found":true}"#).unwrap(),
            artifacts: vec![],
            report: None,
        }))
    }

    async fn answer(&self, call: &AgentCall, reply: &AgentReply, _: &dyn UpdateSink) -> Result<Answer, AgentError> {
        self.calls.lock().unwrap().push(format!("{} answer {}={}", name(call), reply.number, reply.value.as_str()));
        Ok(Answer::Completed { output: reply.value.clone(), artifacts: vec![], report: None })
    }

    async fn cancel(&self, call: &AgentCall) -> Result<(), AgentError> {
        self.cancelled.lock().unwrap().push(name(call));
        Ok(())
    }
}

/// A store, agents and a clock that engines come and go around.
pub struct World {
    pub store: Arc<MemoryStore>,
    pub agents: Arc<Scripted>,
    pub clock: Arc<VirtualClock>,
}

impl World {
    pub fn new(agents: Arc<Scripted>) -> Self {
        Self { store: Arc::new(MemoryStore::new()), agents, clock: VirtualClock::new() }
    }

    pub fn ports(&self) -> Ports {
        Ports {
            store: self.store.clone(),
            payloads: self.store.clone(),
            query: self.store.clone(),
            records: self.store.clone(),
            inbox: self.store.clone(),
            agents: self.agents.clone(),
            clock: self.clock.clone(),
            observer: Arc::new(NoObserver),
        }
    }

    /// An engine that knows agents x and y for capability c.
    pub fn engine(&self) -> Engine {
        self.engine_on(self.ports(), EngineOptions::default())
    }

    /// An engine that keeps few runs in memory and brings the others in.
    pub fn resident(&self, residency: Residency) -> Engine {
        let engine = self.engine_on(self.ports(), EngineOptions { residency: Some(residency), ..Default::default() });
        let waking = engine.clone();
        tokio::spawn(async move { waking.wake_runs().await });
        engine
    }

    pub fn engine_on(&self, ports: Ports, options: EngineOptions) -> Engine {
        let registry = Registry::default();
        for id in ["x", "y"] {
            let capabilities = vec!["c".parse().unwrap()];
            registry.register(AgentRecord {
                id: id.parse().unwrap(),
                url: format!("http://{id}"),
                access: AgentAccess::default(),
                capabilities,
                limits: CallLimits::default(),
            });
        }
        Engine::start(ports, registry, options)
    }

    pub async fn history(&self, run: RunId) -> Vec<Recorded> {
        let stored = self.store.events(run, 1, 1_000_000).await.unwrap();
        stored.iter().map(|stored| decode(&stored.event).unwrap()).collect()
    }

    pub async fn state(&self, run: RunId, plan: &Arc<Plan>) -> RunState {
        fold(plan, &self.history(run).await).unwrap()
    }
}

pub fn plan(steps: &str) -> Arc<Plan> {
    let text = format!("id: w\nmax_concurrent_tasks: 100\nexecutor: parallel\ndata: {{n: 1}}\nsteps:\n{steps}");
    Plan::new(parse(&text).unwrap().workflow).unwrap()
}

pub fn start(plan: &Arc<Plan>) -> StartRun {
    static REQUESTS: AtomicU64 = AtomicU64::new(1);
    let request = uuid::Uuid::from_u128(u128::from(REQUESTS.fetch_add(1, Ordering::Relaxed)));
    let executor = plan.workflow().executor;
    let decision = StrategyDecision {
        executor,
        reason: StrategyReason::Requested,
        potential_improvement: None,
        system_load: None,
        available_workers: None,
    };
    StartRun {
        namespace: Namespace::default(),
        request,
        plan: plan.clone(),
        data: plan.workflow().data.clone(),
        policy: tutti_engine::executors::policy(plan.workflow(), executor),
        strategy: decision,
        origin: Origin::default(),
        key_from: None,
        start_at: None,
        fork: None,
    }
}

/// Starts a run and waits until it has ended; gives its id and every event the watcher saw.
pub async fn run_to_end(engine: &Engine, plan: &Arc<Plan>) -> (RunId, Vec<Recorded>) {
    let run = engine.new_run_id();
    let mut watch = engine.watch(run);
    engine.start_run_as(run, start(plan)).await.unwrap();
    let mut seen = Vec::new();
    while let Some(update) = watch.next().await.unwrap() {
        if let Update::Event(event) = update {
            seen.push((*event).clone());
        }
    }
    (run, seen)
}

/// Waits for the first event of a kind.
pub async fn until(watch: &mut tutti_engine::Watch, mut wanted: impl FnMut(&Event) -> bool) {
    while let Some(update) = watch.next().await.unwrap() {
        if let Update::Event(event) = &update
            && wanted(&event.event)
        {
            return;
        }
    }
    panic!("the run ended before");
}
