//! Attempts: begun, named by their agent, suspended, ended.

use super::{budget, command, growth, quality, retry, wait};
use crate::ids::{AgentId, AttemptKey, StepPath};
use crate::limits::MAX_RUN_BYTES;
use crate::plan::{PlanPatch, StepIndex};
use crate::ports::agent::{AgentError, AgentErrorKind, AgentReport, Need};
use crate::quality::Findings;
use crate::run::choice::AgentChoice;
use crate::run::event::{
    ArtifactRecorded, AttemptResumed, AttemptStarted, AttemptSuspended, CheckpointCreated, Event, QualityVerdict,
    ResultDiscarded, StepCompleted, TaskAssigned, shorten,
};
use crate::run::input::Rejection;
use crate::run::state::{OpenAttempt, Phase, RunState};
use crate::run::status::RunStatus;
use crate::time::Timestamp;
use crate::value::Payload;

/// What came of an attempt that succeeded.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) output: &'a Payload,
    pub(super) artifacts: &'a [ArtifactRecorded],
    pub(super) missing_inputs: &'a [String],
    pub(super) report: Option<&'a AgentReport>,
    pub(super) grows: Option<&'a PlanPatch>,
    pub(super) findings: Option<&'a Findings>,
}

/// An admitted step is asked of an agent. A checkpoint stands before the first attempt of a critical step.
pub(super) fn start(
    state: &RunState,
    step: &StepPath,
    agent: &AgentId,
    choice: Option<&AgentChoice>,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let index = startable(state, step, now)?;
    let reserved = budget::reserve(state, index)?;
    let attempt = state.step(index).attempts + 1;
    let mut events = Vec::new();
    if state.plan().step(index).critical && attempt == 1 {
        events.push(Event::CheckpointCreated(CheckpointCreated { name: format!("before:{step}"), order: None }));
    }
    let (step, agent, choice) = (step.clone(), agent.clone(), choice.cloned());
    events.push(Event::AttemptStarted(AttemptStarted { step, attempt, agent, choice, reserved }));
    Ok(events)
}

/// An admitted step cannot be asked of anybody.
pub(super) fn refuse(
    state: &RunState,
    step: &StepPath,
    error: &AgentError,
    chance: f64,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let index = startable(state, step, now)?;
    Ok(retry::after_failure(state, index, state.step(index).attempts + 1, error, false, chance, now))
}

/// The agent named the task.
pub(super) fn note_task(state: &RunState, key: &AttemptKey, task: &str) -> Result<Vec<Event>, Rejection> {
    let (_, open) = under_way(state, key)?;
    if open.task.as_deref() == Some(task) {
        return Ok(vec![]);
    }
    let assigned = TaskAssigned { step: key.path.clone(), attempt: key.attempt, task: shorten(task) };
    Ok(vec![Event::TaskAssigned(assigned)])
}

/// The agent's task waits for somebody.
pub(super) fn suspend(
    state: &RunState,
    key: &AttemptKey,
    (need, message): (Need, &str),
    until: Option<Timestamp>,
    shown: Option<&Payload>,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let (index, open) = under_way(state, key)?;
    if open.suspended.is_some() {
        return Ok(vec![]);
    }
    if state.undoing().is_some() {
        let error = AgentError::new(AgentErrorKind::Cancelled, "it asks for an answer while the run is undone");
        return Ok(retry::after_failure(state, index, key.attempt, &error, false, 0.0, now));
    }
    let due = wait::due(state, index, until, now);
    let (step, attempt, message) = (key.path.clone(), key.attempt, shorten(message));
    let suspended = AttemptSuspended { step, attempt, need, message, due, shown: shown.cloned() };
    Ok(vec![Event::AttemptSuspended(suspended)])
}

/// An answered attempt has its turn: the answer goes to its agent.
pub(super) fn resume(state: &RunState, step: &StepPath) -> Result<Vec<Event>, Rejection> {
    if !state.status().is_open() || state.status() == RunStatus::Pending {
        return Err(Rejection::RunIs(state.status()));
    }
    let index = state.plan().find(step).ok_or_else(|| Rejection::NoSuchStep(step.clone()))?;
    match state.open_attempt(index) {
        Some(OpenAttempt { suspended: Some(_), answer: Some(_), .. }) => {
            let attempt = state.step(index).attempts;
            Ok(vec![Event::AttemptResumed(AttemptResumed { step: step.clone(), attempt })])
        }
        _ => Err(Rejection::NotStartable(step.clone())),
    }
}

