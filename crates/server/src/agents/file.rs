//! The agents file: which agents there are, and how to start those that are not running.
//!
//! ```yaml
//! agents:
//!   - name: summariser
//!     url: http://10.0.0.7:9000          # it runs already
//!   - name: translator
//!     command: [python, "{dir}/translator.py", --port, "{port}"]
//!     capabilities: [text.translate]     # else read from its card
//!     env: {MODEL: small}
//!     startup_timeout: 20s               # default: 10s
//!     max_in_flight: 4
//!     rate: 100/m
//!   - name: forecaster
//!     url: https://forecast.example
//!     tls: {ca: ca.pem, cert: client.pem, key: client.key}
//!     credentials: {bearer: env:FORECAST_TOKEN}
//! ```
//!
//! In `command` and `env`, `{self}` is the running tutti, `{dir}` the folder of the file, `{port}` and `{grpc_port}` two
//! free ports on loopback. The agent serves its card on `{port}`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use tutti_core::ids::{AgentId, Capability};
use tutti_core::ports::agent::{AgentAccess, AgentTls, CallLimits, Credentials, Rate};
use tutti_core::time::Span;
use tutti_core::workflow::{Document, Problem, Step, Workflow};

use crate::exit::{Failure, Result};

/// The names that an agents file beside a workflow may have, in the order in which they are looked for.
const NAMES: [&str; 3] = ["agents.yaml", "agents.yml", "agents.json"];

/// How long an agent may take until it answers, if the file does not say.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest agents file, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// An agents file, read and checked.
#[derive(Debug, Clone)]
pub struct AgentsFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its agents, names distinct.
    pub agents: Vec<AgentEntry>,
}

/// An agent of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentEntry {
    /// Its name in the registry.
    pub name: AgentId,
    /// How it is reached.
    pub origin: Origin,
    /// What it can do; `None`: its card tells.
    pub capabilities: Option<Vec<Capability>>,
    /// TLS and credentials; what the operator wrote is trusted.
    pub access: AgentAccess,
    /// How much it is asked by this process.
    pub limits: CallLimits,
}

/// How an agent is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It runs already, at this base URL.
    Url(String),
    /// It is started.
    Command(Command),
}

/// How to start an agent. Placeholders are not filled in yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Command {
    /// The program and its arguments.
    pub line: Vec<String>,
    /// Variables added to the environment.
    pub env: BTreeMap<String, String>,
    /// How long it may take until it answers.
    #[serde(skip)]
    pub startup_timeout: Duration,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    agents: Vec<WrittenAgent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAgent {
    name: AgentId,
    url: Option<String>,
    command: Option<Vec<Text>>,
    capabilities: Option<Vec<Capability>>,
    max_in_flight: Option<NonZeroU32>,
    rate: Option<Rate>,
    #[serde(default)]
    env: BTreeMap<String, Text>,
    startup_timeout: Option<Span>,
    tls: Option<AgentTls>,
    credentials: Option<Credentials>,
}

/// Text that may be written without quotes though it looks like a number.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        match raw.get().as_bytes() {
            [b'"', ..] => serde_json::from_str(raw.get()).map(Self).map_err(serde::de::Error::custom),
            [b'{' | b'[', ..] | b"null" => Err(serde::de::Error::custom("must be text")),
            _ => Ok(Self(raw.get().to_owned())),
        }
    }
}

