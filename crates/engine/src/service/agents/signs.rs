//! The signs of life of agents that servers of one store tell each other: an agent gives them to one server, whichever
//! answers, and counts as there for all.
//!
//! Each server keeps one document of what it heard last of whom. The others look at what has changed in it, so that no
//! clock but their own counts.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tutti_core::ids::{AgentId, Namespace, ServerId};
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::records::{Put, Record, RecordKey, RecordKind, RecordStore};
use tutti_core::time::Timestamp;

use super::{LOOK, all, of_store, read, written};
use crate::dispatcher::Registry;

/// By how much a sign may be heard later through another server: it waits for a look there and for one here, and each look
/// may take as long as the wait for it.
const LATE: Duration = LOOK.saturating_mul(4);

/// After so long without a change, what a server heard is removed: it is gone, or hears nothing any more.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// What a server hears, and what it is told.
pub struct Signs {
    /// The document of this server.
    key: RecordKey,
    heard: Mutex<Heard>,
    told: tokio::sync::Mutex<Told>,
}

/// What this server heard last of whom.
#[derive(Default)]
struct Heard {
    signs: BTreeMap<AgentId, Sign>,
    /// Signs that were heard, ever.
    count: u64,
}

/// What the servers have told each other.
#[derive(Default)]
struct Told {
    /// The revision of this server's document; 0 if there is none.
    revision: u64,
    /// Signs that were heard when it was written.
    count: u64,
    /// What the others told last; nothing before the first look.
    others: Option<HashMap<String, Page>>,
}

/// What a server told last, and since when it tells that.
struct Page {
    record: Record,
    since: Timestamp,
    signs: BTreeMap<AgentId, Sign>,
}

/// A sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sign {
    /// By the clock of the server that heard it; others see by it only whether it is a new one.
    at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    load: Option<f64>,
}

impl Signs {
    /// Those of a server.
    pub fn of(server: &ServerId) -> Self {
        let key = RecordKey { kind: RecordKind::AgentSigns, namespace: Namespace::default(), name: server.to_string() };
        Self { key, heard: Mutex::default(), told: tokio::sync::Mutex::default() }
    }

    /// Hears one.
    pub fn heard(&self, agent: &AgentId, load: Option<f64>, at: Timestamp) {
        let heard = &mut *self.lock();
        heard.signs.insert(agent.clone(), Sign { at, load });
        heard.count += 1;
    }

    /// Tells the others what was heard here, and the registry what they heard.
    ///
    /// # Errors
    /// A store that cannot be written or read.
    pub async fn exchange(
        &self,
        registry: &Registry,
        records: &dyn RecordStore,
        now: Timestamp,
    ) -> Result<(), RequestError> {
        let told = &mut *self.told.lock().await;
        self.tell(registry, records, told, now).await?;
        let mut documents = all(records, RecordKind::AgentSigns, "").await?;
        documents.retain(|record| record.key != self.key);
        let old = told.hear(registry, documents, now);
        for record in old {
            records.delete(&record.key, record.revision).await.map_err(of_store)?;
        }
        Ok(())
    }

    async fn tell(
        &self,
        registry: &Registry,
        records: &dyn RecordStore,
        told: &mut Told,
        now: Timestamp,
    ) -> Result<(), RequestError> {
        let (count, blob) = {
            let heard = &mut *self.lock();
            if heard.count == told.count {
                return Ok(());
            }
            heard.signs.retain(|agent, _| registry.state(agent, now).is_some());
            (heard.count, written(&heard.signs))
        };
        loop {
            let record = Record { key: self.key.clone(), revision: told.revision, blob: blob.clone() };
            match records.put(record).await.map_err(of_store)? {
                Put::Stored(revision) => {
                    (told.revision, told.count) = (revision, count);
                    return Ok(());
                }
                // It was written before this server was started again, or was removed as an old one.
                Put::Conflict(there) => told.revision = there.map_or(0, |record| record.revision),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        // Every change leaves it whole, so a panic elsewhere does not spoil it.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    /// Takes what the other servers tell. What they have told before the first look says nothing about now. Those that
    /// have told nothing new for long.
    fn hear(&mut self, registry: &Registry, documents: Vec<Record>, now: Timestamp) -> Vec<Record> {
        let is_first = self.others.is_none();
        let mut before = self.others.take().unwrap_or_default();
        let (mut pages, mut old) = (HashMap::new(), Vec::new());
        for record in documents {
            let name = record.key.name.clone();
            let page = match before.remove(&name) {
                Some(page) if page.record == record => page,
                page => {
                    let known = page.map(|page| page.signs).unwrap_or_default();
                    let signs: BTreeMap<AgentId, Sign> = read(&record).unwrap_or_else(|error| {
                        tracing::warn!(server = name, %error, "it is not known which agents this server has heard");
                        BTreeMap::new()
                    });
                    let fresh = signs.iter().filter(|(agent, sign)| !is_first && known.get(*agent) != Some(*sign));
                    for (agent, sign) in fresh {
                        registry.heard(agent, sign.load, now, LATE);
                    }
                    Page { record, since: now, signs }
                }
            };
            if now.since(page.since) > FORGOTTEN {
                old.push(page.record.clone());
            }
            pages.insert(name, page);
        }
        self.others = Some(pages);
        old
    }
}
