//! What a run starts with: the workflow's data with the run's inputs laid over it.

use super::definition::Workflow;
use super::problem::Problem;
use crate::value::{DataPath, DataTree, Json, members};

/// Lays the inputs of a run (an object, top-level members by name) over the workflow's data.
///
/// # Errors
/// A required input that is missing, an input that is not declared by a workflow that declares any, or inputs that are
/// no object.
pub fn initial_data(workflow: &Workflow, inputs: &Json) -> Result<Json, Vec<Problem>> {
    let Some(given) = members(inputs) else {
        return Err(vec![Problem::error("inputs", "must be an object")]);
    };
    let mut problems = Vec::new();
    for (name, spec) in &workflow.inputs {
        if spec.required && spec.default.is_none() && !given.contains_key(name) {
            let hint = if spec.description.is_empty() { String::new() } else { format!(" ({})", spec.description) };
            problems
                .push(Problem::error(format!("inputs.{name}"), format!("is required{hint}; give it by -i {name}=…")));
        }
    }
    if !workflow.inputs.is_empty() {
        let known = || workflow.inputs.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        for name in given.keys().filter(|name| !workflow.inputs.contains_key(*name)) {
            let shown: String = name.chars().take(60).flat_map(char::escape_debug).collect();
            let reason = format!("is not an input of this workflow; it takes: {}", known());
            problems.push(Problem::error(format!("inputs.{shown}"), reason));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut data = DataTree::new(workflow.data.clone());
    for (name, spec) in &workflow.inputs {
        if let (Some(default), false) = (&spec.default, given.contains_key(name)) {
            data.set_member(name, default.clone());
        }
    }
    for (name, value) in given {
        data.set_member(&name, value);
    }
    Ok(data.to_json())
}

/// The member of a run's data that holds what earlier runs of its session left.
pub const SESSION: &str = "session";

/// Lays what earlier runs of a session left, later ones last, over the data of a new one, under [`SESSION`].
#[must_use]
pub fn with_session(data: Json, left: impl IntoIterator<Item = (DataPath, Json)>) -> Json {
    let mut left = left.into_iter().peekable();
    if left.peek().is_none() {
        return data;
    }
    let mut tree = DataTree::new(data);
    for (path, value) in left {
        // Longer than a path may be: nobody could read it.
        if let Ok(path) = format!("{SESSION}.{path}").parse() {
            tree.set(&path, value);
        }
    }
    tree.to_json()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::parse;

    fn data(inputs: &str) -> Result<String, String> {
        let text = "id: w\ndata: {a: 1, b: 2}\ninputs: {b: {default: 5}, c: {required: true}}\nsteps: [{id: s, capability: c}]";
        let workflow = parse(text).unwrap().workflow;
        initial_data(&workflow, &Json::parse(inputs.to_owned()).unwrap())
            .map(|d| d.as_str().to_owned())
            .map_err(|p| p.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn inputs_are_laid_over_defaults_over_data() {
        assert_eq!(data(r#"{"c":{"d":[1e400]}}"#).unwrap(), r#"{"a":1,"b":5,"c":{"d":[1e400]}}"#);
        assert_eq!(data(r#"{"b":7,"c":0}"#).unwrap(), r#"{"a":1,"b":7,"c":0}"#);
    }

    #[test]
    fn missing_and_unknown_inputs_are_named() {
        assert!(data("{}").unwrap_err().contains("inputs.c: is required"));
        assert!(
            data(r#"{"c":1,"x":1}"#)
                .unwrap_err()
                .contains("inputs.x: is not an input of this workflow; it takes: b, c")
        );
        assert!(data("[]").is_err());
    }
}
