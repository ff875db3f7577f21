//! One result of what several members came to: who is asked for a synthesis, and what is told to the run.

use tutti_core::aggregate::{Aggregated, Combined, Member, Next, Unwritten, combine, defaulted, next};
use tutti_core::ports::agent::{AgentError, AgentErrorKind, AgentReport, Usage};
use tutti_core::trace::attempt_span;
use tutti_core::value::Json;
use tutti_core::workflow::Aggregate;

use super::CallMode;
use super::attempt::{AttemptContext, AttemptSpec, Fault};
use super::consult::Question;

/// Tells the question for a synthesis from others that an attempt asks.
const WORD: &str = "synthesis";

/// The name under which the score of a result of several stands in the attempt's report.
const METRIC: &str = "aggregate";

/// One result of all members, and what making it took.
pub(super) async fn aggregate(
    context: &AttemptContext,
    spec: &AttemptSpec,
    policy: &Aggregate,
    members: &[Member],
) -> Result<(Json, Option<Box<AgentReport>>), Fault> {
    let mut usage = Usage::default();
    let made = match next(policy, members, spec.key.attempt > 1) {
        Next::Combine => {
            let task = spec.plan.step(spec.step).task_type();
            match combine(policy, task, members).map_err(|reason| too_large(&reason))? {
                Combined::Done(made) => *made,
                Combined::Ask(unwritten) => synthesize(context, spec, policy, *unwritten, &mut usage).await?,
            }
        }
        Next::Default(why) => defaulted(policy, members, why),
        Next::Retry(why) | Next::Fail(why) => return Err(AgentError::new(AgentErrorKind::StepsFailed, why).into()),
        Next::Escalate(why) => return Err(AgentError::new(AgentErrorKind::Undecided, why).into()),
    };
    let quality = made.quality_score.map(|score| (METRIC.to_owned(), score)).into_iter().collect();
    let report = AgentReport { quality, usage };
    let report = Some(Box::new(report)).filter(|report| !report.is_empty());
    Ok((Json::of(&made).map_err(|reason| too_large(&reason))?, report))
}

/// Has an agent write one result of all.
async fn synthesize(
    context: &AttemptContext,
    spec: &AttemptSpec,
    policy: &Aggregate,
    unwritten: Unwritten,
    usage: &mut Usage,
) -> Result<Aggregated, Fault> {
    let Some(writer) = &policy.synthesis else {
        return Err(
            AgentError::new(AgentErrorKind::NoAgent, "nobody is named who would write one result of all").into()
        );
    };
    let question = Question {
        attempt: spec.key.clone(),
        word: WORD,
        namespace: spec.namespace.clone(),
        capability: writer.capability.clone(),
        agent: writer.agent.clone(),
        but: Vec::new(),
        action: writer.action.clone(),
        priority: spec.plan.step(spec.step).priority,
        input: unwritten.request.clone(),
        timeout: writer.timeout.0,
        // What the members came to is looked at again after a crash, and nobody knows whether the question was asked.
        mode: CallMode::Reattach,
        trace_parent: Some(spec.trace.context(attempt_span(&spec.key))),
    };
    let answer = context.consultants.ask(&*context.transport, question).await?;
    let report = answer.report.unwrap_or_default();
    *usage = report.usage;
    Ok(unwritten.written(answer.output, report.score()))
}

fn too_large(reason: &tutti_core::value::JsonError) -> AgentError {
    AgentError::new(AgentErrorKind::TooLarge, format!("the result of all: {reason}"))
}
