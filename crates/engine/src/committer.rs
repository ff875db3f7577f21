//! Group commit: what is queued goes to the store together, and comes back only when it is durable.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tutti_core::limits::{MAX_COMMIT_BYTES, MAX_COMMIT_RUNS};
use tutti_core::ports::observer::{CommitSample, Observer};
use tutti_core::ports::store::{Commit, CommitOutcome, RunStore, StoreError};

use crate::driver::{Decided, Message, Settled};

/// First and longest wait before a commit in doubt is repeated.
const RETRY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));

/// Drains what is queued, commits it in one call, and tells the lane. Ends when the lane is gone.
pub(crate) async fn run(
    store: Arc<dyn RunStore>,
    observer: Arc<dyn Observer>,
    mut queue: mpsc::UnboundedReceiver<Decided>,
    lane: mpsc::UnboundedSender<Message>,
) {
    let mut held = None;
    while let Some(first) = match held.take() {
        Some(decided) => Some(decided),
        None => queue.recv().await,
    } {
        let batch = fill(first, &mut queue, &mut held);
        let settled = commit(&*store, &*observer, batch).await;
        if lane.send(Message::Settled(settled)).is_err() {
            return;
        }
    }
}

/// Takes what is queued up to the caps. What would go over them, or is a second commit of a run, is held for the next.
fn fill(first: Decided, queue: &mut mpsc::UnboundedReceiver<Decided>, held: &mut Option<Decided>) -> Vec<Decided> {
    let mut bytes = size(&first.commit);
    let mut runs = HashSet::from([first.commit.run]);
    let mut batch = vec![first];
    while batch.len() < MAX_COMMIT_RUNS
        && let Ok(next) = queue.try_recv()
    {
        bytes += size(&next.commit);
        if bytes > MAX_COMMIT_BYTES || !runs.insert(next.commit.run) {
            *held = Some(next);
            break;
        }
        batch.push(next);
    }
    // Stores that lock rows must meet them in one order. Decisions are large: each is moved once.
    batch.sort_by_cached_key(|decided| decided.commit.run);
    batch
}

fn size(commit: &Commit) -> usize {
    commit.events.iter().map(|event| event.blob.len() + 64).sum()
}

/// Commits a batch. A commit in doubt is repeated as it was: the store knows it by its id. A batch that the store refuses
/// for good is halved until the run that cannot be written stands alone.
async fn commit(store: &dyn RunStore, observer: &dyn Observer, batch: Vec<Decided>) -> Vec<Settled> {
    let mut settled = Vec::with_capacity(batch.len());
    let mut parts = vec![batch];
    while let Some(mut part) = parts.pop() {
        let commits: Vec<Commit> = part.iter().map(|decided| decided.commit.clone()).collect();
        match persist(store, observer, &commits).await {
            Ok(outcomes) => {
                settled.extend(part.into_iter().zip(outcomes).map(|(decided, outcome)| decided.settle(Ok(outcome))));
            }
            Err(error) if part.len() > 1 => {
                tracing::warn!(%error, runs = part.len(), "a commit was refused as a whole; it is halved");
                let rest = part.split_off(part.len() / 2);
                parts.push(rest);
                parts.push(part);
            }
            Err(error) => settled.extend(part.into_iter().map(|decided| decided.settle(Err(error.clone())))),
        }
    }
    settled
}

async fn persist(
    store: &dyn RunStore,
    observer: &dyn Observer,
    commits: &[Commit],
) -> Result<Vec<CommitOutcome>, StoreError> {
    let (mut wait, longest) = RETRY;
    loop {
        let began = Instant::now();
        let answer = store.commit(commits.to_vec()).await;
        observer.committed(commits, CommitSample { took: began.elapsed(), answered: answer.is_ok() });
        match answer {
            Ok(outcomes) if outcomes.len() == commits.len() => return Ok(outcomes),
            Ok(outcomes) => {
                let reason = format!("{} answers to {} commits", outcomes.len(), commits.len());
                return Err(StoreError::Permanent(reason));
            }
            Err(error) if error.is_retryable() => {
                tracing::warn!(%error, "a commit in doubt is repeated");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(longest);
            }
            Err(error) => return Err(error),
        }
    }
}
