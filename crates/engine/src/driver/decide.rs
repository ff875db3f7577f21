//! What is queued is decided, and what is admitted is started in the same commit.

use tutti_core::ids::{RequestId, RunId};
use tutti_core::limits::DEFER;
use tutti_core::plan::StepIndex;
use tutti_core::ports::agent::{AgentError, AgentErrorKind};
use tutti_core::ports::inbox::{Consumed, Verdict};
use tutti_core::run::{Applied, Input, Rejection, apply};
use tutti_core::schedule::admit;
use tutti_core::time::Timestamp;

use super::intake::chance;
use super::live::{Live, LiveCall, Stage};
use super::{Asker, DriveError, Driver, Effect};

impl Driver {
    pub(super) fn pump_run(&mut self, run: RunId, now: Timestamp, random: &mut dyn FnMut() -> u128) {
        let Some(mut live) = self.runs.remove(&run) else { return };
        if !live.busy && self.decide(&mut live, now, random) {
            live.busy = true;
        }
        let rests = live.rests(now, self.options.rest);
        if rests && live.claimed && live.state.status().takes_results() {
            self.commit_nothing(&mut live, random);
        }
        let leaves = rests && !live.busy;
        self.runs.insert(run, live);
        if leaves {
            return self.drop_run(run, false);
        }
        self.set_timer(run, now);
    }

    /// Decides what is queued and starts what is admitted; true if a commit is under way.
    pub(super) fn decide(&mut self, live: &mut Live, now: Timestamp, random: &mut dyn FnMut() -> u128) -> bool {
        if live.state.status().is_open() && now >= live.state.deadline() {
            live.queue.push_back((Input::ExpireRun, Asker::Nobody));
        }
        let may_wait = live.queue.iter().all(|(input, _)| input.is_deferrable());
        if may_wait && !live.queue.is_empty() && admit(&live.state, now).is_empty() {
            let until = *live.defer_until.get_or_insert(now.plus(DEFER));
            if now < until && !self.is_draining {
                return false;
            }
        }
        live.defer_until = None;
        let before = (live.state.seq(), live.state.status());
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

    /// Starts the steps that the schedule admits, as far as places are free. Their starts ride in the same commit as what
    /// released them.
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
        for index in admit(&live.state, now) {
            if self.free == 0 {
                if !std::mem::replace(&mut live.starved, true) {
                    self.starved.push_back(live.state.run());
                }
                return;
            }
            if live.state.open_attempt(index).is_some() {
                self.resume_attempt(live, index, applied, now);
                continue;
            }
            let (step, tried) = (live.state.plan().step(index), &live.state.step(index).tried);
            let path = live.state.plan().path(index);
            let namespace = &live.state.created().namespace;
            let chosen = self.registry.choose(namespace, &step.capability, step.agent.as_ref(), tried, now);
            let input = match &chosen {
                Some(agent) => Input::StartAttempt { step: path, agent: agent.clone() },
                None => {
                    let error = AgentError::new(AgentErrorKind::NoAgent, nobody(step));
                    Input::RefuseAttempt { step: path, error, chance: chance(random) }
                }
            };
            if let Err(rejection) = apply(&mut live.state, &input, now, applied) {
                tracing::error!(run = %live.state.run(), step = index, %rejection, "an admitted step was refused");
                continue;
            }
            if let Some(agent) = chosen {
                self.registry.attempt_started(&agent);
                self.free -= 1;
                let attempt = live.state.step(index).attempts;
                live.calls.insert(index, LiveCall { attempt, agent, task: None, stage: Stage::Decided });
            }
        }
    }
}

impl Driver {
    /// An attempt whose question was answered has its turn again.
    fn resume_attempt(&mut self, live: &mut Live, index: StepIndex, applied: &mut Applied, now: Timestamp) {
        let input = Input::ContinueAttempt { step: live.state.plan().path(index) };
        if let Err(rejection) = apply(&mut live.state, &input, now, applied) {
            tracing::error!(run = %live.state.run(), step = index, %rejection, "an answered step was refused");
            return;
        }
        let Some(open) = live.state.open_attempt(index) else { return };
        let (attempt, agent, task) = (live.state.step(index).attempts, open.agent.clone(), open.task.clone());
        self.registry.attempt_started(&agent);
        self.free -= 1;
        live.calls.insert(index, LiveCall { attempt, agent, task, stage: Stage::Decided });
    }
}

/// What became of a request that was posted.
fn outcome(request: RequestId, answer: &Result<(), Rejection>, at: Timestamp) -> Consumed {
    let verdict = match answer {
        Ok(()) => Verdict::Applied,
        Err(rejection) => Verdict::Rejected(rejection.to_string()),
    };
    Consumed { request, at, outcome: verdict.encode() }
}

fn nobody(step: &tutti_core::workflow::Step) -> String {
    match &step.agent {
        Some(agent) => format!("agent \"{agent}\" is not registered"),
        None => format!("no registered agent has the capability \"{}\"", step.capability),
    }
}
