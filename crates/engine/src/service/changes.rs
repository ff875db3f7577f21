//! Following all runs that a filter takes.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until, timeout};
use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::views::{Changes, RunChange};
use tutti_core::ports::query::{ListRuns, RunSummary};
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;

use super::RunService;
use super::errors::of_store;
use crate::hub::Changed;

/// Shortest time between two messages of a change stream: what changes in between is told together.
const CONFLATE: Duration = Duration::from_millis(100);

/// How often runs of other servers are looked at: nothing is heard of them here.
const LOOK: Duration = Duration::from_secs(1);

/// Runs of other servers that are looked at beside those that were told: the newest.
const NEWEST: usize = 100;

/// A change stream.
pub(super) struct Following {
    changed: Changed,
    service: RunService,
    namespace: Namespace,
    filter: RunFilter,
    /// Open runs that were told and that the filter took, to tell when it takes them no more.
    told: BTreeSet<RunId>,
    /// Runs of other servers as they were seen last.
    elsewhere: HashMap<RunId, (RunStatus, Timestamp)>,
    looked: Instant,
    /// Not before this moment is told again.
    next: Instant,
}

impl Following {
    pub(super) async fn new(
        service: RunService,
        namespace: Namespace,
        filter: RunFilter,
    ) -> Result<Self, RequestError> {
        let now = Instant::now();
        let changed = service.engine.changes();
        let (told, elsewhere) = (BTreeSet::new(), HashMap::new());
        let mut following = Self { changed, service, namespace, filter, told, elsewhere, looked: now, next: now };
        // What is there already has not changed.
        following.look_elsewhere().await?;
        Ok(following)
    }

    /// Runs of other servers that are not as they were.
    async fn look_elsewhere(&mut self) -> Result<BTreeSet<RunId>, RequestError> {
        self.looked = Instant::now();
        if self.service.engine.has_all() {
            return Ok(BTreeSet::new());
        }
        let query = &self.service.ports().query;
        let newest =
            ListRuns { namespace: self.namespace.clone(), filter: self.filter.clone(), limit: NEWEST, cursor: None };
        let mut runs: Vec<RunSummary> = query.list(newest).await.map_err(of_store)?.runs;
        for run in
            self.told.iter().filter(|run| runs.iter().all(|other| other.run != **run)).copied().collect::<Vec<_>>()
        {
            runs.extend(query.find(&self.namespace, run).await.map_err(of_store)?);
        }
        runs.retain(|run| !self.service.engine.has(run.run));
        let now: HashMap<_, _> = runs.iter().map(|run| (run.run, (run.status, run.updated_at))).collect();
        let changed = now.iter().filter(|(run, seen)| self.elsewhere.get(*run) != Some(*seen)).map(|(run, _)| *run);
        let changed = changed.collect();
        self.elsewhere = now;
        Ok(changed)
    }

    /// What is told of a run that changed: nothing if the filter does not take it and did not before.
    async fn change(&mut self, run: RunId) -> Result<Option<RunChange>, RequestError> {
        let found = self.service.ports().query.find(&self.namespace, run).await.map_err(of_store)?;
        let Some(mut summary) = found else { return Ok(None) };
        self.service.count_now(&mut summary).await?;
        let matches = self.filter.takes(&summary);
        let before = if matches { !self.told.insert(run) } else { self.told.remove(&run) };
        if summary.status.is_ended() && summary.status != RunStatus::Failed {
            // It changes no more.
            self.told.remove(&run);
        }
        Ok((matches || before).then_some(RunChange { run: summary, matches }))
    }
}

#[async_trait]
impl Changes for Following {
    async fn next(&mut self) -> Result<Option<Vec<RunChange>>, RequestError> {
        loop {
            sleep_until(self.next).await;
            let mut changed = match timeout(LOOK, self.changed.next()).await {
                Ok(Ok(Some(changed))) => changed,
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(_)) => {
                    let reason = "too many runs changed at once; list them again, and then follow anew".to_owned();
                    return Err(RequestError::Exhausted { reason, retry_after: None });
                }
                Err(_) => BTreeSet::new(),
            };
            if self.looked.elapsed() >= LOOK {
                changed.extend(self.look_elsewhere().await?);
            }
            self.next = Instant::now() + CONFLATE;
            let mut changes = Vec::new();
            for run in changed {
                changes.extend(self.change(run).await?);
            }
            if !changes.is_empty() {
                return Ok(Some(changes));
            }
        }
    }
}
