//! What a run and its steps cost, and how it stands with the run's budget.

use serde::Serialize;

use super::attempt::AttemptView;
use super::view::{RunView, StepView};
use crate::budget::{Kind, Shortage};
use crate::ports::agent::Usage;
use crate::run::{Event, RunState};
use crate::workflow::OnSpent;

/// How it stands with what a run may spend of a kind. Money is in millionths, time in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BudgetReport {
    /// Of what.
    pub kind: Kind,
    /// What may be spent, with what was added.
    pub limit: u64,
    /// What is spent.
    pub used: u64,
    /// What is reserved for attempts under way.
    pub reserved: u64,
}

impl BudgetReport {
    /// In words, such as `1.70 of 2.00, 0.30 left`.
    #[must_use]
    pub fn told(&self) -> String {
        let show = |amount| self.kind.show(amount);
        let (used, limit) = (show(self.used), show(self.limit));
        let reserved = if self.reserved > 0 { format!(", {} reserved", show(self.reserved)) } else { String::new() };
        let taken = self.used.saturating_add(self.reserved);
        match self.limit.checked_sub(taken) {
            Some(left) => format!("{used} of {limit}{reserved}, {} left", show(left)),
            None => format!("{used} of {limit}{reserved}, {} too much", show(taken - self.limit)),
        }
    }
}

impl RunView {
    /// What agents reported of all attempts, those included that undid something; nothing if none did.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let indexes = self.plan().indexes();
        sum(indexes.filter_map(|index| self.step(index).usage()))
    }

    /// How it stands with each kind that the run's budget bounds; empty without a budget.
    #[must_use]
    pub fn budget(&self) -> Vec<BudgetReport> {
        self.state().map(budget).unwrap_or_default()
    }
}

impl StepView<'_> {
    /// What agents reported of all its attempts; nothing if none did.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        sum(self.attempts.iter().filter_map(AttemptView::usage))
    }
}

fn budget(state: &RunState) -> Vec<BudgetReport> {
    let (Some(budget), Some(spending)) = (state.budget(), state.spending()) else { return Vec::new() };
    let report = |(kind, limit)| {
        let (used, reserved) = (spending.used().of(kind), spending.reserved().of(kind));
        BudgetReport { kind, limit, used, reserved }
    };
    spending.limits(budget).map(report).collect()
}

fn sum(usages: impl Iterator<Item = Usage>) -> Option<Usage> {
    usages.reduce(Usage::plus)
}

/// What is used, in words, such as `1.70, 300 tokens in, 40 out`.
#[must_use]
pub fn told_usage(usage: &Usage) -> String {
    let cost = Kind::Money.show(usage.cost_micros);
    format!("{cost}, {} tokens in, {} out", usage.tokens_in, usage.tokens_out)
}

/// What keeps a step from starting, in words.
#[must_use]
pub(super) fn told_shortage(shortage: &Shortage) -> String {
    let Shortage { kind, limit, used, reserved, needed } = *shortage;
    let reserved = if reserved > 0 { format!(", {} reserved", kind.show(reserved)) } else { String::new() };
    let needed = if needed > 0 { format!("; it is reckoned with {}", kind.show(needed)) } else { String::new() };
    format!("{} of {} {kind} are used{reserved}{needed}", kind.show(used), kind.show(limit))
}

/// What happens when the run's budget is spent, in words for whoever waits for it.
pub(super) const fn told_policy(on_spent: OnSpent) -> &'static str {
    match on_spent {
        OnSpent::Stop => "the run fails when nothing is under way any more",
        OnSpent::Ask => "the run waits until a person raises the budget",
        OnSpent::Warn => "the run goes on",
    }
}

/// What an event says of the run's budget, in words; `None` for all others.
pub(super) fn budget_news(event: &Event) -> Option<String> {
    Some(match event {
        Event::BudgetWarned(warned) => {
            let (used, limit) = (warned.kind.show(warned.used), warned.kind.show(warned.limit));
            format!("budget: {used} of {limit} {} are used", warned.kind)
        }
        Event::BudgetSpent(spent) => {
            let shortage = Shortage {
                kind: spent.kind,
                limit: spent.limit,
                used: spent.used,
                reserved: spent.reserved,
                needed: spent.needed,
            };
            format!("budget spent: {}", told_shortage(&shortage))
        }
        Event::BudgetRaised(raised) => {
            let added = Kind::ALL.iter().filter(|kind| raised.add.of(**kind) > 0);
            let added: Vec<String> = added.map(|kind| format!("{kind} +{}", kind.show(raised.add.of(*kind)))).collect();
            format!("budget raised {} by={} {}", added.join(" "), raised.order.by, raised.order.reason)
        }
        _ => return None,
    })
}
