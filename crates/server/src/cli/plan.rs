//! `tutti plan`: what a workflow would do, without running it.

use tutti_core::plan::Plan;
use tutti_planner::strategy::choose_from;
use tutti_planner::{Analysis, PlanReport, picture, render_text};

use super::run::refused;
use super::{Global, PlanArgs, PlanForm};
use crate::config::{Flags, settled};
use crate::exit::{Exit, Result};
use crate::load;
use crate::output::{answer, answer_json, stdout_width};
use crate::workflow_file::WorkflowFile;

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
