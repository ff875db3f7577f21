//! `tutti submit`: a workflow to a server.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Args, ValueEnum};
use tutti_core::ids::{LabelName, Namespace, RequestId, RunKey, SessionId};
use tutti_core::limits::MAX_REPLANS;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inbound::runs::{
    KeyConflict, KeyPolicy, KeyReuse, StartOptions, StartRequest, StartedRun, WorkflowSource,
};
use tutti_core::report::{RunView, parse_rfc3339};
use tutti_core::time::{Span, Timestamp};
use tutti_core::workflow::{Executor, Priority, parse};

use super::orchestrate::OrchestrateArgs;
use super::watch::{PatienceArgs, Watched};
use super::workflow::registered;
use super::{ExecutorArg, Global, TextOrJson, by};
use crate::clock::SystemClock;
use crate::exit::{Exit, Failure, Result};
use crate::interrupts::Interrupts;
use crate::live::Progress;
use crate::output::{answer, say};
use crate::report::{Home, Show};
use crate::watching::Server;
use crate::workflow_file::{WorkflowFile, text};
use crate::{inputs, remote};

#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// The workflow: a file, YAML or JSON, or a registered one as ID or ID@VERSION.
    #[arg(value_name = "FILE|ID[@VERSION]", required_unless_present = "query")]
    workflow: Option<String>,
    /// What is wanted, in plain words, in place of a workflow: the server plans it, with its agents.
    #[arg(short, long, value_name = "TEXT", conflicts_with = "workflow")]
    query: Option<String>,
    /// An input, as for `run`. Files are read here and sent.
    #[arg(short, long = "input", value_name = "KEY=VALUE|FILE", conflicts_with = "query")]
    inputs: Vec<String>,
    /// The server.
    #[arg(long, env = "TUTTI_SERVER", value_name = "URL", default_value = remote::DEFAULT)]
    server: String,
    /// The namespace of the run, and of the workflow if it is a registered one.
    #[arg(long, env = "TUTTI_NAMESPACE", value_name = "NAME", default_value_t)]
    namespace: Namespace,
    #[command(flatten)]
    start: StartArgs,
    /// Watch the run to its end, as `watch` does, and report on it.
    #[arg(long)]
    watch: bool,
    /// Wait for the end of the run and report on it, without showing its progress.
    #[arg(long, conflicts_with_all = ["watch", "progress"])]
    wait: bool,
    /// How progress is shown on stderr, with --watch.
    #[arg(long, value_enum, default_value_t = Progress::Auto)]
    progress: Progress,
    /// The form of the report on stdout, with --watch or --wait.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
    #[command(flatten)]
    patience: PatienceArgs,
}

