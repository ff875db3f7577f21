//! Between the messages of the API and the types of the core.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::str::FromStr;

use prost_types::Timestamp as Moment;
use tonic::Status;
use tutti_api::v1;
use tutti_core::ids::{LabelName, StepPath};
use tutti_core::ports::agent::Usage;
use tutti_core::ports::inbound::views::RunChange;
use tutti_core::ports::query::{RunCounts, RunSummary};
use tutti_core::ports::store::EncodedEvent;
use tutti_core::report::{BudgetReport, Monitor, RunView, StepView};
use tutti_core::run::{
    ArtifactRecorded, RunState, RunStatus, StepStatus, Undone, Work, blob_of_json, body_json, kind_name,
};
use tutti_core::time::Timestamp;
use tutti_core::value::PayloadRef;
use tutti_core::workflow::{Executor, Priority};

use super::errors::wrong;
use super::recovery::verdict_out;

/// Why a message cannot be read.
pub(super) type Unread = String;

/// The field `executor` of a request; `None` if it is not set.
pub(super) fn executor(number: i32) -> Result<Option<Executor>, Status> {
    match v1::Executor::try_from(number) {
        Ok(v1::Executor::Unspecified) => Ok(None),
        Ok(v1::Executor::Auto) => Ok(Some(Executor::Auto)),
        Ok(v1::Executor::Basic) => Ok(Some(Executor::Basic)),
        Ok(v1::Executor::Parallel) => Ok(Some(Executor::Parallel)),
        Ok(v1::Executor::Dynamic) => Ok(Some(Executor::Dynamic)),
        Err(_) => Err(wrong("executor", "is not an executor that this server knows")),
    }
}

/// The field `priority` of a request.
pub(super) fn priority(number: i32) -> Result<Option<Priority>, Status> {
    match v1::Priority::try_from(number) {
        Ok(v1::Priority::Unspecified) => Ok(None),
        Ok(v1::Priority::Low) => Ok(Some(Priority::Low)),
        Ok(v1::Priority::Normal) => Ok(Some(Priority::Normal)),
        Ok(v1::Priority::High) => Ok(Some(Priority::High)),
        Err(_) => Err(wrong("priority", "is not a priority that this server knows")),
    }
}

pub(super) const fn priority_out(priority: Priority) -> v1::Priority {
    match priority {
        Priority::Low => v1::Priority::Low,
        Priority::Normal => v1::Priority::Normal,
        Priority::High => v1::Priority::High,
    }
}

/// The field `work` of a request.
pub(super) fn work(number: i32) -> Result<Work, Status> {
    match v1::Work::try_from(number) {
        Ok(v1::Work::Unspecified | v1::Work::Finish) => Ok(Work::Finish),
        Ok(v1::Work::Leave) => Ok(Work::Leave),
        Ok(v1::Work::Cancel) => Ok(Work::Cancel),
        Err(_) => Err(wrong("work", "is nothing that this server knows")),
    }
}

pub(super) const fn work_out(work: Work) -> v1::Work {
    match work {
        Work::Finish => v1::Work::Finish,
        Work::Leave => v1::Work::Leave,
        Work::Cancel => v1::Work::Cancel,
    }
}

const fn undone_out(undone: Option<Undone>) -> v1::Undone {
    match undone {
        None => v1::Undone::Unspecified,
        Some(Undone::Compensated) => v1::Undone::Compensated,
        Some(Undone::RolledBack) => v1::Undone::RolledBack,
    }
}

pub(super) const fn executor_out(executor: Executor) -> v1::Executor {
    match executor {
        Executor::Auto => v1::Executor::Auto,
        Executor::Basic => v1::Executor::Basic,
        Executor::Parallel => v1::Executor::Parallel,
        Executor::Dynamic => v1::Executor::Dynamic,
    }
}

pub(super) const fn state_out(status: RunStatus) -> v1::RunState {
    match status {
        RunStatus::Pending => v1::RunState::Pending,
        RunStatus::Running => v1::RunState::Running,
        RunStatus::Waiting => v1::RunState::Waiting,
        RunStatus::Paused => v1::RunState::Paused,
        RunStatus::Completed => v1::RunState::Completed,
        RunStatus::Failed => v1::RunState::Failed,
        RunStatus::Cancelled => v1::RunState::Cancelled,
        RunStatus::Terminated => v1::RunState::Terminated,
        RunStatus::Stuck => v1::RunState::Stuck,
        RunStatus::Quarantined => v1::RunState::Quarantined,
    }
}

/// A state that a message carries; `None` if it is not set.
pub(super) fn state_in(number: i32) -> Result<Option<RunStatus>, Unread> {
    let wanted = v1::RunState::try_from(number).map_err(|_| format!("{number} is not a state that is known here"))?;
    Ok(RunStatus::ALL.iter().copied().find(|status| state_out(*status) == wanted))
}

