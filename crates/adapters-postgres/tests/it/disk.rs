//! The disk under the server is full.

use bytes::Bytes;
use tutti_adapters_postgres::{OpenMode, Postgres, migrate};
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::RunQuery as _;
use tutti_core::ports::store::{CommitOutcome, RunStore as _, StoreError};
use tutti_core::value::PayloadRef;
use tutti_testkit::disk::Disk;
use tutti_testkit::given::{commit, new_run, run_id};
use tutti_testkit::postgres::Server;

use crate::until;

/// The n-th of values that nobody can make smaller.
fn payload(n: u64) -> Bytes {
    let mut word = n + 1;
    let mut next = || {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (word >> 56) as u8
    };
    (0..65_536).map(|_| next()).collect::<Vec<_>>().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_and_writes_go_on_when_there_is_room() {
    let Some(disk) = Disk::mount(96) else { return };
    let mut server = Server::start_in(disk.folder(), &["max_wal_size=32MB", "shared_buffers=8MB"]);
    let address = server.url().parse().unwrap();
    migrate(&address).await.unwrap();
    let store = Postgres::open(&address, OpenMode::Engine).await.unwrap();
    store.create(new_run(1)).await.unwrap();
    let mut last = 2;
    let write = async |last: u64| {
        PayloadStore::put(&store, run_id(1), payload(last)).await?;
        let outcomes = store.commit(vec![commit(run_id(1), 1, last, 1)]).await?;
        assert_eq!(outcomes, [CommitOutcome::Committed]);
        Ok::<_, StoreError>(())
    };
    disk.fill();
    let full = loop {
        match write(last).await {
            Ok(()) => last += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&full, StoreError::Unavailable(why) if why.contains("53100")), "{full}");
    check(&store, last).await;
    disk.free();
    until("writes go on", async || write(last).await.is_ok()).await;
    last += 1;

    // Without room for its log the server ends, and cannot start again.
    disk.fill();
    let more = |n: u32| format!("CREATE TABLE more_{n} (x INTEGER); SELECT pg_switch_wal()");
    assert!((0..100).any(|n| server.sql(&more(n)).is_err()), "it has room still");
    let gone = write(last).await.unwrap_err();
    assert!(matches!(gone, StoreError::Unavailable(_)), "{gone}");
    disk.free();
    server.restart();
    until("writes go on", async || write(last).await.is_ok()).await;
    check(&store, last + 1).await;
}

/// Looks for everything that was acknowledged.
async fn check(store: &Postgres, last: u64) {
    let history = store.events(run_id(1), 1, 100_000).await.unwrap();
    assert!(history.iter().zip(1..).all(|(stored, seq)| stored.event.seq == seq));
    assert_eq!(history.len() as u64, last);
    for n in 2..last {
        let bytes = payload(n);
        assert!(PayloadStore::get(store, run_id(1), PayloadRef::to(&bytes)).await == Ok(Some(bytes)), "payload {n}");
    }
}
