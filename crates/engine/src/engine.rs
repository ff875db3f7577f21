//! The engine as the rest of the product sees it.

mod commands;
mod fleet;
mod format;
mod inbox;
mod slots;
mod starting;
mod waking;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tutti_core::ids::{Namespace, RequestId, RunId, ServerId, StepPath};
use tutti_core::limits::LOADS;
use tutti_core::plan::Plan;
use tutti_core::ports::agent::AgentTransport;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::inbound::health::Lease;
use tutti_core::ports::inbox::Inbox;
use tutti_core::ports::observer::Observer;
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::RunQuery;
use tutti_core::ports::records::RecordStore;
use tutti_core::ports::store::{Creation, RunStore, StoreError};
use tutti_core::quality::Settings;
use tutti_core::run::{Origin, RECOVERY_FORMAT, Refusal, Rejection, format_of_run};
use tutti_core::schedule::{Policy, StrategyDecision};
use tutti_core::time::Timestamp;
use tutti_core::value::{Digest, Json};

use crate::committer;
use crate::dispatcher::{AttemptContext, AttemptFigures, Consultants, Registry, Tally};
use crate::driver::{CreateRun, DriveError, Driver, DriverOptions, Message, Stalled};
use crate::hub::{Changed, Hub, Watch};
use crate::lane::Lane;
use crate::plans::Plans;
use crate::room::{Residency, Room};

pub use self::fleet::{FleetMembership, FleetOptions};
use self::format::Common;
use self::slots::Slots;

/// What an engine works on.
#[derive(Clone)]
pub struct Ports {
    /// Makes runs durable.
    pub store: Arc<dyn RunStore>,
    /// Keeps large values.
    pub payloads: Arc<dyn PayloadStore>,
    /// Reads runs.
    pub query: Arc<dyn RunQuery>,
    /// Brings commands that other processes took in.
    pub inbox: Arc<dyn Inbox>,
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
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Lanes, each with a driver and a committer; runs are spread over them by slot.
    pub lanes: usize,
    /// Attempts in flight at once, over all runs.
    pub max_in_flight: usize,
    /// Which runs are kept in memory; [`Engine::wake_runs`] brings the others in. `None`: every run stays until it ends.
    pub residency: Option<Residency>,
    /// How answers are judged in runs whose workflow says nothing; recorded with each run unless it is the default.
    pub quality: Settings,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { lanes: 1, max_in_flight: 10_000, residency: None, quality: Settings::default() }
    }
}

/// Runs that may be taken over at once: as many as are loaded, and some more, so that hardly two wait for each other.
const ADOPTING: usize = 4 * LOADS;

/// Drives runs. Cloning shares the engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    ports: Ports,
    registry: Registry,
    hub: Arc<Hub>,
    tally: Arc<Tally>,
    room: Arc<Room>,
    /// One is held while a run is taken over, by its slot. Runs that were claimed and could not be taken over: their next
    /// claims here are the same one.
    adopting: [Mutex<HashSet<RunId>>; ADOPTING],
    slots: Slots,
    plans: Plans,
    /// How answers are judged, if not by default.
    quality: Option<Box<Settings>>,
    /// How the lease is, and how many servers there are; `None` if the store is shared with nobody.
    standing: std::sync::Mutex<Option<(ServerId, u32, Lease)>>,
    common: Common,
    /// Runs that made no progress though they should have, when that was looked at last.
    stalled: AtomicU64,
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
    /// Not before this moment.
    pub start_at: Option<Timestamp>,
    /// Where it begins, if it begins where another run stood.
    pub fork: Option<Fork>,
}

