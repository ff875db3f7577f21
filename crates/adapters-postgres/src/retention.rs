//! Removing runs that have ended, and what belongs to no run.

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::retention::{EndedRun, EndedRuns, Retention, SweepPayloads, SweptPayloads, Tombstone};
use tutti_core::ports::store::StoreError;
use tutti_core::time::Timestamp;

use crate::connections::Outcome;
use crate::filter::Chosen;
use crate::{Postgres, rows};

/// As a commit does, `held` locks the guards in the order of their ids and reads what stands in them once they are locked.
/// Only runs that are as their tombstones say go on (`fits`). Answers the numbers of those.
const PURGE: &str = "
WITH want AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::int8[], $7::int8[], $8::bytea[])
        WITH ORDINALITY AS w (run_id, namespace, workflow, status, ended_at, purged_at, last_seq, history, n)
), held AS MATERIALIZED (
    SELECT r.run_id, r.namespace, r.last_seq, r.wake_at FROM want w JOIN run r ON r.run_id = w.run_id
    ORDER BY r.run_id FOR UPDATE OF r
), fits AS MATERIALIZED (
    SELECT w.* FROM want w JOIN held h ON h.run_id = w.run_id
    WHERE h.wake_at = -1 AND h.namespace = w.namespace AND h.last_seq = w.last_seq
      AND NOT EXISTS (SELECT FROM inbox i WHERE i.run_id = w.run_id)
), stones AS (
    INSERT INTO tombstone (run_id, namespace, workflow, status, ended_at, purged_at, last_seq, history)
    SELECT run_id, namespace, workflow, status, ended_at, purged_at, last_seq, history FROM fits ON CONFLICT DO NOTHING
), events AS (
    DELETE FROM event x USING fits f WHERE x.run_id = f.run_id
), payloads AS (
    DELETE FROM payload x USING fits f WHERE x.run_id = f.run_id
), snapshots AS (
    DELETE FROM snapshot x USING fits f WHERE x.run_id = f.run_id
), outcomes AS (
    DELETE FROM inbox_outcome x USING fits f WHERE x.run_id = f.run_id
), requests AS (
    DELETE FROM request x USING fits f WHERE x.run_id = f.run_id
), keys AS (
    DELETE FROM run_key x USING fits f WHERE x.run_id = f.run_id
), lines AS (
    DELETE FROM run_view x USING fits f WHERE x.run_id = f.run_id
), guards AS (
    DELETE FROM run x USING fits f WHERE x.run_id = f.run_id
)
SELECT n FROM fits";

#[async_trait]
impl Retention for Postgres {
    async fn namespaces(&self) -> Result<Vec<Namespace>, StoreError> {
        self.readers.read((), |db, ()| Box::pin(namespaces(db))).await
    }

    async fn ended(&self, query: EndedRuns) -> Result<Vec<EndedRun>, StoreError> {
        self.readers.read(query, |db, query| Box::pin(ended(db, query))).await
    }

    async fn purge(&self, tombstones: Vec<Tombstone>) -> Result<Vec<bool>, StoreError> {
        if tombstones.is_empty() {
            return Ok(Vec::new());
        }
        self.write(tombstones, |db, tombstones| Box::pin(purge(db, tombstones))).await
    }

    async fn tombstone(&self, namespace: &Namespace, run: RunId) -> Result<Option<Tombstone>, StoreError> {
        self.readers.read((namespace.clone(), run), |db, asked| Box::pin(tombstone(db, asked))).await
    }

    async fn sweep_payloads(&self, query: SweepPayloads) -> Result<SweptPayloads, StoreError> {
        self.write(query, |db, query| Box::pin(sweep_payloads(db, query))).await
    }

    async fn sweep_definitions(&self, now: Timestamp, noted_before: Timestamp) -> Result<u64, StoreError> {
        self.write((now, noted_before), |db, asked| Box::pin(sweep_definitions(db, asked))).await
    }
}

/// Goes from name to name through the index, not through all runs.
async fn namespaces(db: &mut PgConnection) -> Outcome<Vec<Namespace>> {
    let found = sqlx::query(
        "WITH RECURSIVE name (n) AS (
            (SELECT namespace FROM run_view ORDER BY namespace LIMIT 1)
            UNION ALL
            SELECT (SELECT namespace FROM run_view WHERE namespace > n ORDER BY namespace LIMIT 1)
            FROM name WHERE n IS NOT NULL
         )
         SELECT n FROM name WHERE n IS NOT NULL",
    );
    found.fetch_all(db).await?.iter().map(|row| rows::parsed(row, 0)).collect::<sqlx::Result<_>>().map(Ok)
}

async fn ended(db: &mut PgConnection, query: &EndedRuns) -> Outcome<Vec<EndedRun>> {
    let mut chosen = Chosen::of(&query.namespace, &query.filter);
    chosen.ended_before(query.ended_before);
    if let Some(before) = query.before {
        chosen.before(before);
    }
    let last_seq = "(SELECT r.last_seq FROM run r WHERE r.run_id = v.run_id)";
    let (sql, values) = chosen.list(&format!("{}, {last_seq}", rows::summary_columns!()), query.limit);
    // The text is put together of what stands in this crate; what callers wrote is bound.
    let statement = values.bind(sqlx::query(AssertSqlSafe(sql)).persistent(false));
    let found = statement.fetch_all(db).await?;
    let ended = |row| Ok(EndedRun { summary: rows::summary(row)?, last_seq: rows::number(row, 15)? });
    found.iter().map(ended).collect::<sqlx::Result<_>>().map(Ok)
}

