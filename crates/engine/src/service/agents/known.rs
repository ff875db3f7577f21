//! What the documents of a store say, brought into the registry.

use std::collections::BTreeMap;

use tutti_core::ids::{AgentId, Namespace};
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::records::{Record, RecordKind, RecordStore};
use tutti_core::time::Timestamp;

use super::{Kept, all, parted, read};
use crate::dispatcher::Registry;

/// The documents that the registry follows, by the names of their agents.
#[derive(Default)]
pub struct Known(BTreeMap<AgentId, (Namespace, Record)>);

impl Known {
    /// Those of a store.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn with(
        mut self,
        registry: &Registry,
        records: &dyn RecordStore,
        now: Timestamp,
    ) -> Result<Self, RequestError> {
        self.bring(registry, all(records, RecordKind::Agent, "").await?, now);
        Ok(self)
    }

    /// Brings the registry from what was known to what all documents say now. Where two namespaces gave a name at the same
    /// time, the first of them has it, at every server.
    pub fn bring(&mut self, registry: &Registry, documents: Vec<Record>, now: Timestamp) {
        let mut listed = BTreeMap::new();
        for record in documents {
            match parted(&record.key.name) {
                Ok((namespace, id)) => {
                    listed.entry(id).or_insert((namespace, record));
                }
                Err(error) => tracing::warn!(%error, "left out"),
            }
        }
        let stays = |id: &AgentId, namespace: &Namespace| listed.get(id).is_some_and(|(owner, _)| owner == namespace);
        let gone = self.0.iter().filter(|(id, (namespace, _))| !stays(id, namespace));
        let gone: Vec<_> = gone.map(|(id, (namespace, _))| (namespace.clone(), id.clone())).collect();
        gone.iter().for_each(|(namespace, id)| self.forget(registry, (namespace, id)));
        for (id, (namespace, record)) in listed {
            // A document that was removed and written again has its first revision again: the whole of it is compared.
            if self.0.get(&id).is_none_or(|(_, known)| *known != record) {
                self.put(registry, (namespace, id), record, now);
            }
        }
    }

    /// Follows a document that was written.
    pub fn put(&mut self, registry: &Registry, (namespace, id): (Namespace, AgentId), record: Record, now: Timestamp) {
        match read::<Kept>(&record) {
            Ok(kept) => {
                if !registry.register_in(&namespace, kept.record(id.clone()), kept.heartbeat(), now) {
                    tracing::warn!(agent = %id, %namespace, "left out: an agent of the agents file has its name");
                }
            }
            Err(error) => {
                tracing::warn!(agent = %id, %namespace, %error, "left out");
                registry.deregister(&namespace, &id);
            }
        }
        self.0.insert(id, (namespace, record));
    }

    /// Follows the removal of a document.
    pub fn forget(&mut self, registry: &Registry, (namespace, id): (&Namespace, &AgentId)) {
        registry.deregister(namespace, id);
        self.0.remove(id);
    }
}
