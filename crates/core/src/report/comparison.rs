//! The same workflow one step at a time and side by side: what running in parallel gains, costs and changes.

use serde::Serialize;

use super::figures::{RunFigures, StepFigures, mean};
use super::moment::human_seconds;
use crate::ids::{AgentId, RunId, WorkflowId};

/// Shares that differ by less are the same.
const SAME: f64 = 0.01;

/// The same workflow, run several times in each way. Spans are in seconds; what nobody told is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The workflow.
    pub workflow: WorkflowId,
    /// What it does: its description, or its title.
    pub task: String,
    /// The agents that were asked, in the order in which they were asked first.
    pub agents: Vec<AgentId>,
    /// Most steps under way at once in the parallel runs.
    pub parallel_steps: u32,
    /// Runs in each way.
    pub executions: usize,
    /// One step at a time.
    pub sequential: Way,
    /// Side by side.
    pub parallel: Way,
    /// What it gains.
    pub improvement: Improvement,
    /// What it costs.
    pub cost: CostComparison,
    /// What becomes of the results.
    pub quality: QualityComparison,
    /// When to use which, in a few sentences.
    pub conclusion: String,
}

/// The runs in one way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Way {
    /// Each run.
    pub runs: Vec<Timing>,
    /// The mean of all.
    pub average: Averages,
}

/// The times of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timing {
    /// The run.
    pub run_id: RunId,
    /// The time of each agent's attempts, in the order of the agents.
    pub agents: Vec<Option<f64>>,
    /// The longest of them.
    pub slowest_agent: Option<f64>,
    /// The time of the steps that put results of several others together.
    pub aggregation: Option<f64>,
    /// From its creation to its end.
    pub total: Option<f64>,
}

/// The means of several runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Averages {
    /// As [`Timing::agents`].
    pub agents: Vec<Option<f64>>,
    /// As [`Timing::slowest_agent`].
    pub slowest_agent: Option<f64>,
    /// As [`Timing::aggregation`].
    pub aggregation: Option<f64>,
    /// As [`Timing::total`].
    pub total: Option<f64>,
}

/// What running side by side gains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Improvement {
    /// The mean time of a sequential run.
    pub sequential_average: Option<f64>,
    /// The mean time of a parallel run.
    pub parallel_average: Option<f64>,
    /// The share of the time that is saved; below 0 if it takes longer.
    pub time_reduction: Option<f64>,
    /// How many times as fast.
    pub speed_up: Option<f64>,
}

/// What both ways cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CostComparison {
    /// In what it is told: money if agents told it, else tokens, else calls.
    pub basis: CostBasis,
    /// The mean of a sequential run.
    pub sequential: Option<f64>,
    /// The mean of a parallel run.
    pub parallel: Option<f64>,
    /// The parallel runs against the sequential ones.
    pub difference: Option<CostDifference>,
    /// Why.
    pub rationale: String,
}

/// In what a cost is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CostBasis {
    /// Units of the currency.
    Money,
    /// Tokens of models.
    Tokens,
    /// Calls of agents.
    Calls,
}

/// The cost of parallel runs against sequential ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum CostDifference {
    /// More than 1 % more.
    Higher,
    /// More than 1 % less.
    Lower,
    /// Neither.
    Same,
}

/// The results of both ways.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QualityComparison {
    /// The mean score of the sequential runs, 0 to 1.
    pub sequential: Option<f64>,
    /// The mean score of the parallel runs.
    pub parallel: Option<f64>,
    /// The parallel runs against the sequential ones. Without scores: the same, if every run came to the same outputs.
    pub difference: Option<QualityDifference>,
    /// True if every step of every run had the same output.
    pub same_outputs: bool,
}

/// The results of parallel runs against those of sequential ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum QualityDifference {
    /// More than 0.01 more.
    Better,
    /// Neither.
    Same,
    /// More than 0.01 less.
    Worse,
}

