//! What was acknowledged is there when the file is opened again.

use bytes::Bytes;
use rusqlite::Connection;
use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_core::ids::Namespace;
use tutti_core::limits::SLOTS;
use tutti_core::ports::filter::{Condition, RunFilter};
use tutti_core::ports::inbox::{Consumed, Inbox as _, InboxItem};
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::{ListRuns, RunQuery};
use tutti_core::ports::records::{ListRecords, Put, Record, RecordKey, RecordKind, RecordStore};
use tutti_core::ports::store::{
    Commit, CommitOutcome, Creation, KeyClaim, NewRun, RunStore as _, Snapshot, StoreError,
};
use tutti_testkit::given::{READS, active, commit, new_run, run_id, summary};

use crate::beside::item;

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    let bytes = Bytes::from_static(b"\0a large value");
    let snapshot = Snapshot { seq: 3, schema: 1, blob: Bytes::from_static(b"\0\0\0{}") };
    let last = commit(run_id(2), 2, 2, 3);

    let store = Sqlite::open(&path, OpenMode::Engine).unwrap();
    for n in 1..=3 {
        store.create(new_run(n)).await.unwrap();
    }
    store.claim(run_id(2), READS).await.unwrap();
    store.commit(vec![last.clone()]).await.unwrap();
    store.save_snapshot(run_id(2), snapshot.clone()).await.unwrap();
    let at = PayloadStore::put(&store, run_id(2), bytes.clone()).await.unwrap();
    store.claim(run_id(3), READS).await.unwrap();
    let page = RunQuery::list(&store, ListRuns { limit: 2, ..ListRuns::default() }).await.unwrap();
    let history = store.events(run_id(2), 1, 100).await.unwrap();
    drop(store);
    assert!(!folder.path().join("tutti.db-wal").exists(), "closing tidies up");

    let store = Sqlite::open(&path, OpenMode::Engine).unwrap();
    assert_eq!(store.create(new_run(1)).await, Ok(Creation::Exists(run_id(1))));
    assert_eq!(store.events(run_id(2), 1, 100).await, Ok(history));
    assert_eq!(store.snapshot(run_id(2)).await, Ok(Some(snapshot)));
    assert_eq!(PayloadStore::get(&store, run_id(2), at).await, Ok(Some(bytes)));
    assert_eq!(store.definition(summary(run_id(1)).definition).await, Ok(Some(b"a workflow".to_vec())));
    assert_eq!(store.due(active()).await, Ok([1, 2, 3].map(run_id).to_vec()));
    let rest = RunQuery::list(&store, ListRuns { cursor: page.next, ..ListRuns::default() }).await.unwrap();
    assert_eq!(rest.runs, [summary(run_id(1))], "a cursor outlives the process");
    assert_eq!(store.commit(vec![last]).await, Ok(vec![CommitOutcome::Committed]), "it is known as applied");
    assert_eq!(store.claim(run_id(3), READS).await.unwrap().claimed().unwrap().claims, 2);
    assert_eq!(store.commit(vec![commit(run_id(2), 2, 5, 1)]).await, Ok(vec![CommitOutcome::Committed]));
}

#[tokio::test]
async fn keys_and_documents_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    let claim = |from| Some(KeyClaim { key: "k".parse().unwrap(), from });
    let mut keyed = NewRun { key: claim(None), ..new_run(1) };
    keyed.summary.key = Some("k".parse().unwrap());
    keyed.summary.session = Some("s".parse().unwrap());
    keyed.summary.labels = [("team".parse().unwrap(), "billing".to_owned())].into();
    let of_session =
        ListRuns { filter: RunFilter::default().and(Condition::Session("s".parse().unwrap())), ..ListRuns::default() };

    let store = Sqlite::open(&path, OpenMode::Engine).unwrap();
    store.create(keyed.clone()).await.unwrap();
    for (name, revision) in [("a", 0), ("a", 1), ("b", 0), ("gone", 0)] {
        let written = RecordStore::put(&store, document(name, revision, b"one")).await;
        assert_eq!(written, Ok(Put::Stored(revision + 1)));
    }
    assert_eq!(store.delete(&document("gone", 0, b"").key, 1).await, Ok(true));
    drop(store);

    let store = Sqlite::open(&path, OpenMode::Engine).unwrap();
    assert_eq!(RunQuery::list(&store, of_session).await.unwrap().runs, [keyed.summary]);
    assert_eq!(store.create(NewRun { key: claim(None), ..new_run(2) }).await, Ok(Creation::KeyHeld(run_id(1))));
    let taken = NewRun { key: claim(Some(run_id(1))), ..new_run(2) };
    assert_eq!(store.create(taken).await, Ok(Creation::Created));
    let (a, b) = (document("a", 2, b"one"), document("b", 1, b"one"));
    let all = ListRecords {
        kind: a.key.kind,
        namespace: a.key.namespace.clone(),
        prefix: String::new(),
        after: None,
        limit: 10,
    };
    assert_eq!(RecordStore::list(&store, all).await, Ok(vec![a.clone(), b]));
    assert_eq!(RecordStore::put(&store, document("a", 1, b"two")).await, Ok(Put::Conflict(Some(a))));
}

/// A document in the default namespace.
pub fn document(name: &str, revision: u64, body: &'static [u8]) -> Record {
    let key = RecordKey { kind: RecordKind::Agent, namespace: Namespace::default(), name: name.to_owned() };
    Record { key, revision, blob: Bytes::from_static(body) }
}

