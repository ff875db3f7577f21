//! The one driver. Synchronous and without I/O: [`Driver::handle`] takes a message, [`Driver::pump`] decides what is
//! queued, and [`Driver::effects`] says what is to be done. So it runs the same under a real runtime and in a simulator.
//!
//! A run has one commit under way; inputs that arrive meanwhile wait and are decided together on the state that the
//! commit leads to. When a commit is durable, what it touched is reconciled: attempts that should be under way and are
//! not are started, those that are and should not be are stopped. Starting, finishing, cancelling and recovering a run are
//! this same code.

mod decide;
mod intake;
mod leave;
mod live;
mod message;
mod places;
mod reconcile;
mod survey;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tutti_core::ids::RunId;
use tutti_core::plan::StepIndex;
use tutti_core::run::RunState;
use tutti_core::time::Timestamp;

use leave::Leaving;
use live::Live;
pub use message::{
    AdoptRun, Asker, AttemptEnd, AttemptSpec, Committed, CreateReply, CreateRun, Decided, DecidedRun, DriveError,
    Effect, Message, NotCommitted, Progress, Reply, Seen, Settled,
};
pub(crate) use places::want;
pub use survey::{Stall, Stalled};

use crate::dispatcher::{LaneNumber, Registry};

/// How a driver drives.
#[derive(Debug, Clone, Copy)]
pub struct DriverOptions {
    /// Attempts carried out at once.
    pub places: usize,
    /// A run that has nothing to do for longer than this is let go of; it comes back by [`Message::Adopt`]. `None`: runs stay
    /// until they end.
    pub rest: Option<Duration>,
}

/// Drives the runs of one lane.
pub struct Driver {
    runs: HashMap<RunId, Box<Live>>,
    registry: Registry,
    options: DriverOptions,
    /// Attempts that may still be started before the bound on all of them is reached.
    free: usize,
    /// Runs that had steps to start and found no free place, first come first served.
    starved: VecDeque<RunId>,
    /// Runs that something happened to.
    dirty: Vec<RunId>,
    timers: BTreeSet<(Timestamp, RunId)>,
    /// This driver among those that share the registry.
    lane: LaneNumber,
    /// Places that its runs have in the registry's line.
    waits: usize,
    /// Something that others may wait for was given back to the registry.
    gave_back: bool,
    effects: Vec<Effect>,
    /// What is being let go of.
    leaving: Vec<Leaving>,
    is_draining: bool,
    /// Nothing is started for now.
    is_held: bool,
}

impl Driver {
    /// A driver without runs.
    #[must_use]
    pub fn new(registry: Registry, options: DriverOptions) -> Self {
        Self {
            runs: HashMap::new(),
            lane: registry.join(),
            waits: 0,
            gave_back: false,
            registry,
            options,
            free: options.places,
            starved: VecDeque::new(),
            dirty: Vec::new(),
            timers: BTreeSet::new(),
            effects: Vec::new(),
            leaving: Vec::new(),
            is_draining: false,
            is_held: false,
        }
    }

    /// Where other drivers that share the registry say that this one is to be ticked: a place at an agent is held for one
    /// of its runs.
    pub(crate) fn set_waker(&self, waker: impl Fn() + Send + Sync + 'static) {
        self.registry.set_waker(self.lane, Arc::new(waker));
    }

    /// Takes a message. `random` gives ids and chance.
    pub fn handle(&mut self, message: Message, now: Timestamp, random: &mut dyn FnMut() -> u128) {
        match message {
            Message::Create(new, reply) => self.create(*new, reply, now, random),
            Message::Created(decided, outcome) => self.created(*decided, outcome, now),
            Message::Adopt(run, asker) => self.adopt(*run, asker, now),
            Message::Input(run, input, asker) => self.input(run, input, asker),
            Message::LetGo(slots, done) => self.leaving.push(Leaving { slots: Some(slots), done }),
            Message::Hold(hold) => self.hold(hold),
            Message::AttemptEnded { key, step, end } => self.attempt_ended(&key, step, end, now, random),
            Message::Settled(settled) => settled.into_iter().for_each(|one| self.settled(one, now)),
            Message::Tick => self.tick(now),
            Message::Drain(done) => {
                self.is_draining = true;
                self.leaving.push(Leaving { slots: None, done });
            }
            Message::Survey(grace, answer) => answer(self.survey(grace, now)),
            Message::Look(run, answer) => answer(self.runs.get(&run).map(|live| live.seen())),
        }
    }

