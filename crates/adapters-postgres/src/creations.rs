//! New runs come one at a time. Those that come while a statement is under way go together in the next.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tutti_core::limits::{MAX_COMMIT_BYTES, MAX_COMMIT_RUNS};
use tutti_core::ports::store::{Creation, NewRun, StoreError};

use crate::connections::Connections;
use crate::create::{self, Asked};

/// Collects new runs for a task that creates them.
#[derive(Debug)]
pub struct Creations(mpsc::UnboundedSender<Waiting>);

#[derive(Debug)]
struct Waiting {
    asked: Asked,
    reply: Reply,
}

type Reply = oneshot::Sender<Result<Creation, StoreError>>;

impl Creations {
    /// Starts the task; it ends when this is dropped and all that was asked is done.
    pub fn start(connections: Connections) -> Self {
        let (queue, waiting) = mpsc::unbounded_channel();
        tokio::spawn(serve(connections, waiting));
        Self(queue)
    }

    /// Creates a run, with others that are asked for meanwhile. It is done even if the caller goes away.
    pub async fn create(&self, asked: Asked) -> Result<Creation, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Waiting { asked, reply }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the task that creates runs has ended".to_owned())
}

async fn serve(connections: Connections, mut waiting: mpsc::UnboundedReceiver<Waiting>) {
    while let Some(first) = waiting.recv().await {
        let (asked, replies) = fill(first, &mut waiting);
        let asked: Arc<[Asked]> = asked.into();
        let together = connections.run(asked.clone(), |db, asked| Box::pin(create::together(db, asked))).await;
        for (n, reply) in replies.into_iter().enumerate() {
            match &together {
                Ok(created) if created.get(n) == Some(&true) => reply_to(reply, Ok(Creation::Created)),
                // Whatever it waits for, the next ones do not.
                Ok(_) => drop(tokio::spawn(alone(connections.clone(), asked[n].new.clone(), reply))),
                Err(error) => reply_to(reply, Err(error.clone())),
            }
        }
    }
}

/// Takes what waits, as much as goes into one statement.
fn fill(first: Waiting, waiting: &mut mpsc::UnboundedReceiver<Waiting>) -> (Vec<Asked>, Vec<Reply>) {
    let mut bytes = size(&first.asked);
    let (mut asked, mut replies) = (vec![first.asked], vec![first.reply]);
    while asked.len() < MAX_COMMIT_RUNS
        && bytes < MAX_COMMIT_BYTES
        && let Ok(next) = waiting.try_recv()
    {
        bytes += size(&next.asked);
        asked.push(next.asked);
        replies.push(next.reply);
    }
    (asked, replies)
}

fn size(asked: &Asked) -> usize {
    let body = if asked.definition_is_kept { 0 } else { asked.new.definition.1.len() };
    body + asked.new.events.iter().map(|event| event.blob.len()).sum::<usize>()
}

async fn alone(connections: Connections, new: NewRun, reply: Reply) {
    reply_to(reply, connections.run(new, |db, new| Box::pin(create::alone(db, new))).await);
}

fn reply_to(reply: Reply, answer: Result<Creation, StoreError>) {
    // A caller that went away needs no answer.
    let _ = reply.send(answer);
}
