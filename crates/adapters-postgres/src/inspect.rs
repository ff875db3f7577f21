//! What lies in the database, for those who check whether it is sound. Each function is one statement: one view of the whole
//! commits.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tutti_core::ids::RunId;
use tutti_core::limits::SLOTS;
use tutti_core::ports::inspect::{Crew, Glance, Guard, KeptRun, ServerLine, Survey, Waiting};
use tutti_core::ports::store::{Snapshot, Wake};
use tutti_core::time::Timestamp;
use uuid::Uuid;

use crate::connections::Outcome;
use crate::rows;

/// What [`glance`] reads, of a run whose id is `i.run_id`: 11 columns.
const GLANCE: &str = "i.run_id, r.namespace, r.slot, r.epoch, r.last_seq, r.min_reader, r.wake_at, v.namespace, v.status, \
    (SELECT e.seq FROM event e WHERE e.run_id = i.run_id ORDER BY e.seq DESC LIMIT 1), \
    EXISTS (SELECT FROM definition d WHERE d.hash = r.definition)";

/// Runs at a glance, newest first, whether they have a guard, a line for lists or both.
pub async fn survey(db: &mut PgConnection, query: &Survey) -> Outcome<Vec<Glance>> {
    // The greatest id of all belongs to no run.
    let before = query.before.map_or(Uuid::max(), RunId::as_uuid);
    let ids = |table: &str, whose: &str| {
        format!("SELECT * FROM (SELECT run_id FROM {table} WHERE run_id < $1 {whose} ORDER BY run_id DESC LIMIT $2) t")
    };
    let ids = match &query.namespace {
        None => format!("{} UNION {}", ids("run", ""), ids("run_view", "")),
        Some(_) => ids("run_view", "AND namespace = $3"),
    };
    let sql = format!(
        "WITH ids AS MATERIALIZED ({ids} ORDER BY run_id DESC LIMIT $2)
         SELECT {GLANCE} FROM ids i LEFT JOIN run r USING (run_id) LEFT JOIN run_view v USING (run_id) ORDER BY 1 DESC"
    );
    // The text is put together of what stands here; what callers wrote is bound.
    let statement = sqlx::query(AssertSqlSafe(sql)).bind(before).bind(rows::at_most(query.limit));
    let statement = match &query.namespace {
        None => statement,
        Some(namespace) => statement.bind(namespace.as_str().to_owned()),
    };
    let found = statement.fetch_all(db).await?;
    found.iter().map(glance).collect::<sqlx::Result<_>>().map(Ok)
}

/// All that is kept of a run beside its events.
pub async fn kept(db: &mut PgConnection, run: &RunId) -> Outcome<Option<KeptRun>> {
    let sql = format!(
        "SELECT {summary}, {GLANCE}, (SELECT count(*) FROM event e WHERE e.run_id = i.run_id), s.seq, s.schema, s.blob,
            v.run_id IS NOT NULL
         FROM (SELECT $1::uuid AS run_id) i LEFT JOIN run r USING (run_id) LEFT JOIN run_view v USING (run_id)
         LEFT JOIN snapshot s USING (run_id)",
        summary = rows::summary_columns!(),
    );
    let row = sqlx::query(AssertSqlSafe(sql)).bind(run.as_uuid()).fetch_one(db).await?;
    let glance = glance_at(&row, SUMMARY)?;
    let at = SUMMARY + 11;
    let events = rows::number(&row, at)?;
    let snapshot = match row.try_get::<Option<i64>, _>(at + 1)? {
        None => None,
        Some(_) => Some(Snapshot {
            seq: rows::number(&row, at + 1)?,
            schema: rows::small(&row, at + 2)?,
            blob: rows::bytes(&row, at + 3)?,
        }),
    };
    let line = if row.try_get(at + 4)? { Some(rows::summary(&row)?) } else { None };
    if glance.guard.is_none() && line.is_none() && events == 0 {
        return Ok(Ok(None));
    }
    Ok(Ok(Some(KeptRun { glance, events, line, snapshot })))
}

/// Columns of [`rows::summary_columns!`].
const SUMMARY: usize = 15;

fn glance(row: &PgRow) -> sqlx::Result<Glance> {
    glance_at(row, 0)
}

