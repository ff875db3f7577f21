//! What runs took is kept for the plans of the next ones: a document per workflow, written in batches when runs have ended.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tutti_core::ids::{Namespace, RunId, WorkflowId};
use tutti_core::limits::{MAX_LEARNED_STEPS, MAX_REPLANS};
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::observer::{CommitSample, Observer};
use tutti_core::ports::records::{Put, Record, RecordKey, RecordKind, RecordStore};
use tutti_core::ports::store::{Commit, StoreError};
use tutti_core::report::{Lesson, PastRuns};
use tutti_core::run::{Event, Recorded, decode};

use super::errors::of_store;
use super::{RunService, access};

/// Completed runs that wait to be learned from; what ends beyond is passed over. So a server that completes thousands of
/// runs a second learns from a sample of them, and its runs do not pay for it.
const WAITING: usize = 64;

/// Failed runs that wait to be planned anew.
const FAILURES: usize = 10_000;

/// How long ends are gathered before they are learned from.
const GATHER: Duration = Duration::from_secs(1);

/// Most runs of one workflow that are learned from at once.
const PER_WORKFLOW: usize = 8;

/// Times that a document is written anew when another server wrote it at the same time.
const TRIES: usize = 5;

/// Looks on for another, and tells of runs that are complete or failed.
pub struct Ended {
    inner: Arc<dyn Observer>,
    complete: Sender<RunId>,
    failed: Sender<RunId>,
}

/// The runs that [`Ended`] tells of.
#[derive(Debug)]
pub struct EndedRuns {
    complete: Receiver<RunId>,
    failed: Receiver<RunId>,
}

impl Ended {
    /// An observer in front of another.
    #[must_use]
    pub fn before(inner: Arc<dyn Observer>) -> (Arc<Self>, EndedRuns) {
        let ((complete, completed), (failed, failures)) = (channel(WAITING), channel(FAILURES));
        (Arc::new(Self { inner, complete, failed }), EndedRuns { complete: completed, failed: failures })
    }
}

impl Observer for Ended {
    fn recorded(&self, run: RunId, event: &Arc<Recorded>) {
        // Nobody waits for it: a run too many is not learned from, or has no new plan until the server starts again.
        let _ = match event.event {
            Event::RunCompleted(_) => self.complete.try_send(run),
            Event::RunFailed(_) => self.failed.try_send(run),
            _ => Ok(()),
        };
        self.inner.recorded(run, event);
    }

    fn committed(&self, commits: &[Commit], sample: CommitSample) {
        self.inner.committed(commits, sample);
    }
}

/// What past runs of a workflow took; nothing if there is no document, or one that cannot be read.
///
/// # Errors
/// [`StoreError`].
pub async fn past_runs(
    records: &dyn RecordStore,
    namespace: &Namespace,
    workflow: &WorkflowId,
) -> Result<PastRuns, StoreError> {
    let found = records.get(&key(namespace, workflow)).await?;
    Ok(found.map(|record| read(&record)).unwrap_or_default())
}

/// Adds lessons to what is kept of a workflow.
///
/// # Errors
/// [`StoreError`].
pub async fn learn(
    records: &dyn RecordStore,
    namespace: &Namespace,
    workflow: &WorkflowId,
    lessons: &[Lesson],
) -> Result<(), StoreError> {
    let key = key(namespace, workflow);
    let mut there = records.get(&key).await?;
    for _ in 0..TRIES {
        let mut past = there.as_ref().map(read).unwrap_or_default();
        lessons.iter().for_each(|lesson| past.learn(lesson));
        let blob: Bytes = serde_json::to_vec(&past).expect("a document of names and numbers").into();
        let revision = there.as_ref().map_or(0, |record| record.revision);
        match records.put(Record { key: key.clone(), revision, blob }).await? {
            Put::Stored(_) => return Ok(()),
            Put::Conflict(other) => there = other,
        }
    }
    // Others write it all the time: these lessons are no loss.
    Ok(())
}

