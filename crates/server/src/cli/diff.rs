//! `tutti diff`: how two runs differ.

use clap::Args;
use tutti_core::report::{RunDifference, render_difference};

use super::{Global, Source, TextOrJson};
use crate::exit::{Exit, Result};
use crate::output::{answer, answer_json, stdout_width};

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The one run: its id, the beginning of it, or `latest`.
    #[arg(value_name = "RUN")]
    left: String,
    /// The other run.
    #[arg(value_name = "OTHER")]
    right: String,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
    #[command(flatten)]
    source: Source,
}

/// # Errors
/// A run that is not there or cannot be read.
pub async fn execute(args: DiffArgs, global: &Global) -> Result<Exit> {
    let reader = args.source.open(global).await?;
    let mut both = Vec::with_capacity(2);
    for named in [&args.left, &args.right] {
        let run = reader.find(named).await?;
        both.push(reader.figures(&reader.view(&run).await?).await?);
    }
    let (Some(right), Some(left)) = (both.pop(), both.pop()) else { return Ok(Exit::Done) };
    let difference = RunDifference::new(left, right);
    match args.output {
        TextOrJson::Text => answer(&render_difference(&difference, stdout_width()))?,
        TextOrJson::Json => answer_json(&difference)?,
    }
    Ok(Exit::Done)
}
