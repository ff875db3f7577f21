//! Commands for runs that nobody drives: recorded at once, acted on by whoever drives the run next.

use tutti_core::ids::RunId;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::RunQuery;
use tutti_core::ports::store::{Commit, CommitOutcome, RunStore, StoreError};
use tutti_core::run::{Applied, Command, Input, Order, RunState, apply, encode, min_reader};
use tutti_core::value::Payload;

use crate::engine::EngineError;
use crate::loader::{TakeOver, load};

/// Has a command applied to a run that no engine drives; agents are not asked for anything. The run's new state.
///
/// # Errors
/// [`EngineError`]; [`EngineError::Rejected`] if the run's state does not allow it, [`EngineError::NotLive`] if another
/// engine took the run over meanwhile.
pub async fn command_at_rest(
    store: &dyn RunStore,
    query: &dyn RunQuery,
    payloads: &dyn PayloadStore,
    clock: &dyn Clock,
    run: RunId,
    (mut command, order): (Command, Order),
) -> Result<RunState, EngineError> {
    store_answer(payloads, run, &mut command).await?;
    let (now, commit_id) = (clock.now(), clock.random());
    let mut loaded = load(store, query, run, TakeOver::ByOperator, now, commit_id).await?;
    let expected = loaded.state.seq();
    let mut applied = Applied::default();
    let input = Input::Command { command, order };
    apply(&mut loaded.state, &input, now, &mut applied)?;
    if applied.events.is_empty() {
        return Ok(loaded.state);
    }
    let commit = Commit {
        run,
        epoch: loaded.epoch,
        expected,
        commit_id: clock.random(),
        events: applied.events.iter().map(encode).collect(),
        summary: Some(loaded.state.summary()),
        wake: loaded.state.wake(),
        consumed: Vec::new(),
        min_reader: min_reader(&applied.events),
    };
    match store.commit(vec![commit]).await?.first() {
        Some(CommitOutcome::Committed) => Ok(loaded.state),
        _ => Err(EngineError::NotLive(run)),
    }
}

/// Puts the answer of a signal into the payload store if it is too large for the history.
pub(crate) async fn store_answer(
    payloads: &dyn PayloadStore,
    run: RunId,
    command: &mut Command,
) -> Result<(), StoreError> {
    if let Command::Signal { answer, .. } = command
        && let Payload::Inline(value) = &*answer
    {
        let payload = Payload::of(value);
        if let Payload::Stored(_) = payload {
            payloads.put(run, value.bytes().clone()).await?;
        }
        *answer = payload;
    }
    Ok(())
}
