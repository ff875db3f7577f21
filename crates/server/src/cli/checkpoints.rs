//! `tutti checkpoints`: the points to which a run can go back, and what that would undo.

use clap::Args;
use serde::Serialize;
use tutti_core::ids::RunId;
use tutti_core::report::{CheckpointReport, fit, pad, rfc3339};

use super::recover::list;
use super::{Global, RunSelector, Source, TextOrJson};
use crate::exit::{Exit, Result};
use crate::output::{answer, answer_json, say, stdout_width};

#[derive(Debug, Args)]
pub struct CheckpointsArgs {
    #[command(flatten)]
    run: RunSelector,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
    #[command(flatten)]
    source: Source,
}

/// The answer as JSON.
#[derive(Serialize)]
struct Shown {
    run_id: RunId,
    /// The newest first.
    checkpoints: Vec<CheckpointReport>,
}

/// # Errors
/// A run that is not there or cannot be read.
pub async fn execute(args: CheckpointsArgs, global: &Global) -> Result<Exit> {
    let reader = args.source.open(global).await?;
    let run = reader.find(&args.run.run).await?;
    let ways = reader.view(&run).await?.ways_back();
    if args.output == TextOrJson::Json {
        let checkpoints = ways.iter().map(CheckpointReport::from).collect();
        answer_json(&Shown { run_id: run.run, checkpoints })?;
        return Ok(Exit::Done);
    }
    if ways.is_empty() {
        say("no checkpoints");
        return Ok(Exit::Done);
    }
    let width = stdout_width();
    let names = ways.iter().map(|way| way.checkpoint.name.chars().count()).max().unwrap_or(0).clamp(10, 40);
    let mut table = format!("{}  {:>6}  {:<27}  ON THE WAY BACK\n", pad("CHECKPOINT", names), "SEQ", "TIME");
    for way in &ways {
        let undone = (way.undone.count > 0).then(|| format!("undone: {}", list(&way.undone)));
        let dropped = (way.dropped.count > 0).then(|| format!("dropped: {}", list(&way.dropped)));
        let back: Vec<String> = undone.into_iter().chain(dropped).collect();
        let back = if back.is_empty() { "nothing".to_owned() } else { back.join("; ") };
        let (name, time) = (pad(&way.checkpoint.name, names), rfc3339(way.checkpoint.at));
        let row = format!("{name}  {:>6}  {time}  {back}", way.checkpoint.seq);
        table.push_str(fit(&row, width).trim_end());
        table.push('\n');
    }
    answer(&table)?;
    Ok(Exit::Done)
}