#[tokio::test]
async fn commands_and_their_outcomes_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    let (settled, waits) = (item(1), InboxItem { run: run_id(1), ..item(2) });
    let outcome = Bytes::from_static(b"done");

    let store = Sqlite::open(&path, OpenMode::Engine).unwrap();
    store.create(new_run(1)).await.unwrap();
    store.post(settled.clone()).await.unwrap();
    store.post(waits.clone()).await.unwrap();
    let consumed = vec![Consumed { request: settled.request, at: settled.at, outcome: outcome.clone() }];
    let last = Commit { consumed, ..commit(run_id(1), 1, 2, 1) };
    store.commit(vec![last.clone()]).await.unwrap();
    drop(store);

    let store = Sqlite::open(&path, OpenMode::Engine).unwrap();
    assert_eq!(store.commit(vec![last]).await, Ok(vec![CommitOutcome::Committed]));
    assert_eq!(store.outcome(settled.run, settled.request).await, Ok(Some(outcome)));
    assert_eq!(store.post(settled).await, Ok(()));
    assert_eq!(store.pending(&(0..SLOTS).collect::<Vec<_>>(), 10).await, Ok(vec![waits]));
}

#[tokio::test]
async fn what_others_changed_in_the_file_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    let store = Sqlite::open(&path, OpenMode::Engine).unwrap();
    store.create(new_run(1)).await.unwrap();
    let at = PayloadStore::put(&store, run_id(1), Bytes::from_static(b"true")).await.unwrap();
    let other = Connection::open(&path).unwrap();

    other.execute("UPDATE payload SET body = x'00000066616c7365'", ()).unwrap();
    assert!(matches!(PayloadStore::get(&store, run_id(1), at).await, Err(StoreError::Corrupt(_))));
    other.execute("UPDATE payload SET body = x'00'", ()).unwrap();
    assert!(matches!(PayloadStore::get(&store, run_id(1), at).await, Err(StoreError::Corrupt(_))));
    other.execute("UPDATE payload SET body = x'09000074727565'", ()).unwrap();
    assert!(
        matches!(PayloadStore::get(&store, run_id(1), at).await, Err(StoreError::Permanent(_))),
        "of a newer build"
    );
    other.execute("UPDATE definition SET body = x'0000007b7d'", ()).unwrap();
    assert!(matches!(store.definition(summary(run_id(1)).definition).await, Err(StoreError::Corrupt(_))));
    RecordStore::put(&store, document("a", 0, b"{}")).await.unwrap();
    other.execute("UPDATE record SET body = x'0900007b7d'", ()).unwrap();
    let key = document("a", 1, b"").key;
    assert!(matches!(RecordStore::get(&store, &key).await, Err(StoreError::Permanent(_))), "of a newer build");
    assert!(matches!(RecordStore::put(&store, document("a", 1, b"")).await, Err(StoreError::Permanent(_))));
    other.execute("UPDATE record SET body = x'00'", ()).unwrap();
    assert!(matches!(RecordStore::get(&store, &key).await, Err(StoreError::Corrupt(_))));
    store.post(item(1)).await.unwrap();
    let without = vec![InboxItem { blob: Bytes::new(), ..item(1) }];
    for unreadable in ["0900007b7d", "00"] {
        other.execute(&format!("UPDATE inbox SET blob = x'{unreadable}'"), ()).unwrap();
        assert_eq!(store.pending(&[run_id(1).slot()], 1).await, Ok(without.clone()), "it holds up no other");
    }
    for labels in ["[]", "{\"a\": 1}", "{\"a b\": \"c\"}", ""] {
        other.execute("UPDATE run_view SET labels = ?", [labels]).unwrap();
        let found = store.find(&"default".parse().unwrap(), run_id(1)).await;
        assert!(matches!(found, Err(StoreError::Corrupt(_))), "{labels}: {found:?}");
    }
    other.execute("UPDATE run_view SET labels = '{}', session = 'a b'", ()).unwrap();
    assert!(matches!(store.find(&"default".parse().unwrap(), run_id(1)).await, Err(StoreError::Corrupt(_))));
    other.execute("UPDATE run_view SET status = 'dancing', session = NULL", ()).unwrap();
    assert!(matches!(store.find(&"default".parse().unwrap(), run_id(1)).await, Err(StoreError::Corrupt(_))));
    other.execute("UPDATE run SET epoch = -1", ()).unwrap();
    let refused = store.commit(vec![commit(run_id(1), 1, 2, 1)]).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
}

#[tokio::test]
async fn a_request_that_the_file_refuses_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    let store = Sqlite::open(&path, OpenMode::Engine).unwrap();
    for n in 0..16 {
        store.create(new_run(n)).await.unwrap();
    }
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON event WHEN NEW.kind = 666 BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        .unwrap();
    // The writer has to wait, so that the commits queue up.
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut calls = tokio::task::JoinSet::new();
    let store = std::sync::Arc::new(store);
    for n in 0..16 {
        let store = store.clone();
        calls.spawn(async move {
            let mut next = commit(run_id(n), 1, 2, 2);
            next.events[1].kind = if n == 7 { 666 } else { 40 };
            (n, store.commit(vec![next]).await)
        });
    }
    tokio::task::yield_now().await;
    other.execute_batch("ROLLBACK").unwrap();
    for (n, outcome) in calls.join_all().await {
        if n == 7 {
            assert!(matches!(outcome, Err(StoreError::Permanent(_))), "{outcome:?}");
        } else {
            assert_eq!(outcome, Ok(vec![CommitOutcome::Committed]));
        }
        let seqs = store.events(run_id(n), 1, 100).await.unwrap().len();
        assert_eq!(seqs, if n == 7 { 2 } else { 4 });
    }
}