impl AgentsFile {
    /// The agents file to use: the one given, else the one in the folder of the workflow.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn find(given: Option<&Path>, workflow: &Path) -> Result<Option<Self>> {
        if let Some(path) = given {
            return Self::read(path).map(Some);
        }
        let folder = workflow.parent().unwrap_or(Path::new(""));
        let beside = NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file());
        beside.map(|path| Self::read(&path)).transpose()
    }

    /// A file without agents, in this folder.
    #[must_use]
    pub fn none() -> Self {
        Self { path: PathBuf::from(NAMES[0]), agents: Vec::new() }
    }

    /// Reads an agents file.
    ///
    /// # Errors
    /// A file that cannot be read, or every problem in it, each with its place.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let unreadable = |why: String| Failure::usage(format!("the agents file {shown} {why}"));
        let size = std::fs::metadata(path).map_err(|error| unreadable(format!("cannot be read: {error}")))?.len();
        if size > MAX_BYTES {
            return Err(unreadable(format!("has {size} bytes; {MAX_BYTES} are allowed")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
        let agents = parse(&text).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(|problem| format!("  {shown}:{problem}")).collect();
            Failure::usage(format!("the agents file cannot be used\n{}", lines.join("\n")))
        })?;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut file = Self { path, agents };
        // Files of an agent are named as seen from here, wherever the command runs.
        let folder = file.folder().to_owned();
        for agent in &mut file.agents {
            agent.access = std::mem::take(&mut agent.access).in_folder(&folder);
        }
        Ok(file)
    }

    /// The folder of the file.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// What the steps of a workflow need and no agent of this file offers, at its place in the workflow's file. Agents
    /// that tell their capabilities by their cards alone may offer anything.
    pub fn unmet(&self, workflow: &Workflow, source: &Document) -> Vec<Problem> {
        let by_name: HashMap<&str, &AgentEntry> = self.agents.iter().map(|a| (a.name.as_str(), a)).collect();
        let offers = |agent: &AgentEntry, wanted: &Capability| {
            agent.capabilities.as_ref().is_none_or(|list| list.contains(wanted))
        };
        let mut problems = Vec::new();
        let own = |step: &'_ Step| step.capability.clone().map(|capability| ("", capability, step.agent.clone()));
        let undo = |step: &'_ Step| step.compensate.clone().map(|how| ("compensate.", how.capability, how.agent));
        let calls = workflow.steps.iter().enumerate().flat_map(|(index, outer)| {
            let of = |(inside, step): (String, &Step)| {
                let calls = own(step).into_iter().chain(undo(step));
                calls
                    .map(|(prefix, capability, agent)| (format!("{inside}{prefix}"), capability, agent))
                    .collect::<Vec<_>>()
            };
            outer.within().into_iter().flat_map(of).map(move |call| (index, outer, call)).collect::<Vec<_>>()
        });
        for (index, step, (prefix, capability, agent)) in calls {
            let (field, reason) = match &agent {
                Some(name) => match by_name.get(name.as_str()) {
                    None => ("agent", format!("no agent is called \"{name}\" in {}", self.path.display())),
                    Some(agent) if !offers(agent, &capability) => {
                        ("agent", format!("agent \"{name}\" does not offer \"{capability}\""))
                    }
                    Some(_) => continue,
                },
                None if self.agents.iter().any(|agent| offers(agent, &capability)) => continue,
                None => {
                    let file = self.path.display();
                    ("capability", format!("no agent in {file} offers \"{capability}\""))
                }
            };
            let field = format!("{prefix}{field}");
            let mut problem = source.problem(format!("steps[{index}].{field}"), reason);
            problem.step = Some(step.id.to_string());
            problem.field = field;
            problems.push(problem);
        }
        problems
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Command(command) => f.write_str(&command.line.join(" ")),
        }
    }
}

fn parse(text: &str) -> std::result::Result<Vec<AgentEntry>, Vec<Problem>> {
    let document = Document::read(text)?;
    let written: Written = document.decode().map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    let mut names = BTreeMap::new();
    let mut agents = Vec::new();
    for (index, agent) in written.agents.into_iter().enumerate() {
        let at = |field: &str| format!("agents[{index}]{field}");
        if let Some(first) = names.insert(agent.name.clone(), index) {
            let reason = format!("\"{}\" is the name of agents[{first}] already", agent.name);
            problems.push(document.problem(at(".name"), reason));
        }
        if agent.name.is_engine() {
            let reason = "is the name of the engine itself: steps that ask no agent ask it".to_owned();
            problems.push(document.problem(at(".name"), reason));
        }
        let access = AgentAccess { tls: agent.tls, credentials: agent.credentials, trusted: true };
        if access.tls.is_some() && !agent.url.as_deref().is_some_and(|url| url.starts_with("https://")) {
            problems.push(document.problem(at(".tls"), "is for agents with an https:// `url`"));
        }
        let limits = CallLimits { max_in_flight: agent.max_in_flight, rate: agent.rate };
        match origin(agent.url, agent.command, agent.env, agent.startup_timeout) {
            Ok(origin) => {
                agents.push(AgentEntry { name: agent.name, origin, capabilities: agent.capabilities, access, limits });
            }
            Err((field, reason)) => problems.push(document.problem(at(field), reason)),
        }
    }
    if problems.is_empty() { Ok(agents) } else { Err(problems) }
}

