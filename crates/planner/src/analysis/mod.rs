//! Levels, critical path and estimates of a plan. Linear in steps and edges but for the makespan, which sorts, and the
//! widest independent set, which is exact up to [`EXACT_STEPS`] steps.

mod antichain;
#[cfg(test)]
mod by_force;
mod makespan;

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use tutti_core::plan::{Plan, StepIndex};
use tutti_core::report::{EarliestTimes, PastEstimate, PastRuns};
use tutti_core::workflow::Step;

pub use antichain::{EXACT_STEPS, IndependentSteps, widest_independent};
pub use makespan::makespan;

/// What a step is assumed to take if neither its workflow (`estimated_duration`) nor past runs say.
pub const DEFAULT_ESTIMATE: Duration = Duration::from_secs(1);

/// Where the estimate of a step comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EstimateSource {
    /// The workflow says so (`estimated_duration`).
    Workflow,
    /// Half of the past runs took no longer.
    PastRuns,
    /// Nobody says: [`DEFAULT_ESTIMATE`].
    Assumed,
}

/// A plan, analysed.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// Steps by level: each level depends only on the ones before it.
    pub levels: Vec<Vec<StepIndex>>,
    /// Stages in the order in which they come first in the graph, with their steps in that order. Stages are labels: they
    /// need not follow the levels.
    pub stages: Vec<(String, Vec<StepIndex>)>,
    /// The estimate used for each step.
    pub estimates: Vec<Duration>,
    /// Where it comes from, for each step.
    pub sources: Vec<EstimateSource>,
    /// What past runs took, for each step, whether it was gone by or not.
    pub past: Vec<Option<PastEstimate>>,
    /// Steps without an estimate, for which [`DEFAULT_ESTIMATE`] stands.
    pub without_estimate: Vec<StepIndex>,
    /// When each step could start and end if any number ran at once.
    pub times: EarliestTimes,
    /// How much later each step could end without the whole ending later, if any number ran at once.
    pub slack: Vec<Duration>,
    /// The chain of steps that decides the time, first one first.
    pub critical_path: Vec<StepIndex>,
    /// The time of all steps one after another.
    pub estimated_total_time: Duration,
    /// The time of the critical path: all steps, any number at once.
    pub estimated_parallel_time: Duration,
    /// The time at the workflow's width, started in the product's own order.
    pub estimated_makespan: Duration,
    /// The largest set of steps of which none depends on another.
    pub widest: IndependentSteps,
}

impl Analysis {
    /// Analyses a plan of which no past runs are known.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self::with(plan, &PastRuns::default())
    }

    /// Analyses a plan. What the workflow says of a step's time goes before what past runs took.
    #[must_use]
    pub fn with(plan: &Plan, past_runs: &PastRuns) -> Self {
        let topology = plan.topology();
        let steps = &plan.workflow().steps;
        let past: Vec<Option<PastEstimate>> = steps.iter().map(|step| past_runs.estimate(&step.id)).collect();
        let estimate = |(step, past): (&Step, &Option<PastEstimate>)| match (step.estimated_duration, past) {
            (Some(span), _) => (span.0, EstimateSource::Workflow),
            (None, Some(past)) => (past.p50, EstimateSource::PastRuns),
            (None, None) => (DEFAULT_ESTIMATE, EstimateSource::Assumed),
        };
        let (estimates, sources): (Vec<Duration>, Vec<_>) = steps.iter().zip(&past).map(estimate).unzip();
        let assumed = (0..).zip(&sources).filter(|(_, source)| **source == EstimateSource::Assumed);
        let times = EarliestTimes::new(topology, &estimates);
        let levels = topology.levels();
        Self {
            stages: stages(plan),
            without_estimate: assumed.map(|(index, _)| index).collect(),
            slack: times.slack(topology),
            critical_path: times.critical_path(topology),
            estimated_total_time: estimates.iter().fold(Duration::ZERO, |sum, span| sum.saturating_add(*span)),
            estimated_parallel_time: times.total(),
            estimated_makespan: makespan(plan, &estimates, plan.workflow().max_concurrent_tasks),
            widest: widest_independent(topology, &levels),
            times,
            levels,
            estimates,
            sources,
            past,
        }
    }

    /// What running side by side saves: the total less the critical path.
    #[must_use]
    pub fn estimated_time_saved(&self) -> Duration {
        self.estimated_total_time.saturating_sub(self.estimated_parallel_time)
    }

    /// `1 − estimated_parallel_time ÷ estimated_total_time`, 0 to 1.
    #[must_use]
    pub fn parallel_potential(&self) -> f64 {
        reduction(self.estimated_total_time, self.estimated_parallel_time)
    }

    /// What of the potential the workflow's width and its steps that run alone leave:
    /// `1 − estimated_makespan ÷ estimated_total_time`, 0 to 1.
    #[must_use]
    pub fn potential_improvement(&self) -> f64 {
        reduction(self.estimated_total_time, self.estimated_makespan)
    }
}

