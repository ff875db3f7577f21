//! Steps as they stand in files.

use super::DEFAULTS;
use super::budget::decode_reserve;
use super::fields::{Fields, Place, describe};
use crate::limits::{MAX_NESTING, MAX_STEPS};
use crate::workflow::definition::Step;
use crate::workflow::mapping::OutputField;
use crate::workflow::problem::Problem;
use crate::workflow::recovery::{Compensation, RetryPolicy};
use crate::workflow::source::{Kind, Node};

/// The steps of a list, and whether all of them could be read.
pub(in crate::workflow) fn decode_steps(node: &Node, problems: &mut Vec<Problem>) -> (Vec<Step>, bool) {
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
    let default = &DEFAULTS.steps[0];
    let mut fields = Fields::new(node, at, problems)?;
    let id = fields.required("id", node.position);
    let [steps, retry, compensate, reserve] =
        ["steps", "retry", "compensate", "reserve"].map(|name| fields.member(name));
    let mut step = Step {
        id: default.id.clone(),
        capability: fields.optional("capability"),
        approval: fields.optional("approval"),
        signal: fields.optional("signal"),
        sleep: fields.optional("sleep"),
        wait_until: fields.optional("wait_until"),
        steps: Vec::new(),
        workflow: fields.optional("workflow"),
        when: fields.optional("when"),
        map: fields.optional("map"),
        repeat: fields.optional("repeat"),
        ask: fields.optional("ask"),
        aggregate: fields.optional("aggregate"),
        grows: fields.optional("grows").unwrap_or_default(),
        task_type: fields.optional("type"),
        action: fields.optional("action"),
        agent: fields.optional("agent"),
        stage: fields.optional("stage"),
        input: fields.map::<String, _>("input"),
        output: fields.map::<OutputField, _>("output"),
        depends_on: fields.optional("depends_on"),
        timeout: fields.optional("timeout").unwrap_or(default.timeout),
        total_timeout: fields.optional("total_timeout"),
        idle_timeout: fields.optional("idle_timeout"),
        retry: RetryPolicy::default(),
        on_error: fields.optional("on_error"),
        compensate: None,
        priority: fields.optional("priority").unwrap_or_default(),
        parallel_safe: fields.optional("parallel_safe").unwrap_or(default.parallel_safe),
        estimated_duration: fields.optional("estimated_duration"),
        resources: fields.optional("resources"),
        reserve: None,
        quality: fields.optional("quality").map(Box::new),
        critical: fields.optional("critical").unwrap_or_default(),
        checkpoint: fields.optional("checkpoint"),
    };
    let at = fields.at.clone();
    fields.finish();
    step.steps = steps.map_or_else(Vec::new, |m| decode_inner(&m.value, &at, problems));
    step.retry = retry.map_or_else(RetryPolicy::default, |m| decode_retry(&m.value, at.clone(), problems));
    step.compensate = compensate.and_then(|m| decode_compensation(&m.value, at.clone(), problems));
    step.reserve = reserve.and_then(|m| decode_reserve(&m.value, at.clone(), problems));
    check_kinds(node, &at, problems);
    // A step that cannot be read is kept, so that steps that depend on it are not blamed.
    let is_readable = steps.is_some() || step.workflow.is_some() || step.capability.is_some() || step.waits();
    if !is_readable {
        step.capability = "unnamed".parse().ok();
    }
    Some(Step { id: id?, ..step })
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
