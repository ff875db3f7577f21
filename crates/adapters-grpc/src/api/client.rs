//! The client of a server: starts and cancels runs, and reads them as if the server were a store to look into.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tutti_api::v1::run_service_client::RunServiceClient;
use tutti_api::v1::watch_run_response::Message;
use tutti_api::{MAX_MESSAGE_BYTES, v1};
use tutti_core::ids::{Namespace, RunId};
use tutti_core::limits::EVENTS_PAGE;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbound::runs::{CommandRequest, StartRequest, StartedRun, WorkflowSource};
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::{ListRuns, RunCounts, RunPage, RunQuery, RunSummary};
use tutti_core::ports::store::{StoreError, StoredEvent};
use tutti_core::run::{Command, Order};
use tutti_core::run::{Recorded, decode};
use tutti_core::value::{Digest, Payload, PayloadRef};

use super::connect::{self, Bearer, Link};
use super::convert::{event_in, executor_out, summary_in};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// A server, as its callers see it.
#[derive(Debug, Clone)]
pub struct ApiClient {
    channel: Channel,
    /// With the token, if one was given.
    pub(super) link: Link,
    service: RunServiceClient<Link>,
    /// Which run follows a definition: the server gives definitions by runs.
    definitions: Arc<Mutex<HashMap<Digest, (Namespace, RunId)>>>,
}

/// Why a server did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Something given is wrong; each line names a field.
    #[error("{0}")]
    Refused(String),
    /// The server does not know the caller, or the caller may not do that.
    #[error("{0}")]
    Denied(String),
    /// The server cannot be reached, stops, or answers what cannot be read.
    #[error("{0}")]
    Unavailable(String),
    /// The stream was ended because it was read too slowly; go on after the last event.
    #[error("{0}")]
    Interrupted(String),
}

impl From<Status> for ApiError {
    fn from(status: Status) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition | Code::OutOfRange => {
                Self::Refused(message)
            }
            Code::Unauthenticated | Code::PermissionDenied => Self::Denied(message),
            Code::Aborted => Self::Interrupted(message),
            // The transport's own errors say little; what lies beneath says why.
            code => {
                let beneath = std::error::Error::source(&status).map(|error| {
                    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).last()
                });
                let why = beneath.flatten().map(|why| format!(" ({why})")).unwrap_or_default();
                Self::Unavailable(format!("the server says {code:?}: {message}{why}"))
            }
        }
    }
}

impl ApiClient {
    /// A client of the server at a URL such as `http://127.0.0.1:7780`, or `https://` for one whose certificate
    /// this machine's roots know; connects when it is first used.
    ///
    /// # Errors
    /// [`ApiError::Refused`] for what is no URL.
    pub fn new(url: &str) -> Result<Self, ApiError> {
        Ok(Self::over(connect::channel(url, None)?))
    }

    pub(super) fn over(channel: Channel) -> Self {
        Self::by(channel, Bearer::default())
    }

    /// The same, with a token that says who calls.
    ///
    /// # Errors
    /// [`ApiError::Refused`] for a text that cannot be sent.
    pub fn with_token(self, token: &str) -> Result<Self, ApiError> {
        Ok(Self::by(self.channel, Bearer::of(token)?))
    }

    fn by(channel: Channel, bearer: Bearer) -> Self {
        let link = InterceptedService::new(channel.clone(), bearer);
        let service = RunServiceClient::new(link.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Self { channel, link, service, definitions: Arc::default() }
    }

    /// Starts a run.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn start(&self, start: StartRequest) -> Result<StartedRun, ApiError> {
        let WorkflowSource::Text(workflow) = start.workflow else {
            return Err(ApiError::Refused("workflow: must be given as text".to_owned()));
        };
        let request = v1::StartRunRequest {
            namespace: named(&start.namespace),
            request_id: start.request.to_string(),
            source: Some(v1::start_run_request::Source::Workflow(workflow)),
            inputs_json: start.inputs,
            executor: start.options.executor.map_or(v1::Executor::Unspecified, executor_out).into(),
            max_concurrent_tasks: start.options.max_concurrent_tasks.unwrap_or_default(),
            ..v1::StartRunRequest::default()
        };
        let answer = self.service.clone().start_run(timed(request)).await?.into_inner();
        let run = answer.run_id.parse().map_err(|error| ApiError::Unavailable(format!("{error}")))?;
        Ok(StartedRun { run, existed: answer.existed })
    }

    /// Has a command applied to a run: true if the run was as it is wanted before.
    ///
    /// # Errors
    /// [`ApiError`]; [`ApiError::Refused`] for an order without a request id.
    pub async fn command(&self, wanted: CommandRequest) -> Result<bool, ApiError> {
        let Order { by: requested_by, reason, request } = wanted.order;
        let request_id = request.ok_or_else(|| ApiError::Refused("request_id: is required".to_owned()))?.to_string();
        let (namespace, run_id) = (named(&wanted.namespace), wanted.run.to_string());
        let mut service = self.service.clone();
        macro_rules! ask {
            ($method:ident, $message:ident) => {{
                let request = v1::$message { namespace, run_id, request_id, reason, requested_by };
                service.$method(timed(request)).await?.into_inner()
            }};
        }
        Ok(match wanted.command {
            Command::Pause => ask!(pause_run, PauseRunRequest).unchanged,
            Command::Resume => ask!(resume_run, ResumeRunRequest).unchanged,
            Command::Cancel => ask!(cancel_run, CancelRunRequest).was_cancelled,
            Command::Terminate => ask!(terminate_run, TerminateRunRequest).unchanged,
            Command::Retry => ask!(retry_run, RetryRunRequest).unchanged,
            Command::Signal { step, answer: Payload::Inline(answer) } => {
                let answer_json = answer.as_str().to_owned();
                let request =
                    v1::SignalRunRequest { namespace, run_id, request_id, reason, requested_by, step, answer_json };
                service.signal_run(timed(request)).await?;
                false
            }
            Command::Signal { answer: Payload::Stored(_), .. } => {
                return Err(ApiError::Refused("the answer of a signal is sent whole".to_owned()));
            }
        })
    }

    /// The events of a run from a number on, as they happen.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn watch(&self, namespace: &Namespace, run: RunId, from: u64) -> Result<EventStream, ApiError> {
        let request = v1::WatchRunRequest { namespace: named(namespace), run_id: run.to_string(), from_seq: from };
        Ok(EventStream(self.service.clone().watch_run(request).await?.into_inner()))
    }
}

/// The events of a run.
#[derive(Debug)]
pub struct EventStream(Streaming<v1::WatchRunResponse>);

impl EventStream {
    /// The next event; `None` after the last one of a run that has ended.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn next(&mut self) -> Result<Option<Recorded>, ApiError> {
        while let Some(response) = self.0.message().await? {
            if let Some(Message::Event(event)) = response.message {
                let stored = event_in(&event).map_err(ApiError::Unavailable)?;
                return decode(&stored).map(Some).map_err(|error| ApiError::Unavailable(error.to_string()));
            }
        }
        Ok(None)
    }
}

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

    async fn count(&self, _: &Namespace, _: &RunFilter) -> Result<RunCounts, StoreError> {
        Err(StoreError::Permanent("a server counts no runs".to_owned()))
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
            namespace: String::new(),
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
            namespace: String::new(),
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

/// A namespace as requests name it. Who means no other than `default` means that of its token, if that has one.
pub(super) fn named(namespace: &Namespace) -> String {
    if *namespace == Namespace::default() { String::new() } else { namespace.to_string() }
}

pub(super) fn timed<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(ANSWER);
    request
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
