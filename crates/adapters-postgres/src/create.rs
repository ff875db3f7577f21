//! New runs.

use sqlx::{Error, PgConnection, Row as _};
use tutti_core::ids::RunId;
use tutti_core::ports::frame;
use tutti_core::ports::store::{Creation, NewRun, StoreError};
use uuid::Uuid;

use crate::columns::{Events, Lines};
use crate::connections::Outcome;
use crate::rows;

/// Everything or nothing: what would stand in the way is looked for first, and what comes in between breaks a primary key,
/// which undoes the statement. The key of the run comes before all else that is written, since only it may be refused
/// without breaking anything. Answers 1, or 0 if something stands in the way.
const CREATE: &str = "
WITH free AS MATERIALIZED (
    SELECT 1 AS one
    WHERE NOT EXISTS (SELECT FROM request WHERE namespace = $2 AND request_id = $3)
      AND NOT EXISTS (SELECT FROM run WHERE run_id = $1)
      AND ($7::bytea IS NOT NULL OR EXISTS (SELECT FROM definition WHERE hash = $6))
), taken AS (
    INSERT INTO run_key (namespace, key, run_id) SELECT $2, $4, $1 FROM free WHERE $4::text IS NOT NULL
    ON CONFLICT (namespace, key) DO UPDATE SET run_id = excluded.run_id WHERE run_key.run_id = $5
    RETURNING 1 AS one
), go AS MATERIALIZED (
    SELECT one FROM free WHERE $4::text IS NULL UNION ALL SELECT one FROM taken
), definitions AS (
    INSERT INTO definition (hash, body) SELECT $6, $7 FROM go WHERE $7::bytea IS NOT NULL ON CONFLICT DO NOTHING
), requests AS (
    INSERT INTO request (namespace, request_id, run_id) SELECT $2, $3, $1 FROM go
), guards AS (
    INSERT INTO run (run_id, namespace, slot, definition, epoch, last_seq, commit_id, claims, min_reader, wake_at)
    SELECT $1, $2, $8, $6, 1, $9, $10, 0, $11, $12 FROM go
), events AS (
    INSERT INTO event (run_id, seq, at_us, epoch, kind, version, blob)
    SELECT $1, e.seq, e.at_us, 1, e.kind, e.version, e.blob
    FROM go, unnest($13::int4[], $14::int8[], $15::int8[], $16::int4[], $17::int4[], $18::bytea[])
        AS e (of, seq, at_us, kind, version, blob)
), lines AS (
    INSERT INTO run_view (namespace, run_id, workflow, version, definition, status, steps, completed, failed, created_at,
        updated_at, ended_at, error, key, session, labels)
    SELECT $2, l.run_id, l.workflow, l.version, l.definition, l.status, l.steps, l.completed, l.failed, l.created_at,
        l.updated_at, l.ended_at, l.error, l.key, l.session, l.labels::text[]
    FROM go, unnest($19::uuid[], $20::text[], $21::text[], $22::bytea[], $23::text[], $24::int8[], $25::int8[],
            $26::int8[], $27::int8[], $28::int8[], $29::int8[], $30::text[], $31::text[], $32::text[], $33::text[])
        AS l (run_id, workflow, version, definition, status, steps, completed, failed, created_at, updated_at, ended_at,
            error, key, session, labels)
)
SELECT count(*) FROM go";

/// How often a creation is tried whose way was free each time it was looked at afterwards.
const TRIES: usize = 10;

/// A run to be created, and whether its definition is known to be kept.
pub struct Asked {
    /// The run.
    pub new: NewRun,
    /// True if this process saw the definition being kept.
    pub definition_is_kept: bool,
}

/// Creates a run.
pub async fn create(db: &mut PgConnection, asked: &Asked) -> Outcome<Creation> {
    let (new, mut definition_is_kept) = (&asked.new, asked.definition_is_kept);
    for _ in 0..TRIES {
        match insert(db, new, !definition_is_kept).await {
            Ok(true) => return Ok(Ok(Creation::Created)),
            Ok(false) => {}
            // Another one was quicker.
            Err(Error::Database(error)) if error.is_unique_violation() => {}
            Err(error) => return Err(error),
        }
        if let Some(answer) = obstacle(db, new).await? {
            return Ok(answer);
        }
        definition_is_kept = false;
    }
    Ok(Err(StoreError::Unavailable(format!("run {} could not be created for others that were quicker", new.run))))
}

async fn insert(db: &mut PgConnection, new: &NewRun, with_definition: bool) -> sqlx::Result<bool> {
    let (hash, body) = &new.definition;
    let statement = sqlx::query(CREATE)
        .bind(new.run.as_uuid())
        .bind(new.namespace.as_str())
        .bind(new.request)
        .bind(new.key.as_ref().map(|claim| claim.key.as_str()))
        .bind(new.key.as_ref().and_then(|claim| claim.from).map(RunId::as_uuid))
        .bind(&hash.as_bytes()[..])
        .bind(with_definition.then(|| frame::wrap(body).to_vec()))
        .bind(i32::from(new.run.slot()))
        .bind(rows::at_most(new.events.len()))
        .bind(Uuid::from_u128(new.commit_id))
        .bind(i32::from(new.min_reader))
        .bind(rows::wake(new.wake));
    let (mut events, mut lines) = (Events::default(), Lines::default());
    events.add(1, &new.events);
    lines.add(&new.summary);
    let row = lines.bind(events.bind(statement)).fetch_one(db).await?;
    Ok(row.try_get::<i64, _>(0)? == 1)
}

/// What stands in the way of a run; in this order.
async fn obstacle(db: &mut PgConnection, new: &NewRun) -> sqlx::Result<Option<Result<Creation, StoreError>>> {
    let found = sqlx::query(
        "SELECT (SELECT run_id FROM request WHERE namespace = $1 AND request_id = $2),
                (SELECT run_id FROM run WHERE run_id = $3),
                (SELECT run_id FROM run_key WHERE namespace = $1 AND key = $4)",
    )
    .bind(new.namespace.as_str())
    .bind(new.request)
    .bind(new.run.as_uuid())
    .bind(new.key.as_ref().map(|claim| claim.key.as_str()))
    .fetch_one(db)
    .await?;
    let run = |column| Ok::<_, Error>(found.try_get::<Option<Uuid>, _>(column)?.map(RunId::from_uuid));
    if let Some(first) = run(0)? {
        return Ok(Some(Ok(Creation::Exists(first))));
    }
    if run(1)?.is_some() {
        let text = format!("run {} exists and was created by another request", new.run);
        return Ok(Some(Err(StoreError::Permanent(text))));
    }
    let from = new.key.as_ref().and_then(|claim| claim.from);
    Ok(run(2)?.filter(|holder| Some(*holder) != from).map(|holder| Ok(Creation::KeyHeld(holder))))
}
