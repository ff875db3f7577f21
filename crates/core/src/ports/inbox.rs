//! Commands for runs that another process drives.

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::store::StoreError;
use crate::ids::{RequestId, RunId};
use crate::run::{Command, Fault, Order, Refusal};
use crate::time::Timestamp;

/// Brings commands to the server that drives a run, whoever takes them in.
///
/// Contract: what [`post`](Self::post) acknowledged is durable and stays until it is consumed: a commit of the run with its
/// request among [`Commit::consumed`](super::store::Commit::consumed) removes it and keeps its outcome, in the transaction
/// of that commit; or until it is [refused](Self::refuse). Items have no order among each other but their time; nobody may take an id for a cursor.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Puts a command into the inbox. The same request of a run is one item, however often it is posted, and none once it
    /// has an outcome.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Permanent`] if there is no such run.
    async fn post(&self, item: InboxItem) -> Result<(), StoreError>;

    /// Items for runs of these slots (in order, none twice), the oldest first, at most `limit`. One that is not as it was
    /// written comes without content, so that it is answered and holds up no other.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn pending(&self, slots: &[u16], limit: usize) -> Result<Vec<InboxItem>, StoreError>;

    /// Puts an outcome in the place of an item that cannot be brought to its run. Does nothing if it does not wait.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn refuse(&self, run: RunId, item: Consumed) -> Result<(), StoreError>;

    /// What became of a request; `None` while it waits, or if nobody posted it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn outcome(&self, run: RunId, request: RequestId) -> Result<Option<Bytes>, StoreError>;

    /// Forgets outcomes that are older; how many.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn forget_outcomes(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// A command that waits for the run's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxItem {
    /// The run.
    pub run: RunId,
    /// The caller's id of the request.
    pub request: RequestId,
    /// When it was posted, by the poster's clock.
    pub at: Timestamp,
    /// What is wanted: a [`Letter`], encoded.
    pub blob: Bytes,
}

/// An item that is consumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    /// The caller's id of the request.
    pub request: RequestId,
    /// When, by the owner's clock.
    pub at: Timestamp,
    /// What became of it: a [`Verdict`], encoded.
    pub outcome: Bytes,
}

/// What an item says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    /// What is wanted.
    pub command: Command,
    /// By whom, why, by which request.
    pub order: Order,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was applied.
    Applied,
    /// The run's state did not allow it, for this reason.
    Rejected(String),
    /// It was refused for something else than the run's state.
    Refused(Refusal),
}

impl Letter {
    /// The form in which it is kept.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode(self)
    }

    /// Reads it back.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn decode(blob: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(blob).map_err(|error| error.to_string())
    }
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        match refusal.fault {
            Fault::State => Self::Rejected(refusal.reason),
            Fault::Field(_) | Fault::Caller => Self::Refused(refusal),
        }
    }
}

impl Verdict {
    /// The form in which it is kept.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode(self)
    }

    /// Reads it back.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn decode(blob: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(blob).map_err(|error| error.to_string())
    }
}

fn encode<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).expect("text and numbers").into()
}
