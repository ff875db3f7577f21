//! The spans of a run, folded from its events: the same ones before and after a crash, whoever folds them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tutti_core::ids::{AgentId, AttemptKey, Capability, RunId, StepPath};
use tutti_core::plan::Plan;
use tutti_core::ports::agent::Usage;
use tutti_core::report::PhaseLog;
use tutti_core::run::{Event, Failure, Recorded, RunCreated, RunStatus, StepCompleted};
use tutti_core::time::Timestamp;
use tutti_core::trace::{RunTrace, attempt_span, span_id};

use super::names::key;
use super::span::{About, Outcome, Span, Spent, Value};

/// Most moments that a span tells; OpenTelemetry's default limit.
const MAX_MOMENTS: usize = 128;

/// What of a run has begun and not ended.
#[derive(Debug)]
pub struct SpanBuilder {
    created: Box<RunCreated>,
    plan: Option<Arc<Plan>>,
    trace: RunTrace,
    seq: u64,
    generation: u32,
    began_at: Timestamp,
    steps: HashMap<StepPath, OpenStep>,
    /// Sum of the durations of the steps that are complete.
    worked: Duration,
    /// When the first attempt began, and the last step ended.
    worked_within: Option<(Timestamp, Timestamp)>,
    moments: Vec<(&'static str, Timestamp)>,
    has_ended: bool,
    /// The phases, if the run is orchestrated.
    phases: Option<Box<PhaseLog>>,
    open: Open,
}

/// How much of a run is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Open {
    /// Attempts under way, without those that wait for somebody.
    pub in_flight: i64,
    /// Spans that have begun.
    pub spans: i64,
}

#[derive(Debug)]
struct OpenStep {
    began_at: Timestamp,
    attempts: u32,
    attempt: Option<OpenAttempt>,
}

#[derive(Debug)]
struct OpenAttempt {
    number: u32,
    agent: AgentId,
    began_at: Timestamp,
    task: Option<String>,
    is_suspended: bool,
    moments: Vec<(&'static str, Timestamp)>,
}

/// What every span has, beside what it says about itself.
#[derive(Clone, Copy)]
struct Frame {
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    start: Timestamp,
    end: Timestamp,
}

impl SpanBuilder {
    /// Begins with a run's first event; `None` if this is another one. The plan is only asked for what steps need.
    pub fn begin(first: &Recorded, plan: Option<Arc<Plan>>) -> Option<(Self, Span)> {
        let Event::RunCreated(created) = &first.event else { return None };
        let builder = Self {
            trace: RunTrace::new(created.run, created.origin.trace_parent.as_deref()),
            created: created.clone(),
            plan,
            seq: first.seq,
            generation: 0,
            began_at: first.at,
            steps: HashMap::new(),
            worked: Duration::ZERO,
            worked_within: None,
            moments: Vec::new(),
            has_ended: false,
            phases: PhaseLog::begin(first).map(Box::new),
            open: Open { in_flight: 0, spans: 1 },
        };
        let planned = builder.planned(first.at);
        Some((builder, planned))
    }

