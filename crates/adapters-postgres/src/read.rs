//! What is read. Each function is one statement: one view of the whole commits.

use bytes::Bytes;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::cursor;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::frame;
use tutti_core::ports::query::{ListRuns, RunCounts, RunPage, RunSummary};
use tutti_core::ports::store::{Due, DueRuns, EncodedEvent, Snapshot, StoredEvent};
use tutti_core::time::Timestamp;
use tutti_core::value::{Digest, PayloadRef};
use uuid::Uuid;

use crate::connections::Outcome;
use crate::filter::Chosen;
use crate::rows;

/// Runs of a namespace, newest first.
pub async fn list(db: &mut PgConnection, query: &ListRuns) -> Outcome<RunPage> {
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
    let (sql, values) = chosen.list(rows::summary_columns!(), limit + 1);
    // The text is put together of what stands in this crate; what callers wrote is bound.
    let statement = values.bind(sqlx::query(AssertSqlSafe(sql)).persistent(false));
    let found = statement.fetch_all(db).await?;
    let mut runs: Vec<RunSummary> = found.iter().map(rows::summary).collect::<sqlx::Result<_>>()?;
    let more = runs.len() > limit;
    runs.truncate(limit);
    let next = runs.last().filter(|_| more).map(|last| cursor::encode(&query.namespace, last.run));
    Ok(Ok(RunPage { runs, next }))
}

/// How many runs of a namespace a filter takes, by state.
pub async fn count(db: &mut PgConnection, (namespace, filter): &(Namespace, RunFilter)) -> Outcome<RunCounts> {
    let (sql, values) = Chosen::of(namespace, filter).count();
    let statement = values.bind(sqlx::query(AssertSqlSafe(sql)).persistent(false));
    let found = statement.fetch_all(db).await?;
    found.iter().map(|row| Ok((rows::parsed(row, 0)?, rows::number(row, 1)?))).collect::<sqlx::Result<_>>().map(Ok)
}

/// One run of a namespace.
pub async fn find(db: &mut PgConnection, (namespace, run): &(Namespace, RunId)) -> Outcome<Option<RunSummary>> {
    let found = sqlx::query(concat!(
        "SELECT ",
        rows::summary_columns!(),
        " FROM run_view v WHERE v.namespace = $1 AND v.run_id = $2"
    ))
    .bind(namespace.as_str())
    .bind(run.as_uuid())
    .fetch_optional(db)
    .await?;
    found.as_ref().map(rows::summary).transpose().map(Ok)
}

/// Runs of a namespace whose id begins with a text.
pub async fn find_by_prefix(
    db: &mut PgConnection,
    (namespace, prefix, limit): &(Namespace, String, usize),
) -> Outcome<Vec<RunSummary>> {
    let Some((first, last)) = RunId::range(prefix) else { return Ok(Ok(Vec::new())) };
    let found = sqlx::query(concat!(
        "SELECT ",
        rows::summary_columns!(),
        " FROM run_view v WHERE v.namespace = $1 AND v.run_id BETWEEN $2 AND $3 ORDER BY v.run_id DESC LIMIT $4"
    ))
    .bind(namespace.as_str())
    .bind(first.as_uuid())
    .bind(last.as_uuid())
    .bind(rows::at_most(*limit))
    .fetch_all(db)
    .await?;
    found.iter().map(rows::summary).collect::<sqlx::Result<_>>().map(Ok)
}

/// Events of a run from a number on.
pub async fn events(db: &mut PgConnection, (run, from, limit): &(RunId, u64, usize)) -> Outcome<Vec<StoredEvent>> {
    let found = sqlx::query(
        "SELECT seq, at_us, kind, version, blob, epoch FROM event WHERE run_id = $1 AND seq >= $2 ORDER BY seq LIMIT $3",
    )
    .bind(run.as_uuid())
    .bind(rows::at_most(*from))
    .bind(rows::at_most(*limit))
    .fetch_all(db)
    .await?;
    let event = |row| {
        let event = EncodedEvent {
            seq: rows::number(row, 0)?,
            at: Timestamp::from_micros(row.try_get(1)?),
            kind: rows::small(row, 2)?,
            version: rows::small(row, 3)?,
            blob: rows::bytes(row, 4)?,
        };
        Ok(StoredEvent { event, epoch: rows::number(row, 5)? })
    };
    found.iter().map(event).collect::<sqlx::Result<_>>().map(Ok)
}

