//! Starting the agents of a file, finding those that outlived a killed tutti, and stopping them.
//!
//! A launched agent leads a process group of its own and does not end with tutti: when tutti is killed, the agent goes
//! on with its task, and `tutti resume` finds both again.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures::future::join_all;
use rustix::process::Signal;
use tokio::process::Child;
use tokio::time::{Instant, timeout, timeout_at};
use tutti_core::ids::{AgentId, Capability};
use tutti_core::ports::agent::{AgentEndpoint, AgentTransport};
use tutti_core::value::Digest;

use super::file::{AgentEntry, AgentsFile, Command, Origin};
use super::place::{Launched, Place};
use super::process::{Identity, signal};
use crate::exit::{Failure, Result};

/// How long an agent may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(2);

/// How long an agent that runs already may take to show its card.
const CARD_TIMEOUT: Duration = Duration::from_secs(10);

/// First and longest wait between two looks at an agent that starts.
const POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));

/// How often an agent is started anew because another process took its port first.
const PORT_RACES: usize = 3;

/// The agents of a run.
pub struct Fleet {
    place: Place,
    members: Vec<Member>,
}

/// An agent of a run.
pub struct Member {
    /// Its name.
    pub id: AgentId,
    /// Base URL of its card.
    pub url: String,
    /// What it can do.
    pub capabilities: Vec<Capability>,
    process: Option<Process>,
}

/// A launched agent.
enum Process {
    /// Started by this process.
    Child(Child),
    /// Started by an earlier one that was killed.
    Adopted(Identity),
}

/// Where everything that a command needs is.
struct Surroundings {
    program: PathBuf,
    folder: PathBuf,
}

impl Fleet {
    /// No agents yet.
    pub const fn new(place: Place) -> Self {
        Self { place, members: Vec::new() }
    }

    /// The folder where what was started is written down.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The agents.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Starts the agents of a file, or finds them running, and waits until each shows its card. May be dropped half-way;
    /// then, and after an error, [`stop`](Self::stop) stops what was started.
    ///
    /// # Errors
    /// The first agent that cannot be started or does not answer.
    pub async fn launch(&mut self, file: &AgentsFile, transport: &dyn AgentTransport) -> Result<()> {
        let surroundings = Surroundings::of(file)?;
        let ports = Ports::take(file.agents.len())?;
        for (entry, ports) in file.agents.iter().zip(ports) {
            let member = Member { id: entry.name.clone(), url: String::new(), capabilities: Vec::new(), process: None };
            self.members.push(member);
            let member = self.members.last_mut().expect("pushed just now");
            match &entry.origin {
                Origin::Url(url) => member.url.clone_from(url),
                Origin::Command(command) => {
                    self.place.create().map_err(|error| self.place.unusable(&error))?;
                    if !member.adopt(&self.place, &surroundings.digest(command)).await {
                        member.start(command, &surroundings, ports, &self.place)?;
                    }
                }
            }
        }
        let (place, surroundings) = (&self.place, &surroundings);
        let ready = self
            .members
            .iter_mut()
            .zip(&file.agents)
            .map(|(member, entry)| async move { member.wait(entry, surroundings, place, transport).await });
        join_all(ready).await.into_iter().collect()
    }

    /// Stops every agent that was launched.
    pub async fn stop(&mut self) {
        let stopping = self.members.iter_mut().map(|member| member.stop(&self.place));
        join_all(stopping).await;
        self.members.clear();
        self.place.tidy();
    }
}

impl Member {
    /// Takes over the process that an earlier tutti launched by the same command, if it still runs. One of another
    /// command is stopped. True if taken over.
    async fn adopt(&mut self, place: &Place, command: &str) -> bool {
        let Some(launched) = place.launched(&self.id) else { return false };
        if !launched.process.is_alive() {
            return false;
        }
        if launched.command != command {
            launched.process.stop(GRACE).await;
            return false;
        }
        tracing::info!(agent = %self.id, pid = launched.process.pid, "found running");
        self.url = launched.url;
        self.process = Some(Process::Adopted(launched.process));
        true
    }

