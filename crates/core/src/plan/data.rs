//! A run's data: what a step gets, what its output must hold, and what all of them come to.

use super::{Binding, Plan, StepIndex};
use crate::value::{DataPath, DataTree, Json, member};
use crate::workflow::{OutputField, Step, Workflow};

/// A step's input, put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepInput {
    /// The object that the agent gets.
    pub value: Json,
    /// Fields that were left out because their path has no value, as `field ← path`.
    pub missing: Vec<String>,
}

/// A required field of a step's input has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("input field \"{field}\" is required, but \"{path}\" has no value")]
pub struct InputMissing {
    /// The field.
    pub field: String,
    /// The path in the run's data.
    pub path: DataPath,
}

/// Puts a step's input together from the data at the start and the outputs of completed steps.
///
/// # Errors
/// [`InputMissing`] if a required field has no value.
pub fn assemble_input(
    plan: &Plan,
    step: StepIndex,
    start: &Json,
    output_of: impl Fn(StepIndex) -> Option<Json>,
) -> Result<StepInput, InputMissing> {
    let mut tree = DataTree::new(Json::empty_object());
    let mut missing = Vec::new();
    for ((name, mapping), binding) in plan.step(step).input.iter().zip(plan.flow().bindings(step)) {
        if let Some(value) = &mapping.value {
            tree.set_member(name, value.clone());
        }
        let Some(path) = &mapping.from else { continue };
        match read(plan.workflow(), path, binding, start, &output_of) {
            Some(value) => tree.set_member(name, value),
            None if mapping.required == Some(true) => {
                return Err(InputMissing { field: name.clone(), path: path.clone() });
            }
            None if mapping.required.is_none() => missing.push(format!("{name} ← {path}")),
            None => {}
        }
    }
    Ok(StepInput { value: tree.to_json(), missing })
}

fn read(
    workflow: &Workflow,
    path: &DataPath,
    binding: &Binding,
    start: &Json,
    output_of: &impl Fn(StepIndex) -> Option<Json>,
) -> Option<Json> {
    let mut tree = DataTree::new(start.clone());
    for source in &binding.sources {
        let (field, to) = source.of(workflow);
        if let Some(value) = output_of(source.step).as_ref().and_then(|output| extract(output, field)) {
            tree.set(to, value);
        }
    }
    tree.get(path)
}

/// The part of a step's output that a mapping names; an output that is no object is taken whole.
pub(super) fn extract(output: &Json, field: &OutputField) -> Option<Json> {
    match field {
        OutputField::Member(name) if output.is_object() => member(output, name),
        OutputField::Member(_) | OutputField::Whole => Some(output.clone()),
    }
}

/// The first field that a step's output mapping names and its output lacks.
#[must_use]
pub fn missing_output<'s>(step: &'s Step, output: &Json) -> Option<&'s OutputField> {
    let lacks = |field: &OutputField| extract(output, field).is_none();
    step.output.iter().find(|(field, mapping)| !mapping.optional && lacks(field)).map(|(field, _)| field)
}

/// A run's data: what it started with and every mapped output of its completed steps, in order.
pub fn run_data(plan: &Plan, start: &Json, output_of: impl Fn(StepIndex) -> Option<Json>) -> Json {
    let mut tree = DataTree::new(start.clone());
    for &step in plan.topology().order() {
        if plan.step(step).output.is_empty() {
            continue;
        }
        let Some(output) = output_of(step) else { continue };
        for (field, mapping) in &plan.step(step).output {
            if let Some(value) = extract(&output, field) {
                tree.set(&mapping.to, value);
            }
        }
    }
    tree.to_json()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::parse;

    fn plan(steps: &str) -> std::sync::Arc<Plan> {
        Plan::new(parse(&format!("id: w\ndata: {{u: {{n: 1, m: 2}}}}\nsteps:\n{steps}")).unwrap().workflow).unwrap()
    }
    fn json(text: &str) -> Json {
        Json::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn inputs_are_laid_together_from_start_and_outputs() {
        let plan = plan(concat!(
            "- {id: a, capability: c, output: {x: u.n}}\n",
            "- {id: b, capability: c, output: {'*': whole}, depends_on: [a]}\n",
            "- {id: r, capability: c, depends_on: [b], input: {u: u, n: u.n, w: whole.q, k: {value: [1]}, no: {from: u.zz, required: false}}}\n",
        ));
        let outputs = [Some(json(r#"{"x":1e400}"#)), Some(json(r#"{"q":[ 1 ]}"#)), None];
        let input = assemble_input(&plan, 2, &plan.workflow().data, |i| outputs[i as usize].clone()).unwrap();
        assert_eq!(input.value.as_str(), r#"{"k":[1],"n":1e400,"u":{"m":2,"n":1e400},"w":[ 1 ]}"#);
        assert!(input.missing.is_empty());
        let data = run_data(&plan, &plan.workflow().data, |i| outputs[i as usize].clone());
        assert_eq!(data.as_str(), r#"{"u":{"m":2,"n":1e400},"whole":{"q":[ 1 ]}}"#);
    }

    #[test]
    fn what_an_unordered_step_writes_is_not_seen() {
        let plan = plan("- {id: a, capability: c, output: {x: u.n}}\n- {id: r, capability: c, input: {n: u.n}}\n");
        let input = assemble_input(&plan, 1, &plan.workflow().data, |_| Some(json(r#"{"x":9}"#))).unwrap();
        assert_eq!(input.value.as_str(), r#"{"n":1}"#);
    }

    #[test]
    fn missing_values_are_noted_or_fail() {
        let steps = |required| {
            format!(
                "- {{id: a, capability: c, output: {{x: {{to: o, optional: true}}}}}}\n- {{id: r, capability: c, depends_on: [a], input: {{v: {{from: o{required}}}}}}}\n"
            )
        };
        let none = |_| Some(json("{}"));
        let noted = assemble_input(&plan(&steps("")), 1, &json("{}"), none).unwrap();
        assert_eq!((noted.value.as_str(), noted.missing), ("{}", vec!["v ← o".to_owned()]));
        assert!(assemble_input(&plan(&steps(", required: true")), 1, &json("{}"), none).is_err());
    }

    #[test]
    fn a_bare_output_is_taken_whole_and_a_lacking_field_is_found() {
        let plan = plan("- {id: a, capability: c, output: {x: o}}\n");
        assert_eq!(missing_output(plan.step(0), &json(r#""text""#)), None);
        assert_eq!(missing_output(plan.step(0), &json(r#"{"y":1}"#)), Some(&OutputField::Member("x".into())));
        assert_eq!(run_data(&plan, &json("{}"), |_| Some(json(r#""text""#))).as_str(), r#"{"o":"text"}"#);
    }

    #[test]
    fn a_later_writer_that_covers_the_path_hides_earlier_ones() {
        let plan = plan(concat!(
            "- {id: a, capability: c, output: {x: u.n}}\n",
            "- {id: b, capability: c, output: {x: u}, depends_on: [a]}\n",
            "- {id: r, capability: c, depends_on: [b], input: {n: u.n}}\n",
        ));
        assert_eq!(plan.flow().reads(2), [1]);
    }
}
