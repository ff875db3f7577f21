//! From a file's text to a checked workflow. Every fault is found in one pass: each field is read by itself, so that one
//! bad value does not hide the next.

mod budget;
mod fields;
mod step;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use self::budget::decode_budget;
use self::fields::value;
pub(super) use self::fields::{Fields, Place};
pub(super) use self::step::decode_steps;
use super::definition::{InputSpec, Workflow};
use super::problem::{Position, Problem};
use super::source::{Kind, Member, Node, read};
use super::validate::validate;
use crate::limits::MAX_PROBLEMS;
use crate::value::Json;

/// A workflow read from a file.
#[derive(Debug)]
pub struct Parsed {
    /// The workflow; runs if there was no error.
    pub workflow: Workflow,
    /// What its author should know.
    pub warnings: Vec<Problem>,
}

/// Reads a workflow file, YAML or JSON, and checks it.
///
/// # Errors
/// Every problem found, errors and warnings, in the order of the file; at least one is an error.
pub fn parse(text: &str) -> Result<Parsed, Vec<Problem>> {
    let mut problems = Vec::new();
    let Some(root) = read(text, &mut problems) else { return Err(problems) };
    let workflow = decode_workflow(&root, &mut problems);
    if let Some((workflow, complete)) = workflow {
        let follows = follows_from(&problems, complete);
        problems.extend(validate(&workflow).into_iter().filter(|problem| !follows(problem)));
        finish(&root, &mut problems);
        if !problems.iter().any(Problem::is_error) {
            return Ok(Parsed { workflow, warnings: problems });
        }
    } else {
        finish(&root, &mut problems);
    }
    Err(problems)
}

/// Tells findings that may only follow from what could not be read: from a step without an id, or from a mapping.
fn follows_from(unread: &[Problem], all_steps_known: bool) -> impl Fn(&Problem) -> bool + use<> {
    let begins = |problem: &Problem, words: &[&str]| words.iter().any(|word| problem.field.starts_with(word));
    let mappings = ["input", "output", "data", "depends_on"];
    let flow_known = all_steps_known && !unread.iter().any(|problem| begins(problem, &mappings));
    move |problem| {
        let graph = begins(problem, &["depends_on", "dependency_rules"]) || problem.field == "steps";
        let flow = begins(problem, &["input.", "output."]);
        (graph && !all_steps_known) || (flow && !flow_known)
    }
}

/// Adds places, sorts, and bounds what is told.
pub(super) fn finish(root: &Node, problems: &mut Vec<Problem>) {
    for problem in problems.iter_mut().filter(|p| p.position.is_none()) {
        problem.position = Some(locate(root, problem));
    }
    problems.sort_by_key(|p| p.position);
    if problems.len() > MAX_PROBLEMS {
        let more = problems.len() - MAX_PROBLEMS;
        let hides_error = problems[MAX_PROBLEMS..].iter().any(Problem::is_error);
        problems.truncate(MAX_PROBLEMS);
        let rest = Problem::error("", format!("{more} more problems are not shown"));
        problems.push(if hides_error { rest } else { rest.warning() });
    }
}

/// The place of the field that a problem names, or of the nearest thing around it.
pub(super) fn locate(root: &Node, problem: &Problem) -> Position {
    let mut node = root;
    let mut position = root.position;
    if let Some(index) = problem.step_index
        && let Some(Kind::List(steps)) = root.get("steps").map(|m| &m.value.kind)
        && let Some(step) = steps.get(index)
    {
        node = step;
        position = step.position;
    }
    let mut rest = problem.field.as_str();
    while !rest.is_empty() {
        if let Kind::List(items) = &node.kind {
            let (index, tail) = rest.trim_start_matches('[').split_once(']').unwrap_or((rest, ""));
            let Some(item) = index.parse::<usize>().ok().and_then(|i| items.get(i)) else { break };
            (node, position, rest) = (item, item.position, tail.trim_start_matches('.'));
            continue;
        }
        // A member's name may hold dots, so the longest one that fits is the one meant.
        let Kind::Map(members) = &node.kind else { break };
        let fits =
            |m: &&Member| rest.strip_prefix(m.name.as_str()).is_some_and(|t| t.is_empty() || t.starts_with(['.', '[']));
        let Some(found) = members.iter().filter(fits).max_by_key(|m| m.name.len()) else { break };
        (node, position) = (&found.value, found.position);
        rest = rest[found.name.len()..].trim_start_matches('.');
    }
    position
}

fn decode_workflow(root: &Node, problems: &mut Vec<Problem>) -> Option<(Workflow, bool)> {
    let at = Place { step: None, prefix: String::new() };
    let mut fields = Fields::new(root, at, problems)?;
    let id = fields.required("id", root.position);
    let name = fields.optional("name").unwrap_or_default();
    let version = fields.member("version").and_then(|m| version(m, &fields.at, fields.problems)).unwrap_or_default();
    let description = fields.optional("description").unwrap_or_default();
    let executor = fields.optional("executor").unwrap_or_default();
    let max_concurrent_tasks = fields.optional("max_concurrent_tasks").unwrap_or(DEFAULTS.max_concurrent_tasks);
    let parallel_threshold = fields.optional("parallel_threshold").unwrap_or(DEFAULTS.parallel_threshold);
    let on_error = fields.optional("on_error");
    let recoveries = fields.optional("recoveries").unwrap_or(DEFAULTS.recoveries);
    let timeout = fields.optional("timeout").unwrap_or(DEFAULTS.timeout);
    let priority = fields.optional("priority").unwrap_or_default();
    let inputs: BTreeMap<String, InputSpec> = fields.map("inputs");
    let data = fields.optional("data").unwrap_or_else(Json::empty_object);
    let share = fields.optional("share").unwrap_or_default();
    let budget = fields.member("budget");
    let dependency_rules = fields.map("dependency_rules");
    let quality = fields.optional("quality").map(Box::new);
    let preset = fields.optional("preset");
    let phases = fields.optional("phases").unwrap_or_default();
    let domain = fields.optional("domain");
    let steps = fields.member("steps");
    if steps.is_none() {
        fields.problems.push(Problem::error("steps", "is missing"));
    }
    fields.finish();
    let at = Place { step: None, prefix: String::new() };
    let budget = budget.and_then(|m| decode_budget(&m.value, at, problems)).map(Box::new);
    let (steps, complete) = steps.map_or((Vec::new(), false), |m| decode_steps(&m.value, problems));
    // Without a readable id the rest is still checked, under a name that stands in for it.
    let id = id.or_else(|| "unnamed".parse().ok())?;
    Some((
        Workflow {
            id,
            name,
            version,
            description,
            executor,
            max_concurrent_tasks,
            parallel_threshold,
            on_error,
            recoveries,
            timeout,
            priority,
            inputs,
            data,
            share,
            budget,
            dependency_rules,
            quality,
            preset,
            phases,
            domain,
            steps,
        },
        complete,
    ))
}

