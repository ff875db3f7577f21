//! The disk is full.

use bytes::Bytes;
use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::RunQuery as _;
use tutti_core::ports::store::{CommitOutcome, RunStore as _, StoreError};
use tutti_core::value::PayloadRef;
use tutti_testkit::disk::Disk;
use tutti_testkit::given::{commit, new_run, run_id};

#[tokio::test]
async fn a_full_disk_loses_nothing_and_writes_go_on_when_there_is_room() {
    let Some(disk) = Disk::mount(4) else { return };
    let path = disk.folder().join("tutti.db");
    let mut store = Sqlite::open(&path, OpenMode::Engine).unwrap();
    store.create(new_run(1)).await.unwrap();
    let mut last = 2;
    // Full while it works, and full when it is closed and opened again: what is still in the log is kept.
    for is_closed in [false, true] {
        disk.fill();
        let full = loop {
            match write(&store, last).await {
                Ok(()) => last += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(&full, StoreError::Unavailable(why) if why.contains("full")), "{full}");
        check(&store, last).await;
        if is_closed {
            drop(store);
            let _ = Sqlite::open(&path, OpenMode::Engine).map_err(|error| {
                assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
            });
            disk.free();
            store = Sqlite::open(&path, OpenMode::Engine).unwrap();
        } else {
            disk.free();
        }
        check(&store, last).await;
        for _ in 0..3 {
            write(&store, last).await.unwrap();
            last += 1;
        }
    }
    check(&store, last).await;
}

/// One event more, and a payload.
async fn write(store: &Sqlite, last: u64) -> Result<(), StoreError> {
    PayloadStore::put(store, run_id(1), payload(last)).await?;
    let outcomes = store.commit(vec![commit(run_id(1), 1, last, 1)]).await?;
    assert_eq!(outcomes, [CommitOutcome::Committed]);
    Ok(())
}

fn payload(n: u64) -> Bytes {
    n.to_be_bytes().repeat(2_048).into()
}

/// Looks for everything that was acknowledged.
async fn check(store: &Sqlite, last: u64) {
    let history = store.events(run_id(1), 1, 100_000).await.unwrap();
    assert!(history.iter().zip(1..).all(|(stored, seq)| stored.event.seq == seq));
    assert_eq!(history.len() as u64, last);
    for n in 2..last {
        let bytes = payload(n);
        assert!(PayloadStore::get(store, run_id(1), PayloadRef::to(&bytes)).await == Ok(Some(bytes)), "payload {n}");
    }
}