    /// Takes the next event in: the spans that it ends. Another one than the next changes nothing.
    pub fn apply(&mut self, recorded: &Recorded) -> Vec<Span> {
        if recorded.seq != self.seq + 1 {
            return Vec::new();
        }
        self.seq = recorded.seq;
        if let Some(phases) = &mut self.phases {
            phases.note(recorded);
        }
        let (at, mut ended) = (recorded.at, Vec::new());
        match &recorded.event {
            Event::AttemptStarted(started) => self.start(&started.step, started.attempt, &started.agent, at),
            Event::TaskAssigned(assigned) => {
                if let Some(attempt) = self.attempt(&assigned.step, assigned.attempt) {
                    attempt.task = Some(assigned.task.clone());
                }
            }
            Event::AttemptSuspended(it) => self.suspend(&it.step, it.attempt, true, ("suspended", at)),
            Event::StepExpanded(it) => self.suspend(&it.step, it.attempt, true, ("expanded", at)),
            Event::StepChecked(it) => ended.extend(self.end_attempt(&it.step, Outcome::Completed, at, None)),
            Event::StepOmitted(it) => self.end_step(&it.step, &Outcome::Completed, at, &mut ended),
            Event::QualityAssessed(_) => note(&mut self.moments, ("quality assessed", at)),
            Event::WaitClosed(_) => note(&mut self.moments, ("wait closed", at)),
            Event::PlanRevised(_) => note(&mut self.moments, ("plan revised", at)),
            Event::AttemptResumed(it) => self.suspend(&it.step, it.attempt, false, ("resumed", at)),
            Event::AttemptFailed(failed) => {
                let failure = Outcome::Failed(failed.error.clone());
                ended.extend(self.end_attempt(&failed.step, failure, at, failed.usage.as_deref()));
            }
            Event::StepCompleted(done) => self.complete(done, at, &mut ended),
            Event::StepFailed(failed) => {
                self.end_step(&failed.step, &Outcome::Failed(failed.error.clone()), at, &mut ended);
            }
            Event::RunPaused(_) => note(&mut self.moments, ("paused", at)),
            Event::RunAdmitted(_) => note(&mut self.moments, ("admitted", at)),
            Event::RunResumed(_) => note(&mut self.moments, ("resumed", at)),
            Event::RunQuarantined(_) => note(&mut self.moments, ("quarantined", at)),
            Event::SignalReceived(_) => note(&mut self.moments, ("signal received", at)),
            Event::RunStuck(_) => note(&mut self.moments, ("stuck", at)),
            Event::UndoStarted(_) => note(&mut self.moments, ("undo started", at)),
            Event::BudgetWarned(_) => note(&mut self.moments, ("budget nearly spent", at)),
            Event::BudgetSpent(_) => note(&mut self.moments, ("budget spent", at)),
            Event::BudgetRaised(_) => note(&mut self.moments, ("budget raised", at)),
            Event::WaitOverdue(_) => note(&mut self.moments, ("overdue", at)),
            Event::StepDecided(_) => note(&mut self.moments, ("decided", at)),
            Event::StepHeld(held) => {
                let failure = Outcome::Failed(held.error.clone());
                ended.extend(self.end_attempt(&held.step, failure, at, None));
            }
            Event::RunRewound(rewound) => {
                self.end(RunStatus::Cancelled, Outcome::Cancelled, at, &mut ended);
                self.reopen(rewound.generation, at);
            }
            Event::RunReopened(reopened) => self.reopen(reopened.generation, at),
            Event::RunCompleted(_) => self.end(RunStatus::Completed, Outcome::Completed, at, &mut ended),
            Event::RunFailed(failed) => {
                self.end(RunStatus::Failed, Outcome::Failed(failed.error.clone()), at, &mut ended);
            }
            Event::RunCancelled(_) => self.end(RunStatus::Cancelled, Outcome::Cancelled, at, &mut ended),
            Event::RunTerminated(_) => self.end(RunStatus::Terminated, Outcome::Cancelled, at, &mut ended),
            Event::RunCreated(_)
            | Event::RunForked(_)
            | Event::ResultDiscarded(_)
            | Event::StepRecovered(_)
            | Event::CheckpointCreated(_)
            | Event::ArtifactRecorded(_) => {}
        }
        ended
    }

    fn complete(&mut self, done: &StepCompleted, at: Timestamp, ended: &mut Vec<Span>) {
        let usage = done.report.as_ref().map(|report| &report.usage);
        ended.extend(self.end_attempt(&done.step, Outcome::Completed, at, usage));
        self.end_step(&done.step, &Outcome::Completed, at, ended);
    }

    /// The span of a commit of the run's events.
    pub fn committed(&self, commit: &Committed) -> Span {
        let id = span_id(&format!("{}/commit/{}", self.run(), commit.first_seq));
        let frame = Frame { id, parent: Some(self.run_span()), start: commit.start, end: commit.end };
        let mut span = self.span("commit".to_owned(), About::Commit, frame, Outcome::Completed);
        span.attributes.extend([
            (key::COMMIT_FIRST, commit.first_seq.into()),
            (key::COMMIT_EVENTS, commit.events.into()),
            (key::COMMIT_BYTES, commit.bytes.into()),
            (key::COMMIT_RUNS, commit.batch_runs.into()),
        ]);
        span
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.created.run
    }

    /// Number of the last event taken in.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// True if the run has ended and was not reopened.
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// How much is open.
    pub const fn open(&self) -> Open {
        self.open
    }

    fn start(&mut self, path: &StepPath, number: u32, agent: &AgentId, at: Timestamp) {
        let attempt = OpenAttempt {
            number,
            agent: agent.clone(),
            began_at: at,
            task: None,
            is_suspended: false,
            moments: Vec::new(),
        };
        self.worked_within.get_or_insert((at, at));
        let open = &mut self.open;
        let step = self.steps.entry(path.clone()).or_insert_with(|| {
            open.spans += 1;
            OpenStep { began_at: at, attempts: 0, attempt: None }
        });
        step.attempts += 1;
        if step.attempt.replace(attempt).is_none() {
            open.spans += 1;
            open.in_flight += 1;
        }
    }

