//! What lies in the file, for those who check whether it is sound. Each function but the last is one statement: one view of
//! the whole commits.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};
use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::inspect::{Glance, Guard, KeptRun, Surroundings, Survey, Trouble, Waiting};
use tutti_core::ports::store::{Snapshot, Wake};
use tutti_core::time::Timestamp;
use uuid::Uuid;

use crate::error::Outcome;
use crate::{rows, schema};

/// What [`glance`] reads, of a run whose id is `i.run_id`: 11 columns.
const GLANCE: &str = "i.run_id, r.namespace, r.slot, r.epoch, r.last_seq, r.min_reader, r.wake_at, v.namespace, v.status, \
    (SELECT e.seq FROM event e WHERE e.run_id = i.run_id ORDER BY e.seq DESC LIMIT 1), \
    EXISTS (SELECT 1 FROM definition d WHERE d.hash = r.definition)";

/// Size of the write-ahead log in bytes from which somebody must be holding it.
const LONG_LOG: u64 = 512 * 1024 * 1024;

/// Most troubles of a sort.
const MOST: usize = 5;

/// Runs at a glance, newest first, whether they have a guard, a line for lists or both.
pub fn survey(db: &Connection, query: &Survey) -> Outcome<Vec<Glance>> {
    // The greatest id of all belongs to no run.
    let before = query.before.map_or(Uuid::max(), RunId::as_uuid);
    let ids = |table: &str, whose: &str| {
        format!("SELECT * FROM (SELECT run_id FROM {table} WHERE run_id < ?1 {whose} ORDER BY run_id DESC LIMIT ?2)")
    };
    let ids = match &query.namespace {
        None => format!("{} UNION {}", ids("run", ""), ids("run_view", "")),
        Some(_) => ids("run_view", "AND namespace = ?3"),
    };
    let sql = format!(
        "WITH ids AS MATERIALIZED ({ids} ORDER BY run_id DESC LIMIT ?2)
         SELECT {GLANCE} FROM ids i LEFT JOIN run r ON r.run_id = i.run_id LEFT JOIN run_view v ON v.run_id = i.run_id
         ORDER BY 1 DESC"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let (limit, namespace) = (rows::limit(query.limit), query.namespace.as_ref().map(Namespace::as_str));
    let mut values: Vec<&dyn ToSql> = vec![&before, &limit];
    values.extend(namespace.as_ref().map(|namespace| namespace as &dyn ToSql));
    let found = statement.query_map(&values[..], |row| glance(row, 0))?;
    found.collect::<rusqlite::Result<_>>().map(Ok)
}

/// All that is kept of a run beside its events.
pub fn kept(db: &Connection, run: RunId) -> Outcome<Option<KeptRun>> {
    let summary: Vec<String> = rows::SUMMARY.split(", ").map(|column| format!("v.{column}")).collect();
    let sql = format!(
        "SELECT {}, {GLANCE}, (SELECT count(*) FROM event e WHERE e.run_id = i.run_id), s.seq, s.schema, s.blob
         FROM (SELECT ?1 AS run_id) i LEFT JOIN run r ON r.run_id = i.run_id LEFT JOIN run_view v ON v.run_id = i.run_id
         LEFT JOIN snapshot s ON s.run_id = i.run_id",
        summary.join(", ")
    );
    let at = summary.len();
    let kept = db.prepare_cached(&sql)?.query_row([run.as_uuid()], |row| {
        let glance = glance(row, at)?;
        let events = row.get(at + 11)?;
        let snapshot = match row.get::<_, Option<u64>>(at + 12)? {
            None => None,
            Some(seq) => {
                Some(Snapshot { seq, schema: row.get(at + 13)?, blob: row.get::<_, Vec<u8>>(at + 14)?.into() })
            }
        };
        let line = if row.get::<_, Option<Uuid>>(0)?.is_some() { Some(rows::summary(row)?) } else { None };
        Ok(KeptRun { glance, events, line, snapshot })
    })?;
    let is_there = kept.glance.guard.is_some() || kept.line.is_some() || kept.events > 0;
    Ok(Ok(is_there.then_some(kept)))
}

/// Reads the columns [`GLANCE`] from one on.
fn glance(row: &Row<'_>, at: usize) -> rusqlite::Result<Glance> {
    let guard = match row.get::<_, Option<String>>(at + 1)? {
        None => None,
        Some(namespace) => Some(Guard {
            namespace,
            slot: row.get(at + 2)?,
            epoch: row.get(at + 3)?,
            last_seq: row.get(at + 4)?,
            min_reader: row.get(at + 5)?,
            wake: wake(row.get(at + 6)?),
        }),
    };
    let line: (Option<String>, Option<String>) = (row.get(at + 7)?, row.get(at + 8)?);
    let run = RunId::from_uuid(row.get::<_, Uuid>(at)?);
    Ok(Glance { run, guard, line: line.0.zip(line.1), last_event: row.get(at + 9)?, defined: row.get(at + 10)? })
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
pub fn waiting(db: &Connection, before: Timestamp, limit: usize) -> Outcome<Vec<Waiting>> {
    let mut statement =
        db.prepare_cached("SELECT run_id, slot, request_id, at_us FROM inbox WHERE at_us < ? ORDER BY at_us LIMIT ?")?;
    let found = statement.query_map((before.as_micros(), rows::limit(limit)), |row| {
        let at = Timestamp::from_micros(row.get(3)?);
        Ok(Waiting { run: rows::run_id(row)?, slot: row.get(1)?, request: row.get(2)?, at })
    })?;
    found.collect::<rusqlite::Result<_>>().map(Ok)
}

/// When the oldest outcome was kept.
pub fn oldest_outcome(db: &Connection) -> Outcome<Option<Timestamp>> {
    let mut statement = db.prepare_cached("SELECT min(at_us) FROM inbox_outcome")?;
    let oldest: Option<Option<i64>> = statement.query_row((), |row| row.get(0)).optional()?;
    Ok(Ok(oldest.flatten().map(Timestamp::from_micros)))
}

/// What stands around the runs. With `thorough`, every page of the file is read.
pub fn surroundings(db: &Connection, path: &Path, thorough: bool) -> Outcome<Surroundings> {
    let now: i64 = db.query_row("SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER)", (), |row| row.get(0))?;
    let mut troubles = Vec::new();
    let mut wrong = |check, detail: String, next: &str| {
        troubles.push(Trouble { check, wrong: true, detail, next: next.to_owned() });
    };
    let there = relations(db)?;
    let ours = match schema::fresh() {
        Ok(fresh) => relations(&fresh)?,
        Err(error) => return Ok(Err(error)),
    };
    for (name, _) in ours.difference(&there) {
        let detail = format!("{name} is not there, or not as this build makes it");
        wrong("tables", detail, "restore the store from a copy; keep this one to find out why");
    }
    if thorough {
        for damage in lines(db, &format!("PRAGMA quick_check({MOST})"))?.into_iter().filter(|line| line != "ok") {
            wrong("tables", format!("the file is damaged: {damage}"), "restore the store from a copy");
        }
        for table in lines(db, "SELECT DISTINCT \"table\" FROM pragma_foreign_key_check")? {
            let detail = format!("{table} has rows that refer to what is not there");
            wrong("tables", detail, "restore the store from a copy; keep this one to find out why");
        }
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // Without a log there is none that is too long.
    let length = std::fs::metadata(Path::new(&log)).map_or(0, |log| log.len());
    if length > LONG_LOG {
        let detail =
            format!("its write-ahead log has {} MiB: somebody has been reading the store for long", length >> 20);
        wrong("store", detail, "end what reads the store, such as a long query");
    }
    Ok(Ok(Surroundings { now: Timestamp::from_micros(now), troubles }))
}

/// Tables, indexes and views with what makes them.
fn relations(db: &Connection) -> rusqlite::Result<BTreeSet<(String, String)>> {
    let mut statement = db.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
    let found = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    found.collect()
}

fn lines(db: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = db.prepare(sql)?;
    let found = statement.query_map((), |row| row.get(0))?;
    found.take(MOST).collect()
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
