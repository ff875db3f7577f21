//! Commands that wait for the server of their run, and what became of them.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _};
use tutti_core::ids::{RequestId, RunId};
use tutti_core::ports::frame;
use tutti_core::ports::inbox::{Consumed, InboxItem};
use tutti_core::ports::store::StoreError;
use tutti_core::time::Timestamp;
use uuid::Uuid;

use crate::error::Outcome;
use crate::rows;

/// Puts an item in, unless its request is there or has an outcome.
pub fn post(db: &Connection, item: &InboxItem) -> Outcome<()> {
    let run = item.run.as_uuid();
    if !db.prepare_cached("SELECT 1 FROM run WHERE run_id = ?")?.exists([run])? {
        return Ok(Err(StoreError::Permanent(format!("there is no run {} to post to", item.run))));
    }
    let mut settled = db.prepare_cached("SELECT 1 FROM inbox_outcome WHERE run_id = ? AND request_id = ?")?;
    if !settled.exists((run, item.request))? {
        db.prepare_cached(
            "INSERT INTO inbox (run_id, request_id, slot, at_us, blob) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute((run, item.request, item.run.slot(), item.at.as_micros(), &frame::wrap(&item.blob)[..]))?;
    }
    Ok(Ok(()))
}

/// Puts outcomes in the place of items of a run; those that do not wait are passed over.
pub fn consume(db: &Connection, run: RunId, consumed: &[Consumed]) -> rusqlite::Result<()> {
    for Consumed { request, at, outcome } in consumed {
        let name = (run.as_uuid(), request);
        let mut delete = db.prepare_cached("DELETE FROM inbox WHERE run_id = ? AND request_id = ?")?;
        if delete.execute(name)? > 0 {
            let mut insert = db.prepare_cached(
                "INSERT OR REPLACE INTO inbox_outcome (run_id, request_id, at_us, blob) VALUES (?, ?, ?, ?)",
            )?;
            insert.execute((name.0, name.1, at.as_micros(), &frame::wrap(outcome)[..]))?;
        }
    }
    Ok(())
}

/// Items for runs of some slots, the oldest first.
pub fn pending(db: &Connection, slots: &[u16], limit: usize) -> Outcome<Vec<InboxItem>> {
    let mut statement = db.prepare_cached(
        "SELECT run_id, request_id, at_us, blob FROM inbox
         WHERE slot IN (SELECT value FROM json_each(?)) ORDER BY at_us LIMIT ?",
    )?;
    let slots = serde_json::to_string(slots).expect("numbers serialize into memory");
    let found = statement.query_map((slots, rows::limit(limit)), |row| {
        let framed: Vec<u8> = row.get(3)?;
        Ok((rows::run_id(row)?, row.get::<_, Uuid>(1)?, Timestamp::from_micros(row.get(2)?), framed))
    })?;
    // What cannot be read has no content.
    let item = |(run, request, at, framed)| InboxItem {
        run,
        request,
        at,
        blob: frame::unwrap(framed).unwrap_or_default().into(),
    };
    Ok(Ok(found.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().map(item).collect()))
}

/// What became of a request.
pub fn outcome(db: &Connection, run: RunId, request: RequestId) -> Outcome<Option<Bytes>> {
    let mut statement = db.prepare_cached("SELECT blob FROM inbox_outcome WHERE run_id = ? AND request_id = ?")?;
    let framed = statement.query_row((run.as_uuid(), request), |row| row.get(0)).optional()?;
    Ok(framed.map(|framed| frame::unwrap(framed).map(Bytes::from)).transpose())
}

/// Forgets outcomes that are older.
pub fn forget_outcomes(db: &Connection, before: Timestamp) -> Outcome<u64> {
    let forgotten = db.prepare_cached("DELETE FROM inbox_outcome WHERE at_us < ?")?.execute([before.as_micros()])?;
    Ok(Ok(forgotten as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_that_is_not_as_it_was_written_holds_up_no_other() {
        let mut db = Connection::open_in_memory().unwrap();
        crate::schema::migrate(&mut db).unwrap();
        db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        for (at, blob) in (1_i64..).zip([&b""[..], b"\x09\0\0", b"\0\0\0{}"]) {
            let put = "INSERT INTO inbox (run_id, request_id, slot, at_us, blob) VALUES (?, ?, 7, ?, ?)";
            db.execute(put, (Uuid::nil(), Uuid::from_u128(at.unsigned_abs().into()), at, blob)).unwrap();
        }
        let found = pending(&db, &[7], 10).unwrap().unwrap();
        let found: Vec<_> = found.iter().map(|item| (item.at.as_micros(), &item.blob[..])).collect();
        assert_eq!(found, [(1, &b""[..]), (2, b""), (3, b"{}")]);
    }

    #[test]
    fn the_oldest_items_are_found_without_sorting() {
        let mut db = Connection::open_in_memory().unwrap();
        crate::schema::migrate(&mut db).unwrap();
        let sql = "EXPLAIN QUERY PLAN SELECT run_id, request_id, at_us, blob FROM inbox
                   WHERE slot IN (SELECT value FROM json_each('[1]')) ORDER BY at_us LIMIT 10";
        let mut statement = db.prepare(sql).unwrap();
        let plan: Vec<String> = statement.query_map((), |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(plan[0].contains("USING INDEX inbox_time"), "{plan:?}");
        assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE")), "{plan:?}");
    }
}
