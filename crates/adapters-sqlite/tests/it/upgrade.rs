//! Files of older versions are opened and used.

use std::path::Path;

use bytes::Bytes;
use rusqlite::{Connection, params};
use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_core::ids::Namespace;
use tutti_core::ports::filter::RunFilter;
use tutti_core::ports::inbox::Inbox as _;
use tutti_core::ports::query::{ListRuns, RunQuery};
use tutti_core::ports::records::{Put, RecordStore};
use tutti_core::ports::store::{CommitOutcome, Creation, KeyClaim, NewRun, RunStore as _, Snapshot, StoreError};
use tutti_core::time::Timestamp;
use tutti_core::value::Digest;
use tutti_testkit::given::{active, commit, events, new_run, run_id, summary};

use crate::beside::item;
use crate::durable::document;

/// The tables before runs had keys, sessions and labels.
const OLD: [(&str, &str); 3] = [
    ("0001_store", include_str!("../../../../migrations/sqlite/0001_store.sql")),
    ("0002_history", include_str!("../../../../migrations/sqlite/0002_history.sql")),
    ("0003_commands", include_str!("../../../../migrations/sqlite/0003_commands.sql")),
];

#[tokio::test]
async fn a_file_without_keys_sessions_and_documents_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    write_old(&path);
    let refused = Sqlite::open(&path, OpenMode::ReadOnly).unwrap_err();
    assert!(matches!(&refused, StoreError::Permanent(why) if why.contains("version 3")), "{refused}");

    let (store, namespace, run) = (Sqlite::open(&path, OpenMode::Engine).unwrap(), Namespace::default(), run_id(1));
    assert_eq!(store.find(&namespace, run).await, Ok(Some(summary(run))), "it has no key, session or labels");
    let history = store.events(run, 1, 10).await.unwrap();
    assert_eq!(history.into_iter().map(|stored| stored.event).collect::<Vec<_>>(), events(1, 2));
    assert_eq!(store.snapshot(run).await.unwrap().unwrap().seq, 2);
    assert_eq!(store.due(active()).await, Ok(vec![run]));
    assert_eq!(store.create(new_run(1)).await, Ok(Creation::Exists(run)));
    for (text, count) in [("", 1), ("-session:s -key:k -label.a=b", 1), ("session:s", 0), ("label.a=b", 0)] {
        let filter = RunFilter::parse(text, Timestamp::default()).unwrap();
        let page = RunQuery::list(&store, ListRuns { filter, ..ListRuns::default() }).await.unwrap();
        assert_eq!(page.runs.len(), count, "{text}");
    }

    let mut line = summary(run);
    line.session = Some("s".parse().unwrap());
    line.labels = [("a".parse().unwrap(), "b".to_owned())].into();
    let mut next = commit(run, 1, 2, 1);
    next.summary = Some(line.clone());
    assert_eq!(store.commit(vec![next]).await, Ok(vec![CommitOutcome::Committed]));
    assert_eq!(store.find(&namespace, run).await, Ok(Some(line)));
    let key = Some(KeyClaim { key: "k".parse().unwrap(), from: None });
    assert_eq!(store.create(NewRun { key: key.clone(), ..new_run(2) }).await, Ok(Creation::Created));
    assert_eq!(store.create(NewRun { key, ..new_run(3) }).await, Ok(Creation::KeyHeld(run_id(2))));
    assert_eq!(RecordStore::put(&store, document("a", 0, b"{}")).await, Ok(Put::Stored(1)));
    assert_eq!(store.post(item(1)).await, Ok(()));
    drop(store);
    Sqlite::open(&path, OpenMode::ReadOnly).unwrap();
}

/// A file with run 1, as the version before wrote it.
fn write_old(path: &Path) {
    let db = Connection::open(path).unwrap();
    db.pragma_update(None, "application_id", 0x5455_5454).unwrap();
    db.execute_batch(
        "CREATE TABLE migration (version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL,
         applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))) STRICT",
    )
    .unwrap();
    for (version, (name, sql)) in (1..).zip(OLD) {
        db.execute_batch(sql).unwrap();
        let row = (version, name, Digest::of(sql.as_bytes()).to_string());
        db.execute("INSERT INTO migration (version, name, checksum) VALUES (?, ?, ?)", row).unwrap();
    }
    let (new, framed) = (new_run(1), [&[0, 0, 0][..], b"a workflow"].concat());
    let (id, hash, line) = (new.run.as_uuid(), new.definition.0, summary(new.run));
    let hash = hash.as_bytes();
    db.execute("INSERT INTO definition VALUES (?, ?)", (hash, framed)).unwrap();
    db.execute(
        "INSERT INTO run VALUES (?, 'default', ?, ?, 1, 2, ?, 0, 1, 0)",
        params![id, new.run.slot(), hash, new.commit_id.to_be_bytes()],
    )
    .unwrap();
    db.execute("INSERT INTO request VALUES ('default', ?, ?)", (new.request, id)).unwrap();
    db.execute(
        "INSERT INTO run_view VALUES (?, 'default', 'sales', '1.0', ?, 'pending', 8, 0, 0, ?, ?, NULL, NULL)",
        params![id, hash, line.created_at.as_micros(), line.updated_at.as_micros()],
    )
    .unwrap();
    for event in new.events {
        let values = params![id, event.seq, event.at.as_micros(), event.kind, event.version, &event.blob[..]];
        db.execute("INSERT INTO event VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6)", values).unwrap();
    }
    let snapshot = Snapshot { seq: 2, schema: 1, blob: Bytes::from_static(b"\0\0\0{}") };
    let values = params![id, snapshot.seq, snapshot.schema, &snapshot.blob[..]];
    db.execute("INSERT INTO snapshot VALUES (?, ?, ?, ?)", values).unwrap();
}
