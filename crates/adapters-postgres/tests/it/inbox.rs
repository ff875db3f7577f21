//! The contract of the inbox, and what only a database has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sqlx::{Connection as _, PgConnection};
use tutti_adapters_postgres::{Hints, OpenMode, Postgres, migrate};
use tutti_core::ids::{RequestId, RunId};
use tutti_core::limits::SLOTS;
use tutti_core::ports::inbox::{Consumed, Inbox as _, InboxItem};
use tutti_core::ports::store::{Commit, CommitOutcome, RunStore as _, StoreError};
use tutti_core::time::Timestamp;
use tutti_testkit::conformance::inbox::Subject;
use tutti_testkit::given::{READS, commit, new_run, run_id};
use tutti_testkit::postgres::Database;

use crate::{address, engine, until};

tutti_testkit::inbox_conformance!(|| async {
    let database = Database::fresh();
    Subject::new(engine(&database).await).keeping(database)
});

const WAITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";

#[tokio::test]
async fn an_old_owner_consumes_nothing_after_a_claim_of_another_server() {
    let database = Database::fresh();
    let [old, new] = servers(&database).await;
    old.create(new_run(1)).await.unwrap();
    new.post(item(run_id(1), 1)).await.unwrap();
    let late = consuming(run_id(1), 1, 2, 1);
    assert_eq!(new.claim(run_id(1), READS).await.unwrap().claimed().unwrap().epoch, 2);
    assert_eq!(old.commit(vec![late]).await, Ok(vec![CommitOutcome::Refused]));
    assert_eq!(new.pending(&[run_id(1).slot()], 10).await, Ok(vec![item(run_id(1), 1)]));
    assert_eq!(new.commit(vec![consuming(run_id(1), 2, 2, 1)]).await, Ok(vec![CommitOutcome::Committed]));
    assert_eq!(old.outcome(run_id(1), request(1)).await, Ok(Some(Bytes::from_static(b"done"))), "any server answers");
}

/// The commit is sent before the claim, and waits in the database until the claim is over.
#[tokio::test]
async fn a_commit_that_a_claim_overtakes_is_refused() {
    let database = Database::fresh();
    let [old, new] = servers(&database).await;
    old.create(new_run(1)).await.unwrap();
    new.post(item(run_id(1), 1)).await.unwrap();
    let mut claim = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; UPDATE run SET epoch = epoch + 1").execute(&mut claim).await.unwrap();
    let late = tokio::spawn(async move { old.commit(vec![consuming(run_id(1), 1, 2, 1)]).await });
    until("the commit waits for the claim", async || database.sql(WAITING) == "1").await;
    sqlx::raw_sql("COMMIT").execute(&mut claim).await.unwrap();
    assert_eq!(late.await.unwrap(), Ok(vec![CommitOutcome::Refused]));
    assert_eq!(new.pending(&[run_id(1).slot()], 10).await, Ok(vec![item(run_id(1), 1)]));
    assert_eq!(new.outcome(run_id(1), request(1)).await, Ok(None));
}

/// The post begins while the item waits, and goes on when the commit that consumed it is over.
#[tokio::test]
async fn a_post_that_a_commit_overtakes_puts_nothing() {
    let database = Database::fresh();
    let store = Arc::new(engine(&database).await);
    store.create(new_run(1)).await.unwrap();
    store.post(item(run_id(1), 1)).await.unwrap();
    let mut consumer = PgConnection::connect(&database.url()).await.unwrap();
    let consume =
        "BEGIN; INSERT INTO inbox_outcome SELECT run_id, request_id, at_us, '\\x000000' FROM inbox; DELETE FROM inbox";
    sqlx::raw_sql(consume).execute(&mut consumer).await.unwrap();
    let posting = tokio::spawn({
        let store = store.clone();
        async move { store.post(item(run_id(1), 1)).await }
    });
    until("the post waits for the commit", async || database.sql(WAITING) == "1").await;
    sqlx::raw_sql("COMMIT").execute(&mut consumer).await.unwrap();
    assert_eq!(posting.await.unwrap(), Ok(()));
    assert_eq!(database.sql("SELECT count(*) FROM inbox"), "0");
    assert_eq!(store.outcome(run_id(1), request(1)).await, Ok(Some(Bytes::new())));
}

#[tokio::test]
async fn a_post_whose_session_is_ended_leaves_nothing_half_done() {
    let database = Database::fresh();
    let store = Arc::new(engine(&database).await);
    store.create(new_run(1)).await.unwrap();
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE inbox").execute(&mut other).await.unwrap();
    let posting = tokio::spawn({
        let store = store.clone();
        async move { store.post(item(run_id(1), 1)).await }
    });
    let end = WAITING.replace("count(*)", "count(pg_terminate_backend(pid))");
    until("the post waits", async || database.sql(&end) == "1").await;
    assert!(matches!(posting.await.unwrap(), Err(StoreError::Unavailable(_))));
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(store.pending(&every_slot(), 10).await, Ok(vec![]));
    store.post(item(run_id(1), 1)).await.unwrap();
    assert_eq!(store.pending(&every_slot(), 10).await, Ok(vec![item(run_id(1), 1)]));
}

