//! What may go wrong with a plan, told by its graph, its policies and its surroundings, and what to do against it.

use std::time::Duration;

use serde::Serialize;
use tutti_core::ids::StepId;
use tutti_core::plan::{Plan, StepIndex};
use tutti_core::workflow::{OnError, Step, StepKind};

use super::Surroundings;
use crate::analysis::{Analysis, EstimateSource};
use crate::report::{PlanReport, names};

/// Most steps that a risk names.
const NAMED: usize = 100;

/// Steps from which the shape of a graph is a risk.
const LARGE: usize = 4;

/// Most steps for which it is counted how many hang on each: the count is quadratic.
const COUNTED: usize = 2_000;

/// Something that may go wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Risk {
    /// What sort.
    pub kind: RiskKind,
    /// How grave it is.
    pub severity: Severity,
    /// The steps that it is about; at most the first hundred.
    pub steps: Vec<StepId>,
    /// What may go wrong.
    pub description: String,
    /// What to do against it.
    pub mitigation: &'static str,
}

/// The sorts of risks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RiskKind {
    /// Nobody offers a capability.
    NoAgent,
    /// One agent alone offers a capability.
    SingleAgent,
    /// The chain that decides the time is nearly all of it.
    LongCriticalPath,
    /// Most steps hang on one.
    Bottleneck,
    /// A step has one attempt.
    NoRetries,
    /// A step before which a checkpoint is taken cannot be undone.
    NoCompensation,
    /// Undoing was asked for, and no step can be undone.
    NothingToUndo,
    /// A step may be cut off by its timeout.
    TightTimeout,
    /// The run may be cut off by its timeout.
    TightRunTimeout,
    /// Past runs took far longer than the workflow says.
    OptimisticEstimate,
    /// It is not known how long a step takes.
    NoEstimate,
    /// A step waits for somebody without an end.
    WaitsForever,
    /// Nobody may know whether a step was done.
    UnknownOutcome,
}

/// How grave a risk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Slight.
    Low,
    /// In between.
    Medium,
    /// Grave.
    High,
}

impl Severity {
    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A finding about a plan.
struct Finder<'p> {
    plan: &'p Plan,
    found: Vec<Risk>,
}

pub(super) fn find(plan: &Plan, analysis: &Analysis, report: &PlanReport, around: &Surroundings) -> Vec<Risk> {
    let mut finder = Finder { plan, found: Vec::new() };
    finder.agents(around);
    finder.shape(analysis);
    finder.policies();
    finder.times(analysis, report);
    finder.found.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.kind.cmp(&b.kind)));
    finder.found
}

