//! `tutti patch`: another plan for a run that goes on.

use std::path::PathBuf;

use clap::Args;
use tutti_core::ids::RequestId;
use tutti_core::ports::inbound::runs::PatchRequest;
use tutti_core::report::{PlanDiff, printable};
use tutti_core::run::{Command, Order};
use tutti_core::workflow::PlanPatch;
use tutti_engine::prepare_patch;

use super::operate::Target;
use super::{Global, RunSelector, Source, TextOrJson, by};
use crate::clock::SystemClock;
use crate::exit::{Exit, Failure, Result};
use crate::output::{answer, answer_json, say};
use crate::remote;
use crate::workflow_file::{lines, text_of};

#[derive(Debug, Args)]
pub struct PatchArgs {
    #[command(flatten)]
    run: RunSelector,
    /// The change, YAML or JSON: `add` and `replace` (steps), `remove` (ids), `max_concurrent_tasks`, `base` (the revision that it
    /// was made from).
    #[arg(required_unless_present = "width")]
    file: Option<PathBuf>,
    /// Steps in flight at once from now on: 1 is one after another.
    #[arg(long, value_name = "N", value_parser = crate::config::max_concurrent)]
    width: Option<u32>,
    /// Say what would become of the plan, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Why; recorded in the history of the run.
    #[arg(long)]
    reason: Option<String>,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
    #[command(flatten)]
    source: Source,
    /// A UUID of the caller's for this request: a run applies one once.
    #[arg(long, value_name = "UUID")]
    request_id: Option<RequestId>,
}

/// Changes the plan of a run: at a server, or in a store, whether an engine has it or not.
///
/// # Errors
/// A change that cannot be read or that the run does not take; a run that is not there, a server or a store that cannot be used.
pub async fn execute(args: PatchArgs, global: &Global) -> Result<Exit> {
    let patch = read(&args)?;
    let reason = args.reason.clone().unwrap_or_else(|| "changed by hand".to_owned());
    let request = Some(args.request_id.unwrap_or_else(|| SystemClock.request_id()));
    let order = Order { by: by(), reason, request };
    let reader = args.source.open(global).await?;
    let run = reader.find(&args.run.run).await?;
    let diff = if let Some(url) = &args.source.server {
        let patch = serde_json::to_string(&patch).map_err(|error| Failure::usage(error.to_string()))?;
        let namespace = args.source.namespace.clone();
        let wanted = PatchRequest { namespace, run: run.run, patch, order, dry_run: args.dry_run };
        remote::client(url)?.patch(wanted).await.map_err(|error| remote::failure(url, error))?.diff
    } else {
        let view = reader.view(&run).await?;
        let is_applied = view.state().zip(order.request).is_some_and(|(state, request)| state.has_applied(request));
        if is_applied {
            None
        } else {
            let records = global.store.open_documents().await?;
            let (patch, diff) = prepare_patch(&*records, &args.source.namespace, &view, patch).await?;
            drop((records, reader));
            if !args.dry_run {
                let command = Command::Patch { patch: Box::new(patch) };
                Target::open(&args.source, global).await?.apply(run.run, &command, &order).await?;
            }
            Some(diff)
        }
    };
    tell(diff.as_ref(), &args)
}

/// The change that the arguments say.
fn read(args: &PatchArgs) -> Result<PlanPatch> {
    let mut patch = PlanPatch::default();
    if let Some(file) = &args.file {
        patch = PlanPatch::parse(&text_of("change", file)?).map_err(|problems| {
            Failure::usage(format!("the change cannot be used\n{}", lines(file, &problems).trim_end()))
        })?;
    }
    patch.max_concurrent_tasks = args.width.or(patch.max_concurrent_tasks);
    Ok(patch)
}

fn tell(diff: Option<&PlanDiff>, args: &PatchArgs) -> Result<Exit> {
    let Some(diff) = diff else {
        say("this request was applied before");
        return Ok(Exit::Done);
    };
    match args.output {
        TextOrJson::Json => answer_json(diff)?,
        TextOrJson::Text => {
            answer(&diff.to_string().lines().map(|line| format!("{}\n", printable(line))).collect::<String>())?;
        }
    }
    if args.dry_run {
        say("nothing was changed");
    }
    Ok(Exit::Done)
}
