//! Explanations as messages.

use tutti_api::v1;
use tutti_core::ids::StepPath;
use tutti_core::report::{Aspect, ExplainedStep, Explanation, Finding, Reason};
use tutti_core::run::StepStatus;

use super::client::{ApiError, unread};
use super::convert::{moment, moment_in, state_in, state_out, step_state};

pub(super) fn explanation_out(explanation: Explanation) -> v1::ExplainRunResponse {
    v1::ExplainRunResponse {
        run_id: explanation.run_id.to_string(),
        state: state_out(explanation.state).into(),
        last_seq: explanation.last_seq,
        findings: explanation.findings.into_iter().map(finding_out).collect(),
        steps: explanation.steps.into_iter().map(step_out).collect(),
        left_out: explanation.left_out,
    }
}

fn step_out(step: ExplainedStep) -> v1::ExplainedStep {
    v1::ExplainedStep {
        step: step.step.to_string(),
        state: step_state(step.state).into(),
        findings: step.findings.into_iter().map(finding_out).collect(),
    }
}

fn finding_out(finding: Finding) -> v1::Finding {
    v1::Finding {
        aspect: finding.aspect.to_string(),
        reason: finding.reason.to_string(),
        text: finding.text,
        at: finding.at.map(moment),
        steps: finding.steps.iter().map(ToString::to_string).collect(),
        agents: finding.agents.iter().map(ToString::to_string).collect(),
        people: finding.people,
    }
}

pub(super) fn explanation_in(answer: v1::ExplainRunResponse) -> Result<Explanation, ApiError> {
    Ok(Explanation {
        run_id: answer.run_id.parse().map_err(unread)?,
        state: state_in(answer.state).map_err(unread)?.ok_or_else(|| unread("a run without a state"))?,
        last_seq: answer.last_seq,
        findings: answer.findings.into_iter().map(finding_in).collect::<Result<_, _>>()?,
        steps: answer.steps.into_iter().map(step_in).collect::<Result<_, _>>()?,
        left_out: answer.left_out,
    })
}

fn step_in(step: v1::ExplainedStep) -> Result<ExplainedStep, ApiError> {
    let state = StepStatus::ALL.iter().copied().find(|status| i32::from(step_state(*status)) == step.state);
    Ok(ExplainedStep {
        step: path(&step.step)?,
        state: state.ok_or_else(|| unread("a step without a state"))?,
        findings: step.findings.into_iter().map(finding_in).collect::<Result<_, _>>()?,
    })
}

fn finding_in(finding: v1::Finding) -> Result<Finding, ApiError> {
    // Words of a newer server are not known here; what it says in words is.
    let reason: Reason = finding.reason.parse().unwrap_or(Reason::Other);
    let aspect: Aspect = finding.aspect.parse().unwrap_or_else(|_| reason.aspect());
    let mut found = Finding::new(reason, finding.text).people(finding.people);
    (found.aspect, found.at) = (aspect, moment_in(finding.at.as_ref()));
    found.steps = finding.steps.iter().map(|step| path(step)).collect::<Result<_, _>>()?;
    found.agents = finding.agents.iter().map(|agent| agent.parse().map_err(unread)).collect::<Result<_, _>>()?;
    Ok(found)
}

fn path(text: &str) -> Result<StepPath, ApiError> {
    text.parse().map_err(unread)
}
