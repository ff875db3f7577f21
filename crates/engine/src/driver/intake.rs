//! Messages from callers and from attempts: they are queued for the run they are meant for.

use bytes::Bytes;
use tutti_core::ids::{AttemptKey, RunId};
use tutti_core::plan::StepIndex;
use tutti_core::ports::agent::Retry;
use tutti_core::ports::store::{Creation, KeyClaim, NewRun, StoreError};
use tutti_core::run::{Applied, Input, RunCreated, RunStatus, apply, create, format_of_run, min_reader};
use tutti_core::time::Timestamp;

use super::live::{self, Live, Stage};
use super::message::Release;
use super::places::has_another;
use super::{AdoptRun, Asker, AttemptEnd, CreateReply, CreateRun, DecidedRun, DriveError, Driver, Effect};
use crate::dispatcher::Ending;

impl Driver {
    pub(super) fn create(
        &mut self,
        new: CreateRun,
        reply: CreateReply,
        now: Timestamp,
        random: &mut dyn FnMut() -> u128,
    ) {
        if self.is_draining {
            self.effects.push(Effect::ReplyCreated(reply, Err(DriveError::ShuttingDown)));
            return;
        }
        let workflow = new.plan.workflow();
        let key = new.origin.key.clone().map(|key| KeyClaim { key, from: new.key_from });
        let created = RunCreated {
            run: new.run,
            namespace: new.namespace.clone(),
            request: new.request,
            workflow: workflow.id.clone(),
            version: workflow.version.clone(),
            definition: new.plan.definition(),
            data: new.data,
            policy: new.policy,
            strategy: new.strategy,
            origin: new.origin,
            turn: new.turn,
        };
        let (state, first) = create(new.plan.clone(), created, now);
        let mut live = Box::new(Live::new(state, 1));
        let mut applied = Applied { events: vec![first], touched: vec![] };
        if let Some(forked) = new.forked
            && let Err(rejection) = apply(&mut live.state, &Input::ForkRun(forked), now, &mut applied)
        {
            self.effects.push(Effect::ReplyCreated(reply, Err(DriveError::Rejected(rejection))));
            return;
        }
        self.admit(&mut live, &mut applied, now, random);
        let needed = format_of_run(new.plan.workflow(), &live.state.created().origin);
        let min_reader = min_reader(&applied.events).max(needed);
        let (events, encoded, bytes) = live::encoded(applied.events);
        let progress = live::progress(&live.state);
        let release = Release { run: new.run, events, touched: applied.touched, replies: vec![], bytes, progress };
        let stored = NewRun {
            namespace: new.namespace,
            run: new.run,
            request: new.request,
            key,
            definition: (new.plan.definition(), Bytes::copy_from_slice(new.plan.canonical())),
            events: encoded,
            summary: live.state.summary(),
            wake: live.state.wake(),
            min_reader,
            commit_id: random(),
        };
        live.busy = Some(now);
        self.runs.insert(new.run, live);
        self.effects.push(Effect::Create(Box::new(DecidedRun { new: stored, release, reply })));
    }

    pub(super) fn created(&mut self, decided: DecidedRun, outcome: Result<Creation, StoreError>, now: Timestamp) {
        let (reply, outcome, created) = decided.settle(outcome);
        self.effects.push(Effect::ReplyCreated(reply, outcome.map_err(DriveError::Store)));
        match created {
            Ok(committed) => self.release(committed, now),
            Err(run) => self.drop_run(run, false, now),
        }
    }

    pub(super) fn adopt(&mut self, adopted: AdoptRun, asker: Asker, now: Timestamp) {
        let run = adopted.state.run();
        if self.is_draining {
            if let Asker::Caller(reply) = asker {
                self.effects.push(Effect::Reply(reply, Err(DriveError::ShuttingDown)));
            }
            return;
        }
        let mut live = Box::new(Live::new(adopted.state, adopted.epoch));
        if adopted.command.is_none() && live.state.status() == RunStatus::Pending {
            live.queue.push_back((Input::AdmitRun, Asker::Nobody));
        }
        match (adopted.command, asker) {
            (Some((command, order)), asker) => live.queue.push_back((Input::Command { command, order }, asker)),
            (None, Asker::Caller(reply)) => self.effects.push(Effect::Reply(reply, Ok(()))),
            (None, Asker::Inbox(_) | Asker::Nobody) => {}
        }
        // One that was set aside or has ended starts nothing before the command is durable.
        let goes_on = live.state.follows_work();
        let open = live.state.open_attempts().filter(|_| goes_on).map(|(step, _)| step);
        let open: Vec<StepIndex> = open.collect();
        self.runs.insert(run, live);
        // Its whole open work is durable: recovering a run is reconciling everything once.
        self.reconcile(run, &open, now);
        self.set_timer(run, now);
        self.dirty.push(run);
    }

