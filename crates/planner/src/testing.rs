//! Plans for the tests, and a run of one by core's own rules.

use std::sync::Arc;
use std::time::Duration;

use tutti_core::ids::{Namespace, RunId};
use tutti_core::plan::{Plan, StepIndex};
use tutti_core::run::{Applied, Input, RunCreated, RunStatus, apply, create};
use tutti_core::schedule::{Growth, Policy, StrategyDecision, StrategyReason, Width, admit};
use tutti_core::time::Timestamp;
use tutti_core::value::{Json, Payload};
use tutti_core::workflow::{Executor, OnError, parse};

use crate::strategy::{SystemLoad, choose_from};
use crate::{Analysis, PlanReport};

/// 2 + 4 + 1.
pub const SIMPLE: &str = concat!(
    "- {id: planner, capability: c, estimated_duration: 2s}\n",
    "- {id: booking, capability: c, depends_on: [planner], estimated_duration: 4s}\n",
    "- {id: aggregate, capability: c, depends_on: [booking], estimated_duration: 1s}\n",
);

/// 2 + (5, 4, 3) + 1.
pub const STANDARD: &str = concat!(
    "- {id: planner, capability: c, estimated_duration: 2s}\n",
    "- {id: flight, capability: c, depends_on: [planner], estimated_duration: 5s}\n",
    "- {id: hotel, capability: c, depends_on: [planner], estimated_duration: 4s}\n",
    "- {id: car, capability: c, depends_on: [planner], estimated_duration: 3s}\n",
    "- {id: aggregate, capability: c, depends_on: [flight, hotel, car], estimated_duration: 1s}\n",
);

/// 2 + (5 → 4, 5 → 4, 4) + 1.
pub const COMPLEX: &str = concat!(
    "- {id: planner, capability: c, estimated_duration: 2s}\n",
    "- {id: flight-1, capability: c, depends_on: [planner], estimated_duration: 5s}\n",
    "- {id: flight-2, capability: c, depends_on: [planner], estimated_duration: 5s}\n",
    "- {id: hotel-1, capability: c, depends_on: [flight-1], estimated_duration: 4s}\n",
    "- {id: hotel-2, capability: c, depends_on: [flight-2], estimated_duration: 4s}\n",
    "- {id: car, capability: c, depends_on: [planner], estimated_duration: 4s}\n",
    "- {id: aggregate, capability: c, depends_on: [hotel-1, hotel-2, car], estimated_duration: 1s}\n",
);

/// 2 + (5, 4, 3).
pub const TOKYO: &str = concat!(
    "- {id: planner, capability: c, estimated_duration: 2s}\n",
    "- {id: flights, capability: c, depends_on: [planner], estimated_duration: 5s}\n",
    "- {id: hotel, capability: c, depends_on: [planner], estimated_duration: 4s}\n",
    "- {id: car, capability: c, depends_on: [planner], estimated_duration: 3s}\n",
);

/// 3 + (5 → 5, 4 → 4, 4 → 3), where the second and the third chain share their first step.
pub const FAMILY: &str = concat!(
    "- {id: planner, capability: c, estimated_duration: 3s}\n",
    "- {id: flight-1, capability: c, depends_on: [planner], estimated_duration: 5s}\n",
    "- {id: hotel-1, capability: c, depends_on: [planner], estimated_duration: 4s}\n",
    "- {id: flight-2, capability: c, depends_on: [flight-1], estimated_duration: 5s}\n",
    "- {id: hotel-2, capability: c, depends_on: [hotel-1], estimated_duration: 4s}\n",
    "- {id: activities, capability: c, depends_on: [hotel-1], estimated_duration: 3s}\n",
);

/// Three generators, an analysis, two trainers, an ensemble and a report.
pub const DATA_SCIENCE: &str = concat!(
    "- {id: generate-a, capability: data.generate, stage: Data generation}\n",
    "- {id: generate-b, capability: data.generate, stage: Data generation}\n",
    "- {id: generate-c, capability: data.generate, stage: Data generation}\n",
    "- {id: analyze, capability: c, stage: Analysis, depends_on: [generate-a, generate-b, generate-c]}\n",
    "- {id: train-alpha, capability: c, stage: Model training, depends_on: [analyze]}\n",
    "- {id: train-beta, capability: c, stage: Model training, depends_on: [analyze]}\n",
    "- {id: ensemble, capability: c, stage: Integration, depends_on: [train-alpha, train-beta]}\n",
    "- {id: report, capability: c, stage: Integration, depends_on: [ensemble]}\n",
);

/// A plan of steps written as YAML.
pub fn plan(steps: &str) -> Arc<Plan> {
    plan_with("", steps)
}

/// A plan of steps and of more lines of the workflow's head.
pub fn plan_with(head: &str, steps: &str) -> Arc<Plan> {
    Plan::new(parse(&format!("id: demo\n{head}\nsteps:\n{steps}")).unwrap().workflow).unwrap()
}

pub fn ids<'p>(plan: &'p Plan, steps: &[StepIndex]) -> Vec<&'p str> {
    steps.iter().map(|index| plan.step(*index).id.as_str()).collect()
}

/// The report on steps under `auto`, nothing being known of the load.
pub fn report(steps: &str) -> PlanReport {
    report_of(&plan(steps))
}

/// As [`report`], of a plan.
pub fn report_of(plan: &Plan) -> PlanReport {
    let analysis = Analysis::new(plan);
    let decision = choose_from(plan, &analysis, Executor::Auto, SystemLoad::default());
    PlanReport::new(plan, &analysis, decision)
}

/// Runs a plan by core's rules and admission with a clock of paper; how long it took.
pub fn run_by_core(plan: &Arc<Plan>, durations: &[Duration], width: u32) -> Duration {
    let created = RunCreated {
        run: RunId::new(1, [1; 10]),
        namespace: Namespace::default(),
        request: uuid::Uuid::nil(),
        workflow: plan.workflow().id.clone(),
        version: String::new(),
        definition: plan.definition(),
        data: Payload::Inline(Json::empty_object()),
        policy: Policy { width: Width::Bounded(width), growth: Growth::Fixed, on_error: OnError::Continue },
        strategy: StrategyDecision {
            executor: Executor::Parallel,
            reason: StrategyReason::Requested,
            potential_improvement: None,
            system_load: None,
            available_workers: None,
        },
        origin: tutti_core::run::Origin::default(),
        turn: None,
    };
    let epoch = Timestamp::default();
    let (mut state, _) = create(plan.clone(), created, epoch);
    let mut now = epoch;
    let mut running: Vec<(Timestamp, StepIndex)> = Vec::new();
    while state.status() == RunStatus::Running {
        for index in admit(&state, now) {
            let input = Input::StartAttempt { step: plan.path(index), agent: "x".parse().unwrap(), choice: None };
            apply(&mut state, &input, now, &mut Applied::default()).unwrap();
            running.push((now.plus(durations[index as usize]), index));
        }
        now = running.iter().map(|(end, _)| *end).min().unwrap();
        let (done, still) = running.into_iter().partition(|(end, _)| *end == now);
        running = still;
        for (_, index) in done as Vec<_> {
            let output = Payload::Inline(Json::empty_object());
            let key = state.attempt_key(index);
            let input = Input::CompleteAttempt {
                key,
                output,
                artifacts: vec![],
                missing_inputs: vec![],
                report: None,
                grows: None,
                findings: None,
            };
            apply(&mut state, &input, now, &mut Applied::default()).unwrap();
        }
    }
    assert_eq!(state.status(), RunStatus::Completed);
    now.since(epoch)
}
