//! The plan as data. Its field names are stable; spans are numbers of seconds.

use serde::Serialize;
use tutti_core::ids::{AgentId, StepId, WorkflowId};
use tutti_core::plan::{Plan, StepIndex};
use tutti_core::schedule::StrategyDecision;
use tutti_core::value::Digest;
use tutti_core::workflow::{Executor, Priority};

use crate::analysis::{Analysis, DEFAULT_ESTIMATE, EstimateSource};
use crate::assessment::{Assessment, PlanMode, Surroundings};
use crate::opportunity::Opportunities;
use crate::tasks::Grouping;

/// What a plan promises, without running anything.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanReport {
    /// The workflow.
    pub workflow: WorkflowId,
    /// Its title.
    pub title: String,
    /// The author's version of it.
    pub version: String,
    /// Its definition, by content.
    pub definition: Digest,
    /// How a run that starts now would be coordinated.
    pub coordination_strategy: CoordinationStrategy,
    /// The executor of such a run, and why.
    pub strategy: StrategyDecision,
    /// Most steps in flight at once.
    pub max_concurrent_tasks: u32,
    /// Independent steps from which `auto` runs in parallel.
    pub parallel_threshold: u32,
    /// Every step, in the order of the workflow.
    pub tasks: Vec<TaskPlan>,
    /// The steps by level: each level depends only on the ones before it.
    pub levels: Vec<LevelPlan>,
    /// The stages that the workflow names, in the order in which they come first in the graph.
    pub stages: Vec<StagePlan>,
    /// The chain of steps that decides the time, first one first.
    pub critical_path: Vec<StepId>,
    /// The time of all steps one after another.
    pub estimated_total_time: f64,
    /// The time of the critical path: all steps, any number at once.
    pub estimated_parallel_time: f64,
    /// `estimated_total_time − estimated_parallel_time`.
    pub estimated_time_saved: f64,
    /// `1 − estimated_parallel_time ÷ estimated_total_time`.
    pub parallel_potential: f64,
    /// The time with at most `max_concurrent_tasks` steps at once.
    pub estimated_makespan: f64,
    /// The time under the strategy: the total if it is sequential, otherwise the makespan.
    pub expected_duration: f64,
    /// The largest set of steps of which none depends on another.
    pub widest_independent_set: IndependentSet,
    /// Steps of whose duration neither the workflow nor past runs tell.
    pub steps_without_estimate: Vec<StepId>,
    /// What those are assumed to take.
    pub default_estimate: f64,
    /// What could run side by side.
    pub parallel_opportunities: Opportunities,
    /// How much the report tells.
    pub planning_mode: PlanMode,
    /// How it came to be, if it was not read from a workflow.
    #[serde(flatten)]
    pub origin: Option<PlanOrigin>,
    /// What the sophisticated mode adds.
    #[serde(flatten)]
    pub assessment: Option<Assessment>,
}

/// How a plan came to be that was not read from a workflow.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PlanOrigin {
    /// Who made it: `tasks`, `agent NAME`, `template NAME` or `keyword rules`.
    pub planned_by: String,
    /// What happened on the way, such as why the answer of an agent was not used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// How tasks were grouped.
    #[serde(flatten)]
    pub grouping: Option<Grouping>,
}

/// How the steps of a run are coordinated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CoordinationStrategy {
    /// One step at a time: executor `basic`.
    Sequential,
    /// Independent steps at once: executor `parallel`.
    Parallel,
    /// Switched while the run goes on: executor `dynamic`.
    Hybrid,
}

/// One step of the plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskPlan {
    /// The step.
    pub id: StepId,
    /// What its agent must be able to do.
    pub capability: String,
    /// The agent that it is pinned to.
    pub agent: Option<AgentId>,
    /// Its stage label.
    pub stage: Option<String>,
    /// Its level, from 0.
    pub level: u32,
    /// The steps that must be complete before it starts.
    pub dependencies: Vec<StepId>,
    /// What it is expected to take.
    pub estimated_duration: f64,
    /// True if nobody says so and the default stands.
    pub estimate_assumed: bool,
    /// Where that comes from.
    pub estimate_source: EstimateSource,
    /// What past runs took, if any are remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub past: Option<PastTimes>,
    /// When it could start at the earliest.
    pub earliest_start: f64,
    /// How much later it could end without the whole ending later.
    pub slack: f64,
    /// True if it is on the critical path that is shown.
    pub on_critical_path: bool,
    /// False if it runs alone.
    pub parallel_safe: bool,
    /// Which of several ready steps starts first.
    pub priority: Priority,
    /// True if a checkpoint is recorded before it.
    pub critical: bool,
}

/// What a step took in past runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PastTimes {
    /// Half of them took no longer.
    pub p50: f64,
    /// Nine of ten took no longer.
    pub p90: f64,
    /// How many runs this goes by.
    pub runs: u32,
}

/// One level of the graph.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LevelPlan {
    /// Its number, from 0.
    pub level: u32,
    /// Its steps.
    pub steps: Vec<StepId>,
    /// The stages that these belong to; at most the first hundred.
    pub stages: Vec<String>,
}

/// One stage: the steps that share a label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StagePlan {
    /// The label (the author's text).
    pub stage: String,
    /// Its steps, in the order of the graph.
    pub steps: Vec<StepId>,
    /// The levels on which they are.
    pub levels: Vec<u32>,
}

/// Steps of which none depends on another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IndependentSet {
    /// How many they are.
    pub size: usize,
    /// The steps, in the order of the workflow.
    pub steps: Vec<StepId>,
    /// True if there is no larger set; false for a large graph, whose widest level stands here.
    pub exact: bool,
}

