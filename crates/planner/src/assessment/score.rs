//! How complete and how feasible a plan is, as one number.

use serde::Serialize;
use tutti_core::ids::Capability;
use tutti_core::plan::Plan;
use tutti_core::workflow::{Step, StepKind};

use super::{Risk, Severity, Surroundings};
use crate::analysis::{Analysis, EstimateSource};
use crate::report::PlanReport;

/// What a risk takes from the feasibility, by severity, and the most that all take together.
const PENALTY: (f64, f64, f64, f64) = (0.02, 0.05, 0.15, 0.5);

/// The score of a plan, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PlanScore {
    /// The mean of completeness and feasibility.
    pub score: f64,
    /// How much of what a plan should say it says: over all steps, the share of these that hold: its time is known (from the
    /// workflow or past runs), what it uses is said, a failure has a policy (more than one attempt, or an `on_error` or
    /// `compensate` of its own), and its output goes somewhere or others wait for it.
    pub completeness: f64,
    /// Whether it can be carried out: the share of steps for which an agent is known (1 if nobody knows), times the share of
    /// the expected time that the run's timeout allows (at most 1), less what the risks take: 0.15 for a high one, 0.05 for a
    /// medium, 0.02 for a low, at most 0.5 together.
    pub feasibility: f64,
}

impl PlanScore {
    pub(super) fn new(
        plan: &Plan,
        analysis: &Analysis,
        report: &PlanReport,
        around: &Surroundings,
        risks: &[Risk],
    ) -> Self {
        let completeness = completeness(plan, analysis);
        let allowed = plan.workflow().timeout.0.as_secs_f64() / report.expected_duration.max(1e-9);
        let penalty: f64 = risks.iter().map(|risk| penalty(risk.severity)).sum();
        let feasibility = (offered(plan, around) * allowed.min(1.0) - penalty.min(PENALTY.3)).clamp(0.0, 1.0);
        let round = |share: f64| (share * 1_000.0).round() / 1_000.0;
        Self {
            score: round(f64::midpoint(completeness, feasibility)),
            completeness: round(completeness),
            feasibility: round(feasibility),
        }
    }
}

const fn penalty(severity: Severity) -> f64 {
    match severity {
        Severity::Low => PENALTY.0,
        Severity::Medium => PENALTY.1,
        Severity::High => PENALTY.2,
    }
}

fn completeness(plan: &Plan, analysis: &Analysis) -> f64 {
    let workflow = plan.workflow();
    let of_step = |(index, step): (usize, &Step)| {
        let is_wait = !matches!(step.kind(), StepKind::Call(_));
        let says = [
            analysis.sources[index] != EstimateSource::Assumed,
            is_wait || step.resources.is_some(),
            is_wait
                || step.retry.max_attempts > 1
                || step.on_error.or(workflow.on_error).is_some()
                || step.compensate.is_some(),
            is_wait || !step.output.is_empty() || !plan.topology().successors(index as u32).is_empty(),
        ];
        says.iter().filter(|said| **said).count() as f64 / says.len() as f64
    };
    workflow.steps.iter().enumerate().map(of_step).sum::<f64>() / plan.len().max(1) as f64
}

/// The share of the steps that ask an agent for which one is known.
fn offered(plan: &Plan, around: &Surroundings) -> f64 {
    let Some(offers) = &around.offers else { return 1.0 };
    let needed: Vec<_> = plan.workflow().steps.iter().filter_map(|step| step.capability.as_ref()).collect();
    let is_there = |capability: &&&Capability| offers.get(**capability).is_some_and(|agents| *agents > 0);
    let found = needed.iter().filter(is_there).count();
    if needed.is_empty() { 1.0 } else { found as f64 / needed.len() as f64 }
}

#[cfg(test)]
mod tests {
    use crate::assessment::{Assessment, Surroundings};
    use crate::testing::{plan, report_of};
    use crate::{Analysis, PlanScore};

    fn score(steps: &str, offers: Option<&[(&str, u32)]>) -> PlanScore {
        let plan = plan(steps);
        let analysis = Analysis::new(&plan);
        let offers = offers.map(|all| all.iter().map(|(name, agents)| (name.parse().unwrap(), *agents)).collect());
        Assessment::new(&plan, &analysis, &report_of(&plan), &Surroundings { offers }).plan_score
    }

    #[test]
    fn a_plan_that_says_all_and_can_be_carried_out_has_the_whole_score() {
        let whole = "- {id: a, capability: c, estimated_duration: 1s, resources: {cost: 1}, output: {\"*\": x}}\n";
        assert_eq!(score(whole, Some(&[("c", 2)])), PlanScore { score: 1.0, completeness: 1.0, feasibility: 1.0 });
        assert_eq!(score(whole, Some(&[])), PlanScore { score: 0.5, completeness: 1.0, feasibility: 0.0 });
        // One alone offers it.
        assert_eq!(score(whole, Some(&[("c", 1)])).feasibility, 0.95);
    }

    #[test]
    fn what_is_left_unsaid_takes_from_it() {
        let bare = "- {id: a, capability: c, retry: {max_attempts: 1}}\n";
        let found = score(bare, None);
        assert_eq!((found.completeness, found.feasibility), (0.0, 0.93));
    }
}
