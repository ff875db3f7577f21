//! A run as it stands: the sum of its events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{Afterwards, Failure, QualityVerdict, RunCreated};
use super::status::RunStatus;
pub use super::step::{Held, Judged, OpenAttempt, Phase, StepState};
use crate::budget::Spending;
use crate::ids::{AgentId, AttemptKey, Capability, RequestId, RunId, StepPath};
use crate::plan::{ByStep, Plan, PlanPatch, StepIndex};
use crate::ports::agent::{Feedback, Need};
use crate::ports::query::RunSummary;
use crate::ports::store::Wake;
use crate::quality::{Assessment, Rule, Settings, said};
use crate::schedule::{Frontier, Policy};
use crate::time::{Span, Timestamp};
use crate::trace::RunTrace;
use crate::value::Payload;
use crate::workflow::{OnError, StepKind};

/// A run as it stands.
#[derive(Debug, Clone)]
pub struct RunState {
    pub(super) plan: Arc<Plan>,
    pub(super) facts: Facts,
}

/// What of a state is kept in a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) created: RunCreated,
    pub(super) created_at: Timestamp,
    pub(super) seq: u64,
    pub(super) generation: u32,
    pub(super) status: RunStatus,
    /// When the run's time began: at its creation, when it left the queue, or at its last resumption.
    pub(super) clock_from: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) failure: Option<(Option<StepPath>, Failure)>,
    pub(super) steps: ByStep<StepState>,
    pub(super) frontier: Frontier,
    /// Steps with an attempt under way or suspended.
    pub(super) open: BTreeSet<StepIndex>,
    pub(super) suspended: u32,
    /// Suspended attempts that were answered and wait for their turn.
    pub(super) answered: u32,
    /// Requests whose commands were applied, oldest first.
    pub(super) requests: VecDeque<RequestId>,
    pub(super) completed: u32,
    pub(super) failed: u32,
    /// Steps that have not ended.
    pub(super) remaining: u32,
    /// Bytes of outputs and artifacts.
    pub(super) bytes: u64,
    /// Steps that are held for a person's decision.
    pub(super) held: u32,
    /// When what steps wait for is due.
    pub(super) due: BTreeSet<(Timestamp, StepIndex)>,
    /// The run is held, and nobody waits for its attempts.
    pub(super) left: bool,
    /// What the first failed step that the run does not go on without means for it.
    pub(super) ends_by: Option<OnError>,
    /// What is being undone.
    pub(super) undo: Option<Undo>,
    /// A failed run was undone: what was completed after this number does not count when it is reopened.
    pub(super) undone_to: Option<u64>,
    /// Named points to which the run can be rolled back, oldest first.
    pub(super) checkpoints: Vec<(String, u64)>,
    /// Stretches of the history that were rolled back: after the first number, before the second.
    pub(super) abandoned: Vec<(u64, u64)>,
    /// The run that this one is a fork of, and where.
    pub(super) forked: Option<(RunId, u64)>,
    /// How the run is driven, once that was changed.
    pub(super) policy: Option<Box<Policy>>,
    /// How its plan has grown and changed.
    pub(super) grown: Option<Box<Grown>>,
    /// What a run with a budget has spent.
    pub(super) spending: Option<Box<Spending>>,
    /// How the last answers of steps were judged, if they were.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) quality: BTreeMap<StepIndex, Judged>,
}

/// How the plan of a run has grown and changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Grown {
    /// The steps that steps hold, in the order of the plan's.
    pub(super) times: Vec<Times>,
    /// Changes, with the numbers of their events and the growths that there were.
    pub(super) patches: Vec<(u64, PlanPatch)>,
    /// Scores of results of which one is made, as their agents told them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) scores: BTreeMap<StepIndex, f64>,
}

/// Steps that a step holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Times {
    /// The step that holds them.
    pub(super) container: StepIndex,
    /// The number of the first time.
    pub(super) first: u32,
    /// How many times.
    pub(super) count: u32,
    /// The number of the event that began them.
    pub(super) seq: u64,
    /// The number of the next time to begin.
    pub(super) next: u32,
    /// Steps that are to begin.
    pub(super) idle: u32,
    /// Steps that have not ended.
    pub(super) remaining: u32,
}

/// What is being undone, and what follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// What was completed after this number is undone.
    pub to: u64,
    /// False: nothing is called.
    pub compensate: bool,
    /// True: the steps will stand again as they did there.
    pub rewind: bool,
    /// What follows.
    pub then: Afterwards,
    /// The failure that led to it.
    pub failed: Option<(Option<StepPath>, Failure)>,
    /// What is left to be undone, oldest first, as the indexes of what undoes it; none while attempts are waited for.
    pub pending: Option<Vec<StepIndex>>,
    /// What is being undone now, as the index of what undoes it.
    pub current: Option<StepIndex>,
    /// True once the steps stand again as they did.
    pub rewound: bool,
}

