//! A change of a plan while its run goes on, as a file or a caller says it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bodies::names_in;
use super::decode::{Fields, Place, decode_steps, finish};
use super::definition::{Step, Workflow};
use super::problem::Problem;
use super::resolve::replace_names;
use super::source::{Member, read};
use crate::ids::{StepId, WorkflowId};
use crate::value::{Json, member};

/// What is changed of a plan: it is checked and taken as a whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanPatch {
    /// The revision that it was made from: one that was made from an older one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u32>,
    /// Steps that are added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<Step>,
    /// Steps that take the place of those with the same ids, which have not begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replace: Vec<Step>,
    /// Steps that have not begun and are not done. Nothing may depend on them any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<StepId>,
    /// How many steps may be in flight from now on: 1 is one after another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent_tasks: Option<u32>,
}

impl PlanPatch {
    /// Reads the file of a change, YAML or JSON, by the rules of workflow files.
    ///
    /// # Errors
    /// Every problem found, in the order of the file.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let Some(root) = read(text, &mut problems) else { return Err(problems) };
        let at = Place { step: None, prefix: String::new() };
        let fields = Fields::new(&root, at, &mut problems).map(|mut fields| {
            let base = fields.optional("base");
            let (add, replace) = (fields.member("add"), fields.member("replace"));
            let remove = fields.optional("remove").unwrap_or_default();
            let max_concurrent_tasks = fields.optional("max_concurrent_tasks");
            fields.finish();
            (add, replace, Self { base, remove, max_concurrent_tasks, ..Self::default() })
        });
        let patch = fields.map(|(add, replace, patch)| {
            let mut steps = |list| steps_of(list, &mut problems);
            Self { add: steps(add), replace: steps(replace), ..patch }
        });
        finish(&root, &mut problems);
        match patch {
            Some(patch) if problems.is_empty() => Ok(patch),
            _ => Err(problems),
        }
    }

    /// The change that the output of a step asks for: its members `steps` (added), `replace`, `remove` and
    /// `max_concurrent_tasks`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn of_output(output: &Json) -> Result<Self, String> {
        fn part<T: serde::de::DeserializeOwned + Default>(output: &Json, name: &str) -> Result<T, String> {
            match member(output, name) {
                Some(value) => serde_json::from_str(value.as_str()).map_err(|error| format!("{name}: {error}")),
                None => Ok(T::default()),
            }
        }
        Ok(Self {
            base: None,
            add: part(output, "steps")?,
            replace: part(output, "replace")?,
            remove: part(output, "remove")?,
            max_concurrent_tasks: part(output, "max_concurrent_tasks")?,
        })
    }

    /// True if it changes nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.add.is_empty() && self.replace.is_empty() && self.remove.is_empty() && self.max_concurrent_tasks.is_none()
    }

    /// The names of workflows in it that are to be looked up.
    #[must_use]
    pub fn unresolved(&self) -> Vec<WorkflowId> {
        names_in(self.add.iter().chain(&self.replace))
    }

    /// The change with names of workflows replaced by the whole of them, for a run of a workflow.
    ///
    /// # Errors
    /// As [`resolved`](super::resolved).
    pub fn resolved(mut self, of: &WorkflowId, known: &BTreeMap<WorkflowId, Workflow>) -> Result<Self, Vec<Problem>> {
        let mut problems = replace_names(&mut self.add, of, known);
        problems.extend(replace_names(&mut self.replace, of, known));
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }
}

/// The steps of a list of the file; what is wrong with one is told by its place in the list.
fn steps_of(list: Option<&Member>, problems: &mut Vec<Problem>) -> Vec<Step> {
    let Some(list) = list else { return Vec::new() };
    let from = problems.len();
    let (steps, _) = decode_steps(&list.value, problems);
    for problem in &mut problems[from..] {
        problem.field = match problem.step_index.take() {
            Some(at) => format!("{}[{at}].{}", list.name, problem.field),
            None => list.name.clone(),
        };
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_with_the_place_of_what_is_wrong() {
        let patch = PlanPatch::parse("base: 2\nadd:\n- {id: a, capability: c}\nremove: [b]\n").unwrap();
        assert_eq!((patch.base, patch.add.len(), patch.remove.len()), (Some(2), 1, 1));
        assert!(PlanPatch::parse("{}").unwrap().is_empty());
        let wrong = "add:\n- {id: a, capability: c}\n- {id: b, capabilty: c}\nreplace: 3\nwidth: 2\n";
        let told: Vec<String> = PlanPatch::parse(wrong).unwrap_err().iter().map(ToString::to_string).collect();
        let told = told.join("\n");
        for part in
            ["3:11: error: step b: add[1].capabilty: is not a known field", "4:10: error: replace: must be a list"]
        {
            assert!(told.contains(part), "{told}");
        }
        assert!(told.contains("5:1: error: width: is not a known field"), "{told}");
    }

    #[test]
    fn names_of_workflows_are_replaced_in_it() {
        let patch = PlanPatch::parse("add: [{id: a, workflow: sub}]").unwrap();
        let sub = super::super::parse("id: sub\nsteps: [{id: x, capability: c}]").unwrap().workflow;
        assert_eq!(patch.unresolved(), ["sub".parse().unwrap()]);
        let known = [(sub.id.clone(), sub)].into();
        let whole = patch.clone().resolved(&"w".parse().unwrap(), &known).unwrap();
        assert!(whole.unresolved().is_empty());
        let told = patch.resolved(&"sub".parse().unwrap(), &known).unwrap_err();
        assert!(told[0].reason.contains("sub → sub"));
    }
}
