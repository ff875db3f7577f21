//! Removing runs that have ended: as callers want, and by the rules of namespaces.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tutti_core::ids::{Namespace, RunId};
use tutti_core::limits::{EVENTS_PAGE, MAX_PURGE_EVENTS, MAX_PURGE_RUNS, ORPHAN_AGE, PURGE_EVENTS};
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::retention::{Housekeeping, Keep, PurgePage, PurgeRequest, RetentionRule};
use tutti_core::ports::query::RunQuery;
use tutti_core::ports::records::{Put, Record, RecordKey, RecordKind, RecordStore};
use tutti_core::ports::retention::{EndedRun, EndedRuns, HistoryHash, Retention, SweepPayloads, Tombstone};
use tutti_core::ports::store::StoreError;
use tutti_core::report::rfc3339;
use tutti_core::time::{Span, Timestamp};

use super::errors::of_store;
use crate::engine::Engine;

/// How often payloads and definitions are looked for that belong to no run.
const SWEEP: Duration = Duration::from_secs(3600);

/// Runs whose payloads are looked at by one sweep.
const SWEEP_PAGE: usize = 1_000;

/// How much longer than it worked a housekeeper rests, so that it takes a fifth of a store's time at most.
const REST: u32 = 4;

/// Runs whose histories are read at once.
const READS: usize = 4;

/// The name of the document that says how long the runs of its namespace are kept.
const RULE: &str = "runs";

/// What was removed, as [`RetentionService`] tells it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Runs.
    pub runs: u64,
    /// Their events.
    pub events: u64,
    /// Payloads of no run.
    pub payloads: u64,
    /// Definitions of no run.
    pub definitions: u64,
}

/// Removes runs and what belongs to none, and keeps the rules for it.
#[derive(Clone)]
pub struct RetentionService {
    pub(super) retention: Arc<dyn Retention>,
    query: Arc<dyn RunQuery>,
    records: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
    /// How long runs are kept whose namespace has no rule.
    keep: Keep,
    tell: Arc<dyn Fn(Removed) + Send + Sync>,
}

/// A rule as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// `None`: for ever.
    keep: Option<Span>,
}

/// How a service works through what it is to remove.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Somebody waits for it.
    Full,
    /// Nobody does.
    Easy,
}

impl RetentionService {
    /// Over the ports of one store. Runs of a namespace without a rule are kept as `keep` says; `tell` hears what is
    /// removed, when it is.
    #[must_use]
    pub fn new(
        retention: Arc<dyn Retention>,
        (query, records): (Arc<dyn RunQuery>, Arc<dyn RecordStore>),
        clock: Arc<dyn Clock>,
        keep: Keep,
        tell: impl Fn(Removed) + Send + Sync + 'static,
    ) -> Self {
        Self { retention, query, records, clock, keep, tell: Arc::new(tell) }
    }

    /// Removes what the rules let go and what belongs to no run, every so often, as long as it is polled. Of the servers of
    /// a store one does it: that which has a certain slot. If two believe to have it, nothing is harmed.
    pub async fn keep_house(&self, engine: &Engine, every: Duration) -> Infallible {
        let housekeeper = RunId::first_at(Timestamp::default());
        let mut swept: Option<Instant> = None;
        loop {
            sleep(every).await;
            if !engine.has(housekeeper) {
                continue;
            }
            if let Err(error) = self.apply_rules().await {
                tracing::warn!(%error, "runs that have ended were not all removed");
            }
            if swept.is_none_or(|at| at.elapsed() >= SWEEP) {
                swept = Some(Instant::now());
                if let Err(error) = self.sweep().await {
                    tracing::warn!(%error, "what belongs to no run was not all removed");
                }
            }
        }
    }

