//! A whole engine among agents that misbehave: a good agent does each step after a bad one failed it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use serde_json::{Value, json};
use tutti_a2a::card::AgentSkill;
use tutti_adapters_memory::MemoryStore;
use tutti_core::ids::Namespace;
use tutti_core::plan::Plan;
use tutti_core::ports::agent::AgentAccess;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::observer::NoObserver;
use tutti_core::ports::query::RunQuery as _;
use tutti_core::run::{Event, Origin, decode};
use tutti_core::schedule::{StrategyDecision, StrategyReason};
use tutti_core::time::Timestamp;
use tutti_core::workflow::parse;
use tutti_engine::{AgentRecord, Engine, EngineOptions, Ports, Registry, StartRun, Update, executors};
use tutti_example_agents::kit::{Agent, Instruments, Outcome, Server, Skill, SkillError, TaskContext};

use super::raw::Raw;
use super::{AT_ONCE, TIMEOUT, hasty, vices};
use crate::support::until;

/// The system's clock.
struct SystemClock(AtomicI64);

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
    }

    fn random(&self) -> u128 {
        let n = u128::from(self.0.fetch_add(1, Ordering::Relaxed).unsigned_abs()) + 1;
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }
}

/// Does whatever it is asked.
struct Good;

#[async_trait]
impl Skill for Good {
    fn card(&self) -> AgentSkill {
        AgentSkill { id: "anything".to_owned(), name: "Anything".to_owned(), ..AgentSkill::default() }
    }

    async fn run(&self, _: Value, _: &TaskContext) -> Result<Outcome, SkillError> {
        Ok(Outcome::Done(json!({"well": "done"})))
    }
}

fn register(registry: &Registry, id: &str, url: &str, capabilities: &[String]) {
    registry.register(AgentRecord {
        id: id.parse().unwrap(),
        url: url.to_owned(),
        access: AgentAccess::trusted(),
        capabilities: capabilities.iter().map(|name| name.parse().unwrap()).collect(),
        limits: Default::default(),
    });
}

fn plan() -> Arc<Plan> {
    let timeout = format!("{}ms", TIMEOUT.as_millis());
    let step = |name: &str| {
        format!("- {{id: {name}, capability: {name}, timeout: {timeout}, retry: {{max_attempts: 2, backoff: 1ms}}}}\n")
    };
    let steps: String = vices::ALL.iter().map(|(name, ..)| step(name)).collect();
    let text = format!("id: w\nexecutor: parallel\nmax_concurrent_tasks: {AT_ONCE}\nsteps:\n{steps}");
    Plan::new(parse(&text).unwrap_or_else(|problems| panic!("{problems:?}")).workflow).unwrap()
}

fn start(plan: &Arc<Plan>) -> StartRun {
    let executor = plan.workflow().executor;
    let strategy = StrategyDecision {
        executor,
        reason: StrategyReason::Requested,
        potential_improvement: None,
        system_load: None,
        available_workers: None,
    };
    StartRun {
        namespace: Namespace::default(),
        request: uuid::Uuid::from_u128(1),
        plan: plan.clone(),
        data: plan.workflow().data.clone(),
        policy: executors::policy(plan.workflow(), executor),
        strategy,
        origin: Origin::default(),
        key_from: None,
        start_at: None,
        fork: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_agent_does_each_step_that_a_bad_one_failed() {
    let registry = Registry::default();
    let mut bad = Vec::new();
    for (name, vice, ..) in vices::ALL {
        let agent = Raw::start(vice).await;
        register(&registry, &format!("bad-{name}"), &agent.url, &[name.to_owned()]);
        bad.push(agent);
    }
    let agent = Agent { name: "good".to_owned(), skills: vec![Arc::new(Good)], instruments: Instruments::default() };
    let server = Server::bind(agent, "127.0.0.1", 0).await.unwrap();
    let all: Vec<String> = vices::ALL.iter().map(|(name, ..)| (*name).to_owned()).collect();
    register(&registry, "good", &format!("http://{}", server.address()), &all);
    tokio::spawn(server.run(None, std::future::pending()));

    let store = Arc::new(MemoryStore::new());
    let ports = Ports {
        store: store.clone(),
        payloads: store.clone(),
        query: store.clone(),
        records: store.clone(),
        inbox: store.clone(),
        agents: Arc::new(hasty()),
        clock: Arc::new(SystemClock(AtomicI64::new(0))),
        observer: Arc::new(NoObserver),
    };
    let engine = Engine::start(ports, registry, EngineOptions::default());
    let plan = plan();
    let run = engine.new_run_id();
    let mut watch = engine.watch(run);
    engine.start_run_as(run, start(&plan)).await.unwrap();
    // A watcher that cannot follow what the agents say misses some of it.
    while !matches!(watch.next().await, Ok(None | Some(Update::Released))) {}
    let (mut failed, mut completed) = (BTreeMap::new(), 0);
    for stored in store.events(run, 1, 1_000).await.unwrap() {
        match decode(&stored.event).unwrap().event {
            Event::AttemptFailed(failure) => {
                failed.entry(failure.step.to_string()).or_insert_with(Vec::new).push(failure.error.to_string());
            }
            Event::StepCompleted(_) => completed += 1,
            _ => {}
        }
    }
    for (name, _, kind, words) in vices::ALL {
        let errors = failed.remove(name).unwrap_or_default();
        assert!(
            matches!(errors.as_slice(), [one] if one.starts_with(kind) && one.contains(words)),
            "{name}: {errors:?}"
        );
    }
    assert_eq!((completed, failed.len()), (vices::ALL.len(), 0), "every step is done by the good agent");
    for agent in bad {
        until(|| async { agent.seen.busy.load(Ordering::SeqCst) == 0 }).await;
    }
}
