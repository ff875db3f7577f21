//! The processes: the database, the agents, the servers.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tutti_api::v1::run_service_client::RunServiceClient;
use tutti_testkit::postgres::{Database, Server as Postgres};
use tutti_testkit::proxy::{Mode, Proxy};

use super::line::Line;

/// The lease of each.
pub const LEASE: Duration = Duration::from_secs(1);

/// How long agents work on each step, in milliseconds: agents of two kinds of speed.
const DELAYS: [u32; 4] = [20, 60, 60, 250];

/// Longest that a server may take until it listens.
const START: Duration = Duration::from_secs(30);

/// Longest that one request waits for its answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Everything that runs.
pub struct World {
    servers: Vec<Server>,
    agents: Vec<Child>,
    postgres: AsyncMutex<Postgres>,
    database: Database,
    /// The versions of the program, oldest first.
    programs: Vec<PathBuf>,
    folder: Mutex<Option<TempDir>>,
    path: PathBuf,
    /// Servers that ended though nobody ended them, and how often one refused to start while the database was away.
    ended: Mutex<Vec<String>>,
    refused: AtomicU64,
}

/// One server: where it listens, its way to the database, and its process while it has one.
struct Server {
    id: String,
    address: String,
    proxy: Proxy,
    /// Which version it is started as.
    version: AtomicUsize,
    child: AsyncMutex<Option<Child>>,
    channel: Channel,
}