    fn attempt(&mut self, path: &StepPath, number: u32) -> Option<&mut OpenAttempt> {
        self.steps.get_mut(path)?.attempt.as_mut().filter(|attempt| attempt.number == number)
    }

    fn suspend(&mut self, path: &StepPath, number: u32, suspended: bool, moment: (&'static str, Timestamp)) {
        let Some(attempt) = self.attempt(path, number) else { return };
        note(&mut attempt.moments, moment);
        if std::mem::replace(&mut attempt.is_suspended, suspended) != suspended {
            self.open.in_flight += if suspended { -1 } else { 1 };
        }
    }

    fn end_attempt(&mut self, path: &StepPath, outcome: Outcome, at: Timestamp, usage: Option<&Usage>) -> Option<Span> {
        let attempt = self.steps.get_mut(path)?.attempt.take()?;
        self.open.spans -= 1;
        self.open.in_flight -= i64::from(!attempt.is_suspended);
        let key = self.key(path, attempt.number);
        let parent = Some(span_id(&key.operation_id()));
        let frame = Frame { id: attempt_span(&key), parent, start: attempt.began_at, end: at };
        let spent = usage.filter(|usage| !usage.is_empty()).map(|usage| {
            let (workflow, capability) = (self.created.workflow.clone(), self.capability(path));
            Box::new(Spent { workflow, capability, usage: *usage })
        });
        let about = About::Attempt { agent: attempt.agent.clone(), spent: spent.clone() };
        let mut span = self.span(format!("attempt {}", attempt.agent), about, frame, outcome);
        span.attributes.extend([
            (key::STEP, path.as_str().into()),
            (key::ATTEMPT, attempt.number.into()),
            (key::AGENT, attempt.agent.as_str().into()),
        ]);
        span.attributes.extend(attempt.task.map(|task| (key::TASK, task.into())));
        if let Some(Usage { cost_micros, tokens_in, tokens_out }) = spent.map(|spent| spent.usage) {
            span.attributes.extend([
                (key::COST, Value::Share(cost_micros as f64 / 1e6)),
                (key::TOKENS_IN, tokens_in.into()),
                (key::TOKENS_OUT, tokens_out.into()),
            ]);
        }
        span.moments = attempt.moments;
        Some(span)
    }

    /// Ends a step and its attempt, if one is open. A step that failed before any attempt began has a span of no length.
    fn end_step(&mut self, path: &StepPath, outcome: &Outcome, at: Timestamp, ended: &mut Vec<Span>) {
        ended.extend(self.end_attempt(path, outcome.clone(), at, None));
        let step = self.steps.remove(path);
        self.open.spans -= i64::from(step.is_some());
        let (start, attempts) = step.map_or((at, 0), |step| (step.began_at, step.attempts));
        if *outcome == Outcome::Completed {
            self.worked += at.since(start);
        }
        if let Some((_, until)) = &mut self.worked_within {
            *until = at;
        }
        let id = span_id(&self.key(path, 0).operation_id());
        let frame = Frame { id, parent: Some(self.run_span()), start, end: at };
        let capability = self.capability(path);
        let about = About::Step { capability: capability.clone() };
        let mut span = self.span(format!("step {path}"), about, frame, outcome.clone());
        span.attributes.extend([(key::STEP, path.as_str().into()), (key::ATTEMPT, attempts.into())]);
        span.attributes.extend(capability.map(|capability| (key::CAPABILITY, capability.as_str().into())));
        ended.push(span);
    }

    /// Ends the run. What is open then ends with it.
    fn end(&mut self, state: RunStatus, outcome: Outcome, at: Timestamp, ended: &mut Vec<Span>) {
        let mut open: Vec<StepPath> = self.steps.keys().cloned().collect();
        open.sort();
        for path in open {
            self.end_step(&path, &Outcome::Cancelled, at, ended);
        }
        self.end_phases(ended);
        self.has_ended = true;
        self.open = Open::default();
        let is_whole = state == RunStatus::Completed && self.generation == 0 && !self.worked.is_zero();
        let took = self.worked_within.filter(|_| is_whole).map(|(from, until)| until.since(from));
        let efficiency = took.map(|took| 1.0 - took.as_secs_f64() / self.worked.as_secs_f64());
        let created = &self.created;
        let about = About::Run { workflow: created.workflow.clone(), state, efficiency };
        let (name, id) = (format!("run {}", created.workflow), self.run_span());
        let frame = Frame { id, parent: self.above(), start: self.began_at, end: at };
        let mut span = self.span(name, about, frame, outcome);
        span.is_remote = self.generation == 0;
        span.attributes.extend([
            (key::VERSION, Value::from(created.version.as_str())),
            (key::EXECUTOR, word(created.strategy.executor).into()),
            (key::STATE, state.as_str().into()),
            (key::GENERATION, self.generation.into()),
        ]);
        span.attributes.extend(created.origin.session.as_ref().map(|session| (key::SESSION, session.as_str().into())));
        span.attributes.extend(efficiency.map(|share| (key::EFFICIENCY, Value::Share(share))));
        span.moments = std::mem::take(&mut self.moments);
        ended.push(span);
    }

    /// A span per phase that was reached; of a run that goes on after its end, again with that.
    fn end_phases(&self, ended: &mut Vec<Span>) {
        let Some(log) = &self.phases else { return };
        for (phase, mark) in log.reached() {
            let id = span_id(&format!("{}/{}/phase/{phase}", self.run(), self.generation));
            let frame = Frame { id, parent: Some(self.run_span()), start: mark.from, end: mark.to };
            let mut span = self.span(format!("phase {phase}"), About::Phase, frame, Outcome::Completed);
            let preset = log.orchestration().preset;
            span.attributes.extend([(key::PHASE, phase.as_str().into()), (key::PRESET, preset.as_str().into())]);
            ended.push(span);
        }
    }

    fn reopen(&mut self, generation: u32, at: Timestamp) {
        self.generation = generation;
        self.began_at = at;
        self.worked = Duration::ZERO;
        self.worked_within = None;
        self.has_ended = false;
        self.open = Open { in_flight: 0, spans: 1 };
    }

    /// The choice of the executor. It was made before the run was recorded, so that its span has no length.
    fn planned(&self, at: Timestamp) -> Span {
        let id = span_id(&format!("{}/plan", self.run()));
        let frame = Frame { id, parent: Some(self.run_span()), start: at, end: at };
        let mut span = self.span("plan".to_owned(), About::Plan, frame, Outcome::Completed);
        let strategy = &self.created.strategy;
        span.attributes
            .extend([(key::EXECUTOR, word(strategy.executor).into()), (key::REASON, word(strategy.reason).into())]);
        span.attributes.extend(self.plan.as_ref().map(|plan| (key::STEPS, (plan.len() as u64).into())));
        span
    }

    fn span(&self, name: String, about: About, frame: Frame, outcome: Outcome) -> Span {
        let created = &self.created;
        let mut attributes: Vec<(&'static str, Value)> = vec![
            (key::RUN, created.run.to_string().into()),
            (key::NAMESPACE, created.namespace.as_str().into()),
            (key::WORKFLOW, created.workflow.as_str().into()),
            (key::RESULT, outcome.as_str().into()),
        ];
        if let Outcome::Failed(Failure { kind, .. }) = &outcome {
            attributes.push((key::ERROR, kind.to_string().into()));
        }
        Span {
            name,
            trace: self.trace.trace,
            id: frame.id,
            parent: frame.parent,
            is_remote: false,
            sampled: self.trace.sampled,
            start: frame.start,
            // The clock may have been set back.
            end: frame.end.max(frame.start),
            outcome,
            about,
            attributes,
            moments: Vec::new(),
        }
    }

    /// The span of this generation of the run: that of the run, or one below it once the run was reopened.
    fn run_span(&self) -> [u8; 8] {
        match self.generation {
            0 => span_id(&self.run().to_string()),
            generation => span_id(&format!("{}/{generation}", self.run())),
        }
    }

    /// What the span of this generation is part of.
    fn above(&self) -> Option<[u8; 8]> {
        if self.generation == 0 { self.trace.parent } else { Some(span_id(&self.run().to_string())) }
    }

    fn key(&self, path: &StepPath, attempt: u32) -> AttemptKey {
        AttemptKey { run: self.run(), generation: self.generation, path: path.clone(), attempt }
    }

    fn capability(&self, path: &StepPath) -> Option<Capability> {
        let plan = self.plan.as_ref()?;
        plan.step(plan.find(path)?).capability.clone()
    }
}

/// A commit of a run's events, as it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Number of the first event.
    pub first_seq: u64,
    /// How many.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Runs that the store was given together.
    pub batch_runs: u64,
    /// When the store was asked.
    pub start: Timestamp,
    /// When it answered.
    pub end: Timestamp,
}

/// Keeps a moment, if there are not too many.
fn note(moments: &mut Vec<(&'static str, Timestamp)>, moment: (&'static str, Timestamp)) {
    if moments.len() < MAX_MOMENTS {
        moments.push(moment);
    }
}

/// The word by which a choice is written.
pub fn word(choice: impl Serialize) -> String {
    serde_json::to_value(choice).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
