//! A folder to run the binary in, and short forms of what tests do with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for something that must come: generous, for a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// The folder of the example.
pub const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data-science");

/// The workflow of the example: eight steps on five levels.
pub fn workflow() -> String {
    format!("{EXAMPLE}/workflow.yaml")
}

/// The Python that has what clients and agents in Python need.
pub fn python() -> PathBuf {
    let python =
        std::env::var_os("TUTTI_TEST_PYTHON").map_or_else(|| root().join("target/test-venv/bin/python"), PathBuf::from);
    assert!(
        python.exists(),
        "{} is missing: run the tests by `cargo xtask test`, which makes the Python environment they need",
        python.display()
    );
    python
}

/// The folder of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A folder with a store of its own. Agents that a failed test left running are ended with it.
pub struct Place {
    pub folder: TempDir,
    /// How long the agents wait before they work on a message.
    pub delay: Duration,
}

impl Place {
    pub fn new() -> Self {
        Self::with_delay(0)
    }

    /// Agents take so long for each step.
    pub fn with_delay(millis: u64) -> Self {
        Self { folder: TempDir::new().unwrap(), delay: Duration::from_millis(millis) }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tutti"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        for name in [
            "ORCHESTRATION_MODE",
            "ENABLE_PARALLEL_EXECUTION",
            "PARALLEL_THRESHOLD",
            "CONNECTION_POOL_SIZE",
            "TUTTI_CONFIG",
            "TUTTI_STORE",
            "TUTTI_SERVER",
            "TUTTI_TOKEN",
            "TUTTI_NAMESPACE",
            "TUTTI_LOG",
            "ENABLE_OBSERVABILITY",
            "ENABLE_PHASE_7_STREAMING",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_SERVICE_NAME",
            "COLUMNS",
        ] {
            command.env_remove(name);
        }
        command.env("TUTTI_EXAMPLE_DELAY_MS", self.delay.as_millis().to_string());
        command.env("TUTTI_EXAMPLE_CALL_LOG", self.call_log());
        command
    }

    /// Runs the binary to its end.
    pub fn tutti(&self, args: &[&str]) -> Done {
        Done::of(self.command(args).output().unwrap())
    }

    /// Starts the binary.
    pub fn start(&self, args: &[&str]) -> Started {
        let mut command = self.command(args);
        Started(Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()))
    }

    pub fn agents_folder(&self) -> PathBuf {
        self.path().join(".tutti/tutti.db-agents")
    }

    pub fn call_log(&self) -> PathBuf {
        self.path().join("calls.jsonl")
    }

    /// The message ids of the calls that agents began to work on.
    pub fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.call_log()).unwrap_or_default();
        let line = |line: &str| serde_json::from_str::<Value>(line).unwrap()["message_id"].as_str().unwrap().to_owned();
        text.lines().map(line).collect()
    }

    /// The processes of the agents that are written down.
    pub fn agent_pids(&self) -> Vec<i32> {
        let files = std::fs::read_dir(self.agents_folder()).into_iter().flatten().map(|file| file.unwrap().path());
        let pid = |path: PathBuf| {
            let written: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
            i32::try_from(written["process"]["pid"].as_i64()?).ok()
        };
        files.filter(|path| path.extension().is_some_and(|e| e == "json")).filter_map(pid).collect()
    }

    /// The events of the latest run so far; none before there is a run.
    pub fn events(&self) -> Vec<Value> {
        jsonl(&self.tutti(&["events", "latest", "-o", "jsonl"]).stdout)
    }

    /// Makes a token in the store, which no server has: its text.
    pub fn token(&self, args: &[&str]) -> String {
        self.tutti(&[&["token", "create"], args].concat()).expect(0).stdout.trim().to_owned()
    }

    /// The data of the latest run.
    pub fn data(&self) -> String {
        self.tutti(&["data", "latest"]).expect(0).stdout
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for pid in self.agent_pids() {
            let _ = kill_process_group(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
}

/// A command that has ended.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.stdout, self.stderr))
    }
}

/// A command under way; ended with its test.
pub struct Started(Option<Child>);

impl Started {
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.0.as_ref().unwrap()), signal).unwrap();
    }

    /// Waits for the end.
    pub fn end(mut self) -> Done {
        Done::of(self.0.take().unwrap().wait_with_output().unwrap())
    }

    pub fn is_over(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_some()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Looks again and again until there is something to see.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "{what}: did not come within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Lines of JSON, and nothing else.
#[track_caller]
pub fn jsonl(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// The numbers of events.
pub fn seqs(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

/// Events of a kind about a step.
pub fn about<'e>(events: &'e [Value], kind: &str, step: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["event"] == kind && event["step"] == step).collect()
}
