//! What was acknowledged is there when the database is opened again, also after a crash of the server.

use bytes::Bytes;
use sqlx::{Connection as _, PgConnection};
use tutti_adapters_postgres::{OpenMode, Postgres};
use tutti_core::ids::Namespace;
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::{ListRuns, RunQuery};
use tutti_core::ports::records::{ListRecords, Put, Record, RecordKey, RecordKind, RecordStore};
use tutti_core::ports::store::{CommitOutcome, Creation, KeyClaim, NewRun, RunStore as _, Snapshot, StoreError};
use tutti_testkit::given::{READS, active, commit, new_run, run_id, summary};
use tutti_testkit::postgres::{Database, Server};

use crate::{address, engine, until};

/// Every way to write and to read, once.
pub async fn use_everything(store: &Postgres) {
    let key = KeyClaim { key: "k".parse().unwrap(), from: None };
    assert_eq!(store.create(NewRun { key: Some(key), ..new_run(1) }).await, Ok(Creation::Created));
    let key = KeyClaim { key: "k".parse().unwrap(), from: Some(run_id(1)) };
    assert_eq!(store.create(NewRun { key: Some(key), ..new_run(2) }).await, Ok(Creation::Created));
    assert_eq!(store.claim(run_id(1), READS).await.unwrap().claimed().unwrap().epoch, 2);
    let mut next = commit(run_id(1), 2, 2, 3);
    next.summary = Some(summary(run_id(1)));
    assert_eq!(store.commit(vec![next]).await, Ok(vec![CommitOutcome::Committed]));
    for seq in [3, 5] {
        let snapshot = Snapshot { seq, schema: 1, blob: Bytes::from_static(b"\0\0\0{}") };
        store.save_snapshot(run_id(1), snapshot).await.unwrap();
    }
    let bytes = Bytes::from_static(b"\0a large value");
    let at = PayloadStore::put(store, run_id(1), bytes.clone()).await.unwrap();
    assert_eq!(RecordStore::put(store, document("a", 0, b"one")).await, Ok(Put::Stored(1)));
    assert_eq!(RecordStore::put(store, document("a", 1, b"two")).await, Ok(Put::Stored(2)));
    assert_eq!(RecordStore::put(store, document("b", 0, b"one")).await, Ok(Put::Stored(1)));
    assert_eq!(store.delete(&document("b", 1, b"").key, 1).await, Ok(true));
    read_everything(store, at, bytes).await;
}

/// What [`use_everything`] left.
async fn read_everything(store: &Postgres, at: tutti_core::value::PayloadRef, bytes: Bytes) {
    assert_eq!(store.events(run_id(1), 1, 100).await.unwrap().len(), 5);
    assert_eq!(store.snapshot(run_id(1)).await.unwrap().unwrap().seq, 5);
    assert_eq!(PayloadStore::get(store, run_id(1), at).await, Ok(Some(bytes)));
    assert_eq!(store.definition(summary(run_id(1)).definition).await, Ok(Some(b"a workflow".to_vec())));
    assert_eq!(store.due(active()).await, Ok([1, 2].map(run_id).to_vec()));
    let page = RunQuery::list(store, ListRuns::default()).await.unwrap();
    assert_eq!(page.runs, [2, 1].map(|n| summary(run_id(n))));
    let counts = store.count(&Namespace::default(), &Default::default()).await.unwrap();
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [2]);
    let kept = document("a", 2, b"two");
    let (kind, namespace) = (kept.key.kind, kept.key.namespace.clone());
    let all = ListRecords { kind, namespace, prefix: String::new(), after: None, limit: 10 };
    assert_eq!(RecordStore::list(store, all).await, Ok(vec![kept]));
}

/// A document in the default namespace.
pub fn document(name: &str, revision: u64, body: &'static [u8]) -> Record {
    let key = RecordKey { kind: RecordKind::Agent, namespace: Namespace::default(), name: name.to_owned() };
    Record { key, revision, blob: Bytes::from_static(body) }
}

