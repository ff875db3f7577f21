//! `tutti data`: the data of a run.

use super::{DataArgs, Global};
use crate::exit::{Exit, Result};
use crate::output::answer_bytes;

/// # Errors
/// A run that is not there or cannot be read.
pub async fn execute(args: &DataArgs, global: &Global) -> Result<Exit> {
    let reader = args.source.open(global).await?;
    let run = reader.find(&args.run.run).await?;
    let view = reader.view(&run).await?;
    // As the producers wrote it: a reader that cares formats it.
    let data = reader.data(&view).await?;
    answer_bytes(data.bytes())?;
    answer_bytes(b"\n")?;
    Ok(Exit::Done)
}
