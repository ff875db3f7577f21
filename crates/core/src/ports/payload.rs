//! Keeping values that are too large for the history.

use async_trait::async_trait;
use bytes::Bytes;

use super::store::StoreError;
use crate::ids::RunId;
use crate::value::PayloadRef;

/// Keeps large values of runs, by content.
///
/// Contract: what [`put`](Self::put) acknowledged is durable and is given back byte for byte. Putting the same bytes twice
/// is one payload. A payload belongs to its run; another run never sees it.
#[async_trait]
pub trait PayloadStore: Send + Sync {
    /// Keeps bytes under their hash.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn put(&self, run: RunId, bytes: Bytes) -> Result<PayloadRef, StoreError>;

    /// Gives the bytes back; `None` if there are none under this hash.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Corrupt`] if what is kept does not have the hash.
    async fn get(&self, run: RunId, at: PayloadRef) -> Result<Option<Bytes>, StoreError>;
}
