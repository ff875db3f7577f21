//! A server read as if it were a store.

use std::sync::PoisonError;

use async_trait::async_trait;
use bytes::Bytes;
use tonic::{Code, Status};
use tutti_api::v1;
use tutti_core::ids::{Namespace, RunId};
use tutti_core::limits::EVENTS_PAGE;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::{ListRuns, RunCounts, RunPage, RunQuery, RunSummary};
use tutti_core::ports::store::{StoreError, StoredEvent};
use tutti_core::value::{Digest, PayloadRef};

use super::super::convert::{counts_in, event_in, summary_in};
use super::{ApiClient, ApiError, named, timed};

#[async_trait]
impl RunQuery for ApiClient {
    async fn list(&self, query: ListRuns) -> Result<RunPage, StoreError> {
        let request = v1::ListRunsRequest {
            namespace: named(&query.namespace),
            filter: query.filter.to_string(),
            run_id_prefix: String::new(),
            page_size: u32::try_from(query.limit).unwrap_or(u32::MAX),
            page_token: query.cursor.unwrap_or_default(),
        };
        let answer = self.service.clone().list_runs(timed(request)).await;
        let answer = answer.map_err(|status| match tutti_a2a::error::violations(&status).first() {
            Some((field, _)) if field == "page_token" => StoreError::BadCursor,
            _ => store_error(status),
        })?;
        let answer = answer.into_inner();
        let runs = self.noted(&query.namespace, answer.runs)?;
        Ok(RunPage { runs, next: Some(answer.next_page_token).filter(|token| !token.is_empty()) })
    }

    async fn count(&self, namespace: &Namespace, filter: &RunFilter) -> Result<RunCounts, StoreError> {
        let request = v1::CountRunsRequest { namespace: named(namespace), filter: filter.to_string() };
        let answer = self.service.clone().count_runs(timed(request)).await.map_err(store_error)?;
        counts_in(&answer.into_inner()).map_err(|why| StoreError::Corrupt(format!("what the server sent: {why}")))
    }

    async fn find(&self, namespace: &Namespace, run: RunId) -> Result<Option<RunSummary>, StoreError> {
        Ok(self.find_by_prefix(namespace, &run.to_string(), 1).await?.pop())
    }

    async fn find_by_prefix(
        &self,
        namespace: &Namespace,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<RunSummary>, StoreError> {
        let request = v1::ListRunsRequest {
            namespace: named(namespace),
            run_id_prefix: prefix.to_owned(),
            page_size: u32::try_from(limit).unwrap_or(u32::MAX),
            ..v1::ListRunsRequest::default()
        };
        let answer = self.service.clone().list_runs(timed(request)).await.map_err(store_error)?;
        self.noted(namespace, answer.into_inner().runs)
    }

    async fn events(&self, run: RunId, from: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let request = v1::ListEventsRequest {
            namespace: named(&self.namespace),
            run_id: run.to_string(),
            from_seq: from,
            page_size: u32::try_from(limit.min(EVENTS_PAGE)).unwrap_or_default(),
        };
        let answer = self.service.clone().list_events(timed(request)).await.map_err(store_error)?.into_inner();
        let event = |event| event_in(event).map(|event| StoredEvent { event, epoch: 0 }).map_err(StoreError::Corrupt);
        answer.events.iter().map(event).collect()
    }

    async fn definition(&self, hash: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let known = self.definitions.lock().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned();
        let Some((namespace, run)) = known else { return Ok(None) };
        let request =
            v1::GetRunRequest { namespace: named(&namespace), run_id: run.to_string(), include_definition: true };
        let answer = self.service.clone().get_run(timed(request)).await.map_err(store_error)?;
        Ok(Some(answer.into_inner().definition_json.to_vec()))
    }
}

#[async_trait]
impl PayloadStore for ApiClient {
    async fn put(&self, _: RunId, _: Bytes) -> Result<PayloadRef, StoreError> {
        Err(StoreError::Permanent("a server takes no payloads from its clients".to_owned()))
    }

    async fn get(&self, run: RunId, at: PayloadRef) -> Result<Option<Bytes>, StoreError> {
        let request = v1::GetPayloadRequest {
            namespace: named(&self.namespace),
            run_id: run.to_string(),
            hash: at.hash.to_string(),
            length_bytes: at.len,
        };
        match self.service.clone().get_payload(timed(request)).await {
            Ok(answer) => Ok(Some(answer.into_inner().content)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(store_error(status)),
        }
    }
}

impl ApiClient {
    /// Runs from a message; remembers what definitions they follow.
    fn noted(&self, namespace: &Namespace, runs: Vec<v1::RunSummary>) -> Result<Vec<RunSummary>, StoreError> {
        let runs: Result<Vec<RunSummary>, String> = runs.into_iter().map(summary_in).collect();
        let runs = runs.map_err(|why| StoreError::Corrupt(format!("what the server sent: {why}")))?;
        let mut definitions = self.definitions.lock().unwrap_or_else(PoisonError::into_inner);
        definitions.extend(runs.iter().map(|run| (run.definition, (namespace.clone(), run.run))));
        drop(definitions);
        Ok(runs)
    }
}

fn store_error(status: Status) -> StoreError {
    let code = status.code();
    let error = ApiError::from(status);
    match (code, error) {
        (Code::DataLoss, error) => StoreError::Corrupt(error.to_string()),
        (_, ApiError::Refused(why) | ApiError::Denied(why)) => StoreError::Permanent(why),
        (_, error) => StoreError::Unavailable(error.to_string()),
    }
}
