//! What a planner agent answered, read as strictly as a workflow file.

use std::collections::BTreeSet;

use serde_json::Value;
use tutti_core::ids::Capability;
use tutti_core::limits::MAX_WORKFLOW_BYTES;
use tutti_core::plan::Plan;
use tutti_core::workflow::{Problem, Workflow, parse};

use crate::tasks::{GroupTable, TaskList, build, yaml};

/// Most problems that are told about an answer.
const PROBLEMS: usize = 50;

/// Why an answer makes no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// The planner says that there is no plan.
    Refused(String),
    /// What is wrong with it.
    Invalid(Vec<String>),
}

/// Reads an answer: the text of the workflow's file. Steps must need what is `offered`, if anything is.
///
/// # Errors
/// [`Rejected`].
pub fn read_answer(answer: &str, table: &GroupTable, offered: &[Capability]) -> Result<String, Rejected> {
    let wrong = |reason: &str| Rejected::Invalid(vec![reason.to_owned()]);
    if answer.len() > MAX_WORKFLOW_BYTES {
        return Err(wrong("the answer is larger than a workflow may be"));
    }
    let value: Value =
        serde_json::from_str(answer).map_err(|error| wrong(&format!("the answer is no JSON: {error}")))?;
    let text = match &value {
        Value::String(text) => text.clone(),
        Value::Object(members) => match (members.get("refused"), members.get("workflow"), members.get("tasks")) {
            (Some(why), ..) => {
                let why = why.as_str().map_or_else(|| why.to_string(), str::to_owned);
                return Err(Rejected::Refused(why.chars().take(1_000).collect()));
            }
            (_, Some(Value::String(text)), _) => text.clone(),
            (_, Some(workflow), _) => yaml(workflow),
            (.., Some(_)) => return of_tasks(&value, table, offered),
            _ if members.contains_key("steps") => yaml(&value),
            _ => return Err(wrong("the answer has none of: workflow, tasks, refused")),
        },
        _ => return Err(wrong("the answer is no object")),
    };
    let parsed = parse(&text).map_err(|problems| invalid(&problems))?;
    check(&parsed.workflow, offered)?;
    Ok(text)
}

fn of_tasks(value: &Value, table: &GroupTable, offered: &[Capability]) -> Result<String, Rejected> {
    let list: TaskList = serde_json::from_value(value.clone())
        .map_err(|error| Rejected::Invalid(vec![format!("the tasks cannot be used: {error}")]))?;
    let built = build(&list, table, offered).map_err(|problems| invalid(&problems))?;
    check(&built.parsed.workflow, offered)?;
    Ok(built.text)
}

/// Whether the workflow can be run by those who are there.
fn check(workflow: &Workflow, offered: &[Capability]) -> Result<(), Rejected> {
    Plan::new(workflow.clone()).map_err(|problems| invalid(&problems))?;
    let offered: BTreeSet<&Capability> = offered.iter().collect();
    let needed = workflow.steps.iter().filter_map(|step| Some((&step.id, step.capability.as_ref()?)));
    let missing: Vec<String> = needed
        .filter(|(_, capability)| !offered.is_empty() && !offered.contains(capability))
        .map(|(id, capability)| format!("step {id}: capability: no agent offers \"{capability}\""))
        .take(PROBLEMS)
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Rejected::Invalid(missing)) }
}

fn invalid(problems: &[Problem]) -> Rejected {
    Rejected::Invalid(problems.iter().filter(|p| p.is_error()).take(PROBLEMS).map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> Result<Workflow, Rejected> {
        let offered = ["a.do".parse().unwrap(), "b.do".parse().unwrap()];
        read_answer(answer, &GroupTable::default(), &offered).map(|text| parse(&text).unwrap().workflow)
    }

    #[test]
    fn workflows_texts_and_tasks_are_read() {
        let object = r#"{"id": "w", "steps": [{"id": "s", "capability": "a.do"}]}"#;
        for answer in [
            object.to_owned(),
            format!("{{\"workflow\": {object}}}"),
            format!("{{\"workflow\": {object:?}}}"),
            r#""id: w\nsteps:\n- {id: s, capability: a.do}""#.to_owned(),
        ] {
            assert_eq!(read(&answer).unwrap().steps[0].does(), "a.do", "{answer}");
        }
        let tasks = read(r#"{"id": "w", "tasks": ["b", {"description": "x", "capability": "a.do"}]}"#).unwrap();
        assert_eq!((tasks.steps[0].does(), tasks.steps[1].does()), ("b.do", "a.do"));
    }

    #[test]
    fn what_cannot_be_run_is_told_with_reasons() {
        let problems = |answer: &str| match read(answer).unwrap_err() {
            Rejected::Invalid(problems) => problems.join("; "),
            Rejected::Refused(why) => panic!("{why}"),
        };
        assert!(problems("{").contains("no JSON"));
        assert!(problems("[]").contains("no object"));
        assert!(problems("{}").contains("none of: workflow, tasks, refused"));
        assert!(problems(r#"{"tasks": 7}"#).contains("cannot be used"));
        let unknown = problems(r#"{"workflow": {"id": "w", "steps": [{"id": "s", "capability": "c.do"}]}}"#);
        assert_eq!(unknown, "step s: capability: no agent offers \"c.do\"");
        let circle = r#"{"id": "w", "steps": [{"id": "s", "capability": "a.do", "depends_on": ["s"]}]}"#;
        assert!(problems(circle).contains("step s: depends_on"), "{}", problems(circle));
        assert_eq!(read(r#"{"refused": "too little is said"}"#), Err(Rejected::Refused("too little is said".into())));
    }
}
