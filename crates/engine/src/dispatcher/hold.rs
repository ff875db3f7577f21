//! Steps that hold others: how often they do so, and what becomes of the outputs.

use std::collections::HashMap;

use tutti_core::ids::AgentId;
use tutti_core::limits::MAX_RUN_STEPS;
use tutti_core::plan::{Growth, Inside, Plan, StepIndex, captured, enter, missing_output, written};
use tutti_core::ports::agent::{AgentError, AgentErrorKind, AgentReport};
use tutti_core::run::{Failure, Phase, RunState};
use tutti_core::value::{DataTree, Json, Payload};
use tutti_core::workflow::{Container, Exhausted, Minimum, Repeat, Step};

use super::CallMode;
use super::aggregate::aggregate;
use super::attempt::{AttemptContext, AttemptEnd, AttemptSpec, Fault, load_value, store_value};
use super::scope::{Around, around};

/// What became of a step that another one holds.
#[derive(Debug, Clone)]
pub struct Member {
    /// The step.
    pub step: StepIndex,
    /// The agent that was asked last.
    pub agent: Option<AgentId>,
    /// What became of it.
    pub end: MemberEnd,
    /// How good its output is, if its agent told and one result is made of all.
    pub quality: Option<f64>,
}

/// How a step ended that another one holds.
#[derive(Debug, Clone)]
pub enum MemberEnd {
    /// With this output.
    Output(Payload),
    /// It failed, or a step before it did.
    Failed(String),
    /// It was not done: its condition did not hold.
    Omitted,
}

/// The steps that a step holds, as they ended; none while they have not.
pub(crate) fn members(state: &RunState, container: StepIndex) -> Vec<Member> {
    if !state.is_gathered(container) {
        return Vec::new();
    }
    let plan = state.plan();
    let held = plan.held_by(container).flat_map(Growth::indexes).filter(|index| plan.undone_by(*index).is_none());
    let member = |step: StepIndex| {
        let known = state.step(step);
        let end = match &known.phase {
            Phase::Completed(output) => MemberEnd::Output(output.clone()),
            Phase::Omitted => MemberEnd::Omitted,
            Phase::Failed(Failure { kind, message }) => MemberEnd::Failed(format!("{kind}: {message}")),
            Phase::Cancelled => MemberEnd::Failed("it had not ended in time".into()),
            _ => MemberEnd::Failed("a step before it failed".into()),
        };
        Member { step, agent: known.tried.last().cloned(), end, quality: state.score(step) }
    };
    held.map(member).collect()
}

/// Looks at the condition of a step.
pub(super) async fn check(context: &AttemptContext, spec: &AttemptSpec) -> Result<AttemptEnd, Fault> {
    let Some(when) = &spec.plan.step(spec.step).when else { return Ok(AttemptEnd::Checked { omitted: None }) };
    let Around { data, outputs } = around(context, spec).await?;
    let data = captured(&spec.plan, spec.step, &data, |step| outputs.get(&step).cloned());
    let holds = evaluate(&data, |data| when.evaluate_bool(data), "when")?;
    Ok(AttemptEnd::Checked { omitted: (!holds).then(|| format!("its condition does not hold: {when}")) })
}

