//! A run's data: what a step gets, what its output must hold, and what all of them come to.

use super::compiled::Compiled;
use super::{Binding, Growth, Place, Plan, StepIndex};
use crate::value::{DataPath, DataTree, Json, items, member};
use crate::workflow::{Captures, Container, OutputField, Step, SubWorkflow};

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

/// Puts a step's input together from the data around it, which are those at the start for a step of the workflow itself, and the
/// outputs of completed steps.
///
/// # Errors
/// [`InputMissing`] if a required field has no value.
pub fn assemble_input(
    plan: &Plan,
    step: StepIndex,
    around: &Json,
    output_of: impl Fn(StepIndex) -> Option<Json>,
) -> Result<StepInput, InputMissing> {
    let place = plan.place(step);
    let mut tree = DataTree::new(Json::empty_object());
    let mut missing = Vec::new();
    for ((name, mapping), binding) in plan.step(step).input.iter().zip(place.of.flow.bindings(place.at)) {
        if let Some(value) = &mapping.value {
            tree.set_member(name, value.clone());
        }
        let Some(path) = &mapping.from else { continue };
        match read(place, path, binding, around, &output_of) {
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

/// What a step's own conditions read of the data, as an object.
pub fn captured(plan: &Plan, step: StepIndex, around: &Json, output_of: impl Fn(StepIndex) -> Option<Json>) -> Json {
    read_all(plan, step, around, &output_of, |captures| &captures.conditions)
}

/// What the steps that a step holds have around them, whichever time of it they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// The data that all of them read.
    pub data: Json,
    /// The items of a list, of a step that is done for each of them.
    pub items: Option<Vec<Json>>,
}

/// Puts together what the steps that a step holds have around them.
///
/// # Errors
/// A text that says what is missing: the list of a `map`, or a required field of what a workflow gets.
pub fn enter(
    plan: &Plan,
    step: StepIndex,
    around: &Json,
    output_of: impl Fn(StepIndex) -> Option<Json>,
) -> Result<Inside, String> {
    let definition = plan.step(step);
    if let (Some(SubWorkflow::Whole(workflow)), true) = (&definition.workflow, definition.is_isolated()) {
        let input = assemble_input(plan, step, around, &output_of).map_err(|missing| missing.to_string())?;
        let data = crate::workflow::initial_data(workflow, &input.value)
            .map_err(|problems| problems.first().map(ToString::to_string).unwrap_or_default())?;
        return Ok(Inside { data, items: None });
    }
    let data = read_all(plan, step, around, &output_of, |captures| &captures.inner);
    let items = match &definition.map {
        None => None,
        Some(map) => {
            let conditions = captured(plan, step, around, &output_of);
            let list = DataTree::new(conditions).get(&map.over);
            let list = list.ok_or_else(|| format!("map.over: \"{}\" has no value", map.over))?;
            Some(items(&list).ok_or_else(|| format!("map.over: \"{}\" is not a list", map.over))?)
        }
    };
    Ok(Inside { data, items })
}

/// The data around the steps of one time of what a step holds. `previous` is the output of the time before, for a step that is
/// repeated.
#[must_use]
pub fn start_of_time(step: &Step, inside: &Inside, number: u32, previous: Option<Json>) -> Json {
    let number_of = |value: u32| Json::of(&value).unwrap_or_else(|_| Json::null());
    let mut tree = DataTree::new(inside.data.clone());
    match step.container() {
        Some(Container::Map(map)) => {
            let item = inside.items.as_ref().and_then(|items| items.get(number as usize)).cloned();
            tree.set_member(&map.item, item.unwrap_or_else(Json::null));
            tree.set_member("index", number_of(number));
        }
        Some(Container::Repeat(_)) => {
            tree.set_member("iteration", number_of(number));
            tree.set_member("previous", previous.unwrap_or_else(Json::null));
        }
        _ => return inside.data.clone(),
    }
    tree.to_json()
}

/// As [`assemble_input`] from the data at the start of the run, whatever holds the step.
///
/// # Errors
/// What is missing, as a text.
pub fn input_of(
    plan: &Plan,
    step: StepIndex,
    start: &Json,
    output_of: impl Fn(StepIndex) -> Option<Json>,
) -> Result<StepInput, String> {
    let mut around = start.clone();
    for (holder, number) in plan.holders(step) {
        let inside = enter(plan, holder, &around, &output_of)?;
        around = start_of_time(plan.step(holder), &inside, number, plan.previous(holder, number).and_then(&output_of));
    }
    assemble_input(plan, step, &around, &output_of).map_err(|missing| missing.to_string())
}

impl Plan {
    /// The step whose output is that of the time before a time of what a step holds.
    #[must_use]
    pub fn previous(&self, holder: StepIndex, number: u32) -> Option<StepIndex> {
        // The items of a list know nothing of each other.
        self.step(holder).repeat.as_ref()?;
        let before = number.checked_sub(1)?;
        self.growths.find(holder, before).and_then(|growth| growth.instance(before).next())
    }
}

fn read_all(
    plan: &Plan,
    step: StepIndex,
    around: &Json,
    output_of: &impl Fn(StepIndex) -> Option<Json>,
    which: impl Fn(&Captures) -> &Vec<(DataPath, Binding)>,
) -> Json {
    let place = plan.place(step);
    let mut tree = DataTree::new(Json::empty_object());
    for (path, binding) in place.of.flow.captures(place.at).map_or(&[][..], |captures| which(captures)) {
        if let Some(value) = read(place, path, binding, around, output_of) {
            tree.set(path, value);
        }
    }
    tree.to_json()
}

fn read(
    place: Place<'_>,
    path: &DataPath,
    binding: &Binding,
    around: &Json,
    output_of: &impl Fn(StepIndex) -> Option<Json>,
) -> Option<Json> {
    let mut tree = DataTree::new(around.clone());
    for source in &binding.sources {
        let (field, to) = source.of(&place.of.workflow);
        let output = output_of(place.index(source.step));
        if let Some(value) = output.as_ref().and_then(|output| extract(output, field)) {
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

/// What the steps of one time of a block or workflow have written, or the whole data of a workflow at its end.
#[must_use]
pub fn written(growth: &Growth, start: &Json, output_of: impl Fn(StepIndex) -> Option<Json>) -> Json {
    data_of(&growth.body, start, |at| output_of(growth.index(growth.first, at)))
}

/// A run's data: what it started with and every mapped output of its completed steps, in order.
pub fn run_data(plan: &Plan, start: &Json, output_of: impl Fn(StepIndex) -> Option<Json>) -> Json {
    data_of(&plan.root, start, output_of)
}

fn data_of(of: &Compiled, start: &Json, output_of: impl Fn(u32) -> Option<Json>) -> Json {
    let mut tree = DataTree::new(start.clone());
    for &at in of.topology.order() {
        if of.step(at).output.is_empty() {
            continue;
        }
        let Some(output) = output_of(at) else { continue };
        for (field, mapping) in &of.step(at).output {
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
        assert_eq!(plan.reads(2), [1]);
    }
}