impl Comparison {
    /// Compares runs of one workflow: those one step at a time with those side by side. `parallel_steps` is how many of its
    /// steps were under way at once.
    #[must_use]
    pub fn new(
        workflow: WorkflowId,
        task: String,
        sequential: &[RunFigures],
        parallel: &[RunFigures],
        parallel_steps: u32,
    ) -> Self {
        let mut agents: Vec<AgentId> = Vec::new();
        for (agent, _) in sequential.iter().chain(parallel).flat_map(|run| &run.steps).flat_map(|step| &step.at_agents)
        {
            if *agent != AgentId::engine() && !agents.contains(agent) {
                agents.push(agent.clone());
            }
        }
        let way = |runs: &[RunFigures]| Way::new(runs, &agents);
        let mut comparison = Self {
            workflow,
            task,
            parallel_steps,
            executions: sequential.len(),
            sequential: way(sequential),
            parallel: way(parallel),
            improvement: Improvement::default(),
            cost: cost(sequential, parallel),
            quality: quality(sequential, parallel),
            conclusion: String::new(),
            agents,
        };
        comparison.improvement = Improvement::new(&comparison.sequential, &comparison.parallel);
        comparison.conclusion = conclusion(&comparison);
        comparison
    }
}

impl Way {
    fn new(runs: &[RunFigures], agents: &[AgentId]) -> Self {
        let runs: Vec<Timing> = runs.iter().map(|run| Timing::new(run, agents)).collect();
        let average = |of: &dyn Fn(&Timing) -> Option<f64>| mean(runs.iter().filter_map(of));
        let average = Averages {
            agents: (0..agents.len()).map(|i| average(&|run| run.agents[i])).collect(),
            slowest_agent: average(&|run| run.slowest_agent),
            aggregation: average(&|run| run.aggregation),
            total: average(&|run| run.total),
        };
        Self { runs, average }
    }
}

impl Timing {
    fn new(run: &RunFigures, agents: &[AgentId]) -> Self {
        let time_of = |agent: &AgentId| {
            let times = run.steps.iter().flat_map(|step| &step.at_agents).filter(|(at, _)| at == agent);
            times.map(|(_, seconds)| *seconds).reduce(|a, b| a + b)
        };
        let agents: Vec<Option<f64>> = agents.iter().map(time_of).collect();
        Self {
            run_id: run.run_id,
            slowest_agent: agents.iter().flatten().copied().reduce(f64::max),
            agents,
            aggregation: run.steps.iter().filter_map(|step| aggregation(step, &run.steps)).reduce(|a, b| a + b),
            total: run.duration,
        }
    }
}

impl Improvement {
    fn new(sequential: &Way, parallel: &Way) -> Self {
        let (one, other) = (sequential.average.total, parallel.average.total);
        let both = one.zip(other).filter(|(one, other)| *one > 0.0 && *other > 0.0);
        Self {
            sequential_average: one,
            parallel_average: other,
            time_reduction: both.map(|(one, other)| 1.0 - other / one),
            speed_up: both.map(|(one, other)| one / other),
        }
    }
}

/// How long a step put results of several together: its own time if it comes after several; of a step that holds others what
/// is left after the last of them.
fn aggregation(step: &StepFigures, all: &[StepFigures]) -> Option<f64> {
    let end = |step: &StepFigures| Some(step.offset_seconds? + step.duration?);
    if step.is_engines() {
        let last = all.iter().filter(|other| other.is_within(step)).filter_map(end).reduce(f64::max)?;
        return Some((end(step)? - last).max(0.0));
    }
    if step.dependencies > 1 { step.duration } else { None }
}

