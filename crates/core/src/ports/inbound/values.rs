//! The values of runs.

use async_trait::async_trait;
use bytes::Bytes;

use super::error::RequestError;
use crate::ids::{Namespace, RunId};
use crate::value::{Json, PayloadRef};

/// What runs work with and bring forth.
///
/// Contract: that of [`inbound`](super).
#[async_trait]
pub trait Values: Send + Sync {
    /// The data of a run as it stands: what it began with and what its completed steps put into it.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn data(&self, namespace: &Namespace, run: RunId) -> Result<Json, RequestError>;

    /// A large value of a run.
    ///
    /// # Errors
    /// [`RequestError`].
    async fn payload(&self, namespace: &Namespace, run: RunId, at: PayloadRef) -> Result<Bytes, RequestError>;
}
