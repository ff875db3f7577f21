//! The engine as the rest of the product sees it.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};
use tutti_core::ids::{Namespace, RequestId, RunId};
use tutti_core::limits::SLOTS;
use tutti_core::plan::Plan;
use tutti_core::ports::agent::AgentTransport;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::observer::Observer;
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::RunQuery;
use tutti_core::ports::records::RecordStore;
use tutti_core::ports::store::{Creation, DueRuns, RunStore, StoreError};
use tutti_core::run::{Command, Input, Order, Origin, Rejection};
use tutti_core::schedule::{Policy, StrategyDecision};
use tutti_core::time::Timestamp;
use tutti_core::value::{Digest, Json, Payload};

use crate::committer;
use crate::dispatcher::{AttemptContext, AttemptFigures, Registry, Tally};
use crate::driver::{AdoptRun, Asker, CreateRun, DriveError, Driver, Message, Progress};
use crate::hub::{Changed, Hub, Watch};
use crate::lane::Lane;
use crate::loader::{TakeOver, load};

/// Runs that are looked for at once when everything is taken over.
const DUE_PAGE: usize = 100;

/// What an engine works on.
#[derive(Clone)]
pub struct Ports {
    /// Makes runs durable.
    pub store: Arc<dyn RunStore>,
    /// Keeps large values.
    pub payloads: Arc<dyn PayloadStore>,
    /// Reads runs.
    pub query: Arc<dyn RunQuery>,
    /// Keeps registered workflows and agents, and who may call.
    pub records: Arc<dyn RecordStore>,
    /// Calls agents.
    pub agents: Arc<dyn AgentTransport>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Looks on.
    pub observer: Arc<dyn Observer>,
}

/// How an engine works.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// Lanes, each with a driver and a committer; runs are spread over them by slot.
    pub lanes: usize,
    /// Attempts in flight at once, over all runs.
    pub max_in_flight: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { lanes: 1, max_in_flight: 10_000 }
    }
}

/// Drives runs. Cloning shares the engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    ports: Ports,
    registry: Registry,
    hub: Arc<Hub>,
    tally: Arc<Tally>,
    /// Held while a run is taken over.
    adopting: Mutex<()>,
    lanes: Vec<mpsc::UnboundedSender<Message>>,
}

/// A run to be started.
#[derive(Debug, Clone)]
pub struct StartRun {
    /// Whose.
    pub namespace: Namespace,
    /// The caller's id of the request: the same id starts one run.
    pub request: RequestId,
    /// What it follows.
    pub plan: Arc<Plan>,
    /// Its data at the start: an object.
    pub data: Json,
    /// How it is driven.
    pub policy: Policy,
    /// Which executor was chosen and why.
    pub strategy: StrategyDecision,
    /// Where it comes from.
    pub origin: Origin,
    /// The run that its key is taken from, if the key names one.
    pub key_from: Option<RunId>,
}

/// A run that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// The run.
    pub run: RunId,
    /// True if the request id was used before: it is the run of then.
    pub existed: bool,
}

/// Why the engine did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The run does not allow it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such run.
    #[error("there is no run {0}")]
    NotFound(RunId),
    /// The run is driven by another engine, or by none.
    #[error("run {0} is not driven by this engine")]
    NotLive(RunId),
    /// The run was claimed again and again without progress.
    #[error("run {0} is quarantined: it was claimed again and again without progress")]
    Quarantined(RunId),
    /// The run was written by a newer version.
    #[error("run {run} needs a newer version: it is written in format {needs}, this one reads {reads}")]
    TooNew {
        /// The run.
        run: RunId,
        /// The format it needs.
        needs: u16,
        /// The newest format that this build reads.
        reads: u16,
    },
    /// The run's history is not as it was written.
    #[error("the history of run {run} is damaged: {reason}")]
    Damaged {
        /// The run.
        run: RunId,
        /// What is wrong.
        reason: String,
    },
    /// A stored definition cannot be used.
    #[error("the workflow definition {definition} cannot be used: {reason}")]
    Definition {
        /// The definition.
        definition: Digest,
        /// What is wrong.
        reason: String,
    },
    /// The key of a run to be started names another one.
    #[error("the key names run {0}")]
    KeyHeld(RunId),
    /// Nothing is started any more.
    #[error("the engine is shutting down")]
    ShuttingDown,
}

