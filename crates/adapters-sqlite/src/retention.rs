//! Removing runs that have ended, and what belongs to no run.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::retention::{EndedRun, EndedRuns, Retention, SweepPayloads, SweptPayloads, Tombstone};
use tutti_core::ports::store::StoreError;
use tutti_core::time::Timestamp;
use tutti_core::value::Digest;

use crate::error::Outcome;
use crate::filter::Chosen;
use crate::{Sqlite, rows};

/// How many runs a removed one counts for in a transaction: so that commits of others are not held up by many of them.
const WEIGHT: usize = 50;

#[async_trait]
impl Retention for Sqlite {
    async fn namespaces(&self) -> Result<Vec<Namespace>, StoreError> {
        self.readers.run(namespaces).await
    }

    async fn ended(&self, query: EndedRuns) -> Result<Vec<EndedRun>, StoreError> {
        self.readers.run(move |db| ended(db, &query)).await
    }

    async fn purge(&self, tombstones: Vec<Tombstone>) -> Result<Vec<bool>, StoreError> {
        let purge = move |db: &Connection| {
            tombstones.iter().map(|tombstone| purge(db, tombstone)).collect::<rusqlite::Result<_>>().map(Ok)
        };
        self.write(WEIGHT, 0, purge).await
    }

    async fn tombstone(&self, namespace: &Namespace, run: RunId) -> Result<Option<Tombstone>, StoreError> {
        let namespace = namespace.clone();
        self.readers.run(move |db| tombstone(db, &namespace, run)).await
    }

    async fn sweep_payloads(&self, query: SweepPayloads) -> Result<SweptPayloads, StoreError> {
        self.write(WEIGHT, 0, move |db| sweep_payloads(db, &query)).await
    }

    async fn sweep_definitions(&self, now: Timestamp, noted_before: Timestamp) -> Result<u64, StoreError> {
        self.write(WEIGHT, 0, move |db| sweep_definitions(db, now, noted_before)).await
    }
}

/// Goes from name to name through the index, not through all runs.
fn namespaces(db: &Connection) -> Outcome<Vec<Namespace>> {
    let mut statement = db.prepare_cached(
        "WITH RECURSIVE name (n) AS (
            SELECT min(namespace) FROM run_view
            UNION ALL SELECT (SELECT min(namespace) FROM run_view WHERE namespace > n) FROM name WHERE n IS NOT NULL
         )
         SELECT n FROM name WHERE n IS NOT NULL",
    )?;
    let found = statement.query_map((), |row| rows::parsed(row, 0))?;
    found.collect::<rusqlite::Result<_>>().map(Ok)
}

fn ended(db: &Connection, query: &EndedRuns) -> Outcome<Vec<EndedRun>> {
    let mut chosen = Chosen::of(&query.namespace, &query.filter);
    chosen.ended_before(query.ended_before);
    if let Some(before) = query.before {
        chosen.before(before);
    }
    let columns = format!("{}, (SELECT last_seq FROM run WHERE run.run_id = run_view.run_id)", rows::SUMMARY);
    let (sql, values) = chosen.list(&columns, query.limit);
    let mut statement = db.prepare_cached(&sql)?;
    let ended = |row: &Row<'_>| Ok(EndedRun { summary: rows::summary(row)?, last_seq: row.get(15)? });
    let found = statement.query_map(params_from_iter(values), ended)?;
    found.collect::<rusqlite::Result<_>>().map(Ok)
}

