//! From what is said in several places to how one run is orchestrated.

use std::collections::{BTreeMap, BTreeSet};

use super::{Domain, Orchestration, Phase, Preset, Wishes};
use crate::ids::{Capability, StepId};
use crate::plan::Plan;
use crate::time::Span;
use crate::workflow::{OnError, Problem, Quality, Step, Workflow};

/// The type of a step that puts results together; what it takes is told apart from the rest of a run.
pub const SYNTHESIS_TYPE: &str = "aggregation";

/// What the configuration says about orchestration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rules {
    /// The preset and switches of runs whose workflow and submission say nothing.
    pub wishes: Wishes,
    /// The domains by name.
    pub domains: BTreeMap<String, Domain>,
    /// What an agent must be able to do to put the results of a run together at its end; `None`: nobody is asked.
    pub synthesis: Option<Capability>,
}

/// A run as it is orchestrated.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The workflow, with the settings that follow from the phases, and with a last step for the result if there is one.
    pub workflow: Workflow,
    /// What is recorded.
    pub orchestration: Orchestration,
    /// How long a session lasts in which nothing happens, if the domain says so.
    pub session_timeout: Option<Span>,
}

impl Rules {
    /// What applies to a run of a workflow: what its submission says goes before what the workflow says, then the domain, then
    /// the configuration. `None` if nobody says anything; such a run is as it always was.
    ///
    /// # Errors
    /// A domain that does not exist, or a step that asks for what the domain has no specialist for.
    pub fn settle(
        &self,
        plan: &Plan,
        said: &Wishes,
        offers: impl Fn(&Capability) -> bool,
    ) -> Result<Option<Settled>, Vec<Problem>> {
        let own = plan.workflow().wishes();
        let name = said.domain.as_ref().or(own.domain.as_ref()).or(self.wishes.domain.as_ref());
        let domain = name.map(|name| self.domain(name)).transpose()?;
        let layers = [said.clone(), own, domain.map(Domain::wishes).unwrap_or_default(), self.wishes.clone()];
        if layers.iter().all(Wishes::is_empty) && domain.is_none() {
            return Ok(None);
        }
        domain.map_or(Ok(()), |domain| specialists(plan, domain))?;
        let preset = layers.iter().find_map(|layer| layer.preset).unwrap_or(Preset::Full);
        let switched = |phase| layers.iter().find_map(|layer| layer.phases.get(&phase).copied());
        let has = |phase: &Phase| switched(*phase).unwrap_or_else(|| preset.has(*phase));
        let mut orchestration = Orchestration {
            preset,
            phases: Phase::ALL.into_iter().filter(has).collect(),
            domain: domain.map(|domain| domain.name.clone()),
            ..Orchestration::default()
        };
        let mut workflow = plan.workflow().clone();
        if !orchestration.has(Phase::ErrorHandling) {
            workflow.on_error = workflow.on_error.or(Some(OnError::Fail));
        }
        workflow.executor = orchestration.executor(workflow.executor);
        workflow.quality = judged(&workflow, &orchestration, domain);
        if orchestration.has(Phase::Artifacts)
            && let Some(capability) = self.synthesis.as_ref().filter(|capability| offers(capability))
            && let Some(step) = synthesis(plan, capability)
        {
            orchestration.synthesis = Some(step.id.clone());
            workflow.steps.push(step);
        }
        let session_timeout = domain.and_then(|domain| domain.session_timeout);
        Ok(Some(Settled { workflow, orchestration, session_timeout }))
    }

    /// True if a planner agent is asked for the workflow of a request in plain words; the workflow itself, which is not there
    /// yet, says nothing of it.
    #[must_use]
    pub fn delegates(&self, said: &Wishes) -> bool {
        let name = said.domain.as_ref().or(self.wishes.domain.as_ref());
        let domain = name.and_then(|name| self.domains.get(name)).map(Domain::wishes).unwrap_or_default();
        let layers = [said, &domain, &self.wishes];
        let preset = layers.iter().find_map(|layer| layer.preset).unwrap_or(Preset::Full);
        let switched = layers.iter().find_map(|layer| layer.phases.get(&Phase::Planning).copied());
        switched.unwrap_or_else(|| preset.has(Phase::Planning))
    }

    fn domain(&self, name: &str) -> Result<&Domain, Vec<Problem>> {
        self.domains.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.domains.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "there are none".to_owned() } else { known.join(", ") };
            vec![Problem::error("domain", format!("\"{}\" is no domain; known: {known}", name.escape_debug()))]
        })
    }
}

