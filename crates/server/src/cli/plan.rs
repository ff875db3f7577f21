//! `tutti plan`: what a workflow would do, without running it; and workflows made of tasks.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tutti_core::ids::Namespace;
use tutti_core::plan::Plan;
use tutti_core::ports::inbound::runs::WorkflowSource;
use tutti_core::report::printable;
use tutti_planner::tasks::TaskList;
use tutti_planner::{Analysis, PlanMode, PlanReport, picture, render_text};

use super::Global;
use super::run::refused;
use crate::agents::AgentsFile;
use crate::config::{Flags, settled};
use crate::exit::{Exit, Failure, Result};
use crate::output::{answer, answer_json, say, stdout_width};
use crate::planning::{Draft, Offers, QueryArgs, offers, plan_query, remembered, report};
use crate::{load, remote};

/// Where a workflow stands that was not read from a file.
const MADE: &str = "tasks.yaml";

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The workflow, or a list of tasks in plain words, YAML or JSON.
    #[arg(required_unless_present_any = ["tasks", "query"])]
    file: Option<PathBuf>,
    /// A task in plain words, in place of a file. May be repeated: tasks are grouped by service, the groups run side by
    /// side, the tasks of each in order.
    #[arg(long = "task", value_name = "TEXT", conflicts_with_all = ["file", "query"])]
    tasks: Vec<String>,
    #[command(flatten)]
    query: QueryArgs,
    /// Let a server plan the request, with its agents.
    #[arg(long, env = "TUTTI_SERVER", value_name = "URL")]
    server: Option<String>,
    /// How much the plan tells. Default: what the configuration says.
    #[arg(long, value_enum)]
    mode: Option<ModeArg>,
    /// Write the workflow to a file.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// The agents, whose capabilities tasks are given. Default: what the configuration says, then agents.yaml beside the
    /// file, if there is one.
    #[arg(long, value_name = "FILE")]
    agents: Option<PathBuf>,
    /// The namespace whose past runs estimates come from.
    #[arg(long, env = "TUTTI_NAMESPACE", value_name = "NAME", default_value_t)]
    namespace: Namespace,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = PlanForm::Text)]
    output: PlanForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanForm {
    Text,
    Json,
    Mermaid,
    Dot,
    /// The workflow itself, YAML.
    Workflow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// Order, times and strategy.
    Simple,
    /// Resources, risks, quality and a score, too.
    Sophisticated,
}

/// # Errors
/// A workflow or tasks that cannot be used.
pub async fn execute(args: &PlanArgs, global: &Global) -> Result<Exit> {
    let config = &global.config;
    if let (Some(query), Some(url)) = (&args.query.query, &args.server) {
        return by_server(query, args, url).await;
    }
    let (draft, offers) = draft(args, global).await?;
    if let Some(target) = &args.write {
        write(target, &draft.text)?;
    }
    if args.output == PlanForm::Workflow {
        return answer(&draft.text).map(|()| Exit::Done);
    }
    let mode = match args.mode {
        Some(ModeArg::Simple) => PlanMode::Simple,
        Some(ModeArg::Sophisticated) => PlanMode::Sophisticated,
        None => config.planner.mode(&config.execution),
    };
    let file = &draft.file.with_named(global, &args.namespace).await?;
    let settled = settled(&file.workflow, file.explicit, &config.execution, Flags::default());
    let chosen = (settled.executor, load::system(&settled).await);
    let plan = Plan::new(settled).map_err(|problems| refused(file, &problems))?;
    let past = remembered(global, &args.namespace, &file.workflow.id).await;
    let analysis = Analysis::with(&plan, &past);
    show(&report((&plan, &analysis), chosen, draft.origin, (mode, offers)), args.output)
}

/// The workflow that is to be planned, and what there are agents for.
async fn draft(args: &PlanArgs, global: &Global) -> Result<(Draft, Option<Offers>)> {
    let config = &global.config;
    let path = args.file.as_deref().unwrap_or(Path::new(MADE));
    let named = args.agents.as_deref().or(config.agents.file.as_deref());
    if let Some(query) = &args.query.query {
        let agents = AgentsFile::find(named, path)?;
        return plan_query(query, &args.query, global, (agents.as_ref(), &args.namespace)).await;
    }
    let offers = offers(named, path)?;
    let draft = match &args.file {
        Some(file) => Draft::read(file, &config.planner, offers.as_ref())?,
        None => Draft::of_tasks(path, &TaskList::of(args.tasks.clone()), &config.planner, offers.as_ref())?,
    };
    Ok((draft, offers))
}

/// The plan of a request that a server makes.
async fn by_server(query: &str, args: &PlanArgs, url: &str) -> Result<Exit> {
    let source = WorkflowSource::Query(query.to_owned());
    let planned = remote::client(url)?.plan_workflow(&args.namespace, &source).await;
    let plan = planned.map_err(|error| remote::failure(url, error))?;
    plan.notes.iter().for_each(|note| say(printable(note)));
    if let Some(target) = &args.write {
        write(target, &plan.workflow)?;
    }
    answer(&match args.output {
        PlanForm::Text => plan.text,
        PlanForm::Json => format!("{}\n", plan.json),
        PlanForm::Mermaid => plan.mermaid,
        PlanForm::Dot => plan.dot,
        PlanForm::Workflow => plan.workflow,
    })?;
    Ok(Exit::Done)
}

/// Answers with a plan.
fn show(report: &PlanReport, form: PlanForm) -> Result<Exit> {
    match form {
        PlanForm::Text => answer(&render_text(report, stdout_width()))?,
        PlanForm::Json => answer_json(report)?,
        PlanForm::Mermaid => answer(&picture::mermaid(report))?,
        PlanForm::Dot => answer(&picture::dot(report))?,
        PlanForm::Workflow => {}
    }
    Ok(Exit::Done)
}

/// Writes a workflow to a file that is not there yet.
fn write(target: &Path, text: &str) -> Result<()> {
    let shown = target.display();
    let mut options = std::fs::OpenOptions::new();
    let made = options.write(true).create_new(true).open(target);
    made.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .map_err(|error| Failure::usage(format!("{shown} cannot be written: {error}")))?;
    say(format!("the workflow was written to {shown}"));
    Ok(())
}
