//! Documents by kind, namespace and name.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use tutti_core::ports::records::{ListRecords, Put, Record, RecordKey};
use tutti_core::ports::store::StoreError;

#[derive(Debug, Default)]
pub struct Records {
    /// Revision and content. Keys sort by kind, namespace and the bytes of the name.
    records: BTreeMap<RecordKey, (u64, Bytes)>,
}

impl Records {
    pub fn put(&mut self, record: Record) -> Result<Put, StoreError> {
        record.check()?;
        let Record { key, revision, blob } = record;
        let current = self.get(&key);
        if current.as_ref().map_or(0, |current| current.revision) != revision {
            return Ok(Put::Conflict(current));
        }
        self.records.insert(key, (revision + 1, blob));
        Ok(Put::Stored(revision + 1))
    }

    pub fn get(&self, key: &RecordKey) -> Option<Record> {
        self.records.get(key).map(|kept| record(key, kept))
    }

    pub fn list(&self, query: &ListRecords) -> Vec<Record> {
        let of = |name: &String| RecordKey { kind: query.kind, namespace: query.namespace.clone(), name: name.clone() };
        let start = match &query.after {
            Some(after) if *after >= query.prefix => Bound::Excluded(of(after)),
            _ => Bound::Included(of(&query.prefix)),
        };
        let wanted = |key: &RecordKey| {
            key.kind == query.kind && key.namespace == query.namespace && key.name.starts_with(&query.prefix)
        };
        let found = self.records.range((start, Bound::Unbounded)).take_while(|(key, _)| wanted(key));
        found.take(query.limit).map(|(key, kept)| record(key, kept)).collect()
    }

    pub fn delete(&mut self, key: &RecordKey, revision: u64) -> bool {
        let fits = self.records.get(key).is_some_and(|(current, _)| *current == revision);
        fits && self.records.remove(key).is_some()
    }
}

fn record(key: &RecordKey, (revision, blob): &(u64, Bytes)) -> Record {
    Record { key: key.clone(), revision: *revision, blob: blob.clone() }
}