/// A definition by its hash.
pub async fn definition(db: &mut PgConnection, hash: &Digest) -> Outcome<Option<Vec<u8>>> {
    let found = sqlx::query("SELECT body FROM definition WHERE hash = $1")
        .bind(&hash.as_bytes()[..])
        .fetch_optional(db)
        .await?;
    let framed: Option<Vec<u8>> = found.map(|row| row.try_get(0)).transpose()?;
    Ok(framed.map(|framed| frame::content(framed, *hash)).transpose())
}

/// A payload of a run by its hash.
pub async fn payload(db: &mut PgConnection, (run, at): &(RunId, PayloadRef)) -> Outcome<Option<Bytes>> {
    let found = sqlx::query("SELECT body FROM payload WHERE run_id = $1 AND hash = $2")
        .bind(run.as_uuid())
        .bind(&at.hash.as_bytes()[..])
        .fetch_optional(db)
        .await?;
    let framed: Option<Vec<u8>> = found.map(|row| row.try_get(0)).transpose()?;
    Ok(framed.map(|framed| frame::content(framed, at.hash).map(Bytes::from)).transpose())
}

/// Runs that wait for a moment: in each namespace so many of the first, found along the index, and then in turn.
const WAITING: &str = "
WITH RECURSIVE names AS (
    SELECT (SELECT namespace FROM run WHERE wake_at > 0 ORDER BY namespace LIMIT 1) AS namespace
    UNION ALL
    SELECT (SELECT r.namespace FROM run r WHERE r.wake_at > 0 AND r.namespace > n.namespace ORDER BY r.namespace LIMIT 1)
    FROM names n WHERE n.namespace IS NOT NULL
)
SELECT first.run_id FROM names n CROSS JOIN LATERAL (
    SELECT r.run_id, r.wake_at, row_number() OVER (ORDER BY r.wake_at, r.run_id) AS turn FROM run r
    WHERE r.namespace = n.namespace AND r.wake_at > 0 AND r.wake_at <= $1 AND r.slot = ANY($2)
        AND r.min_reader <= $3
    ORDER BY r.wake_at, r.run_id LIMIT $4
) first
ORDER BY first.turn, first.wake_at, first.run_id LIMIT $4";

const ACTIVE: &str = "
SELECT run_id FROM run
WHERE wake_at = 0 AND run_id >= $1 AND slot = ANY($2) AND min_reader <= $3 ORDER BY run_id LIMIT $4";

/// Runs that must be looked after.
pub async fn due(db: &mut PgConnection, query: &DueRuns) -> Outcome<Vec<RunId>> {
    let statement = match query.due {
        Due::Until(moment) => sqlx::query(WAITING).bind(moment.as_micros()),
        Due::Active(after) => {
            let from = after.map_or(Some(0), |after| after.as_uuid().as_u128().checked_add(1));
            let Some(from) = from else { return Ok(Ok(Vec::new())) };
            sqlx::query(ACTIVE).bind(Uuid::from_u128(from))
        }
    };
    let slots: Vec<i32> = query.slots.iter().copied().map(i32::from).collect();
    let statement = statement.bind(slots).bind(i32::from(query.reads)).bind(rows::at_most(query.limit));
    let found = statement.fetch_all(db).await?;
    found.iter().map(|row| rows::run_id(row, 0)).collect::<sqlx::Result<_>>().map(Ok)
}

/// The snapshot of a run.
pub async fn snapshot(db: &mut PgConnection, run: &RunId) -> Outcome<Option<Snapshot>> {
    let found = sqlx::query("SELECT seq, schema, blob FROM snapshot WHERE run_id = $1")
        .bind(run.as_uuid())
        .fetch_optional(db)
        .await?;
    let Some(row) = found else { return Ok(Ok(None)) };
    let (seq, schema) = (rows::number(&row, 0)?, rows::small(&row, 1)?);
    Ok(Ok(Some(Snapshot { seq, schema, blob: rows::bytes(&row, 2)? })))
}
