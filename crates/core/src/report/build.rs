//! Makes the report on a run from its view.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::assess::assess;
use super::attempt::{AttemptView, Outcome};
use super::execution::{
    AgentReport, ArtifactReport, AttemptReport, CheckpointReport, CriticalPathReport, ExecutionReport, LevelReport,
    OutputReport, QualityTotals, StageReport, StepQuality, StepReport, Totals, UndoReport,
};
use super::moment::{ratio, rfc3339};
use super::phases::{OrchestrationReport, PhaseBreakdown};
use super::times::EarliestTimes;
use super::view::{RunView, StepView};
use crate::ids::AgentId;
use crate::plan::Plan;
use crate::run::{Failure, Judged, QualityVerdict, Recorded, RunStatus, StepStatus, Verdict};
use crate::time::Timestamp;

/// Most steps in a report that other steps hold.
const HELD: usize = 1_000;

impl ExecutionReport {
    /// The report on a run as it stands; `None` before the run's creation was taken in.
    #[must_use]
    pub fn new(view: &RunView) -> Option<Self> {
        let created = view.created()?;
        let created_at = view.created_at()?;
        let mut room = HELD;
        let steps: Vec<StepReport> = view.steps().map(|step| step_report(view, &step, created_at, &mut room)).collect();
        let totals = totals(view);
        let successful: Vec<_> = view.steps().filter(|s| s.output.is_some()).map(|s| s.id().clone()).collect();
        let failed = view.steps().filter(|s| s.status == StepStatus::Failed).map(|step| {
            let error = step.error.map(ToString::to_string).unwrap_or_default();
            format!("Task {} failed: {}: {error}", step.index, step.id())
        });
        let mut report = Self {
            run_id: created.run,
            workflow: created.workflow.clone(),
            title: view.plan().workflow().title().to_owned(),
            version: created.version.clone(),
            state: view.status(),
            executor: created.strategy.executor,
            strategy_reason: created.strategy.reason,
            potential_improvement: created.strategy.potential_improvement.filter(|share| share.is_finite()),
            created_at: Some(rfc3339(created_at)),
            started_at: view.started_at().map(rfc3339),
            ended_at: view.ended_at().map(rfc3339),
            duration: view.ended_at().map(|at| at.since(created_at).as_secs_f64()),
            error: view.error(),
            plan_revision: view.plan().revision(),
            undone: view.undone(),
            undos: undos(view, created_at),
            kept: view.kept().cloned().collect(),
            checkpoints: view.ways_back().iter().map(CheckpointReport::from).collect(),
            budget: view.budget(),
            levels: levels(view, created_at),
            stages: stages(view),
            failed: failed.collect(),
            partial_completion: view.status().is_ended()
                && view.status() != RunStatus::Completed
                && !successful.is_empty(),
            successful,
            steps,
            totals,
            orchestration: view.phases().map(OrchestrationReport::new),
            phase_breakdown: PhaseBreakdown::of(view),
            assessment: String::new(),
        };
        report.assessment = assess(&report);
        Some(report)
    }

    /// The report on a run from its plan and its history; `None` if that does not begin with the run's creation.
    #[must_use]
    pub fn of<'e>(plan: Arc<Plan>, events: impl IntoIterator<Item = &'e Recorded>) -> Option<Self> {
        Self::new(&RunView::of(plan, events))
    }
}

fn step_report(view: &RunView, step: &StepView<'_>, created_at: Timestamp, room: &mut usize) -> StepReport {
    let last_error = step.attempts.last().and_then(|attempt| attempt.error.as_ref());
    StepReport {
        id: step.id().clone(),
        stage: step.stage().map(str::to_owned),
        level: view.plan().topology().level(step.index),
        capability: step.step.does().to_owned(),
        state: step.status,
        agent: step.agent().cloned(),
        attempts: step.attempts.len() as u32,
        started_at: step.started_at.map(rfc3339),
        ended_at: step.ended_at.map(rfc3339),
        offset_seconds: step.started_at.map(|at| at.since(created_at).as_secs_f64()),
        duration: step.duration().map(|span| span.as_secs_f64()),
        wait_seconds: step.wait().map(|span| span.as_secs_f64()),
        output: step.output.map(OutputReport::from),
        error: step.error.or(last_error).map(ToString::to_string),
        artifacts: step
            .artifacts
            .iter()
            .map(|artifact| ArtifactReport {
                name: artifact.name.clone(),
                media_type: artifact.media_type.clone(),
                bytes: artifact.content.len,
                hash: artifact.content.hash,
            })
            .collect(),
        missing_inputs: step.missing_inputs.to_vec(),
        usage: step.usage(),
        quality: step
            .judged
            .map(|judged| StepQuality { verdict: judged.verdict, assessment: judged.assessment.clone() }),
        verdicts: verdicts(view, step),
        attempt_log: step.attempts.iter().map(|attempt| attempt_report(attempt, created_at)).collect(),
        held: view.held_report(step.index, created_at, room),
    }
}

