//! A server that is an agent: a real engine on a store in memory, an agent over gRPC that its steps are asked of, and the
//! port as `tutti serve` has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::Router;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tonic::Request;
use tonic::transport::Channel;
use tutti_a2a::card::AgentSkill;
use tutti_a2a::v1::a2a_service_client::A2aServiceClient;
use tutti_a2a::v1::{self, part::Content};
use tutti_adapters_grpc::GrpcTransport;
use tutti_adapters_grpc::api::{Api, Auth, Inbound};
use tutti_adapters_grpc::orchestrator::{AgentOptions, OrchestratorAgent};
use tutti_adapters_grpc::serve::ServeOptions;
use tutti_adapters_memory::MemoryStore;
use tutti_core::ids::Namespace;
use tutti_core::ports::agent::AgentAccess;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inbound::access::{Access, Caller, CreateToken, Role};
use tutti_core::ports::inbound::workflows::{PlanDescription, RegisterWorkflow, Workflows};
use tutti_core::ports::observer::NoObserver;
use tutti_core::schedule::{StrategyDecision, StrategyReason};
use tutti_core::time::Timestamp;
use tutti_core::workflow::Executor;
use tutti_engine::{
    AccessService, AgentRecord, AgentService, Engine, EngineOptions, Ports, Registry, RunService, ServiceOptions,
    WorkflowService,
};
use tutti_example_agents::kit::{Agent, Chunk, Instruments, Outcome, Server, Skill, SkillError, TaskContext};
use tutti_testkit::conformance::transport::{ARTIFACT, WORDS};

use crate::support::transport;

/// Does as the input says.
pub const WORK: &str = "
id: work
name: Work
version: '1.2'
description: Does as it is told
inputs: {do: {required: true}, n: {}, text: {}}
steps:
- {id: first, capability: work, retry: {max_attempts: 1}, input: {do: do, n: n, text: text}, output: {n: {to: n, optional: true}, text: {to: text, optional: true}, said: {to: said, optional: true}}}
";

/// Two steps, of which the second waits for the first.
pub const TWO: &str = "
id: two
inputs: {query: {required: true}}
steps:
- {id: a, capability: work, input: {n: query}, output: {n: answer.a}}
- {id: b, capability: work, input: {n: answer.a}, output: {n: answer.b}, depends_on: [a]}
";

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

/// The server. What it began ends with the test's runtime.
pub struct World {
    pub url: String,
    pub worker: Arc<Worker>,
    pub runs: Arc<RunService>,
    access: Arc<AccessService>,
    workflows: WorkflowService,
    stop: Option<oneshot::Sender<()>>,
}

impl World {
    /// A server on which these workflows are registered, and everybody may call.
    pub async fn start(workflows: &[&str]) -> Self {
        Self::with(workflows, AgentOptions::default(), false).await
    }

    /// The same with these options; callers bear tokens if `auth`.
    pub async fn with(workflows: &[&str], options: AgentOptions, auth: bool) -> Self {
        let worker = Arc::new(Worker { started: AtomicUsize::new(0), released: watch::Sender::new(false) });
        let registry = Registry::default();
        registry.register(AgentRecord {
            id: "worker".parse().unwrap(),
            url: worker.serve().await,
            access: AgentAccess::trusted(),
            capabilities: vec!["work".parse().unwrap()],
            limits: Default::default(),
        });
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(SystemClock(AtomicI64::new(0)));
        let agents: Arc<GrpcTransport> = Arc::new(transport());
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
        let known = AgentService::load(registry.clone(), store.clone(), agents, clock.clone(), Arc::new(|_| Ok(())));
        let known = known.await.unwrap();
        let engine = Engine::start(ports, registry, EngineOptions::default());
        let describer = Arc::new(|_| Ok(PlanDescription::default()));
        let registered = WorkflowService::new(&engine, describer);
        let access = Arc::new(AccessService::new(store, clock.clone()));
        let runs =
            Arc::new(RunService::new(engine, Arc::new(|_, executor| decision(executor)), ServiceOptions::default()));
        let agent =
            OrchestratorAgent::new(runs.clone(), runs.clone(), runs.clone(), Arc::new(registered.clone()), options);
        let inbound = Inbound {
            runs: runs.clone(),
            views: runs.clone(),
            values: runs.clone(),
            workflows: Arc::new(registered.clone()),
            agents: Arc::new(known),
            access: access.clone(),
            health: runs.clone(),
            clock,
        };
        let auth = if auth { Auth::on(access.clone(), Vec::new()) } else { Auth::off() };
        let api = Api::new(inbound).await.agent(&agent).auth(auth);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(api.serve(listener, Router::new(), ServeOptions::default(), async move {
            let _ = stopped.await;
        }));
        let world = Self { url, worker, runs, access, workflows: registered, stop: Some(stop) };
        for workflow in workflows {
            world.register(workflow, &Namespace::default()).await;
        }
        world
    }

