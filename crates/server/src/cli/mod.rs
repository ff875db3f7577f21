//! The command line: what may be typed, and a file per command for what it does.

mod agent;
mod approvals;
mod artifacts;
mod backup;
mod budget;
mod checkpoints;
mod compare;
mod completion;
mod config;
mod data;
mod diff;
mod doctor;
mod events;
mod example_agent;
mod explain;
mod fork;
mod get;
mod lint;
mod list;
mod migrate;
mod operate;
mod orchestrate;
mod patch;
mod plan;
mod purge;
mod recover;
mod resume;
mod run;
mod serve;
mod stub;
mod submit;
mod table;
mod token;
mod watch;
mod workflow;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use tutti_core::ids::Namespace;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::filter::RunFilter;
use tutti_core::run::Command;
use tutti_core::workflow::{Executor, OnError};

use crate::clock::SystemClock;
use crate::config::{Config, TelemetryConfig, environment, load};
use crate::exit::{Exit, Failure, Result};
use crate::live::Progress;
use crate::store::{Reader, StoreSpec};
use crate::telemetry::logs;
use crate::watching::Place;
use crate::{hints, output, remote};

/// A durable orchestrator for multi-agent workflows.
///
/// Answers go to stdout, talk goes to stderr. Exit codes: 0 done, 1 run failed, 2 wrong use or bad input, 4 cancelled,
/// 5 waiting for a person, 6 an operator must decide, 69 store or server or agent unavailable, 74 answer not written,
/// 77 not allowed, 130 stopped by Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "tutti", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// What every command understands.
#[derive(Debug, Args)]
pub struct GlobalArgs {
    /// The configuration file. Default: tutti.toml in this folder, if there is one.
    #[arg(long, global = true, env = "TUTTI_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where runs are kept: sqlite:PATH, postgres://USER@HOST/DATABASE, or memory (gone when the command ends). Default:
    /// TUTTI_STORE, then what the configuration says, then sqlite:.tutti/tutti.db.
    #[arg(long, global = true, value_name = "STORE")]
    store: Option<StoreSpec>,
    /// The token that says to a server who calls. Other users of this machine see what is typed: better set TUTTI_TOKEN.
    #[arg(long, global = true, env = "TUTTI_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<remote::Token>,
    /// A file that holds the token; it comes before TUTTI_TOKEN.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Log to stderr: error, warn, info, debug or trace, or a filter such as tutti_engine=debug.
    #[arg(long, global = true, env = "TUTTI_LOG", value_name = "LEVEL")]
    log: Option<String>,
}

/// What every command goes by.
#[derive(Debug)]
pub struct Global {
    /// Where runs are kept.
    pub store: StoreSpec,
    /// What is logged.
    pub log: Option<String>,
    /// Everything that is configured; what a flag says comes before it.
    pub config: Config,
}

impl GlobalArgs {
    /// The flags over the configuration.
    ///
    /// # Errors
    /// A configuration that cannot be used.
    fn configured(self) -> Result<Global> {
        let config = load(self.config.as_deref(), &environment())?.config;
        self.start_log(&config.telemetry)?;
        remote::speak(config.client.tls());
        Ok(Global { store: self.store.unwrap_or_else(|| config.store.url.clone()), log: self.log, config })
    }

    /// What says to a server who calls.
    ///
    /// # Errors
    /// A file that cannot be read.
    fn token(&self) -> Result<Option<remote::Token>> {
        match &self.token_file {
            Some(file) => remote::Token::of_file(file).map(Some),
            None => Ok(self.token.clone()),
        }
    }