#[tokio::test]
async fn a_post_that_fails_holds_no_transaction_open() {
    let database = Database::fresh();
    let store = engine(&database).await;
    store.create(new_run(1)).await.unwrap();
    assert!(matches!(store.post(item(run_id(9), 1)).await, Err(StoreError::Permanent(_))));
    database.sql("ALTER TABLE inbox ADD CONSTRAINT never CHECK (false) NOT VALID");
    assert!(matches!(store.post(item(run_id(1), 1)).await, Err(StoreError::Permanent(_))));
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    assert_eq!(database.sql(open), "0");
    database.sql("ALTER TABLE inbox DROP CONSTRAINT never");
    store.post(item(run_id(1), 1)).await.unwrap();
}

#[tokio::test]
async fn a_reader_looks_and_posts_nothing() {
    let database = Database::fresh();
    let store = engine(&database).await;
    store.create(new_run(1)).await.unwrap();
    store.post(item(run_id(1), 1)).await.unwrap();
    let reader = Postgres::open(&address(&database), OpenMode::ReadOnly).await.unwrap();
    assert_eq!(reader.pending(&every_slot(), 10).await, Ok(vec![item(run_id(1), 1)]));
    assert!(matches!(reader.post(item(run_id(1), 2)).await, Err(StoreError::Permanent(_))));
    assert!(matches!(reader.forget_outcomes(Timestamp::default()).await, Err(StoreError::Permanent(_))));
}

#[tokio::test]
async fn an_item_that_is_not_as_it_was_written_holds_up_no_other() {
    let database = Database::fresh();
    let store = engine(&database).await;
    store.create(new_run(1)).await.unwrap();
    for n in 1..=3 {
        store.post(item(run_id(1), n)).await.unwrap();
    }
    database.sql(
        "UPDATE inbox SET blob = '' WHERE at_us % 10 = 1; UPDATE inbox SET blob = '\\x090000' WHERE at_us % 10 = 2",
    );
    let without = |n| InboxItem { blob: Bytes::new(), ..item(run_id(1), n) };
    let found = store.pending(&every_slot(), 10).await;
    assert_eq!(found, Ok(vec![without(1), without(2), item(run_id(1), 3)]));
}

#[tokio::test]
async fn outcomes_are_forgotten_however_many_there_are() {
    let database = Database::fresh();
    let store = engine(&database).await;
    database.sql(
        "INSERT INTO inbox_outcome SELECT gen_random_uuid(), gen_random_uuid(), n, '' FROM generate_series(1, 12000) n",
    );
    assert_eq!(store.forget_outcomes(Timestamp::from_micros(11_001)).await, Ok(11_000));
    assert_eq!(database.sql("SELECT count(*), min(at_us) FROM inbox_outcome"), "1000|11001");
}

/// With many rows, each call goes by an index. What the database counted is written when sessions end.
#[tokio::test]
async fn calls_go_by_indexes() {
    const ROUNDS: u32 = 30;
    let database = Database::fresh();
    let store = engine(&database).await;
    store.create(new_run(1)).await.unwrap();
    database.sql(
        "INSERT INTO inbox SELECT gen_random_uuid(), gen_random_uuid(), n % 1024, n, '\\x000000' FROM generate_series(1, 20000) n;
         INSERT INTO inbox_outcome SELECT gen_random_uuid(), gen_random_uuid(), n, '' FROM generate_series(1, 20000) n;
         ANALYZE inbox, inbox_outcome",
    );
    let scans = |of: &str| {
        let tables = "('inbox', 'inbox_outcome')";
        database
            .sql(&format!("SELECT sum({of}) FROM pg_stat_user_tables WHERE relname IN {tables}"))
            .parse::<u64>()
            .unwrap()
    };
    let (all, indexed) = (scans("seq_scan"), scans("idx_scan"));
    let few: Vec<u16> = (100..110).collect();
    for n in 0..ROUNDS {
        store.post(item(run_id(1), n)).await.unwrap();
        assert_eq!(store.pending(&few, 5).await.unwrap().len(), 5);
        let next = consuming(run_id(1), 1, 2 + u64::from(n), n);
        assert_eq!(store.commit(vec![next]).await, Ok(vec![CommitOutcome::Committed]));
        assert!(store.outcome(run_id(1), request(n)).await.unwrap().is_some());
        assert_eq!(store.forget_outcomes(Timestamp::from_micros(2 + i64::from(n))).await, Ok(1));
    }
    drop(store);
    let sessions =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tutti%'";
    until("the sessions end", async || database.sql(sessions) == "0").await;
    until("their counts are seen", async || scans("idx_scan") >= indexed + u64::from(ROUNDS) * 6).await;
    assert_eq!(scans("seq_scan"), all, "a table was read from end to end");
}

