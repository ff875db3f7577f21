//! What is written, inside a transaction of the writer.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};
use tutti_core::ids::{RunId, RunKey, SessionId};
use tutti_core::ports::frame;
use tutti_core::ports::query::RunSummary;
use tutti_core::ports::store::{
    Claim, ClaimOutcome, Claimer, Commit, CommitOutcome, Creation, EncodedEvent, KeyClaim, NewRun, Snapshot, StoreError,
};
use tutti_core::value::Digest;

use crate::error::Outcome;
use crate::{inbox, rows};

/// Creates a run.
pub fn create(db: &Connection, new: &NewRun) -> Outcome<Creation> {
    let (id, namespace) = (new.run.as_uuid(), new.namespace.as_str());
    let first = db
        .prepare_cached("SELECT run_id FROM request WHERE namespace = ? AND request_id = ?")?
        .query_row((namespace, new.request), rows::run_id)
        .optional()?;
    if let Some(first) = first {
        return Ok(Ok(Creation::Exists(first)));
    }
    if db.prepare_cached("SELECT 1 FROM run WHERE run_id = ?")?.exists([id])? {
        let text = format!("run {} exists and was created by another request", new.run);
        return Ok(Err(StoreError::Permanent(text)));
    }
    if let Some(claim) = &new.key
        && let Some(holder) = holder(db, namespace, claim)?
    {
        return Ok(Ok(Creation::KeyHeld(holder)));
    }
    let (hash, body) = &new.definition;
    let mut known = db.prepare_cached("SELECT 1 FROM definition WHERE hash = ?")?;
    if !known.exists([hash.as_bytes()])? {
        db.execute("INSERT INTO definition (hash, body) VALUES (?, ?)", (hash.as_bytes(), &frame::wrap(body)[..]))?;
    }
    db.prepare_cached(
        "INSERT INTO run
            (run_id, namespace, slot, definition, epoch, last_seq, commit_id, claims, min_reader, wake_at)
         VALUES (?, ?, ?, ?, 1, ?, ?, 0, ?, ?)",
    )?
    .execute(params![
        id,
        namespace,
        new.run.slot(),
        hash.as_bytes(),
        new.events.len(),
        new.commit_id.to_be_bytes(),
        new.min_reader,
        rows::wake(new.wake),
    ])?;
    db.prepare_cached("INSERT INTO request (namespace, request_id, run_id) VALUES (?, ?, ?)")?.execute((
        namespace,
        new.request,
        id,
    ))?;
    if let Some(KeyClaim { key, .. }) = &new.key {
        let sql = "INSERT OR REPLACE INTO run_key (namespace, key, run_id) VALUES (?, ?, ?)";
        db.prepare_cached(sql)?.execute((namespace, key.as_str(), id))?;
    }
    db.prepare_cached(
        "INSERT INTO run_view
            (run_id, namespace, workflow, version, definition, status, steps, completed, failed, created_at, updated_at,
             ended_at, error, key, session, labels)
         VALUES (?1, ?16, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )
    .and_then(|mut insert| {
        with_summary(&new.summary, |values| insert.execute([values, &[&namespace]].concat().as_slice()))
    })?;
    append(db, new.run, 1, &new.events)?;
    Ok(Ok(Creation::Created))
}

/// The run that keeps a key from being claimed.
fn holder(db: &Connection, namespace: &str, claim: &KeyClaim) -> rusqlite::Result<Option<RunId>> {
    let mut named = db.prepare_cached("SELECT run_id FROM run_key WHERE namespace = ? AND key = ?")?;
    let named = named.query_row((namespace, claim.key.as_str()), rows::run_id).optional()?;
    Ok(named.filter(|holder| Some(*holder) != claim.from))
}

/// Appends to runs, each guarded by its own row.
pub fn commit(db: &Connection, commits: &[Commit]) -> Outcome<Vec<CommitOutcome>> {
    commits.iter().map(|commit| commit_one(db, commit)).collect::<rusqlite::Result<_>>().map(Ok)
}

fn commit_one(db: &Connection, commit: &Commit) -> rusqlite::Result<CommitOutcome> {
    let id = commit.run.as_uuid();
    let mut guard = db.prepare_cached("SELECT last_seq, epoch, commit_id, wake_at FROM run WHERE run_id = ?")?;
    let guard = guard.query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).optional()?;
    let Some((last_seq, epoch, last_id, wake_at)): Option<(u64, u64, [u8; 16], Option<i64>)> = guard else {
        return Ok(CommitOutcome::Refused);
    };
    let commit_id = commit.commit_id.to_be_bytes();
    if last_id == commit_id {
        return Ok(CommitOutcome::Committed);
    }
    if last_seq != commit.expected || epoch != commit.epoch {
        return Ok(CommitOutcome::Refused);
    }
    let last_seq = commit.expected + commit.events.len() as u64;
    db.prepare_cached(
        "UPDATE run SET last_seq = ?2, commit_id = ?3, claims = 0, min_reader = max(min_reader, ?4) WHERE run_id = ?1",
    )?
    .execute((id, last_seq, commit_id, commit.min_reader))?;
    // Apart, because it alone touches an index.
    if wake_at != rows::wake(commit.wake) {
        db.prepare_cached("UPDATE run SET wake_at = ? WHERE run_id = ?")?.execute((rows::wake(commit.wake), id))?;
    }
    if let Some(summary) = &commit.summary {
        let mut update = db.prepare_cached(
            "UPDATE run_view SET workflow = ?2, version = ?3, definition = ?4, status = ?5, steps = ?6, completed = ?7,
                failed = ?8, created_at = ?9, updated_at = ?10, ended_at = ?11, error = ?12, key = ?13,
                session = ?14, labels = ?15
             WHERE run_id = ?1",
        )?;
        with_summary(summary, |values| update.execute(values))?;
    }
    append(db, commit.run, commit.epoch, &commit.events)?;
    inbox::consume(db, commit.run, &commit.consumed)?;
    Ok(CommitOutcome::Committed)
}

