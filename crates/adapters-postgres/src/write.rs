//! What is written beside commits and new runs. Each function is one statement.

use bytes::Bytes;
use sqlx::{PgConnection, Row as _};
use tutti_core::ids::RunId;
use tutti_core::ports::store::{Claim, ClaimOutcome, Claimer, Snapshot, StoreError};
use tutti_core::value::Digest;

use crate::connections::Outcome;
use crate::hosts::timeline_numbers;
use crate::rows;

/// Raises the epoch of a run, unless it needs a newer reader.
pub async fn claim(db: &mut PgConnection, (run, claimer): &(RunId, Claimer)) -> Outcome<ClaimOutcome> {
    // The claim may have to wait for a commit. The line is locked as well, so that it is read as that commit left it and
    // not as it was when the statement began.
    let claimed = sqlx::query(concat!(
        "WITH c AS (
            UPDATE run SET epoch = greatest(epoch + 1, ",
        timeline_numbers!(),
        "),
                claims = CASE WHEN $3 THEN greatest(claims, 1) ELSE least(claims + 1, 4294967295) END
            WHERE run_id = $1 AND min_reader <= $2
            RETURNING run_id, epoch, claims, last_seq, min_reader
         )
         SELECT ",
        rows::summary_columns!(),
        ", c.epoch, c.claims, c.last_seq, c.min_reader FROM c JOIN run_view v ON v.run_id = c.run_id FOR SHARE OF v"
    ))
    .bind(run.as_uuid())
    .bind(i32::from(claimer.reads))
    .bind(claimer.again)
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = claimed else {
        let kept = sqlx::query("SELECT min_reader FROM run WHERE run_id = $1").bind(run.as_uuid());
        let needs = kept.fetch_optional(db).await?.map(|row| rows::small(&row, 0)).transpose()?;
        // One that was created in between was not there when it was asked for.
        let needs = needs.filter(|needs| *needs > claimer.reads);
        return Ok(Ok(needs.map_or(ClaimOutcome::NotFound, ClaimOutcome::TooNew)));
    };
    Ok(Ok(ClaimOutcome::Claimed(Claim {
        summary: rows::summary(&row)?,
        epoch: rows::number(&row, 15)?,
        claims: rows::number(&row, 16)?,
        last_seq: rows::number(&row, 17)?,
        min_reader: rows::small(&row, 18)?,
    })))
}

/// Keeps a snapshot unless a newer one is kept.
pub async fn save_snapshot(db: &mut PgConnection, (run, snapshot): &(RunId, Snapshot)) -> Outcome<()> {
    let known = sqlx::query(
        "WITH known AS MATERIALIZED (SELECT run_id FROM run WHERE run_id = $1 AND last_seq >= $2), saved AS (
            INSERT INTO snapshot AS s (run_id, seq, schema, blob) SELECT run_id, $2, $3, $4 FROM known
            ON CONFLICT (run_id) DO UPDATE SET seq = excluded.seq, schema = excluded.schema, blob = excluded.blob
            WHERE excluded.seq >= s.seq
         )
         SELECT count(*) FROM known",
    )
    .bind(run.as_uuid())
    .bind(rows::at_most(snapshot.seq))
    .bind(i32::from(snapshot.schema))
    .bind(&snapshot.blob[..])
    .fetch_one(db)
    .await?;
    if known.try_get::<i64, _>(0)? == 1 {
        return Ok(Ok(()));
    }
    Ok(Err(StoreError::Permanent(format!("run {run} has no event {} to snapshot", snapshot.seq))))
}

/// Keeps a payload, already framed.
pub async fn put(db: &mut PgConnection, (run, hash, framed): &(RunId, Digest, Bytes)) -> Outcome<()> {
    sqlx::query("INSERT INTO payload (run_id, hash, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(run.as_uuid())
        .bind(&hash.as_bytes()[..])
        .bind(&framed[..])
        .execute(db)
        .await?;
    Ok(Ok(()))
}
