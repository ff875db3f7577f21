//! What goes into a driver and what comes out of it.
//!
//! Nothing is acted on before it is durable, and the types see to it: what a decision releases travels inside [`Decided`]
//! through the committer and comes out of it as [`Committed`] only; the driver releases nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tutti_core::ids::{AttemptKey, Namespace, RequestId, RunId};
use tutti_core::plan::{Plan, StepIndex};
use tutti_core::ports::agent::AgentEndpoint;
use tutti_core::ports::store::{Commit, CommitOutcome, Creation, NewRun, Snapshot, StoreError};
use tutti_core::run::{Command, Input, Order, Origin, Recorded, Rejection, RunForked, RunState};
use tutti_core::schedule::{Policy, StrategyDecision};
use tutti_core::time::Timestamp;
use tutti_core::value::Payload;

use super::survey::Stalled;
pub use crate::dispatcher::{AttemptEnd, AttemptSpec};

/// Something that happened outside of the driver.
pub enum Message {
    /// A caller starts a run.
    Create(Box<CreateRun>, CreateReply),
    /// The store answered about a creation.
    Created(Box<DecidedRun>, Result<Creation, StoreError>),
    /// A run was claimed and loaded, and is to go on.
    Adopt(Box<AdoptRun>, Asker),
    /// Something is asked of a run, or observed about it.
    Input(RunId, Input, Asker),
    /// Runs of these slots are another server's from now on: they are let go in good order; told when they are.
    LetGo(BTreeSet<u16>, Box<dyn FnOnce() + Send>),
    /// Whether attempts may be started.
    Hold(bool),
    /// An attempt came to an end.
    AttemptEnded {
        /// Which attempt.
        key: AttemptKey,
        /// Its step.
        step: StepIndex,
        /// How it ended.
        end: AttemptEnd,
    },
    /// The committer is done with some decisions.
    Settled(Vec<Settled>),
    /// A moment that the driver waits for may have come.
    Tick,
    /// Nothing more is to be started; told when everything decided is settled.
    Drain(Box<dyn FnOnce() + Send>),
    /// Asks which runs make no progress though they should have for so long.
    Survey(Duration, Box<dyn FnOnce(Vec<Stalled>) + Send>),
    /// Asks how a run is that is driven here; `None` if it is not.
    Look(RunId, Box<dyn FnOnce(Option<Seen>) + Send>),
}

/// Something to be done outside of the driver.
pub enum Effect {
    /// Create a run in the store; answer with [`Message::Created`].
    Create(Box<DecidedRun>),
    /// Hand a decision to the committer; it answers with [`Message::Settled`].
    Commit(Box<Decided>),
    /// Carry out an attempt; answer with [`Message::AttemptEnded`].
    Call(Box<AttemptSpec>),
    /// Stop an attempt: nobody waits for it any more.
    Abort {
        /// Which attempt.
        key: AttemptKey,
        /// Whom to ask to stop the task; `None` to leave the task alone, because another owner may wait for it.
        agent: Option<AgentEndpoint>,
        /// The agent's id of the task, if known.
        task: Option<String>,
    },
    /// Tell the watchers of a run.
    Publish(RunId, Arc<Recorded>),
    /// The run has left this driver.
    Close {
        /// The run.
        run: RunId,
        /// True if it has ended, false if it goes on elsewhere or later.
        ended: bool,
    },
    /// A run's handling panicked: it is to be set aside, so that it takes nobody else down.
    Quarantine(RunId, String),
    /// Keep a snapshot.
    SaveSnapshot(RunId, Snapshot),
    /// Answer a caller.
    Reply(Reply, Result<(), DriveError>),
    /// Answer a caller that created a run.
    ReplyCreated(CreateReply, Result<Creation, DriveError>),
    /// Runs of some slots were let go of.
    LetGo(Box<dyn FnOnce() + Send>),
    /// Everything decided is settled and nothing more is started.
    Drained(Box<dyn FnOnce() + Send>),
}

/// Who asked for an input, and is to know what became of it.
pub enum Asker {
    /// Nobody: it was observed.
    Nobody,
    /// A caller who waits here.
    Caller(Reply),
    /// Whoever posted this request to the inbox.
    Inbox(RequestId),
}

/// Takes the answer for a caller.
pub type Reply = Box<dyn FnOnce(Result<(), DriveError>) + Send>;

