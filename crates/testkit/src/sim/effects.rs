//! What a driver asks for, carried out in the simulated world: this is where faults strike.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use tutti_core::ids::RunId;
use tutti_core::invariants::Violation;
use tutti_core::plan::input_of;
use tutti_core::ports::agent::{AgentError, AgentErrorKind, AgentReport, Need};
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::store::{Commit, CommitOutcome, RunStore};
use tutti_core::run::{ArtifactRecorded, Event, Input, Recorded, encode};
use tutti_core::value::{Json, Payload};
use tutti_core::workflow::StepKind;
use tutti_engine::CallMode;
use tutti_engine::driver::{Asker, AttemptEnd, AttemptSpec, Decided, DecidedRun, Effect, Message};

use super::agents::{Outcome, Task, passing_failure};
use super::faults::Fault;
use super::own::is_own;
use super::recovering::{soon, usage};
use super::workflow::Case;
use super::world::{Action, ServerId, World};

impl World {
    pub(super) fn carry_out(&mut self, id: ServerId, effect: Effect) -> Result<(), Violation> {
        match effect {
            Effect::Create(decided) => {
                let after = self.span(5);
                self.plan(after, Action::Create(id, decided));
            }
            Effect::Commit(decided) => {
                let after = self.span(5);
                self.plan(after, Action::Commit(id, decided));
            }
            Effect::Call(spec) => self.call(id, &spec)?,
            Effect::Abort { key, .. } => self.log(|| format!("abort {}", key.message_id())),
            Effect::Publish(run, event) => self.publish(id, run, &event)?,
            Effect::Quarantine(run, reason) => {
                return Err(Violation { invariant: "no_run_panics", detail: format!("{run}: {reason}") });
            }
            Effect::SaveSnapshot(run, snapshot) => {
                let _ = self.store.save_snapshot(run, snapshot).now_or_never();
            }
            Effect::Close { run, ended } => {
                self.log(|| format!("close {run} on {}", id.number));
                if !ended {
                    self.left(id.number, run);
                }
            }
            Effect::Reply(reply, answer) => reply(answer),
            Effect::ReplyCreated(reply, answer) => reply(answer),
            Effect::LetGo(done) => done(),
            Effect::Drained(done) => {
                done();
                self.drained(id.number);
            }
        }
        Ok(())
    }

    pub(super) fn create(&mut self, id: ServerId, decided: Box<DecidedRun>) -> Result<(), Violation> {
        // A request on its way arrives even if its sender has died.
        let run = decided.new.run;
        if self.rng.percent(5) {
            self.faults.strike(Fault::Unavailable);
            let after = self.span(200);
            self.plan(after, Action::Create(id, decided));
            return Ok(());
        }
        let created = self.store.create(decided.new.clone()).now_or_never().expect("a store in memory never waits");
        self.log(|| format!("create {run} {created:?}"));
        self.check(run)?;
        if self.rng.percent(10) {
            self.faults.strike(Fault::LostAnswer);
            let after = self.span(200);
            self.plan(after, Action::Create(id, decided));
            return Ok(());
        }
        let after = self.span(5);
        self.plan(after, Action::Deliver(id, Message::Created(decided, created)));
        Ok(())
    }

    pub(super) fn commit(&mut self, id: ServerId, decided: Box<Decided>) -> Result<(), Violation> {
        if self.is_alive(id) && self.trouble(4) {
            self.crash(id.number, Fault::CrashBeforeCommit);
            return Ok(());
        }
        if self.rng.percent(4) {
            self.faults.strike(Fault::Unavailable);
            let after = self.span(300);
            self.plan(after, Action::Commit(id, decided));
            return Ok(());
        }
        let outcome = self.write(&decided.commit)?;
        if outcome == CommitOutcome::Refused {
            self.faults.strike(Fault::Refused);
        }
        if self.rng.percent(4) {
            self.faults.strike(Fault::LateCopy);
            let after = Duration::from_millis(100) + self.span(5_000);
            self.plan(after, Action::LateCopy(decided.commit.clone()));
        }
        if self.is_alive(id) && self.trouble(4) {
            self.crash(id.number, Fault::CrashAfterCommit);
            return Ok(());
        }
        if self.rng.percent(4) {
            self.faults.strike(Fault::LostAnswer);
            let after = self.span(300);
            self.plan(after, Action::Commit(id, decided));
            return Ok(());
        }
        let after = self.span(5);
        self.plan(after, Action::Deliver(id, Message::Settled(vec![decided.settle(Ok(outcome))])));
        Ok(())
    }

    pub(super) fn late_copy(&mut self, commit: &Commit) {
        let before = self.stored(commit.run).len();
        let outcome = self.store.commit(vec![commit.clone()]).now_or_never();
        let after = self.stored(commit.run).len();
        // Its own id may still be the last one: then it is told that it was applied. Written it is never again.
        assert_eq!(before, after, "a late copy was written again: {outcome:?}");
    }

