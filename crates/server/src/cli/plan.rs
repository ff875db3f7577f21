//! `tutti plan`: what a workflow would do, without running it.

use tutti_core::plan::Plan;
use tutti_core::ports::inbound::workflows::PlanDescription;
use tutti_core::workflow::{Problem, Workflow};
use tutti_planner::strategy::{SystemLoad, choose_from};
use tutti_planner::{Analysis, PlanReport, picture, render_text};

use super::run::refused;
use super::{Global, PlanArgs, PlanForm};
use crate::config::{ExecutionConfig, Flags, server_executor, settled};
use crate::exit::{Exit, Result};
use crate::load;
use crate::output::{answer, answer_json, stdout_width};
use crate::workflow_file::WorkflowFile;

/// Columns of a plan as a server tells it.
const WIDTH: usize = 100;

/// # Errors
/// A workflow that cannot be used.
pub async fn execute(args: &PlanArgs, global: &Global) -> Result<Exit> {
    let file = WorkflowFile::read(&args.file)?;
    let settled = settled(&file.workflow, file.explicit, &global.config.execution, Flags::default());
    let (executor, system) = (settled.executor, load::system(&settled).await);
    let plan = Plan::new(settled).map_err(|problems| refused(&file, &problems))?;
    let analysis = Analysis::new(&plan);
    let report = PlanReport::new(&plan, &analysis, choose_from(&plan, &analysis, executor, system));
    match args.output {
        PlanForm::Text => answer(&render_text(&report, stdout_width()))?,
        PlanForm::Json => answer_json(&report)?,
        PlanForm::Mermaid => answer(&picture::mermaid(&report))?,
        PlanForm::Dot => answer(&picture::dot(&report))?,
    }
    Ok(Exit::Done)
}

/// The plan of a workflow that callers of a server ask about, as the server would run it.
///
/// # Errors
/// What is wrong with the workflow.
pub fn describe(workflow: Workflow, execution: &ExecutionConfig) -> std::result::Result<PlanDescription, Vec<Problem>> {
    let executor = server_executor(workflow.executor, execution);
    let plan = Plan::new(workflow)?;
    let analysis = Analysis::new(&plan);
    let system = SystemLoad { cpu: None, available_workers: Some(plan.workflow().max_concurrent_tasks) };
    let report = PlanReport::new(&plan, &analysis, choose_from(&plan, &analysis, executor, system));
    Ok(PlanDescription {
        json: serde_json::to_string(&report).expect("a plan serializes into memory"),
        text: render_text(&report, WIDTH),
        mermaid: picture::mermaid(&report),
        dot: picture::dot(&report),
    })
}
