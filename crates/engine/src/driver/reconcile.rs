//! What is durable is acted on: callers and watchers are told, and open work is brought about.

use tutti_core::ids::{AttemptKey, RunId};
use tutti_core::plan::StepIndex;
use tutti_core::run::{RunState, RunStatus, encode_state};
use tutti_core::time::Timestamp;
use tutti_core::value::Payload;

use super::live::{LiveCall, Stage};
use super::{AttemptSpec, Committed, DriveError, Driver, Effect, Settled};
use crate::dispatcher::{CallMode, Ending, members};

impl Driver {
    pub(super) fn settled(&mut self, settled: Settled, now: Timestamp) {
        let (not_committed, error) = match settled {
            Settled::Committed(committed) => return self.release(committed, now),
            Settled::Refused(not) => {
                let run = not.0.run;
                tracing::warn!(%run, "another owner has the run; it is left to it");
                (not, DriveError::NotLive(run))
            }
            Settled::Failed(not, error) => {
                tracing::error!(run = %not.0.run, %error, "the store refuses what the run decided; it is left alone");
                (not, DriveError::Store(error))
            }
        };
        let run = not_committed.0.run;
        let replies = not_committed.0.replies.into_iter();
        self.effects.extend(replies.map(|(reply, _)| Effect::Reply(reply, Err(error.clone()))));
        self.drop_run(run, false, now);
    }

    /// Acts on what is durable.
    pub(super) fn release(&mut self, committed: Committed, now: Timestamp) {
        let Committed(release) = committed;
        let run = release.run;
        self.effects.extend(release.replies.into_iter().map(|(reply, answer)| Effect::Reply(reply, answer)));
        let count = release.events.len();
        self.effects.extend(release.events.into_iter().map(|event| Effect::Publish(run, event)));
        let Some(live) = self.runs.get_mut(&run) else { return };
        live.busy = None;
        live.claimed = false;
        live.durable = release.progress;
        if live.tail.grow(count, release.bytes) {
            let snapshot = encode_state(&live.state);
            live.tail.cut(snapshot.blob.len());
            self.effects.push(Effect::SaveSnapshot(run, snapshot));
        }
        for call in std::mem::take(&mut live.replaced) {
            self.stop(run, call, true, now);
        }
        self.reconcile(run, &release.touched, now);
        match self.runs.get(&run) {
            Some(live) if live.state.status().takes_results() => {
                self.set_timer(run, now);
                self.dirty.push(run);
            }
            Some(live) => {
                let ended = live.state.status().is_ended();
                self.drop_run(run, ended, now);
            }
            None => {}
        }
    }

    /// Starts the attempts of these steps that should be under way and are not; stops those that should not be and are.
    pub(super) fn reconcile(&mut self, run: RunId, steps: &[StepIndex], now: Timestamp) {
        for &step in steps {
            let Some(live) = self.runs.get_mut(&run) else { return };
            if !live.state.plan().has(step) {
                // It came into being after the point to which the run was rolled back.
                self.abort(run, step, true, now);
                continue;
            }
            let key = live.state.attempt_key(step);
            let follows = live.state.follows_work();
            match (live.state.open_attempt(step), live.calls.get_mut(&step)) {
                // The run is held, and its work is left to the agents.
                (Some(open), Some(_)) if !follows && open.suspended.is_none() => self.abort(run, step, false, now),
                (Some(open), Some(call)) if call.is(&key) => {
                    if call.stage == Stage::Decided && open.suspended.is_none() {
                        call.stage = Stage::Running;
                        call.place.iter_mut().for_each(|place| place.asked(now));
                        let mode = if open.answer.is_some() { CallMode::Answer } else { CallMode::Fresh };
                        self.call(run, step, mode);
                    }
                }
                (Some(open), None) if follows && open.suspended.is_none() => {
                    let (agent, task) = (open.agent.clone(), open.task.clone());
                    let capability = live.state.asks_for(step).cloned();
                    let place = capability.map(|capability| self.registry.go_on(agent.clone(), capability));
                    self.free = self.free.saturating_sub(usize::from(place.is_some()));
                    let (generation, attempt) = (key.generation, key.attempt);
                    let (path, stage) = (key.path.clone(), Stage::Running);
                    let call = LiveCall { path, generation, attempt, agent, task, stage, since: now, place };
                    let mode = if open.answer.is_some() { CallMode::Answer } else { CallMode::Reattach };
                    live.calls.insert(step, Box::new(call));
                    self.call(run, step, mode);
                }
                (Some(_), _) | (None, None) => {}
                // A terminated run leaves its tasks to their agents.
                (None, Some(_)) => {
                    let for_good = live.state.status() != RunStatus::Terminated;
                    self.abort(run, step, for_good, now);
                }
            }
        }
    }

    pub(super) fn call(&mut self, run: RunId, step: StepIndex, mode: CallMode) {
        let Some(live) = self.runs.get(&run) else { return };
        let Some(call) = live.calls.get(&step) else { return };
        let (state, plan) = (&live.state, live.state.plan());
        let outputs = read(state, step);
        self.effects.push(Effect::Call(Box::new(AttemptSpec {
            key: state.attempt_key(step),
            namespace: state.created().namespace.clone(),
            plan: plan.clone(),
            step,
            endpoint: self.registry.endpoint(&call.agent),
            task: call.task.clone(),
            timeout: state.attempt_timeout(step),
            answer: state.open_attempt(step).and_then(|open| Some((open.answers, open.answer.clone()?))),
            mode,
            trace: state.trace(),
            data: state.created().data.clone(),
            outputs,
            checks: state.is_unchecked(step),
            members: if mode == CallMode::Answer { members(state, step) } else { Vec::new() },
            quality: state.says_quality(step).then(|| state.quality_rule(step).map(Box::new)).flatten(),
            feedback: state.feedback(step).map(Box::new),
        })));
    }

    /// Forgets a call, and stops it if it runs; `for_good` asks the agent to stop too.
    pub(super) fn abort(&mut self, run: RunId, step: StepIndex, for_good: bool, now: Timestamp) {
        let call = self.runs.get_mut(&run).and_then(|live| live.calls.remove(&step));
        if let Some(call) = call {
            self.stop(run, *call, for_good, now);
        }
    }

    pub(super) fn stop(&mut self, run: RunId, call: LiveCall, for_good: bool, now: Timestamp) {
        let Some(live) = self.runs.get(&run) else { return };
        let (generation, attempt) = (call.generation, call.attempt);
        let key = AttemptKey { run: live.state.run(), generation, path: call.path.clone(), attempt };
        if call.stage != Stage::Decided {
            let agent = self.registry.endpoint(&call.agent).filter(|_| for_good);
            self.effects.push(Effect::Abort { key, agent, task: call.task });
        }
        if let Some(place) = call.place {
            self.free_place(place, Ending::Abandoned, now);
        }
    }
}

/// The outputs that a step reads, and those that the steps around it do.
fn read(state: &RunState, step: StepIndex) -> Vec<(StepIndex, Payload)> {
    let plan = state.plan();
    let mut reads = plan.reads(step);
    for (holder, number) in plan.holders(step) {
        reads.extend(plan.reads(holder));
        reads.extend(plan.previous(holder, number));
    }
    reads.into_iter().filter_map(|step| Some((step, state.output(step)?.clone()))).collect()
}
