//! Starting runs and commanding them.

use async_trait::async_trait;
use tokio::time::timeout;
use tutti_core::ids::RunId;
use tutti_core::limits::STORE_ANSWER;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::runs::{
    CommandRequest, ForkRequest, KeyConflict, KeyPolicy, KeyReuse, PatchRequest, PatchedRun, Runs, StartRequest,
    StartedRun,
};
use tutti_core::run::{Command, Event, Order, RunCreated, RunStatus, decode};
use tutti_core::value::Digest;

use super::approvals::check_decision;
use super::errors::{of_engine, of_store};
use super::fork::prepare_fork;
use super::start::{Origins, request_hash};
use super::sub_workflows::read_whole;
use super::workflows::blocking;
use super::{RunService, start};
use crate::engine::{EngineError, StartRun};
use crate::rest::store_answer;

/// Times that a key is taken anew from a run that took it meanwhile.
const KEY_TRIES: usize = 5;

#[async_trait]
impl Runs for RunService {
    async fn start(&self, request: StartRequest) -> Result<StartedRun, RequestError> {
        self.start_planned(request, Origins::default()).await
    }

    async fn fork(&self, request: ForkRequest) -> Result<StartedRun, RequestError> {
        let policy = request.key.as_ref().map(|(_, policy)| *policy).unwrap_or_default();
        let parent = self.summary(&request.namespace, request.from).await?;
        let ports = self.ports();
        let start = prepare_fork(&*ports.query, &*ports.payloads, &parent, request).await?;
        let hash = start.origin.request_hash.unwrap_or_else(|| Digest::of(b""));
        in_time(self.start_by_key(start, policy, hash)).await
    }

    async fn patch(&self, request: PatchRequest) -> Result<PatchedRun, RequestError> {
        self.patch_run(request).await
    }

    async fn command(&self, request: CommandRequest) -> Result<bool, RequestError> {
        let CommandRequest { namespace, run, mut command, order } = request;
        // Looked up first: the engine knows no namespaces.
        let summary = self.summary(&namespace, run).await?;
        let status = summary.status;
        if let Command::Approve { step, approved, data } = &command {
            check_decision(&self.view(&summary).await?, step, *approved, data.as_ref())?;
        }
        let wanted = match command {
            Command::Pause => Some(RunStatus::Paused),
            Command::Cancel => Some(RunStatus::Cancelled),
            Command::Terminate => Some(RunStatus::Terminated),
            Command::Resume
            | Command::Retry
            | Command::PauseWork { .. }
            | Command::Checkpoint { .. }
            | Command::Rollback { .. }
            | Command::Decide { .. }
            | Command::Approve { .. }
            | Command::Patch { .. }
            | Command::RaiseBudget { .. }
            | Command::Signal { .. } => None,
        };
        if wanted == Some(status) {
            return Ok(true);
        }
        store_answer(&*self.ports().payloads, run, &mut command).await.map_err(of_store)?;
        in_time(async { self.command_anywhere(run, command, order).await.map_err(of_engine) }).await?;
        Ok(false)
    }
}

impl RunService {
    /// Starts a run that was planned, perhaps.
    pub(super) async fn start_planned(
        &self,
        request: StartRequest,
        mut origins: Origins,
    ) -> Result<StartedRun, RequestError> {
        let hash = request_hash(&request);
        let policy = request.options.key.as_ref().map(|(_, policy)| *policy).unwrap_or_default();
        let began = self.ports().clock.now();
        let (text, planned_by) = self.workflow_text(&request).await?;
        origins.took = self.ports().clock.now().since(began);
        let left = match &request.options.session {
            Some(session) => {
                let timeout = self.session_timeout(&request.options.orchestration, &text);
                self.left_in(&request.namespace, session, timeout).await?
            }
            None => Vec::new(),
        };
        origins.planned_by = origins.planned_by.or(planned_by);
        let workflow = read_whole(&*self.ports().records, &request.namespace, text.clone()).await?;
        let service = self.clone();
        let start =
            blocking(move || start::prepare(&service, request, (workflow, &text, &origins), left, hash)).await?;
        in_time(self.start_by_key(start, policy, hash)).await
    }
}