impl PlanReport {
    /// The report on a plan under a decision of [`strategy`](crate::strategy).
    #[must_use]
    pub fn new(plan: &Plan, analysis: &Analysis, strategy: StrategyDecision) -> Self {
        let workflow = plan.workflow();
        let coordination_strategy = CoordinationStrategy::of(strategy.executor);
        let expected = match coordination_strategy {
            CoordinationStrategy::Sequential => analysis.estimated_total_time,
            CoordinationStrategy::Parallel | CoordinationStrategy::Hybrid => analysis.estimated_makespan,
        };
        Self {
            workflow: workflow.id.clone(),
            title: workflow.title().to_owned(),
            version: workflow.version.clone(),
            definition: plan.definition(),
            coordination_strategy,
            strategy,
            max_concurrent_tasks: workflow.max_concurrent_tasks,
            parallel_threshold: workflow.parallel_threshold,
            tasks: tasks(plan, analysis),
            levels: levels(plan, analysis),
            stages: stages(plan, analysis),
            critical_path: names(plan, &analysis.critical_path),
            estimated_total_time: analysis.estimated_total_time.as_secs_f64(),
            estimated_parallel_time: analysis.estimated_parallel_time.as_secs_f64(),
            estimated_time_saved: analysis.estimated_time_saved().as_secs_f64(),
            parallel_potential: analysis.parallel_potential(),
            estimated_makespan: analysis.estimated_makespan.as_secs_f64(),
            expected_duration: expected.as_secs_f64(),
            widest_independent_set: IndependentSet {
                size: analysis.widest.steps.len(),
                steps: names(plan, &analysis.widest.steps),
                exact: analysis.widest.exact,
            },
            steps_without_estimate: names(plan, &analysis.without_estimate),
            default_estimate: DEFAULT_ESTIMATE.as_secs_f64(),
            parallel_opportunities: Opportunities::new(plan, analysis, coordination_strategy),
            planning_mode: PlanMode::Simple,
            origin: None,
            assessment: None,
        }
    }

    /// The same with resources, risks, quality and a score.
    #[must_use]
    pub fn sophisticated(mut self, plan: &Plan, analysis: &Analysis, around: &Surroundings) -> Self {
        self.assessment = Some(Assessment::new(plan, analysis, &self, around));
        Self { planning_mode: PlanMode::Sophisticated, ..self }
    }

    /// The same with how it came to be.
    #[must_use]
    pub fn made_by(self, origin: PlanOrigin) -> Self {
        Self { origin: Some(origin), ..self }
    }
}

impl CoordinationStrategy {
    /// The strategy that an executor follows. `auto` stands for none yet, so one step at a time.
    #[must_use]
    pub const fn of(executor: Executor) -> Self {
        match executor {
            Executor::Basic | Executor::Auto => Self::Sequential,
            Executor::Parallel => Self::Parallel,
            Executor::Dynamic => Self::Hybrid,
        }
    }

    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Parallel => "parallel",
            Self::Hybrid => "hybrid",
        }
    }
}

/// The ids of steps.
pub(crate) fn names(plan: &Plan, steps: &[StepIndex]) -> Vec<StepId> {
    steps.iter().map(|index| plan.step(*index).id.clone()).collect()
}

fn tasks(plan: &Plan, analysis: &Analysis) -> Vec<TaskPlan> {
    let mut on_critical_path = vec![false; plan.len()];
    analysis.critical_path.iter().for_each(|index| on_critical_path[*index as usize] = true);
    let task = |index: StepIndex| {
        let step = plan.step(index);
        let at = index as usize;
        TaskPlan {
            id: step.id.clone(),
            capability: step.does().to_owned(),
            agent: step.agent.clone(),
            stage: step.stage.clone(),
            level: plan.topology().level(index),
            dependencies: names(plan, plan.topology().dependencies(index)),
            estimated_duration: analysis.estimates[at].as_secs_f64(),
            estimate_assumed: analysis.sources[at] == EstimateSource::Assumed,
            estimate_source: analysis.sources[at],
            past: analysis.past[at].map(|past| PastTimes {
                p50: past.p50.as_secs_f64(),
                p90: past.p90.as_secs_f64(),
                runs: past.runs,
            }),
            earliest_start: analysis.times.start(index).as_secs_f64(),
            slack: analysis.slack[at].as_secs_f64(),
            on_critical_path: on_critical_path[at],
            parallel_safe: step.parallel_safe,
            priority: step.priority,
            critical: step.critical,
        }
    };
    (0..plan.len() as StepIndex).map(task).collect()
}

fn levels(plan: &Plan, analysis: &Analysis) -> Vec<LevelPlan> {
    let level = |(level, steps): (u32, &Vec<StepIndex>)| {
        let mut stages: Vec<String> = Vec::new();
        for stage in steps.iter().filter_map(|index| plan.step(*index).stage.as_ref()) {
            // A level has few stages; a workflow with one stage per step is not worth an index here.
            if stages.len() < 100 && !stages.contains(stage) {
                stages.push(stage.clone());
            }
        }
        LevelPlan { level, steps: names(plan, steps), stages }
    };
    (0..).zip(&analysis.levels).map(level).collect()
}

fn stages(plan: &Plan, analysis: &Analysis) -> Vec<StagePlan> {
    let stage = |(stage, steps): &(String, Vec<StepIndex>)| {
        let mut levels: Vec<u32> = steps.iter().map(|index| plan.topology().level(*index)).collect();
        levels.sort_unstable();
        levels.dedup();
        StagePlan { stage: stage.clone(), steps: names(plan, steps), levels }
    };
    analysis.stages.iter().map(stage).collect()
}