    pub(super) fn input(&mut self, run: RunId, input: Input, asker: Asker) {
        match self.runs.get_mut(&run) {
            Some(live) => {
                if let Input::NoteTask { key, task } = &input
                    && let Some(call) = live.state.plan().find(&key.path).and_then(|step| live.calls.get_mut(&step))
                    && call.is(key)
                {
                    call.task = Some(task.clone());
                }
                live.queue.push_back((input, asker));
                self.dirty.push(run);
            }
            None => {
                if let Asker::Caller(reply) = asker {
                    self.effects.push(Effect::Reply(reply, Err(DriveError::NotLive(run))));
                }
            }
        }
    }

    pub(super) fn attempt_ended(
        &mut self,
        key: &AttemptKey,
        step: StepIndex,
        end: AttemptEnd,
        now: Timestamp,
        random: &mut dyn FnMut() -> u128,
    ) {
        // An attempt that was stopped meanwhile has given its place back already.
        let Some(live) = self.runs.get_mut(&key.run) else { return };
        let Some(call) = live.calls.get_mut(&step).filter(|call| call.is(key)) else {
            // A result of an attempt that was stopped: it is recorded as discarded, if the run was rolled back.
            if let AttemptEnd::Completed { .. } = &end {
                let late = input_of(key, end, |_| false, random);
                live.queue.push_back((late, Asker::Nobody));
                self.dirty.push(key.run);
            }
            return;
        };
        if call.stage != Stage::Running {
            return;
        }
        let place = call.place.take();
        let ending = match &end {
            AttemptEnd::Completed { .. } | AttemptEnd::Suspended { .. } => {
                Ending::Well(place.as_ref().and_then(|place| place.took(now)))
            }
            AttemptEnd::Failed(error) => Ending::Badly(error),
            AttemptEnd::Damaged(_) | AttemptEnd::Expanded { .. } | AttemptEnd::Checked { .. } => Ending::Abandoned,
        };
        if let Some(place) = place {
            self.registry.end(place, ending, now);
            self.free += 1;
            self.gave_back = true;
        }
        let other = |retry| has_another(&self.registry, &live.state, step, retry, now);
        let input = input_of(key, end, other, random);
        if matches!(input, Input::SuspendAttempt { .. } | Input::ExpandStep { .. }) {
            call.stage = Stage::Resting;
        } else {
            live.calls.remove(&step);
        }
        live.queue.push_back((input, Asker::Nobody));
        self.dirty.push(key.run);
    }
}

/// What the end of an attempt means for its run. `other` says whether another agent could be asked, after what is worth trying.
fn input_of(
    key: &AttemptKey,
    end: AttemptEnd,
    other: impl Fn(Retry) -> bool,
    random: &mut dyn FnMut() -> u128,
) -> Input {
    let key = key.clone();
    match end {
        AttemptEnd::Expanded { first, count } => Input::ExpandStep { key, first, count },
        AttemptEnd::Checked { omitted } => Input::CheckStep { key, omitted },
        AttemptEnd::Completed { output, artifacts, missing_inputs, report, grows, mut findings } => {
            // What follows an answer that is not good enough may depend on who else can be asked.
            if findings.is_some() || report.as_ref().is_some_and(|report| !report.quality.is_empty()) {
                findings.get_or_insert_default().other_agent = other(Retry::Elsewhere);
            }
            Input::CompleteAttempt { key, output, artifacts, missing_inputs, report, grows, findings }
        }
        AttemptEnd::Damaged(reason) => Input::QuarantineRun { reason },
        AttemptEnd::Suspended { need, message, until, shown } => {
            Input::SuspendAttempt { key, need, message, until, shown }
        }
        AttemptEnd::Failed(error) => {
            let other_agent = other(error.kind.retry());
            Input::FailAttempt { key, error, other_agent, chance: chance(random) }
        }
    }
}

/// A chance from 0 to 1.
pub(super) fn chance(random: &mut dyn FnMut() -> u128) -> f64 {
    (random() >> 75) as f64 / (1_u64 << 53) as f64
}
