//! The contract of retention, and what only a database has.

use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};
use tutti_adapters_postgres::{OpenMode, Postgres};
use tutti_core::ports::payload::PayloadStore as _;
use tutti_core::ports::retention::{Retention as _, SweepPayloads, Tombstone};
use tutti_core::ports::store::{CommitOutcome, NewRun, RunStore as _, StoreError, Wake};
use tutti_core::time::Timestamp;
use tutti_core::value::Digest;
use tutti_testkit::conformance::retention::{Subject, killed};
use tutti_testkit::given::{commit, new_run, run_id};
use tutti_testkit::postgres::Database;

use crate::{address, engine, until};

tutti_testkit::retention_conformance!(|| async {
    let database = Database::fresh();
    Subject::new(engine(&database).await).keeping(database)
});

/// Tells the test that it is the process to be killed, and where the database is.
const STORE: &str = "TUTTI_TEST_PURGE_DATABASE";

const WAITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";

#[test]
fn a_purge_that_is_killed_harms_nothing_and_is_gone_on_with() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Ok(url) = std::env::var(STORE) {
        runtime.block_on(async {
            let store = Postgres::open(&url.parse().unwrap(), OpenMode::Server).await.unwrap();
            killed::purge(&store, killed::tell_parent).await;
        });
        std::process::abort();
    }
    let database = Database::fresh();
    runtime.block_on(async { killed::fill(&Arc::new(engine(&database).await)).await });
    let test = "retention::a_purge_that_is_killed_harms_nothing_and_is_gone_on_with";
    let mut told = Vec::new();
    for purges in [1, 20, 90, 7] {
        told.extend(killed::killed_after(test, (STORE, &database.url()), purges));
        let gone = runtime.block_on(async {
            let store = Postgres::open(&address(&database), OpenMode::ReadOnly).await.unwrap();
            killed::check(&store, &told).await
        });
        assert!(gone >= told.len() as u64);
    }
    runtime.block_on(async {
        let store = Postgres::open(&address(&database), OpenMode::Server).await.unwrap();
        killed::purge(&store, |_| ()).await;
        killed::check_end(&store).await;
    });
}

/// The reopening is under way when the purge begins, which waits for it and sees it.
#[tokio::test]
async fn a_purge_that_a_reopening_overtakes_leaves_the_run() {
    let database = Database::fresh();
    let store = Arc::new(engine(&database).await);
    let new = NewRun { wake: Wake::Never, ..new_run(1) };
    let stone = stone(&new);
    store.create(new).await.unwrap();
    let mut reopening = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; UPDATE run SET last_seq = 3, wake_at = 0").execute(&mut reopening).await.unwrap();
    let purging = store.clone();
    let purge = tokio::spawn(async move { purging.purge(vec![stone]).await });
    until("the purge waits for the commit", async || database.sql(WAITING) == "1").await;
    sqlx::raw_sql("COMMIT").execute(&mut reopening).await.unwrap();
    assert_eq!(purge.await.unwrap(), Ok(vec![false]));
    assert_eq!(store.commit(vec![commit(run_id(1), 1, 3, 1)]).await, Ok(vec![CommitOutcome::Committed]));
}

#[tokio::test]
async fn servers_that_purge_the_same_runs_purge_each_once() {
    let database = Database::fresh();
    drop(engine(&database).await);
    let open = async || Arc::new(Postgres::open(&address(&database), OpenMode::Server).await.unwrap());
    let servers = [open().await, open().await];
    let mut stones = Vec::new();
    for n in 1..=100 {
        let new = NewRun { wake: Wake::Never, ..new_run(n) };
        stones.push(stone(&new));
        servers[0].create(new).await.unwrap();
    }
    let mut reversed = stones.clone();
    reversed.reverse();
    let purge = |server: &Arc<Postgres>, stones: Vec<Tombstone>| {
        let server = server.clone();
        tokio::spawn(async move { server.purge(stones).await.unwrap().into_iter().filter(|gone| *gone).count() })
    };
    let (one, other) = (purge(&servers[0], stones), purge(&servers[1], reversed));
    assert_eq!(one.await.unwrap() + other.await.unwrap(), 100);
}

#[tokio::test]
async fn a_reader_purges_nothing() {
    let database = Database::fresh();
    drop(engine(&database).await);
    let reader = Postgres::open(&address(&database), OpenMode::ReadOnly).await.unwrap();
    assert!(matches!(reader.purge(vec![stone(&new_run(1))]).await, Err(StoreError::Permanent(_))));
}

/// Each of them would read everything there is if it did not go by an index.
#[tokio::test]
async fn removing_reads_what_is_removed_and_no_more() {
    let database = Database::fresh();
    let store = engine(&database).await;
    for n in 1..=3 {
        store.create(NewRun { wake: Wake::Never, ..new_run(n) }).await.unwrap();
    }
    database.sql(
        "INSERT INTO event SELECT gen_random_uuid(), n, 0, 1, 1, 1, '' FROM generate_series(1, 50000) n;
         INSERT INTO payload SELECT gen_random_uuid(), sha256(n::text::bytea), '' FROM generate_series(1, 20000) n;
         INSERT INTO request SELECT 'x', gen_random_uuid(), gen_random_uuid() FROM generate_series(1, 20000) n;
         ANALYZE",
    );
    let scans = "SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname IN ('event', 'payload', 'request')";
    let before: i64 = {
        database.sql("SELECT pg_stat_force_next_flush()");
        database.sql(scans).parse().unwrap()
    };
    store.put(run_id(2), "x".into()).await.unwrap();
    assert_eq!(store.purge((1..=3).map(|n| stone(&new_run(n))).collect()).await, Ok(vec![true; 3]));
    let query = SweepPayloads { before: Timestamp::from_micros(1), after: None, limit: 10 };
    store.sweep_payloads(query).await.unwrap();
    drop(store);
    until("the database has counted", async || {
        database.sql("SELECT coalesce(sum(n_tup_del), 0) >= 6 FROM pg_stat_user_tables WHERE relname = 'event'") == "t"
    })
    .await;
    assert_eq!(database.sql(scans).parse::<i64>().unwrap(), before, "rows were read that are not removed");
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
