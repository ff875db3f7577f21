//! What a run has spent, and what is reserved for its attempts under way.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::amount::{Amounts, Kind};
use crate::ids::{Capability, StepPath};
use crate::limits::MAX_RESERVED;
use crate::time::Timestamp;
use crate::workflow::{Budget, Reserve};

/// What a run with a budget has spent. What was spent stays spent, whatever is undone or begun anew.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spending {
    /// What attempts that have ended used. Calls count from their beginning.
    used: Amounts,
    /// All that is reserved.
    reserved: Amounts,
    /// What is reserved for each step with an attempt under way or suspended, or of which nobody knows whether it happened.
    open: BTreeMap<StepPath, Open>,
    /// The most that one attempt with a capability has used so far.
    largest: BTreeMap<Capability, Amounts>,
    /// By how much the budget was raised.
    raised: Amounts,
    /// Of what it was told that it is nearly spent.
    warned: BTreeSet<Kind>,
    /// Of what it was told that it is spent, since it was raised last.
    spent: BTreeSet<Kind>,
}

/// What is reserved for an attempt, and how long it has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Open {
    reserved: Amounts,
    /// Since when it works; none while it waits for somebody.
    since: Option<Timestamp>,
    /// How long it worked before, in microseconds.
    took: u64,
}

/// What is left of a budget does not suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// Of what.
    pub kind: Kind,
    /// What may be spent in all.
    pub limit: u64,
    /// What is used.
    pub used: u64,
    /// What is reserved for attempts under way.
    pub reserved: u64,
    /// What would have to be reserved.
    pub needed: u64,
}

impl Spending {
    /// What was used by attempts that have ended, and all calls that were begun.
    #[must_use]
    pub const fn used(&self) -> Amounts {
        self.used
    }

    /// What is reserved for attempts under way.
    #[must_use]
    pub const fn reserved(&self) -> Amounts {
        self.reserved
    }

    /// By how much the budget was raised.
    #[must_use]
    pub const fn raised(&self) -> Amounts {
        self.raised
    }

    /// True if it was told that there is too little left of something.
    #[must_use]
    pub fn is_told(&self) -> bool {
        !self.spent.is_empty()
    }

    /// What may be spent of each kind that is bounded, with what was added.
    pub fn limits<'b>(&'b self, budget: &'b Budget) -> impl Iterator<Item = (Kind, u64)> + 'b {
        budget.limits().map(|(kind, limit)| (kind, limit.saturating_add(self.raised.of(kind))))
    }

    /// What an attempt is reckoned with: what its step says, and of what it does not say the most that an attempt with the same
    /// capability used so far. A call is one call.
    #[must_use]
    pub fn reckon(&self, reserve: Option<Reserve>, capability: &Capability) -> Amounts {
        let so_far = self.largest.get(capability).copied().unwrap_or_default();
        Amounts { calls: 1, ..reserve.unwrap_or_default().or(so_far).at_most(MAX_RESERVED) }
    }

    /// What there is too little of for an attempt that needs so much, beside others about to begin. With nothing left nothing
    /// begins, however little it is reckoned with.
    #[must_use]
    pub fn shortage(&self, budget: &Budget, needed: Amounts, beside: Amounts) -> Option<Shortage> {
        let taken = self.used.plus(self.reserved).plus(beside);
        let is_short = |(kind, limit): &(Kind, u64)| taken.of(*kind).saturating_add(needed.of(*kind).max(1)) > *limit;
        let (kind, limit) = self.limits(budget).find(is_short)?;
        let (used, needed) = (self.used.of(kind), needed.of(kind));
        Some(Shortage { kind, limit, used, reserved: self.reserved.of(kind), needed })
    }

    /// The first kind of which so much is used that it is to be told now, with what is used and the limit: of a share of the limit,
    /// once.
    #[must_use]
    pub fn to_warn(&self, budget: &Budget) -> Option<(Kind, u64, u64)> {
        let is_due = |(kind, limit): &(Kind, u64)| self.used.of(*kind) >= budget.warn_at.of(*limit);
        let (kind, limit) = self.limits(budget).filter(|(kind, _)| !self.warned.contains(kind)).find(is_due)?;
        Some((kind, self.used.of(kind), limit))
    }

    /// The first kind of which all is used and of which that was not told yet.
    #[must_use]
    pub fn to_tell(&self, budget: &Budget) -> Option<Shortage> {
        let is_spent = |(kind, limit): &(Kind, u64)| self.used.of(*kind) >= *limit && !self.spent.contains(kind);
        let (kind, limit) = self.limits(budget).find(is_spent)?;
        Some(Shortage { kind, limit, used: self.used.of(kind), reserved: self.reserved.of(kind), needed: 0 })
    }

    /// An attempt begins to ask an agent. The call is spent by that.
    pub(crate) fn begin(&mut self, step: &StepPath, reserved: Amounts, at: Timestamp) {
        self.settle(step, None, None, at);
        self.used.calls = self.used.calls.saturating_add(1);
        let reserved = Amounts { calls: 0, ..reserved };
        self.reserved = self.reserved.plus(reserved);
        self.open.insert(step.clone(), Open { reserved, since: Some(at), took: 0 });
        self.spent.clear();
    }

    /// An attempt waits for somebody: its time stands still.
    pub(crate) fn rest(&mut self, step: &StepPath, at: Timestamp) {
        if let Some(open) = self.open.get_mut(step) {
            open.took = open.took.saturating_add(worked(open.since.take(), at));
        }
    }

    /// An attempt goes on.
    pub(crate) fn go_on(&mut self, step: &StepPath, at: Timestamp) {
        if let Some(open) = self.open.get_mut(step) {
            open.since = Some(at);
        }
    }

    /// A step's attempt has ended and used so much money and so many tokens; where that is not known, what was reserved. Its time is
    /// known in any case. What is used without an attempt is counted too.
    pub(crate) fn settle(
        &mut self,
        step: &StepPath,
        used: Option<Amounts>,
        capability: Option<&Capability>,
        at: Timestamp,
    ) {
        let open = self.open.remove(step);
        let Open { reserved, since, took } = open.unwrap_or_default();
        let time = took.saturating_add(worked(since, at));
        let used = Amounts { calls: 0, time, ..used.unwrap_or(reserved) };
        self.used = self.used.plus(used);
        self.reserved = self.reserved.minus(reserved);
        if let (Some(capability), true) = (capability, open.is_some()) {
            let largest = self.largest.entry(capability.clone()).or_default();
            *largest = largest.or_larger(used);
        }
    }

    /// Steps for which something is reserved.
    pub(crate) fn open(&self) -> impl Iterator<Item = &StepPath> {
        self.open.keys()
    }

    pub(crate) fn warned(&mut self, kind: Kind) {
        self.warned.insert(kind);
    }

    pub(crate) fn told(&mut self, kind: Kind) {
        self.spent.insert(kind);
    }

    /// There is more to spend; of what is far from spent again it is told anew.
    pub(crate) fn raise(&mut self, budget: &Budget, by: Amounts) {
        self.raised = self.raised.plus(by);
        self.spent.clear();
        let far: Vec<Kind> = self
            .limits(budget)
            .filter(|(kind, limit)| self.used.of(*kind) < budget.warn_at.of(*limit))
            .map(|(kind, _)| kind)
            .collect();
        self.warned.retain(|kind| !far.contains(kind));
    }
}

fn worked(since: Option<Timestamp>, at: Timestamp) -> u64 {
    since.map_or(0, |since| u64::try_from(at.since(since).as_micros()).unwrap_or(u64::MAX))
}