    /// Removes every run that its namespace does not keep any longer, in small pieces with rests between them.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn apply_rules(&self) -> Result<(), RequestError> {
        for namespace in self.retention.namespaces().await.map_err(of_store)? {
            let Keep::For(keep) = self.retention(&namespace).await?.keep else { continue };
            let ended_before = earlier(self.clock.now(), keep.0);
            let mut removed = Removed::default();
            let mut query = EndedRuns { namespace, ended_before, limit: MAX_PURGE_RUNS, ..EndedRuns::default() };
            loop {
                let found = self.retention.ended(query.clone()).await.map_err(of_store)?;
                let page = self.remove(&query.namespace, &found, Pace::Easy).await?;
                removed.runs += page.len() as u64;
                removed.events += events(&page);
                match found.last() {
                    Some(last) if found.len() == query.limit => query.before = Some(last.summary.run),
                    _ => break,
                }
            }
            if removed.runs > 0 {
                let (runs, events, until) = (removed.runs, removed.events, rfc3339(ended_before));
                tracing::info!(namespace = %query.namespace, runs, events, ended_before = until, "runs were purged by rule");
            }
        }
        Ok(())
    }

    /// Removes payloads and definitions that belong to no run.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn sweep(&self) -> Result<(), RequestError> {
        let before = earlier(self.clock.now(), ORPHAN_AGE);
        let mut removed = Removed::default();
        let mut after = None;
        loop {
            let begun = Instant::now();
            let query = SweepPayloads { before, after, limit: SWEEP_PAGE };
            let page = self.retention.sweep_payloads(query).await.map_err(of_store)?;
            removed.payloads += page.removed;
            after = page.next;
            if after.is_none() {
                break;
            }
            sleep(begun.elapsed() * REST).await;
        }
        removed.definitions = self.retention.sweep_definitions(self.clock.now(), before).await.map_err(of_store)?;
        if removed != Removed::default() {
            (self.tell)(removed);
            let Removed { payloads, definitions, .. } = removed;
            tracing::info!(payloads, definitions, "what belonged to no run was removed");
        }
        Ok(())
    }

    /// Removes runs in short transactions; those that were.
    async fn remove(
        &self,
        namespace: &Namespace,
        found: &[EndedRun],
        pace: Pace,
    ) -> Result<Vec<EndedRun>, RequestError> {
        let mut removed = Vec::with_capacity(found.len());
        let mut rest = found;
        while !rest.is_empty() {
            let begun = Instant::now();
            let piece;
            (piece, rest) = rest.split_at(fitting(rest, PURGE_EVENTS));
            match self.remove_at_once(namespace, piece).await {
                Ok(gone) => {
                    (self.tell)(Removed { runs: gone.len() as u64, events: events(&gone), ..Removed::default() });
                    removed.extend(gone);
                }
                // One that is too large for the store to remove in time must not keep the others.
                Err(error) if pace == Pace::Easy && piece.len() == 1 => {
                    tracing::warn!(run = %piece[0].summary.run, %error, "a run was not purged");
                }
                Err(error) => return Err(of_store(error)),
            }
            if pace == Pace::Easy {
                sleep(begun.elapsed() * REST).await;
            }
        }
        Ok(removed)
    }

    /// Removes runs in one transaction; those that were.
    async fn remove_at_once(&self, namespace: &Namespace, piece: &[EndedRun]) -> Result<Vec<EndedRun>, StoreError> {
        let stones = stream::iter(piece.to_vec()).map(|run| self.tombstone(namespace.clone(), run)).buffered(READS);
        let stones: Vec<Option<Tombstone>> = stones.try_collect().await?;
        let stones: Vec<Tombstone> = stones.into_iter().flatten().collect();
        let gone = self.retention.purge(stones.clone()).await?;
        let gone: Vec<RunId> = stones.iter().zip(gone).filter(|(_, gone)| *gone).map(|(stone, _)| stone.run).collect();
        Ok(piece.iter().filter(|run| gone.contains(&run.summary.run)).cloned().collect())
    }

    /// What is to stay of a run; `None` if its history is not what it was a moment ago.
    async fn tombstone(&self, namespace: Namespace, ended: EndedRun) -> Result<Option<Tombstone>, StoreError> {
        let EndedRun { summary, last_seq } = ended;
        let mut hash = HistoryHash::default();
        while hash.last_seq() < last_seq {
            let page = self.query.events(summary.run, hash.last_seq() + 1, EVENTS_PAGE).await?;
            if page.is_empty() {
                return Ok(None);
            }
            page.iter().for_each(|stored| hash.add(stored));
        }
        let stone = summary.ended_at.map(|ended_at| Tombstone {
            run: summary.run,
            namespace,
            workflow: summary.workflow,
            status: summary.status,
            ended_at,
            purged_at: self.clock.now(),
            last_seq,
            history: hash.digest(),
        });
        Ok(stone.filter(|_| hash.last_seq() == last_seq))
    }

    async fn rule(&self, namespace: &Namespace) -> Result<Option<(Record, Keep)>, RequestError> {
        let Some(record) = self.records.get(&rule_key(namespace)).await.map_err(of_store)? else { return Ok(None) };
        let kept: Kept = serde_json::from_slice(&record.blob)
            .map_err(|error| RequestError::Damaged(format!("the retention of namespace {namespace}: {error}")))?;
        Ok(Some((record, kept.keep.map_or(Keep::Forever, Keep::For))))
    }
}

