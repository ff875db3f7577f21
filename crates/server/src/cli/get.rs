//! `tutti get`: a run with its steps.

use serde::Serialize;
use tutti_core::ids::RunId;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::query::ListRuns;
use tutti_core::report::{ExecutionReport, Monitor, render_phases, rfc3339};
use tutti_core::run::{RunState, RunStatus, forked_from};

use super::budget::spent;
use super::{GetArgs, Global, TextOrJson};
use crate::clock::SystemClock;
use crate::exit::{Exit, Result};
use crate::output::{answer, answer_json, stdout_width};
use crate::report::say_held;
use crate::store::Reader;
use crate::tree::{self, Detail};

/// The answer as JSON.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    report: ExecutionReport,
    monitor: Monitor,
    /// The run that it is a fork of.
    forked_from: Option<Fork>,
    /// Its own forks, newest first.
    forks: Vec<RunId>,
    /// When it is to begin, if it was asked to begin later.
    start_at: Option<String>,
}

#[derive(Serialize)]
struct Fork {
    run_id: RunId,
    seq: u64,
}

/// Most forks of a run that are told.
const FORKS: usize = 20;

/// # Errors
/// A run that is not there or cannot be read.
pub async fn execute(args: GetArgs, global: &Global) -> Result<Exit> {
    let reader = args.source.open(global).await?;
    let run = reader.find(&args.run.run).await?;
    let view = reader.view(&run).await?;
    match args.output {
        TextOrJson::Json => {
            let report = reader.report(&view).await?;
            let forked = view.state().and_then(RunState::forked);
            answer_json(&Shown {
                report,
                monitor: Monitor::new(&view, SystemClock.now()),
                forked_from: forked.map(|(run_id, seq)| Fork { run_id, seq }),
                forks: forks(&reader, run.run).await?,
                start_at: view.start_at().map(rfc3339),
            })?;
        }
        TextOrJson::Text => {
            answer(&tree::render(&view, SystemClock.now(), stdout_width(), Detail::Full))?;
            answer(&spent(&view))?;
            let report = ExecutionReport::new(&view).filter(|report| report.orchestration.is_some());
            if let Some(report) = report {
                answer(&render_phases(&report, stdout_width()))?;
            }
            if let Some((parent, seq)) = view.state().and_then(RunState::forked) {
                answer(&format!("fork of {parent} at event {seq}\n"))?;
            }
            for fork in forks(&reader, run.run).await? {
                answer(&format!("forked to {fork}\n"))?;
            }
            if let Some(at) = view.start_at().filter(|_| view.status() == RunStatus::Pending) {
                answer(&format!("begins at {}\n", rfc3339(at)))?;
            }
            say_held(&view, "");
        }
    }
    Ok(Exit::Done)
}

/// The forks of a run, newest first.
async fn forks(reader: &Reader, run: RunId) -> Result<Vec<RunId>> {
    let filter = RunFilter::default().and(forked_from(run));
    let query = ListRuns { namespace: reader.namespace.clone(), filter, limit: FORKS, cursor: None };
    Ok(reader.query.list(query).await?.runs.into_iter().map(|run| run.run).collect())
}
