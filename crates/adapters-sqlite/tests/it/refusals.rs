//! What cannot be opened or done says why.

use std::path::Path;

use bytes::Bytes;
use rusqlite::Connection;
use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_core::ports::inbox::Inbox as _;
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::records::RecordStore;
use tutti_core::ports::store::{RunStore as _, Snapshot, StoreError};
use tutti_core::time::Timestamp;
use tutti_testkit::given::{READS, commit, new_run, run_id};

use crate::durable::document;

const ALL: [OpenMode; 3] = [OpenMode::ReadOnly, OpenMode::Beside, OpenMode::Engine];

fn refusal(path: &Path, mode: OpenMode) -> StoreError {
    let error = Sqlite::open(path, mode).unwrap_err();
    assert!(error.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{error} names the file");
    error
}

#[test]
fn a_missing_file_has_nothing_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nowhere").join("tutti.db");
    for mode in [OpenMode::ReadOnly, OpenMode::Beside] {
        let refused = refusal(&path, mode);
        assert!(refused.to_string().contains("there is no store at"), "{refused}");
    }
    assert!(!folder.path().join("nowhere").exists(), "looking makes nothing");
}

#[test]
fn what_is_no_database_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "not a database, but long enough to look for a header in it\n".repeat(100)).unwrap();
    for mode in ALL {
        assert!(matches!(refusal(&path, mode), StoreError::Corrupt(_)));
    }
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("not a database"), "it is left as it was");
}

#[test]
fn a_folder_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("folder");
    std::fs::create_dir(&path).unwrap();
    for mode in ALL {
        refusal(&path, mode);
    }
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = Sqlite::open(file.join("tutti.db"), OpenMode::Engine).unwrap_err();
    assert!(below.to_string().contains("folder"), "{below}");
}

#[test]
fn an_empty_file_has_nothing_to_read_but_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    std::fs::write(&path, "").unwrap();
    for mode in [OpenMode::ReadOnly, OpenMode::Beside] {
        assert!(refusal(&path, mode).to_string().contains("no runs yet"));
    }
    Sqlite::open(&path, OpenMode::Engine).unwrap();
    Sqlite::open(&path, OpenMode::ReadOnly).unwrap();
}

#[test]
fn another_programs_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x INTEGER)").unwrap();
    for mode in ALL {
        assert!(refusal(&path, mode).to_string().contains("another program"));
    }
    let tables: i64 =
        Connection::open(&path).unwrap().query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

#[test]
fn newer_and_changed_tables_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    drop(Sqlite::open(&path, OpenMode::Engine).unwrap());
    let other = Connection::open(&path).unwrap();
    other.execute("INSERT INTO migration (version, name, checksum) VALUES (99, '0099_future', 'x')", ()).unwrap();
    other.execute("UPDATE compatibility SET oldest = 99", ()).unwrap();
    for mode in ALL {
        assert!(refusal(&path, mode).to_string().contains("newer version of Tutti"));
    }
    other.execute("UPDATE compatibility SET oldest = 1", ()).unwrap();
    for mode in ALL {
        drop(Sqlite::open(&path, mode).expect("what was added is not in the way"));
    }
    other.execute("DELETE FROM migration WHERE version = 99", ()).unwrap();
    other.execute("UPDATE migration SET checksum = 'changed' WHERE version = 1", ()).unwrap();
    for mode in ALL {
        assert!(refusal(&path, mode).to_string().contains("0001_store"));
    }
}

#[tokio::test]
async fn who_reads_or_posts_writes_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    let engine = Sqlite::open(&path, OpenMode::Engine).unwrap();
    engine.create(new_run(1)).await.unwrap();
    let run = run_id(1);
    let snapshot = Snapshot { seq: 1, schema: 1, blob: Bytes::new() };
    for mode in [OpenMode::ReadOnly, OpenMode::Beside] {
        let store = Sqlite::open(&path, mode).unwrap();
        let refused = [
            store.create(new_run(2)).await.err(),
            store.commit(vec![commit(run, 1, 2, 1)]).await.err(),
            store.claim(run, READS).await.err(),
            store.save_snapshot(run, snapshot.clone()).await.err(),
            PayloadStore::put(&store, run, Bytes::new()).await.err(),
            RecordStore::put(&store, document("a", 0, b"")).await.err(),
            store.delete(&document("a", 0, b"").key, 1).await.err(),
            store.forget_outcomes(Timestamp::default()).await.err(),
        ];
        for error in refused {
            assert!(matches!(error, Some(StoreError::Permanent(_))), "{mode:?}: {error:?}");
        }
    }
}