    /// Begins to log, if that did not happen yet.
    ///
    /// # Errors
    /// A filter that is none.
    fn start_log(&self, config: &TelemetryConfig) -> Result<()> {
        logs::start(self.log.as_deref(), config)
            .map_err(|error| Failure::usage(format!("--log: {error}")).next("--log info"))
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a workflow and report on it.
    Run(run::RunArgs),
    /// Let an interrupted run go on where it stood.
    Resume(resume::ResumeArgs),
    /// Be a server: drive the runs of a store, and start, show and cancel them for callers over gRPC.
    Serve(serve::ServeArgs),
    /// Start a workflow at a server; print the id of the run.
    Submit(submit::SubmitArgs),
    /// Watch runs that go on elsewhere, live: one, or many.
    Watch(watch::WatchArgs),
    /// Hold runs: nothing is started; what becomes of what is under way, --work says.
    Pause(recover::PauseArgs),
    /// End runs; their agents are asked to stop.
    Cancel(operate::OperateArgs),
    /// End runs at once; their agents are not asked.
    Terminate(operate::OperateArgs),
    /// Let failed runs go on with the steps that are not complete; have stuck ones, or a step that is held, try again.
    Retry(recover::RetryArgs),
    /// Show what a run has spent of its budget, or raise it.
    Budget(budget::BudgetArgs),
    /// Show the points to which a run can go back, and what that would undo.
    Checkpoints(checkpoints::CheckpointsArgs),
    /// Mark a point in a run, to which it can go back.
    Checkpoint(recover::CheckpointArgs),
    /// Change the plan of a run that goes on: add, replace and remove steps, or run more or fewer of them at once.
    Patch(patch::PatchArgs),
    /// Have a run go back to a point: what was done after it is undone, newest first, and the run goes on from there.
    Rollback(recover::RollbackArgs),
    /// Say what happened to a step that must not be done twice, and of which no answer is known.
    Outcome(recover::OutcomeArgs),
    /// Leave out a step that is held; what undoes a step is left out too, so that this stays as it is.
    Skip(recover::SkipArgs),
    /// Say that a step that is held was done by hand, or undone by hand.
    Resolve(recover::ResolveArgs),
    /// Give up a step that is held: it has failed.
    Fail(recover::FailArgs),
    /// Remove runs that have ended, with all that belongs to them.
    Purge(purge::PurgeArgs),
    /// Show or set how long the runs of a namespace are kept after their end.
    Retention(purge::RetentionArgs),
    /// Answer a step that waits for somebody.
    Signal(operate::SignalArgs),
    /// Start a run where another one stands or stood, with changes of its data.
    Fork(fork::ForkArgs),
    /// Start a run anew: the same workflow, the same inputs, nothing done.
    Restart(fork::RestartArgs),
    /// List what runs ask people and what lies outside, and nobody answered yet.
    Approvals(approvals::ApprovalsArgs),
    /// Approve what a step asks.
    Approve(approvals::ApproveArgs),
    /// Reject what a step asks: the step fails.
    Reject(approvals::RejectArgs),
    /// Check a workflow file; say everything that is wrong with it.
    Lint(LintArgs),
    /// Show the plan of a workflow without running it.
    Plan(plan::PlanArgs),
    /// List runs, newest first.
    List(list::ListArgs),
    /// Show a run: its steps with states, attempts, agents, times and outputs.
    Get(GetArgs),
    /// Say why a run stands as it does: what it waits for, why it failed, what happens next.
    Explain(explain::ExplainArgs),
    /// Show how two runs differ: steps, outputs, times and costs, and where they begin to.
    Diff(diff::DiffArgs),
    /// Run a workflow several times one step at a time and several times side by side; say what that gains and costs.
    Compare(compare::CompareArgs),
    /// Show the events of a run.
    Events(EventsArgs),
    /// Show the data of a run as JSON: its inputs and what its steps have written.
    Data(DataArgs),
    /// List the artifacts of a run, or write one.
    Artifacts(ArtifactsArgs),
    /// Register, list, show, check and draw workflows.
    Workflow(workflow::WorkflowArgs),
    /// Look whether everything is as it should be: a store with its runs, agents, certificates and configuration, or a
    /// server.
    Doctor(doctor::DoctorArgs),
    /// Copy a store that is a file, also while it is in use.
    Backup(backup::BackupArgs),
    /// Make the tables of a PostgreSQL database, or bring them up to date.
    Migrate,
    /// Create, list and revoke the tokens by which a server knows its callers.
    Token(token::TokenArgs),
    /// Register, list, check and remove agents.
    Agent(agent::AgentArgs),
    /// Print the JSON Schema of workflow files, or of files of stub agents.
    Schema(SchemaArgs),
    /// Print the script by which a shell completes what is typed.
    Completion(completion::CompletionArgs),
    /// Show, check or describe the configuration.
    Config(config::ConfigArgs),
    /// Print the version.
    Version,
    /// Be one of the agents of the examples.
    #[command(hide = true)]
    ExampleAgent(ExampleAgentArgs),
}

impl Verb {
    /// False for what goes by no configuration.
    const fn is_configured(&self) -> bool {
        !matches!(self, Self::Schema(_) | Self::Completion(_) | Self::Config(_) | Self::Version | Self::ExampleAgent(_))
    }
}

/// What `run` and `resume` have in common.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The agents. Default: what the configuration says, then agents.yaml beside the workflow; for resume first the file
    /// that the run began with.
    #[arg(long, value_name = "FILE")]
    pub agents: Option<PathBuf>,
    /// How progress is shown on stderr.
    #[arg(long, value_enum, default_value_t = Progress::Auto)]
    pub progress: Progress,
    /// The form of the report on stdout.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    pub output: TextOrJson,
}

#[derive(Debug, Args)]
pub struct RunSelector {
    /// The run: its id, the beginning of it, or `latest`.
    #[arg(value_name = "RUN")]
    pub run: String,
}

