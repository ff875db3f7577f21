//! `tutti run`: a workflow from its file to the report.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tutti_core::ids::{Capability, Namespace, RequestId};
use tutti_core::orchestration::{Orchestration, Settled, Wishes};
use tutti_core::plan::Plan;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inbound::runs::StartOptions;
use tutti_core::report::printable;
use tutti_core::run::Origin;
use tutti_core::schedule::StrategyDecision;
use tutti_core::value::Json;
use tutti_core::workflow::{Executor, Problem, Workflow, initial_data};
use tutti_engine::{StartRun, executors, planned_labels};
use tutti_planner::strategy::choose;

use super::orchestrate::OrchestrateArgs;
use super::submit::{Follows, Submission, replans, submit};
use super::watch::PatienceArgs;
use super::{ExecutorArg, Global, OnErrorArg, ShowArgs, by};
use crate::agents::AgentsFile;
use crate::clock::SystemClock;
use crate::conductor::{Begin, Conductor};
use crate::config::{Flags, settled};
use crate::exit::{Exit, Failure, Result};
use crate::output::say;
use crate::planning::{QueryArgs, plan_query};
use crate::report::Show;
use crate::workflow_file::{WorkflowFile, lines};
use crate::{inputs, load};

/// What `tutti run --help` says at its end.
const ENVIRONMENT: &str = "\
Environment, below flags and what the workflow file says, above the configuration file:
  ORCHESTRATION_MODE         basic, enhanced (chosen from the graph and the load) or parallel
  ENABLE_PARALLEL_EXECUTION  false: one step at a time, whatever the workflow file says
  PARALLEL_THRESHOLD         independent steps from which a run is parallel, if it is chosen
  CONNECTION_POOL_SIZE       most connections to agents that are kept";

#[derive(Debug, Args)]
#[command(after_help = ENVIRONMENT)]
pub struct RunArgs {
    /// The workflow, YAML or JSON; at a server also a registered one, as ID or ID@VERSION.
    #[arg(required_unless_present = "query")]
    file: Option<PathBuf>,
    #[command(flatten)]
    query: QueryArgs,
    /// An input: key=value (JSON, else text), key=@FILE (the text of a file), or a JSON file that holds an object of
    /// inputs. May be repeated; later ones win.
    #[arg(short, long = "input", value_name = "KEY=VALUE|FILE", conflicts_with = "query")]
    inputs: Vec<String>,
    #[command(flatten)]
    show: ShowArgs,
    /// How steps are run. Default: what the workflow says, then ORCHESTRATION_MODE, then auto.
    #[arg(long, value_enum)]
    executor: Option<ExecutorArg>,
    /// Most steps in flight at once. Default: what the workflow says.
    #[arg(long, value_name = "N", value_parser = crate::config::max_concurrent)]
    max_concurrent: Option<u32>,
    /// What a failed step means for the rest. Default: what the workflow says, then what the executor does.
    #[arg(long, value_enum)]
    on_error: Option<OnErrorArg>,
    #[command(flatten)]
    orchestrate: OrchestrateArgs,
    /// At a server: new plans that may follow if the run fails, one after the other, each for what is not done yet.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = replans(), requires = "server")]
    replan: u32,
    /// A UUID of the caller's: the same one starts one run, however often the command is repeated.
    #[arg(long, value_name = "UUID")]
    request_id: Option<RequestId>,
    /// Let a server run it, and watch it there; the agents are the server's.
    #[arg(long, env = "TUTTI_SERVER", value_name = "URL", conflicts_with_all = ["agents", "on_error"])]
    server: Option<String>,
    /// The namespace of the run.
    #[arg(long, env = "TUTTI_NAMESPACE", value_name = "NAME", default_value_t)]
    namespace: Namespace,
    #[command(flatten)]
    patience: PatienceArgs,
}

