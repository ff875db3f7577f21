//! Which runs make no progress though they should, as far as their driver can see.

use std::time::Duration;

use tutti_core::ids::{Namespace, RunId};
use tutti_core::run::RunStatus;
use tutti_core::schedule::admit;
use tutti_core::time::Timestamp;

use super::Driver;
use super::live::{Live, Stage};

/// A run that should have made progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stalled {
    /// The run.
    pub run: RunId,
    /// Whose.
    pub namespace: Namespace,
    /// The last event that is decided: the same later, and nothing happened meanwhile.
    pub seq: u64,
    /// What should have happened.
    pub stall: Stall,
    /// Since when; `None` if the driver does not know.
    pub since: Option<Timestamp>,
}

/// What should have happened, and did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stall {
    /// A commit should have been answered.
    Commit,
    /// An attempt should have ended: its time was up.
    Attempt,
    /// A moment that the run waits for has passed.
    Moment,
    /// A step should have been started: it is ready, and there is room.
    Start,
}

impl Stall {
    /// The word for people and programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Attempt => "attempt",
            Self::Moment => "moment",
            Self::Start => "start",
        }
    }
}

impl Driver {
    /// The runs that make no progress though they should have for `grace`. Looks at each run in memory once, and at each
    /// attempt under way; what cannot be known by looking once ([`Stall::Start`]) is told at once, for whoever looks again.
    pub(super) fn survey(&self, grace: Duration, now: Timestamp) -> Vec<Stalled> {
        // Nothing is started, as somebody wanted it.
        if self.is_draining || self.is_held {
            return Vec::new();
        }
        let over = now.minus(grace);
        let mut stalled: Vec<Stalled> = self.runs.values().filter_map(|live| self.stalled(live, over, now)).collect();
        stalled.sort_by_key(|stalled| stalled.run);
        stalled
    }

    fn stalled(&self, live: &Live, over: Timestamp, now: Timestamp) -> Option<Stalled> {
        let (stall, since) = self.stall(live, over, now)?;
        let state = &live.state;
        let namespace = state.created().namespace.clone();
        Some(Stalled { run: state.run(), namespace, seq: state.seq(), stall, since })
    }

    fn stall(&self, live: &Live, over: Timestamp, now: Timestamp) -> Option<(Stall, Option<Timestamp>)> {
        let state = &live.state;
        if let Some(since) = live.busy {
            return (since <= over).then_some((Stall::Commit, Some(since)));
        }
        if !state.follows_work() || live.let_go {
            return None;
        }
        let running = live.calls.iter().filter(|(_, call)| call.stage == Stage::Running);
        let ups = running.map(|(step, call)| call.since.plus(state.attempt_timeout(*step)));
        if let Some(up) = ups.filter(|up| *up <= over).min() {
            return Some((Stall::Attempt, Some(up)));
        }
        if !state.status().is_open() || state.status() == RunStatus::Pending {
            return None;
        }
        let moments = [Some(state.deadline()), state.next_wait().map(|(due, _)| due)];
        if let Some(moment) = moments.into_iter().flatten().filter(|moment| *moment <= over).min() {
            return Some((Stall::Moment, Some(moment)));
        }
        let has_room = self.free > 0 && !live.starved && live.waits.is_empty();
        let is_quiet = has_room && live.queue.is_empty() && state.frontier().startable(now).next().is_some();
        // Admission is asked last: it costs more than the rest.
        (is_quiet && !admit(state, now).is_empty()).then_some((Stall::Start, None))
    }
}
