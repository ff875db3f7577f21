//! `tutti explain`: why a run stands as it does.

use clap::Args;
use tutti_core::ports::clock::Clock;
use tutti_core::report::{Explanation, Finding, Known, Reason, render_explanation};

use super::{Global, RunSelector, Source, TextOrJson};
use crate::clock::SystemClock;
use crate::exit::{Exit, Failure, Result};
use crate::hints;
use crate::output::{answer, answer_json, stdout_width};
use crate::remote;

#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    run: RunSelector,
    /// The step, by its path. Default: the steps that matter, those first that need somebody.
    step: Option<String>,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
    #[command(flatten)]
    source: Source,
}

/// # Errors
/// A run that is not there or cannot be read, and a step that it does not have.
pub async fn execute(args: ExplainArgs, global: &Global) -> Result<Exit> {
    let ExplainArgs { run, step, output, source } = args;
    let reader = source.open(global).await?;
    let run = reader.find(&run.run).await?;
    let explained = match &source.server {
        Some(url) => {
            let explained = remote::client(url)?.explain(&source.namespace, run.run, step.as_deref()).await;
            explained.map_err(|error| remote::failure(url, error))?
        }
        // What agents do, nobody knows who reads a store alone.
        None => {
            let view = reader.view(&run).await?;
            let index = step.map(|step| {
                let path = step.parse().ok();
                let found = path.and_then(|path| view.plan().find(&path));
                found.ok_or_else(|| {
                    Failure::usage(format!("run {} has no step \"{}\"", run.run, step.escape_debug()))
                        .next(format!("tutti get {}", run.run))
                })
            });
            let explained = Explanation::new(&view, index.transpose()?, &Known::default(), SystemClock.now());
            explained.ok_or_else(|| Failure::unavailable(format!("run {} has no history", run.run)))?
        }
    };
    match output {
        TextOrJson::Json => answer_json(&explained)?,
        TextOrJson::Text => {
            let run = explained.run_id.to_string();
            let hint = |finding: &Finding, step: Option<&str>| command(finding, &run, step);
            answer(&render_explanation(&explained, stdout_width(), hint))?;
        }
    }
    Ok(Exit::Done)
}

/// The command by which somebody can do what a finding says.
fn command(finding: &Finding, run: &str, step: Option<&str>) -> Option<String> {
    let command = match (finding.reason, step) {
        (Reason::CanResume, _) => format!("tutti resume {run}"),
        (Reason::CanRaise, _) => format!("tutti budget {run} --add-money AMOUNT"),
        (Reason::CanRetry, _) => format!("tutti retry {run} --reason WHY"),
        (Reason::CanApprove, Some(step)) => format!("tutti approve {run} {step}"),
        (Reason::CanDecide, Some(step)) => format!("tutti retry {run} --step {step} --reason WHY"),
        (Reason::CanSignal, Some(step)) => format!("tutti signal {run} ANSWER --step {step}"),
        _ => return None,
    };
    Some(hints::command(&command))
}
