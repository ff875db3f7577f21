//! Decide and evolve in one: an input becomes events, and what follows from them by itself is added.

use std::sync::Arc;

use super::event::{Event, Recorded, RunCreated};
use super::evolve::{begin, evolve};
use super::input::{Input, Rejection};
use super::rules;
use super::state::RunState;
use crate::plan::{Plan, StepIndex};
use crate::time::Timestamp;

/// What an accepted input did.
#[derive(Debug, Default)]
pub struct Applied {
    /// The events, in order. None: the input was true already.
    pub events: Vec<Recorded>,
    /// Steps whose open work may have changed.
    pub touched: Vec<StepIndex>,
}

/// The state of a new run and its first event.
#[must_use]
pub fn create(plan: Arc<Plan>, created: RunCreated, now: Timestamp) -> (RunState, Recorded) {
    let event = Recorded { seq: 1, at: now, event: Event::RunCreated(Box::new(created.clone())) };
    (begin(plan, created, now), event)
}

/// Decides an input on a state, evolves the state by the events, and adds to `applied` what happened.
///
/// # Errors
/// [`Rejection`]; the state is then as it was.
pub fn apply(state: &mut RunState, input: &Input, now: Timestamp, applied: &mut Applied) -> Result<(), Rejection> {
    let mut events = rules::decide(state, input, now)?;
    while !events.is_empty() {
        for event in events {
            let recorded = Recorded { seq: state.seq() + 1, at: now, event };
            evolve(state, &recorded, &mut applied.touched);
            applied.events.push(recorded);
        }
        events = rules::settle(state).into_iter().collect();
    }
    Ok(())
}
