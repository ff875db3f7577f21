//! What people do to runs in the simulated world, what becomes of them, and what must hold of them at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;
use tutti_core::ids::{AttemptKey, RequestId, RunId, StepPath};
use tutti_core::invariants::Violation;
use tutti_core::plan::{StepIndex, input_of};
use tutti_core::ports::agent::AgentErrorKind;
use tutti_core::ports::payload::PayloadStore;
use tutti_core::run::{
    Afterwards, Command, Event, ForkedStep, Input, Order, Recorded, RunForked, RunPaused, RunState, RunStatus, Undone,
    Verdict, Work, evolve, fold,
};
use tutti_core::value::Payload;
use tutti_engine::driver::{Asker, CreateRun, Message};

use super::faults::Fault;
use super::recovering::{answer, whim};
use super::workflow::Case;
use super::world::{Action, SERVERS, World};

/// How long a person takes to look at a run again.
const LOOK: Duration = Duration::from_secs(9);

/// How often a person looks.
const LOOKS: u32 = 150;

impl World {
    /// Plans what people do to a run that can recover.
    pub(super) fn people(&mut self, run: RunId) {
        for _ in 0..self.rng.below(7) {
            let after = self.span(25_000);
            self.plan(after, Action::Whim(run));
        }
        if self.rng.percent(25) {
            let after = self.span(40_000);
            self.plan(after, Action::Fork(run));
        }
        let first = self.span(20_000);
        self.plan(first, Action::Look(run, LOOKS));
    }

    /// What is known of a run: by the server that drives it, or else by the store.
    fn known(&self, run: RunId) -> Option<RunState> {
        match self.driver_of(run) {
            Some(id) => self.servers[id.number].driver.state(run).cloned(),
            None => fold(&self.runs[&run].case.plan, &self.history(run)),
        }
    }

    /// Somebody wants something, and perhaps says so twice.
    pub(super) fn whim(&mut self, run: RunId) -> Result<(), Violation> {
        let Some(state) = self.known(run) else { return Ok(()) };
        let order = Order { request: Some(RequestId::from_u128(self.rng.bits())), ..Order::new("ana", "a whim") };
        let command = whim(&mut self.rng, &state);
        if self.rng.percent(25) {
            self.faults.strike(Fault::AskedTwice);
            let after = self.span(10_000);
            self.plan(after, Action::Order(run, command.clone(), order.clone()));
        }
        self.order(run, command, order)
    }

    pub(super) fn order(&mut self, run: RunId, command: Command, order: Order) -> Result<(), Violation> {
        self.log(|| format!("order {run} {command:?}"));
        match self.driver_of(run) {
            Some(id) => self.deliver(id, Message::Input(run, Input::Command { command, order }, Asker::Nobody)),
            None => {
                let number = self.rng.below(SERVERS as u64) as usize;
                self.take_over(number, run, Some((command, order)))
            }
        }
    }

    /// A person looks whether a run needs somebody, until it has ended.
    pub(super) fn look(&mut self, run: RunId, again: u32) -> Result<(), Violation> {
        let stored = fold(&self.runs[&run].case.plan, &self.history(run));
        // A failed one may be revived.
        let is_over = stored.is_some_and(|state| state.status().is_ended() && state.status() != RunStatus::Failed);
        if again > 0 && !is_over {
            self.plan(LOOK, Action::Look(run, again - 1));
        }
        let wanted = self.known(run).and_then(|state| answer(&mut self.rng, &state));
        wanted.map_or(Ok(()), |command| self.order(run, command, Order::new("operator", "asked")))
    }

