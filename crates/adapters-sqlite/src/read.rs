//! What is read, on a connection of the readers. Each function is one statement: one view of the whole commits.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};
use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::cursor;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::frame;
use tutti_core::ports::query::{ListRuns, RunCounts, RunPage, RunSummary};
use tutti_core::ports::store::{Due, DueRuns, EncodedEvent, Snapshot, StoredEvent};
use tutti_core::time::Timestamp;
use tutti_core::value::{Digest, PayloadRef};

use crate::error::Outcome;
use crate::filter::Chosen;
use crate::rows;

/// Runs of a namespace, newest first.
pub fn list(db: &Connection, query: &ListRuns) -> Outcome<RunPage> {
    let limit = match query.limit {
        0 => 50,
        limit => limit.min(1_000),
    };
    let mut chosen = Chosen::of(&query.namespace, &query.filter);
    if let Some(cursor) = &query.cursor {
        match cursor::decode(&query.namespace, cursor) {
            Ok(run) => chosen.before(run),
            Err(error) => return Ok(Err(error)),
        }
    }
    // One more, to know whether there is a next page.
    let (sql, values) = chosen.list(rows::SUMMARY, limit + 1);
    let mut statement = db.prepare_cached(&sql)?;
    let found = statement.query_map(params_from_iter(values), rows::summary)?;
    let mut runs = found.collect::<rusqlite::Result<Vec<RunSummary>>>()?;
    let more = runs.len() > limit;
    runs.truncate(limit);
    let next = runs.last().filter(|_| more).map(|last| cursor::encode(&query.namespace, last.run));
    Ok(Ok(RunPage { runs, next }))
}

/// How many runs of a namespace a filter takes, by state.
pub fn count(db: &Connection, namespace: &Namespace, filter: &RunFilter) -> Outcome<RunCounts> {
    let (sql, values) = Chosen::of(namespace, filter).count();
    let mut statement = db.prepare_cached(&sql)?;
    let found = statement.query_map(params_from_iter(values), |row| Ok((rows::parsed(row, 0)?, row.get(1)?)))?;
    found.collect::<rusqlite::Result<_>>().map(Ok)
}

/// One run of a namespace.
pub fn find(db: &Connection, namespace: &Namespace, run: RunId) -> Outcome<Option<RunSummary>> {
    let sql = format!("SELECT {} FROM run_view WHERE namespace = ? AND run_id = ?", rows::SUMMARY);
    db.prepare_cached(&sql)?.query_row((namespace.as_str(), run.as_uuid()), rows::summary).optional().map(Ok)
}

/// Runs of a namespace whose id begins with a text.
pub fn find_by_prefix(db: &Connection, namespace: &Namespace, prefix: &str, limit: usize) -> Outcome<Vec<RunSummary>> {
    let Some((first, last)) = RunId::range(prefix) else { return Ok(Ok(Vec::new())) };
    let sql = format!(
        "SELECT {} FROM run_view WHERE namespace = ? AND run_id BETWEEN ? AND ? ORDER BY run_id DESC LIMIT ?",
        rows::SUMMARY
    );
    let mut statement = db.prepare_cached(&sql)?;
    let found = statement
        .query_map((namespace.as_str(), first.as_uuid(), last.as_uuid(), rows::limit(limit)), rows::summary)?;
    found.collect::<rusqlite::Result<_>>().map(Ok)
}

/// Events of a run from a number on.
pub fn events(db: &Connection, run: RunId, from: u64, limit: usize) -> Outcome<Vec<StoredEvent>> {
    let mut statement = db.prepare_cached(
        "SELECT seq, at_us, kind, version, blob, epoch FROM event WHERE run_id = ? AND seq >= ? ORDER BY seq LIMIT ?",
    )?;
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    let found = statement.query_map((run.as_uuid(), from, rows::limit(limit)), |row| {
        let event = EncodedEvent {
            seq: row.get(0)?,
            at: Timestamp::from_micros(row.get(1)?),
            kind: row.get(2)?,
            version: row.get(3)?,
            blob: Bytes::from(row.get::<_, Vec<u8>>(4)?),
        };
        Ok(StoredEvent { event, epoch: row.get(5)? })
    })?;
    found.collect::<rusqlite::Result<_>>().map(Ok)
}

