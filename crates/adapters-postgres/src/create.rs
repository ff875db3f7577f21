//! New runs: one statement, its own transaction, for many.

use std::collections::BTreeMap;

use bytes::Bytes;
use sqlx::{Error, PgConnection, Row as _};
use tutti_core::ids::RunId;
use tutti_core::ports::frame;
use tutti_core::ports::store::{Creation, NewRun, StoreError};
use tutti_core::value::Digest;
use uuid::Uuid;

use crate::columns::{Events, Lines, Statement};
use crate::connections::Outcome;
use crate::error::classify;
use crate::rows;

/// Each run whole or not at all: what would stand in the way of one is looked for first (`free`), and what comes in between
/// breaks a primary key, which undoes the statement. The key of a run comes before all else that is written, since only it
/// may be refused without breaking anything. What is looked for in tables is found row by row along their keys, never by a
/// join, which could read them whole. Answers the numbers of the runs that were created.
const CREATE: &str = "
WITH want AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::uuid[], $6::bytea[], $7::int4[], $8::int8[],
            $9::uuid[], $10::int4[], $11::int8[])
        WITH ORDINALITY AS w (run_id, namespace, request_id, key, key_from, definition, slot, last_seq, commit_id,
            min_reader, wake_at, n)
), bodies AS MATERIALIZED (
    SELECT * FROM unnest($12::bytea[], $13::bytea[]) AS b (hash, body)
), free AS MATERIALIZED (
    SELECT * FROM want w
    WHERE (SELECT r.run_id FROM request r WHERE r.namespace = w.namespace AND r.request_id = w.request_id) IS NULL
      AND (SELECT r.run_id FROM run r WHERE r.run_id = w.run_id) IS NULL
      AND (w.definition IN (SELECT hash FROM bodies)
        OR (SELECT d.hash FROM definition d WHERE d.hash = w.definition AND d.unused_since IS NULL) IS NOT NULL)
), taken AS (
    INSERT INTO run_key (namespace, key, run_id) SELECT namespace, key, run_id FROM free WHERE key IS NOT NULL
    ON CONFLICT (namespace, key) DO UPDATE SET run_id = excluded.run_id
    WHERE (excluded.run_id, run_key.run_id) IN (SELECT run_id, key_from FROM free)
    RETURNING run_id
), go AS MATERIALIZED (
    SELECT * FROM free WHERE key IS NULL OR run_id IN (SELECT run_id FROM taken)
), definitions AS (
    INSERT INTO definition (hash, body) SELECT hash, body FROM bodies WHERE hash IN (SELECT definition FROM go)
    ON CONFLICT (hash) DO UPDATE SET unused_since = NULL WHERE definition.unused_since IS NOT NULL
), requests AS (
    INSERT INTO request (namespace, request_id, run_id) SELECT namespace, request_id, run_id FROM go
), guards AS (
    INSERT INTO run (run_id, namespace, slot, definition, epoch, last_seq, commit_id, claims, min_reader, wake_at)
    SELECT run_id, namespace, slot, definition, 1, last_seq, commit_id, 0, min_reader, wake_at FROM go
), events AS (
    INSERT INTO event (run_id, seq, at_us, epoch, kind, version, blob)
    SELECT g.run_id, e.seq, e.at_us, 1, e.kind, e.version, e.blob
    FROM unnest($14::int4[], $15::int8[], $16::int8[], $17::int4[], $18::int4[], $19::bytea[])
        AS e (of, seq, at_us, kind, version, blob)
    JOIN go g ON g.n = e.of
), lines AS (
    INSERT INTO run_view (namespace, run_id, workflow, version, definition, status, steps, completed, failed, created_at,
        updated_at, ended_at, error, key, session, labels)
    SELECT g.namespace, l.run_id, l.workflow, l.version, l.definition, l.status, l.steps, l.completed, l.failed,
        l.created_at, l.updated_at, l.ended_at, l.error, l.key, l.session, l.labels::text[]
    FROM unnest($20::uuid[], $21::text[], $22::text[], $23::bytea[], $24::text[], $25::int8[], $26::int8[], $27::int8[],
            $28::int8[], $29::int8[], $30::int8[], $31::text[], $32::text[], $33::text[], $34::text[])
        AS l (run_id, workflow, version, definition, status, steps, completed, failed, created_at, updated_at, ended_at,
            error, key, session, labels)
    JOIN go g ON g.run_id = l.run_id
)
SELECT n FROM go";

/// How often a creation is tried whose way was free each time it was looked at afterwards.
const TRIES: usize = 10;