pub(super) const fn step_state(status: StepStatus) -> v1::StepState {
    match status {
        StepStatus::Pending => v1::StepState::Pending,
        StepStatus::Running => v1::StepState::Running,
        StepStatus::Retrying => v1::StepState::Retrying,
        StepStatus::Waiting => v1::StepState::Waiting,
        StepStatus::Completed => v1::StepState::Completed,
        StepStatus::Failed => v1::StepState::Failed,
        StepStatus::Skipped => v1::StepState::Skipped,
        StepStatus::Cancelled => v1::StepState::Cancelled,
        StepStatus::OutcomeUnknown => v1::StepState::OutcomeUnknown,
    }
}

pub(crate) fn moment(at: Timestamp) -> Moment {
    let micros = at.as_micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
    Moment { seconds: micros.div_euclid(1_000_000), nanos }
}

pub(crate) fn moment_in(at: Option<&Moment>) -> Option<Timestamp> {
    let at = at?;
    let micros = at.seconds.checked_mul(1_000_000)?.checked_add(i64::from(at.nanos) / 1_000)?;
    Some(Timestamp::from_micros(micros))
}

pub(super) fn summary_out(run: &RunSummary) -> v1::RunSummary {
    v1::RunSummary {
        run_id: run.run.to_string(),
        workflow: run.workflow.to_string(),
        version: run.version.clone(),
        definition: run.definition.to_string(),
        state: state_out(run.status).into(),
        total_steps: run.steps,
        completed_steps: run.completed,
        failed_steps: run.failed,
        created_at: Some(moment(run.created_at)),
        updated_at: Some(moment(run.updated_at)),
        ended_at: run.ended_at.map(moment),
        error: run.error.clone().unwrap_or_default(),
        idempotency_key: run.key.as_ref().map(ToString::to_string).unwrap_or_default(),
        session_id: run.session.as_ref().map(ToString::to_string).unwrap_or_default(),
        labels: run.labels.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
    }
}

pub(super) fn summary_in(run: v1::RunSummary) -> Result<RunSummary, Unread> {
    let absent = |field: &str| format!("a run without {field}");
    Ok(RunSummary {
        run: run.run_id.parse().map_err(|error| format!("{error}"))?,
        workflow: run.workflow.parse().map_err(|error| format!("{error}"))?,
        version: run.version,
        definition: run.definition.parse()?,
        status: state_in(run.state)?.ok_or_else(|| absent("state"))?,
        steps: run.total_steps,
        completed: run.completed_steps,
        failed: run.failed_steps,
        created_at: moment_in(run.created_at.as_ref()).ok_or_else(|| absent("created_at"))?,
        updated_at: moment_in(run.updated_at.as_ref()).ok_or_else(|| absent("updated_at"))?,
        ended_at: moment_in(run.ended_at.as_ref()),
        error: Some(run.error).filter(|error| !error.is_empty()),
        key: named(&run.idempotency_key)?,
        session: named(&run.session_id)?,
        labels: labels_in(run.labels)?,
    })
}

/// A name that may be empty.
pub(super) fn named<T: FromStr<Err: Display>>(text: &str) -> Result<Option<T>, Unread> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|error: T::Err| error.to_string()) }
}

/// Labels by their names.
pub(super) fn labels_in(labels: HashMap<String, String>) -> Result<BTreeMap<LabelName, String>, Unread> {
    let label = |(name, value): (String, String)| match name.parse::<LabelName>() {
        Ok(name) => Ok((name, value)),
        Err(error) => Err(error.to_string()),
    };
    labels.into_iter().map(label).collect()
}

/// How many runs there are, by state.
pub(super) fn counts_out(counts: &RunCounts) -> v1::CountRunsResponse {
    let count =
        |(status, count): (&RunStatus, &u64)| v1::StateCount { state: state_out(*status).into(), count: *count };
    v1::CountRunsResponse { counts: counts.iter().map(count).collect(), total: counts.values().sum() }
}

pub(super) fn counts_in(counts: &v1::CountRunsResponse) -> Result<RunCounts, Unread> {
    let count = |count: &v1::StateCount| Ok((state_in(count.state)?.ok_or("a count without a state")?, count.count));
    counts.counts.iter().map(count).collect()
}

pub(super) fn change_out(change: &RunChange) -> v1::RunChange {
    v1::RunChange { run: Some(summary_out(&change.run)), matches: change.matches }
}

pub(super) fn change_in(change: v1::RunChange) -> Result<RunChange, Unread> {
    Ok(RunChange { run: summary_in(change.run.ok_or("a change without a run")?)?, matches: change.matches })
}

pub(super) fn artifact_out(artifact: &ArtifactRecorded) -> v1::Artifact {
    v1::Artifact {
        step: artifact.step.to_string(),
        attempt: artifact.attempt,
        artifact_id: artifact.artifact.clone(),
        name: artifact.name.clone(),
        media_type: artifact.media_type.clone().unwrap_or_default(),
        size_bytes: artifact.content.len,
        sha256: artifact.content.hash.to_string(),
    }
}

