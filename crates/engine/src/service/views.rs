//! Looking at runs.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::values::Values;
use tutti_core::ports::inbound::views::{Changes, EventPage, EventsRequest, ListRequest, Views};
use tutti_core::ports::query::{RunCounts, RunPage, RunSummary};
use tutti_core::report::{Explanation, RunView};
use tutti_core::value::{Json, PayloadRef};

use super::RunService;
use super::changes::Following;
use super::errors::{of_engine, of_store};
use crate::hub::Update;

/// Runs listed on a page if the caller does not say.
const PAGE: usize = 50;

/// How often the events of a run of another server are looked for while somebody waits for them.
const ELSEWHERE: Duration = Duration::from_millis(100);

#[async_trait]
impl Views for RunService {
    async fn get(&self, namespace: &Namespace, run: RunId) -> Result<RunView, RequestError> {
        self.view(&self.summary(namespace, run).await?).await
    }

    async fn list(&self, request: ListRequest) -> Result<RunPage, RequestError> {
        let (query, page) = (&self.ports().query, request.query);
        let mut found = match request.prefix {
            None => query.list(page).await.map_err(of_store)?,
            Some(prefix) => {
                let limit = if page.limit == 0 { PAGE } else { page.limit };
                let runs = query.find_by_prefix(&page.namespace, &prefix.to_ascii_lowercase(), limit).await;
                RunPage { runs: runs.map_err(of_store)?, next: None }
            }
        };
        for run in &mut found.runs {
            self.count_now(run).await?;
        }
        Ok(found)
    }

    async fn count(&self, namespace: &Namespace, filter: &RunFilter) -> Result<RunCounts, RequestError> {
        self.ports().query.count(namespace, filter).await.map_err(of_store)
    }

    async fn events(&self, request: EventsRequest) -> Result<EventPage, RequestError> {
        let EventsRequest { namespace, run, from, limit, wait } = request;
        let deadline = Instant::now() + wait;
        let mut watch = None;
        loop {
            // Asked first: what is recorded before the end is then in the page.
            let ended = self.summary(&namespace, run).await?.status.is_ended();
            let page = self.ports().query.events(run, from.max(1), limit).await.map_err(of_store)?;
            if !page.is_empty() || ended || Instant::now() >= deadline {
                return Ok(EventPage { events: page.into_iter().map(|stored| stored.event).collect(), ended });
            }
            // News only wake: what is told is read from the store. Listened to before the store is read once more.
            let Some(news) = &mut watch else {
                watch = Some(self.engine.watch(run));
                continue;
            };
            // Of a run of another server nothing is heard here.
            let look = if self.engine.has(run) { deadline } else { deadline.min(Instant::now() + ELSEWHERE) };
            loop {
                match timeout_at(look, news.next()).await {
                    Ok(Ok(Some(Update::Progress { .. }))) => {}
                    Ok(Ok(Some(Update::Event(_))) | Err(_)) | Err(_) => break,
                    Ok(Ok(Some(Update::Released) | None)) => {
                        watch = None;
                        break;
                    }
                }
            }
        }
    }

    async fn explain(
        &self,
        namespace: &Namespace,
        run: RunId,
        step: Option<&str>,
    ) -> Result<Explanation, RequestError> {
        self.explanation(namespace, run, step).await
    }

    async fn changes(&self, namespace: &Namespace, filter: &RunFilter) -> Result<Box<dyn Changes>, RequestError> {
        Ok(Box::new(Following::new(self.clone(), namespace.clone(), filter.clone()).await?))
    }
}

#[async_trait]
impl Values for RunService {
    async fn data(&self, namespace: &Namespace, run: RunId) -> Result<Json, RequestError> {
        let view = self.get(namespace, run).await?;
        self.data_of(&view).await
    }

    async fn payload(&self, namespace: &Namespace, run: RunId, at: PayloadRef) -> Result<Bytes, RequestError> {
        self.summary(namespace, run).await?;
        let found = self.ports().payloads.get(run, at).await.map_err(of_store)?;
        found.ok_or_else(|| RequestError::NotFound(format!("payload {} of run {run}", at.hash)))
    }
}

impl RunService {
    /// Puts the counts of this moment into the line of a run that is driven here: what the store has is as old as the
    /// run's state.
    pub(super) async fn count_now(&self, run: &mut RunSummary) -> Result<(), RequestError> {
        if !run.status.is_ended()
            && let Some(progress) = self.engine.progress(run.run).await.map_err(of_engine)?
        {
            (run.completed, run.failed) = (progress.completed, progress.failed);
        }
        Ok(())
    }
}
