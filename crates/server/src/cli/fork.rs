//! `tutti fork` and `restart`: a new run that begins where another one stands or stood.

use clap::Args;
use tutti_core::ids::{LabelName, RequestId, RunKey};
use tutti_core::ports::inbound::runs::{ForkRequest, KeyPolicy};
use tutti_core::run::Point;
use tutti_core::value::{DataPath, Json};
use tutti_engine::prepare_fork;

use super::submit::label;
use super::{Global, RunSelector, ShowArgs, Source, by, resume};
use crate::clock::SystemClock;
use crate::conductor::{Begin, Conductor};
use crate::exit::{Exit, Failure, Result};
use crate::output::{answer, say};
use crate::remote;
use crate::report::Show;

#[derive(Debug, Args)]
pub struct ForkArgs {
    /// The point in the other run's history: the number of an event, or the name of a checkpoint. Default: where it stands.
    #[arg(long, value_name = "SEQ|CHECKPOINT")]
    at: Option<String>,
    /// A change of the data there: JSON, else text. May be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = change)]
    changes: Vec<(DataPath, Json)>,
    #[command(flatten)]
    new: NewArgs,
}

#[derive(Debug, Args)]
pub struct RestartArgs {
    #[command(flatten)]
    new: NewArgs,
}

/// The other run, and what is said of the new one.
#[derive(Debug, Args)]
struct NewArgs {
    #[command(flatten)]
    run: RunSelector,
    /// An idempotency key for the new run.
    #[arg(long, value_name = "KEY")]
    key: Option<RunKey>,
    /// A label for lists and filters. May be repeated. Those of the other run are not taken over.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(LabelName, String)>,
    /// A UUID of the caller's: the same one starts one run, however often the command is repeated.
    #[arg(long, value_name = "UUID")]
    request_id: Option<RequestId>,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    show: ShowArgs,
}

/// Starts a run where another one stands or stood: at a server, which answers with its id, or here, to its end.
///
/// # Errors
/// A run or a point that is not there, a change that cannot be made, a server, a store or agents that cannot be used.
pub async fn fork(args: ForkArgs, global: Global) -> Result<Exit> {
    let at = args.at.map(|at| match at.parse() {
        Ok(seq) => Point::Seq(seq),
        Err(_) => Point::Checkpoint(at),
    });
    start(args.new, at, args.changes, global).await
}

/// Starts a run anew.
///
/// # Errors
/// As [`fork`].
pub async fn restart(args: RestartArgs, global: Global) -> Result<Exit> {
    // After its first event nothing of a run is done.
    start(args.new, Some(Point::Seq(1)), Vec::new(), global).await
}

async fn start(args: NewArgs, at: Option<Point>, changes: Vec<(DataPath, Json)>, global: Global) -> Result<Exit> {
    let reader = args.source.open(&global).await?;
    let parent = reader.find(&args.run.run).await?;
    let request = ForkRequest {
        namespace: args.source.namespace.clone(),
        request: args.request_id.unwrap_or_else(|| SystemClock.request_id()),
        from: parent.run,
        at,
        changes,
        key: args.key.map(|key| (key, KeyPolicy::default())),
        labels: args.labels.into_iter().collect(),
        by: by(),
    };
    if let Some(url) = &args.source.server {
        let started = remote::client(url)?.fork(request).await.map_err(|error| remote::failure(url, error))?;
        if started.existed {
            say("the run was there before");
        }
        return answer(&format!("{}\n", started.run)).map(|()| Exit::Done);
    }
    let start = prepare_fork(&*reader.query, &*reader.payloads, &parent, request).await;
    let start = start.map_err(|error| Failure::usage(error.to_string()))?;
    let began = reader.view(&parent).await?.created().map(|created| created.request);
    let agents = resume::agents_of(args.show.agents.as_deref(), &global, began, "tutti fork RUN --agents FILE")?;
    let show = Show::of(&args.show, global.log.is_some());
    drop(reader);
    let conductor = Conductor::open(&global).await?;
    Box::pin(conductor.conduct(&agents, Begin::Start(Box::new(start)), &show)).await
}

fn change(text: &str) -> std::result::Result<(DataPath, Json), String> {
    let (path, value) = text.split_once('=').ok_or("a change is PATH=VALUE")?;
    // What is no JSON is a text, as for inputs.
    let value = match Json::parse(value.to_owned()) {
        Ok(value) => value,
        Err(_) => Json::of(&value).map_err(|error| error.to_string())?,
    };
    Ok((path.parse()?, value))
}
