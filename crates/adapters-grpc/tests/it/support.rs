//! What the tests share: calls, news, and the process of the SDK agent.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Notify;
use tutti_adapters_grpc::{GrpcConfig, GrpcTransport};
use tutti_core::ids::{AttemptKey, RunId, StepId, StepPath};
use tutti_core::ports::agent::{
    AgentAccess, AgentCall, AgentEndpoint, AgentError, AgentErrorKind, AgentUpdate, Answer, Artifact, UpdateSink,
};
use tutti_core::value::Json;
use tutti_core::workflow::Priority;

/// Longest that anything in these tests may take; only a failing test comes near it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A transport as the product has it.
pub fn transport() -> GrpcTransport {
    GrpcTransport::new(GrpcConfig::default())
}

/// A transport that asks about tasks that are silent for this long, and waits long for agents that restart.
pub fn impatient(idle_timeout: Duration) -> GrpcTransport {
    GrpcTransport::new(GrpcConfig { idle_timeout, reconnect_window: PATIENCE, ..GrpcConfig::default() })
}

/// An attempt of its own run, with this input.
pub fn call(url: &str, input: &Value) -> AgentCall {
    static NEXT: Mutex<u8> = Mutex::new(0);
    let mut next = NEXT.lock().unwrap();
    *next += 1;
    AgentCall {
        agent: AgentEndpoint { id: "agent".parse().unwrap(), url: url.to_owned(), access: AgentAccess::trusted() },
        key: AttemptKey {
            run: RunId::new(u64::from(*next), [*next; 10]),
            generation: 0,
            path: StepPath::from(&"step".parse::<StepId>().unwrap()),
            attempt: 1,
        },
        capability: "test".parse().unwrap(),
        action: Some("act".to_owned()),
        priority: Priority::High,
        input: Json::of(input).unwrap(),
        timeout: PATIENCE,
        idle_timeout: None,
        task: None,
        trace_parent: None,
        feedback: None,
    }
}

/// Remembers all news and wakes who waits for some.
#[derive(Default)]
pub struct News {
    seen: Mutex<Vec<AgentUpdate>>,
    more: Notify,
}

impl UpdateSink for News {
    fn update(&self, update: AgentUpdate) {
        self.seen.lock().unwrap().push(update);
        self.more.notify_waiters();
    }
}

impl News {
    pub fn seen(&self) -> Vec<AgentUpdate> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until there is news of this kind.
    pub async fn wait_for<T>(&self, wanted: impl Fn(&AgentUpdate) -> Option<T>) -> T {
        let search = async {
            loop {
                let more = self.more.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if let Some(found) = self.seen.lock().unwrap().iter().find_map(&wanted) {
                    return found;
                }
                more.await;
            }
        };
        tokio::time::timeout(PATIENCE, search).await.expect("the news never came")
    }

    /// Waits until the first bytes of an artifact are there.
    pub async fn wait_for_artifact(&self) {
        self.wait_for(|update| matches!(update, AgentUpdate::Artifact { .. }).then_some(())).await;
    }
}

/// The output, as JSON, and the artifacts of a completed answer.
pub fn completed(answer: Result<Answer, AgentError>) -> (Value, Vec<Artifact>) {
    match answer {
        Ok(Answer::Completed { output, artifacts, .. }) => (serde_json::from_str(output.as_str()).unwrap(), artifacts),
        other => panic!("not completed: {other:?}"),
    }
}

pub fn kind(answer: Result<Answer, AgentError>) -> AgentErrorKind {
    answer.expect_err("a failure is expected").kind
}

/// The process of `sdk_agent.py`. Killed when dropped.
pub struct SdkAgent {
    process: Child,
    http: u16,
    grpc: u16,
}

impl SdkAgent {
    pub fn start(options: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sdk_agent.py");
        let mut process = Command::new(python())
            .arg(script)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test agent's Python runs");
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let ports: Value = serde_json::from_str(&line).expect("the test agent tells its ports");
        let port = |name: &str| u16::try_from(ports[name].as_u64().unwrap()).unwrap();
        Self { http: port("http"), grpc: port("grpc"), process }
    }

    /// Base URL of the card.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    pub fn grpc_port(&self) -> u16 {
        self.grpc
    }

    /// Kills the process as a crash would, and starts another with the same card address and these options.
    pub fn restart(&mut self, options: &[&str]) {
        self.kill();
        let http = self.http.to_string();
        *self = Self::start(&[&["--http-port", &http], options].concat());
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for SdkAgent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The Python that has the SDK.
pub fn python() -> PathBuf {
    let python = std::env::var_os("TUTTI_TEST_PYTHON")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-venv/bin/python"), PathBuf::from);
    assert!(
        python.exists(),
        "{} is missing: run the tests by `cargo xtask test`, which makes the Python environment they need",
        python.display()
    );
    python
}

/// A task that waits for a file, and that file.
pub struct Gate {
    folder: tempfile::TempDir,
}

impl Gate {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// The input of a task that waits here, and logs each start.
    pub fn input(&self) -> Value {
        json!({"do": "hold", "release": self.folder.path().join("release"), "log": self.folder.path().join("log")})
    }

    pub fn release(&self) {
        std::fs::write(self.folder.path().join("release"), "").unwrap();
    }

    /// How often the agent started to work.
    pub fn starts(&self) -> usize {
        std::fs::read_to_string(self.folder.path().join("log")).map_or(0, |log| log.lines().count())
    }

    /// A path beside the gate.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

/// Polls until the condition holds.
pub async fn until<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < PATIENCE, "the condition never held");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Serves HTTP (and gRPC) on a port of its own; gives the base URL.
pub async fn serve(router: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve_on(listener, router)
}

/// As [`serve`], for a router that needs to know its address.
pub fn serve_on(listener: tokio::net::TcpListener, router: axum::Router) -> String {
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}