fn key(namespace: &Namespace, workflow: &WorkflowId) -> RecordKey {
    RecordKey { kind: RecordKind::PastRuns, namespace: namespace.clone(), name: workflow.to_string() }
}

fn read(record: &Record) -> PastRuns {
    serde_json::from_slice(&record.blob).unwrap_or_default()
}

impl RunService {
    /// Learns from the runs of this server that are complete, and plans anew those that failed if that was wished for, until
    /// it is dropped.
    pub async fn follow_ended(&self, ended: EndedRuns) -> Infallible {
        let EndedRuns { complete, failed } = ended;
        tokio::join!(self.learn(complete), self.replan_failed(failed)).0
    }

    /// Plans failed runs anew: first those that failed when no server was there to do it.
    async fn replan_failed(&self, mut failed: Receiver<RunId>) -> Infallible {
        if let Err(error) = self.replan_left().await {
            tracing::warn!(%error, "runs that failed before were not planned anew");
        }
        loop {
            let Some(run) = failed.recv().await else { std::future::pending().await };
            self.replan_or_tell(run).await;
        }
    }

    async fn replan_left(&self) -> Result<(), RequestError> {
        if self.planner.is_none() {
            return Ok(());
        }
        let mut namespaces = vec![Namespace::default()];
        let named = access::all(&*self.ports().records, RecordKind::Namespace, "").await?;
        namespaces.extend(named.iter().filter_map(|record| record.key.name.parse().ok()));
        for namespace in namespaces {
            for run in self.to_replan(&namespace, MAX_REPLANS).await? {
                self.replan_or_tell(run).await;
            }
        }
        Ok(())
    }

    async fn replan_or_tell(&self, run: RunId) {
        match self.replan(run).await {
            Ok(Some(next)) => tracing::info!(%run, %next, "a failed run was planned anew"),
            Ok(None) => {}
            Err(error) => tracing::warn!(%run, %error, "a failed run was not planned anew"),
        }
    }

    async fn learn(&self, mut complete: Receiver<RunId>) -> Infallible {
        loop {
            let Some(first) = complete.recv().await else { std::future::pending().await };
            tokio::time::sleep(GATHER).await;
            let mut runs = vec![first];
            while let Ok(run) = complete.try_recv() {
                runs.push(run);
            }
            if let Err(error) = self.learn_from(&runs).await {
                tracing::warn!(%error, "what runs took was not kept for the plans of the next ones");
            }
        }
    }

    async fn learn_from(&self, runs: &[RunId]) -> Result<(), RequestError> {
        let mut lessons: BTreeMap<(Namespace, WorkflowId), Vec<Lesson>> = BTreeMap::new();
        for run in runs {
            let Some(namespace) = self.namespace_of(*run).await? else { continue };
            let found = self.ports().query.find(&namespace, *run).await.map_err(of_store)?;
            let Some(summary) = found else { continue };
            let of_workflow = lessons.entry((namespace, summary.workflow.clone())).or_default();
            if of_workflow.len() < PER_WORKFLOW && summary.steps as usize <= MAX_LEARNED_STEPS {
                of_workflow.extend(Lesson::of(&self.view(&summary).await?));
            }
        }
        for ((namespace, workflow), lessons) in lessons.into_iter().filter(|(_, lessons)| !lessons.is_empty()) {
            learn(&*self.ports().records, &namespace, &workflow, &lessons).await.map_err(of_store)?;
        }
        Ok(())
    }

    /// Whose run it is; its first event says so. `None` if it was removed.
    pub(super) async fn namespace_of(&self, run: RunId) -> Result<Option<Namespace>, RequestError> {
        let page = self.ports().query.events(run, 1, 1).await.map_err(of_store)?;
        let Some(first) = page.first() else { return Ok(None) };
        let first = decode(&first.event).map_err(|error| RequestError::Damaged(error.to_string()))?;
        Ok(match first.event {
            Event::RunCreated(created) => Some(created.namespace.clone()),
            _ => None,
        })
    }
}