    pub async fn register(&self, workflow: &str, namespace: &Namespace) {
        let request = RegisterWorkflow {
            namespace: namespace.clone(),
            request: uuid::Uuid::from_u128(1),
            text: workflow.to_owned(),
            by: "test".to_owned(),
        };
        self.workflows.register(request).await.unwrap();
    }

    /// A token of a caller in a namespace.
    pub async fn token(&self, name: &str, role: Role, namespace: &str) -> String {
        let caller = Caller { name: name.to_owned(), role, namespace: Some(namespace.parse().unwrap()) };
        let request = uuid::Uuid::from_u128(name.bytes().fold(1, |n, byte| n * 256 + u128::from(byte)));
        let created =
            self.access.create_token(CreateToken { request, caller, expires_at: None, by: "test".to_owned() }).await;
        created.unwrap().token
    }

    pub async fn client(&self) -> A2aServiceClient<Channel> {
        let client = A2aServiceClient::connect(self.url.clone()).await.unwrap();
        client.max_decoding_message_size(tutti_a2a::MAX_MESSAGE_BYTES)
    }

    /// Asks the server to stop.
    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
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

/// The agent of the steps.
pub struct Worker {
    pub started: AtomicUsize,
    pub released: watch::Sender<bool>,
}

/// Bytes of an artifact of which two do not fit into one message.
pub const HUGE: usize = 9 << 20;

/// Bytes of the large artifact.
pub const LARGE: usize = 600_000;

impl Worker {
    async fn serve(self: &Arc<Self>) -> String {
        let skill = Arc::new(Work(self.clone()));
        let agent = Agent { name: "worker".to_owned(), skills: vec![skill], instruments: Instruments::default() };
        let server = Server::bind(agent, "127.0.0.1", 0).await.unwrap();
        let url = format!("http://{}", server.address());
        tokio::spawn(server.run(None, std::future::pending()));
        url
    }

    pub fn release(&self) {
        self.released.send_replace(true);
    }

    pub fn started(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }
}

struct Work(Arc<Worker>);

#[async_trait]
impl Skill for Work {
    fn card(&self) -> AgentSkill {
        AgentSkill { id: "work".to_owned(), name: "Work".to_owned(), ..AgentSkill::default() }
    }

    async fn run(&self, input: Value, context: &TaskContext) -> Result<Outcome, SkillError> {
        if context.history().len() > 1 {
            // The answer to a question.
            return Ok(Outcome::Done(json!({"said": input})));
        }
        self.0.started.fetch_add(1, Ordering::Relaxed);
        let mut output = input.clone();
        output.as_object_mut().unwrap().remove("do");
        match input["do"].as_str() {
            Some("hold") => {
                let mut released = self.0.released.subscribe();
                released.wait_for(|released| *released).await.unwrap();
            }
            Some("fail") => return Err(SkillError::Failed(WORDS.to_owned())),
            Some("ask") => return Ok(Outcome::InputRequired(WORDS.to_owned())),
            Some("authorize") => return Ok(Outcome::AuthRequired("log in".to_owned())),
            Some("report") => {
                let (name, pieces) = ARTIFACT;
                let [first, second, third] = pieces.map(|piece| Chunk::text(name, "text/plain", piece));
                [first, second.append(), third.append().last()].into_iter().for_each(|piece| context.artifact(piece));
            }
            Some("much") => {
                for name in ["one.bin", "two.bin"] {
                    context.artifact(Chunk::bytes(name, "", vec![7; HUGE]).last());
                }
            }
            Some("make") => {
                context.artifact(Chunk::text("report.md", "text/markdown", "é".repeat(LARGE / 2)).last());
                context.artifact(Chunk::bytes("chart.png", "image/png", vec![1, 2, 3]).last());
            }
            _ => {}
        }
        // A task that says nothing is none that was done.
        if output == json!({}) {
            output = json!({"n": null});
        }
        Ok(Outcome::Done(output))
    }
}

/// A message of this id with a data part, for a skill.
pub fn message(id: &str, skill: &str, data: &Value) -> v1::SendMessageRequest {
    let content = Some(Content::Data(tutti_a2a::json::to_proto(data).unwrap()));
    let metadata = json!({"skill_id": skill});
    let message = v1::Message {
        message_id: id.to_owned(),
        role: v1::Role::User.into(),
        parts: vec![v1::Part { content, ..v1::Part::default() }],
        metadata: tutti_a2a::json::to_struct(metadata.as_object().unwrap()).ok().filter(|_| !skill.is_empty()),
        ..v1::Message::default()
    };
    v1::SendMessageRequest { message: Some(message), ..v1::SendMessageRequest::default() }
}

/// A request of this version of the protocol.
pub fn spoken<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(30));
    request.metadata_mut().insert("a2a-version", "1.0".parse().unwrap());
    request
}