/// What a written agent comes to, or the field at fault and why.
fn origin(
    url: Option<String>,
    line: Option<Vec<Text>>,
    env: BTreeMap<String, Text>,
    startup_timeout: Option<Span>,
) -> std::result::Result<Origin, (&'static str, &'static str)> {
    match (url, line) {
        (Some(_), Some(_)) => Err(("", "has both `url` (it runs already) and `command` (it is to be started)")),
        (None, None) => Err(("", "needs `url` (it runs already) or `command` (it is to be started)")),
        (Some(_), None) if !env.is_empty() => Err((".env", "is for agents with a `command`")),
        (Some(_), None) if startup_timeout.is_some() => Err((".startup_timeout", "is for agents with a `command`")),
        (Some(url), None) => Ok(Origin::Url(url)),
        (None, Some(line)) => {
            let line: Vec<String> = line.into_iter().map(|text| text.0).collect();
            let env: BTreeMap<String, String> = env.into_iter().map(|(name, text)| (name, text.0)).collect();
            if line.first().is_none_or(String::is_empty) {
                return Err((".command", "names no program"));
            }
            if !line.iter().chain(env.values()).any(|text| text.contains("{port}")) {
                return Err((
                    ".command",
                    "must hand `{port}`, on which the agent is to serve its card, to the program",
                ));
            }
            if env.keys().any(|name| name.is_empty() || name.contains(['=', '\0'])) {
                return Err((".env", "holds a name that no variable can have"));
            }
            let startup_timeout = startup_timeout.map_or(STARTUP_TIMEOUT, |span| span.0);
            Ok(Origin::Command(Command { line, env, startup_timeout }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        parse(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn agents_are_read_with_their_defaults() {
        let agents = parse(
            "agents:\n  - {name: a, url: 'http://h:1', capabilities: [x.y]}\n  - name: b\n    command: [run, --port, '{port}', --n, 7]\n    env: {N: 1.50}\n",
        )
        .unwrap();
        assert_eq!(agents[0].origin, Origin::Url("http://h:1".into()));
        assert_eq!(agents[0].capabilities.as_ref().unwrap()[0].as_str(), "x.y");
        let Origin::Command(command) = &agents[1].origin else { panic!("a command") };
        assert_eq!(command.line, ["run", "--port", "{port}", "--n", "7"]);
        assert_eq!(command.env["N"], "1.50");
        assert_eq!(command.startup_timeout, STARTUP_TIMEOUT);
    }

    #[test]
    fn tls_and_credentials_are_read_and_their_faults_have_a_place() {
        let agents = parse(
            "agents:\n  - name: a\n    url: https://h:1\n    tls: {ca: ca.pem, cert: c.pem, key: k.pem}\n    credentials: {bearer: 'file:token'}\n",
        )
        .unwrap();
        assert!(agents[0].access.trusted);
        assert_eq!(agents[0].access.credentials.as_ref().unwrap().secret().to_string(), "file:token");
        let found = problems("agents:\n  - name: a\n    url: http://h:1\n    tls: {ca: ca.pem}\n");
        assert!(found[0].contains("agents[0].tls: is for agents with an https:// `url`"), "{}", found[0]);
        let found = problems("agents:\n  - name: a\n    url: http://h:1\n    credentials: {bearer: sk-123456}\n");
        assert!(found[0].contains("env:NAME or file:PATH") && !found[0].contains("sk-123456"), "{}", found[0]);
    }

    #[test]
    fn every_fault_has_its_place() {
        let text = "agents:\n  - {name: a}\n  - {name: a, url: u, command: [x]}\n  - name: c\n    command: [x]\n";
        let found = problems(text);
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(found[0].starts_with("2:5: error: agents[0]: needs `url`"), "{}", found[0]);
        assert!(found[1].starts_with("3:6: error: agents[1].name: \"a\" is the name of agents[0]"), "{}", found[1]);
        assert!(found[2].contains("agents[1]: has both"), "{}", found[2]);
        assert!(found[3].starts_with("5:5: error: agents[2].command: must hand `{port}`"), "{}", found[3]);
        let found = problems("agents:\n  - name: a\n    urll: x\n");
        assert!(found[0].starts_with("3:5: error: agents[0].urll: unknown field `urll`"), "{}", found[0]);
        assert!(problems("agents:\n  - name: a b\n    url: x\n")[0].contains("agent name \"a b\" has a character"));
    }

    #[test]
    fn what_no_agent_offers_is_found_where_the_file_tells_capabilities() {
        let text = "id: w\nsteps:\n  - {id: a, capability: x}\n  - {id: b, capability: y}\n  - {id: c, capability: x, agent: q}\n  - {id: d, capability: y, agent: p}\n";
        let workflow = tutti_core::workflow::parse(text).unwrap().workflow;
        let source = Document::read(text).unwrap();
        let file = |agents: &str| AgentsFile { path: "/agents.yaml".into(), agents: parse(agents).unwrap() };
        let told =
            |agents: &str| file(agents).unmet(&workflow, &source).iter().map(ToString::to_string).collect::<Vec<_>>();
        let found = told("agents: [{name: p, url: u, capabilities: [x]}]");
        assert_eq!(
            found,
            [
                "4:13: error: step b: capability: no agent in /agents.yaml offers \"y\"",
                "5:28: error: step c: agent: no agent is called \"q\" in /agents.yaml",
                "6:28: error: step d: agent: agent \"p\" does not offer \"y\"",
            ]
        );
        assert_eq!(told("agents: [{name: p, url: u}, {name: q, url: u}]"), Vec::<String>::new());
    }
}
