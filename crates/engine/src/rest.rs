//! Commands of processes without an engine: for runs that nobody drives, recorded at once and acted on by whoever drives the
//! run next; for others, by the inbox.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tutti_core::ids::{RequestId, RunId};
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inbox::{Inbox, InboxItem, Letter, Verdict};
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::RunQuery;
use tutti_core::ports::store::{Commit, CommitOutcome, RunStore, StoreError};
use tutti_core::run::{Applied, Command, Fault, Input, Order, Refusal, RunState, apply, encode, min_reader};
use tutti_core::value::Payload;

use crate::engine::EngineError;
use crate::loader::{TakeOver, load};
use crate::plans::Plans;

/// How often it is asked what became of a posted command, at first and at most.
const ASK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// How long whoever drives the run may take.
const PATIENCE: Duration = Duration::from_secs(20);

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
    let mut loaded = load(store, (query, &Plans::default()), run, TakeOver::ByOperator, false, now, commit_id).await?;
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

/// Posts a command for a run that another process drives, and waits for what becomes of it.
///
/// # Errors
/// [`EngineError::Refused`] if the run's state does not allow it; [`EngineError::NotLive`] if nobody answered in time: the
/// command stays posted, and asking again by the same request tells what became of it.
pub async fn command_by_inbox(
    inbox: &dyn Inbox,
    clock: &dyn Clock,
    run: RunId,
    (command, order): (Command, Order),
) -> Result<(), EngineError> {
    let request = order.request.unwrap_or_else(|| RequestId::from_u128(clock.random()));
    let order = Order { request: Some(request), ..order };
    let blob = Letter { command, order }.encode();
    inbox.post(InboxItem { run, request, at: clock.now(), blob }).await?;
    let deadline = Instant::now() + PATIENCE;
    let (mut wait, longest) = ASK;
    loop {
        if let Some(outcome) = inbox.outcome(run, request).await? {
            return match Verdict::decode(&outcome).map_err(StoreError::Corrupt)? {
                Verdict::Applied => Ok(()),
                Verdict::Rejected(reason) => Err(EngineError::Refused(Refusal { fault: Fault::State, reason })),
                Verdict::Refused(refusal) => Err(EngineError::Refused(refusal)),
            };
        }
        if timeout_at(deadline, sleep(wait)).await.is_err() {
            return Err(EngineError::NotLive(run));
        }
        wait = (wait * 2).min(longest);
    }
}

/// Puts the answer of a signal, or the output that a person gives, into the payload store if it is too large for the history.
pub(crate) async fn store_answer(
    payloads: &dyn PayloadStore,
    run: RunId,
    command: &mut Command,
) -> Result<(), StoreError> {
    if let Command::Signal { answer, .. } | Command::Decide { output: Some(answer), .. } = command
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