/// In the order in which it was done; then what is to be done.
fn undos(view: &RunView, created_at: Timestamp) -> Vec<UndoReport> {
    let mut undos: Vec<StepView<'_>> = view.undos().collect();
    undos.sort_by_key(|undo| (undo.started_at.unwrap_or(Timestamp::MAX), std::cmp::Reverse(completed_seq(view, undo))));
    let report = |undo: &StepView<'_>| UndoReport {
        step: undo.id().clone(),
        capability: undo.step.does().to_owned(),
        state: undo.status,
        agent: undo.agent().cloned(),
        attempts: undo.attempts.len() as u32,
        started_at: undo.started_at.map(rfc3339),
        ended_at: undo.ended_at.map(rfc3339),
        error: undo.error.or(last_error(undo)).map(ToString::to_string),
        verdicts: verdicts(view, undo),
        attempt_log: undo.attempts.iter().map(|attempt| attempt_report(attempt, created_at)).collect(),
    };
    undos.iter().map(report).collect()
}

/// When the step was completed that something undoes, as the number of the event.
fn completed_seq(view: &RunView, undo: &StepView<'_>) -> u64 {
    let undone = view.plan().undone_by(undo.index).zip(view.state());
    undone.map_or(0, |(step, state)| state.step(step).completed_seq)
}

fn verdicts(view: &RunView, step: &StepView<'_>) -> Vec<Verdict> {
    view.state().map(|state| state.verdicts(step.index)).unwrap_or_default()
}

/// Why the last attempt of a step that did not complete failed.
fn last_error<'v>(step: &StepView<'v>) -> Option<&'v Failure> {
    step.attempts.last().filter(|_| step.status != StepStatus::Completed).and_then(|attempt| attempt.error.as_ref())
}

fn attempt_report(attempt: &AttemptView, created_at: Timestamp) -> AttemptReport {
    AttemptReport {
        number: attempt.number,
        agent: attempt.agent.clone(),
        choice: attempt.choice.clone(),
        started_at: rfc3339(attempt.started_at),
        ended_at: attempt.ended_at.map(rfc3339),
        offset_seconds: attempt.started_at.since(created_at).as_secs_f64(),
        duration: attempt.duration().map(|span| span.as_secs_f64()),
        outcome: attempt.outcome,
        error: attempt.error.as_ref().map(ToString::to_string),
        task: attempt.task.clone(),
        usage: attempt.usage(),
    }
}

fn totals(view: &RunView) -> Totals {
    let count = |status| view.steps().filter(|step| step.status == status).count() as u32;
    let completed = count(StepStatus::Completed);
    let ended = view.steps().filter(|step| step.status.is_ended()).count();
    let attempts: usize = view.all_steps().map(|step| step.attempts.len()).sum();
    let tried = view.all_steps().filter(|step| !step.attempts.is_empty()).count();
    let durations: Vec<Duration> = view.steps().map(|step| step.duration().unwrap_or_default()).collect();
    // The time of a step that holds others is theirs.
    let works = view.all_steps().filter(|step| view.plan().held_by(step.index).next().is_none());
    let spans = works.filter_map(|step| step.duration());
    let sequential = spans.fold(Duration::ZERO, Duration::saturating_add).as_secs_f64();
    let last_end = view.steps().filter_map(|step| step.ended_at).max().filter(|_| view.ended_at().is_some());
    let makespan = view.started_at().zip(last_end).map(|(start, end)| end.since(start).as_secs_f64());
    let times = EarliestTimes::new(view.plan().topology(), &durations);
    let path = times.critical_path(view.plan().topology());
    Totals {
        steps: view.plan().len() as u32,
        completed,
        failed: count(StepStatus::Failed),
        skipped: count(StepStatus::Skipped),
        cancelled: count(StepStatus::Cancelled),
        attempts: attempts as u32,
        retries: (attempts - tried) as u32,
        success_rate: ratio(f64::from(completed), ended as f64),
        sequential_seconds: sequential,
        makespan_seconds: makespan,
        speed_up: makespan.and_then(|makespan| ratio(sequential, makespan)),
        parallel_efficiency: makespan.and_then(|makespan| ratio(makespan, sequential)).map(|share| 1.0 - share),
        peak_in_flight: view.peak_in_flight(),
        critical_path: CriticalPathReport {
            steps: path.into_iter().map(|index| view.plan().step(index).id.clone()).collect(),
            seconds: times.total().as_secs_f64(),
        },
        usage: view.usage(),
        agents: agents(view),
        quality: quality(view),
    }
}