    fn start(&mut self, command: &Command, surroundings: &Surroundings, ports: Ports, place: &Place) -> Result<()> {
        let url = format!("http://{}:{}", Ipv4Addr::LOCALHOST, ports.card);
        let mut filled = surroundings.fill(command, &ports);
        let log = place.log(&self.id);
        // A log of its own: the old file may still be written by another process.
        let _ = std::fs::remove_file(&log);
        let output = File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
        let (stdout, stderr) = output.map_err(|error| place.unusable(&error))?;
        filled.stdin(Stdio::null()).stdout(stdout).stderr(stderr).process_group(0);
        drop(ports);
        let child = filled.spawn().map_err(|error| self.not_started(command, &error))?;
        tracing::info!(agent = %self.id, pid = child.id(), url, "started");
        let process = child.id().and_then(|pid| Identity::of(pid.cast_signed()));
        self.process = Some(Process::Child(child));
        self.url.clone_from(&url);
        match process {
            None => Ok(()),
            Some(process) => {
                let launched = Launched { process, url, command: surroundings.digest(command) };
                place.save(&self.id, &launched).map_err(|error| place.unusable(&error))
            }
        }
    }

    fn not_started(&self, command: &Command, error: &io::Error) -> Failure {
        let program = &command.line[0];
        let why = match error.kind() {
            io::ErrorKind::NotFound => format!("there is no program \"{program}\""),
            _ => format!("\"{program}\" cannot be started: {error}"),
        };
        Failure::usage(format!("agent {}: {why}", self.id)).next("put its `command` in the agents file right")
    }

    /// Waits until the agent shows its card, and learns what it can do.
    async fn wait(
        &mut self,
        entry: &AgentEntry,
        surroundings: &Surroundings,
        place: &Place,
        transport: &dyn AgentTransport,
    ) -> Result<()> {
        let from_card = match &entry.origin {
            // One that cannot be reached now may be later; its capabilities are known.
            Origin::Url(_) if entry.capabilities.is_some() => Vec::new(),
            Origin::Url(url) => self.ask(transport, CARD_TIMEOUT).await.map_err(|why| {
                Failure::unavailable(format!("agent {} at {url} does not show its card: {why}", self.id))
                    .next("start it, put its `url` right, or name its `capabilities` in the agents file")
            })?,
            Origin::Command(command) => self.wait_for_start(command, surroundings, place, transport).await?,
        };
        self.capabilities = entry.capabilities.clone().unwrap_or(from_card);
        if self.capabilities.is_empty() {
            return Err(Failure::usage(format!(
                "agent {}: its card names no skill that could be a capability",
                self.id
            ))
            .next("name its `capabilities` in the agents file"));
        }
        Ok(())
    }

    async fn wait_for_start(
        &mut self,
        command: &Command,
        surroundings: &Surroundings,
        place: &Place,
        transport: &dyn AgentTransport,
    ) -> Result<Vec<Capability>> {
        for _ in 0..PORT_RACES {
            let found_running = matches!(self.process, Some(Process::Adopted(_)));
            let absent = match self.card(command.startup_timeout, transport).await {
                Ok(capabilities) => return Ok(capabilities),
                Err(absent) => absent,
            };
            let words = last_words(&place.log(&self.id));
            if !found_running && !lost_its_port(&words) {
                return Err(self.absent(&absent, command, &words, &place.log(&self.id)));
            }
            self.stop(place).await;
            self.start(command, surroundings, Ports::free()?, place)?;
        }
        Err(Failure::unavailable(format!("agent {}: other programs took its port {PORT_RACES} times", self.id)))
    }

    fn absent(&self, absent: &Absent, command: &Command, words: &[String], log: &Path) -> Failure {
        let told = match absent {
            Absent::Ended(status) => format!("agent {} ended before it showed its card ({status})", self.id),
            Absent::Silent(why) => {
                let limit = tutti_core::time::Span(command.startup_timeout);
                format!("agent {} at {} did not show its card within {limit}: {why}", self.id, self.url)
            }
        };
        let told = words.iter().fold(told, |told, line| format!("{told}\n  | {line}"));
        Failure::unavailable(told).next(format!("read {}", log.display()))
    }

    /// Asks for the card again and again until it is shown, the process ends, or the time is up.
    async fn card(
        &mut self,
        limit: Duration,
        transport: &dyn AgentTransport,
    ) -> std::result::Result<Vec<Capability>, Absent> {
        let end = Instant::now() + limit;
        let mut pause = POLL.0;
        loop {
            let asked = timeout_at(end, self.ask(transport, limit)).await;
            // Looked at after the answer: another process may have taken the port.
            if let Some(status) = self.process.as_mut().and_then(Process::ended) {
                return Err(Absent::Ended(status));
            }
            match asked {
                Ok(Ok(capabilities)) => return Ok(capabilities),
                Ok(Err(why)) if Instant::now() + pause >= end => return Err(Absent::Silent(why)),
                Ok(Err(_)) => tokio::time::sleep(pause).await,
                Err(_) => return Err(Absent::Silent("no answer".to_owned())),
            }
            pause = (pause * 2).min(POLL.1);
        }
    }

