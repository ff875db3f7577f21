//! What a stream of a run tells of each recorded event. docs/events.md has this as a table.
//!
//! A pure function of the history: whoever reads it again, from whatever number on, is told the same.

use std::sync::Arc;
use std::time::Duration;

use tutti_core::ids::{AgentId, StepId, StepPath};
use tutti_core::orchestration::Phase;
use tutti_core::plan::{Plan, StepIndex};
use tutti_core::report::{Outcome, RunView, recovery_news};
use tutti_core::run::{
    ArtifactRecorded, AttemptFailed, AttemptStarted, Event, Failure, Recorded, RunState, RunStatus, StepStatus,
};
use tutti_core::schedule::StrategyDecision;

/// Something that a stream tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum StreamEvent {
    /// A phase of a run that is orchestrated was reached.
    Phase { phase: Phase, note: String },
    /// The run was planned and begins.
    Planning { strategy: StrategyDecision, levels: u32 },
    /// An agent is asked.
    TaskStart { step: StepPath, attempt: u32, agent: AgentId, capability: String },
    /// Something went on; within a step, or in the run.
    Progress { step: Option<StepPath>, kind: ProgressKind, message: String },
    /// An artifact came with a result.
    Artifact(ArtifactRecorded),
    /// A step is done.
    TaskComplete { step: StepPath, attempt: u32, agent: Option<AgentId>, duration: Duration, quality: Option<f64> },
    /// A step failed for good.
    TaskFailed { step: StepPath, error: Failure, attempts: u32 },
    /// A node is done, and releases others.
    NodeComplete { step: StepPath, released: Vec<StepId> },
    /// Every step of a level has come to its end.
    LevelComplete { level: u32, levels: u32, completed: u32, failed: u32, skipped: u32 },
    /// The run is complete.
    Result,
    /// The run ended otherwise.
    Failed { status: RunStatus, step: Option<StepPath>, error: String },
}

/// What goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProgressKind {
    /// An agent works, or the run goes on.
    Working,
    /// A step waits for somebody.
    Waiting,
    /// A step was answered.
    Answered,
    /// An attempt failed and the step is tried again.
    Retrying,
    /// An attempt failed and was the last one.
    AttemptFailed,
    /// A step came to its end.
    Advanced,
    /// The run is held.
    Paused,
    /// The failed run goes on anew.
    Reopened,
    /// The run was set aside.
    Quarantined,
    /// A named point was made.
    Checkpoint,
}

/// Tells a run event by event.
#[derive(Debug)]
pub(super) struct StreamEvents {
    view: RunView,
    levels: Vec<Vec<StepIndex>>,
    /// By step, whether it has come to its end.
    ended: Vec<bool>,
    /// By level, how many steps have not.
    open: Vec<u32>,
}