/// A run to be created, and whether its definition is known to be kept.
#[derive(Debug)]
pub struct Asked {
    /// The run.
    pub new: NewRun,
    /// True if this process saw the definition being kept.
    pub definition_is_kept: bool,
}

/// Creates those runs of which nothing stands in the way; says which. None, if one of them spoils it for the others, or two
/// are in each other's way.
pub async fn together(db: &mut PgConnection, asked: &[Asked]) -> Outcome<Vec<bool>> {
    match insert(db, asked).await {
        Err(error) if is_of_one(&error) => Ok(Ok(vec![false; asked.len()])),
        created => created.map(Ok),
    }
}

/// Creates a run that was not created with others, or says what stands in its way.
pub async fn alone(db: &mut PgConnection, new: &NewRun) -> Outcome<Creation> {
    let asked = [Asked { new: new.clone(), definition_is_kept: false }];
    for _ in 0..TRIES {
        if let Some(answer) = obstacle(db, new).await? {
            return Ok(answer);
        }
        match insert(db, &asked).await {
            Ok(created) if created == [true] => return Ok(Ok(Creation::Created)),
            Ok(_) => {}
            // Another one was quicker.
            Err(Error::Database(error)) if error.is_unique_violation() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Err(StoreError::Unavailable(format!("run {} could not be created for others that were quicker", new.run))))
}

/// True if an error lies in one of the runs, or in a lock that one of them waited for, and not in the surroundings.
fn is_of_one(error: &Error) -> bool {
    matches!(error, Error::Database(database)
        if !classify(error).is_retryable() || matches!(database.code().as_deref(), Some("55P03" | "40P01")))
}

async fn insert(db: &mut PgConnection, asked: &[Asked]) -> sqlx::Result<Vec<bool>> {
    let (mut runs, mut bodies) = (Runs::default(), BTreeMap::new());
    let (mut events, mut lines) = (Events::default(), Lines::default());
    for (n, Asked { new, definition_is_kept }) in (1..).zip(asked) {
        runs.add(new);
        events.add(n, &new.events);
        lines.add(&new.summary);
        if !definition_is_kept {
            bodies.insert(&new.definition.0, &new.definition.1);
        }
    }
    let statement = bind_bodies(runs.bind(sqlx::query(CREATE)), bodies);
    let rows = lines.bind(events.bind(statement)).fetch_all(db).await?;
    let mut created = vec![false; asked.len()];
    for row in rows {
        let n: usize = rows::number(&row, 0)?;
        if let Some(created) = n.checked_sub(1).and_then(|n| created.get_mut(n)) {
            *created = true;
        }
    }
    Ok(created)
}

/// The columns of runs beside their events and lines.
#[derive(Default)]
struct Runs<'c> {
    run: Vec<Uuid>,
    namespace: Vec<&'c str>,
    request: Vec<Uuid>,
    key: Vec<Option<&'c str>>,
    key_from: Vec<Option<Uuid>>,
    definition: Vec<&'c [u8]>,
    slot: Vec<i32>,
    last_seq: Vec<i64>,
    commit_id: Vec<Uuid>,
    min_reader: Vec<i32>,
    wake_at: Vec<Option<i64>>,
}

impl<'c> Runs<'c> {
    fn add(&mut self, new: &'c NewRun) {
        self.run.push(new.run.as_uuid());
        self.namespace.push(new.namespace.as_str());
        self.request.push(new.request);
        self.key.push(new.key.as_ref().map(|claim| claim.key.as_str()));
        self.key_from.push(new.key.as_ref().and_then(|claim| claim.from).map(RunId::as_uuid));
        self.definition.push(new.definition.0.as_bytes());
        self.slot.push(i32::from(new.run.slot()));
        self.last_seq.push(rows::at_most(new.events.len()));
        self.commit_id.push(Uuid::from_u128(new.commit_id));
        self.min_reader.push(i32::from(new.min_reader));
        self.wake_at.push(rows::wake(new.wake));
    }

    fn bind(self, statement: Statement) -> Statement {
        let statement = statement.bind(self.run).bind(self.namespace).bind(self.request).bind(self.key);
        let statement = statement.bind(self.key_from).bind(self.definition).bind(self.slot).bind(self.last_seq);
        statement.bind(self.commit_id).bind(self.min_reader).bind(self.wake_at)
    }
}

/// Definitions that are not known to be kept, each once.
fn bind_bodies(statement: Statement, bodies: BTreeMap<&Digest, &Bytes>) -> Statement {
    let (hashes, bodies): (Vec<&[u8]>, Vec<Vec<u8>>) =
        bodies.into_iter().map(|(hash, body)| (&hash.as_bytes()[..], frame::wrap(body).to_vec())).unzip();
    statement.bind(hashes).bind(bodies)
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
