//! Runs as lists show them: as JSON for programs, as a table for people.

use std::collections::BTreeMap;

use serde::Serialize;
use tutti_core::ids::{LabelName, RunId, RunKey, SessionId, WorkflowId};
use tutti_core::ports::query::RunSummary;
use tutti_core::report::{fit, human_seconds, pad, rfc3339, run_shape};
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;

/// A page as JSON.
#[derive(Serialize)]
pub struct Page<'p> {
    runs: Vec<RunLine<'p>>,
    /// For `--cursor`; null on the last page.
    next: Option<&'p str>,
}

impl<'p> Page<'p> {
    /// Of these runs.
    pub fn new(runs: impl IntoIterator<Item = &'p RunSummary>, next: Option<&'p str>) -> Self {
        Self { runs: runs.into_iter().map(RunLine::new).collect(), next }
    }
}

/// A run as JSON. Counts are those of the moment at which the state changed last; a server tells those of now.
#[derive(Serialize)]
pub struct RunLine<'p> {
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
    key: Option<&'p RunKey>,
    session: Option<&'p SessionId>,
    labels: &'p BTreeMap<LabelName, String>,
}

impl<'p> RunLine<'p> {
    /// Of this run.
    pub fn new(run: &'p RunSummary) -> Self {
        Self {
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
            key: run.key.as_ref(),
            session: run.session.as_ref(),
            labels: &run.labels,
        }
    }
}

/// A run that changed, as JSON: the line of `tutti watch --progress json`.
#[derive(Serialize)]
pub struct ChangeLine<'p> {
    #[serde(flatten)]
    run: RunLine<'p>,
    /// False if the filter took the run before and takes it no more.
    matches: bool,
}

impl<'p> ChangeLine<'p> {
    /// Of this run.
    pub fn new(run: &'p RunSummary, matches: bool) -> Self {
        Self { run: RunLine::new(run), matches }
    }
}

/// How fresh the counts of steps are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Of this moment: a server tells them.
    Now,
    /// Of the moment at which the state of the run changed last: a store keeps them.
    OfState,
}

impl Counts {
    /// Steps that are complete, of all; `-` for a run under way whose count is an old one.
    pub fn done(self, run: &RunSummary) -> String {
        match (self, run.status) {
            (Self::OfState, RunStatus::Pending | RunStatus::Running) => format!("-/{}", run.steps),
            _ => format!("{}/{}", run.completed, run.steps),
        }
    }
}

/// Columns of a terminal from which ids are shown whole.
const WHOLE_IDS: usize = 100;

/// A line per run under a headline, each of at most `width` columns; nothing without runs. Where there is little room, the
/// beginnings of ids, by which runs are named as well.
pub fn table(runs: &[RunSummary], counts: Counts, now: Timestamp, width: usize) -> String {
    if runs.is_empty() {
        return String::new();
    }
    let names = runs.iter().map(|run| run.workflow.as_str().len()).max().unwrap_or(0).clamp(8, 30);
    let (ids, room) = if width < WHOLE_IDS { (13, 9) } else { (36, 10) };
    let row = |state: &str, run: &str, workflow: &str, done: &str, age: &str, took: &str, why: &str| {
        let workflow = pad(workflow, names);
        let row =
            format!("{} {run:<ids$.ids$}  {workflow}  {done:>7}  {age:>room$}  {took:>room$}  {why}", pad(state, 13));
        format!("{}\n", fit(&row, width).trim_end())
    };
    let mut table = row("STATE", "RUN", "WORKFLOW", "DONE", "AGE", "TOOK", "WHY");
    for run in runs {
        let seconds = |from: Timestamp, to: Timestamp| human_seconds(to.since(from).as_secs_f64());
        table.push_str(&row(
            &format!("{} {}", run_shape(run.status), run.status),
            &run.run.to_string(),
            run.workflow.as_str(),
            &counts.done(run),
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
            labels: BTreeMap::new(),
        };
        let shown = table(std::slice::from_ref(&run), Counts::OfState, at(60_000_000), 120);
        let row = shown.lines().nth(1).unwrap();
        assert!(row.starts_with("✖ failed      00000000-0001-7000-"), "{row}");
        assert!(row.contains("  w             3/8    1 m 00 s      2.50 s  s: FAILED: ␛[2Jxx"), "{row}");
        assert_eq!(row.chars().count(), 120);
        let narrow = table(&[run], Counts::OfState, at(60_000_000), 80);
        let row = narrow.lines().nth(1).unwrap();
        assert!(row.starts_with("✖ failed      00000000-0001  w "), "{row}");
        assert!(row.contains("2.50 s  s: FAILED"), "{row}");
        assert_eq!(row.chars().count(), 80);
    }
}