/// Takes the answer for a caller that created a run.
pub type CreateReply = Box<dyn FnOnce(Result<Creation, DriveError>) + Send>;

/// Why a driver did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriveError {
    /// The run does not allow it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The run is not, or no longer, driven here.
    #[error("run {0} is not driven by this engine")]
    NotLive(RunId),
    /// Nothing is started any more.
    #[error("the engine is shutting down")]
    ShuttingDown,
}

/// A run to be created.
#[derive(Debug, Clone)]
pub struct CreateRun {
    /// Its id.
    pub run: RunId,
    /// Whose.
    pub namespace: Namespace,
    /// The caller's id of the request.
    pub request: RequestId,
    /// What it follows.
    pub plan: Arc<Plan>,
    /// Its data at the start; in the payload store already if it is large.
    pub data: Payload,
    /// How it is driven.
    pub policy: Policy,
    /// Which executor was chosen and why.
    pub strategy: StrategyDecision,
    /// Where it comes from.
    pub origin: Origin,
    /// The run that its key is taken from, if the key names one.
    pub key_from: Option<RunId>,
    /// Its place in the queue, if there is no room for it now: it is created and let go of.
    pub turn: Option<Timestamp>,
    /// Where it begins, if it begins where another run stood.
    pub forked: Option<Box<RunForked>>,
}

/// A run that was claimed and loaded.
#[derive(Debug)]
pub struct AdoptRun {
    /// Its state.
    pub state: RunState,
    /// The epoch of the claim.
    pub epoch: u64,
    /// What is wanted of it, by whom, if it is taken over for that.
    pub command: Option<(Command, Order)>,
}

/// How far a run is, by what is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Steps that are complete.
    pub completed: u32,
    /// Steps that failed.
    pub failed: u32,
}

/// How a run is, as its driver knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// How far it is.
    pub progress: Progress,
    /// It has steps to start, and the driver carries out as many attempts as it may.
    pub is_starved: bool,
    /// Since when a commit is under way.
    pub commit_since: Option<Timestamp>,
}

/// What a decision releases once it is durable.
pub(super) struct Release {
    pub(super) run: RunId,
    pub(super) events: Vec<Arc<Recorded>>,
    pub(super) touched: Vec<StepIndex>,
    pub(super) replies: Vec<(Reply, Result<(), DriveError>)>,
    pub(super) bytes: usize,
    pub(super) progress: Progress,
}

/// A decision on its way to the store.
pub struct Decided {
    /// What is to be written.
    pub commit: Commit,
    pub(super) release: Release,
}

/// The decision to create a run on its way to the store.
pub struct DecidedRun {
    /// What is to be written.
    pub new: NewRun,
    pub(super) release: Release,
    pub(super) reply: CreateReply,
}

/// A decision that is durable.
pub struct Committed(pub(super) Release);

/// What became of a decision.
pub enum Settled {
    /// It is durable.
    Committed(Committed),
    /// The run has another owner or other events; nothing was written.
    Refused(NotCommitted),
    /// The store refuses it for good.
    Failed(NotCommitted, StoreError),
}

/// A decision that was not written: its callers are told, nothing else of it is released.
pub struct NotCommitted(pub(super) Release);

impl Decided {
    /// Settles the decision by what the store answered about its commit.
    #[must_use]
    pub fn settle(self, answer: Result<CommitOutcome, StoreError>) -> Settled {
        match answer {
            Ok(CommitOutcome::Committed) => Settled::Committed(Committed(self.release)),
            Ok(CommitOutcome::Refused) => Settled::Refused(NotCommitted(self.release)),
            Err(error) => Settled::Failed(NotCommitted(self.release), error),
        }
    }
}

impl DecidedRun {
    /// Settles a creation by the store's answer: the caller's reply, and what is released if the run is new.
    pub(super) fn settle(
        self,
        outcome: Result<Creation, StoreError>,
    ) -> (CreateReply, Result<Creation, StoreError>, Result<Committed, RunId>) {
        let run = self.new.run;
        let created = match &outcome {
            Ok(Creation::Created) => Ok(Committed(self.release)),
            // The answer to an earlier try of the very same creation was lost.
            Ok(Creation::Exists(existing)) if *existing == run => Ok(Committed(self.release)),
            _ => Err(run),
        };
        let outcome = if created.is_ok() { Ok(Creation::Created) } else { outcome };
        (self.reply, outcome, created)
    }
}
