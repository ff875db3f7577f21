//! Commands that wait for the server of their run.

use bytes::Bytes;
use sqlx::{PgConnection, Row as _};
use tutti_core::ids::{RequestId, RunId};
use tutti_core::ports::frame;
use tutti_core::ports::inbox::{Consumed, InboxItem};
use tutti_core::ports::store::StoreError;
use tutti_core::time::Timestamp;

use crate::connections::Outcome;
use crate::rows;

/// The channel on which hints are given; each says a slot.
pub const CHANNEL: &str = "tutti_inbox";

/// Most outcomes that one statement forgets.
pub const FORGOTTEN_AT_ONCE: u64 = 5_000;

/// Puts an item into the inbox, unless it is there or has an outcome; whether it was put there.
pub async fn post(db: &mut PgConnection, item: &InboxItem) -> Outcome<bool> {
    sqlx::raw_sql("BEGIN").execute(&mut *db).await?;
    let posted = put(db, item).await;
    let end = if matches!(posted, Ok(Ok(true))) { "COMMIT" } else { "ROLLBACK" };
    let ended = sqlx::raw_sql(end).execute(db).await;
    let posted = posted?;
    ended?;
    Ok(posted)
}

async fn put(db: &mut PgConnection, item: &InboxItem) -> Outcome<bool> {
    let row = sqlx::query(
        "WITH known AS MATERIALIZED (SELECT run_id, slot FROM run WHERE run_id = $1), put AS (
            INSERT INTO inbox (run_id, request_id, slot, at_us, blob) SELECT run_id, $2, slot, $3, $4 FROM known
            WHERE NOT EXISTS (SELECT FROM inbox_outcome WHERE run_id = $1 AND request_id = $2)
            ON CONFLICT DO NOTHING RETURNING 1
         )
         SELECT EXISTS (SELECT FROM known), EXISTS (SELECT FROM put)",
    )
    .bind(item.run.as_uuid())
    .bind(item.request)
    .bind(item.at.as_micros())
    .bind(&frame::wrap(&item.blob)[..])
    .fetch_one(&mut *db)
    .await?;
    if !row.try_get::<bool, _>(0)? {
        return Ok(Err(StoreError::Permanent(format!("there is no run {}", item.run))));
    }
    if !row.try_get::<bool, _>(1)? {
        return Ok(Ok(false));
    }
    // A commit may have consumed the same request after that statement began. It is seen by this one: the insert found the
    // way free, so that commit was over, and no other commit can see the item before this transaction ends.
    let gone = sqlx::query(
        "DELETE FROM inbox i USING inbox_outcome o
         WHERE i.run_id = $1 AND i.request_id = $2 AND o.run_id = i.run_id AND o.request_id = i.request_id",
    )
    .bind(item.run.as_uuid())
    .bind(item.request)
    .execute(db)
    .await?;
    Ok(Ok(gone.rows_affected() == 0))
}

/// Tells those who listen that there is something for a slot. Not in the transaction of an item: those that notify end one
/// after another.
pub async fn notify(db: &mut PgConnection, slot: &u16) -> Outcome<()> {
    sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(slot.to_string()).execute(db).await?;
    Ok(Ok(()))
}

/// Items for runs of some slots, the oldest first.
pub async fn pending(db: &mut PgConnection, (slots, limit): &(Vec<i32>, usize)) -> Outcome<Vec<InboxItem>> {
    let found = sqlx::query(
        "SELECT run_id, request_id, at_us, blob FROM inbox WHERE slot = ANY($1)
         ORDER BY at_us, run_id, request_id LIMIT $2",
    )
    .bind(slots)
    .bind(rows::at_most(*limit))
    .fetch_all(db)
    .await?;
    let mut items = Vec::with_capacity(found.len());
    for row in &found {
        let (run, request) = (rows::run_id(row, 0)?, row.try_get(1)?);
        let at = Timestamp::from_micros(row.try_get(2)?);
        // What cannot be read has no content.
        let blob = frame::unwrap(row.try_get(3)?).unwrap_or_default().into();
        items.push(InboxItem { run, request, at, blob });
    }
    Ok(Ok(items))
}

/// Puts an outcome in the place of an item, if it waits.
pub async fn refuse(db: &mut PgConnection, (run, item): &(RunId, Consumed)) -> Outcome<()> {
    sqlx::query(
        "WITH gone AS (DELETE FROM inbox WHERE run_id = $1 AND request_id = $2 RETURNING run_id, request_id)
         INSERT INTO inbox_outcome (run_id, request_id, at_us, outcome) SELECT run_id, request_id, $3, $4 FROM gone
         ON CONFLICT DO NOTHING",
    )
    .bind(run.as_uuid())
    .bind(item.request)
    .bind(item.at.as_micros())
    .bind(&frame::wrap(&item.outcome)[..])
    .execute(db)
    .await?;
    Ok(Ok(()))
}

/// What became of a request.
pub async fn outcome(db: &mut PgConnection, (run, request): &(RunId, RequestId)) -> Outcome<Option<Bytes>> {
    let found = sqlx::query("SELECT outcome FROM inbox_outcome WHERE run_id = $1 AND request_id = $2")
        .bind(run.as_uuid())
        .bind(request)
        .fetch_optional(db)
        .await?;
    let Some(row) = found else { return Ok(Ok(None)) };
    Ok(frame::unwrap(row.try_get(0)?).map(|outcome| Some(outcome.into())))
}

/// Forgets some of the outcomes that are older; how many.
pub async fn forget(db: &mut PgConnection, before: &Timestamp) -> Outcome<u64> {
    let forgotten = sqlx::query(
        "DELETE FROM inbox_outcome WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM inbox_outcome WHERE at_us < $1 ORDER BY at_us LIMIT $2 FOR UPDATE SKIP LOCKED
         ))",
    )
    .bind(before.as_micros())
    .bind(rows::at_most(FORGOTTEN_AT_ONCE))
    .execute(db)
    .await?;
    Ok(Ok(forgotten.rows_affected()))
}
