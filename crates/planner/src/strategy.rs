//! Which executor a run gets under `auto`, and why.

use tutti_core::plan::Plan;
use tutti_core::schedule::{StrategyDecision, StrategyReason};
use tutti_core::workflow::Executor;

use crate::analysis::Analysis;

/// Above this share of busy processors nothing more is run side by side; at exactly this share it still is.
pub const LOAD_LIMIT: f64 = 0.8;

/// With fewer free places for steps than this, nothing is run side by side.
pub const MIN_WORKERS: u32 = 2;

/// Percent of the time that running side by side must save to be worth it; exactly so much is not enough.
pub const BENEFIT_PERCENT: u32 = 30;

/// What the caller knows about the system; recorded with the decision.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SystemLoad {
    /// Share of the processors in use, 0 to 1, if it was measured.
    pub cpu: Option<f64>,
    /// Free places for steps, if they are counted.
    pub available_workers: Option<u32>,
}

/// Chooses the executor of a run. One that was asked for is never overridden, nor is the graph weighed then.
#[must_use]
pub fn choose(plan: &Plan, requested: Executor, system: SystemLoad) -> StrategyDecision {
    match requested {
        Executor::Auto => weigh(plan, &Analysis::new(plan), system),
        executor => StrategyDecision {
            executor,
            reason: StrategyReason::Requested,
            potential_improvement: None,
            system_load: None,
            available_workers: None,
        },
    }
}

/// As [`choose`], for a plan that was analysed already.
#[must_use]
pub fn choose_from(plan: &Plan, analysis: &Analysis, requested: Executor, system: SystemLoad) -> StrategyDecision {
    match requested {
        Executor::Auto => weigh(plan, analysis, system),
        executor => choose(plan, executor, system),
    }
}

/// The graph decides first: too few independent steps are run one by one whatever the load. Then the load, then the gain.
///
/// The gain counted is the one that the run can have, at its width and with its steps that run alone, not the one of the
/// graph at unbounded width.
fn weigh(plan: &Plan, analysis: &Analysis, system: SystemLoad) -> StrategyDecision {
    let cpu = system.cpu.filter(|cpu| cpu.is_finite()).map(|cpu| cpu.clamp(0.0, 1.0));
    let busy =
        cpu.is_some_and(|cpu| cpu > LOAD_LIMIT) || system.available_workers.is_some_and(|free| free < MIN_WORKERS);
    let threshold = plan.workflow().parallel_threshold as usize;
    let reason = if plan.len() <= 1 {
        StrategyReason::SingleTask
    } else if analysis.widest.steps.len() < threshold.max(2) {
        StrategyReason::FewIndependentTasks
    } else if busy {
        StrategyReason::HighSystemLoad
    } else if !worthwhile(analysis) {
        StrategyReason::InsufficientBenefit
    } else {
        StrategyReason::IndependentTasks
    };
    let parallel = reason == StrategyReason::IndependentTasks;
    StrategyDecision {
        executor: if parallel { Executor::Parallel } else { Executor::Basic },
        reason,
        potential_improvement: Some(analysis.potential_improvement()),
        system_load: cpu,
        available_workers: system.available_workers,
    }
}

