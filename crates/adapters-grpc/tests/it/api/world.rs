//! A server as `tutti serve` has it: a real engine on a store in memory, with an agent that does as its input says, and the
//! API on a port of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tutti_adapters_grpc::api::{Api, ApiClient, Auth, Inbound};
use tutti_adapters_grpc::serve::ServeOptions;
use tutti_adapters_memory::MemoryStore;
use tutti_core::ids::{Namespace, RequestId, RunId};
use tutti_core::ports::agent::{
    AgentAccess, AgentCall, AgentDescription, AgentEndpoint, AgentError, AgentErrorKind, AgentReply, AgentTransport,
    AgentUpdate, Answer, Artifact, Need, UpdateSink,
};
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inbound::runs::{StartOptions, StartRequest, WorkflowSource};
use tutti_core::ports::inbound::workflows::PlanDescription;
use tutti_core::ports::observer::NoObserver;
use tutti_core::run::{Recorded, RunStatus};
use tutti_core::schedule::{StrategyDecision, StrategyReason};
use tutti_core::time::Timestamp;
use tutti_core::value::Json;
use tutti_core::workflow::Executor;
use tutti_engine::{
    AccessService, AgentRecord, AgentService, Engine, EngineOptions, Ports, Registry, RunService, ServiceOptions,
    WorkflowService,
};

use crate::support::PATIENCE;

/// One step, which does as the inputs say.
pub const WORK: &str = "
id: work
name: Work
version: '1.2'
description: Does as it is told
inputs: {do: {default: echo}, n: {default: 1}}
steps:
- {id: first, capability: work, input: {do: do, n: n}, output: {n: {to: n, optional: true}, said: {to: said, optional: true}}}
";

/// Four steps on three levels: a, then b and c beside each other, then d.
pub const DIAMOND: &str = "
id: diamond
version: '1'
steps:
- {id: a, capability: work, input: {do: {value: make}, n: {value: 1}}, output: {n: a}}
- {id: b, capability: work, input: {n: a}, output: {n: b}, depends_on: [a]}
- {id: c, capability: work, input: {n: a}, output: {n: c}, depends_on: [a]}
- {id: d, capability: work, input: {n: b}, output: {n: d}, depends_on: [b, c]}
";

/// Bytes of the large artifact: more than two pieces.
pub const LARGE: usize = 150_000;

struct SystemClock(AtomicU64);

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
    }

    fn random(&self) -> u128 {
        let n = u128::from(self.0.fetch_add(1, Ordering::Relaxed)) + 1;
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }
}

/// The server. What it began ends with the test's runtime.
pub struct World {
    pub url: String,
    pub client: ApiClient,
    released: Arc<watch::Sender<bool>>,
    stop: Option<oneshot::Sender<()>>,
}

impl World {
    pub async fn start() -> Self {
        Self::with(|api| api).await
    }

    /// The same, with an API that was changed.
    pub async fn with(changed: impl FnOnce(Api) -> Api) -> Self {
        let released = Arc::new(watch::Sender::new(false));
        let registry = Registry::default();
        registry.register(AgentRecord {
            id: "worker".parse().unwrap(),
            url: "http://127.0.0.1:1".to_owned(),
            access: AgentAccess::trusted(),
            capabilities: vec!["work".parse().unwrap()],
            limits: Default::default(),
        });
        let store = Arc::new(MemoryStore::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock(AtomicU64::new(0)));
        let agents = Arc::new(Worker(released.clone()));
        let ports = Ports {
            store: store.clone(),
            payloads: store.clone(),
            query: store.clone(),
            records: store.clone(),
            inbox: store.clone(),
            agents: agents.clone(),
            clock: clock.clone(),
            observer: Arc::new(NoObserver),
        };
        let engine = Engine::start(ports, registry.clone(), EngineOptions::default());
        let describer = Arc::new(|subject: tutti_engine::PlanSubject| {
            let workflow = subject.workflow;
            let text = format!("the plan of {}", workflow.id);
            Ok(PlanDescription {
                json: "{}".to_owned(),
                text,
                mermaid: "flowchart".into(),
                dot: "digraph".into(),
                ..PlanDescription::default()
            })
        });
        let workflows = Arc::new(WorkflowService::new(&engine, describer));
        let check = Arc::new(|_: &str| Ok(()));
        let agents = AgentService::load(registry, store.clone(), agents, clock.clone(), check).await.unwrap();
        let strategist = Arc::new(|_: &_, executor| decision(executor));
        let runs = Arc::new(RunService::new(engine, strategist, ServiceOptions::default()));
        let inbound = Inbound {
            runs: runs.clone(),
            views: runs.clone(),
            values: runs.clone(),
            health: runs,
            workflows,
            agents: Arc::new(agents),
            access: Arc::new(AccessService::new(store, clock.clone())),
            clock,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let api = changed(Api::new(inbound).await.auth(Auth::off()));
        tokio::spawn(api.serve(listener, axum::Router::new(), ServeOptions::default(), async move {
            let _ = stopped.await;
        }));
        Self { client: ApiClient::new(&url).unwrap(), url, released, stop: Some(stop) }
    }

    pub async fn channel(&self) -> Channel {
        Channel::from_shared(self.url.clone()).unwrap().connect().await.unwrap()
    }

    /// Lets go of what is held.
    pub fn release(&self) {
        self.released.send_replace(true);
    }

    /// Asks the server to stop.
    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Starts a run of `WORK`.
    pub async fn run(&self, inputs: Value) -> RunId {
        self.client.start(start(WORK, &inputs)).await.unwrap().run
    }

    /// Starts a run and waits for its end or for somebody.
    pub async fn ran(&self, workflow: &str, inputs: Value) -> RunId {
        let waited = self.client.start_and_wait(start(workflow, &inputs), PATIENCE).await.unwrap();
        assert!(!matches!(waited.run.status, RunStatus::Pending | RunStatus::Running), "{waited:?}");
        waited.run.run
    }

    /// Every event of a run that has ended.
    pub async fn history(&self, run: RunId) -> Vec<Recorded> {
        let mut stream = self.client.watch(&Namespace::default(), run, 1).await.unwrap();
        let mut events = Vec::new();
        while let Some(event) = stream.next().await.unwrap() {
            events.push(event);
        }
        events
    }
}

fn decision(executor: Executor) -> StrategyDecision {
    StrategyDecision {
        executor: if executor == Executor::Auto { Executor::Parallel } else { executor },
        reason: StrategyReason::Requested,
        potential_improvement: None,
        system_load: None,
        available_workers: None,
    }
}

/// A request id that no other request has.
pub fn request_id() -> RequestId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    RequestId::from_u128(u128::from(NEXT.fetch_add(1, Ordering::Relaxed)) << 32 | 7)
}

