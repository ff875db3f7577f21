//! `tutti checkpoint`, `rollback`, `outcome`, `skip`, `resolve` and `fail`, and the forms of `pause` and `retry` that go with
//! them: what can be done about a run that went wrong.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tutti_core::ids::RequestId;
use tutti_core::report::{Concerned, printable};
use tutti_core::run::{Command, Point, Verdict, Work};
use tutti_core::value::{Json, Payload};

use super::operate::{self, OperateArgs};
use super::{Global, RunSelector, Source};
use crate::exit::{Exit, Failure, Result};
use crate::output::say;

#[derive(Debug, Args)]
pub struct PauseArgs {
    /// What becomes of attempts that are under way.
    #[arg(long, value_enum, default_value_t = WorkArg::Finish)]
    work: WorkArg,
    #[command(flatten)]
    operate: OperateArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WorkArg {
    /// They come to their end, and their results count.
    Finish,
    /// Nobody waits for them; when the run goes on, their agents are asked how they ended.
    Leave,
    /// Their agents are asked to stop; when the run goes on, the steps begin anew.
    Cancel,
}

#[derive(Debug, Args)]
pub struct RetryArgs {
    /// Only a step that is held for a decision: it begins anew.
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    #[command(flatten)]
    operate: OperateArgs,
}

/// What the commands about one run have in common.
#[derive(Debug, Args)]
pub struct About {
    /// Why; recorded in the history of the run.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    pub(super) source: Source,
    /// A UUID of the caller's for this request: a run applies one once.
    #[arg(long, value_name = "UUID")]
    request_id: Option<RequestId>,
}

#[derive(Debug, Args)]
pub struct CheckpointArgs {
    #[command(flatten)]
    run: RunSelector,
    /// The name of the point.
    name: String,
    #[command(flatten)]
    about: About,
}

#[derive(Debug, Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    run: RunSelector,
    /// Where to: the name of a checkpoint, or the number of an event.
    #[arg(long, value_name = "NAME|SEQ")]
    to: String,
    /// Call no agent: what was done outside stays done, only the run goes back.
    #[arg(long)]
    no_compensate: bool,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    about: About,
}

#[derive(Debug, Args)]
#[group(id = "outcome", required = true, multiple = false, args = ["happened", "not_happened", "ask_agent"])]
pub struct OutcomeArgs {
    #[command(flatten)]
    run: RunSelector,
    /// The step whose outcome is not known.
    step: String,
    /// It happened: the file holds the step's output, as JSON or else as text.
    #[arg(long, value_name = "FILE")]
    happened: Option<PathBuf>,
    /// It did not happen: the step begins anew.
    #[arg(long)]
    not_happened: bool,
    /// Ask the agent again.
    #[arg(long)]
    ask_agent: bool,
    #[command(flatten)]
    about: About,
}

#[derive(Debug, Args)]
pub struct SkipArgs {
    #[command(flatten)]
    run: RunSelector,
    /// The step that is held. Default: the only one.
    step: Option<String>,
    #[command(flatten)]
    about: About,
}

#[derive(Debug, Args)]
pub struct ResolveArgs {
    #[command(flatten)]
    run: RunSelector,
    /// The step that is held. Default: the only one.
    step: Option<String>,
    /// The file that holds the step's output, as JSON or else as text. What undoes a step needs none.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    about: About,
}

#[derive(Debug, Args)]
pub struct FailArgs {
    #[command(flatten)]
    run: RunSelector,
    /// The step that is held.
    step: String,
    #[command(flatten)]
    about: About,
}

/// Holds runs.
///
/// # Errors
/// As [`operate::execute`].
pub async fn pause(args: PauseArgs, global: &Global) -> Result<Exit> {
    let command = match args.work {
        WorkArg::Finish => Command::Pause,
        WorkArg::Leave => Command::PauseWork { work: Work::Leave },
        WorkArg::Cancel => Command::PauseWork { work: Work::Cancel },
    };
    operate::execute(command, args.operate, global).await
}

/// Lets failed and stuck runs go on, or has a step that is held begin anew.
///
/// # Errors
/// As [`operate::execute`].
pub async fn retry(args: RetryArgs, global: &Global) -> Result<Exit> {
    let command = match args.step {
        Some(step) => Command::Decide { step, verdict: Verdict::Retry, output: None },
        None => Command::Retry,
    };
    operate::execute(command, args.operate, global).await
}

/// Marks a point in a run.
///
/// # Errors
/// As [`operate::execute`].
pub async fn checkpoint(args: CheckpointArgs, global: &Global) -> Result<Exit> {
    apply(Command::Checkpoint { name: args.name }, args.run, args.about, ("marked by hand", true), global).await
}