/// # Errors
/// Anything given that is wrong, a store or agents that cannot be used.
pub async fn execute(args: RunArgs, global: Global) -> Result<Exit> {
    if let Some(url) = &args.server {
        let wanted = Submission {
            namespace: args.namespace,
            follows: Follows::of(args.file.map(|file| file.to_string_lossy().into_owned()), args.query.query)?,
            inputs: args.inputs,
            request: args.request_id,
            options: StartOptions {
                executor: args.executor.map(Executor::from),
                max_concurrent_tasks: args.max_concurrent,
                by: by(),
                orchestration: args.orchestrate.into(),
                replan: args.replan,
                ..StartOptions::default()
            },
        };
        let show = Show::of(&args.show, global.log.is_some());
        return submit(wanted, url, Some(show), args.patience).await;
    }
    let began = SystemClock.now();
    let said = Wishes::from(args.orchestrate.clone());
    let mut args = args;
    args.query.alone = !global.config.orchestration.rules().delegates(&said);
    let (mut file, planned_by) = file(&args, &global).await?;
    let planned = SystemClock.now();
    let data = data(&file, &args.inputs)?;
    let agents = agents_for(args.show.agents.as_deref(), &global, &file)?;
    let mut orchestration = orchestrate(&said, &mut file, &agents, &global)?;
    let plan = Plan::new(file.workflow.clone()).map_err(|problems| refused(&file, &problems))?;
    let flags = Flags {
        executor: args.executor.map(Executor::from),
        max_concurrent: args.max_concurrent,
        on_error: args.on_error.map(Into::into),
    };
    let settled = settled(&file.workflow, file.explicit, &global.config.execution, flags);
    let strategy = strategy(&file, &plan, &settled).await?;
    if let Some(orchestration) = &mut orchestration {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        orchestration.planning_micros = planned_by.as_ref().map_or(0, |_| micros(planned.since(began)));
        orchestration.analysis_micros = micros(SystemClock.now().since(planned));
        orchestration.planned_by.clone_from(&planned_by);
    }
    let start = StartRun {
        namespace: args.namespace,
        request: args.request_id.unwrap_or_else(|| SystemClock.request_id()),
        plan,
        data,
        policy: executors::policy(&settled, strategy.executor),
        strategy,
        origin: Origin {
            labels: planned_labels(planned_by.as_deref(), None, 0),
            orchestration: orchestration.map(Box::new),
            ..Origin::default()
        },
        key_from: None,
        start_at: None,
        fork: None,
    };
    let show = Show::of(&args.show, global.log.is_some());
    let conductor = Conductor::open(&global).await?;
    Box::pin(conductor.conduct(&agents, Begin::Start(Box::new(start)), &show)).await
}

/// The workflow, and who planned it if it was made of a request.
async fn file(args: &RunArgs, global: &Global) -> Result<(WorkflowFile, Option<String>)> {
    if let Some(file) = &args.file {
        return Ok((WorkflowFile::read(file)?.with_named(global, &args.namespace).await?, None));
    }
    let query = args.query.query.as_deref().unwrap_or_default();
    let named = args.show.agents.as_deref().or(global.config.agents.file.as_deref());
    let agents = AgentsFile::find(named, "workflow.yaml".as_ref())?;
    let (draft, _) = plan_query(query, &args.query, global, (agents.as_ref(), &args.namespace)).await?;
    let by = draft.origin.map(|origin| origin.planned_by);
    if let Some(by) = &by {
        say(format!(
            "planned by {}: {} of {} steps",
            printable(by),
            draft.file.workflow.id,
            draft.file.workflow.steps.len()
        ));
    }
    Ok((draft.file, by))
}

/// How the run is orchestrated, if anybody asks for that; the workflow gets the settings that follow from it.
fn orchestrate(
    said: &Wishes,
    file: &mut WorkflowFile,
    agents: &AgentsFile,
    global: &Global,
) -> Result<Option<Orchestration>> {
    let plan = Plan::new(file.workflow.clone()).map_err(|problems| refused(file, &problems))?;
    let rules = global.config.orchestration.rules();
    let offers = |asked: &Capability| {
        agents.agents.iter().filter_map(|agent| agent.capabilities.as_ref()).any(|offered| offered.contains(asked))
    };
    let settled = rules.settle(&plan, said, offers).map_err(|problems| refused(file, &problems))?;
    Ok(settled.map(|Settled { workflow, orchestration, .. }| {
        file.explicit.executor |= workflow.executor != file.workflow.executor;
        file.workflow = workflow;
        orchestration
    }))
}

/// The data of a run with these inputs.
pub(super) fn data(file: &WorkflowFile, arguments: &[String]) -> Result<Json> {
    let inputs = inputs::collect(arguments, &file.workflow, file.folder())?;
    initial_data(&file.workflow, &inputs).map_err(|problems| {
        let told: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
        Failure::usage(format!("the inputs do not fit the workflow\n{}", told.join("\n")))
    })
}

/// The agents that are named, or those of the workflow's folder.
pub(super) fn agents_for(named: Option<&Path>, global: &Global, file: &WorkflowFile) -> Result<AgentsFile> {
    let named = named.or(global.config.agents.file.as_deref());
    let agents = AgentsFile::find(named, &file.path)?.ok_or_else(|| {
        Failure::usage(format!("there is no agents file beside {}", file.path.display()))
            .next("write agents.yaml beside it, or name one by --agents FILE")
    })?;
    // What can be told without starting an agent is told before one is started.
    let unmet = agents.unmet(&file.workflow, &file.document);
    if unmet.is_empty() { Ok(agents) } else { Err(refused(file, &unmet)) }
}

/// The executor that the settled workflow asks for, or the one that suits the graph and the load.
pub(super) async fn strategy(file: &WorkflowFile, plan: &Arc<Plan>, settled: &Workflow) -> Result<StrategyDecision> {
    let system = load::system(settled).await;
    if *settled == file.workflow {
        return Ok(choose(plan, settled.executor, system));
    }
    let plan = Plan::new(settled.clone()).map_err(|problems| refused(file, &problems))?;
    Ok(choose(&plan, settled.executor, system))
}

/// The workflow file has these problems.
pub(super) fn refused(file: &WorkflowFile, problems: &[Problem]) -> Failure {
    Failure::usage(format!("the workflow cannot run\n{}", lines(&file.path, problems).trim_end()))
        .next(format!("tutti lint {}", file.path.display()))
}