/// Raises the epoch of a run, unless it needs a newer reader.
pub fn claim(db: &Connection, run: RunId, claimer: Claimer) -> Outcome<ClaimOutcome> {
    let mut claim = db.prepare_cached(
        "UPDATE run SET epoch = epoch + 1, claims = iif(?3, max(claims, 1), min(claims + 1, 0xffffffff))
         WHERE run_id = ?1 AND min_reader <= ?2
         RETURNING epoch, claims, last_seq, min_reader",
    )?;
    let claimed = claim
        .query_row((run.as_uuid(), claimer.reads, claimer.again), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((epoch, claims, last_seq, min_reader)) = claimed else {
        let mut needs = db.prepare_cached("SELECT min_reader FROM run WHERE run_id = ?")?;
        let needs = needs.query_row([run.as_uuid()], |row| row.get(0)).optional()?;
        return Ok(Ok(needs.map_or(ClaimOutcome::NotFound, ClaimOutcome::TooNew)));
    };
    let sql = format!("SELECT {} FROM run_view WHERE run_id = ?", rows::SUMMARY);
    let summary = db.prepare_cached(&sql)?.query_row([run.as_uuid()], rows::summary)?;
    Ok(Ok(ClaimOutcome::Claimed(Claim { epoch, claims, last_seq, min_reader, summary })))
}

/// Keeps a snapshot unless a newer one is kept.
pub fn save_snapshot(db: &Connection, run: RunId, snapshot: &Snapshot) -> Outcome<()> {
    let mut known = db.prepare_cached("SELECT 1 FROM run WHERE run_id = ? AND last_seq >= ?")?;
    if !known.exists((run.as_uuid(), snapshot.seq))? {
        let text = format!("run {run} has no event {} to snapshot", snapshot.seq);
        return Ok(Err(StoreError::Permanent(text)));
    }
    db.prepare_cached(
        "INSERT INTO snapshot (run_id, seq, schema, blob) VALUES (?, ?, ?, ?)
         ON CONFLICT (run_id) DO UPDATE SET seq = excluded.seq, schema = excluded.schema, blob = excluded.blob
         WHERE excluded.seq >= snapshot.seq",
    )?
    .execute((run.as_uuid(), snapshot.seq, snapshot.schema, &snapshot.blob[..]))?;
    Ok(Ok(()))
}

/// Keeps a payload, already framed.
pub fn put(db: &Connection, run: RunId, hash: Digest, framed: &Bytes) -> Outcome<()> {
    db.prepare_cached("INSERT INTO payload (run_id, hash, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")?
        .execute((run.as_uuid(), hash.as_bytes(), &framed[..]))?;
    Ok(Ok(()))
}

fn append(db: &Connection, run: RunId, epoch: u64, events: &[EncodedEvent]) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO event (run_id, seq, at_us, epoch, kind, version, blob) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    for event in events {
        let at = event.at.as_micros();
        insert.execute((run.as_uuid(), event.seq, at, epoch, event.kind, event.version, &event.blob[..]))?;
    }
    Ok(())
}

/// The values of a line for lists, in the order of [`rows::SUMMARY`].
fn with_summary<T>(
    summary: &RunSummary,
    run: impl FnOnce(&[&dyn rusqlite::ToSql]) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    run(params![
        summary.run.as_uuid(),
        summary.workflow.as_str(),
        summary.version,
        summary.definition.as_bytes(),
        summary.status.as_str(),
        summary.steps,
        summary.completed,
        summary.failed,
        summary.created_at.as_micros(),
        summary.updated_at.as_micros(),
        summary.ended_at.map(tutti_core::time::Timestamp::as_micros),
        summary.error,
        summary.key.as_ref().map(RunKey::as_str),
        summary.session.as_ref().map(SessionId::as_str),
        rows::labels(&summary.labels),
    ])
}
