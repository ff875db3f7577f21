//! `tutti events`: the history of a run.

use std::time::Duration;

use tutti_adapters_grpc::api::ApiError;
use tutti_core::ids::{Namespace, RunId};
use tutti_core::report::{fit, printable, rfc3339};
use tutti_core::run::Recorded;
use tutti_core::time::Timestamp;

use super::{EventsArgs, EventsForm, Global};
use crate::events::{EventLine, describe};
use crate::exit::{Exit, Result};
use crate::output::{answer, json_line, stdout_width};
use crate::remote;

/// How often the store is asked for more by `--follow`.
const POLL: Duration = Duration::from_millis(200);

/// # Errors
/// A run that is not there or cannot be read.
pub async fn execute(args: EventsArgs, global: &Global) -> Result<Exit> {
    let reader = args.source.open(global).await?;
    let run = reader.find(&args.run.run).await?.run;
    let mut next = args.from.max(1);
    let width = stdout_width();
    if args.output == EventsForm::Table {
        answer(&headline(width))?;
    }
    if let (Some(url), true) = (&args.source.server, args.follow) {
        return follow((url, &args.source.namespace), run, next, (args.output, width)).await;
    }
    loop {
        // Asked first: what is recorded before the end is then in the page.
        let ended = reader.find(&run.to_string()).await?.status.is_ended();
        let page = reader.events(run, next).await?;
        let lines = page.iter().map(|event| line(run, event, args.output, width));
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

/// The events of a server's run from a number on, as they happen.
async fn follow(
    (url, namespace): (&str, &Namespace),
    run: RunId,
    mut next: u64,
    (form, width): (EventsForm, usize),
) -> Result<Exit> {
    let client = remote::client(url)?;
    loop {
        let mut events = client.watch(namespace, run, next).await.map_err(|error| remote::failure(url, error))?;
        loop {
            match events.next().await {
                Ok(Some(event)) => {
                    answer(&line(run, &event, form, width))?;
                    next = event.seq + 1;
                }
                Ok(None) => return Ok(Exit::Done),
                // Whoever reads stdout was slow; nothing is lost.
                Err(ApiError::Interrupted(_)) => break,
                Err(error) => {
                    return Err(remote::failure(url, error)
                        .next(format!("tutti events {run} --server {url} --follow --from {next}")));
                }
            }
        }
    }
}

fn line(run: RunId, event: &Recorded, form: EventsForm, width: usize) -> String {
    match form {
        EventsForm::Jsonl => json_line(&EventLine::new(run, event)),
        EventsForm::Table => row(event, width),
    }
}

/// Columns of a terminal from which moments are shown whole.
const WHOLE_TIMES: usize = 100;

/// A moment; where there is little room, its time of day in UTC.
fn at(moment: Timestamp, width: usize) -> String {
    let whole = rfc3339(moment);
    if width < WHOLE_TIMES {
        whole.chars().skip("1970-01-01T".len()).take("00:00:00.000".len()).collect()
    } else {
        whole
    }
}

fn headline(width: usize) -> String {
    let time = at(Timestamp::from_micros(0), width).len();
    format!("{:>6}  {:<time$}  {:<18}  {:<20}  DETAIL\n", "SEQ", "TIME", "EVENT", "STEP")
}

fn row(event: &Recorded, width: usize) -> String {
    let (step, detail) = describe(&event.event);
    let step = step.map_or("-", |step| step.as_str());
    let head = format!("{:>6}  {}  {:<18}  {step:<20}  ", event.seq, at(event.at, width), event.event.name());
    format!("{}\n", fit(&format!("{head}{}", printable(&detail)), width).trim_end())
}
