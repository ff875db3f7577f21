//! `tutti get`: a run with its steps.

use serde::Serialize;
use tutti_core::ports::clock::Clock;
use tutti_core::report::{ExecutionReport, Monitor};

use super::{GetArgs, Global, TextOrJson};
use crate::clock::SystemClock;
use crate::exit::{Exit, Result};
use crate::output::{answer, answer_json, stdout_width};
use crate::report::say_held;
use crate::tree::{self, Detail};

/// The answer as JSON.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    report: ExecutionReport,
    monitor: Monitor,
}

/// # Errors
/// A run that is not there or cannot be read.
pub async fn execute(args: GetArgs, global: &Global) -> Result<Exit> {
    let reader = args.source.open(global).await?;
    let run = reader.find(&args.run.run).await?;
    let view = reader.view(&run).await?;
    match args.output {
        TextOrJson::Json => {
            let report = reader.report(&view).await?;
            answer_json(&Shown { report, monitor: Monitor::new(&view, SystemClock.now()) })?;
        }
        TextOrJson::Text => {
            answer(&tree::render(&view, SystemClock.now(), stdout_width(), Detail::Full))?;
            say_held(&view, "");
        }
    }
    Ok(Exit::Done)
}
