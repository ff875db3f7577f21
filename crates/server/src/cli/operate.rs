//! `tutti pause`, `cancel`, `terminate`, `retry`, `signal`, and `resume` at a server: what operators want of runs.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use clap::Args;
use tutti_adapters_grpc::api::ApiClient;
use tutti_core::ids::{Namespace, RequestId, RunId};
use tutti_core::ports::clock::Clock;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbound::runs::CommandRequest;
use tutti_core::ports::inbox::Inbox;
use tutti_core::ports::query::{ListRuns, RunSummary};
use tutti_core::run::{Command, Order, RunStatus};
use tutti_core::value::{Json, Payload};
use tutti_engine::{command_at_rest, command_by_inbox};

use super::{Global, RunSelector, Source, by, filter};
use crate::clock::SystemClock;
use crate::exit::{Exit, Failure, Result};
use crate::output::{answer, say, stderr_size, stdout_width};
use crate::report::with_store;
use crate::runs::{Counts, table};
use crate::store::{ForCommands, Reader, Store};
use crate::{conductor, remote};

/// Runs of a filter read at once.
const PAGE: usize = 1_000;

/// Runs shown before it is asked whether they are meant.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = super::list::TERMS)]
pub struct OperateArgs {
    /// The runs: ids, beginnings of ids, or `latest`.
    #[arg(value_name = "RUN", required_unless_present = "filter", conflicts_with = "filter")]
    pub runs: Vec<String>,
    /// All runs that a filter takes and that allow it; asks before it does anything, or needs --yes.
    #[arg(short, long, value_name = "FILTER", allow_hyphen_values = true)]
    pub filter: Option<String>,
    /// Why; recorded in the history of the run.
    #[arg(long)]
    pub reason: String,
    #[command(flatten)]
    pub source: Source,
    /// A UUID of the caller's for this request: a run applies one once.
    #[arg(long, value_name = "UUID")]
    pub request_id: Option<RequestId>,
    /// Say which runs are meant, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct SignalArgs {
    #[command(flatten)]
    run: RunSelector,
    /// The answer: JSON, else text; @FILE for what a file holds.
    answer: String,
    /// The step that waits. Default: the only one.
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    /// Why; recorded in the history of the run.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    source: Source,
    /// A UUID of the caller's for this request: a run applies one once.
    #[arg(long, value_name = "UUID")]
    request_id: Option<RequestId>,
}

/// Has a command applied to runs, at a server or in a store, whether an engine has it or not. One that fails does not keep it from the
/// others.
///
/// # Errors
/// A run that is not there, a server or a store that cannot be used; for a single run also what it does not allow.
pub async fn execute(command: Command, args: OperateArgs, global: &Global) -> Result<Exit> {
    let reader = args.source.open(global).await?;
    let runs = match &args.filter {
        Some(text) => filtered(&reader, &command, filter(text)?).await?,
        None => named(&reader, &args.runs).await?,
    };
    let counts = if args.source.server.is_some() { Counts::Now } else { Counts::OfState };
    if args.dry_run {
        answer(&table(&runs, counts, SystemClock.now(), stdout_width()))?;
        say(format!("{} would be {}", count(runs.len()), participle(&command)));
        return Ok(Exit::Done);
    }
    if runs.is_empty() {
        say("no runs");
        return Ok(Exit::Done);
    }
    if !args.yes {
        ask(&command, &runs, args.filter.is_some(), counts)?;
    }
    drop(reader);
    let request = args.request_id.unwrap_or_else(|| SystemClock.request_id());
    let order = Order { by: by(), reason: args.reason, request: Some(request) };
    let target = Target::open(&args.source, global).await?;
    if let [run] = runs.as_slice() {
        target.apply(run.run, &command, &order).await?;
    } else {
        apply_to_all(&target, &runs, &command, &order).await?;
    }
    let goes_on = matches!(
        command,
        Command::Retry
            | Command::Signal { .. }
            | Command::Approve { .. }
            | Command::Rollback { .. }
            | Command::Decide { .. }
            | Command::RaiseBudget { .. }
    );
    if let (Target::Store(_), [run], true) = (&target, runs.as_slice(), goes_on) {
        say(format!("next:  tutti resume {}{}", run.run, with_store(&global.store)));
    }
    Ok(Exit::Done)
}

