//! What a client of a server waits for: the real `tutti serve` in a process of its own, on SQLite with full durability,
//! asked over gRPC, with an agent over A2A on loopback in this process.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use tutti_a2a::card::AgentSkill;
use tutti_api::v1::run_service_client::RunServiceClient;
use tutti_api::v1::start_run_request::Source;
use tutti_api::v1::watch_run_response::Message;
use tutti_api::v1::{RunState, StartAndWaitRunRequest, StartRunRequest, WatchRunRequest};
use tutti_example_agents::kit::{Agent, Instruments, Outcome, Server, Skill, SkillError, TaskContext};

use uuid::Uuid;

use crate::table::{self, Row};

/// Three steps, one after another.
const CHAIN: &str = "id: chain\nexecutor: basic\nsteps:\n- {id: a, capability: echo, input: {n: {value: 1}}}\n\
                     - {id: b, capability: echo, input: {n: {value: 2}}, depends_on: [a]}\n\
                     - {id: c, capability: echo, input: {n: {value: 3}}, depends_on: [b]}\n";

/// Watchers of the busy run, over so many connections, and its steps.
const WATCHERS: usize = 1_000;
const CONNECTIONS: usize = 20;
const STEPS: usize = 200;

/// Measures it; `quick` for a shorter look.
pub async fn measure(quick: bool, json: Option<&str>) -> Result<(), String> {
    let world = World::start().await?;
    let mut rows = Vec::new();
    table::print_head();
    let span = Duration::from_secs(if quick { 3 } else { 10 });
    for in_flight in [1_usize, 64] {
        rows.extend(world.chains(in_flight, span).await?);
    }
    rows.extend(world.watchers().await?);
    for row in &rows {
        table::print(row, &[]);
    }
    json.map_or(Ok(()), |file| table::write(file, &rows))
}

/// A server that runs, and the agent that it asks.
struct World {
    address: String,
    _server: Child,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let echo = Agent { name: "echo".into(), skills: vec![Arc::new(Echo)], instruments: Instruments::default() };
        let agent = Server::bind(echo, "127.0.0.1", 0).await.map_err(|e| e.to_string())?;
        let url = format!("http://{}", agent.address());
        tokio::spawn(async move { agent.run(None, std::future::pending()).await.map_err(|e| e.to_string()) });
        let agents = folder.path().join("agents.yaml");
        std::fs::write(&agents, format!("agents:\n- {{name: echo, url: '{url}'}}\n")).map_err(|e| e.to_string())?;
        let (server, address) = serve(folder.path(), &agents).await?;
        Ok(Self { address, _server: server, _folder: folder })
    }

    async fn client(&self) -> Result<RunServiceClient<Channel>, String> {
        let endpoint = Endpoint::from_shared(self.address.clone()).map_err(|e| e.to_string())?.tcp_nodelay(true);
        Ok(RunServiceClient::new(endpoint.connect().await.map_err(|e| e.to_string())?))
    }

    /// Runs of three steps, from the request to start to the answer that the run is complete.
    async fn chains(&self, in_flight: usize, span: Duration) -> Result<Vec<Row>, String> {
        let began = Instant::now();
        let mut workers = Vec::new();
        for _ in 0..in_flight {
            let mut client = self.client().await?;
            workers.push(tokio::spawn(async move {
                let mut times = Vec::new();
                while began.elapsed() < span {
                    let start = Instant::now();
                    complete(&mut client, CHAIN).await?;
                    times.push(start.elapsed());
                }
                Ok::<_, String>(times)
            }));
        }
        let mut times = Vec::new();
        for worker in workers {
            times.extend(worker.await.map_err(|e| e.to_string())??);
        }
        let took = began.elapsed();
        times.sort_unstable();
        let case = format!("3 steps, {in_flight} in flight");
        Ok(vec![
            row(&case, "start to completed, p50", millis(percentile(&times, 50)), "ms"),
            row(&case, "start to completed, p99", millis(percentile(&times, 99)), "ms"),
            row(&case, "runs", times.len() as f64 / took.as_secs_f64(), "runs/s"),
        ])
    }

    /// Many watchers on one run: all must see every event; how long after the run's end the last of them does.
    async fn watchers(&self) -> Result<Vec<Row>, String> {
        let alone = self.busy_run(0).await?;
        let watched = self.busy_run(WATCHERS).await?;
        let case = format!("{STEPS} steps, {WATCHERS} watchers");
        Ok(vec![
            row(&case, "run, nobody watches", millis(alone.run), "ms"),
            row(&case, "run, watched", millis(watched.run), "ms"),
            row(&case, "last watcher at the end", millis(watched.last), "ms"),
            row(&case, "events delivered", watched.events as f64 / watched.last.as_secs_f64(), "events/s"),
        ])
    }

    async fn busy_run(&self, watchers: usize) -> Result<Busy, String> {
        use std::fmt::Write as _;
        let mut text = "id: busy\nexecutor: parallel\nmax_concurrent_tasks: 16\nsteps:\n".to_owned();
        for step in 0..STEPS {
            let _ = writeln!(text, "- {{id: s{step}, capability: echo, input: {{n: {{value: {step}}}}}}}");
        }
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(self.client().await?);
        }
        let began = Instant::now();
        let run = clients[0].start_run(start(&text)).await.map_err(|e| e.to_string())?.into_inner().run_id;
        let (open, mut opened) = watch::channel(0);
        let mut followers = Vec::new();
        for n in 0..watchers {
            let (client, run, open) = (clients[n % CONNECTIONS].clone(), run.clone(), open.clone());
            followers.push(tokio::spawn(async move { follow(client, run, &open).await }));
        }
        let ended = {
            let mut client = clients[0].clone();
            let run = run.clone();
            tokio::spawn(async move {
                let (nobody, _) = watch::channel(0);
                let events = follow(client.clone(), run, &nobody).await?;
                let _ = &mut client;
                Ok::<_, String>((events, began.elapsed()))
            })
        };
        opened.wait_for(|open| *open == watchers).await.map_err(|e| e.to_string())?;
        let (all, took) = ended.await.map_err(|e| e.to_string())??;
        let mut events = 0;
        for follower in followers {
            let seen = follower.await.map_err(|e| e.to_string())??;
            if seen != all {
                return Err(format!("a watcher saw {seen} of {all} events"));
            }
            events += seen;
        }
        Ok(Busy { run: took, last: began.elapsed(), events })
    }
}