fn cost(sequential: &[RunFigures], parallel: &[RunFigures]) -> CostComparison {
    let both = |of: &dyn Fn(&RunFigures) -> Option<f64>| {
        let all = |runs: &[RunFigures]| {
            runs.iter().map(of).collect::<Option<Vec<f64>>>().and_then(|all| mean(all.into_iter()))
        };
        all(sequential).zip(all(parallel))
    };
    let money = both(&|run| run.usage.map(|usage| usage.cost).filter(|cost| *cost > 0.0));
    let tokens = both(&|run| run.usage.map(|usage| usage.tokens as f64).filter(|tokens| *tokens > 0.0));
    let calls = both(&|run| Some(f64::from(run.attempts)));
    let (basis, found) = match (money, tokens) {
        (Some(_), _) => (CostBasis::Money, money),
        (None, Some(_)) => (CostBasis::Tokens, tokens),
        (None, None) => (CostBasis::Calls, calls),
    };
    let difference = found.map(|(one, other)| match other - one {
        more if more.abs() <= SAME * one.abs() => CostDifference::Same,
        more if more > 0.0 => CostDifference::Higher,
        _ => CostDifference::Lower,
    });
    let told = match basis {
        CostBasis::Money => "what the agents told",
        CostBasis::Tokens => "the tokens that the agents told; none told a price",
        CostBasis::Calls => "the calls of agents; none told what it took",
    };
    let calls = calls.map_or_else(String::new, |(one, other)| match other - one {
        more if more.abs() <= SAME * one.abs() => " Both ways make the same calls.".to_owned(),
        more if more > 0.0 => format!(" In parallel {more:.1} more calls were made in the mean."),
        less => format!(" In parallel {:.1} fewer calls were made in the mean.", -less),
    });
    let (sequential, parallel) = found.unzip();
    CostComparison { basis, sequential, parallel, difference, rationale: format!("By {told}.{calls}") }
}

fn quality(sequential: &[RunFigures], parallel: &[RunFigures]) -> QualityComparison {
    let score = |runs: &[RunFigures]| mean(runs.iter().filter_map(|run| run.quality));
    let outputs = |run: &RunFigures| -> Vec<_> {
        run.steps.iter().map(|step| (step.path.to_string(), step.output.clone())).collect()
    };
    let mut all = sequential.iter().chain(parallel).map(outputs);
    let first = all.next();
    let same_outputs = all.all(|other| Some(other) == first);
    let (sequential, parallel) = (score(sequential), score(parallel));
    let difference = match sequential.zip(parallel) {
        Some((one, other)) if (other - one).abs() <= SAME => Some(QualityDifference::Same),
        Some((one, other)) if other > one => Some(QualityDifference::Better),
        Some(_) => Some(QualityDifference::Worse),
        None => same_outputs.then_some(QualityDifference::Same),
    };
    QualityComparison { sequential, parallel, difference, same_outputs }
}

/// When to use which.
fn conclusion(of: &Comparison) -> String {
    let Some((speed_up, reduction)) = of.improvement.speed_up.zip(of.improvement.time_reduction) else {
        return "Too little is known to say which way is better.".to_owned();
    };
    let times = of.improvement.sequential_average.zip(of.improvement.parallel_average);
    let times = times.map(|(one, other)| format!(": {} instead of {}", human_seconds(other), human_seconds(one)));
    let mut sentences = vec![if speed_up >= 1.1 {
        format!(
            "Run it in parallel when time matters: it is {speed_up:.1} times as fast and saves {:.0} % of the time{}.",
            reduction * 100.0,
            times.unwrap_or_default()
        )
    } else if speed_up > 0.9 {
        "Run it one step at a time: running side by side saves next to nothing, and one at a time is easier to follow."
            .to_owned()
    } else {
        format!("Run it one step at a time: side by side it takes longer{}.", times.unwrap_or_default())
    }];
    match of.cost.difference {
        Some(CostDifference::Higher) => {
            sentences.push("It costs more in parallel: weigh the time against it.".to_owned());
        }
        Some(CostDifference::Lower) => sentences.push("It costs less in parallel.".to_owned()),
        _ => {}
    }
    match of.quality.difference {
        Some(QualityDifference::Worse) => {
            sentences.push("The results are worse in parallel: look at them before relying on it.".to_owned());
        }
        Some(QualityDifference::Better) => sentences.push("The results are better in parallel.".to_owned()),
        None => sentences.push("The outputs differ from run to run, and nobody told how good they are.".to_owned()),
        Some(QualityDifference::Same) => {}
    }
    sentences.join(" ")
}