fn purge(db: &Connection, tombstone: &Tombstone) -> rusqlite::Result<bool> {
    let id = tombstone.run.as_uuid();
    let mut may = db.prepare_cached(
        "SELECT 1 FROM run WHERE run_id = ?1 AND namespace = ?2 AND last_seq = ?3 AND wake_at = -1
         AND NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.run_id = ?1)",
    )?;
    // A number that SQLite cannot hold is that of no event.
    let last_seq = i64::try_from(tombstone.last_seq).unwrap_or(-1);
    if !may.exists((id, tombstone.namespace.as_str(), last_seq))? {
        return Ok(false);
    }
    // What refers to a row goes before it.
    for sql in [
        "DELETE FROM event WHERE run_id = ?",
        "DELETE FROM payload WHERE run_id = ?",
        "DELETE FROM snapshot WHERE run_id = ?",
        "DELETE FROM inbox_outcome WHERE run_id = ?",
        "DELETE FROM request WHERE run_id = ?",
        "DELETE FROM run_key WHERE run_id = ?",
        "DELETE FROM run_view WHERE run_id = ?",
        "DELETE FROM run WHERE run_id = ?",
    ] {
        db.prepare_cached(sql)?.execute([id])?;
    }
    db.prepare_cached(
        "INSERT OR REPLACE INTO tombstone (run_id, namespace, workflow, status, ended_at, purged_at, last_seq, history)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        id,
        tombstone.namespace.as_str(),
        tombstone.workflow.as_str(),
        tombstone.status.as_str(),
        tombstone.ended_at.as_micros(),
        tombstone.purged_at.as_micros(),
        last_seq,
        tombstone.history.as_bytes(),
    ])?;
    Ok(true)
}

fn tombstone(db: &Connection, namespace: &Namespace, run: RunId) -> Outcome<Option<Tombstone>> {
    let mut statement = db.prepare_cached(
        "SELECT run_id, workflow, status, ended_at, purged_at, last_seq, history FROM tombstone
         WHERE run_id = ? AND namespace = ?",
    )?;
    let found = statement.query_row((run.as_uuid(), namespace.as_str()), |row| {
        Ok(Tombstone {
            run: rows::run_id(row)?,
            namespace: namespace.clone(),
            workflow: rows::parsed(row, 1)?,
            status: rows::parsed(row, 2)?,
            ended_at: Timestamp::from_micros(row.get(3)?),
            purged_at: Timestamp::from_micros(row.get(4)?),
            last_seq: row.get(5)?,
            history: Digest::from_bytes(row.get(6)?),
        })
    });
    found.optional().map(Ok)
}

fn sweep_payloads(db: &Connection, query: &SweepPayloads) -> Outcome<SweptPayloads> {
    let mut next = db.prepare_cached("SELECT min(run_id) FROM payload WHERE run_id > ? AND run_id < ?")?;
    let mut known = db.prepare_cached("SELECT 1 FROM run WHERE run_id = ?")?;
    let mut remove = db.prepare_cached("DELETE FROM payload WHERE run_id = ?")?;
    // No id is as small as the empty one.
    let mut after = query.after.map_or(Vec::new(), |run| run.as_uuid().as_bytes().to_vec());
    let mut swept = SweptPayloads::default();
    for _ in 0..query.limit {
        let first = RunId::first_at(query.before).as_uuid();
        let found: Option<Vec<u8>> = next.query_row((&after, first), |row| row.get(0))?;
        let Some(run) = found else {
            swept.next = None;
            break;
        };
        if !known.exists([&run])? {
            swept.removed += remove.execute([&run])? as u64;
        }
        swept.next = uuid::Uuid::from_slice(&run).ok().map(RunId::from_uuid);
        after = run;
    }
    Ok(Ok(swept))
}

fn sweep_definitions(db: &Connection, now: Timestamp, noted_before: Timestamp) -> Outcome<u64> {
    const USED: &str = "EXISTS (SELECT 1 FROM run WHERE run.definition = definition.hash)";
    let again = format!("UPDATE definition SET unused_since = NULL WHERE unused_since IS NOT NULL AND {USED}");
    db.prepare_cached(&again)?.execute(())?;
    let remove = format!("DELETE FROM definition WHERE unused_since < ? AND NOT {USED}");
    let removed = db.prepare_cached(&remove)?.execute([noted_before.as_micros()])?;
    let note = format!("UPDATE definition SET unused_since = ? WHERE unused_since IS NULL AND NOT {USED}");
    db.prepare_cached(&note)?.execute([now.as_micros()])?;
    Ok(Ok(removed as u64))
}
