//! One engine per database, any number of readers.

use tutti_adapters_postgres::{OpenMode, Postgres};
use tutti_core::ids::Namespace;
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::RunQuery as _;
use tutti_core::ports::records::{Record, RecordKey, RecordKind, RecordStore};
use tutti_core::ports::store::{RunStore as _, Snapshot, StoreError};
use tutti_testkit::given::{READS, commit, new_run, run_id, summary};
use tutti_testkit::postgres::Database;

use crate::{address, engine, until};

#[tokio::test]
async fn a_second_engine_is_refused_until_the_first_has_gone() {
    let (database, other) = (Database::fresh(), Database::fresh());
    let first = engine(&database).await;
    let refused = Postgres::open(&address(&database), OpenMode::Engine).await.unwrap_err();
    assert!(matches!(&refused, StoreError::InUse(why) if why.contains("tutti engine (process ")), "{refused}");
    let _other = engine(&other).await;
    drop(first);
    Postgres::open(&address(&database), OpenMode::Engine).await.expect("the lock has gone with its owner");
}

#[tokio::test]
async fn a_lost_lock_is_taken_again() {
    let database = Database::fresh();
    let store = engine(&database).await;
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(database.sql(held), "1");
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                 WHERE application_name LIKE 'tutti engine%' AND datname = current_database()";
    assert_eq!(database.sql(ended), "1");
    until("the lock is taken again", async || database.sql(held) == "1").await;
    assert!(matches!(Postgres::open(&address(&database), OpenMode::Engine).await, Err(StoreError::InUse(_))));
    store.create(new_run(1)).await.expect("it goes on");
}

#[tokio::test]
async fn a_reader_works_beside_an_engine_and_after_it() {
    let database = Database::fresh();
    let engine = engine(&database).await;
    let reader = Postgres::open(&address(&database), OpenMode::ReadOnly).await.unwrap();
    engine.create(new_run(1)).await.unwrap();
    for n in 0..20 {
        let mut next = commit(run_id(1), 1, 2 + 3 * n, 3);
        let mut line = summary(run_id(1));
        line.completed = n as u32;
        next.summary = Some(line.clone());
        engine.commit(vec![next]).await.unwrap();
        assert_eq!(reader.events(run_id(1), 1, 1_000).await.unwrap().len() as u64, 5 + 3 * n);
        assert_eq!(reader.find(&Namespace::default(), run_id(1)).await, Ok(Some(line)));
    }
    drop(engine);
    assert_eq!(reader.events(run_id(1), 1, 1_000).await.unwrap().len(), 62);
}

#[tokio::test]
async fn a_reader_writes_nothing() {
    let database = Database::fresh();
    engine(&database).await.create(new_run(1)).await.unwrap();
    let reader = Postgres::open(&address(&database), OpenMode::ReadOnly).await.unwrap();
    let run = run_id(1);
    let snapshot = Snapshot { seq: 1, schema: 1, blob: Default::default() };
    let key = RecordKey { kind: RecordKind::Agent, namespace: Namespace::default(), name: "a".to_owned() };
    let refused = [
        reader.create(new_run(2)).await.err(),
        reader.commit(vec![commit(run, 1, 2, 1)]).await.err(),
        reader.claim(run, READS).await.err(),
        reader.save_snapshot(run, snapshot).await.err(),
        PayloadStore::put(&reader, run, Default::default()).await.err(),
        reader.delete(&key, 1).await.err(),
        RecordStore::put(&reader, Record { key, revision: 0, blob: Default::default() }).await.err(),
    ];
    for error in refused {
        assert!(matches!(error, Some(StoreError::Permanent(_))), "{error:?}");
    }
}