/// What may be said about a run beside its workflow and its inputs.
#[derive(Debug, Args)]
pub struct StartArgs {
    /// How steps are run. Default: what the workflow says, then auto.
    #[arg(long, value_enum)]
    executor: Option<ExecutorArg>,
    /// Most steps in flight at once. Default: what the workflow says.
    #[arg(long, value_name = "N", value_parser = crate::config::max_concurrent)]
    max_concurrent: Option<u32>,
    /// Which runs go first while they wait for room at the server. Default: what the workflow says.
    #[arg(long, value_enum)]
    priority: Option<PriorityArg>,
    /// How long the run may take, such as 90s or 2h. Default: what the workflow says.
    #[arg(long, value_name = "SPAN", value_parser = Span::parse)]
    timeout: Option<Span>,
    /// Begin at this moment, such as 2026-01-31T08:00:00Z, and not before.
    #[arg(long, value_name = "MOMENT", value_parser = moment, conflicts_with = "delay")]
    start_at: Option<Timestamp>,
    /// Begin so long from now, such as 10m.
    #[arg(long, value_name = "SPAN", value_parser = Span::parse)]
    delay: Option<Span>,
    /// An idempotency key: what the run is to achieve. At most one run that goes on bears it.
    #[arg(long, value_name = "KEY")]
    key: Option<RunKey>,
    /// What becomes of the start if a run that has ended bears the key.
    #[arg(long, value_enum, default_value_t = ReuseArg::Allow, requires = "key")]
    key_reuse: ReuseArg,
    /// What becomes of the start if a run that goes on bears the key.
    #[arg(long, value_enum, default_value_t = ConflictArg::Fail, requires = "key")]
    key_conflict: ConflictArg,
    /// A label for lists and filters. May be repeated.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(LabelName, String)>,
    /// The session that the run belongs to: it finds what completed runs of the session shared.
    #[arg(long, value_name = "SESSION")]
    session: Option<SessionId>,
    #[command(flatten)]
    orchestrate: OrchestrateArgs,
    /// New plans that may follow if the run fails, one after the other, each for what is not done yet.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = replans())]
    replan: u32,
    /// A UUID of the caller's: the same one starts one run, however often the command is repeated.
    #[arg(long, value_name = "UUID")]
    request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PriorityArg {
    Low,
    Normal,
    High,
}

impl From<PriorityArg> for Priority {
    fn from(arg: PriorityArg) -> Self {
        match arg {
            PriorityArg::Low => Self::Low,
            PriorityArg::Normal => Self::Normal,
            PriorityArg::High => Self::High,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReuseArg {
    /// A new run takes the key.
    Allow,
    /// A new run takes the key unless the one before completed.
    FailedOnly,
    /// The start is refused.
    Reject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConflictArg {
    /// The start is refused.
    Fail,
    /// The run that goes on is the answer.
    UseExisting,
    /// It is terminated, and a new run takes the key.
    TerminateExisting,
}

impl StartArgs {
    fn options(self) -> (Option<RequestId>, StartOptions) {
        let reuse = match self.key_reuse {
            ReuseArg::Allow => KeyReuse::AllowDuplicate,
            ReuseArg::FailedOnly => KeyReuse::AllowDuplicateFailedOnly,
            ReuseArg::Reject => KeyReuse::RejectDuplicate,
        };
        let conflict = match self.key_conflict {
            ConflictArg::Fail => KeyConflict::Fail,
            ConflictArg::UseExisting => KeyConflict::UseExisting,
            ConflictArg::TerminateExisting => KeyConflict::TerminateExisting,
        };
        let options = StartOptions {
            executor: self.executor.map(Executor::from),
            max_concurrent_tasks: self.max_concurrent,
            priority: self.priority.map(Priority::from),
            timeout: self.timeout,
            start_at: self.start_at.or_else(|| self.delay.map(|delay| SystemClock.now().plus(delay.0))),
            key: self.key.map(|key| (key, KeyPolicy { reuse, conflict })),
            labels: self.labels.into_iter().collect::<BTreeMap<_, _>>(),
            session: self.session,
            trace_parent: None,
            by: by(),
            orchestration: self.orchestrate.into(),
            replan: self.replan,
        };
        (self.request_id, options)
    }
}

/// Reads `--replan`.
pub fn replans() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=i64::from(MAX_REPLANS))
}

fn moment(text: &str) -> std::result::Result<Timestamp, String> {
    parse_rfc3339(text).ok_or_else(|| "is no moment, such as 2026-01-31T08:00:00Z".to_owned())
}

/// A label as it is typed.
pub fn label(text: &str) -> std::result::Result<(LabelName, String), String> {
    let (name, value) = text.split_once('=').ok_or("a label is NAME=VALUE")?;
    Ok((name.parse().map_err(|error: tutti_core::ids::InvalidName| error.to_string())?, value.to_owned()))
}

/// # Errors
/// Anything given that is wrong, a server that cannot be reached.
pub async fn execute(args: SubmitArgs, global: &Global) -> Result<Exit> {
    let progress = if args.wait { Progress::Quiet } else { args.progress };
    let show = (args.watch || args.wait).then(|| Show::new(progress, args.output, global.log.is_some()));
    let (request, options) = args.start.options();
    let follows = Follows::of(args.workflow, args.query)?;
    let wanted = Submission { namespace: args.namespace, follows, inputs: args.inputs, request, options };
    submit(wanted, &args.server, show, args.patience).await
}

/// A run to be started at a server.
pub struct Submission {
    /// Whose it is.
    pub namespace: Namespace,
    /// What it follows.
    pub follows: Follows,
    /// As the command line gives them.
    pub inputs: Vec<String>,
    /// The request that starts it; a new one if there is none.
    pub request: Option<RequestId>,
    /// What else is said.
    pub options: StartOptions,
}

/// What a run follows.
pub enum Follows {
    /// A file, or a registered workflow.
    Workflow(String),
    /// A request in plain words.
    Query(String),
}

impl Follows {
    /// What the command line says.
    ///
    /// # Errors
    /// It says neither.
    pub fn of(workflow: Option<String>, query: Option<String>) -> Result<Self> {
        let query = || query.map(Self::Query);
        workflow.map(Self::Workflow).or_else(query).ok_or_else(|| Failure::usage("a workflow or --query is needed"))
    }
}

/// Starts a run at a server and answers with its id; if it is to be shown, follows it to its end and reports on it.
///
/// # Errors
/// As [`execute`].
pub async fn submit(wanted: Submission, url: &str, show: Option<Show>, patience: PatienceArgs) -> Result<Exit> {
    let interrupts = Interrupts::listen()?;
    let place = remote::place(url, &wanted.namespace, patience.span()).await?;
    let Some(server) = &place.server else { return Err(Failure::usage("no server is named")) };
    let (workflow, inputs) = source(server, &wanted).await?;
    let request = StartRequest {
        namespace: wanted.namespace,
        request: wanted.request.unwrap_or_else(|| SystemClock.request_id()),
        workflow,
        inputs,
        options: wanted.options,
    };
    let StartedRun { run, existed } =
        server.client.start(request).await.map_err(|error| remote::failure(url, error))?;
    if existed {
        say("the run was there before");
    }
    let Some(show) = show else { return answer(&format!("{run}\n")).map(|()| Exit::Done) };
    say(format!("run {run} was started at {url}"));
    // The run goes on, whatever becomes of this command.
    let lost = |failure: Failure| failure.next(format!("tutti watch {run} --server {url}"));
    let summary = place.reader.find(&run.to_string()).await.map_err(lost)?;
    let view = RunView::new(place.reader.plan(&summary).await.map_err(lost)?);
    let watched = Watched { place: &place, home: Home::Server(url), show: &show, interrupts: &interrupts };
    watched.one(&summary, view).await
}

/// What the run follows, and its inputs with the files that they name: those are here, not at the server.
async fn source(server: &Server, wanted: &Submission) -> Result<(WorkflowSource, String)> {
    let workflow = match &wanted.follows {
        Follows::Workflow(workflow) => workflow,
        Follows::Query(query) => {
            return Ok((WorkflowSource::Query(query.clone()), String::new()));
        }
    };
    let path = Path::new(workflow);
    if let Some((id, version)) = registered(workflow) {
        let found = server.client.workflow(&wanted.namespace, &id, version.as_deref()).await;
        let (_, file) = found.map_err(|error| remote::failure(&server.url, error))?;
        let damaged = |_| Failure::unavailable(format!("the file of workflow {id} at the server cannot be read"));
        let workflow = parse(&file).map_err(damaged)?.workflow;
        let inputs = inputs::collect(&wanted.inputs, &workflow, Path::new(""))?;
        return Ok((WorkflowSource::Registered { id, version }, inputs.as_str().to_owned()));
    }
    let file = WorkflowFile::read(path)?;
    let inputs = inputs::collect(&wanted.inputs, &file.workflow, file.folder())?;
    Ok((WorkflowSource::Text(text(path)?), inputs.as_str().to_owned()))
}
