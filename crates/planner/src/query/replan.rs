//! A new plan for what a failed run did not do.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use tutti_core::ids::{RunId, StepId};
use tutti_core::plan::Plan;
use tutti_core::report::RunView;
use tutti_core::run::StepStatus;
use tutti_core::value::Json;

use crate::tasks::yaml;

/// A run that failed, as a planner agent is told of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailedRun {
    /// The run.
    pub run: RunId,
    /// The workflow that it followed.
    pub workflow: Value,
    /// Why it failed.
    pub error: String,
    /// The steps that failed.
    pub failed: Vec<FailedStep>,
    /// The steps that were completed.
    pub completed: Vec<StepId>,
    /// The run's data as it stands: what the completed steps left.
    pub data: Value,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedStep {
    /// The step.
    pub step: StepId,
    /// Why (untrusted text).
    pub error: String,
    /// The agents that were asked.
    pub agents: Vec<String>,
}

impl FailedRun {
    /// What is told of a run; `None` before it has a history.
    #[must_use]
    pub fn of(view: &RunView, data: &Json) -> Option<Self> {
        let failed = view.steps().filter(|step| step.status == StepStatus::Failed).map(|step| FailedStep {
            step: step.step.id.clone(),
            error: step.error.map(ToString::to_string).unwrap_or_default(),
            agents: step
                .attempts
                .iter()
                .filter_map(|attempt| attempt.agent.as_ref())
                .map(ToString::to_string)
                .collect(),
        });
        let completed = view.steps().filter(|step| step.status == StepStatus::Completed);
        Some(Self {
            run: view.run()?,
            workflow: serde_json::to_value(view.plan().workflow()).unwrap_or_default(),
            error: view.error().unwrap_or_default(),
            failed: failed.collect(),
            completed: completed.map(|step| step.step.id.clone()).collect(),
            data: serde_json::from_str(data.as_str()).unwrap_or_default(),
        })
    }
}

/// The plan that is made without a planner agent: the steps that are not complete, which find what the others left in the
/// data. Steps that failed are asked of any agent with the capability, not of the one that they were pinned to. `None` if
/// nothing is left.
#[must_use]
pub fn rest(plan: &Plan, failed: &FailedRun) -> Option<String> {
    let workflow = plan.workflow();
    let mut file: Map<String, Value> = match serde_json::to_value(workflow).ok()? {
        Value::Object(members) => members,
        _ => return None,
    };
    let of_step: BTreeMap<&StepId, u32> = (0..).zip(&workflow.steps).map(|(at, step)| (&step.id, at)).collect();
    let is_done = |id: &StepId| failed.completed.contains(id);
    let mut steps = file.get("steps")?.as_array()?.clone();
    steps.retain(|step| step["id"].as_str().and_then(|id| id.parse().ok()).is_some_and(|id| !is_done(&id)));
    for step in steps.iter_mut().filter_map(Value::as_object_mut) {
        let id: StepId = step["id"].as_str()?.parse().ok()?;
        // What a rule says of whole types is written out: those that are complete are not there any more.
        let on = plan.topology().dependencies(*of_step.get(&id)?).iter().map(|on| &plan.step(*on).id);
        step.insert("depends_on".into(), on.filter(|on| !is_done(on)).map(StepId::as_str).collect());
        if failed.failed.iter().any(|failed| failed.step == id) {
            step.remove("agent");
        }
    }
    if steps.is_empty() {
        return None;
    }
    file.insert("steps".into(), steps.into());
    file.insert("data".into(), failed.data.clone());
    // What was given at the start stands in the data.
    for name in ["inputs", "dependency_rules"] {
        file.remove(name);
    }
    Some(yaml(&file.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tutti_core::workflow::parse;

    use super::*;
    use crate::testing::plan_with;

    #[test]
    fn what_is_left_reads_what_was_done() {
        let plan = plan_with(
            "inputs: {n: {required: true}}\ndependency_rules: {late: [early]}",
            "- {id: a, capability: c, type: early, output: {x: x}}\n- {id: b, capability: c, type: late, agent: one, input: {x: x, n: n}}\n\
             - {id: d, capability: e, type: other, input: {x: x}, depends_on: [a, b]}\n",
        );
        let failed = FailedRun {
            run: RunId::new(1, [1; 10]),
            workflow: Value::Null,
            error: "b failed".into(),
            failed: vec![FailedStep { step: "b".parse().unwrap(), error: "x".into(), agents: vec!["one".into()] }],
            completed: vec!["a".parse().unwrap()],
            data: json!({"x": 7, "n": 1}),
        };
        let text = rest(&plan, &failed).unwrap();
        let workflow = parse(&text).unwrap_or_else(|problems| panic!("{text}\n{problems:?}")).workflow;
        let steps: Vec<_> =
            workflow.steps.iter().map(|step| (step.id.as_str(), step.depends_on.as_ref().unwrap().len())).collect();
        assert_eq!(steps, [("b", 0), ("d", 1)]);
        assert_eq!((workflow.steps[0].agent.as_ref(), workflow.data.as_str()), (None, r#"{"n":1,"x":7}"#));
        let all = ["a", "b", "d"].map(|id| id.parse().unwrap()).to_vec();
        assert_eq!(rest(&plan, &FailedRun { completed: all, ..failed }), None);
    }
}