/// Answers a step that waits.
///
/// # Errors
/// As [`execute`]; an answer that cannot be read.
pub async fn signal(args: SignalArgs, global: &Global) -> Result<Exit> {
    let text = match args.answer.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("{file} cannot be read: {error}")).next("name a file of text"))?,
        None => args.answer,
    };
    // What is no JSON is a text, as for inputs.
    let answer = match Json::parse(text.clone()) {
        Ok(value) => value,
        Err(_) => Json::of(&text).map_err(|error| Failure::usage(format!("the answer: {error}")))?,
    };
    let command = Command::Signal { step: args.step.unwrap_or_default(), answer: Payload::Inline(answer) };
    let operate = OperateArgs {
        runs: vec![args.run.run],
        filter: None,
        reason: args.reason.unwrap_or_else(|| "answered".to_owned()),
        source: args.source,
        request_id: args.request_id,
        dry_run: false,
        yes: true,
    };
    execute(command, operate, global).await
}

/// Asks the person at the terminal; without one it must have been said before.
///
/// # Errors
/// A no, or nobody to ask.
pub fn confirm(question: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{question} Nobody can be asked here")).next("say so by --yes"));
    }
    let mut told = std::io::stderr();
    let _ = write!(told, "{question} [y/N] ").and_then(|()| told.flush());
    let mut answer = String::new();
    match std::io::stdin().read_line(&mut answer) {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::usage("nothing was done")),
    }
}

/// Where the runs are changed.
pub(super) enum Target {
    /// At a server.
    Server(Box<ApiClient>, String, Namespace),
    /// In a store that no engine has.
    Store(Store),
    /// In a store that an engine has.
    Beside(Arc<dyn Inbox>),
}

impl Target {
    /// The server, or the store if no server is named.
    ///
    /// # Errors
    /// A server or a store that cannot be used.
    pub async fn open(source: &Source, global: &Global) -> Result<Self> {
        match &source.server {
            Some(url) => Ok(Self::Server(Box::new(remote::client(url)?), url.clone(), source.namespace.clone())),
            None => Ok(match global.store.open_for_commands().await? {
                ForCommands::Alone(store) => Self::Store(store),
                ForCommands::Beside(inbox) => Self::Beside(inbox),
            }),
        }
    }

    /// Has a command applied to a run, and says so.
    ///
    /// # Errors
    /// What the run does not allow.
    pub async fn apply(&self, run: RunId, command: &Command, order: &Order) -> Result<()> {
        let (command, order) = (command.clone(), order.clone());
        let done = done(&command);
        let before = match self {
            Self::Server(client, url, namespace) => {
                let wanted = CommandRequest { namespace: namespace.clone(), run, command, order };
                client.command(wanted).await.map_err(|error| remote::failure(url, error))?
            }
            Self::Beside(inbox) => {
                command_by_inbox(&**inbox, &SystemClock, run, (command, order)).await.map_err(conductor::failure)?;
                false
            }
            Self::Store(store) => {
                let wanted = (command, order);
                command_at_rest(&*store.runs, &*store.query, &*store.payloads, &SystemClock, run, wanted)
                    .await
                    .map_err(conductor::failure)?;
                false
            }
        };
        say(format!("run {run} {done}{}", if before { ", as before" } else { "" }));
        Ok(())
    }
}

/// Goes on past what fails, and says what did.
async fn apply_to_all(target: &Target, runs: &[RunSummary], command: &Command, order: &Order) -> Result<()> {
    let mut failed: Vec<(RunId, Failure)> = Vec::new();
    for run in runs {
        if let Err(failure) = target.apply(run.run, command, order).await {
            // A server that is gone does not come back for the next one, and one that does not let its caller never does.
            let is_over = matches!(failure.exit, Exit::Unavailable | Exit::Denied);
            failed.push((run.run, failure));
            if is_over {
                break;
            }
        }
    }
    let Some((_, first)) = failed.first() else { return Ok(()) };
    let lines: Vec<String> = failed.iter().map(|(run, failure)| format!("  {run}: {}", failure.message())).collect();
    let (exit, all) = (first.exit, runs.len());
    Err(Failure::of(exit, format!("{} of {all} runs failed\n{}", failed.len(), lines.join("\n")))
        .next("the same command again leaves out what is done"))
}

