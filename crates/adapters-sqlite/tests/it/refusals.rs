//! What cannot be opened or done says why.

use std::path::Path;

use bytes::Bytes;
use rusqlite::Connection;
use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::records::RecordStore;
use tutti_core::ports::store::{RunStore as _, Snapshot, StoreError};
use tutti_testkit::given::{commit, new_run, run_id};

use crate::durable::document;

const BOTH: [OpenMode; 2] = [OpenMode::ReadOnly, OpenMode::Engine];

fn refusal(path: &Path, mode: OpenMode) -> StoreError {
    let error = Sqlite::open(path, mode).unwrap_err();
    assert!(error.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{error} names the file");
    error
}

#[test]
fn a_missing_file_has_nothing_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nowhere").join("tutti.db");
    let refused = refusal(&path, OpenMode::ReadOnly);
    assert!(refused.to_string().contains("there is no store at"), "{refused}");
    assert!(!folder.path().join("nowhere").exists(), "looking makes nothing");
}

#[test]
fn what_is_no_database_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "not a database, but long enough to look for a header in it\n".repeat(100)).unwrap();
    for mode in BOTH {
        assert!(matches!(refusal(&path, mode), StoreError::Corrupt(_)));
    }
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("not a database"), "it is left as it was");
}

#[test]
fn a_folder_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("folder");
    std::fs::create_dir(&path).unwrap();
    for mode in BOTH {
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
    assert!(refusal(&path, OpenMode::ReadOnly).to_string().contains("no runs yet"));
    Sqlite::open(&path, OpenMode::Engine).unwrap();
    Sqlite::open(&path, OpenMode::ReadOnly).unwrap();
}

#[test]
fn another_programs_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x INTEGER)").unwrap();
    for mode in BOTH {
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
    for mode in BOTH {
        assert!(refusal(&path, mode).to_string().contains("newer version of Tutti"));
    }
    other.execute("DELETE FROM migration WHERE version = 99", ()).unwrap();
    other.execute("UPDATE migration SET checksum = 'changed' WHERE version = 1", ()).unwrap();
    for mode in BOTH {
        assert!(refusal(&path, mode).to_string().contains("0001_store"));
    }
}

#[tokio::test]
async fn a_reader_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    let engine = Sqlite::open(&path, OpenMode::Engine).unwrap();
    engine.create(new_run(1)).await.unwrap();
    let reader = Sqlite::open(&path, OpenMode::ReadOnly).unwrap();
    let run = run_id(1);
    let snapshot = Snapshot { seq: 1, schema: 1, blob: Bytes::new() };
    let refused = [
        reader.create(new_run(2)).await.err(),
        reader.commit(vec![commit(run, 1, 2, 1)]).await.err(),
        reader.claim(run).await.err(),
        reader.save_snapshot(run, snapshot).await.err(),
        PayloadStore::put(&reader, run, Bytes::new()).await.err(),
        RecordStore::put(&reader, document("a", 0, b"")).await.err(),
        reader.delete(&document("a", 0, b"").key, 1).await.err(),
    ];
    for error in refused {
        assert!(matches!(error, Some(StoreError::Permanent(_))), "{error:?}");
    }
}