pub(super) fn artifact_in(artifact: v1::Artifact) -> Result<ArtifactRecorded, Unread> {
    Ok(ArtifactRecorded {
        step: artifact.step.parse::<StepPath>().map_err(|error| error.to_string())?,
        attempt: artifact.attempt,
        artifact: artifact.artifact_id,
        name: artifact.name,
        media_type: Some(artifact.media_type).filter(|kind| !kind.is_empty()),
        content: PayloadRef { hash: artifact.sha256.parse()?, len: artifact.size_bytes },
    })
}

/// A run with its steps; `None` if it has no history.
pub(super) fn run_out(view: &RunView, now: Timestamp) -> Option<v1::Run> {
    let monitor = Monitor::new(view, now);
    let state = view.state()?;
    Some(v1::Run {
        summary: Some(summary_out(&state.summary())),
        last_seq: view.seq(),
        progress_percent: monitor.progress_percentage,
        estimated_remaining_seconds: monitor.estimated_completion_seconds,
        elapsed_seconds: monitor.elapsed_seconds,
        executor: executor_out(view.created()?.strategy.executor).into(),
        steps: view.steps().map(|step| step_out(view, &step, state)).collect(),
        undos: view.undos().map(|undo| step_out(view, &undo, state)).collect(),
        plan_revision: view.plan().revision(),
        undone: undone_out(view.undone()).into(),
        forked_from: view.state()?.forked().map(|(run, seq)| v1::ForkedFrom { run_id: run.to_string(), seq }),
        start_at: view.start_at().map(moment),
        usage: view.usage().map(usage_out),
        budget: view.budget().into_iter().map(budget_out).collect(),
    })
}

/// Most steps that one step holds, in an answer.
const HELD: usize = 100;

fn step_out(view: &RunView, step: &StepView<'_>, state: &RunState) -> v1::Step {
    let held = view.plan().holder(step.index).is_some();
    v1::Step {
        id: if held { view.plan().path(step.index).to_string() } else { step.id().to_string() },
        state: step_state(step.status).into(),
        capability: step.step.does().to_owned(),
        agent: step.agent().map(ToString::to_string).unwrap_or_default(),
        attempts: u32::try_from(step.attempts.len()).unwrap_or(u32::MAX),
        started_at: step.started_at.map(moment),
        ended_at: step.ended_at.map(moment),
        error: step.error.map(ToString::to_string).unwrap_or_default(),
        verdicts: state.verdicts(step.index).into_iter().map(|verdict| verdict_out(verdict).into()).collect(),
        usage: step.usage().map(usage_out),
        held: held_out(view, step, state),
    }
}

/// What a step holds.
fn held_out(view: &RunView, step: &StepView<'_>, state: &RunState) -> Option<v1::HeldSteps> {
    let counts = view.held_counts(step.index)?;
    // Of those that are held deeper, few: what matters comes first.
    let most = if view.plan().holder(step.index).is_some() { HELD / 10 } else { HELD };
    let steps: Vec<v1::Step> =
        view.held_first(step.index, most).iter().map(|step| step_out(view, step, state)).collect();
    Some(v1::HeldSteps {
        all: counts.all,
        completed: counts.completed,
        failed: counts.failed,
        under_way: counts.under_way,
        steps,
    })
}

fn usage_out(usage: Usage) -> v1::Usage {
    let Usage { cost_micros, tokens_in, tokens_out } = usage;
    v1::Usage { cost_micros, tokens_in, tokens_out }
}

fn budget_out(budget: BudgetReport) -> v1::BudgetState {
    let BudgetReport { kind, limit, used, reserved } = budget;
    v1::BudgetState { kind: kind.to_string(), limit, used, reserved }
}

pub(super) fn event_out(event: &EncodedEvent) -> Result<v1::Event, Status> {
    let body = body_json(event).map_err(|error| Status::data_loss(error.to_string()))?;
    Ok(v1::Event {
        seq: event.seq,
        time: Some(moment(event.at)),
        name: kind_name(event.kind).unwrap_or_default().to_owned(),
        body_json: body.to_owned(),
        kind: event.kind.into(),
        kind_version: event.version.into(),
    })
}

pub(super) fn event_in(event: &v1::Event) -> Result<EncodedEvent, Unread> {
    let number = |field: &str, number| u16::try_from(number).map_err(|_| format!("an event of {field} {number}"));
    Ok(EncodedEvent {
        seq: event.seq,
        at: moment_in(event.time.as_ref()).ok_or("an event without time")?,
        kind: number("kind", event.kind)?,
        version: number("version", event.kind_version)?,
        blob: blob_of_json(&event.body_json),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_moments_read_back() {
        for status in RunStatus::ALL {
            assert_eq!(state_in(state_out(*status).into()), Ok(Some(*status)));
        }
        assert_eq!(state_in(0), Ok(None));
        assert!(state_in(99).is_err());
        for micros in [0, 1, -1, 1_700_000_000_123_456, -1_000_001] {
            let at = Timestamp::from_micros(micros);
            assert_eq!(moment_in(Some(&moment(at))), Some(at));
        }
    }
}