/// Waits for what is to be written, and not without end: the engine goes on trying, and its caller may ask another server.
pub(super) async fn in_time<T>(writing: impl Future<Output = Result<T, RequestError>>) -> Result<T, RequestError> {
    timeout(STORE_ANSWER, writing).await.unwrap_or_else(|_| {
        let reason = "the store does not answer; the same request asked again tells what became of it";
        Err(RequestError::Unavailable(reason.to_owned()))
    })
}

impl RunService {
    /// Starts a run as the policies of its key allow.
    async fn start_by_key(
        &self,
        mut start: StartRun,
        policy: KeyPolicy,
        hash: Digest,
    ) -> Result<StartedRun, RequestError> {
        for _ in 0..KEY_TRIES {
            let held_by = match self.engine.start_run(start.clone()).await {
                Err(EngineError::KeyHeld(holder)) => holder,
                Err(error) => return Err(of_engine(error)),
                Ok(started) => {
                    if started.existed {
                        self.check_same(started.run, hash).await?;
                    }
                    return Ok(StartedRun { run: started.run, existed: started.existed });
                }
            };
            let status = self.summary(&start.namespace, held_by).await?.status;
            let refused = match (status.is_ended(), policy) {
                (true, KeyPolicy { reuse: KeyReuse::AllowDuplicate, .. }) => false,
                (true, KeyPolicy { reuse: KeyReuse::AllowDuplicateFailedOnly, .. }) => status == RunStatus::Completed,
                (true, KeyPolicy { reuse: KeyReuse::RejectDuplicate, .. })
                | (false, KeyPolicy { conflict: KeyConflict::Fail, .. }) => true,
                (false, KeyPolicy { conflict: KeyConflict::UseExisting, .. }) => {
                    return Ok(StartedRun { run: held_by, existed: true });
                }
                (false, KeyPolicy { conflict: KeyConflict::TerminateExisting, .. }) => {
                    let order = Order::new(start.origin.by.clone(), "a new run takes its key");
                    match self.command_anywhere(held_by, Command::Terminate, order).await {
                        // It may have ended meanwhile.
                        Ok(()) | Err(EngineError::Rejected(_) | EngineError::Refused(_)) => false,
                        Err(error) => return Err(of_engine(error)),
                    }
                }
            };
            if refused {
                let existing = self.created(held_by).await?.origin.request_hash.unwrap_or_else(|| Digest::of(b""));
                let what = format!("a run with this key, {held_by}, which is {status},");
                return Err(RequestError::AlreadyExists { what, existing, given: hash });
            }
            start.key_from = Some(held_by);
        }
        Err(RequestError::Unavailable("the key was taken by another run again and again".to_owned()))
    }

    /// Has a command applied by the engine that has the run, which may be another one.
    pub(super) async fn command_anywhere(&self, run: RunId, command: Command, order: Order) -> Result<(), EngineError> {
        if !self.engine.has(run) {
            return self.engine.post(run, command, order).await;
        }
        match self.engine.command(run, command.clone(), order.clone()).await {
            // It was given up meanwhile.
            Err(EngineError::NotLive(_)) if !self.engine.has(run) => self.engine.post(run, command, order).await,
            outcome => outcome,
        }
    }

    /// Refuses a request id that was used for something else.
    async fn check_same(&self, run: RunId, given: Digest) -> Result<(), RequestError> {
        match self.created(run).await?.origin.request_hash {
            Some(existing) if existing != given => {
                let what = format!("a run of this request id, {run},");
                Err(RequestError::AlreadyExists { what, existing, given })
            }
            _ => Ok(()),
        }
    }

    /// How a run began.
    async fn created(&self, run: RunId) -> Result<RunCreated, RequestError> {
        let page = self.ports().query.events(run, 1, 1).await.map_err(of_store)?;
        let damaged = |reason: String| RequestError::Damaged(format!("the history of run {run}: {reason}"));
        let first = page.first().ok_or_else(|| damaged("is empty".to_owned()))?;
        match decode(&first.event).map_err(|error| damaged(error.to_string()))?.event {
            Event::RunCreated(created) => Ok(*created),
            other => Err(damaged(format!("begins with {}", other.name()))),
        }
    }
}
