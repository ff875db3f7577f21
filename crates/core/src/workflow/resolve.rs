//! Names of sub-workflows replaced by the workflows that they stand for.

use std::collections::BTreeMap;

use super::bodies::{names_in, unresolved};
use super::definition::{Step, Workflow};
use super::grow::SubWorkflow;
use super::problem::Problem;
use super::validate::validate;
use crate::ids::WorkflowId;
use crate::limits::{MAX_NESTING, MAX_STEPS};

/// The workflow with every name of another one replaced by the whole of it, at any depth. `known` holds what the names stand for;
/// names that it does not hold stay.
///
/// # Errors
/// Workflows that hold themselves, told by their names; more steps than a workflow may have, all counted.
pub fn resolved(workflow: Workflow, known: &BTreeMap<WorkflowId, Workflow>) -> Result<Workflow, Vec<Problem>> {
    let mut whole = workflow;
    let problems = replace_names(&mut whole.steps, &whole.id, known);
    if problems.is_empty() { Ok(whole) } else { Err(problems) }
}

/// What is wrong or doubtful with the workflows that a workflow names, as far as they are known: those that hold themselves or are
/// not valid where they stand, and, as warnings, those that are not known.
#[must_use]
pub fn sub_workflow_problems(workflow: &Workflow, known: &BTreeMap<WorkflowId, Workflow>) -> Vec<Problem> {
    if unresolved(workflow).is_empty() {
        return Vec::new();
    }
    let whole = match resolved(workflow.clone(), known) {
        Ok(whole) => whole,
        Err(problems) => return problems,
    };
    let missing = unresolved(&whole);
    let named = |step: &Step| names_in([step]).into_iter().find(|name| missing.contains(name));
    let doubts = whole.steps.iter().enumerate().filter_map(|(index, step)| {
        let reason = format!("names the workflow \"{}\", which must be registered when a run starts", named(step)?);
        Some(Problem::in_step(index, &step.id, "workflow", reason).warning())
    });
    let mut problems: Vec<Problem> = doubts.collect();
    problems.extend(validate(&whole).into_iter().filter(Problem::is_error));
    problems
}

/// Replaces the names in steps of a workflow, and tells what is wrong with them.
pub(super) fn replace_names(
    steps: &mut [Step],
    of: &WorkflowId,
    known: &BTreeMap<WorkflowId, Workflow>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut resolver = Resolver { known, path: vec![of.clone()], steps: 0 };
    for (index, step) in steps.iter_mut().enumerate() {
        if let Err(reason) = resolver.replace(step) {
            problems.push(Problem::in_step(index, &step.id, "workflow", reason));
        }
    }
    problems
}

struct Resolver<'k> {
    known: &'k BTreeMap<WorkflowId, Workflow>,
    /// The workflows that hold the step that is looked at, outermost first.
    path: Vec<WorkflowId>,
    /// Steps that were looked at: a few files that name one another twice each would else be as many as nobody can hold.
    steps: usize,
}

impl Resolver<'_> {
    fn replace(&mut self, step: &mut Step) -> Result<(), String> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(format!("holds more steps than the {MAX_STEPS} that are allowed"));
        }
        for inner in &mut step.steps {
            self.replace(inner)?;
        }
        let mut held = match step.workflow.take() {
            None => return Ok(()),
            Some(SubWorkflow::Whole(whole)) => whole,
            Some(SubWorkflow::Name(name)) => {
                if self.path.contains(&name) {
                    let path: Vec<&str> = self.path.iter().chain([&name]).map(WorkflowId::as_str).collect();
                    return Err(format!("holds itself: {}", path.join(" → ")));
                }
                let Some(whole) = self.known.get(&name) else {
                    step.workflow = Some(SubWorkflow::Name(name));
                    return Ok(());
                };
                Box::new(whole.clone())
            }
        };
        if self.path.len() > MAX_NESTING {
            return Err(format!("is nested deeper than {MAX_NESTING} times"));
        }
        self.path.push(held.id.clone());
        let inner = held.steps.iter_mut().try_for_each(|inner| self.replace(inner));
        self.path.pop();
        inner?;
        step.workflow = Some(SubWorkflow::Whole(held));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn workflow(id: &str, steps: &str) -> Workflow {
        parse(&format!("id: {id}\nsteps:\n{steps}")).unwrap().workflow
    }

    fn known(all: &[Workflow]) -> BTreeMap<WorkflowId, Workflow> {
        all.iter().map(|one| (one.id.clone(), one.clone())).collect()
    }

    #[test]
    fn names_are_replaced_at_any_depth() {
        let outer = workflow("a", "- {id: x, steps: [{id: y, workflow: b}]}\n- {id: z, workflow: b}\n");
        let known = known(&[
            workflow("b", "- {id: q, workflow: c}\n"),
            workflow("c", "- {id: r, capability: c, input: {x: {value: 1.50}}}\n"),
        ]);
        let whole = resolved(outer.clone(), &known).unwrap();
        assert!(unresolved(&whole).is_empty());
        let (_, stored) = whole.to_canonical();
        assert_eq!(serde_json::from_slice::<Workflow>(&stored).unwrap(), whole, "as a store keeps it");
        crate::plan::Plan::new(whole).unwrap();
        let some = resolved(outer, &BTreeMap::new()).unwrap();
        assert_eq!(unresolved(&some).len(), 1, "what is not known stays");
    }

    #[test]
    fn what_holds_itself_is_refused_by_name() {
        let all = [workflow("b", "- {id: q, workflow: c}\n"), workflow("c", "- {id: r, workflow: b}\n")];
        let told = resolved(workflow("a", "- {id: x, workflow: b}\n"), &known(&all)).unwrap_err();
        assert_eq!(told[0].to_string(), "error: step x: workflow: holds itself: a → b → c → b");
        let told = resolved(workflow("a", "- {id: x, workflow: a}\n"), &known(&all)).unwrap_err();
        assert!(told[0].to_string().ends_with("a → a"));
    }

    #[test]
    fn a_few_small_files_do_not_become_a_giant() {
        let name = |n: u32| format!("w{n}");
        let twice =
            |n: u32| -> String { (0..20).map(|i| format!("- {{id: s{i}, workflow: {}}}\n", name(n + 1))).collect() };
        let mut all: Vec<Workflow> = (0..7).map(|n| workflow(&name(n), &twice(n))).collect();
        all.push(workflow("w7", "- {id: s, capability: c}\n"));
        assert!(resolved(all[0].clone(), &known(&all)).is_err());
    }
}
