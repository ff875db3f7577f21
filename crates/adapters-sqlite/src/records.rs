//! Documents that are kept by name.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row};
use tutti_core::ports::frame;
use tutti_core::ports::records::{ListRecords, Put, Record, RecordKey};
use tutti_core::ports::store::StoreError;

use crate::error::Outcome;
use crate::rows;

/// Writes a document in the place of the revision that it names.
pub fn put(db: &Connection, record: &Record) -> Outcome<Put> {
    let current = match get(db, &record.key)? {
        Ok(current) => current,
        Err(error) => return Ok(Err(error)),
    };
    if current.as_ref().map_or(0, |current| current.revision) != record.revision {
        return Ok(Ok(Put::Conflict(current)));
    }
    let revision = record.revision + 1;
    let RecordKey { kind, namespace, name } = &record.key;
    db.prepare_cached(
        "INSERT INTO record (kind, namespace, name, revision, body) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (kind, namespace, name) DO UPDATE SET revision = excluded.revision, body = excluded.body",
    )?
    .execute((kind.as_str(), namespace.as_str(), name, revision, &frame::wrap(&record.blob)[..]))?;
    Ok(Ok(Put::Stored(revision)))
}

/// A document.
pub fn get(db: &Connection, key: &RecordKey) -> Outcome<Option<Record>> {
    let RecordKey { kind, namespace, name } = key;
    let mut statement =
        db.prepare_cached("SELECT name, revision, body FROM record WHERE kind = ? AND namespace = ? AND name = ?")?;
    let found = statement.query_row((kind.as_str(), namespace.as_str(), name), kept).optional()?;
    Ok(found.map(|kept| record(key, kept)).transpose())
}

/// Documents of a kind in a namespace, by name.
pub fn list(db: &Connection, query: &ListRecords) -> Outcome<Vec<Record>> {
    let (from, start) = match &query.after {
        Some(after) if *after >= query.prefix => (">", after),
        _ => (">=", &query.prefix),
    };
    // No name is as large as a blob: so SQLite orders its types.
    let sql = format!(
        "SELECT name, revision, body FROM record
         WHERE kind = ? AND namespace = ? AND name {from} ? AND name < ifnull(?, x'') ORDER BY name LIMIT ?"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let values =
        (query.kind.as_str(), query.namespace.as_str(), start, beyond(&query.prefix), rows::limit(query.limit));
    let found = statement.query_map(values, kept)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let key = |name: &String| RecordKey { kind: query.kind, namespace: query.namespace.clone(), name: name.clone() };
    Ok(found.into_iter().map(|kept| record(&key(&kept.0), kept)).collect())
}

/// Removes a document of a revision.
pub fn delete(db: &Connection, key: &RecordKey, revision: u64) -> Outcome<bool> {
    let RecordKey { kind, namespace, name } = key;
    // A number that SQLite cannot hold is no revision of it.
    let revision = i64::try_from(revision).unwrap_or(-1);
    let deleted = db
        .prepare_cached("DELETE FROM record WHERE kind = ? AND namespace = ? AND name = ? AND revision = ?")?
        .execute((kind.as_str(), namespace.as_str(), name, revision))?;
    Ok(Ok(deleted > 0))
}

type Kept = (String, u64, Vec<u8>);

fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn record(key: &RecordKey, (_, revision, framed): Kept) -> Result<Record, StoreError> {
    Ok(Record { key: key.clone(), revision, blob: Bytes::from(frame::unwrap(framed)?) })
}

/// The first text that is greater than every text with a beginning, in the order of bytes; `None` if there is none.
/// UTF-8 sorts by bytes as its characters do by number.
fn beyond(prefix: &str) -> Option<String> {
    let mut start = prefix.to_owned();
    while let Some(last) = start.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            start.push(next);
            return Some(start);
        }
    }
    None
}