/// The attempt succeeded: its artifacts, its output and the release of its successors are one decision.
pub(super) fn complete(
    state: &RunState,
    key: &AttemptKey,
    told: Told<'_>,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let Told { output, artifacts, missing_inputs, report, grows, .. } = told;
    let (index, _) = match under_way(state, key) {
        Err(Rejection::NotUnderWay(_)) if is_of_before(state, key) => {
            let (step, generation, attempt) = (key.path.clone(), key.generation, key.attempt);
            return Ok(vec![Event::ResultDiscarded(ResultDiscarded { step, generation, attempt })]);
        }
        found => found?,
    };
    let more = artifacts.iter().map(|artifact| artifact.content.len).fold(output.len(), u64::saturating_add);
    let bytes = state.bytes().saturating_add(more);
    if bytes > MAX_RUN_BYTES {
        let message = format!("with this result the run would hold {bytes} bytes; {MAX_RUN_BYTES} are allowed");
        let usage = report.map(|report| Box::new(report.usage)).filter(|usage| !usage.is_empty());
        let error = AgentError { usage, ..AgentError::new(AgentErrorKind::TooLarge, message) };
        return Ok(retry::after_failure(state, index, key.attempt, &error, false, 0.0, now));
    }
    // What is undone does not grow.
    let grows = grows.filter(|_| state.undoing().is_none());
    let grown = match grows.map(|patch| growth::grow(state, index, patch)).transpose() {
        Ok(grown) => grown,
        Err(rejection) => {
            let message = format!("the steps that it adds cannot be taken: {rejection}");
            let error = AgentError::new(AgentErrorKind::InvalidAnswer, message);
            return Ok(retry::after_failure(state, index, key.attempt, &error, false, 0.0, now));
        }
    };
    let assessed = quality::assess(state, index, key.attempt, told);
    if let Some(assessed) = &assessed
        && assessed.verdict == QualityVerdict::Below
    {
        return Ok(quality::below(state, index, assessed, told, grown, now));
    }
    let assessed = assessed.map(|assessed| Event::QualityAssessed(Box::new(assessed)));
    let artifacts = artifacts.iter().cloned().map(Event::ArtifactRecorded).chain(assessed);
    Ok(artifacts.chain(completed(state, index, output.clone(), missing_inputs.to_vec(), report)).chain(grown).collect())
}

/// A step has its output; its checkpoint stands after it.
pub(super) fn completed(
    state: &RunState,
    index: StepIndex,
    output: Payload,
    missing_inputs: Vec<String>,
    report: Option<&AgentReport>,
) -> impl Iterator<Item = Event> {
    let (step, attempt) = (state.plan().path(index), state.step(index).attempts);
    let completed = StepCompleted { step, attempt, output, missing_inputs, report: report.cloned().map(Box::new) };
    let may_checkpoint = command::may_checkpoint(state) && state.undoing().is_none();
    let checkpoint = state.plan().step(index).checkpoint.clone().filter(|_| may_checkpoint);
    let checkpoint = checkpoint.map(|name| Event::CheckpointCreated(CheckpointCreated { name, order: None }));
    std::iter::once(Event::StepCompleted(completed)).chain(checkpoint)
}

/// The attempt failed.
pub(super) fn fail(
    state: &RunState,
    key: &AttemptKey,
    error: &AgentError,
    other_agent: bool,
    chance: f64,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let (index, _) = under_way(state, key)?;
    Ok(retry::after_failure(state, index, key.attempt, error, other_agent, chance, now))
}

/// True for an attempt of a step that was abandoned: it was under way when the run was rolled back, or began to be undone.
fn is_of_before(state: &RunState, key: &AttemptKey) -> bool {
    let is_stopped = |index| {
        let step = state.step(index);
        matches!(step.phase, Phase::Cancelled) && step.attempts == key.attempt
    };
    key.generation < state.generation()
        || (key.generation == state.generation() && state.plan().find(&key.path).is_some_and(is_stopped))
}

fn startable(state: &RunState, step: &StepPath, now: Timestamp) -> Result<StepIndex, Rejection> {
    if !state.status().is_open() {
        return Err(Rejection::RunIs(state.status()));
    }
    let index = state.plan().find(step).ok_or_else(|| Rejection::NoSuchStep(step.clone()))?;
    match &state.step(index).phase {
        Phase::Ready(None) => Ok(index),
        Phase::Ready(Some(at)) if *at <= now => Ok(index),
        _ => Err(Rejection::NotStartable(step.clone())),
    }
}

