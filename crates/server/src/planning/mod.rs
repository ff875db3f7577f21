//! Plans as they are told, and workflows as they come of tasks in plain words.

mod local;
mod query;

use std::collections::BTreeMap;
use std::path::Path;

use tutti_core::ids::{Capability, Namespace};
use tutti_core::plan::Plan;
use tutti_core::ports::inbound::workflows::PlanDescription;
use tutti_core::report::PastRuns;
use tutti_core::workflow::Problem;
use tutti_engine::{PlanSubject, past_runs};
use tutti_planner::strategy::{SystemLoad, choose_from};
use tutti_planner::tasks::{TaskList, build};
use tutti_planner::{Analysis, PlanMode, PlanOrigin, PlanReport, Surroundings, picture, render_text};

pub use self::local::{QueryArgs, plan_query};
pub use self::query::QueryPlanner;

use crate::agents::AgentsFile;
use crate::cli::Global;
use crate::config::{Config, PlannerConfig, server_executor};
use crate::exit::{Failure, Result};
use crate::output::say;
use crate::workflow_file::{WorkflowFile, lines, text};

/// Columns of a plan as a server tells it.
const WIDTH: usize = 100;

/// A workflow to be planned, and how it came to be if it was not read.
pub struct Draft {
    /// The workflow, with its file.
    pub file: WorkflowFile,
    /// The text of the file.
    pub text: String,
    /// How it came to be.
    pub origin: Option<PlanOrigin>,
}

impl Draft {
    /// Reads a workflow, or makes one of a file of tasks.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(path: &Path, planner: &PlannerConfig, offers: Option<&Offers>) -> Result<Self> {
        let text = text(path)?;
        match TaskList::read(&text) {
            Some(Ok(list)) => Self::of_tasks(path, &list, planner, offers),
            Some(Err(problems)) => Err(refused(path, "the tasks cannot be used", &problems)),
            None => Ok(Self { file: WorkflowFile::read(path)?, text, origin: None }),
        }
    }

    /// Makes a workflow of tasks.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_tasks(path: &Path, list: &TaskList, planner: &PlannerConfig, offers: Option<&Offers>) -> Result<Self> {
        let offered: Vec<Capability> = offers.into_iter().flat_map(BTreeMap::keys).cloned().collect();
        let wrong = |problems: Vec<Problem>| refused(path, "the tasks make no workflow", &problems);
        let built = build(list, &planner.table(), &offered).map_err(wrong)?;
        let origin = PlanOrigin { planned_by: "tasks".into(), grouping: Some(built.grouping), ..PlanOrigin::default() };
        Self::written(path, built.text, origin)
    }

    /// A workflow that was written for somebody.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn written(path: &Path, text: String, origin: PlanOrigin) -> Result<Self> {
        let file = WorkflowFile::parse(path, &text)
            .map_err(|problems| refused(path, "the plan makes no workflow", &problems))?;
        Ok(Self { file, text, origin: Some(origin) })
    }
}

/// How many agents offer each capability.
pub type Offers = BTreeMap<Capability, u32>;

/// What the agents of an agents file offer, if all of them say so in it.
///
/// # Errors
/// A file that cannot be used.
pub fn offers(given: Option<&Path>, workflow: &Path) -> Result<Option<Offers>> {
    let Some(file) = AgentsFile::find(given, workflow)? else { return Ok(None) };
    let mut offers = Offers::new();
    for agent in &file.agents {
        let Some(capabilities) = &agent.capabilities else { return Ok(None) };
        for capability in capabilities {
            *offers.entry(capability.clone()).or_default() += 1;
        }
    }
    Ok(Some(offers))
}

/// What past runs of a workflow took that the store of this command remembers; nothing if there is no store.
pub async fn remembered(global: &Global, namespace: &Namespace, workflow: &tutti_core::ids::WorkflowId) -> PastRuns {
    let Ok(records) = global.store.open_documents().await else { return PastRuns::default() };
    past_runs(&*records, namespace, workflow).await.unwrap_or_else(|error| {
        say(format!("what past runs took cannot be read: {error}"));
        PastRuns::default()
    })
}

/// The report on a plan in the mode.
pub fn report(
    (plan, analysis): (&Plan, &Analysis),
    (executor, system): (tutti_core::workflow::Executor, SystemLoad),
    origin: Option<PlanOrigin>,
    (mode, offers): (PlanMode, Option<Offers>),
) -> PlanReport {
    let mut report = PlanReport::new(plan, analysis, choose_from(plan, analysis, executor, system));
    report.origin = origin;
    match mode {
        PlanMode::Simple => report,
        PlanMode::Sophisticated => report.sophisticated(plan, analysis, &Surroundings { offers }),
    }
}

/// The plan of a workflow that callers of a server ask about, as the server would run it.
///
/// # Errors
/// What is wrong with the workflow.
pub fn describe(subject: PlanSubject, config: &Config) -> std::result::Result<PlanDescription, Vec<Problem>> {
    let PlanSubject { workflow, past, offers, made } = subject;
    let origin = made.map(|made| PlanOrigin { planned_by: made.by, notes: made.notes, grouping: None });
    let executor = server_executor(workflow.executor, &config.execution);
    let plan = Plan::new(workflow)?;
    let analysis = Analysis::with(&plan, &past);
    let system = SystemLoad { cpu: None, available_workers: Some(plan.workflow().max_concurrent_tasks) };
    let mode = config.planner.mode(&config.execution);
    // A store that is only looked into knows no agents.
    let offers = Some(offers).filter(|offers| !offers.is_empty());
    let report = report((&plan, &analysis), (executor, system), origin, (mode, offers));
    Ok(PlanDescription {
        json: serde_json::to_string(&report).expect("a plan serializes into memory"),
        text: render_text(&report, WIDTH),
        mermaid: picture::mermaid(&report),
        dot: picture::dot(&report),
        ..PlanDescription::default()
    })
}

/// A file is refused for these problems.
pub fn refused(path: &Path, what: &str, problems: &[Problem]) -> Failure {
    Failure::usage(format!("{what}\n{}", lines(path, problems).trim_end()))
}
