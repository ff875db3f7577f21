//! Documents that are kept by name.

use bytes::Bytes;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use tutti_core::ports::frame;
use tutti_core::ports::records::{ListRecords, Put, Record, RecordKey};
use tutti_core::ports::store::StoreError;

use crate::connections::Outcome;
use crate::rows;

/// How often a document is written that was gone, or there, each time it was looked at afterwards.
const TRIES: usize = 10;

/// Writes a document in the place of the revision that it names.
pub async fn put(db: &mut PgConnection, record: &Record) -> Outcome<Put> {
    // What a newer build wrote in a form of its own is not replaced unread.
    let statement = if record.revision == 0 {
        "INSERT INTO record (kind, namespace, name, body, revision) VALUES ($1, $2, $3, $4, $5 + 1) ON CONFLICT DO NOTHING"
    } else {
        "UPDATE record SET body = $4, revision = $5 + 1 WHERE kind = $1 AND namespace = $2 AND name = $3 AND revision = $5
         AND substring(body FROM 1 FOR 3) = '\\x000000'"
    };
    let RecordKey { kind, namespace, name } = &record.key;
    let framed = frame::wrap(&record.blob);
    for _ in 0..TRIES {
        let written = sqlx::query(statement)
            .bind(kind.as_str())
            .bind(namespace.as_str())
            .bind(name.as_bytes())
            .bind(&framed[..])
            .bind(replaced(record.revision))
            .execute(&mut *db)
            .await?;
        if written.rows_affected() == 1 {
            return Ok(Ok(Put::Stored(record.revision + 1)));
        }
        match get(db, &record.key).await? {
            Ok(current) if current.as_ref().map_or(0, |current| current.revision) != record.revision => {
                return Ok(Ok(Put::Conflict(current)));
            }
            Ok(_) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Err(StoreError::Unavailable(format!("document {name} changes too often to be written"))))
}

/// A document.
pub async fn get(db: &mut PgConnection, key: &RecordKey) -> Outcome<Option<Record>> {
    let RecordKey { kind, namespace, name } = key;
    let found = sqlx::query("SELECT name, revision, body FROM record WHERE kind = $1 AND namespace = $2 AND name = $3")
        .bind(kind.as_str())
        .bind(namespace.as_str())
        .bind(name.as_bytes())
        .fetch_optional(db)
        .await?;
    let kept = found.as_ref().map(kept).transpose()?;
    Ok(kept.map(|(_, revision, framed)| record(key.clone(), revision, framed)).transpose())
}

/// Documents of a kind in a namespace, by name.
pub async fn list(db: &mut PgConnection, query: &ListRecords) -> Outcome<Vec<Record>> {
    // Names after one begin with it and a zero byte at the earliest.
    let from = match &query.after {
        Some(after) if *after >= query.prefix => [after.as_bytes(), b"\0"].concat(),
        _ => query.prefix.as_bytes().to_vec(),
    };
    let found = sqlx::query(
        "SELECT name, revision, body FROM record
         WHERE kind = $1 AND namespace = $2 AND name >= $3 AND ($4::bytea IS NULL OR name < $4) ORDER BY name LIMIT $5",
    )
    .bind(query.kind.as_str())
    .bind(query.namespace.as_str())
    .bind(from)
    .bind(beyond(query.prefix.as_bytes()))
    .bind(rows::at_most(query.limit))
    .fetch_all(db)
    .await?;
    let found = found.iter().map(kept).collect::<sqlx::Result<Vec<_>>>()?;
    let named = |(name, revision, framed)| {
        let name =
            String::from_utf8(name).map_err(|_| StoreError::Corrupt("the name of a document is no text".into()))?;
        record(RecordKey { kind: query.kind, namespace: query.namespace.clone(), name }, revision, framed)
    };
    Ok(found.into_iter().map(named).collect())
}

/// Removes a document of a revision.
pub async fn delete(db: &mut PgConnection, (key, revision): &(RecordKey, u64)) -> Outcome<bool> {
    let RecordKey { kind, namespace, name } = key;
    let deleted = sqlx::query("DELETE FROM record WHERE kind = $1 AND namespace = $2 AND name = $3 AND revision = $4")
        .bind(kind.as_str())
        .bind(namespace.as_str())
        .bind(name.as_bytes())
        .bind(rows::compared(*revision))
        .execute(db)
        .await?;
    Ok(Ok(deleted.rows_affected() > 0))
}

type Kept = (Vec<u8>, u64, Vec<u8>);

fn kept(row: &PgRow) -> sqlx::Result<Kept> {
    Ok((row.try_get(0)?, rows::number(row, 1)?, row.try_get(2)?))
}

fn record(key: RecordKey, revision: u64, framed: Vec<u8>) -> Result<Record, StoreError> {
    Ok(Record { key, revision, blob: Bytes::from(frame::unwrap(framed)?) })
}

/// A revision to compare with and to count on from; the greatest is none that was ever written.
fn replaced(revision: u64) -> i64 {
    i64::try_from(revision).ok().filter(|revision| *revision < i64::MAX).unwrap_or(-1)
}

/// The first name that is greater than every name with a beginning, in the order of bytes; `None` if there is none.
fn beyond(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut beyond = prefix[..=last].to_vec();
    beyond[last] += 1;
    Some(beyond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_beginning_come_before_what_is_beyond() {
        assert_eq!(beyond(b"a"), Some(b"b".to_vec()));
        assert_eq!(beyond(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(beyond(b""), None);
        assert_eq!(beyond(b"\xff"), None);
    }
}