#[tokio::test]
async fn hints_tell_of_what_is_posted() {
    let database = Database::fresh();
    let store = engine(&database).await;
    for n in 1..=3 {
        store.create(new_run(n)).await.unwrap();
    }
    let mut hints = Hints::listen(&address(&database));
    assert_eq!(next(&mut hints).await, (0..SLOTS).collect(), "what came before is not known");
    store.post(item(run_id(1), 1)).await.unwrap();
    assert_eq!(next(&mut hints).await, [run_id(1).slot()].into());

    for n in 2..=3 {
        store.post(item(run_id(n), 1)).await.unwrap();
    }
    let mut heard = BTreeSet::new();
    while heard.len() < 2 {
        heard.extend(next(&mut hints).await);
    }
    assert_eq!(heard, [run_id(2).slot(), run_id(3).slot()].into());
    store.post(item(run_id(1), 1)).await.unwrap();
    assert!(matches!(store.post(item(run_id(9), 1)).await, Err(StoreError::Permanent(_))));
    database.sql("NOTIFY tutti_inbox, 'odd'; NOTIFY tutti_inbox, '1024'");
    store.post(item(run_id(2), 2)).await.unwrap();
    assert_eq!(
        next(&mut hints).await,
        [run_id(2).slot()].into(),
        "the others put nothing into the inbox, or are no slots"
    );
}

#[tokio::test]
async fn hints_go_on_after_their_session_ends() {
    let database = Database::fresh();
    let store = engine(&database).await;
    store.create(new_run(1)).await.unwrap();
    let mut hints = Hints::listen(&address(&database));
    next(&mut hints).await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    assert_eq!(database.sql(end), "1");
    assert_eq!(next(&mut hints).await, (0..SLOTS).collect(), "what came meanwhile is not known");
    store.post(item(run_id(1), 1)).await.unwrap();
    assert_eq!(next(&mut hints).await, [run_id(1).slot()].into());
    drop(hints);
    until("it ends when it is dropped", async || database.sql(&end.replace("pg_terminate_backend(pid)", "*")) == "0")
        .await;
}

async fn next(hints: &mut Hints) -> BTreeSet<u16> {
    tokio::time::timeout(Duration::from_secs(30), hints.next()).await.expect("a hint")
}

/// Every way to write the inbox, and to read it, after what the store was used for before.
pub async fn use_inbox(store: &Postgres) {
    let claim = store.claim(run_id(1), READS).await.unwrap().claimed().unwrap();
    store.post(item(run_id(1), 1)).await.unwrap();
    assert_eq!(store.pending(&every_slot(), 10).await, Ok(vec![item(run_id(1), 1)]));
    let next = consuming(run_id(1), claim.epoch, claim.last_seq, 1);
    assert_eq!(store.commit(vec![next]).await, Ok(vec![CommitOutcome::Committed]));
    assert_eq!(store.outcome(run_id(1), request(1)).await, Ok(Some(Bytes::from_static(b"done"))));
    store.post(item(run_id(1), 2)).await.unwrap();
    store.refuse(run_id(1), consumed(2)).await.unwrap();
    assert_eq!(store.pending(&every_slot(), 10).await, Ok(vec![]));
    assert_eq!(store.forget_outcomes(item(run_id(1), 3).at).await, Ok(2));
}

/// Two servers that share a database.
pub async fn servers(database: &Database) -> [Postgres; 2] {
    let address = address(database);
    migrate(&address).await.unwrap();
    let server = async || Postgres::open(&address, OpenMode::Server).await.unwrap();
    [server().await, server().await]
}

fn item(run: RunId, n: u32) -> InboxItem {
    let at = Timestamp::from_micros(1_700_000_000_000_000 + i64::from(n));
    InboxItem { run, request: request(n), at, blob: Bytes::from_static(b"{}") }
}

fn request(n: u32) -> RequestId {
    RequestId::from_u128(u128::from(n))
}

fn consuming(run: RunId, epoch: u64, expected: u64, n: u32) -> Commit {
    Commit { consumed: vec![consumed(n)], ..commit(run, epoch, expected, 1) }
}

fn consumed(n: u32) -> Consumed {
    Consumed { request: request(n), at: item(run_id(1), n).at, outcome: Bytes::from_static(b"done") }
}

fn every_slot() -> Vec<u16> {
    (0..SLOTS).collect()
}