/// Runs by their names, each once.
async fn named(reader: &Reader, names: &[String]) -> Result<Vec<RunSummary>> {
    let mut runs: Vec<RunSummary> = Vec::with_capacity(names.len());
    for name in names {
        let run = reader.find(name).await?;
        if runs.iter().all(|other| other.run != run.run) {
            runs.push(run);
        }
    }
    Ok(runs)
}

/// All runs that a filter takes and whose state allows a command, newest first.
async fn filtered(reader: &Reader, command: &Command, filter: RunFilter) -> Result<Vec<RunSummary>> {
    let mut runs = Vec::new();
    let mut query = ListRuns { namespace: reader.namespace.clone(), filter, limit: PAGE, cursor: None };
    loop {
        let page = reader.query.list(query.clone()).await?;
        runs.extend(page.runs.into_iter().filter(|run| is_for(command, run.status)));
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(runs),
        }
    }
}

/// Whether a run in this state is among those that are meant when many are.
fn is_for(command: &Command, status: RunStatus) -> bool {
    match command {
        Command::Pause => status.is_open(),
        Command::Resume => matches!(status, RunStatus::Paused | RunStatus::Quarantined),
        Command::Cancel | Command::Terminate => !status.is_ended(),
        Command::Retry => matches!(status, RunStatus::Failed | RunStatus::Stuck),
        Command::Signal { .. } | Command::Approve { .. } => status == RunStatus::Waiting,
        Command::PauseWork { .. } => status.is_open(),
        Command::Checkpoint { .. } | Command::Patch { .. } | Command::RaiseBudget { .. } => status.takes_results(),
        Command::Rollback { .. } => status.takes_results() || status == RunStatus::Failed,
        Command::Decide { .. } => matches!(status, RunStatus::Waiting | RunStatus::Stuck),
    }
}

/// Asks where runs would be ended, or many touched.
fn ask(command: &Command, runs: &[RunSummary], by_filter: bool, counts: Counts) -> Result<()> {
    let verb = match command {
        Command::Pause => "pause",
        Command::Resume => "resume",
        Command::Cancel => "cancel",
        Command::Terminate => "terminate",
        Command::Retry => "retry",
        Command::Signal { .. } => "answer",
        Command::PauseWork { .. } => "pause",
        Command::Checkpoint { .. } => "mark a checkpoint in",
        Command::RaiseBudget { .. } => "raise the budget of",
        Command::Rollback { .. } => "roll back",
        Command::Patch { .. } => "change the plan of",
        Command::Decide { .. } => "decide a step of",
        Command::Approve { .. } => "decide an approval of",
    };
    match runs {
        [run] if !by_filter => match command {
            Command::Cancel | Command::Terminate | Command::Rollback { .. } => {
                confirm(&format!("{verb} run {}?", run.run))
            }
            _ => Ok(()),
        },
        _ => {
            let shown = &runs[..runs.len().min(SHOWN)];
            say(table(shown, counts, SystemClock.now(), stderr_size().0).trim_end());
            if shown.len() < runs.len() {
                say(format!("… and {} more", runs.len() - shown.len()));
            }
            confirm(&format!("{verb} {}?", count(runs.len())))
        }
    }
}

const fn done(command: &Command) -> &'static str {
    match command {
        Command::Pause => "is paused",
        Command::Resume => "goes on",
        Command::Cancel => "is cancelled",
        Command::Terminate => "is terminated",
        Command::Retry => "is open again",
        Command::Signal { .. } => "has the answer",
        Command::PauseWork { .. } => "is paused",
        Command::Checkpoint { .. } => "has the checkpoint",
        Command::RaiseBudget { .. } => "may spend more",
        Command::Rollback { .. } => "goes back",
        Command::Patch { .. } => "has another plan",
        Command::Decide { .. } | Command::Approve { .. } => "has the decision",
    }
}

const fn participle(command: &Command) -> &'static str {
    match command {
        Command::Pause => "paused",
        Command::Resume => "resumed",
        Command::Cancel => "cancelled",
        Command::Terminate => "terminated",
        Command::Retry => "retried",
        Command::Signal { .. } => "answered",
        Command::PauseWork { .. } => "paused",
        Command::Checkpoint { .. } => "marked",
        Command::RaiseBudget { .. } => "allowed more",
        Command::Rollback { .. } => "rolled back",
        Command::Patch { .. } => "changed",
        Command::Decide { .. } | Command::Approve { .. } => "decided",
    }
}

fn count(runs: usize) -> String {
    format!("{runs} run{}", if runs == 1 { "" } else { "s" })
}
