//! `tutti compare`: a workflow run several times one step at a time and several times side by side.

use std::path::PathBuf;

use clap::Args;
use tutti_core::ids::Namespace;
use tutti_core::plan::Plan;
use tutti_core::report::{Comparison, RunView, render_comparison};
use tutti_core::run::{Origin, RunStatus};
use tutti_core::workflow::Executor;
use tutti_engine::{StartRun, executors};

use super::run::{agents_for, data, refused, strategy};
use super::{Global, TextOrJson};
use crate::clock::SystemClock;
use crate::conductor::Conductor;
use crate::config::{Flags, settled};
use crate::exit::{Exit, Failure, Result};
use crate::output::{answer, answer_json, say, stdout_width};
use crate::workflow_file::WorkflowFile;

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The workflow, YAML or JSON.
    file: PathBuf,
    /// How often it is run in each way, 1 to 100.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
    /// An input, as for `tutti run`.
    #[arg(short, long = "input", value_name = "KEY=VALUE|FILE")]
    inputs: Vec<String>,
    /// The agents. Default: what the configuration says, then agents.yaml beside the workflow.
    #[arg(long, value_name = "FILE")]
    agents: Option<PathBuf>,
    /// Most steps in flight at once in the parallel runs. Default: what the workflow says.
    #[arg(long, value_name = "N", value_parser = crate::config::max_concurrent)]
    max_concurrent: Option<u32>,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
    /// The namespace of the runs.
    #[arg(long, env = "TUTTI_NAMESPACE", value_name = "NAME", default_value_t)]
    namespace: Namespace,
}

/// # Errors
/// Anything given that is wrong, a store or agents that cannot be used, a run that does not complete.
pub async fn execute(args: CompareArgs, global: Global) -> Result<Exit> {
    let file = WorkflowFile::read(&args.file)?;
    let agents = agents_for(args.agents.as_deref(), &global, &file)?;
    let (mut starts, mut ways) = (Vec::new(), Vec::new());
    // In turns, so that whatever changes on the machine meanwhile meets both ways.
    for _ in 0..args.runs {
        for executor in [Executor::Basic, Executor::Parallel] {
            starts.push(start(&args, &global, &file, executor).await?);
            ways.push(executor);
        }
    }
    let all = starts.len();
    let conductor = Conductor::open(&global).await?;
    let reader = conductor.reader().within(&args.namespace);
    let mut done = 0;
    let views = Box::pin(conductor.rehearse(&agents, starts, |view| {
        let way = if ways[done] == Executor::Basic { "one step at a time" } else { "side by side" };
        done += 1;
        say(format!("{done} of {all}  {way:<18}  {}", view.status()));
        ended_well(view)
    }))
    .await?;
    let (mut sequential, mut parallel, mut width) = (Vec::new(), Vec::new(), 0);
    for (view, way) in views.iter().zip(ways) {
        let figures = reader.figures(view).await?;
        if way == Executor::Basic {
            sequential.push(figures);
        } else {
            width = width.max(view.peak_in_flight());
            parallel.push(figures);
        }
    }
    let workflow = &file.workflow;
    let task = if workflow.description.is_empty() { workflow.title() } else { &workflow.description };
    let comparison = Comparison::new(workflow.id.clone(), task.trim().to_owned(), &sequential, &parallel, width);
    match args.output {
        TextOrJson::Text => answer(&render_comparison(&comparison, stdout_width()))?,
        TextOrJson::Json => answer_json(&comparison)?,
    }
    Ok(Exit::Done)
}

/// A run that did not complete says nothing about the way in which it was run.
fn ended_well(view: &RunView) -> Result<()> {
    match (view.status(), view.run()) {
        (RunStatus::Completed, _) => Ok(()),
        (status, run) => {
            let run = run.map(|run| run.to_string()).unwrap_or_default();
            let why = view.error().map(|why| format!(": {}", tutti_core::report::printable(&why))).unwrap_or_default();
            let what = format!("run {run} is {status}, so there is nothing to compare{why}");
            Err(Failure::of(Exit::of_run(status), what).next(format!("tutti get {run}")))
        }
    }
}

async fn start(args: &CompareArgs, global: &Global, file: &WorkflowFile, executor: Executor) -> Result<StartRun> {
    let flags = Flags { executor: Some(executor), max_concurrent: args.max_concurrent, on_error: None };
    let settled = settled(&file.workflow, file.explicit, &global.config.execution, flags);
    let plan = Plan::new(file.workflow.clone()).map_err(|problems| refused(file, &problems))?;
    let strategy = strategy(file, &plan, &settled).await?;
    Ok(StartRun {
        namespace: args.namespace.clone(),
        request: SystemClock.request_id(),
        data: data(file, &args.inputs)?,
        policy: executors::policy(&settled, strategy.executor),
        plan,
        strategy,
        origin: Origin::default(),
        key_from: None,
        start_at: None,
        fork: None,
    })
}