/// Begins what a step holds, or collects what became of it.
pub(super) async fn hold(context: &AttemptContext, spec: &AttemptSpec) -> Result<AttemptEnd, Fault> {
    let Around { data, outputs } = around(context, spec).await?;
    let output_of = |step| outputs.get(&step).cloned();
    let step = spec.plan.step(spec.step);
    let Some(container) = step.container() else { return Err(failed("it holds no steps").into()) };
    let enter = || {
        enter(&spec.plan, spec.step, &data, output_of)
            .map_err(|reason| Fault::from(AgentError::new(AgentErrorKind::InputMissing, reason)))
    };
    if spec.mode != CallMode::Answer {
        let (first, count) = match container {
            Container::Map(_) => (0, enter()?.items.map_or(0, |items| items.len())),
            Container::Repeat(_) => (1, 1),
            Container::Ask(ask) => (1, ask.agents as usize),
            Container::Block | Container::Workflow(_) => (0, 1),
        };
        return match u32::try_from(count) {
            Ok(0) if step.aggregates().is_some() => {
                collect(context, spec, &Found { members: &[], outputs: Vec::new() }).await
            }
            Ok(0) => complete(context, spec, Json::parse("[]").unwrap_or_else(|_| Json::null())).await,
            Ok(count) if count as usize <= MAX_RUN_STEPS => Ok(AttemptEnd::Expanded { first, count }),
            _ => {
                let message = format!("the list has {count} items; a run may have {MAX_RUN_STEPS} steps");
                Err(AgentError::new(AgentErrorKind::TooLarge, message).into())
            }
        };
    }
    let found = Found::load(context, spec).await?;
    if step.aggregates().is_some() {
        return collect(context, spec, &found).await;
    }
    match container {
        Container::Map(map) => {
            found.enough(map.minimum.unwrap_or(Minimum::Percent(100)), &spec.plan)?;
            complete(context, spec, list(&found.outputs)).await
        }
        Container::Ask(_) => {
            found.enough(Minimum::Count(1), &spec.plan)?;
            complete(context, spec, list(&found.outputs)).await
        }
        Container::Repeat(repeat) => {
            let data = captured(&spec.plan, spec.step, &data, output_of);
            match again(spec, repeat, &found, data)? {
                Next::Again(first) => Ok(AttemptEnd::Expanded { first, count: 1 }),
                Next::Done(output) => complete(context, spec, output).await,
            }
        }
        Container::Block | Container::Workflow(_) => {
            found.enough(Minimum::Percent(100), &spec.plan)?;
            let output = of_graph(spec, &found, &enter()?);
            complete(context, spec, output).await
        }
    }
}

/// Makes one result of what the members came to.
async fn collect(context: &AttemptContext, spec: &AttemptSpec, found: &Found<'_>) -> Result<AttemptEnd, Fault> {
    let plan = &spec.plan;
    let Some(policy) = plan.step(spec.step).aggregates() else { return Err(failed("nothing is made of them").into()) };
    let asks = matches!(plan.step(spec.step).container(), Some(Container::Ask(_)));
    let mut members = Vec::with_capacity(found.members.len());
    for (member, output) in found.members.iter().zip(&found.outputs) {
        // What others of a block read is theirs to tell of; what was not to be done did not fail.
        if plan.successors(member.step).next().is_some() || matches!(member.end, MemberEnd::Omitted) {
            continue;
        }
        let path = plan.path(member.step).to_string();
        let own = || path.rsplit('/').next().unwrap_or(&path).to_owned();
        members.push(tutti_core::aggregate::Member {
            name: member.agent.as_ref().filter(|_| asks).map_or_else(own, ToString::to_string),
            output: output.clone(),
            quality: member.quality,
            error: match &member.end {
                MemberEnd::Failed(reason) => Some(reason.clone()),
                _ => None,
            },
        });
    }
    let (output, report) = aggregate(context, spec, policy, &members).await?;
    complete_with(context, spec, output, report).await
}

/// What became of the steps that a step holds, their outputs loaded.
struct Found<'s> {
    members: &'s [Member],
    /// By member; none for those that have no output.
    outputs: Vec<Option<Json>>,
}

impl<'s> Found<'s> {
    async fn load(context: &AttemptContext, spec: &'s AttemptSpec) -> Result<Self, Fault> {
        let mut outputs = Vec::with_capacity(spec.members.len());
        for member in &spec.members {
            outputs.push(match &member.end {
                MemberEnd::Output(output) => Some(load_value(context, &spec.key, output).await?),
                _ => None,
            });
        }
        Ok(Self { members: &spec.members, outputs })
    }

    /// Fails if fewer than a minimum succeeded.
    fn enough(&self, minimum: Minimum, plan: &Plan) -> Result<(), AgentError> {
        let failed: Vec<(&Member, &str)> = self
            .members
            .iter()
            .filter_map(|member| match &member.end {
                MemberEnd::Failed(reason) => Some((member, reason.as_str())),
                _ => None,
            })
            .collect();
        let all = self.members.len();
        let (least, succeeded) = (minimum.of(all).min(all), all - failed.len());
        match failed.first() {
            Some((first, reason)) if succeeded < least => {
                let (path, left) = (plan.path(first.step), failed.len() - 1);
                let more = if left > 0 { format!(" (and {left} more)") } else { String::new() };
                let message = format!("{succeeded} of {all} succeeded, {least} must: {path}: {reason}{more}");
                Err(self::failed(message))
            }
            _ => Ok(()),
        }
    }
}

