//! `tutti agent stub`: agents that do what a file says.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use tutti_core::ids::{AgentId, Capability};
use tutti_core::report::{fit, printable};
use tutti_core::time::Span;
use tutti_core::workflow::Problem;
use tutti_stub_agents::{Event, Listener, Stub, StubFile, Stubs, What};

use crate::exit::{Exit, Failure, Result};
use crate::interrupts::Interrupts;
use crate::output::{answer, json_line, say};
use crate::workflow_file::{lines, text_of};

/// Columns of a line about a call that what is in it may take.
const SHOWN: usize = 100;

#[derive(Debug, Args)]
pub struct StubArgs {
    /// The agents and what they answer, YAML or JSON.
    file: PathBuf,
    /// Only say what is wrong with the file.
    #[arg(long)]
    check: bool,
    /// Serve only this agent of the file.
    #[arg(long, value_name = "NAME")]
    agent: Option<AgentId>,
    /// Its port, instead of the one in the file.
    #[arg(long, requires = "agent")]
    port: Option<u16>,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Write an agents file with the agents and their ports, for --agents of other commands.
    #[arg(long, value_name = "FILE")]
    agents_file: Option<PathBuf>,
    /// Add a line of JSON to this file for each call that comes, and one for its end.
    #[arg(long, value_name = "FILE")]
    calls: Option<PathBuf>,
    /// Stop after so long without a call.
    #[arg(long, value_name = "DURATION", value_parser = Span::parse, requires = "agent")]
    idle_exit: Option<Span>,
}

/// An agents file.
#[derive(Serialize)]
struct AgentsFile<'a> {
    agents: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a AgentId,
    url: String,
    capabilities: &'a [Capability],
}

/// # Errors
/// A file that cannot be read or used, a port that is taken.
pub async fn execute(args: StubArgs) -> Result<Exit> {
    let mut file = match StubFile::parse(&text_of("file of stub agents", &args.file)?) {
        Ok(file) => file,
        Err(problems) if args.check => return found(&args.file, &problems),
        Err(problems) => {
            let told = lines(&args.file, &problems);
            let failure = Failure::usage(format!("the stub agents cannot be used\n{}", told.trim_end()));
            return Err(failure.next(format!("put it right, then: tutti agent stub {} --check", args.file.display())));
        }
    };
    if args.check {
        return found(&args.file, &[]);
    }
    if let Some(name) = &args.agent {
        file.agents.retain(|agent| agent.name == *name);
        let agent = file.agents.first_mut();
        let agent = agent.ok_or_else(|| Failure::usage(format!("{} has no agent {name}", args.file.display())))?;
        agent.port = args.port.unwrap_or(agent.port);
    }
    let interrupts = Interrupts::listen()?;
    let listener = listener(args.calls.as_deref())?;
    let stubs = Stubs::bind(file, &args.host, listener).await.map_err(|e| Failure::unavailable(e.to_string()))?;
    let agents = stubs.agents();
    if let Some(path) = &args.agents_file {
        write_agents(path, &agents)?;
    }
    answer(&agents.iter().map(|stub| format!("{} {}\n", stub.name, stub.url())).collect::<String>())?;
    let stop = async {
        interrupts.first().await;
    };
    let served = stubs.run(args.idle_exit.map(|span| span.0), stop).await;
    served.map(|()| Exit::Done).map_err(|error| Failure::unavailable(error.to_string()))
}

/// Answers with what is wrong.
fn found(path: &Path, problems: &[Problem]) -> Result<Exit> {
    answer(&lines(path, problems))?;
    let (errors, word) = (problems.len(), if problems.len() == 1 { "error" } else { "errors" });
    say(format!("{}: {errors} {word}", path.display()));
    Ok(if errors == 0 { Exit::Done } else { Exit::Usage })
}

/// What tells of calls: a line on stderr, and one in the file.
fn listener(calls: Option<&Path>) -> Result<Listener> {
    let file = calls.map(|path| {
        let opened = File::options().create(true).append(true).open(path);
        opened.map_err(|error| Failure::usage(format!("{} cannot be written: {error}", path.display())))
    });
    let file = file.transpose()?;
    Ok(Arc::new(move |event: &Event| {
        say(line(event));
        // One write per line, so that several processes may add to one file.
        if let Some(Err(error)) = file.as_ref().map(|mut file| file.write_all(json_line(event).as_bytes())) {
            tracing::error!(%error, "a call is not in the file of calls");
        }
    }))
}

/// An event for people.
fn line(event: &Event) -> String {
    let Event { agent, skill, called, what, .. } = event;
    let mut line = format!("{agent} {skill}");
    match &called.attempt {
        Some(attempt) => {
            let _ = write!(line, " {} step {} attempt {}", attempt.run, attempt.step, attempt.attempt);
        }
        None => {
            let _ = write!(line, " message {}", called.message_id);
        }
    }
    if let Some(action) = &called.action {
        let _ = write!(line, " action {action}");
    }
    match what {
        What::Called { input, .. } => {
            let _ = write!(line, " <- {}", shown(input));
        }
        What::Ended { outcome, answer } => {
            let _ = write!(line, " -> {} {}", outcome.word(), answer.as_ref().map(shown).unwrap_or_default());
        }
    }
    printable(line.trim_end()).into_owned()
}

fn shown(value: &Value) -> String {
    fit(&value.to_string(), SHOWN).into_owned()
}

fn write_agents<'a>(path: &Path, stubs: &'a [Stub]) -> Result<()> {
    let entry = |stub: &'a Stub| Entry { name: &stub.name, url: stub.url(), capabilities: &stub.capabilities };
    let agents = stubs.iter().map(entry).collect();
    // Whole or not at all: somebody may wait for it. YAML 1.2 contains JSON.
    let draft = path.with_extension("new");
    let text =
        format!("{}\n", serde_json::to_string_pretty(&AgentsFile { agents }).expect("it serializes into memory"));
    let written = fs::write(&draft, text).and_then(|()| fs::rename(&draft, path));
    written.map_err(|error| Failure::usage(format!("{} cannot be written: {error}", path.display())))
}
