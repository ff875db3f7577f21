//! What is found out about an answer before it is told to the run: by our own checks, and by a judge.

use tokio::time::Instant;
use tutti_core::ports::agent::{AgentCall, AgentReport, Usage};
use tutti_core::quality::{Findings, Judgement, Rule, check, judge_input, judgement};
use tutti_core::value::Json;
use tutti_core::workflow::Judge;

use super::attempt::{AttemptContext, AttemptSpec};
use super::consult::Question;

/// Tells the question to a judge apart from others of the attempt.
const WORD: &str = "judge";

/// What is found out about an answer to a call that has time until `deadline`, and what that took. A judge that cannot be asked, or
/// says nothing that can be used, is a note: its scores are missing.
pub(super) async fn findings(
    context: &AttemptContext,
    spec: &AttemptSpec,
    call: &AgentCall,
    output: &Json,
    deadline: Instant,
) -> (Option<Box<Findings>>, Usage) {
    let Some(rule) = spec.quality.as_deref() else { return (None, Usage::default()) };
    let mut findings = check(rule, output);
    let mut usage = Usage::default();
    if let Some(judge) = &rule.judge {
        match consult(context, spec, call, (rule, judge, output), deadline, &mut usage).await {
            Ok(judgement) => findings.judge = Some(judgement),
            Err(why) => {
                tracing::warn!(attempt = %spec.key.message_id(), %why, "an answer is not judged");
                findings.notes.push(format!("not judged: {why}"));
            }
        }
    }
    (Some(Box::new(findings)), usage)
}

/// A report with what was used beside it.
pub(super) fn with_usage(report: Option<Box<AgentReport>>, usage: Usage) -> Option<Box<AgentReport>> {
    if usage.is_empty() {
        return report;
    }
    let mut report = report.unwrap_or_default();
    report.usage = report.usage.plus(usage);
    Some(report)
}

async fn consult(
    context: &AttemptContext,
    spec: &AttemptSpec,
    call: &AgentCall,
    (rule, judge, output): (&Rule, &Judge, &Json),
    deadline: Instant,
    usage: &mut Usage,
) -> Result<Judgement, String> {
    let input = judge_input(rule, (call.capability.as_str(), call.action.as_deref(), &call.input), output)?;
    let question = Question {
        attempt: spec.key.clone(),
        word: WORD,
        namespace: spec.namespace.clone(),
        capability: judge.capability.clone(),
        agent: judge.agent.clone(),
        // Nobody judges an answer of its own, unless it is named.
        but: if judge.agent.is_none() { vec![call.agent.id.clone()] } else { Vec::new() },
        action: None,
        priority: call.priority,
        input,
        timeout: deadline.saturating_duration_since(Instant::now()),
        mode: spec.mode,
        trace_parent: call.trace_parent.clone(),
    };
    let consulted = context.consultants.ask(&*context.transport, question).await.map_err(|error| error.to_string())?;
    *usage = consulted.report.as_ref().map(|report| report.usage).unwrap_or_default();
    let judge = consulted.agent.clone();
    let judged = judgement(consulted.agent, &consulted.output, consulted.report.as_deref());
    judged.map_err(|why| format!("agent {judge} was asked, and {why}"))
}