/// Reads the columns [`GLANCE`] from one on.
fn glance_at(row: &PgRow, at: usize) -> sqlx::Result<Glance> {
    let guard = match row.try_get::<Option<String>, _>(at + 1)? {
        None => None,
        Some(namespace) => Some(Guard {
            namespace,
            slot: row.try_get::<i32, _>(at + 2)?.into(),
            epoch: row.try_get(at + 3)?,
            last_seq: row.try_get(at + 4)?,
            min_reader: row.try_get::<i32, _>(at + 5)?.into(),
            wake: wake(row.try_get(at + 6)?),
        }),
    };
    let line: (Option<String>, Option<String>) = (row.try_get(at + 7)?, row.try_get(at + 8)?);
    Ok(Glance {
        run: rows::run_id(row, at)?,
        guard,
        line: line.0.zip(line.1),
        last_event: row.try_get(at + 9)?,
        defined: row.try_get(at + 10)?,
    })
}

/// What `run.wake_at` stands for.
fn wake(kept: Option<i64>) -> Wake {
    match kept {
        None => Wake::OnInput,
        Some(0) => Wake::Active,
        Some(at) if at > 0 => Wake::At(Timestamp::from_micros(at)),
        Some(_) => Wake::Never,
    }
}

/// Commands that were posted before a moment, the oldest first.
pub async fn waiting(db: &mut PgConnection, (before, limit): &(Timestamp, usize)) -> Outcome<Vec<Waiting>> {
    let found =
        sqlx::query("SELECT run_id, slot, request_id, at_us FROM inbox WHERE at_us < $1 ORDER BY at_us LIMIT $2")
            .bind(before.as_micros())
            .bind(rows::at_most(*limit))
            .fetch_all(db)
            .await?;
    let waiting = |row: &PgRow| {
        let at = Timestamp::from_micros(row.try_get(3)?);
        Ok(Waiting { run: rows::run_id(row, 0)?, slot: row.try_get::<i32, _>(1)?.into(), request: row.try_get(2)?, at })
    };
    found.iter().map(waiting).collect::<sqlx::Result<_>>().map(Ok)
}

/// When the oldest outcome was kept.
pub async fn oldest_outcome(db: &mut PgConnection, (): &()) -> Outcome<Option<Timestamp>> {
    let row = sqlx::query("SELECT min(at_us) FROM inbox_outcome").fetch_one(db).await?;
    Ok(Ok(row.try_get::<Option<i64>, _>(0)?.map(Timestamp::from_micros)))
}

/// The servers and their slots.
pub async fn crew(db: &mut PgConnection, (): &()) -> Outcome<Option<Crew>> {
    let found = sqlx::query(
        "SELECT coalesce(s.id, h.server), coalesce(s.incarnation, 0), coalesce(s.lease_us, 0),
            (extract(epoch FROM clock_timestamp() - s.lease_until) * 1000000)::bigint, coalesce(h.slots, '{}')
         FROM (SELECT * FROM server WHERE lease_us IS NOT NULL) s
         FULL JOIN (SELECT server, array_agg(slot) AS slots FROM slot GROUP BY server) h ON h.server = s.id
         ORDER BY 1 NULLS LAST",
    )
    .fetch_all(db)
    .await?;
    let mut crew = Crew { missing: (0..SLOTS).collect(), ..Crew::default() };
    for row in &found {
        let slots: BTreeSet<u16> =
            row.try_get::<Vec<i32>, _>(4)?.into_iter().filter_map(|slot| slot.try_into().ok()).collect();
        crew.missing.retain(|slot| !slots.contains(slot));
        let Some(id) = row.try_get::<Option<String>, _>(0)? else {
            crew.free = slots;
            continue;
        };
        // Negative while the lease lasts; a server that left or was never known has none.
        let over: Option<i64> = row.try_get(3)?;
        let over = over.map_or(Some(Duration::ZERO), |over| u64::try_from(over).ok().map(Duration::from_micros));
        let lease = Duration::from_micros(rows::number(row, 2)?);
        crew.servers.push(ServerLine { id, incarnation: row.try_get(1)?, lease, over, slots });
    }
    Ok(Ok(Some(crew)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_is_read_as_it_was_written() {
        for written in [Wake::Active, Wake::OnInput, Wake::Never, Wake::At(Timestamp::from_micros(7))] {
            assert_eq!(wake(rows::wake(written)), written);
        }
    }
}
