//! The steps that could start: ready ones in their order, and those that wait for a moment.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::StepIndex;
use crate::time::Timestamp;
use crate::workflow::Priority;

/// The order in which ready steps start: by priority, then first ready first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Turn(Reverse<Priority>, u64);

/// Steps whose dependencies are done and that have no attempt open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontier {
    ready: BTreeSet<(Turn, StepIndex)>,
    delayed: BTreeSet<(Timestamp, Turn, StepIndex)>,
    turns: u64,
}

impl Frontier {
    /// Adds a step that is ready now.
    pub(crate) fn push(&mut self, step: StepIndex, priority: Priority) {
        let turn = self.next_turn(priority);
        self.ready.insert((turn, step));
    }

    /// Adds a step that may start again at a moment.
    pub(crate) fn push_delayed(&mut self, step: StepIndex, priority: Priority, at: Timestamp) {
        let turn = self.next_turn(priority);
        self.delayed.insert((at, turn, step));
    }

    /// Takes a step out.
    pub(crate) fn remove(&mut self, step: StepIndex) {
        // A step starts as one of the first in its order, so the search is short.
        if let Some(entry) = self.ready.iter().find(|(_, s)| *s == step).copied() {
            self.ready.remove(&entry);
        } else if let Some(entry) = self.delayed.iter().find(|(_, _, s)| *s == step).copied() {
            self.delayed.remove(&entry);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.ready.clear();
        self.delayed.clear();
    }

    /// Steps that may start at a moment, in their order.
    pub fn startable(&self, now: Timestamp) -> impl Iterator<Item = StepIndex> + '_ {
        let mut due: Vec<(Turn, StepIndex)> =
            self.delayed.iter().take_while(|(at, ..)| *at <= now).map(|(_, turn, step)| (*turn, *step)).collect();
        due.sort_unstable();
        let mut due = due.into_iter().peekable();
        let mut ready = self.ready.iter().copied().peekable();
        std::iter::from_fn(move || match (due.peek(), ready.peek()) {
            (Some(d), Some(r)) if d < r => due.next(),
            (_, Some(_)) => ready.next(),
            _ => due.next(),
        })
        .map(|(_, step)| step)
    }

    /// All steps that are ready or wait for a moment.
    pub fn steps(&self) -> impl Iterator<Item = StepIndex> + '_ {
        self.ready.iter().map(|(_, step)| *step).chain(self.delayed.iter().map(|(.., step)| *step))
    }

    /// The next moment at which a delayed step may start.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.delayed.first().map(|(at, ..)| *at)
    }

    /// The first moment after `now` at which a delayed step may start. What is due already waits for room, not for time.
    #[must_use]
    pub fn next_due_after(&self, now: Timestamp) -> Option<Timestamp> {
        let first = (now.plus(Duration::from_micros(1)), Turn(Reverse(Priority::High), 0), 0);
        self.delayed.range(first..).next().map(|(at, ..)| *at)
    }

    /// Steps that are ready now.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Steps that wait for a moment.
    #[must_use]
    pub fn delayed(&self) -> usize {
        self.delayed.len()
    }

    fn next_turn(&mut self, priority: Priority) -> Turn {
        self.turns += 1;
        Turn(Reverse(priority), self.turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn high_goes_first_then_first_come_first_served() {
        let mut frontier = Frontier::default();
        frontier.push(0, Priority::Low);
        frontier.push(1, Priority::Normal);
        frontier.push_delayed(2, Priority::High, Timestamp::from_micros(10));
        frontier.push(3, Priority::Normal);
        let at = |t| frontier.startable(Timestamp::from_micros(t)).collect::<Vec<_>>();
        assert_eq!(at(9), [1, 3, 0]);
        assert_eq!(at(10), [2, 1, 3, 0]);
        assert_eq!(frontier.next_due(), Some(Timestamp::from_micros(10)));
        assert_eq!(frontier.next_due_after(Timestamp::from_micros(9)), Some(Timestamp::from_micros(10)));
        assert_eq!(frontier.next_due_after(Timestamp::from_micros(10)), None);
    }
}
