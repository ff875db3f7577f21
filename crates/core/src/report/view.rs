//! A run as people look at it: its state, and when what happened.

use std::sync::Arc;

use super::attempt::{AttemptView, Checkpoint, Outcome, Track};
use super::phases::PhaseLog;
pub use super::step_view::StepView;
use super::undo::Undoing;
use crate::ids::{RunId, StepPath};
use crate::plan::{ByStep, Growth, Plan, StepIndex};
use crate::ports::agent::{AgentReport, Need};
use crate::run::{
    Event, Order, Phase, Recorded, RunCreated, RunState, RunStatus, StepState, StepStatus, UndoStarted, Verdict,
    evolve, fold,
};
use crate::time::Timestamp;

/// A run and its timeline, folded from its events one by one. The states are those of [`RunState`], which it holds; it
/// adds the times and the attempts that a state has no need of.
#[derive(Debug, Clone)]
pub struct RunView {
    plan: Arc<Plan>,
    state: Option<RunState>,
    steps: ByStep<Track>,
    created_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
    checkpoints: Vec<Checkpoint>,
    note: Option<String>,
    phases: Option<Box<PhaseLog>>,
    pub(super) undoing: Undoing,
    peak_in_flight: u32,
}

impl RunView {
    /// A run of which nothing is known yet.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let steps = ByStep::new(plan.indexes(), |_| Track::default());
        Self {
            plan,
            state: None,
            steps,
            created_at: None,
            started_at: None,
            ended_at: None,
            last_at: None,
            checkpoints: Vec::new(),
            note: None,
            phases: None,
            undoing: Undoing::default(),
            peak_in_flight: 0,
        }
    }

    /// The view of a whole history.
    #[must_use]
    pub fn of<'e>(plan: Arc<Plan>, events: impl IntoIterator<Item = &'e Recorded>) -> Self {
        let mut view = Self::new(plan);
        for event in events {
            view.apply(event);
        }
        view
    }

    /// Takes the next event of the run in. The first must be the run's creation; what comes before it, and an event that
    /// was taken in already, changes nothing, so that a watcher who was cut off may repeat what it has seen.
    pub fn apply(&mut self, recorded: &Recorded) {
        let at = recorded.at;
        match &mut self.state {
            Some(state) if recorded.seq > state.seq() => {
                // What an end takes away is open until then.
                let takes = recorded.event.ends_run()
                    || matches!(recorded.event, Event::UndoStarted(_) | Event::RunPaused(_) | Event::RunRewound(_));
                let open = takes.then(|| state.open_attempts().map(|(index, _)| index).collect::<Vec<_>>());
                evolve(state, recorded, &mut Vec::new());
                if let Some(phases) = &mut self.phases {
                    phases.note(recorded);
                }
                if !Arc::ptr_eq(state.plan(), &self.plan) && has_changed(&self.plan, state.plan()) {
                    self.plan = state.plan().clone();
                    self.steps.fit(&self.plan);
                }
                self.undoing.note(recorded, state);
                let ended = state.status().is_ended();
                self.ended_at = ended.then(|| self.ended_at.unwrap_or(at));
                let mut gone = open.unwrap_or_default();
                gone.retain(|index| state.open_attempt(*index).is_none());
                self.cancel(gone, at);
            }
            None if matches!(recorded.event, Event::RunCreated(_)) => {
                self.state = fold(&self.plan, [recorded]);
                self.phases = PhaseLog::begin(recorded).map(Box::new);
                self.created_at = Some(at);
                for index in self.plan.clone().indexes() {
                    self.note_ready(index, at);
                }
            }
            _ => return,
        }
        self.last_at = Some(at);
        self.record(recorded);
        self.peak_in_flight = self.peak_in_flight.max(self.state.as_ref().map_or(0, RunState::in_flight));
    }

    /// The plan it follows.
    #[must_use]
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Its state, once its creation was taken in.
    #[must_use]
    pub const fn state(&self) -> Option<&RunState> {
        self.state.as_ref()
    }

    /// How it was created: its id, workflow, version, policy and strategy.
    #[must_use]
    pub fn created(&self) -> Option<&RunCreated> {
        self.state.as_ref().map(RunState::created)
    }

    /// Its id.
    #[must_use]
    pub fn run(&self) -> Option<RunId> {
        self.state.as_ref().map(RunState::run)
    }

    /// Its state in a word.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        self.state.as_ref().map_or(RunStatus::Pending, RunState::status)
    }

    /// Number of the last event taken in; 0 before the first.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.state.as_ref().map_or(0, RunState::seq)
    }

    /// When it was created.
    #[must_use]
    pub const fn created_at(&self) -> Option<Timestamp> {
        self.created_at
    }

    /// When it is to begin, if it was asked to begin later.
    #[must_use]
    pub fn start_at(&self) -> Option<Timestamp> {
        // The turn of a run that waits for room is no later than its creation.
        self.created()?.turn.filter(|turn| self.created_at.is_some_and(|created| *turn > created))
    }

    /// When its first attempt began.
    #[must_use]
    pub const fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    /// When it ended.
    #[must_use]
    pub const fn ended_at(&self) -> Option<Timestamp> {
        self.ended_at
    }

    /// When the last event happened that was taken in.
    #[must_use]
    pub const fn last_at(&self) -> Option<Timestamp> {
        self.last_at
    }

    /// Its named points.
    #[must_use]
    pub fn checkpoints(&self) -> &[Checkpoint] {
        &self.checkpoints
    }

    /// Most attempts that were under way at once.
    #[must_use]
    pub const fn peak_in_flight(&self) -> u32 {
        self.peak_in_flight
    }

    /// Why it failed, was cancelled or set aside (may hold untrusted text).
    #[must_use]
    pub fn error(&self) -> Option<String> {
        match self.state.as_ref().and_then(RunState::failure) {
            Some((Some(step), failure)) => Some(format!("{step}: {failure}")),
            Some((None, failure)) => Some(failure.to_string()),
            None => self.note.clone(),
        }
    }

    /// The phases that it went through, if it is orchestrated.
    #[must_use]
    pub fn phases(&self) -> Option<&PhaseLog> {
        self.phases.as_deref()
    }

    /// A step as it stands.
    #[must_use]
    pub fn step(&self, index: StepIndex) -> StepView<'_> {
        let track = &self.steps[index];
        let state = self.state.as_ref().map(|state| state.step(index));
        let phase = state.map(|state| &state.phase);
        let retry_at = phase.and_then(|phase| if let Phase::Ready(at) = phase { *at } else { None });
        let error = match phase {
            Some(Phase::Failed(failure)) => Some(failure),
            Some(Phase::Held(held)) => Some(&held.error),
            _ if retry_at.is_some() => track.attempts.last().and_then(|attempt| attempt.error.as_ref()),
            _ => None,
        };
        StepView {
            index,
            step: self.plan.step(index),
            status: state.map_or(StepStatus::Pending, StepState::status),
            attempts: &track.attempts,
            ready_at: track.ready_at,
            started_at: track.attempts.first().map(|attempt| attempt.started_at),
            ended_at: track.ended_at,
            output: self.state.as_ref().and_then(|state| state.output(index)),
            error,
            retry_at,
            artifacts: &track.artifacts,
            missing_inputs: &track.missing_inputs,
            judged: self.state.as_ref().and_then(|state| state.judged(index)),
        }
    }

    /// All steps, in the order of the workflow.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = StepView<'_>> {
        (0..self.plan.len() as StepIndex).map(|index| self.step(index))
    }

    /// The steps that a step holds, in their order, without those that undo others.
    pub fn held_by(&self, holder: StepIndex) -> impl Iterator<Item = StepView<'_>> {
        let held = self.plan.held_by(holder).flat_map(Growth::indexes);
        held.filter(|index| self.plan.undone_by(*index).is_none()).map(|index| self.step(index))
    }

    fn record(&mut self, recorded: &Recorded) {
        let at = recorded.at;
        match &recorded.event {
            Event::RunCreated(_) | Event::RunAdmitted(_) | Event::RunCompleted(_) | Event::RunFailed(_) => {}
            Event::RunResumed(_) => self.note = None,
            Event::RunPaused(paused) => self.note = Some(because("paused", &paused.order)),
            Event::RunCancelled(cancelled) => self.note = Some(because("cancelled", &cancelled.order)),
            Event::RunTerminated(terminated) => self.note = Some(because("terminated", &terminated.order)),
            Event::RunReopened(_) | Event::RunRewound(_) => self.begin_anew(at),
            Event::UndoStarted(undo) => self.note = Some(undoing(undo)),
            Event::RunStuck(stuck) => self.note = Some(format!("{} failed: {}", stuck.step, stuck.error)),
            Event::RunForked(forked) => {
                for step in &forked.completed {
                    if let Some((_, track)) = self.track(&step.step) {
                        track.ended_at = Some(at);
                    }
                }
                self.plan.clone().topology().order().iter().for_each(|index| self.note_ready(*index, at));
            }
            Event::RunQuarantined(set_aside) => self.note = Some(set_aside.reason.clone()),
            Event::CheckpointCreated(checkpoint) => {
                self.checkpoints.push(Checkpoint { name: checkpoint.name.clone(), seq: recorded.seq, at });
            }
            Event::ArtifactRecorded(artifact) => {
                if let Some((_, track)) = self.track(&artifact.step) {
                    track.artifacts.push(artifact.clone());
                }
            }
            Event::StepCompleted(completed) => {
                let Some((index, track)) = self.track(&completed.step) else { return };
                let attempt = track.attempt(completed.attempt, at);
                attempt.close(Outcome::Completed, at);
                attempt.report.clone_from(&completed.report);
                track.missing_inputs.clone_from(&completed.missing_inputs);
                track.ended_at = Some(at);
                let plan = self.plan.clone();
                plan.successors(index).for_each(|next| self.note_ready(next, at));
            }
            Event::StepOmitted(omitted) => {
                if let Some((_, track)) = self.track(&omitted.step) {
                    track.attempt(omitted.attempt, at).close(Outcome::Completed, at);
                    track.ended_at = Some(at);
                }
            }
            Event::StepChecked(checked) => {
                // To look at a condition is no attempt of what is done then.
                if let Some((_, track)) = self.track(&checked.step) {
                    track.attempts.pop();
                }
            }
            Event::StepExpanded(expanded) => {
                if let Some((index, track)) = self.track(&expanded.step) {
                    let attempt = track.attempt(expanded.attempt, at);
                    attempt.outcome = Outcome::Suspended;
                    attempt.suspended = Some((Need::Steps, String::new()));
                    let plan = self.plan.clone();
                    plan.held_by(index).flat_map(Growth::indexes).for_each(|held| self.note_ready(held, at));
                }
            }
            Event::PlanRevised(_) => self.plan.clone().forward().for_each(|index| self.note_ready(index, at)),
            Event::StepFailed(failed) => {
                if let Some((_, track)) = self.track(&failed.step) {
                    track.ended_at = Some(at);
                }
            }
            event => self.record_attempt(event, at),
        }
    }

    /// What happens to attempts.
    fn record_attempt(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::AttemptStarted(started) => {
                self.started_at.get_or_insert(at);
                if let Some((_, track)) = self.track(&started.step) {
                    let attempt = AttemptView::new(started.attempt, Some(started.agent.clone()), at);
                    track.attempts.push(AttemptView { choice: started.choice.clone(), ..attempt });
                }
            }
            Event::TaskAssigned(assigned) => {
                if let Some((_, track)) = self.track(&assigned.step) {
                    track.attempt(assigned.attempt, at).task = Some(assigned.task.clone());
                }
            }
            Event::AttemptSuspended(suspended) => {
                if let Some((_, track)) = self.track(&suspended.step) {
                    let attempt = track.attempt(suspended.attempt, at);
                    attempt.outcome = Outcome::Suspended;
                    attempt.suspended = Some((suspended.need, suspended.message.clone()));
                    attempt.asked = Some((at, suspended.shown.clone()));
                }
            }
            Event::AttemptResumed(resumed) => {
                if let Some((_, track)) = self.track(&resumed.step) {
                    track.attempt(resumed.attempt, at).outcome = Outcome::Running;
                }
            }
            Event::AttemptFailed(failed) => {
                if let Some((_, track)) = self.track(&failed.step) {
                    let attempt = track.attempt(failed.attempt, at);
                    attempt.close(Outcome::Failed, at);
                    attempt.error = Some(failed.error.clone());
                    attempt.report = failed.usage.as_deref().map(AgentReport::of_usage);
                }
            }
            Event::StepHeld(held) => {
                if let Some((_, track)) = self.track(&held.step) {
                    let attempt = track.attempt(held.attempt, at);
                    let outcome = if held.outcome_unknown { Outcome::Unknown } else { Outcome::Failed };
                    // Of others the end was told before.
                    if held.outcome_unknown || held.answer.is_some() {
                        attempt.close(outcome, at);
                        attempt.error = Some(held.error.clone());
                    }
                }
            }
            Event::StepDecided(decided) => {
                if let (Verdict::Ask, Some((_, track))) = (decided.verdict, self.track(&decided.step))
                    && let Some(attempt) = track.attempts.last_mut()
                {
                    (attempt.outcome, attempt.ended_at, attempt.error) = (Outcome::Running, None, None);
                }
            }
            _ => {}
        }
    }

    /// The run was reopened: steps that are not complete have not ended any more.
    fn begin_anew(&mut self, at: Timestamp) {
        self.note = None;
        for index in self.plan.clone().forward() {
            if self.state.as_ref().is_some_and(|state| state.output(index).is_none()) {
                let track = &mut self.steps[index];
                (track.ready_at, track.ended_at) = (None, None);
                track.artifacts.clear();
                self.note_ready(index, at);
            }
        }
    }

    fn track(&mut self, path: &StepPath) -> Option<(StepIndex, &mut Track)> {
        let index = self.plan.find(path)?;
        Some((index, &mut self.steps[index]))
    }

    /// Notes the moment at which the state says that a step may start for the first time.
    fn note_ready(&mut self, index: StepIndex, at: Timestamp) {
        let ready = self.state.as_ref().is_some_and(|state| matches!(state.step(index).phase, Phase::Ready(None)));
        let track = &mut self.steps[index];
        if ready && track.ready_at.is_none() {
            track.ready_at = Some(at);
        }
    }

    /// The run ended while attempts were open.
    fn cancel(&mut self, open: Vec<StepIndex>, at: Timestamp) {
        for index in open {
            let track = &mut self.steps[index];
            track.ended_at = Some(at);
            if let Some(attempt) = track.attempts.last_mut() {
                attempt.close(Outcome::Cancelled, at);
            }
        }
    }
}

/// True if a plan has other steps than it had.
fn has_changed(before: &Plan, now: &Plan) -> bool {
    before.growths() != now.growths() || before.revision() != now.revision()
}

fn undoing(undo: &UndoStarted) -> String {
    let to = match &undo.checkpoint {
        Some(name) => format!("to checkpoint \"{name}\""),
        None => format!("to event {}", undo.to),
    };
    match &undo.order {
        Some(order) => because(&format!("rolled back {to}"), order),
        None => format!("undone {to}"),
    }
}

fn because(what: &str, order: &Order) -> String {
    let Order { by, reason, .. } = order;
    let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    format!("{what}{by}{reason}")
}