impl From<DriveError> for EngineError {
    fn from(error: DriveError) -> Self {
        match error {
            DriveError::Rejected(rejection) => Self::Rejected(rejection),
            DriveError::Store(error) => Self::Store(error),
            DriveError::NotLive(run) => Self::NotLive(run),
            DriveError::ShuttingDown => Self::ShuttingDown,
        }
    }
}

impl Engine {
    /// Starts an engine on the current tokio runtime.
    #[must_use]
    pub fn start(ports: Ports, registry: Registry, options: EngineOptions) -> Self {
        let (hub, tally) = (Arc::new(Hub::default()), Arc::new(Tally::default()));
        let attempts = Arc::new(AttemptContext { transport: ports.agents.clone(), payloads: ports.payloads.clone() });
        let count = options.lanes.max(1);
        let lanes = (0..count)
            .map(|_| {
                let (sender, messages) = mpsc::unbounded_channel();
                let (commits, queue) = mpsc::unbounded_channel();
                tokio::spawn(committer::run(ports.store.clone(), ports.observer.clone(), queue, sender.clone()));
                let lane = Lane {
                    driver: Driver::new(registry.clone(), (options.max_in_flight / count).max(1)),
                    messages,
                    sender: sender.clone(),
                    commits,
                    store: ports.store.clone(),
                    attempts: attempts.clone(),
                    clock: ports.clock.clone(),
                    hub: hub.clone(),
                    observer: ports.observer.clone(),
                    tally: tally.clone(),
                    calls: std::collections::HashMap::new(),
                };
                tokio::spawn(lane.run());
                sender
            })
            .collect();
        Self(Arc::new(Inner { ports, registry, hub, tally, adopting: Mutex::default(), lanes }))
    }

    /// The agents that steps can be asked of.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// A new run id.
    #[must_use]
    pub fn new_run_id(&self) -> RunId {
        let millis = u64::try_from(self.0.ports.clock.now().as_micros() / 1000).unwrap_or_default();
        let mut random = [0; 10];
        random.copy_from_slice(&self.0.ports.clock.random().to_be_bytes()[..10]);
        RunId::new(millis, random)
    }

    /// Starts a run. When this returns, the run is durable.
    ///
    /// # Errors
    /// [`EngineError::Store`], [`EngineError::ShuttingDown`].
    pub async fn start_run(&self, start: StartRun) -> Result<Started, EngineError> {
        self.start_run_as(self.new_run_id(), start).await
    }

    /// As [`start_run`](Self::start_run) under an id from [`new_run_id`](Self::new_run_id), so that the run can be watched
    /// from its first event.
    ///
    /// # Errors
    /// As [`start_run`](Self::start_run).
    pub async fn start_run_as(&self, run: RunId, start: StartRun) -> Result<Started, EngineError> {
        let data = Payload::of(&start.data);
        if let Payload::Stored(_) = data {
            self.0.ports.payloads.put(run, start.data.bytes().clone()).await?;
        }
        let create = CreateRun {
            run,
            namespace: start.namespace,
            request: start.request,
            plan: start.plan,
            data,
            policy: start.policy,
            strategy: start.strategy,
            origin: start.origin,
            key_from: start.key_from,
        };
        let (reply, answer) = oneshot::channel();
        let reply = Box::new(move |outcome| drop(reply.send(outcome)));
        self.send(run, Message::Create(Box::new(create), reply))?;
        Ok(match answer.await.map_err(|_| EngineError::ShuttingDown)?? {
            Creation::Created => Started { run, existed: false },
            Creation::Exists(run) => Started { run, existed: true },
            Creation::KeyHeld(run) => return Err(EngineError::KeyHeld(run)),
        })
    }

    /// Takes over a run whose owner is gone. When this returns, the run goes on: attempts that were under way are looked for
    /// at their agents. One that was taken over again and again without progress is set aside instead.
    ///
    /// # Errors
    /// [`EngineError`]; [`EngineError::Quarantined`].
    pub async fn take_over(&self, run: RunId) -> Result<(), EngineError> {
        self.adopt(run, TakeOver::Automatic, None, None).await
    }