    /// A run begins where another one stood.
    pub(super) fn fork(&mut self, from: RunId) -> Result<(), Violation> {
        let history = self.history(from);
        if history.is_empty() {
            return Ok(());
        }
        let seq = 1 + self.rng.below(history.len() as u64);
        let case = self.runs[&from].case.clone();
        let Some(state) = fold(&case.plan, &history[..seq as usize]) else { return Ok(()) };
        let Ok(plan) = state.plan().anew() else { return Ok(()) };
        let case = Case { plan, ..case };
        let create = super::new_run(self, &case);
        let mut steps: Vec<(u64, StepIndex)> = (0..).zip(state.steps()).map(|(i, s)| (s.completed_seq, i)).collect();
        steps.sort_unstable();
        let done = steps.into_iter().filter_map(|(_, index)| Some((index, state.output(index)?.clone())));
        let mut completed = Vec::new();
        for (index, output) in done.collect::<Vec<_>>() {
            let value = self.value(from, &output);
            if let Payload::Stored(_) = output {
                let _ = self.store.put(create.run, value.bytes().clone()).now_or_never();
            }
            completed.push(ForkedStep { step: state.plan().path(index), output });
        }
        let forked = Some(Box::new(RunForked { from, seq, completed, changed: vec![] }));
        let (run, number) = (create.run, self.rng.below(SERVERS as u64) as usize);
        self.start(number, CreateRun { forked, ..create }, case)?;
        self.plan(LOOK, Action::Look(run, LOOKS));
        Ok(())
    }

    /// A message that must not be sent twice is sent again only if every earlier one was answered so that nothing was done,
    /// or a person said so.
    pub(super) fn may_send(&mut self, key: &AttemptKey) -> Result<(), Violation> {
        let sent = self.sent.entry((key.run, key.path.clone())).or_default();
        let earlier: Vec<AttemptKey> = sent.iter().filter(|earlier| *earlier != key).cloned().collect();
        sent.push(key.clone());
        let history = self.history(key.run);
        for earlier in earlier {
            if !is_settled(&history, &earlier) {
                let detail = format!("{} after {}", key.message_id(), earlier.message_id());
                return Err(Violation { invariant: "unsafe_steps_are_repeated_by_word_only", detail });
            }
        }
        Ok(())
    }

    /// What agents did is what the run has: the output of each step is that of the attempt that completed it, in its generation,
    /// for the outputs of the steps before it.
    pub(super) fn outputs_are_those_of_agents(&self, run: RunId, state: &RunState) -> Result<(), Violation> {
        let (plan, mut by) = (state.plan(), BTreeMap::<StepPath, Option<String>>::new());
        let (mut generation, mut decided) = (0, None);
        for recorded in self.history(run) {
            match recorded.event {
                Event::RunRewound(rewound) => generation = rewound.generation,
                Event::RunReopened(reopened) => generation = reopened.generation,
                Event::StepDecided(step) => decided = Some(step.step),
                Event::StepCompleted(done) => {
                    let (path, attempt) = (done.step.clone(), done.attempt);
                    let key = AttemptKey { run, generation, path, attempt };
                    let by_person = decided.take_if(|step| *step == done.step).is_some();
                    by.insert(done.step, (!by_person).then(|| key.message_id()));
                }
                _ => {}
            }
        }
        for index in plan.forward() {
            let (Some(output), Some(Some(message))) = (state.output(index), by.get(&plan.path(index))) else {
                continue;
            };
            if plan.step(index).capability.is_none() || plan.step(index).container().is_some() {
                continue;
            }
            let start = &plan.workflow().data;
            let input = input_of(plan, index, start, |step| Some(self.value(run, state.output(step)?)));
            let expected = Case::signed_output(&plan.path(index), &input.expect("no field is required").value, message);
            if self.value(run, output) != expected {
                let detail = format!("run {run}: step {}", plan.path(index));
                return Err(Violation { invariant: "outputs_are_those_of_agents", detail });
            }
        }
        Ok(())
    }

    /// Counts what a history tells about how failures were followed up.
    pub(super) fn count_recoveries(&mut self, state: &RunState, history: &[Recorded]) {
        let Some(mut then) = fold(state.plan(), &history[..1]) else { return };
        for recorded in &history[1..] {
            if let Some(fault) = mark(&then, &recorded.event) {
                self.faults.strike(fault);
            }
            evolve(&mut then, recorded, &mut Vec::new());
        }
    }
}

