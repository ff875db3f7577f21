//! `tutti list`: runs, newest first.

use serde::Serialize;
use tutti_core::ids::{RunId, WorkflowId};
use tutti_core::ports::clock::Clock;
use tutti_core::ports::filter::{Condition, RunFilter};
use tutti_core::ports::query::{ListRuns, RunSummary};
use tutti_core::report::{fit, human_seconds, pad, rfc3339, run_shape};
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;

use super::{Global, ListArgs, ListForm};
use crate::clock::SystemClock;
use crate::exit::{Exit, Result};
use crate::output::{answer, answer_json, json_line, say, stdout_width};

/// A page as JSON.
#[derive(Serialize)]
struct Page<'p> {
    runs: Vec<Line<'p>>,
    /// For `--cursor`; null on the last page.
    next: Option<&'p str>,
}

/// A run as JSON. Counts are those of the moment at which the state changed last.
#[derive(Serialize)]
struct Line<'p> {
    run_id: RunId,
    workflow: &'p WorkflowId,
    version: &'p str,
    state: RunStatus,
    steps: u32,
    completed: u32,
    failed: u32,
    created_at: String,
    updated_at: String,
    ended_at: Option<String>,
    error: Option<&'p str>,
}

/// # Errors
/// A store that cannot be read.
pub async fn execute(args: ListArgs, global: &Global) -> Result<Exit> {
    let reader = args.source.open(global).await?;
    let state = args.state.map(|state| Condition::State(vec![state]));
    let workflow = args.workflow.map(|workflow| Condition::Workflow(vec![workflow]));
    let filter = state.into_iter().chain(workflow).fold(RunFilter::default(), RunFilter::and);
    let query = ListRuns {
        filter,
        limit: usize::from(args.limit),
        cursor: args.cursor,
        ..ListRuns::default()
    };
    let page = reader.query.list(query).await?;
    match args.output {
        ListForm::Json => {
            answer_json(&Page { runs: page.runs.iter().map(line).collect(), next: page.next.as_deref() })?;
        }
        ListForm::Jsonl => answer(&page.runs.iter().map(|run| json_line(&line(run))).collect::<String>())?,
        ListForm::Name => answer(&page.runs.iter().map(|run| format!("{}\n", run.run)).collect::<String>())?,
        ListForm::Table => answer(&table(&page.runs, SystemClock.now(), stdout_width()))?,
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

fn line(run: &RunSummary) -> Line<'_> {
    Line {
        run_id: run.run,
        workflow: &run.workflow,
        version: &run.version,
        state: run.status,
        steps: run.steps,
        completed: run.completed,
        failed: run.failed,
        created_at: rfc3339(run.created_at),
        updated_at: rfc3339(run.updated_at),
        ended_at: run.ended_at.map(rfc3339),
        error: run.error.as_deref(),
    }
}

fn table(runs: &[RunSummary], now: Timestamp, width: usize) -> String {
    if runs.is_empty() {
        return String::new();
    }
    let names = runs.iter().map(|run| run.workflow.as_str().len()).max().unwrap_or(0).clamp(8, 30);
    let row = |state: &str, run: &str, workflow: &str, done: &str, age: &str, took: &str, why: &str| {
        let workflow = pad(workflow, names);
        let row = format!("{} {run:<36}  {workflow}  {done:>7}  {age:>10}  {took:>10}  {why}", pad(state, 14));
        format!("{}\n", fit(&row, width).trim_end())
    };
    let mut table = row("STATE", "RUN", "WORKFLOW", "DONE", "AGE", "TOOK", "WHY");
    for run in runs {
        // What is done of a run under way is told by its events, not by this line.
        let done = match run.status {
            RunStatus::Pending | RunStatus::Running => format!("-/{}", run.steps),
            _ => format!("{}/{}", run.completed, run.steps),
        };
        let seconds = |from: Timestamp, to: Timestamp| human_seconds(to.since(from).as_secs_f64());
        table.push_str(&row(
            &format!("{} {}", run_shape(run.status), run.status),
            &run.run.to_string(),
            run.workflow.as_str(),
            &done,
            &seconds(run.created_at, now),
            &run.ended_at.map_or_else(|| "-".to_owned(), |ended| seconds(run.created_at, ended)),
            run.error.as_deref().unwrap_or_default(),
        ));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_core::value::Digest;

    #[test]
    fn a_row_keeps_the_width_whatever_an_agent_wrote() {
        let at = Timestamp::from_micros;
        let run = RunSummary {
            run: RunId::new(1, [0; 10]),
            workflow: "w".parse().unwrap(),
            version: String::new(),
            definition: Digest::of(b""),
            status: RunStatus::Failed,
            steps: 8,
            completed: 3,
            failed: 1,
            created_at: at(0),
            updated_at: at(0),
            ended_at: Some(at(2_500_000)),
            error: Some(format!("s: FAILED: \u{1b}[2J{}", "x".repeat(300))),
            key: None,
            session: None,
            labels: Default::default(),
        };
        let table = table(&[run], at(60_000_000), 120);
        let row = table.lines().nth(1).unwrap();
        assert!(row.starts_with("✖ failed       00000000-0001-7000-"), "{row}");
        assert!(row.contains("  w             3/8    1 m 00 s      2.50 s  s: FAILED: ␛[2Jxx"), "{row}");
        assert_eq!(row.chars().count(), 120);
    }
}