impl Workflow {
    /// What it says about orchestration.
    #[must_use]
    pub fn wishes(&self) -> Wishes {
        Wishes { preset: self.preset, phases: self.phases.clone(), domain: self.domain.clone() }
    }
}

/// What answers must be like: not judged at all without that phase, else what the domain says where the workflow says nothing.
fn judged(workflow: &Workflow, orchestration: &Orchestration, domain: Option<&Domain>) -> Option<Box<Quality>> {
    let mut quality = workflow.quality.as_deref().cloned().unwrap_or_default();
    if !orchestration.has(Phase::Quality) {
        quality.enabled = Some(false);
    } else if let Some(domain) = domain {
        quality.domain = quality.domain.or_else(|| domain.quality.clone());
        quality.threshold = quality.threshold.or(domain.threshold);
        for (metric, least) in &domain.thresholds {
            quality.thresholds.entry(metric.clone()).or_insert(*least);
        }
    }
    (quality != Quality::default()).then(|| Box::new(quality)).or_else(|| workflow.quality.clone())
}

/// Every step asks for something that the domain has a specialist for.
fn specialists(plan: &Plan, domain: &Domain) -> Result<(), Vec<Problem>> {
    if domain.specialists.is_empty() {
        return Ok(());
    }
    let strange = |step: &Step| step.capability.as_ref().is_some_and(|asked| !domain.specialists.contains(asked));
    let steps = plan.workflow().steps.iter().enumerate().filter(|(_, step)| strange(step));
    let problem = |(index, step): (usize, &Step)| {
        let reason = format!("the domain {} has no specialist for {}", domain.name, step.does());
        Problem::in_step(index, &step.id, "capability", reason)
    };
    let problems: Vec<Problem> = steps.map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The step that puts the results together: it reads what the last steps wrote. `None` for a run that has one result, or a
/// step that does it already.
fn synthesis(plan: &Plan, capability: &Capability) -> Option<Step> {
    let steps = &plan.workflow().steps;
    let is_last = |index: &u32| plan.topology().successors(*index).is_empty();
    let last: Vec<&Step> = (0..steps.len() as u32).filter(is_last).map(|index| &steps[index as usize]).collect();
    if last.len() < 2 || steps.iter().any(|step| step.capability.as_ref() == Some(capability)) {
        return None;
    }
    let taken: BTreeSet<&str> = steps.iter().map(|step| step.id.as_str()).collect();
    let id: StepId =
        ["result", "final_result", "synthesis"].into_iter().find(|id| !taken.contains(id))?.parse().ok()?;
    let paths = last.iter().flat_map(|step| step.output.values()).map(|mapping| mapping.to.to_string());
    let input: BTreeMap<String, serde_json::Value> = paths
        .map(|path| (path.replace(['.', '[', ']'], "_"), serde_json::json!({"from": path, "required": false})))
        .collect();
    if input.is_empty() {
        return None;
    }
    let depends: Vec<&str> = last.iter().map(|step| step.id.as_str()).collect();
    let step = serde_json::json!({
        "id": id, "capability": capability, "type": SYNTHESIS_TYPE, "input": input, "depends_on": depends,
        "output": {"*": id.as_str()},
    });
    serde_json::from_str(&step.to_string()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::{Executor, parse};

    const TWO: &str = "steps:\n- {id: a, capability: x, output: {\"*\": left.a}}\n\
                       - {id: b, capability: y, output: {\"*\": right}}\n";

    fn rules() -> Rules {
        let domain: Domain = "travel specialists=x,y session_timeout=30m preset=lightweight".parse().unwrap();
        Rules {
            domains: [(domain.name.clone(), domain)].into(),
            synthesis: Some("result.synthesize".parse().unwrap()),
            ..Rules::default()
        }
    }

    fn settle(rules: &Rules, head: &str, said: &Wishes, offers: bool) -> Result<Option<Settled>, Vec<Problem>> {
        let workflow = parse(&format!("id: w\n{head}{TWO}")).unwrap().workflow;
        rules.settle(&Plan::new(workflow).unwrap(), said, |_| offers)
    }

    fn preset(preset: Preset) -> Wishes {
        Wishes { preset: Some(preset), ..Wishes::default() }
    }

    #[test]
    fn nobody_says_anything_and_nothing_changes() {
        assert_eq!(settle(&rules(), "", &Wishes::default(), true).unwrap(), None);
    }

    #[test]
    fn a_submission_goes_before_the_workflow_the_domain_and_the_configuration() {
        let rules = Rules { wishes: preset(Preset::Full), ..rules() };
        let of = |head: &str, said: &Wishes| settle(&rules, head, said, false).unwrap().unwrap().orchestration;
        assert_eq!(of("", &Wishes::default()).preset, Preset::Full);
        assert_eq!(of("domain: travel\n", &Wishes::default()).preset, Preset::Lightweight);
        assert_eq!(of("domain: travel\npreset: full\n", &Wishes::default()).preset, Preset::Full);
        assert_eq!(of("preset: full\n", &preset(Preset::Lightweight)).preset, Preset::Lightweight);
        let off = of("preset: full\nphases: {quality: false}\n", &Wishes::default());
        assert_eq!((off.phases.len(), off.has(Phase::Quality)), (6, false));
        let on = Wishes { phases: [(Phase::Quality, true)].into(), ..Wishes::default() };
        assert!(of("preset: full\nphases: {quality: false}\n", &on).has(Phase::Quality));
    }

    #[test]
    fn the_phases_become_settings() {
        let light = settle(&rules(), "", &preset(Preset::Lightweight), true).unwrap().unwrap();
        assert_eq!((light.workflow.executor, light.workflow.on_error), (Executor::Basic, Some(OnError::Fail)));
        assert_eq!((light.orchestration.phases, light.workflow.steps.len()), (vec![Phase::Sessions], 2));
        assert_eq!(light.workflow.quality.and_then(|quality| quality.enabled), Some(false));
        let full = settle(&rules(), "executor: parallel\n", &preset(Preset::Full), true).unwrap().unwrap();
        assert_eq!((full.workflow.executor, full.workflow.on_error), (Executor::Parallel, None));
        assert_eq!(full.orchestration.synthesis.as_ref().map(StepId::as_str), Some("result"));
        let last = &full.workflow.steps[2];
        assert_eq!(last.input.keys().map(String::as_str).collect::<Vec<_>>(), ["left_a", "right"]);
        assert!(Plan::new(full.workflow.clone()).is_ok());
        let alone = settle(&rules(), "", &preset(Preset::Full), false).unwrap().unwrap();
        assert_eq!(alone.workflow.steps.len(), 2, "nobody puts the results together: the data is the result");
    }

    #[test]
    fn a_planner_agent_is_asked_unless_that_phase_is_off() {
        assert!(rules().delegates(&Wishes::default()));
        assert!(!rules().delegates(&preset(Preset::Lightweight)));
        assert!(!rules().delegates(&Wishes { domain: Some("travel".into()), ..Wishes::default() }));
        let off = Wishes { phases: [(Phase::Planning, false)].into(), ..preset(Preset::Full) };
        assert!(!rules().delegates(&off));
    }

    #[test]
    fn a_domain_has_specialists_and_a_session_timeout() {
        let said = Wishes { domain: Some("travel".into()), ..Wishes::default() };
        let settled = settle(&rules(), "", &said, false).unwrap().unwrap();
        assert_eq!(settled.session_timeout.map(|span| span.0.as_secs()), Some(1800));
        let strict: Domain = "strict quality=CODING threshold=0.8 thresholds=accuracy:0.7".parse().unwrap();
        let rules_of = Rules { domains: [(strict.name.clone(), strict)].into(), ..Rules::default() };
        let head = "domain: strict\nquality: {threshold: 0.5}\n";
        let quality = settle(&rules_of, head, &Wishes::default(), false).unwrap().unwrap().workflow.quality.unwrap();
        assert_eq!((quality.domain.as_deref(), quality.threshold), (Some("CODING"), Some(0.5)));
        assert_eq!(quality.thresholds.get("accuracy"), Some(&0.7));
        let workflow = parse("id: w\nsteps: [{id: a, capability: z}]").unwrap().workflow;
        let refused = rules().settle(&Plan::new(workflow).unwrap(), &said, |_| false).unwrap_err();
        assert!(refused[0].to_string().contains("the domain travel has no specialist for z"), "{refused:?}");
        let unknown = settle(&rules(), "domain: tarvel\n", &Wishes::default(), false).unwrap_err();
        assert!(unknown[0].to_string().contains("is no domain; known: travel"), "{unknown:?}");
    }
}
