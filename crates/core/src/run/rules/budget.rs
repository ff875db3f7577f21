//! What a budget lets begin, what is told of it, and what follows when it is spent.

use super::undo;
use crate::budget::{Amounts, Kind, Shortage};
use crate::plan::StepIndex;
use crate::ports::agent::{AgentError, AgentErrorKind, Need, Usage};
use crate::run::event::{BudgetRaised, BudgetSpent, BudgetWarned, Event, Failure, RunReopened};
use crate::run::input::{Order, Rejection};
use crate::run::state::{OpenAttempt, RunState};
use crate::run::status::RunStatus;
use crate::workflow::OnSpent;

/// What is reserved for an attempt that is about to begin; nothing where there is nothing to reserve.
pub(super) fn reserve(state: &RunState, index: StepIndex) -> Result<Option<Box<Amounts>>, Rejection> {
    if state.shortage(index, Amounts::default()).is_some() {
        return Err(Rejection::NotStartable(state.plan().path(index)));
    }
    let reserved = state.reckoned(index).map(|needed| Amounts { calls: 0, ..needed });
    Ok(reserved.filter(|reserved| !reserved.is_zero()).map(Box::new))
}

/// That a failed attempt used nothing, where that is certain: its agent did not take it on. Of others that tell nothing it is
/// reckoned that they used what was reserved.
pub(super) fn unused(state: &RunState, index: StepIndex, error: &AgentError) -> Option<Box<Usage>> {
    use AgentErrorKind::{InputMissing, InvalidInput, NoAgent, RateLimited, Rejected, Unauthorized, Unsupported};
    state.spending().filter(|_| state.open_attempt(index).is_some())?;
    let kinds = [InputMissing, InvalidInput, NoAgent, RateLimited, Rejected, Unauthorized, Unsupported];
    (error.unsent || kinds.contains(&error.kind)).then(Box::default)
}

/// What is to be told of what is used.
pub(super) fn tell(state: &RunState) -> Option<Event> {
    let (budget, spending) = (state.budget()?, state.spending()?);
    if let Some((kind, used, limit)) = spending.to_warn(budget) {
        return Some(Event::BudgetWarned(BudgetWarned { kind, used, limit }));
    }
    if budget.on_spent != OnSpent::Warn {
        return None;
    }
    let Shortage { kind, limit, used, reserved, needed } = spending.to_tell(budget)?;
    Some(Event::BudgetSpent(BudgetSpent { kind, used, reserved, limit, step: None, needed }))
}

/// What follows when nothing can start because the budget is spent: it is told, and the run fails if that is its policy.
pub(super) fn stop(state: &RunState) -> Option<Event> {
    let (budget, spending) = (state.budget()?, state.spending()?);
    let (index, Shortage { kind, limit, used, reserved, needed }) = state.is_spent()?;
    let step = state.plan().path(index);
    if !spending.is_told() {
        let step = Some(step);
        return Some(Event::BudgetSpent(BudgetSpent { kind, used, reserved, limit, step, needed }));
    }
    // What waits for somebody or a moment comes to its end first; what waits for steps that cannot start never will.
    let is_stopped = |open: &OpenAttempt| open.suspended == Some(Need::Steps) && open.answer.is_none();
    let is_over = state.open_attempts().all(|(_, open)| is_stopped(open)) && state.held().next().is_none();
    (budget.on_spent == OnSpent::Stop && is_over).then(|| {
        let (used, limit) = (kind.show(used), kind.show(limit));
        let message = match needed {
            0 => format!("{used} of {limit} {kind} are used, and step \"{step}\" is to begin"),
            _ => format!("{used} of {limit} {kind} are used, and step \"{step}\" needs {}", kind.show(needed)),
        };
        let error = Failure { kind: AgentErrorKind::BudgetSpent, message };
        undo::after_failure(state, state.policy().on_error, None, error)
    })
}

/// Somebody raises the budget. A run that failed because it was spent goes on.
pub(super) fn raise(state: &RunState, add: Amounts, order: Order) -> Result<Vec<Event>, Rejection> {
    let is_spent = |failure: &Failure| failure.kind == AgentErrorKind::BudgetSpent;
    let failed = state.status() == RunStatus::Failed && state.failure().is_some_and(|(_, failure)| is_spent(failure));
    if !(state.status().takes_results() || failed) {
        return Err(Rejection::RunIs(state.status()));
    }
    let Some(budget) = state.budget() else { return Err(Rejection::BadBudget("the run has no budget".into())) };
    if add.is_zero() {
        return Err(Rejection::BadBudget("nothing is added".into()));
    }
    if let Some(kind) = Kind::ALL.iter().find(|kind| add.of(**kind) > 0 && budget.limit(**kind).is_none()) {
        return Err(Rejection::BadBudget(format!("the run's budget does not bound {kind}")));
    }
    let reopened = failed.then(|| {
        // The request is remembered by what it asked for.
        let order = Order { request: None, ..order.clone() };
        Event::RunReopened(RunReopened { order, generation: state.generation() + 1 })
    });
    Ok(reopened.into_iter().chain([Event::BudgetRaised(BudgetRaised { order, add })]).collect())
}

#[cfg(test)]
mod tests;