pub(super) fn under_way<'s>(state: &'s RunState, key: &AttemptKey) -> Result<(StepIndex, &'s OpenAttempt), Rejection> {
    if !state.status().takes_results() {
        return Err(Rejection::RunIs(state.status()));
    }
    let index = state.plan().find(&key.path).ok_or_else(|| Rejection::NoSuchStep(key.path.clone()))?;
    match state.open_attempt(index) {
        Some(open) if state.attempt_key(index) == *key => Ok((index, open)),
        _ => Err(Rejection::NotUnderWay(key.message_id())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Given;
    use super::*;
    use crate::run::{Input, RunStatus, StepStatus};
    use crate::schedule::admit;

    const CHAIN: &str = "- {id: a, capability: c}\n- {id: b, capability: c, depends_on: [a], critical: true}";

    #[test]
    fn completion_releases_successors_and_the_last_one_ends_the_run() {
        let mut run = Given::steps(CHAIN);
        assert_eq!(admit(&run.state, run.now), [0]);
        assert!(run.start("b", "x").is_err(), "not released");
        run.start("a", "x").unwrap();
        assert!(run.start("a", "x").is_err(), "under way already");
        assert!(admit(&run.state, run.now).is_empty());
        run.complete("a").unwrap();
        assert_eq!(admit(&run.state, run.now), [1]);
        let events = run.start("b", "x").unwrap();
        assert!(matches!(&events[0], Event::CheckpointCreated(c) if c.name == "before:b"));
        let events = run.complete("b").unwrap();
        assert!(matches!(events[..], [Event::StepCompleted(_), Event::RunCompleted(_)]));
        assert_eq!(run.state.status(), RunStatus::Completed);
    }

    #[test]
    fn a_result_is_taken_once_and_only_from_the_attempt_under_way() {
        let mut run = Given::steps(CHAIN);
        run.start("a", "x").unwrap();
        let mut late = run.key("a");
        run.complete("a").unwrap();
        assert!(matches!(run.complete("a"), Err(Rejection::NotUnderWay(_))));
        late.generation = 7;
        let input = Input::NoteTask { key: late, task: "t".into() };
        assert!(run.when(&input).is_err());
    }

    #[test]
    fn a_run_does_not_grow_without_bound() {
        let mut run = Given::steps(CHAIN);
        run.start("a", "x").unwrap();
        let content = |len| crate::value::PayloadRef { hash: crate::value::Digest::of(b""), len };
        let artifact = |len| ArtifactRecorded {
            step: run.key("a").path,
            attempt: 1,
            artifact: "1".into(),
            name: "big".into(),
            media_type: None,
            content: content(len),
        };
        let artifacts = vec![artifact(MAX_RUN_BYTES / 2), artifact(MAX_RUN_BYTES / 2)];
        let output = Payload::Inline(crate::value::Json::null());
        let events = run.when(&Input::CompleteAttempt {
            key: run.key("a"),
            output,
            artifacts,
            missing_inputs: vec![],
            report: None,
            grows: None,
            findings: None,
        });
        assert!(matches!(&events.unwrap()[1], Event::StepFailed(f) if f.error.kind == AgentErrorKind::TooLarge));
        assert_eq!(run.state.bytes(), 0);
    }

    #[test]
    fn what_an_agent_tells_beside_its_answer_is_kept_with_it_and_nothing_is_kept_of_nothing() {
        let mut run = Given::steps(CHAIN);
        run.start("a", "x").unwrap();
        let report = AgentReport { quality: [("accuracy".to_owned(), 0.5)].into(), ..AgentReport::default() };
        let output = Payload::Inline(crate::value::Json::null());
        let told = Input::CompleteAttempt {
            key: run.key("a"),
            output,
            artifacts: vec![],
            missing_inputs: vec![],
            report: Some(Box::new(report.clone())),
            grows: None,
            findings: None,
        };
        let events = run.when(&told).unwrap();
        assert!(matches!(&events[1], Event::StepCompleted(done) if done.report.as_deref() == Some(&report)));
        run.start("b", "x").unwrap();
        let events = run.complete("b").unwrap();
        assert!(!events[0].to_json().as_object().unwrap().contains_key("report"));
    }

    #[test]
    fn a_task_id_is_recorded_once() {
        let mut run = Given::steps(CHAIN);
        run.start("a", "x").unwrap();
        let note = Input::NoteTask { key: run.key("a"), task: "t1".into() };
        assert_eq!(run.when(&note).unwrap().len(), 1);
        assert_eq!(run.when(&note).unwrap().len(), 0);
        assert_eq!(run.state.open_attempt(0).unwrap().task.as_deref(), Some("t1"));
    }

    #[test]
    fn a_suspended_attempt_holds_no_place_and_lets_the_run_wait() {
        let mut run = Given::steps(CHAIN);
        run.start("a", "x").unwrap();
        let suspend = Input::SuspendAttempt {
            key: run.key("a"),
            need: Need::Input,
            message: "which?".into(),
            until: None,
            shown: None,
        };
        run.when(&suspend).unwrap();
        assert_eq!((run.state.in_flight(), run.state.status()), (0, RunStatus::Waiting));
        assert_eq!(run.state.step(0).status(), StepStatus::Waiting);
        run.complete("a").unwrap();
        assert_eq!(run.state.status(), RunStatus::Running);
    }

    #[test]
    fn a_step_that_must_run_alone_waits_and_is_not_passed_over() {
        let mut run = Given::steps(
            "- {id: a, capability: c}\n- {id: b, capability: c, parallel_safe: false}\n- {id: d, capability: c}",
        );
        assert_eq!(admit(&run.state, run.now), [0]);
        run.start("a", "x").unwrap();
        assert!(admit(&run.state, run.now).is_empty());
        run.complete("a").unwrap();
        assert_eq!(admit(&run.state, run.now), [1]);
        run.start("b", "x").unwrap();
        assert!(admit(&run.state, run.now).is_empty());
        run.complete("b").unwrap();
        assert_eq!(admit(&run.state, run.now), [2]);
    }
}