/// True if an attempt was answered so that nothing was done, or a person spoke since it began.
fn is_settled(history: &[Recorded], key: &AttemptKey) -> bool {
    let (mut generation, mut began) = (0, false);
    for recorded in history {
        match &recorded.event {
            Event::RunReopened(reopened) => {
                generation = reopened.generation;
                if began {
                    return true;
                }
            }
            Event::RunRewound(rewound) => generation = rewound.generation,
            Event::AttemptStarted(started) if (&started.step, started.attempt) == (&key.path, key.attempt) => {
                began |= generation == key.generation;
            }
            _ if !began => {}
            Event::UndoStarted(undo) if undo.order.is_some() => return true,
            Event::StepDecided(decided) if decided.step == key.path && decided.verdict == Verdict::Retry => {
                return true;
            }
            Event::StepCompleted(done) if (&done.step, done.attempt) == (&key.path, key.attempt) => return true,
            Event::AttemptFailed(failed) if failed.step == key.path && failed.attempt == key.attempt => {
                use AgentErrorKind::{Cancelled, Failed, InvalidInput, NoAgent, RateLimited, Rejected};
                let kind = failed.error.kind;
                if matches!(kind, Cancelled | Failed | InvalidInput | NoAgent | RateLimited | Rejected) {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

/// What an event says about how a failure was followed up, or about what a person did.
fn mark(state: &RunState, event: &Event) -> Option<Fault> {
    Some(match event {
        Event::UndoStarted(undo) if undo.order.is_some() && state.status() == RunStatus::Failed => {
            Fault::RevivedByRollback
        }
        Event::UndoStarted(undo) if undo.then == Afterwards::Pause => Fault::RolledBackPaused,
        Event::UndoStarted(undo) if undo.order.is_some() => Fault::RolledBack,
        Event::RunFailed(failed) if failed.undone == Some(Undone::Compensated) => Fault::Compensated,
        Event::RunFailed(failed) if failed.undone == Some(Undone::RolledBack) => Fault::RolledBackByPolicy,
        Event::RunFailed(failed) if failed.error.kind == AgentErrorKind::BudgetSpent => Fault::FailedByBudget,
        Event::BudgetWarned(_) => Fault::BudgetWarned,
        Event::BudgetSpent(_) => Fault::BudgetSpent,
        Event::BudgetRaised(_) => Fault::BudgetRaised,
        Event::RunStuck(_) => Fault::Stuck,
        Event::StepHeld(held) if held.outcome_unknown => Fault::OutcomeUnknown,
        Event::StepHeld(_) if state.undoing().is_none() => Fault::Escalated,
        Event::StepDecided(_) if state.status() == RunStatus::Stuck => Fault::DecidedStuck,
        Event::StepDecided(_) => Fault::DecidedHeld,
        Event::StepRecovered(_) => Fault::Recovered,
        Event::ResultDiscarded(_) => Fault::Discarded,
        Event::WaitOverdue(_) => Fault::Overdue,
        Event::SignalReceived(_) => Fault::Answered,
        Event::CheckpointCreated(_) => Fault::Checkpointed,
        Event::RunPaused(RunPaused { work: Work::Leave, .. }) => Fault::PausedAndLeft,
        Event::RunPaused(RunPaused { work: Work::Cancel, .. }) => Fault::PausedAndStopped,
        Event::RunPaused(_) if state.undoing().is_some() => Fault::PausedWhileUndoing,
        Event::RunTerminated(_) => Fault::Terminated,
        Event::RunCancelled(_) if state.waiting().next().is_some() => Fault::CancelledWhileWaiting,
        Event::RunReopened(_) => Fault::Retried,
        Event::RunForked(_) => Fault::Forked,
        _ => return None,
    })
}