    /// Takes over every run of the store that can go on by itself, in pages; how many. One that cannot be taken over is
    /// logged and left, so that it does not keep the others waiting.
    ///
    /// # Errors
    /// [`EngineError::Store`] if the store does not tell which, [`EngineError::ShuttingDown`].
    pub async fn take_over_all(&self) -> Result<usize, EngineError> {
        let mut taken = 0;
        let mut after = None;
        loop {
            // Those that wait for a time are driven as well: their timers are the engine's.
            let now = Timestamp::from_micros(i64::MAX);
            let due = self.0.ports.store.due(DueRuns { slots: 0..SLOTS, now, after, limit: DUE_PAGE }).await?;
            for run in &due {
                match self.take_over(*run).await {
                    Ok(()) => taken += 1,
                    Err(EngineError::ShuttingDown) => return Err(EngineError::ShuttingDown),
                    Err(error) => tracing::error!(%run, %error, "not taken over"),
                }
            }
            match due.last() {
                Some(last) if due.len() == DUE_PAGE => after = Some(*last),
                _ => return Ok(taken),
            }
        }
    }

    /// Has a command applied to a run; who wants it and why are recorded. When this returns, that is durable. A run that is
    /// not driven anywhere is taken over for it.
    ///
    /// # Errors
    /// [`EngineError`]; [`EngineError::Rejected`] if the run's state does not allow it.
    pub async fn command(&self, run: RunId, command: Command, order: Order) -> Result<(), EngineError> {
        match self.input(run, command.clone(), order.clone()).await? {
            Err(DriveError::NotLive(_)) => self.adopt(run, TakeOver::ByOperator, Some((command, order)), None).await,
            outcome => outcome.map_err(EngineError::from),
        }
    }

    async fn input(&self, run: RunId, command: Command, order: Order) -> Result<Result<(), DriveError>, EngineError> {
        let (reply, answer) = oneshot::channel();
        let reply = Box::new(move |outcome| drop(reply.send(outcome)));
        self.send(run, Message::Input(run, Input::Command { command, order }, Asker::Caller(reply)))?;
        answer.await.map_err(|_| EngineError::ShuttingDown)
    }

    /// How far a run is that this engine drives, by what is durable; `None` if it does not drive it.
    ///
    /// # Errors
    /// [`EngineError::ShuttingDown`].
    pub async fn progress(&self, run: RunId) -> Result<Option<Progress>, EngineError> {
        let (reply, answer) = oneshot::channel();
        let reply = Box::new(move |progress| {
            let _ = reply.send(progress);
        });
        self.send(run, Message::Look(run, reply))?;
        answer.await.map_err(|_| EngineError::ShuttingDown)
    }

    async fn adopt(
        &self,
        run: RunId,
        why: TakeOver,
        command: Option<(Command, Order)>,
        posted: Option<RequestId>,
    ) -> Result<(), EngineError> {
        // One at a time, so that no run is taken over by two callers at once.
        let _turn = self.0.adopting.lock().await;
        if self.progress(run).await?.is_some() {
            return match command {
                Some((command, order)) => Ok(self.input(run, command, order).await??),
                None => Ok(()),
            };
        }
        let ports = &self.0.ports;
        let (now, id) = (ports.clock.now(), ports.clock.random());
        let loaded = load(&*ports.store, &*ports.query, run, why, now, id).await?;
        let adopt = AdoptRun { state: loaded.state, epoch: loaded.epoch, command, posted };
        let (reply, answer) = oneshot::channel();
        let reply = Box::new(move |outcome| drop(reply.send(outcome)));
        self.send(run, Message::Adopt(Box::new(adopt), reply))?;
        answer.await.map_err(|_| EngineError::ShuttingDown)?.map_err(EngineError::from)
    }

    /// News of a run from now on.
    #[must_use]
    pub fn watch(&self, run: RunId) -> Watch {
        self.0.hub.watch(run)
    }

    /// Runs that something is recorded for from now on, whatever it is.
    #[must_use]
    pub fn changes(&self) -> Changed {
        self.0.hub.changes()
    }

    /// Attempts that this engine carried out.
    #[must_use]
    pub fn attempts(&self) -> AttemptFigures {
        self.0.tally.figures()
    }

    /// Starts nothing more, waits until everything decided is durable, and lets go of all runs. Attempts under way are
    /// left at their agents; a later [`take_over`](Self::take_over) finds them again.
    pub async fn shutdown(&self) {
        for lane in &self.0.lanes {
            let (reply, answer) = oneshot::channel();
            let done = Box::new(move || {
                let _ = reply.send(());
            });
            if lane.send(Message::Drain(done)).is_ok() {
                let _ = answer.await;
            }
        }
    }

    pub(crate) fn ports(&self) -> &Ports {
        &self.0.ports
    }

    fn send(&self, run: RunId, message: Message) -> Result<(), EngineError> {
        let lane = usize::from(run.slot()) % self.0.lanes.len();
        self.0.lanes[lane].send(message).map_err(|_| EngineError::ShuttingDown)
    }
}