/// `1 − to ÷ from`; 0 where there is nothing to reduce.
fn reduction(from: Duration, to: Duration) -> f64 {
    let whole = from.as_secs_f64();
    if whole > 0.0 { from.saturating_sub(to).as_secs_f64() / whole } else { 0.0 }
}

fn stages(plan: &Plan) -> Vec<(String, Vec<StepIndex>)> {
    let mut stages: Vec<(String, Vec<StepIndex>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for &index in plan.topology().order() {
        let Some(stage) = plan.step(index).stage.as_deref() else { continue };
        let place = *places.entry(stage).or_insert_with(|| {
            stages.push((stage.to_owned(), Vec::new()));
            stages.len() - 1
        });
        stages[place].1.push(index);
    }
    stages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{COMPLEX, DATA_SCIENCE, FAMILY, SIMPLE, STANDARD, TOKYO, ids, plan};

    /// Sequential and parallel seconds, at unbounded and at the workflow's width, and the reduction in percent.
    fn figures(steps: &str) -> (f64, f64, f64, f64) {
        let analysis = Analysis::new(&plan(steps));
        let saved = analysis.estimated_total_time - analysis.estimated_parallel_time;
        assert_eq!(analysis.estimated_time_saved(), saved);
        (
            analysis.estimated_total_time.as_secs_f64(),
            analysis.estimated_parallel_time.as_secs_f64(),
            analysis.estimated_makespan.as_secs_f64(),
            (analysis.parallel_potential() * 1000.0).round() / 10.0,
        )
    }

    #[test]
    fn the_schedules_of_the_guides_come_out() {
        assert_eq!(figures(SIMPLE), (7.0, 7.0, 7.0, 0.0));
        assert_eq!(figures(STANDARD), (15.0, 8.0, 8.0, 46.7));
        assert_eq!(figures(COMPLEX), (25.0, 12.0, 12.0, 52.0));
        assert_eq!(figures(TOKYO), (14.0, 7.0, 7.0, 50.0));
        assert_eq!(figures(FAMILY), (24.0, 13.0, 13.0, 45.8));
    }

    #[test]
    fn the_family_schedule_needs_a_width_of_three() {
        let plan = plan(FAMILY);
        let estimates = Analysis::new(&plan).estimates;
        assert_eq!(makespan(&plan, &estimates, 3), Duration::from_secs(13));
        assert!(makespan(&plan, &estimates, 2) > Duration::from_secs(13));
        assert_eq!(makespan(&plan, &estimates, 1), Duration::from_secs(24));
    }

    #[test]
    fn an_example_plan_that_is_a_chain_gains_nothing() {
        let chain = "- {id: task_1, capability: c, estimated_duration: 5s}\n\
                     - {id: task_2, capability: c, depends_on: [task_1], estimated_duration: 4s}";
        let plan = plan(chain);
        let analysis = Analysis::new(&plan);
        assert_eq!(
            (analysis.estimated_total_time, analysis.estimated_parallel_time),
            (Duration::from_secs(9), Duration::from_secs(9))
        );
        assert_eq!(ids(&plan, &analysis.critical_path), ["task_1", "task_2"]);
        assert_eq!(analysis.parallel_potential(), 0.0);
    }

    #[test]
    fn four_stages_are_five_levels() {
        let plan = plan(DATA_SCIENCE);
        let analysis = Analysis::new(&plan);
        assert_eq!(analysis.levels.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1, 2, 1, 1]);
        let stages: Vec<_> = analysis.stages.iter().map(|(name, steps)| (name.as_str(), steps.len())).collect();
        assert_eq!(stages, [("Data generation", 3), ("Analysis", 1), ("Model training", 2), ("Integration", 2)]);
        assert_eq!(analysis.widest.steps.len(), 3);
        assert_eq!(analysis.without_estimate.len(), 8);
        assert_eq!(analysis.estimated_total_time, Duration::from_secs(8));
    }

    #[test]
    fn slack_says_how_late_a_step_may_be() {
        let plan = plan(STANDARD);
        let analysis = Analysis::new(&plan);
        let slack: Vec<u64> = analysis.slack.iter().map(Duration::as_secs).collect();
        assert_eq!(slack, [0, 0, 1, 2, 0]);
        assert_eq!(ids(&plan, &analysis.critical_path), ["planner", "flight", "aggregate"]);
    }

    #[test]
    fn custom_rules_have_exact_levels() {
        let levels = |steps: &str| {
            let plan = plan(steps);
            let analysis = Analysis::new(&plan);
            let named = |level: &Vec<StepIndex>| ids(&plan, level).into_iter().map(str::to_owned).collect::<Vec<_>>();
            analysis.levels.iter().map(named).collect::<Vec<_>>()
        };
        let travel = "- {id: flight, capability: c}\n- {id: hotel, capability: c}\n- {id: car, capability: c}\n\
                      - {id: insurance, capability: c, depends_on: [flight, hotel]}\n\
                      - {id: activity, capability: c, depends_on: [hotel]}";
        assert_eq!(levels(travel), [vec!["flight", "hotel", "car"], vec!["insurance", "activity"]]);
        let data = "- {id: data_processing, capability: c}\n\
                    - {id: analytics, capability: c, depends_on: [data_processing]}\n\
                    - {id: notification, capability: c}\n\
                    - {id: reporting, capability: c, depends_on: [analytics, data_processing]}\n\
                    - {id: archival, capability: c, depends_on: [reporting]}";
        assert_eq!(
            levels(data),
            [vec!["data_processing", "notification"], vec!["analytics"], vec!["reporting"], vec!["archival"]]
        );
    }

    #[test]
    fn a_hundred_thousand_steps_are_analysed_at_once() {
        // A chain of half of them, and a fan of the others behind one more.
        let step = |id: String, on: String| format!("{{\"id\":\"{id}\",\"capability\":\"c\",\"depends_on\":[{on}]}}");
        let chain =
            (0..50_000).map(|i| step(format!("c{i}"), if i > 0 { format!("\"c{}\"", i - 1) } else { String::new() }));
        let fan = (0..50_000).map(|i| step(format!("f{i}"), if i > 0 { "\"f0\"".into() } else { String::new() }));
        let steps = chain.chain(fan).collect::<Vec<_>>().join(",");
        let stored = format!("{{\"id\":\"w\",\"steps\":[{steps}]}}");
        let plan = Plan::new(tutti_core::workflow::Workflow::from_canonical(stored.as_bytes()).unwrap()).unwrap();
        let analysis = Analysis::new(&plan);
        assert_eq!(analysis.levels.len(), 50_000);
        assert_eq!((analysis.widest.steps.len(), analysis.widest.exact), (50_000, false));
        assert_eq!(analysis.estimated_total_time, Duration::from_secs(100_000));
        assert_eq!(analysis.estimated_parallel_time, Duration::from_secs(50_000));
    }
}
