//! What the servers of one store tell each other: each keeps one document, which the others read. They look at what has
//! changed in it, so that no clock but their own counts.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tutti_core::ids::{Namespace, ServerId};
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::records::{Put, Record, RecordKey, RecordKind, RecordStore};
use tutti_core::time::Timestamp;

use super::{all, of_store, read, written};

/// After so long without a change, what a server tells is removed: it is gone, or has nothing to tell any more.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// What a server tells, and what it is told.
pub struct Pages<T> {
    /// The document of this server.
    key: RecordKey,
    /// Its revision; 0 if there is none.
    revision: u64,
    /// What the others told last; nothing before the first look.
    others: Option<HashMap<String, Page<T>>>,
}

/// What a server told last, and since when it tells that.
struct Page<T> {
    record: Record,
    since: Timestamp,
    content: T,
}

impl<T: Serialize + DeserializeOwned + Default> Pages<T> {
    /// Those of a kind, for a server.
    pub fn of(kind: RecordKind, server: &ServerId) -> Self {
        let key = RecordKey { kind, namespace: Namespace::default(), name: server.to_string() };
        Self { key, revision: 0, others: None }
    }

    /// Tells the others.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub async fn tell(&mut self, content: &T, records: &dyn RecordStore) -> Result<(), RequestError> {
        let blob = written(content);
        loop {
            let record = Record { key: self.key.clone(), revision: self.revision, blob: blob.clone() };
            match records.put(record).await.map_err(of_store)? {
                Put::Stored(revision) => {
                    self.revision = revision;
                    return Ok(());
                }
                // It was written before this server was started again, or was removed as an old one.
                Put::Conflict(there) => self.revision = there.map_or(0, |record| record.revision),
            }
        }
    }

    /// Takes what the other servers tell; `news` is given what is new, with what the server told before. What they have told
    /// before the first look is no news. Removes what has not changed for long.
    ///
    /// # Errors
    /// A store that cannot be read or written.
    pub async fn hear(
        &mut self,
        records: &dyn RecordStore,
        now: Timestamp,
        mut news: impl FnMut(T, &T),
    ) -> Result<(), RequestError> {
        let documents = all(records, self.key.kind, "").await?;
        let is_first = self.others.is_none();
        let mut before = self.others.take().unwrap_or_default();
        let (mut pages, mut old) = (HashMap::new(), Vec::new());
        for record in documents.into_iter().filter(|record| record.key != self.key) {
            let name = record.key.name.clone();
            let page = match before.remove(&name) {
                Some(page) if page.record == record => page,
                page => {
                    let content = read(&record).unwrap_or_else(|error| {
                        tracing::warn!(server = name, %error, "it is not known what this server knows about agents");
                        T::default()
                    });
                    if !is_first {
                        news(page.map(|page| page.content).unwrap_or_default(), &content);
                    }
                    Page { record, since: now, content }
                }
            };
            if now.since(page.since) > FORGOTTEN {
                old.push(page.record.clone());
            }
            pages.insert(name, page);
        }
        self.others = Some(pages);
        for record in old {
            records.delete(&record.key, record.revision).await.map_err(of_store)?;
        }
        Ok(())
    }

    /// What the others told last.
    pub fn others(&self) -> impl Iterator<Item = &T> {
        self.others.iter().flat_map(HashMap::values).map(|page| &page.content)
    }
}