    async fn ask(
        &self,
        transport: &dyn AgentTransport,
        limit: Duration,
    ) -> std::result::Result<Vec<Capability>, String> {
        let endpoint = AgentEndpoint { id: self.id.clone(), url: self.url.clone() };
        match timeout(limit, transport.describe(&endpoint)).await {
            Ok(described) => described.map(|card| card.capabilities).map_err(|error| error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        }
    }

    async fn stop(&mut self, place: &Place) {
        match self.process.take() {
            None => return,
            Some(Process::Adopted(identity)) => identity.stop(GRACE).await,
            Some(Process::Child(mut child)) => {
                if let Some(pid) = child.id().map(u32::cast_signed) {
                    signal(pid, Signal::TERM);
                    if timeout(GRACE, child.wait()).await.is_err() {
                        signal(pid, Signal::KILL);
                        let _ = child.wait().await;
                    }
                }
            }
        }
        place.forget(&self.id);
    }
}

/// Why an agent did not show its card.
enum Absent {
    /// Its process ended.
    Ended(String),
    /// It did not answer in time.
    Silent(String),
}

impl Process {
    /// How the process ended, if it did.
    fn ended(&mut self) -> Option<String> {
        match self {
            Self::Child(child) => child.try_wait().ok().flatten().map(|status| status.to_string()),
            Self::Adopted(identity) => (!identity.is_alive()).then(|| "it was started before".to_owned()),
        }
    }
}

impl Surroundings {
    fn of(file: &AgentsFile) -> Result<Self> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::unavailable(format!("the path of the tutti binary is not known: {error}")))?;
        Ok(Self { program, folder: file.folder().to_owned() })
    }

    /// Names a command with everything that stands behind its placeholders, ports aside.
    fn digest(&self, command: &Command) -> String {
        let command = serde_json::to_string(command).expect("a command serializes into memory");
        let text = format!("{command} {} {}", self.program.display(), self.folder.display());
        Digest::of(text.as_bytes()).to_string()
    }

    fn fill(&self, command: &Command, ports: &Ports) -> tokio::process::Command {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let values = [
            ("{self}", path(&self.program)),
            ("{dir}", path(&self.folder)),
            ("{port}", ports.card.to_string()),
            ("{grpc_port}", ports.grpc.to_string()),
        ];
        let fill = |text: &String| values.iter().fold(text.clone(), |text, (name, value)| text.replace(name, value));
        let mut filled = tokio::process::Command::new(fill(&command.line[0]));
        filled.args(command.line[1..].iter().map(fill));
        filled.envs(command.env.iter().map(|(name, value)| (name, fill(value))));
        filled
    }
}

/// Two free ports on loopback, kept from others until dropped.
struct Ports {
    card: u16,
    grpc: u16,
    _held: [TcpListener; 2],
}

impl Ports {
    fn free() -> Result<Self> {
        let listen = || -> io::Result<(u16, TcpListener)> {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            Ok((listener.local_addr()?.port(), listener))
        };
        let free = || -> io::Result<Self> {
            let ((card, first), (grpc, second)) = (listen()?, listen()?);
            Ok(Self { card, grpc, _held: [first, second] })
        };
        free().map_err(|error| Failure::unavailable(format!("there is no free port on loopback: {error}")))
    }

    /// Ports for several agents, all distinct because all are held.
    fn take(count: usize) -> Result<Vec<Self>> {
        (0..count).map(|_| Self::free()).collect()
    }
}

impl Place {
    fn unusable(&self, error: &io::Error) -> Failure {
        Failure::unavailable(format!("the folder {} cannot be written: {error}", self.folder().display()))
    }
}

/// The last lines of a log.
fn last_words(log: &Path) -> Vec<String> {
    const LINES: usize = 5;
    const WIDTH: usize = 200;
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..]
        .iter()
        .map(|line| line.chars().take(WIDTH).flat_map(char::escape_debug).collect())
        .collect()
}

/// True if a program says, in one of the usual ways, that somebody else listens on its port.
fn lost_its_port(words: &[String]) -> bool {
    words
        .iter()
        .map(|line| line.to_ascii_lowercase())
        .any(|line| ["address already in use", "eaddrinuse", "address in use"].iter().any(|words| line.contains(words)))
}