fn quality(view: &RunView) -> Option<QualityTotals> {
    let all: Vec<&Judged> = view.steps().filter_map(|step| step.judged).collect();
    let of =
        |verdicts: &[QualityVerdict]| all.iter().filter(|judged| verdicts.contains(&judged.verdict)).count() as u32;
    let mean = |scores: &[f64]| ratio(scores.iter().sum(), scores.len() as f64);
    let mut metrics: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (metric, score) in all.iter().flat_map(|judged| &judged.assessment.scores) {
        metrics.entry(metric.clone()).or_default().push(*score);
    }
    let scores: Vec<f64> = all.iter().filter_map(|judged| judged.assessment.score).collect();
    let ended = view.steps().filter(|step| matches!(step.status, StepStatus::Completed | StepStatus::Failed));
    let unscored = of(&[QualityVerdict::Unscored]) as usize;
    let quality = QualityTotals {
        passed: of(&[QualityVerdict::Passed]),
        failed: of(&[QualityVerdict::Accepted, QualityVerdict::Below]),
        validation_rate: ratio((all.len() - unscored) as f64, ended.count() as f64),
        average_score: mean(&scores),
        averages: metrics.into_iter().filter_map(|(metric, scores)| Some((metric, mean(&scores)?))).collect(),
    };
    (!all.is_empty()).then_some(quality)
}

fn agents(view: &RunView) -> Vec<AgentReport> {
    let mut agents: BTreeMap<&AgentId, AgentReport> = BTreeMap::new();
    for attempt in view.all_steps().flat_map(|step| step.attempts) {
        let Some(agent) = &attempt.agent else { continue };
        let report = agents.entry(agent).or_insert_with(|| AgentReport {
            agent: agent.clone(),
            attempts: 0,
            completed: 0,
            failed: 0,
            seconds: 0.0,
        });
        report.attempts += 1;
        report.completed += u32::from(attempt.outcome == Outcome::Completed);
        report.failed += u32::from(attempt.outcome == Outcome::Failed);
        report.seconds += attempt.duration().unwrap_or_default().as_secs_f64();
    }
    agents.into_values().collect()
}

fn levels(view: &RunView, created_at: Timestamp) -> Vec<LevelReport> {
    let levels = view.plan().topology().levels();
    let report = |(level, steps): (u32, Vec<u32>)| {
        let ends: Vec<Timestamp> = steps
            .iter()
            .map(|index| view.step(*index))
            .filter(|step| step.status == StepStatus::Completed)
            .filter_map(|step| step.ended_at)
            .collect();
        let completed_at = ends.iter().max().copied().filter(|_| ends.len() == steps.len());
        LevelReport {
            level,
            steps: steps.len() as u32,
            completed: ends.len() as u32,
            completed_at: completed_at.map(rfc3339),
            offset_seconds: completed_at.map(|at| at.since(created_at).as_secs_f64()),
        }
    };
    (0..).zip(levels).map(report).collect()
}

fn stages(view: &RunView) -> Vec<StageReport> {
    let mut members: Vec<(&str, Vec<StepView<'_>>)> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for step in view.plan().topology().order().iter().map(|index| view.step(*index)) {
        let Some(stage) = step.stage() else { continue };
        let place = *places.entry(stage).or_insert_with(|| {
            members.push((stage, Vec::new()));
            members.len() - 1
        });
        members[place].1.push(step);
    }
    let report = |(stage, steps): (&str, Vec<StepView<'_>>)| {
        let count = |status| steps.iter().filter(|step| step.status == status).count() as u32;
        let over = steps.iter().all(|step| step.status.is_ended());
        let started_at = steps.iter().filter_map(|step| step.started_at).min();
        let ended_at = steps.iter().filter_map(|step| step.ended_at).max().filter(|_| over);
        StageReport {
            stage: stage.to_owned(),
            steps: steps.len() as u32,
            completed: count(StepStatus::Completed),
            failed: count(StepStatus::Failed),
            started_at: started_at.map(rfc3339),
            ended_at: ended_at.map(rfc3339),
            duration: started_at.zip(ended_at).map(|(start, end)| end.since(start).as_secs_f64()),
        }
    };
    members.into_iter().map(report).collect()
}