impl Finder<'_> {
    fn steps(&self, wanted: impl Fn(StepIndex, &Step) -> bool) -> Vec<StepIndex> {
        (0..).zip(&self.plan.workflow().steps).filter(|(at, step)| wanted(*at, step)).map(|(at, _)| at).collect()
    }

    /// Tells of a risk if it is about any step.
    fn tell(
        &mut self,
        (kind, severity): (RiskKind, Severity),
        steps: &[StepIndex],
        description: impl FnOnce(usize) -> String,
        mitigation: &'static str,
    ) {
        if !steps.is_empty() {
            let description = description(steps.len());
            let steps = names(self.plan, &steps[..steps.len().min(NAMED)]);
            self.found.push(Risk { kind, severity, steps, description, mitigation });
        }
    }

    fn agents(&mut self, around: &Surroundings) {
        let Some(offers) = &around.offers else { return };
        let mut needed: Vec<_> = self.plan.workflow().steps.iter().filter_map(|step| step.capability.clone()).collect();
        needed.sort_unstable();
        needed.dedup();
        for capability in needed {
            let steps = self.steps(|_, step| step.capability.as_ref() == Some(&capability));
            match offers.get(&capability).copied().unwrap_or(0) {
                0 => self.tell(
                    (RiskKind::NoAgent, Severity::High),
                    &steps,
                    |_| format!("no agent offers {capability}"),
                    "register an agent with the capability",
                ),
                1 => self.tell(
                    (RiskKind::SingleAgent, Severity::Medium),
                    &steps,
                    |count| format!("one agent alone offers {capability}, which {count} of the steps need"),
                    "register a second agent with the capability, so that another is asked when one fails",
                ),
                _ => {}
            }
        }
    }

    fn shape(&mut self, analysis: &Analysis) {
        let plan = self.plan;
        if plan.len() >= LARGE && analysis.parallel_potential() < 0.1 {
            let share = 100.0 * (1.0 - analysis.parallel_potential());
            self.tell(
                (RiskKind::LongCriticalPath, Severity::Medium),
                &analysis.critical_path,
                |count| {
                    format!("{count} steps one after the other are {share:.0} % of the time: a delay of any delays all")
                },
                "split long steps, or drop dependencies that no data flows along",
            );
        }
        if !(LARGE..=COUNTED).contains(&plan.len()) {
            return;
        }
        let hanging = self.steps(|index, _| {
            let count = descendants(plan, index);
            count >= LARGE - 1 && count * 2 > plan.len()
        });
        self.tell(
            (RiskKind::Bottleneck, Severity::Low),
            &hanging,
            |_| "more than half of the steps hang on it: none of them runs if it fails".to_owned(),
            "give it more attempts, or a second agent; put a checkpoint behind it",
        );
    }

    fn policies(&mut self) {
        let workflow = self.plan.workflow();
        let once = self.steps(|_, step| asks(step) && step.retry.max_attempts == 1 && !step.retry.is_unsafe);
        self.tell(
            (RiskKind::NoRetries, Severity::Medium),
            &once,
            |count| format!("{count} of the steps are tried once: one lost connection fails them"),
            "raise retry.max_attempts, or on_error: retry",
        );
        let open = self.steps(|_, step| step.retry.is_unsafe);
        self.tell(
            (RiskKind::UnknownOutcome, Severity::Medium),
            &open,
            |_| "if the answer is lost, nobody knows whether it was done, and a person must say".to_owned(),
            "make the agent's work repeatable by the operation id, and drop retry: unsafe",
        );
        let kept = self.steps(|_, step| step.critical && step.compensate.is_none());
        self.tell(
            (RiskKind::NoCompensation, Severity::Medium),
            &kept,
            |_| "it is critical and cannot be undone if a later step fails".to_owned(),
            "name by compensate how it is undone",
        );
        let undoes = |on_error| matches!(on_error, Some(OnError::Compensate | OnError::Rollback));
        let asked = self.steps(|_, step| undoes(step.on_error.or(workflow.on_error)));
        if workflow.steps.iter().all(|step| step.compensate.is_none()) {
            self.tell(
                (RiskKind::NothingToUndo, Severity::Medium),
                &asked,
                |_| "its failure has what was done undone, and no step says how it is undone".to_owned(),
                "name by compensate how steps are undone",
            );
        }
        let endless = self.steps(|_, step| match step.kind() {
            StepKind::Approval(approval) => approval.due.is_none(),
            StepKind::Signal(signal) => signal.due.is_none(),
            _ => false,
        });
        self.tell(
            (RiskKind::WaitsForever, Severity::Low),
            &endless,
            |_| "it waits for somebody, until the run's timeout".to_owned(),
            "set due, and say by overdue what follows",
        );
    }

    fn times(&mut self, analysis: &Analysis, report: &PlanReport) {
        let p90 = |index: StepIndex| {
            let past = analysis.past[index as usize].map(|past| past.p90);
            past.unwrap_or_default().max(analysis.estimates[index as usize])
        };
        let known = |index: StepIndex| analysis.sources[index as usize] != EstimateSource::Assumed;
        let margin = |at: StepIndex, step: &Step| p90(at).as_secs_f64() / step.timeout.0.as_secs_f64().max(1e-9);
        let over = self.steps(|at, step| asks(step) && known(at) && margin(at, step) > 1.0);
        self.tell(
            (RiskKind::TightTimeout, Severity::High),
            &over,
            |_| "it is expected to take longer than one attempt may".to_owned(),
            "raise its timeout",
        );
        let near = self.steps(|at, step| asks(step) && known(at) && (0.8..=1.0).contains(&margin(at, step)));
        self.tell(
            (RiskKind::TightTimeout, Severity::Medium),
            &near,
            |_| "less than a fifth of its timeout is left as a margin".to_owned(),
            "raise its timeout, or split it",
        );
        let share = report.expected_duration / self.plan.workflow().timeout.0.as_secs_f64().max(1e-9);
        if share > 0.8 {
            self.tell(
                (RiskKind::TightRunTimeout, if share > 1.0 { Severity::High } else { Severity::Medium }),
                &analysis.critical_path,
                |_| format!("the run is expected to take {:.0} % of its timeout", share * 100.0),
                "raise the timeout of the workflow",
            );
        }
        let optimistic = self.steps(|at, step| {
            let said = step.estimated_duration.map_or(Duration::MAX, |span| span.0);
            analysis.past[at as usize].is_some_and(|past| past.p50 > said.saturating_mul(3) / 2)
        });
        self.tell(
            (RiskKind::OptimisticEstimate, Severity::Low),
            &optimistic,
            |_| "past runs took more than half as long again as the workflow says".to_owned(),
            "drop estimated_duration: past runs are gone by then",
        );
        let guessed = &analysis.without_estimate;
        self.tell(
            (RiskKind::NoEstimate, Severity::Low),
            guessed,
            |count| format!("how long {count} of the steps take is assumed"),
            "write estimated_duration; past runs tell by themselves",
        );
    }
}

