//! From a file's text to a checked workflow. Every fault is found in one pass: each field is read by itself, so that one
//! bad value does not hide the next.

mod budget;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::de::DeserializeOwned;

use self::budget::{decode_budget, decode_reserve};
use super::definition::{InputSpec, Step, Workflow};
use super::mapping::OutputField;
use super::problem::{Position, Problem, without_position};
use super::recovery::{Compensation, RetryPolicy};
use super::source::{Kind, Member, Node, read};
use super::validate::validate;
use crate::limits::{MAX_NESTING, MAX_PROBLEMS, MAX_STEPS};
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

/// The members of one object of the file, taken one by one; what nobody took is an unknown field.
pub(super) struct Fields<'n, 'p> {
    members: &'n [Member],
    taken: Vec<&'static str>,
    at: Place,
    problems: &'p mut Vec<Problem>,
}

/// Where the object stands, for messages.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) step: Option<(usize, String)>,
    pub(super) prefix: String,
}

impl Place {
    fn problem(&self, name: &str, position: Position, reason: impl Into<String>) -> Problem {
        let field = format!("{}{name}", self.prefix);
        let problem = match &self.step {
            Some((index, id)) => Problem::in_step(*index, id, field, reason),
            None => Problem::error(field, reason),
        };
        Problem { position: Some(position), ..problem }
    }
}

impl<'n, 'p> Fields<'n, 'p> {
    pub(super) fn new(node: &'n Node, at: Place, problems: &'p mut Vec<Problem>) -> Option<Self> {
        match &node.kind {
            Kind::Map(members) => Some(Self { members, taken: Vec::new(), at, problems }),
            kind => {
                problems.push(at.problem("", node.position, format!("must be an object, not {}", describe(kind))));
                None
            }
        }
    }