    fn write(&mut self, commit: &Commit) -> Result<CommitOutcome, Violation> {
        let outcomes = self.store.commit(vec![commit.clone()]).now_or_never();
        let outcome = outcomes.expect("a store in memory never waits").expect("a store in memory never fails")[0];
        self.log(|| format!("commit {} {}+{} {outcome:?}", commit.run, commit.expected, commit.events.len()));
        self.check(commit.run)?;
        Ok(outcome)
    }

    /// True if a crash may strike now, at a chance in percent.
    fn trouble(&mut self, chance: u64) -> bool {
        let strikes = self.troubles > 0 && self.rng.percent(chance);
        self.troubles -= u32::from(strikes);
        strikes
    }

    /// Watchers see each event once, in order, and only what is durable.
    fn publish(&mut self, id: ServerId, run: RunId, event: &Arc<Recorded>) -> Result<(), Violation> {
        self.log(|| format!("publish {run} {} {}", event.seq, event.event.name()));
        let durable = self.stored(run).get(event.seq as usize - 1).is_some_and(|stored| stored.event == encode(event));
        let last = self.runs.get_mut(&run).map(|run| run.published.insert(id, event.seq).unwrap_or(0));
        if durable && last.is_none_or(|last| last + 1 == event.seq) {
            return Ok(());
        }
        let detail = format!("run {run} event {} after {last:?}, durable: {durable}", event.seq);
        Err(Violation { invariant: "watchers_see_what_is_durable_in_order", detail })
    }

    fn call(&mut self, id: ServerId, spec: &AttemptSpec) -> Result<(), Violation> {
        let message = spec.key.message_id();
        self.log(|| format!("call {message} {:?}", spec.mode));
        let started = |event: &Recorded| matches!(&event.event, Event::AttemptStarted(s) if s.step == spec.key.path && s.attempt == spec.key.attempt);
        // One that was given up in an older generation has no number in this one.
        let is_of_before = spec.key.attempt == 0 && spec.mode == CallMode::Reattach;
        if !is_of_before && !self.history(spec.key.run).iter().any(started) {
            return Err(Violation { invariant: "nothing_is_acted_on_before_it_is_durable", detail: message });
        }
        if is_own(spec) {
            let end = self.own.carry_out(spec).now_or_never().expect("a store in memory never waits");
            let after = self.span(20);
            self.end(id, spec, after, end);
            return Ok(());
        }
        if spec.plan.step(spec.step).capability.is_none() {
            self.wait(id, spec);
            return Ok(());
        }
        if spec.mode == CallMode::Answer {
            // What was asked is known now.
            let outcome = self.done(spec);
            let task = Task { ends_at: self.now.plus(self.span(1_000)), outcome };
            self.agents.replace(message, task.clone());
            self.answer(id, spec, &task);
            return Ok(());
        }
        if let Some(task) = self.agents.find(&message).cloned() {
            // An owner that has lost the run and not heard of it may still act on its last commit: no store can stop that,
            // only a lease that it lets run out in time.
            let owners = self.servers.iter().filter(|server| server.driver.state(spec.key.run).is_some()).count();
            if spec.mode == CallMode::Fresh && owners == 1 {
                return Err(Violation { invariant: "a_message_is_sent_once", detail: message });
            }
            self.faults.strike(Fault::FoundAgain);
            self.answer(id, spec, &task);
            return Ok(());
        }
        if spec.mode == CallMode::Reattach {
            self.faults.strike(Fault::NotFound);
        }
        let is_unsafe = spec.plan.step(spec.step).retry.is_unsafe;
        if spec.mode == CallMode::Reattach && is_unsafe {
            let unknown = AgentError::new(AgentErrorKind::Unavailable, "the agent knows nothing of it");
            self.end(id, spec, Duration::from_millis(50), AttemptEnd::Failed(unknown));
            return Ok(());
        }
        if is_unsafe {
            self.may_send(&spec.key)?;
        }
        let recovers = self.runs.get(&spec.key.run).is_some_and(|run| run.case.recovers);
        let may_fail = recovers || spec.key.attempt < spec.plan.step(spec.step).retry.max_attempts;
        if may_fail && self.rng.percent(4) {
            self.faults.strike(Fault::MessageLost);
            let lost = AgentError::new(AgentErrorKind::Unavailable, "the message was lost");
            self.end(id, spec, Duration::from_millis(50), AttemptEnd::Failed(lost));
            return Ok(());
        }
        let outcome = self.outcome(spec, may_fail);
        let ends_at = self.now.plus(self.span(4_000));
        let task = Task { ends_at, outcome };
        self.agents.take(message, task.clone());
        self.answer(id, spec, &task);
        Ok(())
    }

