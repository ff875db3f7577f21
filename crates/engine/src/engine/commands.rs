//! Commands for runs, and how a run is taken over: because its owner is gone, or for a command.

use tokio::sync::oneshot;
use tutti_core::ids::{RequestId, RunId};
use tutti_core::run::{Command, Input, Order, format_of_command};

use super::{ADOPTING, Engine, EngineError};
use crate::driver::{AdoptRun, Asker, DriveError, Message, Progress};
use crate::loader::{TakeOver, load};

/// What is wanted of a run.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) command: Command,
    pub(super) order: Order,
    /// The request of the inbox, if it came by it: the answer goes there.
    pub(super) posted: Option<RequestId>,
}

impl Engine {
    /// Takes over a run whose owner is gone. When this returns, the run goes on: attempts that were under way are looked for
    /// at their agents. One that was taken over again and again without progress is set aside instead.
    ///
    /// # Errors
    /// [`EngineError`]; [`EngineError::Quarantined`].
    pub async fn take_over(&self, run: RunId) -> Result<(), EngineError> {
        self.adopt(run, TakeOver::Automatic, None).await
    }

    /// Has a command applied to a run; who wants it and why are recorded. When this returns, that is durable. A run of this
    /// engine that is not driven at present is taken over for it.
    ///
    /// # Errors
    /// [`EngineError`]; [`EngineError::Rejected`] if the run's state does not allow it, [`EngineError::NotLive`] if the run
    /// is another engine's, [`EngineError::OlderServers`].
    pub async fn command(&self, run: RunId, command: Command, order: Order) -> Result<(), EngineError> {
        self.may_write(format_of_command(&command))?;
        self.want(run, Wanted { command, order, posted: None }).await
    }

    /// As [`command`](Self::command); what was posted is answered by the inbox, and this returns before that.
    pub(super) async fn want(&self, run: RunId, wanted: Wanted) -> Result<(), EngineError> {
        match self.ask(run, wanted.clone()).await {
            Err(EngineError::NotLive(_)) => self.adopt(run, TakeOver::ByOperator, Some(wanted)).await,
            outcome => outcome,
        }
    }

    /// Asks a run that is driven here.
    async fn ask(&self, run: RunId, Wanted { command, order, posted }: Wanted) -> Result<(), EngineError> {
        // Who posted it waits for the inbox, which tells nothing of a run that is not here.
        if posted.is_some() && self.progress(run).await?.is_none() {
            return Err(EngineError::NotLive(run));
        }
        let (asker, answer) = asker(posted);
        self.send(run, Message::Input(run, Input::Command { command, order }, asker))?;
        answered(answer).await
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

    async fn adopt(&self, run: RunId, why: TakeOver, wanted: Option<Wanted>) -> Result<(), EngineError> {
        // One at a time, so that no run is taken over by two callers at once.
        let mut claimed = self.0.adopting[usize::from(run.slot()) % ADOPTING].lock().await;
        if self.progress(run).await?.is_some() {
            return match wanted {
                Some(wanted) => self.ask(run, wanted).await,
                None => Ok(()),
            };
        }
        if !self.0.slots.has(run) {
            return Err(if wanted.is_some() { EngineError::NotLive(run) } else { EngineError::NoSlots });
        }
        let ports = &self.0.ports;
        let (now, id) = (ports.clock.now(), ports.clock.random());
        // Noted before it is tried: whoever waits for this may go away meanwhile.
        let again = !claimed.insert(run);
        let loaded = load(&*ports.store, (&*ports.query, &self.0.plans), run, why, again, now, id).await;
        if !matches!(&loaded, Err(EngineError::Store(error)) if error.is_retryable()) {
            claimed.remove(&run);
        }
        let loaded = loaded?;
        let (asker, answer) = asker(wanted.as_ref().and_then(|wanted| wanted.posted));
        let command = wanted.map(|wanted| (wanted.command, wanted.order));
        let adopt = AdoptRun { state: loaded.state, epoch: loaded.epoch, command };
        self.send(run, Message::Adopt(Box::new(adopt), asker))?;
        answered(answer).await
    }
}

/// The answer to a caller of this engine; `None` for what is answered by the inbox.
type Awaited = Option<oneshot::Receiver<Result<(), DriveError>>>;

fn asker(posted: Option<RequestId>) -> (Asker, Awaited) {
    if let Some(request) = posted {
        return (Asker::Inbox(request), None);
    }
    let (reply, answer) = oneshot::channel();
    (Asker::Caller(Box::new(move |outcome| drop(reply.send(outcome)))), Some(answer))
}

async fn answered(answer: Awaited) -> Result<(), EngineError> {
    let Some(answer) = answer else { return Ok(()) };
    answer.await.map_err(|_| EngineError::ShuttingDown)?.map_err(EngineError::from)
}