#[async_trait]
impl Housekeeping for RetentionService {
    async fn purge(&self, request: PurgeRequest) -> Result<PurgePage, RequestError> {
        let PurgeRequest { namespace, filter, ended_before, before, limit, dry_run } = request;
        let limit = if limit == 0 { MAX_PURGE_RUNS } else { limit.min(MAX_PURGE_RUNS) };
        if ended_before > self.clock.now() {
            return Err(RequestError::invalid("ended_before", "must not be in the future"));
        }
        let query = EndedRuns { namespace, filter, ended_before, before, limit };
        let mut found = self.retention.ended(query.clone()).await.map_err(of_store)?;
        let is_full = found.len() == limit;
        let fits = if dry_run { found.len() } else { fitting(&found, MAX_PURGE_EVENTS) };
        let next = (is_full || fits < found.len()).then(|| found[fits - 1].summary.run);
        found.truncate(fits);
        let all = found.len();
        let runs = if dry_run { found } else { self.remove(&query.namespace, &found, Pace::Full).await? };
        Ok(PurgePage { kept: (all - runs.len()) as u64, runs, next })
    }

    async fn retention(&self, namespace: &Namespace) -> Result<RetentionRule, RequestError> {
        let own = self.rule(namespace).await?.map(|(_, keep)| keep);
        Ok(RetentionRule { keep: own.unwrap_or(self.keep), own: own.is_some() })
    }

    async fn set_retention(&self, namespace: &Namespace, own: Option<Keep>) -> Result<RetentionRule, RequestError> {
        if own.is_some_and(|keep| matches!(keep, Keep::For(span) if span.0 < Duration::from_secs(1))) {
            return Err(RequestError::invalid("keep_seconds", "must be at least 1"));
        }
        loop {
            let current = self.rule(namespace).await?.map(|(record, _)| record);
            let revision = current.as_ref().map_or(0, |record| record.revision);
            let key = rule_key(namespace);
            let done = match own {
                None if revision == 0 => true,
                None => self.records.delete(&key, revision).await.map_err(of_store)?,
                Some(keep) => {
                    let keep = if let Keep::For(span) = keep { Some(span) } else { None };
                    let blob = Bytes::from(serde_json::to_vec(&Kept { keep }).expect("a span serializes into memory"));
                    let put = self.records.put(Record { key, revision, blob }).await.map_err(of_store)?;
                    matches!(put, Put::Stored(_))
                }
            };
            if done {
                return self.retention(namespace).await;
            }
        }
    }
}

/// What is answered for a run that is not there: that it was removed, if it was.
pub(super) async fn missing(
    retention: Option<&dyn Retention>,
    namespace: &Namespace,
    run: RunId,
) -> Result<RequestError, RequestError> {
    let stone = match retention {
        Some(retention) => retention.tombstone(namespace, run).await.map_err(of_store)?,
        None => None,
    };
    Ok(RequestError::NotFound(stone.map_or_else(|| format!("run {run}"), |stone| stone.to_string())))
}

fn rule_key(namespace: &Namespace) -> RecordKey {
    RecordKey { kind: RecordKind::Retention, namespace: namespace.clone(), name: RULE.to_owned() }
}

/// How many of these runs have at most so many events together; at least one.
fn fitting(runs: &[EndedRun], most: u64) -> usize {
    let mut sum = 0_u64;
    let fits = runs.iter().take_while(|run| {
        sum = sum.saturating_add(run.last_seq);
        sum <= most
    });
    fits.count().max(1).min(runs.len())
}

fn events(runs: &[EndedRun]) -> u64 {
    runs.iter().map(|run| run.last_seq).sum()
}

fn earlier(now: Timestamp, span: Duration) -> Timestamp {
    Timestamp::from_micros(now.as_micros().saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests;
