//! `tutti resume`: an interrupted run from where it stood to the report, or a word to the engine that has it.

use std::path::Path;

use clap::Args;
use tutti_core::ids::{Namespace, RequestId};
use tutti_core::run::{Command, RunStatus};

use super::operate::{self, OperateArgs};
use super::{Global, ShowArgs, Source};
use crate::agents::AgentsFile;
use crate::conductor::{Begin, Conductor};
use crate::exit::{Exit, Failure, Result};
use crate::output::say;
use crate::report::{Ending, Home, Show};
use crate::store::ForCommands;

#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The run: its id, the beginning of it, or `latest`.
    #[arg(value_name = "RUN", required_unless_present = "filter", conflicts_with = "filter")]
    run: Option<String>,
    /// At a server, or beside one that has the store, all runs that a filter takes and that are held or set aside; asks
    /// first, or needs --yes.
    #[arg(short, long, value_name = "FILTER", allow_hyphen_values = true)]
    filter: Option<String>,
    #[command(flatten)]
    show: ShowArgs,
    /// Let a server go on with it, instead of this command.
    #[arg(long, env = "TUTTI_SERVER", value_name = "URL")]
    server: Option<String>,
    /// The namespace of the run.
    #[arg(long, env = "TUTTI_NAMESPACE", value_name = "NAME", default_value_t)]
    namespace: Namespace,
    /// Why; recorded if it goes on elsewhere.
    #[arg(long, default_value = "resumed")]
    reason: String,
    /// With a filter, say which runs are meant, and do nothing.
    #[arg(long, requires = "filter")]
    dry_run: bool,
    /// With a filter, do not ask.
    #[arg(short, long, requires = "filter")]
    yes: bool,
}

/// # Errors
/// A run that is not there, a store or agents that cannot be used.
pub async fn execute(args: ResumeArgs, global: Global) -> Result<Exit> {
    if let Some(server) = args.server.clone() {
        let operate = wanted(args.run.clone().into_iter().collect(), args, Some(server));
        return operate::execute(Command::Resume, operate, &global).await;
    }
    let Some(named) = &args.run else {
        return match global.store.open_for_commands().await? {
            ForCommands::Beside(_) => operate::execute(Command::Resume, wanted(Vec::new(), args, None), &global).await,
            ForCommands::Alone(_) => {
                let why = "nothing drives the runs of this store, and this command would drive one at a time";
                Err(Failure::usage(why).next("tutti serve in another terminal, then the same command again"))
            }
        };
    };
    let show = Show::of(&args.show, global.log.is_some());
    let reader = global.store.open_reader().await?.within(&args.namespace);
    let run = reader.find(named).await?;
    let view = reader.view(&run).await?;
    let status = view.status();
    if !status.takes_results() && status != RunStatus::Quarantined {
        let why = if status.is_ended() { "has ended" } else { "does not go on" };
        say(format!("run {} {why}: it is {status}", run.run));
        return show.ending(Ending { view, signal: None }, &reader, Home::Driven(&global.store)).await;
    }
    let store = match status {
        // A run that is held by the engine that has the store goes on there.
        RunStatus::Paused | RunStatus::Quarantined => match global.store.open_for_commands().await? {
            ForCommands::Alone(store) => store,
            ForCommands::Beside(_) => {
                let operate = wanted(vec![run.run.to_string()], args, None);
                return operate::execute(Command::Resume, operate, &global).await;
            }
        },
        _ => global.store.open().await?,
    };
    let began = view.created().map(|created| created.request);
    let next = format!("tutti resume {} --agents FILE", run.run);
    let agents = agents_of(args.show.agents.as_deref(), &global, began, &next)?;
    let conductor = Conductor::on(store, &global)?;
    Box::pin(conductor.conduct(&agents, Begin::Resume(Box::new(view)), &show)).await
}

/// What another engine is told.
fn wanted(runs: Vec<String>, args: ResumeArgs, server: Option<String>) -> OperateArgs {
    OperateArgs {
        runs,
        filter: args.filter,
        reason: args.reason,
        source: Source { server, namespace: args.namespace },
        request_id: None,
        dry_run: args.dry_run,
        yes: args.yes,
    }
}

/// The agents file that was given, or the one with which the run began.
///
/// # Errors
/// None that is known, or one that cannot be used.
pub fn agents_of(given: Option<&Path>, global: &Global, request: Option<RequestId>, next: &str) -> Result<AgentsFile> {
    if let Some(given) = given {
        return AgentsFile::read(given);
    }
    let noted = request.and_then(|request| global.store.place().agents_file(request));
    let noted = noted.or_else(|| global.config.agents.file.clone());
    let unknown = || Failure::usage("the agents file with which the run began is not known").next(next);
    AgentsFile::read(&noted.ok_or_else(unknown)?)
}