async fn purge(db: &mut PgConnection, tombstones: &[Tombstone]) -> Outcome<Vec<bool>> {
    let texts = |of: fn(&Tombstone) -> &str| tombstones.iter().map(|stone| of(stone).to_owned()).collect::<Vec<_>>();
    let numbers = |of: fn(&Tombstone) -> i64| tombstones.iter().map(of).collect::<Vec<_>>();
    // Planned each time, by what there is now: a plan that was made for small tables would read large ones whole.
    let statement = sqlx::query(PURGE)
        .persistent(false)
        .bind(tombstones.iter().map(|stone| stone.run.as_uuid()).collect::<Vec<_>>())
        .bind(texts(|stone| stone.namespace.as_str()))
        .bind(texts(|stone| stone.workflow.as_str()))
        .bind(texts(|stone| stone.status.as_str()))
        .bind(numbers(|stone| stone.ended_at.as_micros()))
        .bind(numbers(|stone| stone.purged_at.as_micros()))
        .bind(numbers(|stone| rows::compared(stone.last_seq)))
        .bind(tombstones.iter().map(|stone| stone.history.as_bytes().to_vec()).collect::<Vec<_>>());
    let mut removed = vec![false; tombstones.len()];
    for row in statement.fetch_all(db).await? {
        let n: usize = rows::number(&row, 0)?;
        if let Some(removed) = n.checked_sub(1).and_then(|n| removed.get_mut(n)) {
            *removed = true;
        }
    }
    Ok(Ok(removed))
}

async fn tombstone(db: &mut PgConnection, (namespace, run): &(Namespace, RunId)) -> Outcome<Option<Tombstone>> {
    let found = sqlx::query(
        "SELECT run_id, workflow, status, ended_at, purged_at, last_seq, history FROM tombstone
         WHERE run_id = $1 AND namespace = $2",
    )
    .bind(run.as_uuid())
    .bind(namespace.as_str())
    .fetch_optional(db)
    .await?;
    let Some(row) = found else { return Ok(Ok(None)) };
    Ok(Ok(Some(Tombstone {
        run: rows::run_id(&row, 0)?,
        namespace: namespace.clone(),
        workflow: rows::parsed(&row, 1)?,
        status: rows::parsed(&row, 2)?,
        ended_at: Timestamp::from_micros(row.try_get(3)?),
        purged_at: Timestamp::from_micros(row.try_get(4)?),
        last_seq: rows::number(&row, 5)?,
        history: rows::digest(&row, 6)?,
    })))
}

/// From run to run through the index, and those that do not exist. One that is made meanwhile is of an id that is not
/// looked at.
async fn sweep_payloads(db: &mut PgConnection, query: &SweepPayloads) -> Outcome<SweptPayloads> {
    let row = sqlx::query(
        "WITH RECURSIVE seen (run_id, n) AS (
            (SELECT run_id, 1 FROM payload WHERE ($1::uuid IS NULL OR run_id > $1) AND run_id < $2 AND $3 > 0
             ORDER BY run_id LIMIT 1)
            UNION ALL
            SELECT (SELECT p.run_id FROM payload p WHERE p.run_id > s.run_id AND p.run_id < $2 ORDER BY p.run_id LIMIT 1),
                n + 1
            FROM seen s WHERE s.run_id IS NOT NULL AND n < $3
         ), removed AS (
            DELETE FROM payload p USING seen s
            WHERE p.run_id = s.run_id AND NOT EXISTS (SELECT FROM run r WHERE r.run_id = s.run_id)
            RETURNING 1
         )
         SELECT (SELECT count(*) FROM removed), (SELECT run_id FROM seen WHERE n = $3)",
    )
    .bind(query.after.map(RunId::as_uuid))
    .bind(RunId::first_at(query.before).as_uuid())
    .bind(rows::at_most(query.limit))
    .fetch_one(db)
    .await?;
    let next = row.try_get::<Option<uuid::Uuid>, _>(1)?.map(RunId::from_uuid);
    Ok(Ok(SweptPayloads { removed: rows::number(&row, 0)?, next }))
}

/// In this order: what is used again, what goes, what may go later. A run is created only with a definition that is not
/// noted, or takes the note away.
async fn sweep_definitions(db: &mut PgConnection, (now, noted_before): &(Timestamp, Timestamp)) -> Outcome<u64> {
    sqlx::query(
        "UPDATE definition d SET unused_since = NULL
         WHERE unused_since IS NOT NULL AND EXISTS (SELECT FROM run r WHERE r.definition = d.hash)",
    )
    .execute(&mut *db)
    .await?;
    let removed = sqlx::query(
        "DELETE FROM definition d
         WHERE unused_since < $1 AND NOT EXISTS (SELECT FROM run r WHERE r.definition = d.hash)",
    )
    .bind(noted_before.as_micros())
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE definition d SET unused_since = $1
         WHERE unused_since IS NULL AND NOT EXISTS (SELECT FROM run r WHERE r.definition = d.hash)",
    )
    .bind(now.as_micros())
    .execute(db)
    .await?;
    Ok(Ok(removed.rows_affected()))
}