    /// Decides what is queued for the runs that something happened to.
    pub fn pump(&mut self, now: Timestamp, random: &mut dyn FnMut() -> u128) {
        self.pump_dirty(now, random);
        self.let_go(now, random);
        // Places of runs that were let go of are for others.
        self.pump_dirty(now, random);
    }

    /// What is to be done, in order. Empties the list.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// When [`Message::Tick`] is due.
    #[must_use]
    pub fn next_tick(&self) -> Option<Timestamp> {
        let place = (self.waits > 0).then(|| self.registry.next_moment()).flatten();
        self.timers.first().map(|(at, _)| *at).into_iter().chain(place).min()
    }

    /// How many runs it has.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// The state of a run, with what is decided and not yet durable.
    #[must_use]
    pub fn state(&self, run: RunId) -> Option<&RunState> {
        self.runs.get(&run).map(|live| &live.state)
    }

    fn pump_dirty(&mut self, now: Timestamp, random: &mut dyn FnMut() -> u128) {
        loop {
            while let Some(run) = self.dirty.pop().or_else(|| self.next_starved()) {
                self.pump_run(run, now, random);
            }
            if !self.take_calls(now) {
                return;
            }
        }
    }

    /// The next run that found no free place, if there is one now. Runs that have left meanwhile, or do not need it any
    /// more, do not use it up.
    fn next_starved(&mut self) -> Option<RunId> {
        while self.free > 0 {
            let run = self.starved.pop_front()?;
            if let Some(live) = self.runs.get_mut(&run) {
                live.starved = false;
                return Some(run);
            }
        }
        None
    }

    pub(super) fn tick(&mut self, now: Timestamp) {
        while let Some((at, run)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, run));
            if let Some(live) = self.runs.get_mut(&run) {
                live.timer = None;
                self.dirty.push(run);
            }
        }
    }

    pub(super) fn set_timer(&mut self, run: RunId, now: Timestamp) {
        let Some(live) = self.runs.get_mut(&run) else { return };
        // While a commit is under way its end is what comes next.
        let next = if live.busy.is_some() { None } else { live.next_moment(now) }.map(|at| at.max(now));
        if live.timer != next {
            if let Some(old) = live.timer.take() {
                self.timers.remove(&(old, run));
            }
            if let Some(at) = next {
                self.timers.insert((at, run));
            }
            live.timer = next;
        }
    }

    /// Lets go of a run. `ended`: it has; otherwise it goes on elsewhere or later, and its tasks are left alone.
    pub(super) fn drop_run(&mut self, run: RunId, ended: bool, now: Timestamp) {
        let steps: Vec<StepIndex> =
            self.runs.get(&run).map_or_else(Vec::new, |live| live.calls.keys().copied().collect());
        steps.into_iter().for_each(|step| self.abort(run, step, ended, now));
        let replaced = self.runs.get_mut(&run).map(|live| std::mem::take(&mut live.replaced)).unwrap_or_default();
        replaced.into_iter().for_each(|call| self.stop(run, call, ended, now));
        if let Some(mut live) = self.runs.remove(&run) {
            self.leave_line(&mut live, now);
            debug_assert_eq!(live.places(), 0, "every place was given back");
            if let Some(at) = live.timer {
                self.timers.remove(&(at, run));
            }
            for (_, asker) in live.queue {
                if let Asker::Caller(reply) = asker {
                    self.effects.push(Effect::Reply(reply, Err(DriveError::NotLive(run))));
                }
            }
        }
        self.effects.push(Effect::Close { run, ended });
    }
}