/// Whether more than [`BENEFIT_PERCENT`] is saved; counted in whole nanoseconds, so that the edge is exact.
fn worthwhile(analysis: &Analysis) -> bool {
    let (total, makespan) = (analysis.estimated_total_time.as_nanos(), analysis.estimated_makespan.as_nanos());
    total.saturating_sub(makespan) * 100 > total * u128::from(BENEFIT_PERCENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{COMPLEX, SIMPLE, STANDARD, plan, plan_with};

    const IDLE: SystemLoad = SystemLoad { cpu: Some(0.1), available_workers: Some(8) };

    #[track_caller]
    fn is(decision: &StrategyDecision, executor: Executor, reason: StrategyReason) {
        assert_eq!((decision.executor, decision.reason), (executor, reason));
    }

    fn auto(steps: &str, system: SystemLoad) -> StrategyDecision {
        choose(&plan(steps), Executor::Auto, system)
    }

    /// Three steps side by side of a, b and c seconds.
    fn beside(a: f64, b: f64, c: f64) -> String {
        let step = |id, s| format!("- {{id: {id}, capability: c, estimated_duration: {s}s}}\n");
        step("a", a) + &step("b", b) + &step("c", c)
    }

    #[test]
    fn one_step_and_chains_are_sequential() {
        is(&auto("- {id: a, capability: c}", IDLE), Executor::Basic, StrategyReason::SingleTask);
        is(&auto(SIMPLE, IDLE), Executor::Basic, StrategyReason::FewIndependentTasks);
    }

    #[test]
    fn the_widest_independent_set_meets_the_threshold() {
        is(&auto(STANDARD, IDLE), Executor::Parallel, StrategyReason::IndependentTasks);
        let two = "- {id: a, capability: c}\n- {id: b, capability: c}";
        is(&auto(two, IDLE), Executor::Basic, StrategyReason::FewIndependentTasks);
        let choose_at = |threshold: u32| {
            let plan = plan_with(&format!("parallel_threshold: {threshold}"), two);
            choose(&plan, Executor::Auto, IDLE)
        };
        is(&choose_at(2), Executor::Parallel, StrategyReason::IndependentTasks);
        is(&choose_at(1), Executor::Parallel, StrategyReason::IndependentTasks);
        is(&choose_at(3), Executor::Basic, StrategyReason::FewIndependentTasks);
        // A single step never counts as parallel, whatever the threshold.
        let chain = plan_with("parallel_threshold: 1", SIMPLE);
        is(&choose(&chain, Executor::Auto, IDLE), Executor::Basic, StrategyReason::FewIndependentTasks);
    }

    #[test]
    fn independent_steps_may_lie_on_different_levels() {
        // Two chains and a fan that begins a level later: no level holds three, but b2, d and e are independent.
        let steps = concat!(
            "- {id: a, capability: c}\n- {id: b1, capability: c}\n- {id: b2, capability: c, depends_on: [b1]}\n",
            "- {id: m, capability: c, depends_on: [a]}\n- {id: d, capability: c, depends_on: [m]}\n",
            "- {id: e, capability: c, depends_on: [m]}\n",
        );
        is(&auto(steps, IDLE), Executor::Parallel, StrategyReason::IndependentTasks);
    }

    #[test]
    fn high_load_and_few_workers_override_the_graph() {
        let with = |cpu, available_workers| auto(STANDARD, SystemLoad { cpu, available_workers });
        for (cpu, workers) in [(Some(0.800_001), None), (Some(1.0), Some(8)), (None, Some(1)), (Some(0.0), Some(0))] {
            is(&with(cpu, workers), Executor::Basic, StrategyReason::HighSystemLoad);
        }
        for (cpu, workers) in [(Some(0.80), None), (Some(0.8), Some(2)), (None, None), (Some(f64::NAN), None)] {
            is(&with(cpu, workers), Executor::Parallel, StrategyReason::IndependentTasks);
        }
    }

    #[test]
    fn what_was_seen_is_recorded() {
        let decision = auto(STANDARD, SystemLoad { cpu: Some(0.9), available_workers: Some(7) });
        assert_eq!((decision.system_load, decision.available_workers), (Some(0.9), Some(7)));
        assert_eq!(decision.potential_improvement, Some(7.0 / 15.0));
        let decision = auto(COMPLEX, SystemLoad { cpu: Some(f64::NAN), available_workers: None });
        assert_eq!((decision.system_load, decision.potential_improvement), (None, Some(0.52)));
        assert_eq!(auto(COMPLEX, SystemLoad { cpu: Some(17.0), available_workers: None }).system_load, Some(1.0));
    }

    #[test]
    fn exactly_thirty_percent_is_not_enough() {
        // 7 of 10 seconds: exactly 30 % saved.
        let decision = auto(&beside(7.0, 2.0, 1.0), IDLE);
        is(&decision, Executor::Basic, StrategyReason::InsufficientBenefit);
        assert_eq!(decision.potential_improvement, Some(0.3));
        is(&auto(&beside(6.999_999, 2.0, 1.0), IDLE), Executor::Parallel, StrategyReason::IndependentTasks);
        is(&auto(&beside(7.000_001, 2.0, 1.0), IDLE), Executor::Basic, StrategyReason::InsufficientBenefit);
        // High load is told before small gain.
        let busy = SystemLoad { cpu: Some(0.9), available_workers: None };
        is(&auto(&beside(7.0, 2.0, 1.0), busy), Executor::Basic, StrategyReason::HighSystemLoad);
    }

    #[test]
    fn a_gain_that_the_width_does_not_allow_is_none() {
        let narrow = plan_with("max_concurrent_tasks: 1", STANDARD);
        is(&choose(&narrow, Executor::Auto, IDLE), Executor::Basic, StrategyReason::InsufficientBenefit);
        let alone = STANDARD.replace("capability: c", "capability: c, parallel_safe: false");
        is(&auto(&alone, IDLE), Executor::Basic, StrategyReason::InsufficientBenefit);
    }

    #[test]
    fn what_was_asked_for_is_never_overridden() {
        let busy = SystemLoad { cpu: Some(1.0), available_workers: Some(0) };
        for executor in [Executor::Basic, Executor::Parallel, Executor::Dynamic] {
            let decision = choose(&plan(SIMPLE), executor, busy);
            is(&decision, executor, StrategyReason::Requested);
            assert_eq!((decision.potential_improvement, decision.system_load), (None, None));
            let analysis = Analysis::new(&plan(SIMPLE));
            assert_eq!(choose_from(&plan(SIMPLE), &analysis, executor, busy), decision);
        }
    }
}