#[tokio::test]
async fn everything_is_there_after_a_crash_of_the_server() {
    let mut server = Server::start(&[]);
    let database = Database::fresh_in(&server.url());
    let store = engine(&database).await;
    use_everything(&store).await;
    let bytes = Bytes::from_static(b"\0a large value");
    let at = tutti_core::value::PayloadRef::to(&bytes);

    server.crash();
    let next = commit(run_id(2), 1, 2, 1);
    assert!(matches!(store.commit(vec![next.clone()]).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.events(run_id(1), 1, 10).await, Err(StoreError::Unavailable(_))));
    server.restart();
    until("reads work again by themselves", async || store.events(run_id(1), 1, 10).await.is_ok()).await;
    read_everything(&store, at, bytes.clone()).await;
    until("writes work again", async || store.commit(vec![next.clone()]).await.is_ok()).await;
    assert_eq!(store.commit(vec![next]).await, Ok(vec![CommitOutcome::Committed]), "it is known as applied");
    drop(store);
    let store = Postgres::open(&address(&database), OpenMode::Engine).await.unwrap();
    assert_eq!(store.create(new_run(1)).await, Ok(Creation::Exists(run_id(1))));
    assert_eq!(store.events(run_id(2), 1, 100).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_claim_tells_the_line_that_the_commit_before_it_left() {
    let database = Database::fresh();
    let store = std::sync::Arc::new(engine(&database).await);
    store.create(new_run(1)).await.unwrap();
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; UPDATE run SET last_seq = last_seq; UPDATE run_view SET completed = 5")
        .execute(&mut other)
        .await
        .unwrap();
    let claim = tokio::spawn({
        let store = store.clone();
        async move { store.claim(run_id(1), READS).await.unwrap().claimed().unwrap() }
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    until("the claim waits for the commit", async || database.sql(waits) == "1").await;
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(claim.await.unwrap().summary.completed, 5);
}

#[tokio::test]
async fn what_others_changed_in_the_database_is_noticed() {
    let database = Database::fresh();
    let store = engine(&database).await;
    let namespace = Namespace::default();
    store.create(new_run(1)).await.unwrap();
    let at = PayloadStore::put(&store, run_id(1), Bytes::from_static(b"true")).await.unwrap();

    database.sql("UPDATE payload SET body = '\\x00000066616c7365'");
    assert!(matches!(PayloadStore::get(&store, run_id(1), at).await, Err(StoreError::Corrupt(_))));
    database.sql("UPDATE payload SET body = '\\x00'");
    assert!(matches!(PayloadStore::get(&store, run_id(1), at).await, Err(StoreError::Corrupt(_))));
    database.sql("UPDATE payload SET body = '\\x09000074727565'");
    let newer = PayloadStore::get(&store, run_id(1), at).await;
    assert!(matches!(newer, Err(StoreError::Permanent(_))), "of a newer build");
    database.sql("UPDATE definition SET body = '\\x0000007b7d'");
    assert!(matches!(store.definition(summary(run_id(1)).definition).await, Err(StoreError::Corrupt(_))));
    RecordStore::put(&store, document("a", 0, b"{}")).await.unwrap();
    database.sql("UPDATE record SET body = '\\x0900007b7d'");
    let key = document("a", 1, b"").key;
    assert!(matches!(RecordStore::get(&store, &key).await, Err(StoreError::Permanent(_))), "of a newer build");
    assert!(matches!(RecordStore::put(&store, document("a", 1, b"")).await, Err(StoreError::Permanent(_))));
    for odd in [
        "labels = '{\"a b=c\"}'",
        "labels = '{a}'",
        "labels = '{}', session = 'a b'",
        "session = NULL, status = 'dancing'",
    ] {
        database.sql(&format!("UPDATE run_view SET {odd}"));
        let found = store.find(&namespace, run_id(1)).await;
        assert!(matches!(found, Err(StoreError::Corrupt(_))), "{odd}: {found:?}");
    }
    database.sql("UPDATE event SET epoch = -1");
    assert!(matches!(store.events(run_id(1), 1, 10).await, Err(StoreError::Corrupt(_))));
}
