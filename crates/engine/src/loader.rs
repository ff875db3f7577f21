//! Takes over a run: claims it and folds its history.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;

use tutti_core::ids::RunId;
use tutti_core::limits::{EVENTS_PAGE, MAX_CLAIMS};
use tutti_core::plan::Plan;
use tutti_core::ports::query::{RunQuery, RunSummary};
use tutti_core::ports::store::{Claim, ClaimOutcome, Claimer, Commit, CommitOutcome, RunStore, Wake};
use tutti_core::run::{
    Event, FORMAT, Recorded, RunQuarantined, RunState, RunStatus, decode, decode_state, encode, evolve, fold,
};
use tutti_core::time::Timestamp;
use tutti_core::value::Digest;
use tutti_core::workflow::Workflow;

use crate::engine::EngineError;
use crate::plans::Plans;

/// Why a run is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeOver {
    /// Its owner is gone. A run that was taken over again and again without progress is set aside instead.
    Automatic,
    /// Somebody wants it to go on, whatever happened to it before.
    ByOperator,
}

/// A run as it was found, and the right to go on with it.
#[derive(Debug)]
pub struct Loaded {
    /// Its state.
    pub state: RunState,
    /// The epoch of the claim, for commits.
    pub epoch: u64,
}

/// Claims a run and loads its state: the newest snapshot and the events after it. It shares its plan with the runs that follow
/// the same. `again` as in [`Claimer::again`].
///
/// # Errors
/// [`EngineError`]: no such run, a store that fails, a history that is damaged or too new, or a run that was claimed again
/// and again without progress and is now set aside.
pub async fn load(
    store: &dyn RunStore,
    (query, plans): (&dyn RunQuery, &Plans),
    run: RunId,
    why: TakeOver,
    again: bool,
    now: Timestamp,
    commit_id: u128,
) -> Result<Loaded, EngineError> {
    let claim = match store.claim(run, Claimer { reads: FORMAT, again }).await? {
        ClaimOutcome::Claimed(claim) => claim,
        ClaimOutcome::TooNew(needs) => return Err(EngineError::TooNew { run, needs, reads: FORMAT }),
        ClaimOutcome::NotFound => return Err(EngineError::NotFound(run)),
    };
    if why == TakeOver::Automatic {
        // Counted before the history is read: reading it may be what takes a server down.
        // A run that waits for somebody does nothing that could.
        let works = !claim.summary.status.is_ended() && claim.summary.status != RunStatus::Waiting;
        if claim.claims > MAX_CLAIMS && works {
            let reason = format!("{MAX_CLAIMS} owners claimed it and were lost without progress");
            quarantine(store, run, &claim, reason, now, commit_id).await?;
            return Err(EngineError::Quarantined(run));
        }
        if claim.summary.status == RunStatus::Quarantined {
            return Err(EngineError::Quarantined(run));
        }
    }
    // Only to read a run may panic, and must not take down whoever loads it among others.
    let folded = AssertUnwindSafe(fold_claimed(store, (query, plans), run, &claim)).catch_unwind().await;
    let panicked = |_| Err(EngineError::Damaged { run, reason: "to read its history panicked".into() });
    match folded.unwrap_or_else(panicked) {
        Ok(state) => Ok(Loaded { state, epoch: claim.epoch }),
        // What was changed behind the product's back is set aside, so that nothing is built on it.
        Err(error @ (EngineError::Damaged { .. } | EngineError::Definition { .. })) => {
            quarantine(store, run, &claim, error.to_string(), now, commit_id).await?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

async fn fold_claimed(
    store: &dyn RunStore,
    (query, plans): (&dyn RunQuery, &Plans),
    run: RunId,
    claim: &Claim,
) -> Result<RunState, EngineError> {
    let plan = match plans.of(claim.summary.definition) {
        Some(plan) => plan,
        None => plans.shared(load_plan(query, claim.summary.definition).await?),
    };
    let state = load_state(store, query, run, &plan).await?;
    if state.seq() == claim.last_seq {
        return Ok(state);
    }
    let reason = format!("its history ends at {} instead of {}", state.seq(), claim.last_seq);
    Err(EngineError::Damaged { run, reason })
}

/// The plan of a stored definition.
///
/// # Errors
/// [`EngineError::Definition`] if it is missing or not what its hash says; [`EngineError::Store`].
pub async fn load_plan(query: &dyn RunQuery, definition: Digest) -> Result<Arc<Plan>, EngineError> {
    let damaged = |reason: String| EngineError::Definition { definition, reason };
    let bytes = query.definition(definition).await?.ok_or_else(|| damaged("it is missing".into()))?;
    if Digest::of(&bytes) != definition {
        return Err(damaged("its content does not have its hash".into()));
    }
    let workflow = Workflow::from_canonical(&bytes).map_err(damaged)?;
    Plan::new(workflow).map_err(|problems| damaged(problems.first().map(ToString::to_string).unwrap_or_default()))
}

async fn load_state(
    store: &dyn RunStore,
    query: &dyn RunQuery,
    run: RunId,
    plan: &Arc<Plan>,
) -> Result<RunState, EngineError> {
    let snapshot = store.snapshot(run).await?;
    let mut state = snapshot.as_ref().and_then(|snapshot| decode_state(plan, snapshot));
    let mut touched = Vec::new();
    loop {
        let from = state.as_ref().map_or(1, |state| state.seq() + 1);
        let page = query.events(run, from, EVENTS_PAGE).await?;
        let damaged = |reason: String| EngineError::Damaged { run, reason };
        let mut events = Vec::with_capacity(page.len());
        for (stored, expected) in page.iter().zip(from..) {
            if stored.event.seq != expected {
                return Err(damaged(format!("event {expected} is missing")));
            }
            events.push(decode(&stored.event).map_err(|e| damaged(e.to_string()))?);
        }
        match &mut state {
            Some(state) => events.iter().for_each(|event| evolve(state, event, &mut touched)),
            None => state = Some(fold(plan, &events).ok_or_else(|| damaged("it has no beginning".into()))?),
        }
        touched.clear();
        if page.len() < EVENTS_PAGE {
            break;
        }
    }
    state.ok_or_else(|| EngineError::Damaged { run, reason: "it has no beginning".into() })
}

/// Sets aside a run that nobody drives, without reading its history.
///
/// # Errors
/// [`EngineError`].
pub(crate) async fn set_aside(
    store: &dyn RunStore,
    run: RunId,
    reason: String,
    now: Timestamp,
    commit_id: u128,
) -> Result<(), EngineError> {
    match store.claim(run, Claimer { reads: FORMAT, again: false }).await? {
        ClaimOutcome::Claimed(claim) => quarantine(store, run, &claim, reason, now, commit_id).await,
        ClaimOutcome::TooNew(_) | ClaimOutcome::NotFound => Ok(()),
    }
}

/// Sets a run aside without reading its history.
async fn quarantine(
    store: &dyn RunStore,
    run: RunId,
    claim: &Claim,
    reason: String,
    now: Timestamp,
    commit_id: u128,
) -> Result<(), EngineError> {
    if claim.summary.status == RunStatus::Quarantined || claim.summary.status.is_ended() {
        return Ok(());
    }
    let event = Event::RunQuarantined(RunQuarantined { reason });
    let commit = Commit {
        run,
        epoch: claim.epoch,
        expected: claim.last_seq,
        commit_id,
        events: vec![encode(&Recorded { seq: claim.last_seq + 1, at: now, event })],
        summary: Some(RunSummary { status: RunStatus::Quarantined, updated_at: now, ..claim.summary.clone() }),
        wake: Wake::OnInput,
        consumed: Vec::new(),
        min_reader: claim.min_reader,
    };
    match store.commit(vec![commit]).await?.first() {
        Some(CommitOutcome::Committed) => Ok(()),
        _ => Err(EngineError::NotLive(run)),
    }
}
