//! `tutti list`: runs, newest first, or how many there are.

use clap::{Args, ValueEnum};
use serde::Serialize;
use tutti_core::ids::WorkflowId;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::filter::{Condition, RunFilter};
use tutti_core::ports::query::{ListRuns, RunCounts};
use tutti_core::run::RunStatus;

use super::{Global, Source, filter};
use crate::clock::SystemClock;
use crate::exit::{Exit, Result};
use crate::output::{answer, answer_json, json_line, say, stdout_width};
use crate::runs::{Counts, Page, RunLine, table};
use crate::store::Reader;

/// The terms of a filter, as `--help` says them.
pub const TERMS: &str = "\
A filter has terms with spaces between them that must all hold; -TERM asks for the opposite:
  state:failed,stuck         in any of these states
  workflow:invoice,refund    of any of these workflows
  version:1.2                of this version of their workflow
  session:s-17               of this session
  key:order/31               started with this idempotency key
  label.team=billing         with this label
  since:24h, until:1h        created so long ago at most, at least; or a moment: since:2026-01-31T00:00:00Z";

#[derive(Debug, Args)]
#[command(after_help = TERMS)]
pub struct ListArgs {
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = ListForm::Table)]
    output: ListForm,
    /// Only runs that a filter takes, such as 'state:failed since:24h'.
    #[arg(short, long, value_name = "FILTER", allow_hyphen_values = true)]
    filter: Option<String>,
    /// Only runs in this state, such as running or failed.
    #[arg(long)]
    state: Option<RunStatus>,
    /// Only runs of this workflow.
    #[arg(long, value_name = "ID")]
    workflow: Option<WorkflowId>,
    /// Tell how many there are, by state.
    #[arg(long, conflicts_with_all = ["limit", "cursor"])]
    count: bool,
    /// At most so many, 1 to 1000.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Where the page before ended, as it said.
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListForm {
    Table,
    Json,
    Jsonl,
    Name,
}

/// Counts as JSON.
#[derive(Serialize)]
struct Counted<'c> {
    /// By state; states without a run are left out.
    counts: &'c RunCounts,
    total: u64,
}

/// # Errors
/// A store that cannot be read.
pub async fn execute(args: ListArgs, global: &Global) -> Result<Exit> {
    let mut filter = args.filter.as_deref().map_or(Ok(RunFilter::default()), filter)?;
    filter = args.state.into_iter().fold(filter, |filter, state| filter.and(Condition::State(vec![state])));
    filter = args.workflow.into_iter().fold(filter, |filter, id| filter.and(Condition::Workflow(vec![id])));
    let reader = args.source.open(global).await?;
    if args.count {
        return count(&reader, &filter, args.output).await;
    }
    let namespace = reader.namespace.clone();
    let query = ListRuns { namespace, filter, limit: usize::from(args.limit), cursor: args.cursor };
    let page = reader.query.list(query).await?;
    match args.output {
        ListForm::Json => answer_json(&Page::new(&page.runs, page.next.as_deref()))?,
        ListForm::Jsonl => answer(&page.runs.iter().map(|run| json_line(&RunLine::new(run))).collect::<String>())?,
        ListForm::Name => answer(&page.runs.iter().map(|run| format!("{}\n", run.run)).collect::<String>())?,
        ListForm::Table => {
            let counts = if args.source.server.is_some() { Counts::Now } else { Counts::OfState };
            answer(&table(&page.runs, counts, SystemClock.now(), stdout_width()))?;
        }
    }
    if args.output != ListForm::Json {
        if let Some(next) = page.next {
            say(format!("there are more: repeat the command with --cursor {next}"));
        }
        if page.runs.is_empty() {
            say("no runs");
        }
    }
    Ok(Exit::Done)
}

async fn count(reader: &Reader, filter: &RunFilter, form: ListForm) -> Result<Exit> {
    let counts = reader.query.count(&reader.namespace, filter).await?;
    let total = counts.values().sum();
    let counted = Counted { counts: &counts, total };
    match form {
        ListForm::Json => answer_json(&counted)?,
        ListForm::Jsonl => answer(&json_line(&counted))?,
        ListForm::Table | ListForm::Name => {
            let line = |(state, count): (&RunStatus, &u64)| format!("{state:<12} {count:>8}\n");
            let lines: String = counts.iter().map(line).collect();
            answer(&format!("{lines}{:<12} {total:>8}\n", "total"))?;
        }
    }
    Ok(Exit::Done)
}