    fn outcome(&mut self, spec: &AttemptSpec, may_fail: bool) -> Outcome {
        let Some(run) = self.runs.get(&spec.key.run) else { return Outcome::Asks };
        let (recovers, step) = (run.case.recovers, spec.step as usize);
        if run.case.impossible.get(step).is_some_and(|is| *is) {
            return Outcome::Failed(AgentError::new(Case::impossible_kind(), "nobody can"));
        }
        if run.case.asks.get(step).is_some_and(|asks| *asks) {
            return Outcome::Asks;
        }
        if recovers && self.rng.percent(8) {
            self.faults.strike(Fault::FailedForGood);
            return Outcome::Failed(AgentError::new(Case::impossible_kind(), "not this time"));
        }
        if may_fail && self.rng.percent(15) {
            self.faults.strike(Fault::AgentFailed);
            return Outcome::Failed(passing_failure(self.rng.next()));
        }
        self.done(spec)
    }

    /// The outcome of an attempt that goes well.
    fn done(&self, spec: &AttemptSpec) -> Outcome {
        let load = |payload: &Payload| self.value(spec.key.run, payload);
        let outputs: Vec<_> = spec.outputs.iter().map(|(step, payload)| (*step, load(payload))).collect();
        let output_of = |step| outputs.iter().find(|(s, _)| *s == step).map(|(_, value)| value.clone());
        let input = input_of(&spec.plan, spec.step, &load(&spec.data), output_of).expect("no field is required");
        Outcome::Completed(match self.runs.get(&spec.key.run).is_some_and(|run| run.case.recovers) {
            true => Case::signed_output(&spec.key.path, &input.value, &spec.key.message_id()),
            false => Case::output(&spec.key.path, &input.value),
        })
    }

    /// A step that asks no agent: the run's state knows for how long it waits.
    fn wait(&mut self, id: ServerId, spec: &AttemptSpec) {
        let until = self.now.plus(soon(&mut self.rng));
        let (need, until) = match spec.plan.step(spec.step).kind() {
            StepKind::Approval(_) => (Need::Approval, None),
            StepKind::Signal(_) => (Need::Signal, None),
            StepKind::WaitUntil(_) => (Need::Time, Some(until)),
            StepKind::Sleep(_) | StepKind::Call(_) | StepKind::Holds => (Need::Time, None),
        };
        let after = self.span(20);
        self.end(id, spec, after, AttemptEnd::Suspended { need, message: String::new(), until, shown: None });
    }

    /// The news of a task on their way to the server that asked.
    fn answer(&mut self, id: ServerId, spec: &AttemptSpec, task: &Task) {
        let end = match &task.outcome {
            Outcome::Completed(output) => {
                let payload = Payload::of(output);
                if let Payload::Stored(_) = payload {
                    let _ = self.store.put(spec.key.run, output.bytes().clone()).now_or_never();
                }
                let artifacts = self.keep_artifacts(spec, output);
                let report = usage(&spec.key.message_id());
                let report = report.map(|usage| Box::new(AgentReport { usage, ..AgentReport::default() }));
                AttemptEnd::Completed {
                    output: payload,
                    artifacts,
                    missing_inputs: vec![],
                    report,
                    grows: None,
                    findings: None,
                }
            }
            Outcome::Failed(error) => {
                let usage = usage(&spec.key.message_id()).map(Box::new);
                AttemptEnd::Failed(AgentError { usage, ..error.clone() })
            }
            Outcome::Asks => AttemptEnd::Suspended { need: Need::Input, message: "?".into(), until: None, shown: None },
        };
        let note = Input::NoteTask { key: spec.key.clone(), task: format!("task of {}", spec.key.message_id()) };
        // News of a task may come late, even after its end.
        let after = self.span(4_500);
        self.plan(after, Action::Deliver(id, Message::Input(spec.key.run, note, Asker::Nobody)));
        let after = task.ends_at.since(self.now) + self.span(20);
        self.end(id, spec, after, end);
    }

    fn keep_artifacts(&mut self, spec: &AttemptSpec, output: &Json) -> Vec<ArtifactRecorded> {
        let (run, key) = (spec.key.run, &spec.key);
        let keep = |(content, number): (Bytes, u32)| {
            let kept = self.store.put(run, content).now_or_never();
            let content = kept.expect("a store in memory never waits").expect("a store in memory never fails");
            let (step, artifact) = (key.path.clone(), number.to_string());
            ArtifactRecorded { step, attempt: key.attempt, name: artifact.clone(), artifact, media_type: None, content }
        };
        Case::artifacts(spec.step, output).into_iter().zip(1..).map(keep).collect()
    }

    fn end(&mut self, id: ServerId, spec: &AttemptSpec, after: Duration, end: AttemptEnd) {
        let message = |end| Message::AttemptEnded { key: spec.key.clone(), step: spec.step, end };
        if self.rng.percent(5) {
            self.faults.strike(Fault::DuplicateEnd);
            let again = after + self.span(500);
            self.plan(again, Action::Deliver(id, message(end.clone())));
        }
        self.plan(after, Action::Deliver(id, message(end)));
    }
}