/// Whether a server is asked.
#[derive(Debug, Args)]
pub struct At {
    /// Ask a server instead of looking into a store.
    #[arg(long, env = "TUTTI_SERVER", value_name = "URL")]
    pub server: Option<String>,
}

/// Where runs are looked at, and whose.
#[derive(Debug, Args)]
pub struct Source {
    /// Ask a server instead of looking into a store.
    #[arg(long, env = "TUTTI_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// The namespace: whose runs, workflows and agents are meant.
    #[arg(long, env = "TUTTI_NAMESPACE", value_name = "NAME", default_value_t)]
    pub namespace: Namespace,
}

impl Source {
    /// The runs of the server, or of the store if no server is named.
    ///
    /// # Errors
    /// A server or a store that cannot be used.
    pub async fn open(&self, global: &Global) -> Result<Reader> {
        match &self.server {
            Some(url) => remote::reader(url, &self.namespace).await,
            None => Ok(global.store.open_reader().await?.within(&self.namespace)),
        }
    }

    /// As [`open`](Self::open), to watch runs; a server may be away for so long.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn place(&self, global: &Global, patience: Duration) -> Result<Place> {
        match &self.server {
            Some(url) => remote::place(url, &self.namespace, patience).await,
            None => Ok(Place { reader: self.open(global).await?, server: None }),
        }
    }
}

/// Who is recorded as having asked for something, where a server knows no better.
pub fn by() -> String {
    format!("cli:{}", token::user())
}

/// Reads a filter as it was typed.
///
/// # Errors
/// What is wrong with it.
pub fn filter(text: &str) -> Result<RunFilter> {
    RunFilter::parse(text, SystemClock.now())
        .map_err(|why| Failure::usage(format!("the filter {why}")).next("tutti list --help tells the terms"))
}

#[derive(Debug, Args)]
pub struct DataArgs {
    #[command(flatten)]
    pub run: RunSelector,
    /// Only the output of a step, by its path.
    pub step: Option<String>,
    #[command(flatten)]
    pub source: Source,
}

#[derive(Debug, Args)]
pub struct LintArgs {
    /// The workflow, YAML or JSON.
    pub file: PathBuf,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    pub output: TextOrJson,
    /// Refuse a step that no agent of the agents file can do, which is a warning otherwise.
    #[arg(long)]
    pub strict: bool,
    /// The agents. Default: what the configuration says, then agents.yaml beside the workflow, if there is one.
    #[arg(long, value_name = "FILE")]
    pub agents: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct GetArgs {
    #[command(flatten)]
    pub run: RunSelector,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    pub output: TextOrJson,
    #[command(flatten)]
    pub source: Source,
}

#[derive(Debug, Args)]
pub struct EventsArgs {
    #[command(flatten)]
    pub run: RunSelector,
    /// The first event to show, by its number.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub from: u64,
    /// Go on until the run has ended.
    #[arg(short, long)]
    pub follow: bool,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = EventsForm::Table)]
    pub output: EventsForm,
    #[command(flatten)]
    pub source: Source,
}

#[derive(Debug, Args)]
pub struct ArtifactsArgs {
    #[command(flatten)]
    pub run: RunSelector,
    /// The artifact to write: NAME, or STEP/NAME if several have that name.
    pub name: Option<String>,
    /// Where to write it; `-` is stdout.
    #[arg(short, long, value_name = "FILE", requires = "name")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub source: Source,
}

#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of which files.
    #[arg(value_enum, default_value_t = FileKind::Workflow)]
    of: FileKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FileKind {
    /// Workflow files.
    Workflow,
    /// The files of `tutti agent stub`.
    Stub,
}

impl FileKind {
    fn schema(self) -> serde_json::Value {
        match self {
            Self::Workflow => tutti_core::workflow::schema(),
            Self::Stub => tutti_stub_agents::schema(),
        }
    }
}

