//! What a step is expected to use, for plans. It has no effect on a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one attempt of a step is expected to use.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Money, in the currency of whoever plans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub cost: Option<f64>,
    /// Units of computing, whatever one is at the agents. Default: 1 for a step that asks an agent, 0 for a wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub compute_units: Option<f64>,
}

/// What is wrong with it, by field.
pub(super) fn bad_resources(resources: Resources) -> impl Iterator<Item = (&'static str, String)> {
    let Resources { cost, compute_units } = resources;
    let amounts = [("resources.cost", cost), ("resources.compute_units", compute_units)];
    amounts.into_iter().filter_map(|(field, amount)| {
        let amount = amount.filter(|amount| !(amount.is_finite() && *amount >= 0.0))?;
        Some((field, format!("is {amount}; must be a number of at least 0")))
    })
}

#[cfg(test)]
mod tests {
    use crate::workflow::{Workflow, parse};

    fn told(resources: &str) -> Result<Workflow, String> {
        let file = format!("id: w\nsteps:\n- {{id: a, capability: c, resources: {resources}}}\n");
        let all = |problems: Vec<crate::workflow::Problem>| problems.iter().map(ToString::to_string).collect();
        parse(&file).map(|parsed| parsed.workflow).map_err(all)
    }

    #[test]
    fn what_a_step_uses_is_kept_and_marks_the_format() {
        let workflow = told("{cost: 0.25, compute_units: 2}").unwrap();
        let resources = workflow.steps[0].resources.unwrap();
        assert_eq!((resources.cost, resources.compute_units), (Some(0.25), Some(2.0)));
        assert!(workflow.orchestrates());
        let (_, stored) = workflow.to_canonical();
        assert_eq!(Workflow::from_canonical(&stored).unwrap(), workflow);
        assert!(!parse("id: w\nsteps: [{id: a, capability: c}]").unwrap().workflow.orchestrates());
    }

    #[test]
    fn less_than_nothing_is_refused() {
        assert!(told("{cost: -1}").unwrap_err().contains("resources.cost: is -1; must be a number of at least 0"));
        assert!(told("{money: 1}").unwrap_err().contains("unknown field"));
    }
}