impl StreamEvents {
    /// A run of which nothing was told yet.
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        let mut events =
            Self { levels: plan.topology().levels(), view: RunView::new(plan), ended: Vec::new(), open: Vec::new() };
        events.count();
        events
    }

    /// The run as far as it was told.
    pub(super) const fn view(&self) -> &RunView {
        &self.view
    }

    /// What is told of the next event: at least one thing of each, in this order.
    pub(super) fn tell(&mut self, recorded: &Recorded) -> Vec<StreamEvent> {
        if recorded.seq <= self.view.seq() {
            return Vec::new();
        }
        let known = self.reached();
        self.view.apply(recorded);
        let mut told = self.tell_event(recorded);
        // After what is told of the event itself, and before what ends the stream.
        let last = told.len() - usize::from(recorded.event.ends_run());
        drop(told.splice(last..last, self.phases_since(&known)));
        told
    }

    fn reached(&self) -> Vec<Phase> {
        self.view.phases().map(|log| log.reached().map(|(phase, _)| phase).collect()).unwrap_or_default()
    }

    /// The phases that were reached since.
    fn phases_since(&self, known: &[Phase]) -> Vec<StreamEvent> {
        let Some(log) = self.view.phases() else { return Vec::new() };
        let new = log.reached().map(|(phase, _)| phase).filter(|phase| !known.contains(phase));
        new.map(|phase| StreamEvent::Phase { phase, note: log.told(phase) }).collect()
    }

    /// True if the run is told that much of: some phases are off.
    pub(super) fn is_wanted(&self, event: &StreamEvent) -> bool {
        let Some(log) = self.view.phases() else { return true };
        match event {
            StreamEvent::Artifact(_) => log.orchestration().has(Phase::Artifacts),
            StreamEvent::Planning { .. }
            | StreamEvent::Phase { .. }
            | StreamEvent::Result
            | StreamEvent::Failed { .. } => true,
            _ => log.orchestration().has(Phase::Streaming),
        }
    }

    fn tell_event(&mut self, recorded: &Recorded) -> Vec<StreamEvent> {
        match &recorded.event {
            Event::RunCreated(created) => {
                let levels = self.levels.len() as u32;
                vec![StreamEvent::Planning { strategy: created.strategy.clone(), levels }]
            }
            Event::AttemptStarted(started) => self.started(started),
            Event::ArtifactRecorded(artifact) => vec![StreamEvent::Artifact(artifact.clone())],
            Event::StepCompleted(completed) => self.completed(&completed.step, completed.attempt),
            Event::StepFailed(failed) => self.failed(&failed.step, &failed.error),
            Event::RunCompleted(_) => vec![StreamEvent::Result],
            Event::RunFailed(failed) => vec![StreamEvent::Failed {
                status: RunStatus::Failed,
                step: failed.step.clone(),
                error: failed.error.to_string(),
            }],
            Event::RunCancelled(_) => vec![self.ended_by_order(RunStatus::Cancelled)],
            Event::RunTerminated(_) => vec![self.ended_by_order(RunStatus::Terminated)],
            Event::RunReopened(_) => {
                self.count();
                vec![self.progress_of(&recorded.event)]
            }
            Event::PlanRevised(_) => {
                self.levels = self.view.plan().topology().levels();
                self.count();
                vec![self.progress_of(&recorded.event)]
            }
            Event::StepOmitted(omitted) => {
                let mut told = vec![self.progress_of(&recorded.event)];
                if let Some(index) = self.view.plan().find(&omitted.step) {
                    told.extend(self.end(index));
                }
                told
            }
            _ => vec![self.progress_of(&recorded.event)],
        }
    }

    /// The events that are progress and nothing else.
    fn progress_of(&self, event: &Event) -> StreamEvent {
        use ProgressKind as Kind;
        let (step, kind, message) = match event {
            Event::TaskAssigned(task) => (Some(&task.step), Kind::Working, format!("task {}", task.task)),
            Event::AttemptSuspended(asked) => (Some(&asked.step), Kind::Waiting, asked.message.clone()),
            Event::SignalReceived(answer) => (Some(&answer.step), Kind::Answered, answer.order.reason.clone()),
            Event::AttemptResumed(resumed) => (Some(&resumed.step), Kind::Working, String::new()),
            Event::AttemptFailed(AttemptFailed { step, error, retry_at, .. }) => {
                let kind = if retry_at.is_some() { Kind::Retrying } else { Kind::AttemptFailed };
                (Some(step), kind, error.to_string())
            }
            Event::RunPaused(paused) => (None, Kind::Paused, paused.order.reason.clone()),
            Event::RunResumed(resumed) => (None, Kind::Working, resumed.order.reason.clone()),
            Event::RunReopened(reopened) => (None, Kind::Reopened, reopened.order.reason.clone()),
            Event::RunQuarantined(set_aside) => (None, Kind::Quarantined, set_aside.reason.clone()),
            Event::CheckpointCreated(checkpoint) => (None, Kind::Checkpoint, checkpoint.name.clone()),
            // Told otherwise.
            Event::RunCreated(_)
            | Event::RunAdmitted(_)
            | Event::RunCompleted(_)
            | Event::RunFailed(_)
            | Event::RunCancelled(_)
            | Event::RunTerminated(_)
            | Event::AttemptStarted(_)
            | Event::ArtifactRecorded(_)
            | Event::StepCompleted(_)
            | Event::StepFailed(_) => (None, Kind::Working, String::new()),
            event => {
                let (step, what) = recovery_news(event).unwrap_or_default();
                (step, Kind::Working, what)
            }
        };
        StreamEvent::Progress { step: step.cloned(), kind, message }
    }

    fn started(&self, started: &AttemptStarted) -> Vec<StreamEvent> {
        let AttemptStarted { step, attempt, agent, .. } = started.clone();
        let Some(index) = self.view.plan().find(&step) else { return Vec::new() };
        let capability = self.view.plan().step(index).does().to_owned();
        vec![StreamEvent::TaskStart { step, attempt, agent, capability }]
    }

    fn completed(&mut self, step: &StepPath, attempt: u32) -> Vec<StreamEvent> {
        let Some(index) = self.view.plan().find(step) else { return Vec::new() };
        let done = self.view.step(index);
        let agent = done.attempts.iter().rfind(|tried| tried.outcome == Outcome::Completed);
        let agent = agent.and_then(|tried| tried.agent.clone());
        let duration = done.duration().unwrap_or_default();
        let quality = self.view.state().and_then(|state| state.judged(index)?.assessment.score);
        let plan = self.view.plan();
        let successors = plan.successors(index).map(|next| self.view.step(next));
        let released = successors.filter(|next| next.ready_at.is_some() && next.status == StepStatus::Pending);
        let released = released.map(|next| next.id().clone()).collect();
        let mut told = vec![
            StreamEvent::TaskComplete { step: step.clone(), attempt, agent, duration, quality },
            StreamEvent::NodeComplete { step: step.clone(), released },
        ];
        told.extend(self.end(index));
        told.push(StreamEvent::Progress {
            step: Some(step.clone()),
            kind: ProgressKind::Advanced,
            message: "completed".to_owned(),
        });
        told
    }

    fn failed(&mut self, step: &StepPath, error: &Failure) -> Vec<StreamEvent> {
        let Some(index) = self.view.plan().find(step) else { return Vec::new() };
        let attempts = self.view.step(index).attempts.len() as u32;
        let mut told = vec![StreamEvent::TaskFailed { step: step.clone(), error: error.clone(), attempts }];
        told.extend(self.end(index));
        told.push(StreamEvent::Progress {
            step: Some(step.clone()),
            kind: ProgressKind::Advanced,
            message: "failed".to_owned(),
        });
        told
    }

    fn ended_by_order(&self, status: RunStatus) -> StreamEvent {
        StreamEvent::Failed { status, step: None, error: self.view.error().unwrap_or_default() }
    }

    /// Notes the end of a step, and of those that will not run because of it; tells the levels that are over by that.
    fn end(&mut self, index: StepIndex) -> Vec<StreamEvent> {
        let plan = self.view.plan().clone();
        // Levels are those of the workflow's own steps.
        if index as usize >= self.ended.len() {
            return Vec::new();
        }
        let mut over = Vec::new();
        let mut ends = vec![index];
        while let Some(index) = ends.pop() {
            if std::mem::replace(&mut self.ended[index as usize], true) {
                continue;
            }
            let level = plan.topology().level(index);
            let open = &mut self.open[level as usize];
            *open -= 1;
            if *open == 0 {
                over.push(level);
            }
            let skipped = |next: &&StepIndex| self.view.step(**next).status == StepStatus::Skipped;
            ends.extend(plan.topology().successors(index).iter().filter(skipped));
        }
        over.sort_unstable();
        over.into_iter().map(|level| self.level(level)).collect()
    }

    fn level(&self, level: u32) -> StreamEvent {
        let count = |wanted: StepStatus| {
            let of_level = self.levels[level as usize].iter();
            of_level.filter(|index| self.view.step(**index).status == wanted).count() as u32
        };
        StreamEvent::LevelComplete {
            level,
            levels: self.levels.len() as u32,
            completed: count(StepStatus::Completed),
            failed: count(StepStatus::Failed),
            skipped: count(StepStatus::Skipped) + count(StepStatus::Cancelled),
        }
    }

    /// Counts what has not come to its end.
    fn count(&mut self) {
        self.ended = self.view.steps().map(|step| step.status.is_ended()).collect();
        let open = |level: &Vec<StepIndex>| level.iter().filter(|index| !self.ended[**index as usize]).count() as u32;
        self.open = self.levels.iter().map(open).collect();
    }

    /// Steps that completed, and all of them.
    pub(super) fn counts(&self) -> (u32, u32) {
        (self.view.state().map_or(0, RunState::completed), self.view.plan().len() as u32)
    }
}

#[cfg(test)]
mod tests;
