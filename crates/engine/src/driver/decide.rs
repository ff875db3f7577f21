//! What is queued is decided, and what is admitted is started in the same commit.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tutti_core::ids::{AgentId, RequestId, RunId};
use tutti_core::limits::DEFER;
use tutti_core::plan::StepIndex;
use tutti_core::ports::agent::{AgentError, AgentErrorKind};
use tutti_core::ports::inbox::{Consumed, Verdict};
use tutti_core::run::{Applied, Input, Refusal, Rejection, apply};
use tutti_core::schedule::admit_past;
use tutti_core::time::Timestamp;

use super::intake::chance;
use super::live::{Live, line};
use super::{Asker, DriveError, Driver, Effect};
use crate::dispatcher::{Choice, Grant};

impl Driver {
    pub(super) fn pump_run(&mut self, run: RunId, now: Timestamp, random: &mut dyn FnMut() -> u128) {
        let Some(mut live) = self.runs.remove(&run) else { return };
        if live.busy.is_none() {
            match catch_unwind(AssertUnwindSafe(|| self.decide(&mut live, now, random))) {
                Ok(is_busy) => live.busy = is_busy.then_some(now),
                Err(panic) => {
                    self.runs.insert(run, live);
                    return self.set_aside(run, &*panic, now);
                }
            }
            self.return_held(&mut live, now);
        }
        let rests = live.rests(now, self.options.rest);
        if rests && live.claimed && live.state.status().takes_results() {
            self.commit_nothing(&mut live, now, random);
        }
        let leaves = rests && live.busy.is_none();
        self.runs.insert(run, live);
        if leaves {
            return self.drop_run(run, false, now);
        }
        self.set_timer(run, now);
    }

    /// Decides what is queued and starts what is admitted; true if a commit is under way.
    pub(super) fn decide(&mut self, live: &mut Live, now: Timestamp, random: &mut dyn FnMut() -> u128) -> bool {
        if live.state.status().is_open() && now >= live.state.deadline() {
            live.queue.push_back((Input::ExpireRun, Asker::Nobody));
        }
        if live.state.status().is_open() {
            let due = live.state.waits_due(now).map(|step| live.state.plan().path(step));
            live.queue.extend(due.map(|step| (Input::ExpireWait { step }, Asker::Nobody)));
        }
        let may_wait = live.queue.iter().all(|(input, _)| input.is_deferrable());
        if may_wait && !live.queue.is_empty() && Self::is_idle(live, now) {
            let until = *live.defer_until.get_or_insert(now.plus(DEFER));
            if now < until && !self.is_draining {
                return false;
            }
        }
        live.defer_until = None;
        let before = (live.state.seq(), line(&live.state));
        let mut applied = Applied::default();
        let (mut replies, mut consumed) = (Vec::new(), Vec::new());
        for (input, asker) in std::mem::take(&mut live.queue) {
            let answer = apply(&mut live.state, &input, now, &mut applied);
            match (asker, answer) {
                (Asker::Caller(reply), answer) => replies.push((reply, answer.map_err(DriveError::Rejected))),
                (Asker::Inbox(request), answer) => consumed.push(outcome(request, &answer, now)),
                (Asker::Nobody, Err(rejection)) => {
                    tracing::debug!(run = %live.state.run(), %rejection, "an input came too late");
                }
                (Asker::Nobody, Ok(())) => {}
            }
        }
        self.admit(live, &mut applied, now, random);
        if applied.events.is_empty() && consumed.is_empty() {
            self.effects.extend(replies.into_iter().map(|(reply, answer)| Effect::Reply(reply, answer)));
            return false;
        }
        let decided = live.decided(applied, before, replies, consumed, random());
        self.effects.push(Effect::Commit(Box::new(decided)));
        true
    }

    /// Starts the steps that the schedule admits, as far as places are free; those that find nobody to ask wait, and others
    /// have their turn. Starts ride in the same commit as what released them.
    pub(super) fn admit(
        &mut self,
        live: &mut Live,
        applied: &mut Applied,
        now: Timestamp,
        random: &mut dyn FnMut() -> u128,
    ) {
        if self.is_draining || self.is_held || live.let_go {
            return;
        }
        loop {
            let waits = live.waits.len();
            for step in admit_past(&live.state, now, |step| live.waits_for(step)) {
                if self.free == 0 {
                    if !std::mem::replace(&mut live.starved, true) {
                        self.starved.push_back(live.state.run());
                    }
                    return;
                }
                if live.state.asks_for(step).is_none() {
                    self.start(live, step, None, applied, now);
                    continue;
                }
                match self.choose(live, step, now) {
                    Choice::Agent(place) => self.start(live, step, Some(place), applied, now),
                    Choice::Later(_) => {}
                    Choice::Nobody => refuse(live, step, applied, now, chance(random)),
                }
            }
            if live.waits.len() == waits {
                return;
            }
        }
    }

    /// Begins an attempt of a step, or goes on with the one whose question was answered. A step that asks no agent holds no
    /// place.
    fn start(&mut self, live: &mut Live, step: StepIndex, place: Option<Grant>, applied: &mut Applied, now: Timestamp) {
        let path = live.state.plan().path(step);
        let mut place = place;
        let (agent, choice) = match &mut place {
            Some(place) => (place.agent.clone(), place.choice.take()),
            None => (AgentId::engine(), None),
        };
        let input = match live.state.open_attempt(step) {
            Some(_) => Input::ContinueAttempt { step: path },
            None => Input::StartAttempt { step: path, agent, choice },
        };
        if let Err(rejection) = apply(&mut live.state, &input, now, applied) {
            tracing::error!(run = %live.state.run(), step, %rejection, "an admitted step was refused");
            if let Some(place) = place {
                self.registry.give_back(place, now);
                self.gave_back = true;
            }
            return;
        }
        let Some(open) = live.state.open_attempt(step) else { return };
        let (agent, task) = (open.agent.clone(), open.task.clone());
        self.free -= usize::from(place.is_some());
        live.decide_call(step, agent, task, place, now);
    }

    /// A panic in the handling of one run harms no other: the run is let go of and set aside. What was decided of it last is not
    /// written.
    pub(super) fn set_aside(&mut self, run: RunId, panic: &(dyn Any + Send), now: Timestamp) {
        let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        let reason = format!("its handling panicked: {}", text.unwrap_or("without a word"));
        tracing::error!(%run, reason, "the run is set aside");
        self.drop_run(run, false, now);
        self.effects.push(Effect::Quarantine(run, reason));
    }
}

/// Nobody can do a step.
fn refuse(live: &mut Live, step: StepIndex, applied: &mut Applied, now: Timestamp, chance: f64) {
    let error = AgentError::new(AgentErrorKind::NoAgent, nobody(live.state.plan().step(step)));
    let input = Input::RefuseAttempt { step: live.state.plan().path(step), error, chance };
    if let Err(rejection) = apply(&mut live.state, &input, now, applied) {
        tracing::error!(run = %live.state.run(), step, %rejection, "an admitted step was refused");
    }
}

/// What became of a request that was posted.
fn outcome(request: RequestId, answer: &Result<(), Rejection>, at: Timestamp) -> Consumed {
    let verdict = match answer {
        Ok(()) => Verdict::Applied,
        Err(rejection) => Refusal::from(rejection).into(),
    };
    Consumed { request, at, outcome: verdict.encode() }
}

fn nobody(step: &tutti_core::workflow::Step) -> String {
    match &step.agent {
        Some(agent) => format!("agent \"{agent}\" is not registered"),
        None => format!("no registered agent has the capability \"{}\"", step.does()),
    }
}
