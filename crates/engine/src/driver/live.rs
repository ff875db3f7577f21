//! One run while it is driven.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tutti_core::ids::{AgentId, AttemptKey, StepPath};
use tutti_core::limits::SNAPSHOT_EVENTS;
use tutti_core::plan::StepIndex;
use tutti_core::ports::inbox::Consumed;
use tutti_core::ports::store::{Commit, EncodedEvent, Wake};
use tutti_core::run::{Applied, Input, RunState, RunStatus, encode, min_reader};
use tutti_core::time::Timestamp;

use crate::dispatcher::{Grant, Ticket, Want};

use super::message::{Asker, Decided, DriveError, Progress, Release, Reply, Seen};

pub(super) struct Live {
    /// Everything decided, committed or on its way to be.
    pub(super) state: RunState,
    pub(super) epoch: u64,
    /// Inputs that wait for the commit under way.
    pub(super) queue: VecDeque<(Input, Asker)>,
    /// Since when a commit or the creation is under way.
    pub(super) busy: Option<Timestamp>,
    /// By step in order, so that whatever is done to all of them is done in one order. In boxes, since a map has room for many
    /// in each of its nodes, of which a chain uses one.
    pub(super) calls: BTreeMap<StepIndex, Box<LiveCall>>,
    /// Calls in whose place another attempt was decided; they are stopped once that is durable.
    pub(super) replaced: Vec<LiveCall>,
    /// Until when inputs that may wait do wait.
    pub(super) defer_until: Option<Timestamp>,
    /// The moment this run is listed for in the driver's timers.
    pub(super) timer: Option<Timestamp>,
    pub(super) tail: Tail,
    /// What steps wait for that find nobody who can be asked now, and the run's places in the line for it.
    pub(super) waits: Vec<(Want, Ticket)>,
    /// Places at agents that are held for steps.
    pub(super) held: Vec<(Want, Grant)>,
    /// Listed among the driver's starved runs.
    pub(super) starved: bool,
    /// How far the run is, by what is durable.
    pub(super) durable: Progress,
    /// The driver drains, and this run's last commit is decided.
    pub(super) let_go: bool,
    /// It was claimed and nothing was committed since: the claim still counts as one without progress.
    pub(super) claimed: bool,
}

/// An attempt that this driver has decided, carries out, or knows to be suspended.
pub(super) struct LiveCall {
    pub(super) path: StepPath,
    pub(super) generation: u32,
    pub(super) attempt: u32,
    pub(super) agent: AgentId,
    pub(super) task: Option<String>,
    pub(super) stage: Stage,
    /// Since when it is this driver's.
    pub(super) since: Timestamp,
    /// What it holds at its agent; nothing while it rests.
    pub(super) place: Option<Grant>,
}

impl LiveCall {
    /// True if it is the call of this attempt of its step.
    pub(super) fn is(&self, key: &AttemptKey) -> bool {
        (self.generation, self.attempt) == (key.generation, key.attempt)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its start is not durable yet.
    Decided,
    /// The agent is being called.
    Running,
    /// The agent waits for somebody; nothing is held here.
    Resting,
}

/// What has been written since the last snapshot, and how large that was.
#[derive(Default)]
pub(super) struct Tail {
    events: u64,
    bytes: usize,
    snapshot_bytes: usize,
}

impl Tail {
    /// Counts a commit; true if a snapshot is worth its size now.
    pub(super) fn grow(&mut self, events: usize, bytes: usize) -> bool {
        self.events += events as u64;
        self.bytes += bytes;
        self.events >= SNAPSHOT_EVENTS && self.bytes > self.snapshot_bytes
    }

    pub(super) fn cut(&mut self, snapshot_bytes: usize) {
        *self = Self { snapshot_bytes, ..Self::default() };
    }
}

impl Live {
    pub(super) fn new(state: RunState, epoch: u64) -> Self {
        Self {
            durable: progress(&state),
            state,
            epoch,
            queue: VecDeque::new(),
            busy: None,
            calls: BTreeMap::new(),
            replaced: Vec::new(),
            defer_until: None,
            timer: None,
            tail: Tail::default(),
            waits: Vec::new(),
            held: Vec::new(),
            starved: false,
            let_go: false,
            // The first epoch is that of the creation.
            claimed: epoch > 1,
        }
    }