fn asks(step: &Step) -> bool {
    matches!(step.kind(), StepKind::Call(_))
}

/// How many steps cannot run before one is complete.
fn descendants(plan: &Plan, index: StepIndex) -> usize {
    let mut seen = vec![false; plan.len()];
    let mut left = vec![index];
    let mut count = 0;
    while let Some(at) = left.pop() {
        for &next in plan.topology().successors(at) {
            if !std::mem::replace(&mut seen[next as usize], true) {
                count += 1;
                left.push(next);
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{plan_with, report_of};

    fn risks(head: &str, steps: &str, offers: &[(&str, u32)]) -> Vec<(RiskKind, Severity, Vec<String>)> {
        let plan = plan_with(head, steps);
        let analysis = Analysis::new(&plan);
        let offers = offers.iter().map(|(name, agents)| (name.parse().unwrap(), *agents)).collect();
        let found = find(&plan, &analysis, &report_of(&plan), &Surroundings { offers: Some(offers) });
        let named = |risk: Risk| risk.steps.iter().map(ToString::to_string).collect();
        found.into_iter().map(|risk| (risk.kind, risk.severity, named(risk))).collect()
    }

    fn of(risks: &[(RiskKind, Severity, Vec<String>)], kind: RiskKind) -> Option<(Severity, Vec<&str>)> {
        let found = risks.iter().find(|(found, ..)| *found == kind)?;
        Some((found.1, found.2.iter().map(String::as_str).collect()))
    }

    #[test]
    fn capabilities_that_few_offer_are_told_gravest_first() {
        let steps = "- {id: a, capability: x, estimated_duration: 1s}\n- {id: b, capability: y, estimated_duration: 1s}\n\
                     - {id: c, capability: z, estimated_duration: 1s}\n";
        let found = risks("", steps, &[("x", 2), ("y", 1)]);
        let kinds: Vec<_> = found.iter().map(|(kind, severity, steps)| (*kind, *severity, &*steps[0])).collect();
        assert_eq!(kinds, [(RiskKind::NoAgent, Severity::High, "c"), (RiskKind::SingleAgent, Severity::Medium, "b")]);
    }

    #[test]
    fn the_graph_and_the_policies_tell_the_others() {
        let steps = "- {id: a, capability: c, retry: {max_attempts: 1}, estimated_duration: 25s}\n\
                     - {id: b, capability: c, depends_on: [a], critical: true, estimated_duration: 40s}\n\
                     - {id: d, capability: c, depends_on: [b], retry: unsafe, estimated_duration: 1s}\n\
                     - {id: e, approval: {message: ok}, depends_on: [d]}\n";
        let found = risks("timeout: 60s\non_error: compensate", steps, &[("c", 2)]);
        let of = |kind| of(&found, kind);
        assert_eq!(of(RiskKind::NoRetries), Some((Severity::Medium, vec!["a"])));
        assert_eq!(of(RiskKind::NoCompensation), Some((Severity::Medium, vec!["b"])));
        assert_eq!(of(RiskKind::NothingToUndo), Some((Severity::Medium, vec!["a", "b", "d", "e"])));
        assert_eq!(of(RiskKind::UnknownOutcome), Some((Severity::Medium, vec!["d"])));
        assert_eq!(of(RiskKind::WaitsForever), Some((Severity::Low, vec!["e"])));
        assert_eq!(of(RiskKind::TightTimeout), Some((Severity::High, vec!["b"])));
        assert_eq!(of(RiskKind::TightRunTimeout), Some((Severity::High, vec!["a", "b", "d", "e"])));
        assert_eq!(of(RiskKind::LongCriticalPath).map(|found| found.0), Some(Severity::Medium));
        assert_eq!(of(RiskKind::Bottleneck), Some((Severity::Low, vec!["a"])));
        assert_eq!(of(RiskKind::NoEstimate), Some((Severity::Low, vec!["e"])));
        assert_eq!(of(RiskKind::NoAgent), None);
    }
}
