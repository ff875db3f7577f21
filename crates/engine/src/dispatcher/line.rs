//! Runs that wait for an agent: first come, first served among those that could be served.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tutti_core::ids::{AgentId, Capability, Namespace, RunId};
use tutti_core::time::Timestamp;

use super::gate::Opening;
use super::registry::Grant;

/// What a step wants of an agent. Steps of a run that want the same wait together, so that runs take turns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Want {
    /// Whose step it is.
    pub(crate) namespace: Namespace,
    /// What the agent must be able to do.
    pub(crate) capability: Capability,
    /// The only agent that will do.
    pub(crate) pinned: Option<AgentId>,
    /// Agents that will not do: they were asked already.
    pub(crate) asked: Vec<AgentId>,
}

/// A place in the line.
pub(crate) type Ticket = u64;

/// One of the drivers that share a registry.
pub(crate) type LaneNumber = usize;

/// Told to a run that waited: it may ask again, or a place is held for it.
#[derive(Debug)]
pub(crate) struct Called {
    /// The run.
    pub(crate) run: RunId,
    /// Its place in the line, which it has left.
    pub(crate) ticket: Ticket,
    /// The place that is held for it; `None`: nobody is left who could do it.
    pub(crate) grant: Option<Grant>,
}

/// Makes a lane look for those of its runs that were called.
pub(crate) type Waker = Arc<dyn Fn() + Send + Sync>;

/// Those who wait, and those who were called.
#[derive(Default)]
pub(super) struct Line {
    waiting: BTreeMap<Ticket, Waiting>,
    by_want: BTreeMap<Want, BTreeSet<Ticket>>,
    tickets: Ticket,
    lanes: Vec<Lane>,
    /// Something has changed since the line was looked through.
    pub(super) is_stale: bool,
    /// When somebody could be served without anything else happening.
    pub(super) next: Option<Timestamp>,
}

struct Waiting {
    lane: LaneNumber,
    run: RunId,
    want: Want,
}

#[derive(Default)]
struct Lane {
    called: Vec<Called>,
    waker: Option<Waker>,
}

impl Line {
    /// A new lane.
    pub(super) fn join(&mut self) -> LaneNumber {
        self.lanes.push(Lane::default());
        self.lanes.len() - 1
    }

    pub(super) fn set_waker(&mut self, lane: LaneNumber, waker: Waker) {
        self.lanes[lane].waker = Some(waker);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether somebody waits for the same.
    pub(super) fn has(&self, want: &Want) -> bool {
        self.by_want.contains_key(want)
    }

    /// Runs that wait, by what they need.
    pub(super) fn lengths(&self) -> BTreeMap<Capability, u64> {
        let mut lengths = BTreeMap::new();
        for (want, tickets) in &self.by_want {
            *lengths.entry(want.capability.clone()).or_default() += tickets.len() as u64;
        }
        lengths
    }

    /// How many wait for the same before a run; `None` if it does not wait.
    pub(super) fn ahead(&self, want: &Want, run: RunId) -> Option<u32> {
        let mut tickets = self.by_want.get(want)?.iter().filter_map(|ticket| self.waiting.get(ticket));
        tickets.position(|waiting| waiting.run == run).map(|before| u32::try_from(before).unwrap_or(u32::MAX))
    }

    /// Somebody can be served then, as it looks now.
    pub(super) fn expect(&mut self, opening: Opening) {
        if let Opening::At(at) = opening {
            self.next = Some(self.next.map_or(at, |next| next.min(at)));
        }
    }

    /// Goes to the end of the line.
    pub(super) fn enter(&mut self, lane: LaneNumber, run: RunId, want: Want) -> Ticket {
        self.tickets += 1;
        self.by_want.entry(want.clone()).or_default().insert(self.tickets);
        self.waiting.insert(self.tickets, Waiting { lane, run, want });
        self.tickets
    }

    /// Leaves the line; one that was called has left it already.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.take(ticket);
    }

    /// What is wanted, each with the one who has waited longest for it.
    pub(super) fn heads(&self) -> BTreeSet<(Ticket, Want)> {
        self.by_want.iter().filter_map(|(want, tickets)| Some((*tickets.first()?, want.clone()))).collect()
    }

    /// Calls the one with this place; gives the next who wants the same.
    pub(super) fn call(&mut self, ticket: Ticket, grant: Option<Grant>) -> Option<Ticket> {
        let Waiting { lane, run, want } = self.take(ticket)?;
        self.lanes[lane].called.push(Called { run, ticket, grant });
        self.by_want.get(&want)?.first().copied()
    }

    /// Those of a lane who were called.
    pub(super) fn called(&mut self, lane: LaneNumber) -> Vec<Called> {
        std::mem::take(&mut self.lanes[lane].called)
    }

    /// Wakes the lanes in which somebody was called, but for the one that looks anyway.
    pub(super) fn wake(&self, but: Option<LaneNumber>) {
        let others = self.lanes.iter().enumerate().filter(|(lane, _)| Some(*lane) != but);
        others.filter(|(_, lane)| !lane.called.is_empty()).for_each(|(_, lane)| lane.wake());
    }

    /// The agents have changed: some lane with somebody who waits looks through the line.
    pub(super) fn changed(&mut self) {
        if let Some((_, first)) = self.waiting.first_key_value() {
            self.is_stale = true;
            self.lanes[first.lane].wake();
        }
    }

    fn take(&mut self, ticket: Ticket) -> Option<Waiting> {
        let waiting = self.waiting.remove(&ticket)?;
        if let Some(tickets) = self.by_want.get_mut(&waiting.want) {
            tickets.remove(&ticket);
            if tickets.is_empty() {
                self.by_want.remove(&waiting.want);
            }
        }
        if self.waiting.is_empty() {
            (self.is_stale, self.next) = (false, None);
        }
        Some(waiting)
    }
}

impl Lane {
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker();
        }
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}
