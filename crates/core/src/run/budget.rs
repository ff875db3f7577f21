//! What a run may still begin, by its budget.

use super::state::RunState;
use super::status::RunStatus;
use crate::budget::{Amounts, Shortage, Spending};
use crate::plan::StepIndex;
use crate::workflow::{Budget, OnSpent};

impl RunState {
    /// What the run may spend, if that is bounded.
    #[must_use]
    pub fn budget(&self) -> Option<&Budget> {
        self.plan.workflow().budget.as_deref()
    }

    /// What the run has spent, if it has a budget.
    #[must_use]
    pub fn spending(&self) -> Option<&Spending> {
        self.facts.spending.as_deref()
    }

    /// What the next attempt of a step is reckoned with. `None`: the run has no budget, or what the step does now is not bounded by
    /// it: it asks no agent, goes on with what it began, or undoes something.
    #[must_use]
    pub fn reckoned(&self, index: StepIndex) -> Option<Amounts> {
        let spending = self.spending()?;
        let capability = self.asks_for(index)?;
        let is_free = self.undoing().is_some() || self.plan.undone_by(index).is_some();
        let begins = self.open_attempt(index).is_none() && !is_free;
        begins.then(|| spending.reckon(self.plan.step(index).reserve, capability))
    }

    /// What there is too little of to begin a step's attempt beside others about to begin.
    #[must_use]
    pub fn shortage(&self, index: StepIndex, beside: Amounts) -> Option<Shortage> {
        let budget = self.budget().filter(|budget| budget.on_spent != OnSpent::Warn)?;
        self.spending()?.shortage(budget, self.reckoned(index)?, beside)
    }

    /// The first step that could start but for the budget, and what there is too little of, if nothing is in flight and nothing else
    /// could start: the budget is spent.
    #[must_use]
    pub fn is_spent(&self) -> Option<(StepIndex, Shortage)> {
        if self.facts.spending.is_none() || self.in_flight() > 0 || self.status() == RunStatus::Pending {
            return None;
        }
        let mut first = None;
        for index in self.frontier().steps() {
            let shortage = self.shortage(index, Amounts::default())?;
            first.get_or_insert((index, shortage));
        }
        first
    }

    /// True if the run waits until a person raises its budget.
    #[must_use]
    pub fn asks_for_budget(&self) -> bool {
        self.budget().is_some_and(|budget| budget.on_spent == OnSpent::Ask) && self.is_spent().is_some()
    }
}
