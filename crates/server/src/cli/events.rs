//! `tutti events`: the history of a run.

use std::time::Duration;

use tutti_core::report::{fit, printable, rfc3339};
use tutti_core::run::Recorded;

use super::{EventsArgs, EventsForm, Global};
use crate::events::{EventLine, describe};
use crate::exit::{Exit, Result};
use crate::output::{answer, json_line, stdout_width};

/// How often the store is asked for more by `--follow`.
const POLL: Duration = Duration::from_millis(200);

/// # Errors
/// A run that is not there or cannot be read.
pub async fn execute(args: EventsArgs, global: &Global) -> Result<Exit> {
    let reader = global.store.open_reader().await?;
    let run = reader.find(&args.run.run).await?.run;
    let mut next = args.from.max(1);
    let width = stdout_width();
    if args.output == EventsForm::Table {
        answer(&format!("{:>6}  {:<27}  {:<18}  {:<20}  {}\n", "SEQ", "TIME", "EVENT", "STEP", "DETAIL"))?;
    }
    loop {
        // Asked first: what is recorded before the end is then in the page.
        let ended = reader.find(&run.to_string()).await?.status.is_ended();
        let page = reader.events(run, next).await?;
        let lines = page.iter().map(|event| match args.output {
            EventsForm::Jsonl => json_line(&EventLine::new(run, event)),
            EventsForm::Table => row(event, width),
        });
        answer(&lines.collect::<String>())?;
        next = page.last().map_or(next, |event| event.seq + 1);
        if page.is_empty() {
            if ended || !args.follow {
                return Ok(Exit::Done);
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

fn row(event: &Recorded, width: usize) -> String {
    let (step, detail) = describe(&event.event);
    let step = step.map_or("-", |step| step.as_str());
    let head = format!("{:>6}  {}  {:<18}  {step:<20}  ", event.seq, rfc3339(event.at), event.event.name());
    format!("{}\n", fit(&format!("{head}{}", printable(&detail)), width).trim_end())
}
