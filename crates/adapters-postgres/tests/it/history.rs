//! The view by which people read histories with any SQL shell.

use bytes::Bytes;
use tutti_core::ports::store::RunStore as _;
use tutti_core::run::KINDS;
use tutti_core::time::Timestamp;
use tutti_testkit::given::{events, new_run, run_id};
use tutti_testkit::postgres::Database;

use crate::engine;

#[tokio::test]
async fn a_history_is_plain_to_read() {
    let database = Database::fresh();
    let store = engine(&database).await;
    let mut new = new_run(1);
    new.events[1].at = Timestamp::from_micros(1_700_000_000_000_042);
    new.events[1].blob = Bytes::from_static("\0\0\0{\"text\":\"\u{1f3bc}\"}".as_bytes());
    store.create(new).await.unwrap();
    store.create(new_run(2)).await.unwrap();

    let of_run = format!("FROM history WHERE run_id = '{}'", run_id(1));
    let row = database.sql(&format!(
        "SET TimeZone = 'UTC'; SELECT run_id, seq, at, kind, version, epoch, body->>'text' {of_run} AND seq = 2"
    ));
    let at = "2023-11-14 22:13:20.000042+00";
    assert_eq!(row, format!("{}|2|{at}|AttemptStarted|1|1|\u{1f3bc}", run_id(1)));
    let plan = database
        .sql(&format!("SET enable_seqscan = off; SET enable_bitmapscan = off; EXPLAIN SELECT * {of_run} ORDER BY seq"));
    assert!(plan.contains("Index Scan using event_pkey") && !plan.contains("Sort"), "{plan}");
}

#[tokio::test]
async fn every_kind_of_event_has_its_name() {
    let database = Database::fresh();
    let store = engine(&database).await;
    let mut new = new_run(1);
    new.events = events(1, KINDS.len() as u64 + 1);
    for (event, (kind, _)) in new.events.iter_mut().zip(KINDS) {
        event.kind = *kind;
    }
    let unknown = new.events.last_mut().unwrap();
    unknown.kind = 999;
    unknown.at = Timestamp::from_micros(i64::MIN);
    unknown.blob = Bytes::from_static(b"\x07\0\0squeezed");
    store.create(new).await.unwrap();

    let rows = database.sql("SELECT kind, body IS NULL, at IS NULL FROM history ORDER BY seq");
    let names = KINDS.iter().map(|(_, name)| format!("{name}|f|f"));
    let expected: Vec<_> = names.chain(["kind 999|t|t".to_owned()]).collect();
    assert_eq!(rows.lines().collect::<Vec<_>>(), expected, "a new kind needs a migration that makes the view anew");
}