pub fn start(workflow: &str, inputs: &Value) -> StartRequest {
    StartRequest {
        namespace: Namespace::default(),
        request: request_id(),
        workflow: WorkflowSource::Text(workflow.to_owned()),
        inputs: inputs.to_string(),
        options: StartOptions::default(),
    }
}

/// The fields that a refusal names.
pub fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    tutti_a2a::error::violations(status).into_iter().map(|(field, _)| field).collect()
}

/// The agent of the steps.
struct Worker(Arc<watch::Sender<bool>>);

#[async_trait]
impl AgentTransport for Worker {
    async fn describe(&self, _: &AgentEndpoint) -> Result<AgentDescription, AgentError> {
        Err(AgentError::new(AgentErrorKind::Unavailable, "nobody is there"))
    }

    async fn call(&self, call: &AgentCall, updates: &dyn UpdateSink) -> Result<Answer, AgentError> {
        let input: Value = serde_json::from_str(call.input.as_str()).unwrap();
        let mut output = json!({"n": input["n"]});
        let mut artifacts = Vec::new();
        match input["do"].as_str() {
            Some("hold") => {
                updates.update(AgentUpdate::Task("held".to_owned()));
                self.0.subscribe().wait_for(|released| *released).await.unwrap();
            }
            Some("fail") => return Err(AgentError::new(AgentErrorKind::InvalidInput, "the grapes are sour")),
            Some("ask") => return Ok(Answer::Suspended { need: Need::Input, message: "which city?".to_owned() }),
            Some("large") => output = json!({"n": "x".repeat(20_000)}),
            Some("make") => {
                artifacts = vec![
                    artifact("1", "report.md", Some("text/markdown"), (0..LARGE).map(|n| (n % 251) as u8).collect()),
                    artifact("2", "chart.png", Some("image/png"), vec![1, 2, 3]),
                    artifact("3", "chart.png", None, vec![4]),
                ];
            }
            _ => {}
        }
        Ok(Answer::Completed { output: Json::of(&output).unwrap(), artifacts, report: None })
    }

    async fn reattach(&self, _: &AgentCall, _: &dyn UpdateSink) -> Result<Option<Answer>, AgentError> {
        Ok(None)
    }

    async fn answer(&self, _: &AgentCall, reply: &AgentReply, _: &dyn UpdateSink) -> Result<Answer, AgentError> {
        let output = format!("{{\"said\":{}}}", reply.value.as_str());
        Ok(Answer::Completed { output: Json::parse(output).unwrap(), artifacts: Vec::new(), report: None })
    }

    async fn cancel(&self, _: &AgentCall) -> Result<(), AgentError> {
        Ok(())
    }
}

fn artifact(id: &str, name: &str, media_type: Option<&str>, bytes: Vec<u8>) -> Artifact {
    Artifact {
        id: id.to_owned(),
        name: name.to_owned(),
        media_type: media_type.map(str::to_owned),
        bytes: bytes.into(),
    }
}

/// What comes within the time that anything may take.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it never came")
}

/// A time that is over at once for those who wait.
pub const AT_ONCE: Duration = Duration::from_millis(1);