#[derive(Debug, Args)]
pub struct ExampleAgentArgs {
    /// Which one.
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(tutti_example_agents::names()))]
    pub name: String,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// The port to listen on; 0 takes a free one.
    #[arg(long)]
    pub port: u16,
    /// Stop after so long without a call.
    #[arg(long, value_name = "DURATION", value_parser = tutti_core::time::Span::parse)]
    pub idle_exit: Option<tutti_core::time::Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TextOrJson {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EventsForm {
    Table,
    Jsonl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExecutorArg {
    Auto,
    Basic,
    Parallel,
    Dynamic,
}

impl From<ExecutorArg> for Executor {
    fn from(arg: ExecutorArg) -> Self {
        match arg {
            ExecutorArg::Auto => Self::Auto,
            ExecutorArg::Basic => Self::Basic,
            ExecutorArg::Parallel => Self::Parallel,
            ExecutorArg::Dynamic => Self::Dynamic,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnErrorArg {
    Fail,
    Continue,
}

impl From<OnErrorArg> for OnError {
    fn from(arg: OnErrorArg) -> Self {
        match arg {
            OnErrorArg::Fail => Self::Fail,
            OnErrorArg::Continue => Self::Continue,
        }
    }
}

impl Cli {
    /// What was typed; what cannot be understood ends the process, as `--help` does.
    pub fn read() -> Self {
        let matches = Self::command().get_matches();
        hints::remember(&matches);
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// Does what was typed.
    ///
    /// # Errors
    /// What could not be done.
    pub async fn execute(self) -> Result<Exit> {
        let Self { global, verb } = self;
        if let Some(token) = global.token()? {
            remote::bear(token);
        }
        if !verb.is_configured() {
            global.start_log(&TelemetryConfig::default())?;
        }
        match verb {
            Verb::Run(args) => run::execute(args, global.configured()?).await,
            Verb::Resume(args) => resume::execute(args, global.configured()?).await,
            Verb::Serve(args) => serve::execute(args, global.configured()?).await,
            Verb::Submit(args) => submit::execute(args, &global.configured()?).await,
            Verb::Watch(args) => watch::execute(args, &global.configured()?).await,
            Verb::Pause(args) => recover::pause(args, &global.configured()?).await,
            Verb::Cancel(args) => operate::execute(Command::Cancel, args, &global.configured()?).await,
            Verb::Terminate(args) => operate::execute(Command::Terminate, args, &global.configured()?).await,
            Verb::Retry(args) => recover::retry(args, &global.configured()?).await,
            Verb::Budget(args) => budget::execute(args, &global.configured()?).await,
            Verb::Checkpoints(args) => checkpoints::execute(args, &global.configured()?).await,
            Verb::Checkpoint(args) => recover::checkpoint(args, &global.configured()?).await,
            Verb::Patch(args) => patch::execute(args, &global.configured()?).await,
            Verb::Rollback(args) => recover::rollback(args, &global.configured()?).await,
            Verb::Outcome(args) => recover::outcome(args, &global.configured()?).await,
            Verb::Skip(args) => recover::skip(args, &global.configured()?).await,
            Verb::Resolve(args) => recover::resolve(args, &global.configured()?).await,
            Verb::Fail(args) => recover::fail(args, &global.configured()?).await,
            Verb::Purge(args) => purge::execute(args, &global.configured()?).await,
            Verb::Retention(args) => purge::retention(args, &global.configured()?).await,
            Verb::Signal(args) => operate::signal(args, &global.configured()?).await,
            Verb::Fork(args) => fork::fork(args, global.configured()?).await,
            Verb::Restart(args) => fork::restart(args, global.configured()?).await,
            Verb::Approvals(args) => approvals::list(args, &global.configured()?).await,
            Verb::Approve(args) => approvals::approve(args, &global.configured()?).await,
            Verb::Reject(args) => approvals::reject(args, &global.configured()?).await,
            Verb::Lint(args) => lint::execute(&args, &global.configured()?),
            Verb::Plan(args) => plan::execute(&args, &global.configured()?).await,
            Verb::List(args) => list::execute(args, &global.configured()?).await,
            Verb::Get(args) => get::execute(args, &global.configured()?).await,
            Verb::Explain(args) => explain::execute(args, &global.configured()?).await,
            Verb::Diff(args) => diff::execute(args, &global.configured()?).await,
            Verb::Compare(args) => compare::execute(args, global.configured()?).await,
            Verb::Events(args) => events::execute(args, &global.configured()?).await,
            Verb::Data(args) => data::execute(&args, &global.configured()?).await,
            Verb::Artifacts(args) => artifacts::execute(args, &global.configured()?).await,
            Verb::Workflow(args) => workflow::execute(args, &global.configured()?).await,
            Verb::Backup(args) => backup::execute(args, &global.configured()?).await,
            Verb::Migrate => migrate::execute(&global.configured()?).await,
            Verb::Doctor(args) => doctor::execute(args, global.configured()).await,
            Verb::Token(args) => token::execute(args, &global.configured()?).await,
            Verb::Agent(args) => agent::execute(args, &global.configured()?).await,
            Verb::Schema(args) => output::answer_json(&args.of.schema()).map(|()| Exit::Done),
            Verb::Completion(args) => completion::execute(&args),
            Verb::Config(args) => config::execute(args, global.config),
            Verb::Version => version().map(|()| Exit::Done),
            Verb::ExampleAgent(args) => example_agent::execute(args).await,
        }
    }
}

fn version() -> Result<()> {
    let (version, format) = (env!("CARGO_PKG_VERSION"), tutti_core::run::FORMAT);
    let (file, database) = (tutti_adapters_sqlite::TABLES, tutti_adapters_postgres::TABLES);
    output::answer(&format!(
        "tutti {version} (history format {format}; tables: SQLite {file}, PostgreSQL {database})\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