/// A definition by its hash.
pub fn definition(db: &Connection, hash: Digest) -> Outcome<Option<Vec<u8>>> {
    let mut statement = db.prepare_cached("SELECT body FROM definition WHERE hash = ?")?;
    let framed = statement.query_row([hash.as_bytes()], |row| row.get(0)).optional()?;
    Ok(framed.map(|framed| frame::content(framed, hash)).transpose())
}

/// A payload of a run by its hash.
pub fn payload(db: &Connection, run: RunId, at: PayloadRef) -> Outcome<Option<Bytes>> {
    let mut statement = db.prepare_cached("SELECT body FROM payload WHERE run_id = ? AND hash = ?")?;
    let framed = statement.query_row((run.as_uuid(), at.hash.as_bytes()), |row| row.get(0)).optional()?;
    Ok(framed.map(|framed| frame::content(framed, at.hash).map(Bytes::from)).transpose())
}

/// Runs that must be looked after.
pub fn due(db: &Connection, query: &DueRuns) -> Outcome<Vec<RunId>> {
    let slots = serde_json::to_string(&query.slots).expect("numbers serialize into memory");
    match query.due {
        Due::Active(after) => active(db, after, (&slots, query.reads), query.limit),
        Due::Until(moment) => waiting(db, moment, (&slots, query.reads), query.limit),
    }
    .map(Ok)
}

fn active(
    db: &Connection,
    after: Option<RunId>,
    (slots, reads): (&str, u16),
    limit: usize,
) -> rusqlite::Result<Vec<RunId>> {
    let mut statement = db.prepare_cached(
        "SELECT run_id FROM run
         WHERE wake_at = 0 AND run_id > ? AND slot IN (SELECT value FROM json_each(?)) AND min_reader <= ?
         ORDER BY run_id LIMIT ?",
    )?;
    // No id is as small as the empty one.
    let after = after.map_or(Vec::new(), |run| run.as_uuid().as_bytes().to_vec());
    statement.query_map((after, slots, reads, rows::limit(limit)), rows::run_id)?.collect()
}

/// In each namespace so many of the first, found along the index, and then in turn.
fn waiting(
    db: &Connection,
    moment: Timestamp,
    (slots, reads): (&str, u16),
    limit: usize,
) -> rusqlite::Result<Vec<RunId>> {
    let mut next = db.prepare_cached("SELECT min(namespace) FROM run WHERE wake_at > 0 AND namespace > ?")?;
    let mut first = db.prepare_cached(
        "SELECT run_id, wake_at FROM run
         WHERE namespace = ? AND wake_at > 0 AND wake_at <= ? AND slot IN (SELECT value FROM json_each(?))
            AND min_reader <= ?
         ORDER BY wake_at, run_id LIMIT ?",
    )?;
    let (mut found, mut after) = (Vec::new(), String::new());
    // No namespace has an empty name.
    while let Some(namespace) = next.query_row([&after], |row| row.get::<_, Option<String>>(0))? {
        let values = (&namespace, moment.as_micros(), slots, reads, rows::limit(limit));
        let runs = first.query_map(values, |row| Ok((row.get::<_, i64>(1)?, rows::run_id(row)?)))?;
        for (turn, run) in runs.enumerate() {
            let (wake_at, run) = run?;
            found.push((turn, wake_at, run));
        }
        after = namespace;
    }
    found.sort_unstable();
    Ok(found.into_iter().take(limit).map(|(.., run)| run).collect())
}

/// The snapshot of a run.
pub fn snapshot(db: &Connection, run: RunId) -> Outcome<Option<Snapshot>> {
    let mut statement = db.prepare_cached("SELECT seq, schema, blob FROM snapshot WHERE run_id = ?")?;
    let found = statement.query_row([run.as_uuid()], |row| {
        Ok(Snapshot { seq: row.get(0)?, schema: row.get(1)?, blob: Bytes::from(row.get::<_, Vec<u8>>(2)?) })
    });
    found.optional().map(Ok)
}