    /// How it is, for those who ask.
    pub(super) const fn seen(&self) -> Seen {
        Seen { progress: self.durable, is_starved: self.starved, commit_since: self.busy }
    }

    /// When this run wants to be looked at without anything having happened.
    pub(super) fn next_moment(&self, now: Timestamp) -> Option<Timestamp> {
        if !self.state.status().is_open() {
            return None;
        }
        let wait = self.state.next_wait().map(|(due, _)| due);
        let moments = [Some(self.state.deadline()), self.state.frontier().next_due_after(now), self.defer_until, wait];
        moments.into_iter().flatten().min()
    }

    /// True if there is nothing to do for this run for longer than `rest`, or before somebody wants something of it: the
    /// store knows when that is. `None`: only what waits in the queue rests.
    pub(super) fn rests(&self, now: Timestamp, rest: Option<Duration>) -> bool {
        if self.busy.is_some() || !self.queue.is_empty() || self.places() > 0 {
            return false;
        }
        match (self.state.status(), self.state.wake()) {
            // It was taken over for a command that was refused.
            (status, _) if !status.takes_results() => true,
            (RunStatus::Pending, _) => true,
            (_, Wake::At(moment)) => rest.is_some_and(|rest| moment > now.plus(rest)),
            (_, Wake::OnInput) => rest.is_some(),
            (_, Wake::Active | Wake::Never) => false,
        }
    }

    /// Calls that hold a place.
    pub(super) fn places(&self) -> usize {
        self.calls.values().map(Box::as_ref).chain(&self.replaced).filter(|call| call.stage != Stage::Resting).count()
    }

    /// The attempt of a step is decided. One that was under way before is of an abandoned line of the history.
    pub(super) fn decide_call(
        &mut self,
        step: StepIndex,
        agent: AgentId,
        task: Option<String>,
        place: Option<Grant>,
        since: Timestamp,
    ) {
        let key = self.state.attempt_key(step);
        let (generation, attempt, stage) = (key.generation, key.attempt, Stage::Decided);
        let is_same =
            |call: &LiveCall| call.generation == generation && call.attempt == attempt && call.path == key.path;
        let path = key.path.clone();
        let call = LiveCall { path, generation, attempt, agent, task, stage, since, place };
        let before = self.calls.insert(step, Box::new(call));
        self.replaced.extend(before.filter(|before| !is_same(before)).map(|before| *before));
    }

    /// The commit of what was just decided on the state.
    pub(super) fn decided(
        &self,
        applied: Applied,
        before: (u64, (RunStatus, bool)),
        replies: Vec<(Reply, Result<(), DriveError>)>,
        consumed: Vec<Consumed>,
        commit_id: u128,
    ) -> Decided {
        let (expected, shown) = before;
        let min_reader = min_reader(&applied.events);
        let (events, encoded, bytes) = encoded(applied.events);
        let commit = Commit {
            run: self.state.run(),
            epoch: self.epoch,
            expected,
            commit_id,
            events: encoded,
            summary: (line(&self.state) != shown).then(|| self.state.summary()),
            wake: self.state.wake(),
            consumed,
            min_reader,
        };
        let progress = progress(&self.state);
        let release = Release { run: self.state.run(), events, touched: applied.touched, replies, bytes, progress };
        Decided { commit, release }
    }
}

/// What of a state is written into the line for lists at once when it changes: its status, and whether it asks somebody.
pub(super) fn line(state: &RunState) -> (RunStatus, bool) {
    (state.status(), state.asks().next().is_some())
}

/// How far a state is.
pub(super) fn progress(state: &RunState) -> Progress {
    Progress { completed: state.completed(), failed: state.failed() }
}

/// The events to publish, to store, and their size.
pub(super) fn encoded(
    events: Vec<tutti_core::run::Recorded>,
) -> (Vec<Arc<tutti_core::run::Recorded>>, Vec<EncodedEvent>, usize) {
    let encoded: Vec<EncodedEvent> = events.iter().map(encode).collect();
    let bytes = encoded.iter().map(|event| event.blob.len()).sum();
    (events.into_iter().map(Arc::new).collect(), encoded, bytes)
}