/// Has a run go back to a point, after saying what that undoes.
///
/// # Errors
/// As [`operate::execute`]; a no.
pub async fn rollback(args: RollbackArgs, global: &Global) -> Result<Exit> {
    let to = match args.to.parse() {
        Ok(seq) => Point::Seq(seq),
        Err(_) => Point::Checkpoint(args.to),
    };
    if !args.yes {
        tell(&args.run, &args.about, &to, !args.no_compensate, global).await?;
    }
    let command = Command::Rollback { to, compensate: !args.no_compensate };
    apply(command, args.run, args.about, ("rolled back by hand", args.yes), global).await
}

/// Says what happened to a step whose outcome is not known.
///
/// # Errors
/// As [`operate::execute`]; a file that cannot be read.
pub async fn outcome(args: OutcomeArgs, global: &Global) -> Result<Exit> {
    let (verdict, why) = match (&args.happened, args.ask_agent) {
        (Some(_), _) => (Verdict::Done, "it happened"),
        (None, true) => (Verdict::Ask, "its agent is asked again"),
        (None, false) => (Verdict::Retry, "it did not happen"),
    };
    let output = args.happened.as_deref().map(value).transpose()?;
    apply(Command::Decide { step: args.step, verdict, output }, args.run, args.about, (why, true), global).await
}

/// Leaves a step out, or leaves it as it is.
///
/// # Errors
/// As [`operate::execute`].
pub async fn skip(args: SkipArgs, global: &Global) -> Result<Exit> {
    let step = args.step.unwrap_or_default();
    let command = Command::Decide { step, verdict: Verdict::Skip, output: None };
    apply(command, args.run, args.about, ("left out by hand", true), global).await
}

/// Says that a step was done by hand.
///
/// # Errors
/// As [`operate::execute`]; a file that cannot be read.
pub async fn resolve(args: ResolveArgs, global: &Global) -> Result<Exit> {
    let output = args.output.as_deref().map(value).transpose()?;
    let command = Command::Decide { step: args.step.unwrap_or_default(), verdict: Verdict::Done, output };
    apply(command, args.run, args.about, ("done by hand", true), global).await
}

/// Says that a step has failed.
///
/// # Errors
/// As [`operate::execute`].
pub async fn fail(args: FailArgs, global: &Global) -> Result<Exit> {
    let command = Command::Decide { step: args.step, verdict: Verdict::Fail, output: None };
    apply(command, args.run, args.about, ("given up by hand", true), global).await
}

/// Has a command applied to one run; the reason stands for one that was not given.
pub(super) async fn apply(
    command: Command,
    run: RunSelector,
    about: About,
    (reason, yes): (&str, bool),
    global: &Global,
) -> Result<Exit> {
    let operate = OperateArgs {
        runs: vec![run.run],
        filter: None,
        reason: about.reason.unwrap_or_else(|| reason.to_owned()),
        source: about.source,
        request_id: about.request_id,
        dry_run: false,
        yes,
    };
    operate::execute(command, operate, global).await
}

/// Says what going back to a point means. What the point is, the run itself says when it is asked.
async fn tell(run: &RunSelector, about: &About, to: &Point, compensate: bool, global: &Global) -> Result<()> {
    let reader = about.source.open(global).await?;
    let view = reader.view(&reader.find(&run.run).await?).await?;
    let named = view.ways_back().into_iter().find(|way| match to {
        Point::Checkpoint(name) => way.checkpoint.name == *name,
        Point::Seq(_) => false,
    });
    let (undone, dropped) = match (named, to) {
        (Some(way), _) => (way.undone, way.dropped),
        (None, Point::Seq(seq)) => view.concerned_since(*seq),
        (None, Point::Checkpoint(_)) => return Ok(()),
    };
    let what =
        if compensate { "is undone, newest first" } else { "would be undone; by --no-compensate it stays as it is" };
    for (steps, what) in [(undone, what), (dropped, "is dropped; nothing undoes it")] {
        if steps.count > 0 {
            say(format!("{what}: {}", list(&steps)));
        }
    }
    Ok(())
}

/// The steps as people read them.
pub fn list(steps: &Concerned) -> String {
    let names: Vec<&str> = steps.steps.iter().map(tutti_core::ids::StepId::as_str).collect();
    let more = steps.count as usize - names.len();
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{}{more}", printable(&names.join(", ")))
}

/// The value in a file. What is no JSON is a text, as for inputs.
fn value(file: &Path) -> Result<Payload> {
    let wrong = |why: &dyn std::fmt::Display| Failure::usage(format!("{} {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    let value = match Json::parse(text.clone()) {
        Ok(value) => value,
        Err(_) => Json::of(&text).map_err(|error| wrong(&error))?,
    };
    Ok(Payload::Inline(value))
}