/// Where a run begins that begins where another one stood.
#[derive(Debug, Clone)]
pub struct Fork {
    /// The other run.
    pub from: RunId,
    /// The number of the event after which this one leaves its history.
    pub seq: u64,
    /// The steps that were complete there, in the order in which they were completed, and their outputs.
    pub completed: Vec<(StepPath, Json)>,
    /// Paths in the data that were changed.
    pub changed: Vec<String>,
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
    /// A server that shares the store is too old for what was asked.
    #[error(
        "not while an older server shares the store: it takes one that reads format {needs} of histories, and not all read \
         more than format {reads}"
    )]
    OlderServers {
        /// The format that it would be written in.
        needs: u16,
        /// The newest format that all servers read.
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
    /// The engine that has the run refused a command that was posted to it.
    #[error(transparent)]
    Refused(Refusal),
    /// The key of a run to be started names another one.
    #[error("the key names run {0}")]
    KeyHeld(RunId),
    /// Too many runs of the namespace wait for room.
    #[error("{queued} runs of namespace {namespace} wait for room already; ask again in {} s", .retry_after.as_secs())]
    QueueFull {
        /// Whose.
        namespace: Namespace,
        /// How many wait.
        queued: u64,
        /// When to ask again.
        retry_after: Duration,
    },
    /// The engine shares the store with others and has no part of it yet, or not any more.
    #[error("this server has no part of the store's runs at present")]
    NoSlots,
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
        let attempts = Arc::new(AttemptContext {
            transport: ports.agents.clone(),
            payloads: ports.payloads.clone(),
            consultants: Consultants::new(registry.clone(), ports.clock.clone()),
            scopes: crate::dispatcher::Scopes::default(),
        });
        let count = options.lanes.max(1);
        let room = Arc::new(Room::new(options.residency, count));
        let places = (options.max_in_flight / count).max(1);
        let driving = DriverOptions { places, rest: options.residency.map(|residency| residency.rest) };
        let lanes = (0..count)
            .map(|number| {
                let (sender, messages) = mpsc::unbounded_channel();
                let (commits, queue) = mpsc::unbounded_channel();
                tokio::spawn(committer::run(ports.store.clone(), ports.observer.clone(), queue, sender.clone()));
                let driver = Driver::new(registry.clone(), driving);
                let waking = sender.clone();
                // Without a lane nobody waits.
                driver.set_waker(move || drop(waking.send(Message::Tick)));
                let lane = Lane {
                    number,
                    room: room.clone(),
                    driver,
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
        Self(Arc::new(Inner {
            ports,
            registry,
            hub,
            tally,
            room,
            adopting: std::array::from_fn(|_| Mutex::default()),
            slots: Slots::all(),
            plans: Plans::default(),
            quality: Some(options.quality).filter(|quality| !quality.is_default()).map(Box::new),
            standing: std::sync::Mutex::default(),
            common: Common::default(),
            stalled: AtomicU64::default(),
            lanes,
        }))
    }

    /// The agents that steps can be asked of.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// A new run id, of a slot that is this engine's if it has any.
    #[must_use]
    pub fn new_run_id(&self) -> RunId {
        let millis = u64::try_from(self.0.ports.clock.now().as_micros() / 1000).unwrap_or_default();
        // With few slots of many it takes as many draws.
        let draws = std::iter::repeat_with(|| {
            let mut random = [0; 10];
            random.copy_from_slice(&self.0.ports.clock.random().to_be_bytes()[..10]);
            RunId::new(millis, random)
        });
        let slots = &self.0.slots;
        let mut own = draws.skip_while(|run| !slots.has(*run) && !slots.is_empty());
        own.next().expect("draws do not end")
    }

    /// Starts a run. When this returns, the run is durable; if there is no room for it, it waits in the store for its turn.
    ///
    /// # Errors
    /// [`EngineError::Store`], [`EngineError::NoSlots`], [`EngineError::QueueFull`], [`EngineError::OlderServers`],
    /// [`EngineError::ShuttingDown`].
    pub async fn start_run(&self, start: StartRun) -> Result<Started, EngineError> {
        self.start_run_as(self.new_run_id(), start).await
    }

    /// As [`start_run`](Self::start_run) under an id from [`new_run_id`](Self::new_run_id), so that the run can be watched
    /// from its first event.
    ///
    /// # Errors
    /// As [`start_run`](Self::start_run).
    pub async fn start_run_as(&self, run: RunId, start: StartRun) -> Result<Started, EngineError> {
        if !self.0.slots.has(run) {
            return Err(EngineError::NoSlots);
        }
        let needed = format_of_run(start.plan.workflow(), &start.origin);
        self.may_write(if start.fork.is_some() { needed.max(RECOVERY_FORMAT) } else { needed })?;
        let turn = self.turn(&start).await?;
        let data = self.store_value(run, &start.data).await?;
        let forked = match start.fork {
            Some(fork) => Some(Box::new(self.forked(run, fork).await?)),
            None => None,
        };
        let create = CreateRun {
            run,
            namespace: start.namespace,
            request: start.request,
            plan: self.0.plans.shared(start.plan),
            data,
            policy: start.policy,
            strategy: start.strategy,
            origin: self.judged(start.origin),
            key_from: start.key_from,
            turn,
            forked,
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

    /// Runs that are driven here.
    #[must_use]
    pub fn live_runs(&self) -> usize {
        self.0.room.live()
    }

    /// Runs that are driven here and made no progress though they should have, when the watchdog looked last.
    #[must_use]
    pub fn stalled_runs(&self) -> u64 {
        self.0.stalled.load(Ordering::Relaxed)
    }

    pub(crate) fn note_stalled(&self, runs: usize) {
        self.0.stalled.store(runs as u64, Ordering::Relaxed);
    }

    /// The runs that make no progress though they should have for so long. A lane that does not tell is left out, and logged.
    pub(crate) async fn survey(&self, grace: Duration) -> Vec<Stalled> {
        let mut stalled = Vec::new();
        for (lane, messages) in self.0.lanes.iter().enumerate() {
            let (reply, answer) = oneshot::channel();
            let reply = Box::new(move |seen| {
                let _ = reply.send(seen);
            });
            // Without a lane nothing is driven.
            if messages.send(Message::Survey(grace, reply)).is_err() {
                continue;
            }
            match tokio::time::timeout(grace, answer).await {
                Ok(seen) => stalled.extend(seen.unwrap_or_default()),
                Err(_) => tracing::error!(lane, "a lane of the engine does not answer: none of its runs goes on"),
            }
        }
        stalled
    }

    pub(crate) fn ports(&self) -> &Ports {
        &self.0.ports
    }

    fn send(&self, run: RunId, message: Message) -> Result<(), EngineError> {
        let lane = usize::from(run.slot()) % self.0.lanes.len();
        self.0.lanes[lane].send(message).map_err(|_| EngineError::ShuttingDown)
    }
}