impl World {
    /// Starts so many servers and what they need. The tables and the servers are of the first version.
    pub async fn start(versions: &[PathBuf], servers: usize) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("tutti-chaos-").tempdir().map_err(told)?;
        let path = folder.path().to_owned();
        // Copies: what is built meanwhile must not change what is started again.
        let copy = |(n, built): (usize, &PathBuf)| {
            let program = path.join(format!("tutti-{n}"));
            std::fs::copy(built, &program).map_err(|e| format!("{}: {e}", built.display()))?;
            Ok::<_, String>(program)
        };
        let programs: Vec<PathBuf> = versions.iter().enumerate().map(copy).collect::<Result<_, _>>()?;
        let program = programs.first().ok_or("no program")?;
        let (postgres, database) = tokio::task::spawn_blocking(|| {
            // So that each event tells when it became durable.
            let postgres = Postgres::start(&["track_commit_timestamp=on"]);
            let database = Database::fresh_in(&postgres.url());
            (postgres, database)
        })
        .await
        .map_err(told)?;
        let migrated =
            Command::new(program).args(["migrate", "--store", &database.url()]).output().await.map_err(told)?;
        if !migrated.status.success() {
            return Err(String::from_utf8_lossy(&migrated.stderr).into_owned());
        }
        let mut ports = ports();
        let mut next = move || ports.next().ok_or("no port is free");
        let (mut agents, mut list) = (Vec::new(), "agents:\n".to_owned());
        for (n, delay) in DELAYS.iter().enumerate() {
            let (name, port) = (format!("counter-{n}"), next()?);
            list += &format!("- {{name: {name}, url: 'http://127.0.0.1:{port}'}}\n");
            let mut command = quiet(program, &path, &name)?;
            command.args(["example-agent", "log-counter", "--port", &port.to_string()]);
            command
                .env("TUTTI_EXAMPLE_DELAY_MS", delay.to_string())
                .env("TUTTI_EXAMPLE_CALL_LOG", path.join("calls.jsonl"));
            agents.push(command.spawn().map_err(told)?);
        }
        std::fs::write(path.join("agents.yaml"), list).map_err(told)?;
        let mut hosts = Vec::new();
        for n in 0..servers {
            let (id, address) = (format!("server-{n}"), format!("127.0.0.1:{}", next()?));
            let settings = format!("[fleet]\nserver_id = \"{id}\"\nlease_seconds = {}\n", LEASE.as_secs());
            std::fs::create_dir(path.join(&id)).map_err(told)?;
            std::fs::write(path.join(&id).join("tutti.toml"), settings).map_err(told)?;
            let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(told)?;
            let channel = endpoint.connect_timeout(Duration::from_secs(1)).tcp_nodelay(true).connect_lazy();
            let proxy = Proxy::start(postgres.folder().join(".s.PGSQL.5432")).await;
            let (version, child) = (AtomicUsize::new(0), AsyncMutex::new(None));
            hosts.push(Server { id, address, proxy, version, child, channel });
        }
        let world = Self {
            servers: hosts,
            agents,
            postgres: AsyncMutex::new(postgres),
            database,
            programs,
            folder: Mutex::new(Some(folder)),
            path,
            ended: Mutex::default(),
            refused: AtomicU64::new(0),
        };
        for n in 0..servers {
            world.start_server(n).await?;
        }
        Ok(world)
    }

    /// Where everything is written.
    pub fn folder(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder when this ends.
    pub fn keep_logs(&self) {
        if let Some(folder) = self.folder.lock().ok().and_then(|mut folder| folder.take()) {
            self.programs.iter().for_each(|program| drop(std::fs::remove_file(program)));
            println!("kept: {}", folder.keep().display());
        }
    }

    /// How many servers there are.
    pub fn servers(&self) -> usize {
        self.servers.len()
    }

    /// The version that a server has.
    pub fn version(&self, server: usize) -> usize {
        self.servers[server].version.load(Ordering::Relaxed)
    }

    /// The version that a server has from its next start on.
    pub fn set_version(&self, server: usize, version: usize) {
        self.servers[server].version.store(version, Ordering::Relaxed);
    }

    /// Callers of a server, whether it lives or not.
    pub fn client(&self, server: usize) -> RunServiceClient<Channel> {
        RunServiceClient::new(self.servers[server].channel.clone())
    }

    /// The id of a server.
    pub fn id(&self, server: usize) -> &str {
        &self.servers[server].id
    }

    /// What the database answers; an error while it is away.
    pub async fn sql(&self, statement: String) -> Result<String, String> {
        let mut command = Command::new("psql");
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--dbname"]);
        let done = command.arg(self.database.url()).args(["--command", &statement]).stdin(Stdio::null()).output().await;
        let done = done.map_err(told)?;
        if done.status.success() {
            Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned())
        } else {
            Err(String::from_utf8_lossy(&done.stderr).into_owned())
        }
    }

    /// Runs a command of the newest version on the database.
    pub async fn tutti(&self, args: &[&str]) -> Result<std::process::Output, String> {
        self.tutti_of(self.programs.len() - 1, args).await
    }

    /// Runs a command of a version on the database.
    pub async fn tutti_of(&self, version: usize, args: &[&str]) -> Result<std::process::Output, String> {
        let mut command = Command::new(&self.programs[version]);
        command.current_dir(&self.path).args(args).args(["--store", &self.database.url()]).output().await.map_err(told)
    }

    /// Asks a server by a command of a version.
    pub async fn tutti_at(&self, version: usize, server: usize, args: &[&str]) -> Result<std::process::Output, String> {
        let url = format!("http://{}", self.servers[server].address);
        let mut command = Command::new(&self.programs[version]);
        command.current_dir(&self.path).args(args).args(["--server", &url]).output().await.map_err(told)
    }

    /// Starts a server where it was, again and again until it listens: it refuses while the database is away.
    pub async fn start_server(&self, n: usize) -> Result<(), String> {
        let server = &self.servers[n];
        let deadline = Instant::now() + START;
        loop {
            let mut command = quiet(&self.programs[self.version(n)], &self.path.join(&server.id), "serve")?;
            command.args([
                "--config",
                "tutti.toml",
                "--log",
                "warn",
                "serve",
                "--listen",
                &server.address,
                "--agents",
                "../agents.yaml",
            ]);
            command.args(["--store", &server.proxy.url(self.database.name())]).stdout(Stdio::piped());
            let mut child = command.spawn().map_err(told)?;
            let output = child.stdout.take().ok_or("the server has no output")?;
            let mut lines = BufReader::new(output).lines();
            let line = timeout(START, lines.next_line()).await.map_err(|_| format!("{} does not listen", server.id))?;
            if line.map_err(told)?.is_some_and(|line| line.starts_with("listening on ")) {
                *server.child.lock().await = Some(child);
                return Ok(());
            }
            self.refused.fetch_add(1, Ordering::Relaxed);
            if Instant::now() > deadline {
                return Err(format!("{} does not start; {}", server.id, self.path.display()));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Kills a server. False if it has no process, which is wrong of it if nobody else ended it.
    pub async fn kill(&self, n: usize) -> Result<bool, String> {
        let Some(mut child) = self.servers[n].child.lock().await.take() else { return Ok(false) };
        self.note_end(n, &mut child);
        child.start_kill().map_err(told)?;
        child.wait().await.map_err(told)?;
        Ok(true)
    }

    /// Stops a server as it should be stopped, and waits for its end.
    pub async fn stop(&self, n: usize) -> Result<(), String> {
        self.signal(n, Signal::TERM).await?;
        let Some(mut child) = self.servers[n].child.lock().await.take() else { return Ok(()) };
        let status = timeout(START, child.wait()).await.map_err(|_| format!("{} does not stop", self.id(n)))?;
        let status = status.map_err(told)?;
        if status.success() { Ok(()) } else { Err(format!("{} stopped with {status}", self.id(n))) }
    }

    /// Sends a server a signal.
    pub async fn signal(&self, n: usize, signal: Signal) -> Result<bool, String> {
        let child = self.servers[n].child.lock().await;
        let id = child.as_ref().and_then(Child::id).and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let Some(id) = id else { return Ok(false) };
        kill_process(id, signal).map_err(told)?;
        Ok(true)
    }

    /// What becomes of what a server and the database tell each other.
    pub fn set_way(&self, n: usize, mode: Mode) {
        self.servers[n].proxy.set(mode);
    }

    /// Connections between servers and the database that were reset.
    pub fn resets(&self) -> usize {
        self.servers.iter().map(|server| server.proxy.cuts()).sum()
    }

    /// How often servers logged something.
    pub fn logged(&self, words: &str) -> usize {
        let logs =
            self.servers.iter().map(|server| std::fs::read_to_string(self.path.join(&server.id).join("serve.log")));
        logs.flatten().map(|log| log.matches(words).count()).sum()
    }

    /// Stops the database at once and starts it again on the same data.
    pub async fn restart_database(&self, away: Duration) -> Result<(), String> {
        let mut postgres = self.postgres.lock().await;
        tokio::task::block_in_place(|| {
            postgres.crash();
            std::thread::sleep(away);
            postgres.restart();
        });
        Ok(())
    }

    /// Sees to it that every server lives.
    pub async fn heal(&self) -> Result<(), String> {
        for n in 0..self.servers.len() {
            self.set_way(n, Mode::Open);
            if let Some(child) = &mut *self.servers[n].child.lock().await {
                let _ = child
                    .id()
                    .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
                    .map(|id| kill_process(id, Signal::CONT));
                if !self.note_end(n, child) {
                    continue;
                }
            }
            self.start_server(n).await?;
        }
        Ok(())
    }

    /// How the processes did.
    pub fn lines(&self) -> Vec<Line> {
        let ended = self.ended.lock().map(|ended| ended.clone()).unwrap_or_default();
        let refused = self.refused.load(Ordering::Relaxed);
        vec![
            Line::any("starts refused while the database was away", &refused),
            Line::none("servers that ended by themselves", &ended),
        ]
    }

    /// True if a server ended though nobody ended it; noted.
    fn note_end(&self, n: usize, child: &mut Child) -> bool {
        let Ok(Some(status)) = child.try_wait() else { return false };
        if let Ok(mut ended) = self.ended.lock() {
            ended.push(format!("{}: {status}", self.servers[n].id));
        }
        true
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for agent in &mut self.agents {
            let _ = agent.start_kill();
        }
    }
}

/// The program that was built beside this one.
pub fn built() -> Result<PathBuf, String> {
    Ok(std::env::current_exe().map_err(told)?.with_file_name("tutti"))
}

/// A command that adds what it says to a log.
fn quiet(program: &Path, folder: &Path, log: &str) -> Result<Command, String> {
    let log =
        std::fs::File::options().create(true).append(true).open(folder.join(format!("{log}.log"))).map_err(told)?;
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
    Ok(command)
}

/// Free ports below those that the system gives to whoever asks for any, so that nobody gets one while its server is dead.
fn ports() -> impl Iterator<Item = u16> {
    let first = 20_000 + u16::try_from(std::process::id() % 9_000).unwrap_or(0);
    (first..30_000).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
}

/// A request with the time that it may take.
pub fn request<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(ANSWER);
    request
}

/// An answer, or that none came in time: a server that stands still does not keep its own deadline.
pub async fn answer<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, tonic::Status> {
    match timeout(ANSWER, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(tonic::Status::deadline_exceeded("no answer came")),
    }
}

/// An error as text.
pub fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
