//! `tutti approvals`, `approve` and `reject`: what runs ask people, and what these decide.

use clap::Args;
use serde::Serialize;
use tutti_core::ids::{RequestId, RunId, WorkflowId};
use tutti_core::ports::agent::Need;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::query::{ListRuns, RunSummary};
use tutti_core::report::{Question, human_seconds, printable, rfc3339};
use tutti_core::run::{Command, asking};
use tutti_core::time::Timestamp;
use tutti_core::value::Json;
use tutti_engine::check_decision;

use super::operate::{OperateArgs, execute};
use super::table::table;
use super::{Global, RunSelector, Source, TextOrJson, filter};
use crate::clock::SystemClock;
use crate::exit::{Exit, Failure, Result};
use crate::output::{answer, answer_json, say};
use crate::store::Reader;

/// Runs of a page.
const PAGE: usize = 100;

#[derive(Debug, Args)]
pub struct ApprovalsArgs {
    /// Only what this run asks, with all that is shown to decide by: its id, the beginning of it, or `latest`.
    #[arg(value_name = "RUN", conflicts_with = "filter")]
    run: Option<String>,
    /// Only of runs that a filter takes, such as 'workflow:invoice'.
    #[arg(short, long, value_name = "FILTER", allow_hyphen_values = true)]
    filter: Option<String>,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
    #[command(flatten)]
    source: Source,
}

/// What `approve` and `reject` have in common.
#[derive(Debug, Args)]
pub struct DecisionArgs {
    #[command(flatten)]
    run: RunSelector,
    /// The step that asks. Default: the only one.
    #[arg(value_name = "STEP")]
    step: Option<String>,
    #[command(flatten)]
    source: Source,
    /// A UUID of the caller's for this request: a run applies one once.
    #[arg(long, value_name = "UUID")]
    request_id: Option<RequestId>,
}

#[derive(Debug, Args)]
pub struct ApproveArgs {
    #[command(flatten)]
    decision: DecisionArgs,
    /// What the form asks for: JSON; @FILE for what a file holds.
    #[arg(long, value_name = "JSON|@FILE")]
    data: Option<String>,
    /// Why; recorded in the history of the run.
    #[arg(long, default_value = "approved")]
    reason: String,
}

#[derive(Debug, Args)]
pub struct RejectArgs {
    #[command(flatten)]
    decision: DecisionArgs,
    /// Why; recorded in the history of the run.
    #[arg(long)]
    reason: String,
}

/// A question as JSON.
#[derive(Serialize)]
struct Asked {
    run_id: RunId,
    workflow: WorkflowId,
    step: String,
    kind: &'static str,
    message: String,
    shown: Option<Json>,
    form: Option<serde_json::Value>,
    since: String,
    due: Option<String>,
    overdue_times: u32,
    may_decide: Vec<String>,
    four_eyes: bool,
    started_by: String,
    #[serde(skip)]
    moments: (Timestamp, Option<Timestamp>),
}

/// Lists what runs ask and nobody answered yet.
///
/// # Errors
/// A server or a store that cannot be used, a run that is not there.
pub async fn list(args: ApprovalsArgs, global: &Global) -> Result<Exit> {
    let reader = args.source.open(global).await?;
    let asked = match &args.run {
        Some(run) => of_run(&reader, &reader.find(run).await?).await?,
        None => of_runs(&reader, args.filter.as_deref().map_or(Ok(RunFilter::default()), filter)?).await?,
    };
    let now = SystemClock.now();
    match args.output {
        TextOrJson::Json => answer_json(&asked)?,
        TextOrJson::Text if args.run.is_some() => answer(&asked.iter().map(|one| whole(one, now)).collect::<String>())?,
        TextOrJson::Text if asked.is_empty() => {}
        TextOrJson::Text => {
            let rows: Vec<Vec<String>> = asked.iter().map(|one| row(one, now)).collect();
            answer(&table(&["RUN", "STEP", "KIND", "SINCE", "DUE", "QUESTION"], &rows))?;
        }
    }
    if asked.is_empty() && args.output == TextOrJson::Text {
        say("nothing is asked");
    }
    Ok(Exit::Done)
}