enum Next {
    Again(u32),
    Done(Json),
}

/// Whether a step that is repeated has done enough.
fn again(spec: &AttemptSpec, repeat: &Repeat, found: &Found<'_>, data: Json) -> Result<Next, AgentError> {
    found.enough(Minimum::Percent(100), &spec.plan)?;
    let (Some(last), Some(output)) = (found.members.last(), found.outputs.last().cloned().flatten()) else {
        return Err(failed("nothing came of the last time"));
    };
    let iteration = spec.plan.time_of(last.step).map_or(1, |(_, number)| number);
    let mut tree = DataTree::new(data);
    tree.set_member("output", output.clone());
    tree.set_member("iteration", Json::of(&iteration).unwrap_or_else(|_| Json::null()));
    if evaluate(&tree.to_json(), |data| repeat.until.evaluate_bool(data), "repeat.until")? {
        return Ok(Next::Done(output));
    }
    match repeat.otherwise {
        _ if iteration < repeat.max => Ok(Next::Again(iteration + 1)),
        Exhausted::Accept => Ok(Next::Done(output)),
        Exhausted::Fail => Err(failed(format!("it was not enough after {iteration} times: {}", repeat.until))),
    }
}

/// The output of a graph: what its steps wrote, or the whole data of a workflow. Where nothing is written, the outputs by step.
fn of_graph(spec: &AttemptSpec, found: &Found<'_>, inside: &Inside) -> Json {
    let plan = &spec.plan;
    let Some(growth) = plan.held_by(spec.step).next() else { return Json::empty_object() };
    let by_step: HashMap<StepIndex, Json> = found
        .members
        .iter()
        .zip(&found.outputs)
        .filter_map(|(member, output)| Some((member.step, output.clone()?)))
        .collect();
    let steps = || found.members.iter().map(|member| plan.step(member.step));
    let start = if plan.step(spec.step).is_isolated() { inside.data.clone() } else { Json::empty_object() };
    if steps().any(|step| !step.output.is_empty()) || plan.step(spec.step).is_isolated() {
        return written(growth, &start, |step| by_step.get(&step).cloned());
    }
    let mut tree = DataTree::new(Json::empty_object());
    for (step, output) in steps().zip(&found.outputs) {
        if let Some(output) = output {
            tree.set_member(step.id.as_str(), output.clone());
        }
    }
    tree.to_json()
}

/// A list of outputs, `null` where there is none.
fn list(outputs: &[Option<Json>]) -> Json {
    let mut text = String::from("[");
    for (at, output) in outputs.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(output.as_ref().map_or("null", Json::as_str));
    }
    text.push(']');
    Json::parse(text).unwrap_or_else(|_| Json::null())
}

async fn complete(context: &AttemptContext, spec: &AttemptSpec, output: Json) -> Result<AttemptEnd, Fault> {
    complete_with(context, spec, output, None).await
}

async fn complete_with(
    context: &AttemptContext,
    spec: &AttemptSpec,
    output: Json,
    report: Option<Box<AgentReport>>,
) -> Result<AttemptEnd, Fault> {
    let step: &Step = spec.plan.step(spec.step);
    if let Some(field) = missing_output(step, &output) {
        let message = format!("the output has no field \"{field}\", which the step's output mapping names");
        return Err(AgentError::new(AgentErrorKind::OutputFieldMissing, message).into());
    }
    let output = store_value(context, &spec.key, &output).await?;
    Ok(AttemptEnd::Completed {
        output,
        artifacts: Vec::new(),
        missing_inputs: Vec::new(),
        report,
        grows: None,
        findings: None,
    })
}

fn evaluate<T, E: std::fmt::Display>(
    data: &Json,
    expression: impl FnOnce(&Json) -> Result<T, E>,
    field: &str,
) -> Result<T, AgentError> {
    expression(data).map_err(|reason| AgentError::new(AgentErrorKind::BadCondition, format!("{field}: {reason}")))
}

fn failed(message: impl Into<String>) -> AgentError {
    AgentError::new(AgentErrorKind::StepsFailed, message.into())
}
