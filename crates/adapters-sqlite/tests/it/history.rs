//! The view by which people read histories with any SQLite shell.

use bytes::Bytes;
use rusqlite::Connection;
use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_core::ports::store::{NewRun, RunStore as _};
use tutti_core::run::KINDS;
use tutti_core::time::Timestamp;
use tutti_testkit::given::{events, new_run, run_id};

#[tokio::test]
async fn a_history_is_plain_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    let store = Sqlite::open(&path, OpenMode::Engine).unwrap();
    let mut new = new_run(1);
    new.events[1].at = Timestamp::from_micros(1_700_000_000_000_042);
    new.events[1].blob = Bytes::from_static("\0\0\0{\"text\":\"\u{1f3bc}\"}".as_bytes());
    store.create(new).await.unwrap();
    store.create(NewRun { events: events(1, 5), ..new_run(2) }).await.unwrap();

    let shell = Connection::open(&path).unwrap();
    let row: (String, u64, String, String, u16, u64, String) = shell
        .query_row(
            "SELECT run, seq, at, kind, version, epoch, body FROM history WHERE run_id = unhex(?, '-') AND seq = 2",
            [run_id(1).to_string()],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?)),
        )
        .unwrap();
    let at = "2023-11-14T22:13:20.000042Z".to_string();
    let body = "{\"text\":\"\u{1f3bc}\"}".to_string();
    assert_eq!(row, (run_id(1).to_string(), 2, at, "AttemptStarted".to_string(), 1, 1, body));
    let by_text = "SELECT count(*) FROM history WHERE run = ?";
    assert_eq!(shell.query_row(by_text, [run_id(2).to_string()], |row| row.get(0)), Ok(5));
    let plan = "EXPLAIN QUERY PLAN SELECT * FROM history WHERE run_id = x'00' ORDER BY seq";
    let plan: String = shell.query_row(plan, (), |row| row.get(3)).unwrap();
    assert!(plan.starts_with("SEARCH event USING INDEX"), "{plan}");
}

#[tokio::test]
async fn every_kind_of_event_has_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    let store = Sqlite::open(&path, OpenMode::Engine).unwrap();
    let mut new = new_run(1);
    new.events = events(1, KINDS.len() as u64 + 1);
    for (event, (kind, _)) in new.events.iter_mut().zip(KINDS) {
        event.kind = *kind;
    }
    let unknown = new.events.last_mut().unwrap();
    unknown.kind = 999;
    unknown.blob = Bytes::from_static(b"\x07\0\0squeezed");
    store.create(new).await.unwrap();

    let shell = Connection::open(&path).unwrap();
    let mut rows = shell.prepare("SELECT kind, body IS NULL FROM history ORDER BY seq").unwrap();
    let rows: Vec<(String, bool)> =
        rows.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    let names = KINDS.iter().map(|(_, name)| (name.to_string(), false));
    let expected: Vec<_> = names.chain([("kind 999".to_string(), true)]).collect();
    assert_eq!(rows, expected, "a new kind needs a migration that makes the view anew");
}