/// Approves what a step asks.
///
/// # Errors
/// Data that cannot be read or that the step's form does not allow; what the run does not allow.
pub async fn approve(args: ApproveArgs, global: &Global) -> Result<Exit> {
    let data =
        match args.data.as_deref().map(|data| (data, data.strip_prefix('@'))) {
            None => None,
            Some((_, Some(file))) => Some(std::fs::read_to_string(file).map_err(|error| {
                Failure::usage(format!("{file} cannot be read: {error}")).next("name a file of JSON")
            })?),
            Some((data, None)) => Some(data.to_owned()),
        };
    let data = data.map(Json::parse).transpose();
    let data = data.map_err(|error| Failure::usage(format!("--data: {error}")).next(r#"--data '{"limit": 5}'"#))?;
    decide(args.decision, true, data, args.reason, global).await
}

/// Rejects what a step asks.
///
/// # Errors
/// What the run does not allow.
pub async fn reject(args: RejectArgs, global: &Global) -> Result<Exit> {
    decide(args.decision, false, None, args.reason, global).await
}

async fn decide(
    args: DecisionArgs,
    approved: bool,
    data: Option<Json>,
    reason: String,
    global: &Global,
) -> Result<Exit> {
    let step = args.step.unwrap_or_default();
    if args.source.server.is_none() {
        // A server checks it itself.
        let reader = args.source.open(global).await?;
        let view = reader.view(&reader.find(&args.run.run).await?).await?;
        check_decision(&view, &step, approved, data.as_ref()).map_err(|error| Failure::usage(error.to_string()))?;
    }
    let operate = OperateArgs {
        runs: vec![args.run.run],
        filter: None,
        reason,
        source: args.source,
        request_id: args.request_id,
        dry_run: false,
        yes: true,
    };
    execute(Command::Approve { step, approved, data }, operate, global).await
}

async fn of_runs(reader: &Reader, filter: RunFilter) -> Result<Vec<Asked>> {
    let filter = filter.and(asking());
    let mut query = ListRuns { namespace: reader.namespace.clone(), filter, limit: PAGE, cursor: None };
    let mut asked = Vec::new();
    loop {
        let page = reader.query.list(query.clone()).await?;
        for run in &page.runs {
            asked.extend(of_run(reader, run).await?);
        }
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(asked),
        }
    }
}

async fn of_run(reader: &Reader, run: &RunSummary) -> Result<Vec<Asked>> {
    let view = reader.view(run).await?;
    let started_by = view.created().map(|created| created.origin.by.clone()).unwrap_or_default();
    let mut asked = Vec::new();
    for question in view.questions() {
        let Question { step, need, message, shown, form, since, due, overdue, by, four_eyes } = question;
        let shown = match &shown {
            Some(shown) => Some(reader.value(run.run, shown).await?),
            None => None,
        };
        asked.push(Asked {
            run_id: run.run,
            workflow: run.workflow.clone(),
            step: step.to_string(),
            kind: kind(need),
            message,
            shown,
            form,
            since: rfc3339(since),
            due: due.map(rfc3339),
            overdue_times: overdue,
            may_decide: by,
            four_eyes,
            started_by: started_by.clone(),
            moments: (since, due),
        });
    }
    Ok(asked)
}

const fn kind(need: Need) -> &'static str {
    match need {
        Need::Approval => "approval",
        Need::Signal => "signal",
        Need::Input => "input",
        Need::Auth => "auth",
        Need::Time => "time",
        Need::Steps => "steps",
    }
}

fn row(asked: &Asked, now: Timestamp) -> Vec<String> {
    let (since, due) = asked.moments;
    vec![
        asked.run_id.to_string(),
        printable(&asked.step).to_string(),
        asked.kind.to_owned(),
        ago(since, now),
        due.map_or_else(|| "-".to_owned(), |due| until(due, asked.overdue_times, now)),
        printable(&asked.message).to_string(),
    ]
}

/// One question with all that belongs to it.
fn whole(asked: &Asked, now: Timestamp) -> String {
    let (since, due) = asked.moments;
    let mut lines = vec![
        format!("step {} asks for: {}", printable(&asked.step), asked.kind),
        format!("  question  {}", printable(&asked.message)),
        format!("  since     {} ({})", asked.since, ago(since, now)),
    ];
    if let (Some(due), Some(at)) = (due, &asked.due) {
        lines.push(format!("  due       {at} ({})", until(due, asked.overdue_times, now)));
    }
    if !asked.may_decide.is_empty() {
        lines.push(format!("  may       {}", printable(&asked.may_decide.join(", "))));
    }
    if asked.four_eyes {
        lines.push(format!("  not       {}, who started the run", printable(&asked.started_by)));
    }
    if let Some(shown) = &asked.shown {
        lines.push(format!("  shown     {}", printable(shown.as_str())));
    }
    if let Some(form) = &asked.form {
        lines.push(format!("  form      {}", printable(&form.to_string())));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn ago(moment: Timestamp, now: Timestamp) -> String {
    format!("{} ago", human_seconds(now.since(moment).as_secs_f64()))
}

fn until(due: Timestamp, overdue: u32, now: Timestamp) -> String {
    let when = if due > now { format!("in {}", human_seconds(due.since(now).as_secs_f64())) } else { ago(due, now) };
    if overdue > 0 { format!("{when}, overdue {overdue}×") } else { when }
}
