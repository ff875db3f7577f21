//! One engine per file, any number of readers.

use std::path::Path;

use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_core::ids::Namespace;
use tutti_core::ports::query::RunQuery as _;
use tutti_core::ports::store::{RunStore as _, StoreError};
use tutti_testkit::given::{commit, new_run, run_id, summary};

fn open(path: impl AsRef<Path>, mode: OpenMode) -> Result<Sqlite, StoreError> {
    Sqlite::open(path, mode)
}

#[test]
fn a_second_engine_is_refused_until_the_first_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    let first = open(&path, OpenMode::Engine).unwrap();
    let spelled = folder.path().join("..").join(folder.path().file_name().unwrap()).join("tutti.db");
    for path in [&path, &spelled] {
        let refused = open(path, OpenMode::Engine).unwrap_err();
        assert!(matches!(refused, StoreError::InUse(_)), "{refused:?}");
        let text = refused.to_string();
        assert!(text.contains(&std::process::id().to_string()) && text.contains("tutti.db"), "{text}");
    }
    let other = open(folder.path().join("other.db"), OpenMode::Engine);
    assert!(other.is_ok(), "another file is another store");
    drop(first);
    open(&path, OpenMode::Engine).unwrap();
}

#[cfg(unix)]
#[test]
fn a_link_to_the_file_is_the_same_store() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("tutti.db"), folder.path().join("link.db"));
    let _first = open(&path, OpenMode::Engine).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(open(&link, OpenMode::Engine), Err(StoreError::InUse(_))));
}

#[test]
fn folders_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a").join("b").join("tutti.db");
    open(&path, OpenMode::Engine).unwrap();
    assert!(path.exists());
}

#[tokio::test]
async fn a_reader_works_beside_an_engine_and_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    let engine = open(&path, OpenMode::Engine).unwrap();
    let readers = [open(&path, OpenMode::ReadOnly).unwrap(), open(&path, OpenMode::ReadOnly).unwrap()];
    engine.create(new_run(1)).await.unwrap();
    for n in 0..50 {
        let mut next = commit(run_id(1), 1, 2 + 3 * n, 3);
        let mut line = summary(run_id(1));
        line.completed = n as u32;
        next.summary = Some(line.clone());
        engine.commit(vec![next]).await.unwrap();
        for reader in &readers {
            assert_eq!(reader.events(run_id(1), 1, 1_000).await.unwrap().len() as u64, 5 + 3 * n);
            assert_eq!(reader.find(&Namespace::default(), run_id(1)).await, Ok(Some(line.clone())));
        }
    }
    drop(engine);
    let late = open(&path, OpenMode::ReadOnly).unwrap();
    for reader in readers.iter().chain([&late]) {
        assert_eq!(reader.events(run_id(1), 1, 1_000).await.unwrap().len(), 152);
    }
    open(&path, OpenMode::Engine).expect("readers are in nobody's way");
}

#[tokio::test]
async fn an_engine_waits_for_another_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tutti.db");
    let engine = open(&path, OpenMode::Engine).unwrap();
    engine.create(new_run(1)).await.unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let call = tokio::spawn(async move {
        engine.create(new_run(2)).await.unwrap();
        engine
    });
    tokio::task::yield_now().await;
    assert_eq!(other.query_row("SELECT count(*) FROM run", (), |row| row.get(0)), Ok(1));
    other.execute_batch("ROLLBACK").unwrap();
    let engine = call.await.unwrap();
    assert!(engine.find(&Namespace::default(), run_id(2)).await.unwrap().is_some());
}