    pub(super) fn member(&mut self, name: &'static str) -> Option<&'n Member> {
        self.taken.push(name);
        self.members.iter().find(|m| m.name == name)
    }

    /// A field that may be left out.
    pub(super) fn optional<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<T> {
        let member = self.member(name)?;
        value(name, member, &self.at, self.problems)
    }

    fn required<T: DeserializeOwned>(&mut self, name: &'static str, position: Position) -> Option<T> {
        if self.members.iter().all(|m| m.name != name) {
            self.taken.push(name);
            self.problems.push(self.at.problem(name, position, "is missing"));
            return None;
        }
        self.optional(name)
    }

    /// An object whose members are read one by one.
    fn map<K: Ord + From<String>, T: DeserializeOwned>(&mut self, name: &'static str) -> BTreeMap<K, T> {
        let Some(member) = self.member(name) else { return BTreeMap::new() };
        let at = Place { prefix: format!("{}{name}.", self.at.prefix), ..self.at.clone() };
        match &member.value.kind {
            Kind::Map(members) => members
                .iter()
                .filter_map(|m| Some((K::from(m.name.clone()), value(&m.name, m, &at, self.problems)?)))
                .collect(),
            kind => {
                let reason = format!("must be an object, not {}", describe(kind));
                self.problems.push(self.at.problem(name, member.value.position, reason));
                BTreeMap::new()
            }
        }
    }

    pub(super) fn finish(self) {
        for member in self.members.iter().filter(|m| !self.taken.contains(&m.name.as_str())) {
            let near = self.taken.iter().filter(|t| is_near(t, &member.name)).min();
            let hint = near.map_or_else(
                || format!("known here: {}", self.taken.join(", ")),
                |near| format!("did you mean \"{near}\"?"),
            );
            self.problems.push(self.at.problem(&member.name, member.position, format!("is not a known field; {hint}")));
        }
    }
}

fn value<T: DeserializeOwned>(name: &str, member: &Member, at: &Place, problems: &mut Vec<Problem>) -> Option<T> {
    let mut text = String::new();
    member.value.write_json(&mut text);
    serde_json::from_str(&text)
        .map_err(|e| problems.push(at.problem(name, member.value.position, without_position(&e))))
        .ok()
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

/// The steps of a list, and whether all of them could be read.
pub(super) fn decode_steps(node: &Node, problems: &mut Vec<Problem>) -> (Vec<Step>, bool) {
    let Kind::List(items) = &node.kind else {
        let reason = format!("must be a list, not {}", describe(&node.kind));
        problems.push(Problem { position: Some(node.position), ..Problem::error("steps", reason) });
        return (Vec::new(), false);
    };
    if items.len() > MAX_STEPS {
        let reason = format!("{} steps; {MAX_STEPS} are allowed", items.len());
        problems.push(Problem { position: Some(node.position), ..Problem::error("steps", reason) });
        return (Vec::new(), false);
    }
    let steps: Vec<Step> =
        items.iter().enumerate().filter_map(|(index, item)| decode_step(index, item, problems)).collect();
    let complete = steps.len() == items.len();
    (steps, complete)
}

fn decode_step(index: usize, node: &Node, problems: &mut Vec<Problem>) -> Option<Step> {
    let id = match node.get("id").map(|m| &m.value.kind) {
        Some(Kind::Text(id)) => id.chars().take(60).flat_map(char::escape_debug).collect(),
        _ => format!("#{}", index + 1),
    };
    decode_step_at(node, Place { step: Some((index, id)), prefix: String::new() }, problems)
}

fn decode_step_at(node: &Node, at: Place, problems: &mut Vec<Problem>) -> Option<Step> {
    let mut fields = Fields::new(node, at, problems)?;
    let id = fields.required("id", node.position);
    let capability = fields.optional("capability");
    let inner = fields.member("steps");
    let (workflow, when) = (fields.optional("workflow"), fields.optional("when"));
    let (map, repeat, ask) = (fields.optional("map"), fields.optional("repeat"), fields.optional("ask"));
    let aggregate = fields.optional("aggregate");
    let grows = fields.optional("grows").unwrap_or_default();
    let (approval, signal) = (fields.optional("approval"), fields.optional("signal"));
    let (sleep, wait_until) = (fields.optional("sleep"), fields.optional("wait_until"));
    let task_type = fields.optional("type");
    let action = fields.optional("action");
    let agent = fields.optional("agent");
    let stage = fields.optional("stage");
    let input = fields.map::<String, _>("input");
    let output = fields.map::<OutputField, _>("output");
    let depends_on = fields.optional("depends_on");
    let timeout = fields.optional("timeout").unwrap_or(DEFAULTS.steps[0].timeout);
    let (total_timeout, idle_timeout) = (fields.optional("total_timeout"), fields.optional("idle_timeout"));
    let retry = fields.member("retry");
    let on_error = fields.optional("on_error");
    let compensate = fields.member("compensate");
    let priority = fields.optional("priority").unwrap_or_default();
    let parallel_safe = fields.optional("parallel_safe").unwrap_or(DEFAULTS.steps[0].parallel_safe);
    let estimated_duration = fields.optional("estimated_duration");
    let resources = fields.optional("resources");
    let reserve = fields.member("reserve");
    let quality = fields.optional("quality").map(Box::new);
    let critical = fields.optional("critical").unwrap_or_default();
    let checkpoint = fields.optional("checkpoint");
    let at = fields.at.clone();
    fields.finish();
    let retry = retry.map_or_else(RetryPolicy::default, |m| decode_retry(&m.value, at.clone(), problems));
    let compensate = compensate.and_then(|m| decode_compensation(&m.value, at.clone(), problems));
    let steps = inner.map_or_else(Vec::new, |m| decode_inner(&m.value, &at, problems));
    let reserve = reserve.and_then(|m| decode_reserve(&m.value, at.clone(), problems));
    check_kinds(node, &at, problems);
    let is_readable = inner.is_some()
        || workflow.is_some()
        || capability.is_some()
        || approval.is_some()
        || signal.is_some()
        || sleep.is_some()
        || wait_until.is_some();
    Some(Step {
        id: id?,
        // A step that cannot be read is kept, so that steps that depend on it are not blamed.
        capability: if is_readable { capability } else { "unnamed".parse().ok() },
        approval,
        signal,
        sleep,
        wait_until,
        steps,
        workflow,
        when,
        map,
        repeat,
        ask,
        aggregate,
        grows,
        task_type,
        action,
        agent,
        stage,
        input,
        output,
        depends_on,
        timeout,
        total_timeout,
        idle_timeout,
        retry,
        on_error,
        compensate,
        priority,
        parallel_safe,
        estimated_duration,
        resources,
        reserve,
        quality,
        critical,
        checkpoint,
    })
}

/// The steps that a step holds.
fn decode_inner(node: &Node, at: &Place, problems: &mut Vec<Problem>) -> Vec<Step> {
    let Kind::List(items) = &node.kind else {
        problems.push(at.problem("steps", node.position, format!("must be a list, not {}", describe(&node.kind))));
        return Vec::new();
    };
    if items.is_empty() || at.prefix.matches("steps[").count() >= MAX_NESTING {
        let reason = if items.is_empty() { "must hold at least one step" } else { "is nested too deep" };
        problems.push(at.problem("steps", node.position, reason));
        return Vec::new();
    }
    let place = |i: usize| Place { prefix: format!("{}steps[{i}].", at.prefix), ..at.clone() };
    items.iter().enumerate().filter_map(|(i, item)| decode_step_at(item, place(i), problems)).collect()
}

/// A step asks an agent, waits or holds others, one of the three, in one way.
fn check_kinds(node: &Node, at: &Place, problems: &mut Vec<Problem>) {
    let one_of = ["capability", "approval", "signal", "sleep", "wait_until", "steps", "workflow"];
    let named: Vec<&str> = one_of.into_iter().filter(|name| node.get(name).is_some()).collect();
    match named[..] {
        [_] => {}
        [] => {
            let reason = "is missing; a step that asks no agent has one of: approval, signal, sleep, wait_until, steps, \
                          workflow";
            problems.push(at.problem("capability", node.position, reason));
        }
        [.., last] => {
            problems.push(at.problem(last, node.position, format!("must have only one of: {}", named.join(", "))));
        }
    }
}

fn decode_compensation(node: &Node, at: Place, problems: &mut Vec<Problem>) -> Option<Compensation> {
    let at = Place { prefix: "compensate.".into(), ..at };
    let mut fields = Fields::new(node, at, problems)?;
    let capability = fields.required("capability", node.position);
    let (action, agent) = (fields.optional("action"), fields.optional("agent"));
    let input = fields.map::<String, _>("input");
    let timeout = fields.optional("timeout").unwrap_or(DEFAULTS.steps[0].timeout);
    let retry = fields.member("retry");
    let at = fields.at.clone();
    fields.finish();
    let retry = retry.map_or_else(RetryPolicy::default, |m| decode_retry(&m.value, at, problems));
    Some(Compensation { capability: capability?, action, agent, input, timeout, retry })
}

fn decode_retry(node: &Node, at: Place, problems: &mut Vec<Problem>) -> RetryPolicy {
    if matches!(&node.kind, Kind::Text(word) if word == "unsafe") {
        return RetryPolicy { is_unsafe: true, ..RetryPolicy::default() };
    }
    let at = Place { prefix: format!("{}retry.", at.prefix), ..at };
    let Some(mut fields) = Fields::new(node, at, problems) else { return RetryPolicy::default() };
    let default = RetryPolicy::default();
    let retry = RetryPolicy {
        max_attempts: fields.optional("max_attempts").unwrap_or(default.max_attempts),
        backoff: fields.optional("backoff").unwrap_or(default.backoff),
        backoff_factor: fields.optional("backoff_factor").unwrap_or(default.backoff_factor),
        max_backoff: fields.optional("max_backoff").unwrap_or(default.max_backoff),
        jitter: fields.optional("jitter").unwrap_or(default.jitter),
        is_unsafe: fields.optional("unsafe").unwrap_or(default.is_unsafe),
    };
    fields.finish();
    retry
}

/// A workflow and a step with every default, read once from a minimal file, so that defaults are said in one place only.
static DEFAULTS: LazyLock<Workflow> = LazyLock::new(|| {
    serde_json::from_str(r#"{"id":"w","steps":[{"id":"s","capability":"c"}]}"#).expect("a minimal workflow reads")
});

fn describe(kind: &Kind) -> &'static str {
    match kind {
        Kind::Null => "nothing",
        Kind::Bool(_) => "true or false",
        Kind::Number(_) => "a number",
        Kind::Text(_) => "text",
        Kind::List(_) => "a list",
        Kind::Map(_) => "an object",
    }
}

/// True if two names differ by case, separators, or a letter or two.
fn is_near(known: &str, given: &str) -> bool {
    let plain =
        |s: &str| s.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase()).collect::<Vec<_>>();
    let (known, given) = (plain(known), plain(given));
    if known.len().abs_diff(given.len()) > 2 || given.len() < 3 {
        return false;
    }
    let mut row: Vec<usize> = (0..=given.len()).collect();
    for (i, a) in known.iter().enumerate() {
        let mut previous = row[0];
        row[0] = i + 1;
        for (j, b) in given.iter().enumerate() {
            let cost = previous + usize::from(a != b);
            previous = row[j + 1];
            row[j + 1] = cost.min(previous + 1).min(row[j] + 1);
        }
    }
    row[given.len()] <= 2
}

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
