//! The contract of retention, and what only a file has.

use std::sync::Arc;

use rusqlite::Connection;
use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_core::ports::retention::{Retention as _, Tombstone};
use tutti_core::ports::store::{NewRun, RunStore as _, StoreError, Wake};
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;
use tutti_core::value::Digest;
use tutti_testkit::conformance::retention::{Subject, killed};
use tutti_testkit::given::{events, new_run};

use crate::fresh;

tutti_testkit::retention_conformance!(|| async {
    let (folder, store) = fresh();
    Subject::new(store).keeping(folder)
});

/// Tells the test that it is the process to be killed, and where the file is.
const STORE: &str = "TUTTI_TEST_PURGE_STORE";

#[test]
fn a_purge_that_is_killed_harms_nothing_and_is_gone_on_with() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Ok(path) = std::env::var(STORE) {
        runtime.block_on(killed::purge(&Sqlite::open(path, OpenMode::Engine).unwrap(), killed::tell_parent));
        std::process::abort();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    runtime.block_on(killed::fill(&Arc::new(Sqlite::open(&path, OpenMode::Engine).unwrap())));
    let test = "retention::a_purge_that_is_killed_harms_nothing_and_is_gone_on_with";
    let mut told = Vec::new();
    for purges in [1, 20, 90, 7] {
        told.extend(killed::killed_after(test, (STORE, path.to_str().unwrap()), purges));
        let store = Sqlite::open(&path, OpenMode::ReadOnly).unwrap();
        let gone = runtime.block_on(killed::check(&store, &told));
        assert!(gone >= told.len() as u64);
    }
    let store = Sqlite::open(&path, OpenMode::Engine).unwrap();
    runtime.block_on(async {
        killed::purge(&store, |_| ()).await;
        killed::check_end(&store).await;
    });
    let db = Connection::open(&path).unwrap();
    let wrong = "SELECT (SELECT count(*) FROM pragma_foreign_key_check), (SELECT group_concat(integrity_check) FROM pragma_integrity_check)";
    let found: (u32, String) = db.query_row(wrong, (), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(found, (0, "ok".to_owned()));
}

#[tokio::test]
async fn room_is_used_again() {
    let (folder, store) = fresh();
    let size = || std::fs::metadata(folder.path().join("tutti.db")).unwrap().len();
    let mut sizes = Vec::new();
    for round in 0..3 {
        let mut stones = Vec::new();
        for n in 1..=200 {
            let mut new = NewRun { events: events(1, 50), wake: Wake::Never, ..new_run(round * 1_000 + n) };
            (new.summary.status, new.summary.ended_at) = (RunStatus::Failed, Some(Timestamp::from_micros(7)));
            stones.push(stone(&new));
            store.create(new).await.unwrap();
        }
        assert_eq!(store.purge(stones).await.unwrap(), [true; 200]);
        checkpoint(&folder.path().join("tutti.db"));
        sizes.push(size());
    }
    assert!(sizes[2] < sizes[0] + sizes[0] / 5, "tombstones aside it does not grow: {sizes:?}");
}

#[tokio::test]
async fn nobody_purges_beside_an_engine() {
    let (folder, store) = fresh();
    store.create(new_run(1)).await.unwrap();
    for mode in [OpenMode::Beside, OpenMode::ReadOnly] {
        let other = Sqlite::open(folder.path().join("tutti.db"), mode).unwrap();
        assert!(matches!(other.purge(vec![stone(&new_run(1))]).await, Err(StoreError::Permanent(_))), "{mode:?}");
    }
}

fn stone(new: &NewRun) -> Tombstone {
    Tombstone {
        run: new.run,
        namespace: new.namespace.clone(),
        workflow: new.summary.workflow.clone(),
        status: new.summary.status,
        ended_at: Timestamp::from_micros(7),
        purged_at: Timestamp::from_micros(8),
        last_seq: new.events.len() as u64,
        history: Digest::of(b""),
    }
}

/// Copies the log into the file.
fn checkpoint(path: &std::path::Path) {
    let db = Connection::open(path).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
}
