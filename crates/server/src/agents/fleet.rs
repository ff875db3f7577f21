//! Starting the agents of a file, finding those that outlived a killed tutti, and stopping them.
//!
//! A launched agent leads a process group of its own and does not end with tutti: when tutti is killed, the agent goes
//! on with its task, and `tutti resume` finds both again.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use futures::future::join_all;
use rustix::process::Signal;
use tokio::process::Child;
use tokio::time::{Instant, timeout, timeout_at};
use tutti_core::ids::{AgentId, Capability};
use tutti_core::ports::agent::{AgentAccess, AgentEndpoint, AgentTransport, CallLimits};
use tutti_engine::AgentRecord;

use super::file::{AgentEntry, AgentsFile, Command, Origin};
use super::place::{Launched, Place};
use super::process::{Identity, signal};
use super::surroundings::{Ports, Surroundings};
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
pub struct Fleet<'a> {
    pub(super) place: &'a Place,
    pub(super) file: &'a AgentsFile,
    pub(super) surroundings: Surroundings,
    pub(super) members: Vec<Member>,
}

/// An agent of a run.
pub struct Member {
    /// Its name.
    pub id: AgentId,
    /// Base URL of its card.
    pub url: String,
    /// What it can do.
    pub capabilities: Vec<Capability>,
    /// How it is reached.
    pub access: AgentAccess,
    /// How much it is asked.
    limits: CallLimits,
    pub(super) process: Option<Process>,
    /// Where in its log the words of the process begin; `None` before there is one.
    pub(super) log_from: Option<u64>,
}

/// A launched agent.
pub(super) enum Process {
    /// Started by this process.
    Child(Child),
    /// Started by an earlier one that was killed.
    Adopted(Identity),
}

impl<'a> Fleet<'a> {
    /// The agents of a file, not started yet. What is started is written down at `place`.
    ///
    /// # Errors
    /// As [`Surroundings::of`].
    pub fn new(place: &'a Place, file: &'a AgentsFile) -> Result<Self> {
        Ok(Self { place, file, surroundings: Surroundings::of(file)?, members: Vec::new() })
    }

    /// The agents.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Starts the agents, or finds them running, and waits until each shows its card. May be dropped half-way; then, and
    /// after an error, [`stop`](Self::stop) stops what was started.
    ///
    /// # Errors
    /// The first agent that cannot be started or does not answer.
    pub async fn launch(&mut self, transport: &dyn AgentTransport) -> Result<()> {
        let (place, surroundings) = (self.place, &self.surroundings);
        let ports = Ports::take(self.file.agents.len())?;
        for (entry, ports) in self.file.agents.iter().zip(ports) {
            self.members.push(Member::new(entry));
            let member = self.members.last_mut().expect("pushed just now");
            match &entry.origin {
                Origin::Url(url) => member.url.clone_from(url),
                Origin::Command(command) => {
                    place.create().map_err(|error| place.unusable(&error))?;
                    if !member.adopt(place, &surroundings.digest(command)).await {
                        member.start(command, surroundings, ports, place)?;
                    }
                }
            }
        }
        let ready = self
            .members
            .iter_mut()
            .zip(&self.file.agents)
            .map(|(member, entry)| async move { member.wait(entry, surroundings, place, transport).await });
        join_all(ready).await.into_iter().collect()
    }

    /// Stops every agent that was launched.
    pub async fn stop(&mut self) {
        let stopping = self.members.iter_mut().map(|member| member.stop(self.place));
        join_all(stopping).await;
        self.members.clear();
        self.place.tidy();
    }
}

impl Member {
    fn new(entry: &AgentEntry) -> Self {
        let (id, access, limits) = (entry.name.clone(), entry.access.clone(), entry.limits);
        Self { id, url: String::new(), capabilities: Vec::new(), access, limits, process: None, log_from: None }
    }

    /// How it is registered.
    pub fn record(&self) -> AgentRecord {
        AgentRecord {
            id: self.id.clone(),
            url: self.url.clone(),
            access: self.access.clone(),
            capabilities: self.capabilities.clone(),
            limits: self.limits,
        }
    }

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
        self.log_from = Some(0);
        true
    }

    /// Starts a process on these ports. The first one begins a log, later ones continue it.
    pub(super) fn start(
        &mut self,
        command: &Command,
        surroundings: &Surroundings,
        ports: Ports,
        place: &Place,
    ) -> Result<()> {
        let url = format!("http://{}:{}", Ipv4Addr::LOCALHOST, ports.card);
        let mut filled = surroundings.fill(command, &ports);
        let log = place.log(&self.id);
        if self.log_from.is_none() {
            // A log of its own: the old file may still be written by another process.
            let _ = std::fs::remove_file(&log);
        }
        let output = OpenOptions::new().create(true).append(true).open(&log);
        let output = output.and_then(|file| Ok((file.metadata()?.len(), file.try_clone()?, file)));
        let (log_from, stdout, stderr) = output.map_err(|error| place.unusable(&error))?;
        self.log_from = Some(log_from);
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
    pub(super) async fn wait(
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
            let words = last_words(&place.log(&self.id), self.log_from);
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
        Failure::unavailable(with_words(told, words)).next(format!("read {}", log.display()))
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
        let endpoint = AgentEndpoint { id: self.id.clone(), url: self.url.clone(), access: self.access.clone() };
        match timeout(limit, transport.describe(&endpoint)).await {
            Ok(described) => described.map(|card| card.capabilities).map_err(|error| error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        }
    }

    /// Stops the process. One whose stopping is dropped half-way is still known and can be stopped again.
    pub(super) async fn stop(&mut self, place: &Place) {
        match &mut self.process {
            None => return,
            Some(Process::Adopted(identity)) => identity.stop(GRACE).await,
            Some(Process::Child(child)) => {
                if let Some(pid) = child.id().map(u32::cast_signed) {
                    signal(pid, Signal::TERM);
                    if timeout(GRACE, child.wait()).await.is_err() {
                        signal(pid, Signal::KILL);
                        let _ = child.wait().await;
                    }
                }
            }
        }
        self.process = None;
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

    /// Waits until the process has ended: how it did, if that can be known.
    pub(super) async fn end(&mut self) -> Option<String> {
        match self {
            Self::Child(child) => {
                let pid = child.id();
                let status = child.wait().await.ok();
                // A program that a shell ran for the agent may outlive the shell, and would be out of reach later.
                if let Some(pid) = pid {
                    signal(pid.cast_signed(), Signal::TERM);
                }
                status.map(|status| status.to_string())
            }
            Self::Adopted(identity) => {
                identity.end().await;
                None
            }
        }
    }
}

impl Place {
    fn unusable(&self, error: &io::Error) -> Failure {
        Failure::unavailable(format!("the folder {} cannot be written: {error}", self.folder().display()))
    }
}

/// What is told, and under it what the agent said last.
pub(super) fn with_words(told: String, words: impl IntoIterator<Item = impl Display>) -> String {
    words.into_iter().fold(told, |told, line| format!("{told}\n  | {line}"))
}

/// The last lines of a log, of those that begin at `from`.
pub(super) fn last_words(log: &Path, from: Option<u64>) -> Vec<String> {
    const LINES: usize = 5;
    const WIDTH: usize = 200;
    let text = std::fs::read(log).unwrap_or_default();
    let from = from.and_then(|from| usize::try_from(from).ok()).unwrap_or_default();
    let text = String::from_utf8_lossy(text.get(from..).unwrap_or_default());
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