struct Busy {
    run: Duration,
    last: Duration,
    events: u64,
}

/// Follows a run to its end, and checks that no event is missing or told twice; how many there were.
async fn follow(
    mut client: RunServiceClient<Channel>,
    run_id: String,
    open: &watch::Sender<usize>,
) -> Result<u64, String> {
    let request = WatchRunRequest { run_id, from_seq: 1, ..WatchRunRequest::default() };
    let mut stream = client.watch_run(request).await.map_err(|e| e.to_string())?.into_inner();
    open.send_modify(|open| *open += 1);
    let mut last = 0;
    while let Some(message) = stream.message().await.map_err(|e| e.to_string())? {
        if let Some(Message::Event(event)) = message.message {
            if event.seq != last + 1 {
                return Err(format!("event {} came after {last}", event.seq));
            }
            last = event.seq;
        }
    }
    Ok(last)
}

async fn complete(client: &mut RunServiceClient<Channel>, workflow: &str) -> Result<(), String> {
    let request = StartAndWaitRunRequest { start: Some(start(workflow)), wait_seconds: 60.0 };
    let answer = client.start_and_wait_run(request).await.map_err(|e| e.to_string())?.into_inner();
    let summary = answer.run.and_then(|run| run.summary).ok_or("an answer without a run")?;
    if summary.state() == RunState::Completed { Ok(()) } else { Err(format!("{}: {}", summary.run_id, summary.error)) }
}

fn start(workflow: &str) -> StartRunRequest {
    /// The store is fresh, so that numbers are ids enough.
    static REQUESTS: AtomicU64 = AtomicU64::new(1);
    StartRunRequest {
        request_id: Uuid::from_u128(u128::from(REQUESTS.fetch_add(1, Ordering::Relaxed))).to_string(),
        source: Some(Source::Workflow(workflow.to_owned())),
        ..StartRunRequest::default()
    }
}

/// The server, beside this program, and its address.
async fn serve(folder: &Path, agents: &Path) -> Result<(Child, String), String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?.with_file_name("tutti");
    let mut server = Command::new(&program)
        .args(["serve", "--listen", "127.0.0.1:0", "--store"])
        .arg(format!("sqlite:{}", folder.join("bench.db").display()))
        .arg("--agents")
        .arg(agents)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("{}: {e}", program.display()))?;
    let output = server.stdout.take().ok_or("the server has no output")?;
    let line = BufReader::new(output).lines().next_line().await.map_err(|e| e.to_string())?;
    let line = line.ok_or("the server ended before it listened")?;
    let address = line.strip_prefix("listening on ").ok_or_else(|| format!("the server said: {line}"))?;
    Ok((server, address.to_owned()))
}

fn row(case: &str, figure: &str, value: f64, unit: &str) -> Row {
    Row {
        workload: "API".into(),
        store: "sqlite".into(),
        case: case.into(),
        figure: figure.into(),
        value,
        unit: unit.into(),
        more_is_better: unit.ends_with("/s"),
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Answers what it is told.
struct Echo;

#[async_trait]
impl Skill for Echo {
    fn card(&self) -> AgentSkill {
        AgentSkill {
            id: "echo".into(),
            name: "Echo".into(),
            description: "Answers what it is told".into(),
            tags: vec!["bench".into()],
            ..AgentSkill::default()
        }
    }

    async fn run(&self, input: Value, _: &TaskContext) -> Result<Outcome, SkillError> {
        Ok(Outcome::Done(input))
    }
}
