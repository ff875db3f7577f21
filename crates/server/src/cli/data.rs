//! `tutti data`: the data of a run, or the output of one of its steps.

use super::{DataArgs, Global};
use crate::exit::{Exit, Failure, Result};
use crate::output::answer_bytes;

/// # Errors
/// A run that is not there or cannot be read.
pub async fn execute(args: &DataArgs, global: &Global) -> Result<Exit> {
    let reader = args.source.open(global).await?;
    let run = reader.find(&args.run.run).await?;
    let view = reader.view(&run).await?;
    // As the producers wrote it: a reader that cares formats it.
    let data = match &args.step {
        None => reader.data(&view).await?,
        Some(path) => {
            let named = path.escape_debug();
            let found = path.parse().ok().and_then(|path| view.plan().find(&path));
            let index = found.ok_or_else(|| {
                Failure::usage(format!("run {} has no step \"{named}\"", run.run))
                    .next(format!("tutti get {}", run.run))
            })?;
            let none = || Failure::usage(format!("step \"{named}\" has no output"));
            reader.value(run.run, view.step(index).output.ok_or_else(none)?).await?
        }
    };
    answer_bytes(data.bytes())?;
    answer_bytes(b"\n")?;
    Ok(Exit::Done)
}