/// A version may be written without quotes, as `1.0`.
fn version(member: &Member, at: &Place, problems: &mut Vec<Problem>) -> Option<String> {
    match &member.value.kind {
        Kind::Number(text) => Some(text.clone()),
        _ => value("version", member, at, problems),
    }
}

/// A workflow and a step with every default, read once from a minimal file, so that defaults are said in one place only.
static DEFAULTS: LazyLock<Workflow> = LazyLock::new(|| {
    serde_json::from_str(r#"{"id":"w","steps":[{"id":"s","capability":"c"}]}"#).expect("a minimal workflow reads")
});

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        parse(text).map(|_| ()).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_place() {
        let found = problems(
            "id: w\nexecutor: fast\nsteps:\n  - id: a b\n    capability: c\n  - id: x\n    capability: c\n    timout: 3s\n    retry: {max_attempts: many, jiter: 1}\n    input: {v: {from: a, value: 1}}\n",
        );
        assert_eq!(found.len(), 6, "{found:#?}");
        assert!(found[0].starts_with("2:11: error: executor: unknown variant `fast`"), "{}", found[0]);
        assert!(found[1].starts_with("4:9: error: step a b: id: step id \"a b\" has a character"), "{}", found[1]);
        assert!(found[2].starts_with("8:5: error: step x: timout: is not a known field; did you mean \"timeout\"?"));
        assert!(found[3].starts_with("9:27: error: step x: retry.max_attempts: invalid type: string"), "{}", found[3]);
        assert!(found[4].contains("step x: retry.jiter: is not a known field; did you mean \"jitter\"?"));
        assert!(found[5].contains("step x: input.v: needs either `from` (a path) or `value`"), "{}", found[5]);
    }

    #[test]
    fn what_is_not_shown_refuses_a_workflow_only_if_it_is_an_error() {
        let steps: String =
            (0..=MAX_PROBLEMS).map(|i| format!("- {{id: s{i}, capability: c, input: {{x: d}}}}\n")).collect();
        let writer = "- {id: w, capability: c, output: {x: d}}\n";
        let text = format!("id: w\ndata: {{d: 1}}\nsteps:\n{steps}{writer}");
        let warnings = parse(&text).unwrap().warnings;
        assert_eq!(warnings.len(), MAX_PROBLEMS + 1);
        assert_eq!(warnings[MAX_PROBLEMS].to_string(), "warning: 1 more problems are not shown");
        let found = problems(&format!("{text}- {{id: x, capability: c, timeout: 0s}}"));
        assert_eq!(found[MAX_PROBLEMS], "error: 2 more problems are not shown");
    }

    #[test]
    fn defaults_are_those_of_the_types() {
        let parsed = parse("id: w\nversion: 1.0\nsteps: [{id: a, capability: c}]").unwrap().workflow;
        let typed: Workflow =
            serde_json::from_str(r#"{"id":"w","version":"1.0","steps":[{"id":"a","capability":"c"}]}"#).unwrap();
        assert_eq!(parsed, typed);
        assert_eq!(parsed.max_concurrent_tasks, 4);
    }

    #[test]
    fn the_schema_and_the_reader_know_the_same_fields() {
        let schema = super::super::schema();
        let names = |node: &serde_json::Value| {
            node["properties"].as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>()
        };
        let text = "id: w\nunheard-of: 1\nsteps: [{id: a, capability: c, unheard-of: 1, retry: {unheard-of: 1}}]";
        let known = |found: &str| {
            found
                .rsplit("known here: ")
                .next()
                .unwrap()
                .split(", ")
                .map(str::to_owned)
                .collect::<std::collections::BTreeSet<_>>()
        };
        let found = problems(text);
        assert_eq!(known(&found[0]), names(&schema));
        assert_eq!(known(&found[1]), names(&schema["$defs"]["Step"]));
        assert_eq!(known(&found[2]), names(&schema["$defs"]["RetryPolicy"]));
    }

    #[test]
    fn the_stored_form_reads_back() {
        let text = "id: w\ndata: {n: 1e400}\nsteps: [{id: a, capability: c, input: {x: n, y: {value: null}}, output: {'*': o, z: {to: q.r, optional: true}}, timeout: 1m}]";
        let workflow = parse(text).unwrap().workflow;
        let (hash, bytes) = workflow.to_canonical();
        let again = Workflow::from_canonical(&bytes).unwrap();
        assert_eq!(again, workflow);
        assert_eq!(again.to_canonical().0, hash);
    }
}
