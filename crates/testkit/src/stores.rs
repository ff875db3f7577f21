//! One store, as its ports.

use std::sync::Arc;

use tutti_core::ports::inbox::Inbox;
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::RunQuery;
use tutti_core::ports::records::RecordStore;
use tutti_core::ports::store::RunStore;

/// The ports of one store.
#[derive(Clone)]
pub struct Stores {
    /// Makes runs durable.
    pub runs: Arc<dyn RunStore>,
    /// Reads them.
    pub query: Arc<dyn RunQuery>,
    /// Keeps large values.
    pub payloads: Arc<dyn PayloadStore>,
    /// Keeps documents.
    pub records: Arc<dyn RecordStore>,
    /// Brings commands of others.
    pub inbox: Arc<dyn Inbox>,
}

impl Stores {
    /// One value that is all of them.
    pub fn of<S: RunStore + RunQuery + PayloadStore + RecordStore + Inbox + 'static>(store: Arc<S>) -> Self {
        Self {
            runs: store.clone(),
            query: store.clone(),
            payloads: store.clone(),
            records: store.clone(),
            inbox: store,
        }
    }
}