impl RunState {
    /// The run's id.
    #[must_use]
    pub const fn run(&self) -> RunId {
        self.facts.created.run
    }

    /// The plan it follows.
    #[must_use]
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// How it was created.
    #[must_use]
    pub const fn created(&self) -> &RunCreated {
        &self.facts.created
    }

    /// Number of the last event in this state.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.facts.seq
    }

    /// How often the run was reopened; results of an older generation are never applied.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.facts.generation
    }

    /// The run's state.
    #[must_use]
    pub const fn status(&self) -> RunStatus {
        self.facts.status
    }

    /// How it is driven.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        match &self.facts.policy {
            Some(policy) => policy,
            None => &self.facts.created.policy,
        }
    }

    /// The steps that could start.
    #[must_use]
    pub const fn frontier(&self) -> &Frontier {
        &self.facts.frontier
    }

    /// A step.
    #[must_use]
    pub fn step(&self, index: StepIndex) -> &StepState {
        &self.facts.steps[index]
    }

    /// All steps, in the order of the workflow, without those that undo others.
    #[must_use]
    pub fn steps(&self) -> &[StepState] {
        self.facts.steps.own()
    }

    /// How the last answer of a step was judged; nothing if it was not.
    #[must_use]
    pub fn judged(&self, index: StepIndex) -> Option<&Judged> {
        self.facts.quality.get(&index)
    }

    /// What the next attempt of a step is told about the answer of the last one: it was not good enough.
    #[must_use]
    pub fn feedback(&self, index: StepIndex) -> Option<Feedback> {
        let judged = self.judged(index).filter(|judged| judged.verdict == QualityVerdict::Below)?;
        let Assessment { score, failed, notes, .. } = judged.assessment.clone();
        Some(Feedback { attempt: judged.attempt, score, failed, notes })
    }

    /// The agent that is asked again before others: its last answer was not good enough, and it is told why.
    #[must_use]
    pub fn asked_again(&self, index: StepIndex) -> Option<&AgentId> {
        let judged = self.judged(index).filter(|judged| judged.verdict == QualityVerdict::Below)?;
        let step = self.step(index);
        (judged.attempt == step.attempts && step.tried.is_empty()).then_some(&judged.agent)
    }

    /// What the answers of a step must be like; nothing if they are taken as they are. What undoes a step is not judged.
    #[must_use]
    pub fn quality_rule(&self, index: StepIndex) -> Option<Rule> {
        let settings = self.facts.created.origin.quality.as_deref().unwrap_or_else(|| Settings::common());
        let is_own = self.plan.undone_by(index).is_none();
        is_own.then(|| Rule::of(settings, self.plan.workflow(), self.plan.step(index))).flatten()
    }

    /// True if the run's workflow says something of the quality of a step's answers.
    #[must_use]
    pub fn says_quality(&self, index: StepIndex) -> bool {
        let step = self.plan.step(index);
        said(self.plan.workflow(), step) && matches!(step.kind(), StepKind::Call(_))
    }

    /// The output of a completed step.
    #[must_use]
    pub fn output(&self, index: StepIndex) -> Option<&Payload> {
        match &self.step(index).phase {
            Phase::Completed(output) => Some(output),
            _ => None,
        }
    }

    /// Steps with an attempt under way or suspended: the open work of this state.
    pub fn open_attempts(&self) -> impl Iterator<Item = (StepIndex, &OpenAttempt)> {
        self.facts.open.iter().filter_map(|index| Some((*index, self.open_attempt(*index)?)))
    }

    /// A step's attempt that is under way or suspended.
    #[must_use]
    pub fn open_attempt(&self, index: StepIndex) -> Option<&OpenAttempt> {
        match &self.step(index).phase {
            Phase::Open(attempt) => Some(attempt),
            _ => None,
        }
    }

    /// The key of a step's last attempt.
    #[must_use]
    pub fn attempt_key(&self, index: StepIndex) -> AttemptKey {
        AttemptKey {
            run: self.run(),
            generation: self.facts.generation,
            path: self.plan.path(index),
            attempt: self.step(index).attempts,
        }
    }

    /// Attempts under way. Suspended ones hold no place.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.facts.open.len() as u32 - self.facts.suspended
    }

    /// Steps whose attempt is suspended, answered ones included.
    #[must_use]
    pub const fn suspended(&self) -> u32 {
        self.facts.suspended
    }

    /// Steps whose attempt waits for somebody or a moment and got no answer yet.
    pub fn waiting(&self) -> impl Iterator<Item = StepIndex> + '_ {
        let waits =
            |open: &OpenAttempt| open.suspended.is_some_and(|need| need != Need::Steps) && open.answer.is_none();
        self.open_attempts().filter(move |(_, open)| waits(open)).map(|(index, _)| index)
    }

    /// Steps that are held for a person's decision, those included that could not be undone.
    pub fn held(&self) -> impl Iterator<Item = (StepIndex, &Held)> {
        let steps = (self.facts.held > 0).then(|| self.facts.steps.iter());
        steps.into_iter().flatten().filter_map(|(index, step)| match &step.phase {
            Phase::Held(held) => Some((index, held)),
            _ => None,
        })
    }

    /// What a step asks of an agent now; nothing if it waits, holds others, or has a condition that was not looked at.
    #[must_use]
    pub fn asks_for(&self, index: StepIndex) -> Option<&Capability> {
        match self.plan.step(index).kind() {
            StepKind::Call(capability) if !self.is_unchecked(index) => Some(capability),
            _ => None,
        }
    }

    /// True if the condition of a step was not looked at yet in this attempt to do it.
    #[must_use]
    pub fn is_unchecked(&self, index: StepIndex) -> bool {
        self.plan.step(index).when.is_some() && !self.step(index).checked
    }

    /// True if what a step asks of an agent now must not be asked twice.
    #[must_use]
    pub fn is_asked_once(&self, index: StepIndex) -> bool {
        let step = self.plan.step(index);
        step.retry.is_unsafe && step.container().is_none() && !self.is_unchecked(index)
    }

    /// True if a step has begun what it holds, and all of that has ended.
    #[must_use]
    pub fn is_gathered(&self, container: StepIndex) -> bool {
        let Some(grown) = &self.facts.grown else { return false };
        let mut held = self.plan.held_by(container).peekable();
        held.peek().is_some() && held.all(|growth| grown.times[growth.number as usize].remaining == 0)
    }

    /// How good the result of a step is, 0 to 1, if its agent told and one is made of it and others.
    #[must_use]
    pub fn score(&self, index: StepIndex) -> Option<f64> {
        self.facts.grown.as_ref()?.scores.get(&index).copied()
    }

    /// What is being undone.
    #[must_use]
    pub const fn undoing(&self) -> Option<&Undo> {
        self.facts.undo.as_ref()
    }

    /// Named points to which the run can be rolled back, and the numbers of their events, oldest first.
    #[must_use]
    pub fn checkpoints(&self) -> &[(String, u64)] {
        &self.facts.checkpoints
    }

    /// The number of the event with which this run's own history begins: nothing before it is undone by it.
    #[must_use]
    pub const fn origin_seq(&self) -> u64 {
        if self.facts.forked.is_some() { 2 } else { 1 }
    }

    /// True if an event of this number is of a stretch of the history that was rolled back.
    #[must_use]
    pub fn is_abandoned(&self, seq: u64) -> bool {
        self.facts.abandoned.iter().any(|(after, before)| *after < seq && seq < *before)
    }

    /// Of a run that failed and was undone: what was completed after the event with this number begins anew when it is reopened.
    #[must_use]
    pub const fn undone_to(&self) -> Option<u64> {
        self.facts.undone_to
    }

    /// The run that this one is a fork of, and the number of the event after which it left that run's history.
    #[must_use]
    pub const fn forked(&self) -> Option<(RunId, u64)> {
        self.facts.forked
    }

    /// True if attempts of this state are to be under way: the run takes results, and they were not left to their agents.
    #[must_use]
    pub const fn follows_work(&self) -> bool {
        self.facts.status.takes_results() && !self.facts.left
    }

    /// The first moment at which what a step waits for is due, and the step.
    #[must_use]
    pub fn next_wait(&self) -> Option<(Timestamp, StepIndex)> {
        self.facts.due.first().copied()
    }

    /// Steps for which what they wait for is due, in the order in which it became so.
    pub fn waits_due(&self, now: Timestamp) -> impl Iterator<Item = StepIndex> + '_ {
        self.facts.due.iter().take_while(move |(due, _)| *due <= now).map(|(_, step)| *step)
    }

    /// How long the attempt of a step that is under way may take from its start: as long as one may, and within the time of
    /// all of them.
    #[must_use]
    pub fn attempt_timeout(&self, index: StepIndex) -> Duration {
        let step = self.plan.step(index);
        let began = self.step(index).began_at;
        let started = self.open_attempt(index).map(|open| open.started_at);
        let left = step
            .total_timeout
            .zip(began)
            .zip(started)
            .map(|((total, began), started)| total.0.saturating_sub(started.since(began)));
        left.map_or(step.timeout.0, |left| left.min(step.timeout.0))
    }

    /// What a step's failure means for the run: the step's own word, or else the run's.
    #[must_use]
    pub fn on_error(&self, index: StepIndex) -> OnError {
        let own = self.plan.step(index).on_error;
        // What a step holds fails the step that holds it, which says what that means.
        let otherwise = if self.plan.holder(index).is_some() { OnError::Continue } else { self.policy().on_error };
        own.unwrap_or(otherwise)
    }

    /// Suspended attempts that were answered and wait for their turn.
    #[must_use]
    pub const fn answered(&self) -> u32 {
        self.facts.answered
    }

    /// True if the command of this request was applied.
    #[must_use]
    pub fn has_applied(&self, request: RequestId) -> bool {
        self.facts.requests.contains(&request)
    }

    /// True if a step is in flight that must run alone.
    #[must_use]
    pub fn runs_alone(&self) -> bool {
        // While such a step runs, it is the only one in flight.
        self.in_flight() == 1
            && self.open_attempts().any(|(i, open)| open.suspended.is_none() && !self.plan.step(i).parallel_safe)
    }

    /// When the run's time is up.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        // One that waits in the queue has done nothing with its time.
        match self.status() {
            RunStatus::Pending => Timestamp::MAX,
            // What was begun to be undone is undone to the end.
            _ if self.facts.undo.is_some() => Timestamp::MAX,
            _ => self.facts.clock_from.plus(self.timeout().0),
        }
    }

    /// Where the run's spans belong.
    #[must_use]
    pub fn trace(&self) -> RunTrace {
        RunTrace::new(self.run(), self.facts.created.origin.trace_parent.as_deref())
    }

    /// How long the run may take.
    #[must_use]
    pub fn timeout(&self) -> Span {
        self.facts.created.origin.timeout.unwrap_or(self.plan.workflow().timeout)
    }

    /// Steps that are complete.
    #[must_use]
    pub const fn completed(&self) -> u32 {
        self.facts.completed
    }

    /// What a step that failed for good means for the run; none if nothing, or if none failed.
    #[must_use]
    pub const fn ends_by(&self) -> Option<OnError> {
        self.facts.ends_by
    }

    /// Steps that failed for good.
    #[must_use]
    pub const fn failed(&self) -> u32 {
        self.facts.failed
    }

    /// Steps that have not ended.
    #[must_use]
    pub const fn remaining(&self) -> u32 {
        self.facts.remaining
    }

    /// Bytes that the run's outputs and artifacts have together.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.facts.bytes
    }

    /// Why the run failed.
    #[must_use]
    pub fn failure(&self) -> Option<(Option<&StepPath>, &Failure)> {
        self.facts.failure.as_ref().map(|(step, failure)| (step.as_ref(), failure))
    }

    /// When the run must be looked at next.
    #[must_use]
    pub fn wake(&self) -> Wake {
        if self.status() == RunStatus::Paused && self.in_flight() > 0 && !self.facts.left {
            return Wake::Active;
        }
        if let (RunStatus::Pending, Some(turn)) = (self.status(), self.facts.created.turn) {
            return Wake::At(turn);
        }
        if !self.status().is_open() {
            return if self.status().is_ended() { Wake::Never } else { Wake::OnInput };
        }
        // What there is no budget for waits for no moment.
        let is_spent = self.is_spent().is_some();
        if self.in_flight() > 0 || (self.frontier().ready() > 0 && !is_spent) {
            return Wake::Active;
        }
        let next_due = self.frontier().next_due().filter(|_| !is_spent);
        let moments = [Some(self.deadline()), next_due, self.next_wait().map(|(due, _)| due)];
        Wake::At(moments.into_iter().flatten().min().unwrap_or(Timestamp::MAX))
    }

    /// The line for lists.
    #[must_use]
    pub fn summary(&self) -> RunSummary {
        let facts = &self.facts;
        RunSummary {
            run: self.run(),
            workflow: facts.created.workflow.clone(),
            version: facts.created.version.clone(),
            definition: facts.created.definition,
            status: facts.status,
            steps: self.plan.len() as u32,
            completed: facts.completed,
            failed: facts.failed,
            created_at: facts.created_at,
            updated_at: facts.updated_at,
            ended_at: facts.ended_at,
            error: facts.failure.as_ref().map(|(step, failure)| match step {
                Some(step) => format!("{step}: {failure}"),
                None => failure.to_string(),
            }),
            key: facts.created.origin.key.clone(),
            session: facts.created.origin.session.clone(),
            labels: self.labels(),
        }
    }
}

impl PartialEq for RunState {
    /// The plan follows from the definition, whose hash is among the facts.
    fn eq(&self, other: &Self) -> bool {
        self.facts == other.facts
    }
}
