//! Collisions, lost connections, and a server that refuses.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;
use tutti_adapters_postgres::{OpenMode, Postgres, migrate};
use tutti_core::ports::query::RunQuery as _;
use tutti_core::ports::store::{Commit, CommitOutcome, Creation, RunStore as _, Snapshot, StoreError};
use tutti_testkit::given::{READS, commit, new_run, run_id};
use tutti_testkit::postgres::{Database, Server};
use tutti_testkit::proxy::{Mode, Proxy};

use crate::{engine, until};

const RUNS: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committers_that_collide_leave_other_runs_alone() {
    let database = Database::fresh();
    let store = Arc::new(engine(&database).await);
    for n in 0..2 * RUNS {
        store.create(new_run(n)).await.unwrap();
    }
    // All want the first half of the runs, in one order or the other, and each has one of the second half to itself.
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..RUNS {
        let store = store.clone();
        callers.spawn(async move {
            let mut won = Vec::new();
            for round in 0..10 {
                let mut commits: Vec<Commit> = (0..RUNS).map(|n| commit(run_id(n), 1, 2 + round, 1)).collect();
                commits.push(commit(run_id(RUNS + caller), 1, 2 + round, 1));
                if caller % 2 == 1 {
                    commits.reverse();
                }
                let outcomes = store.commit(commits.clone()).await.expect("no deadlock");
                for (commit, outcome) in commits.iter().zip(outcomes) {
                    let own = commit.run == run_id(RUNS + caller);
                    assert!(!own || outcome == CommitOutcome::Committed, "nobody else wants it");
                    if outcome == CommitOutcome::Committed {
                        won.push((commit.run, commit.expected));
                    }
                }
            }
            won
        });
    }
    let mut won: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    let count = won.len();
    won.sort_unstable();
    won.dedup();
    assert_eq!(won.len(), count, "each was won once");
    for n in 0..2 * RUNS {
        let history = store.events(run_id(n), 1, 100).await.unwrap();
        let committed = won.iter().filter(|(run, _)| *run == run_id(n)).count();
        assert_eq!(history.len(), 2 + committed);
        assert!(history.iter().zip(1..).all(|(stored, seq)| stored.event.seq == seq));
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_known_when_it_is_repeated() {
    let server = Server::start(&[]);
    let (store, proxy) = behind_proxy(&server).await;
    store.create(new_run(1)).await.unwrap();
    // What is cut is the statement, not its preparation.
    assert_eq!(store.commit(vec![commit(run_id(1), 1, 2, 1)]).await, Ok(vec![CommitOutcome::Committed]));
    let answer = Mode::CutAnswer("INSERT INTO event");
    for (round, mode) in (1..).zip([answer, Mode::CutRequest, answer, Mode::CutRequest]) {
        let next = commit(run_id(1), 1, 2 + round, 1);
        let cuts = proxy.cuts();
        proxy.set(mode);
        let lost = store.commit(vec![next.clone()]).await;
        assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
        assert_eq!(proxy.cuts(), cuts + 1, "it was cut on its way");
        let landed = store.events(run_id(1), 3 + round, 1).await.unwrap().len();
        assert_eq!(landed, usize::from(mode == answer), "before it is repeated");
        assert_eq!(store.commit(vec![next]).await, Ok(vec![CommitOutcome::Committed]));
        assert_eq!(store.events(run_id(1), 1, 100).await.unwrap().len() as u64, 3 + round, "it is there once");
    }
}

#[tokio::test]
async fn a_creation_whose_answer_is_lost_is_known_when_it_is_repeated() {
    let server = Server::start(&[]);
    let (store, proxy) = behind_proxy(&server).await;
    store.create(new_run(1)).await.unwrap();
    proxy.set(Mode::CutAnswer("INSERT INTO event"));
    assert!(matches!(store.create(new_run(2)).await, Err(StoreError::Unavailable(_))));
    assert_eq!(proxy.cuts(), 1);
    assert_eq!(store.create(new_run(2)).await, Ok(Creation::Exists(run_id(2))));
}

#[tokio::test]
async fn a_commit_that_arrives_after_its_run_was_taken_over_is_refused() {
    let server = Server::start(&[]);
    let (store, proxy) = behind_proxy(&server).await;
    store.create(new_run(1)).await.unwrap();
    proxy.set(Mode::Hold);
    let mut late = std::pin::pin!(store.commit(vec![commit(run_id(1), 1, 2, 1)]));
    assert!(timeout(Duration::from_millis(200), &mut late).await.is_err(), "it is held on its way");
    // As whoever takes the run over does, by another way.
    let mut other = PgConnection::connect(&server.url()).await.unwrap();
    sqlx::raw_sql("UPDATE run SET epoch = epoch + 1").execute(&mut other).await.unwrap();
    proxy.set(Mode::Open);
    assert_eq!(late.await, Ok(vec![CommitOutcome::Refused]));
    assert_eq!(store.events(run_id(1), 1, 100).await.unwrap().len(), 2);
}

/// A store whose connections go through a proxy; all that it needs once has been asked for before.
async fn behind_proxy(server: &Server) -> (Postgres, Proxy) {
    let proxy = Proxy::start(server.folder().join(".s.PGSQL.5432")).await;
    let address = proxy.url("postgres").parse().unwrap();
    migrate(&address).await.unwrap();
    let store = Postgres::open(&address, OpenMode::Engine).await.unwrap();
    (store, proxy)
}

#[tokio::test]
async fn a_session_that_is_ended_is_replaced() {
    let database = Database::fresh();
    let store = engine(&database).await;
    store.create(new_run(1)).await.unwrap();
    let end = "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for round in 0..3 {
        assert_eq!(store.events(run_id(1), 1, 100).await.unwrap().len() as u64, 2 + round, "a read notices nothing");
        assert_eq!(database.sql(end), "t");
        let next = commit(run_id(1), 1, 2 + round, 1);
        let lost = store.commit(vec![next.clone()]).await;
        assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
        assert_eq!(store.commit(vec![next]).await, Ok(vec![CommitOutcome::Committed]));
    }
}

#[tokio::test]
async fn a_session_that_is_ended_in_mid_commit_leaves_nothing() {
    let database = Database::fresh();
    let store = Arc::new(engine(&database).await);
    store.create(new_run(1)).await.unwrap();
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT * FROM run FOR UPDATE").execute(&mut other).await.unwrap();
    let next = commit(run_id(1), 1, 2, 1);
    let call = tokio::spawn({
        let (store, next) = (store.clone(), next.clone());
        async move { store.commit(vec![next]).await }
    });
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("the commit waits", async || database.sql(end) == "1").await;
    assert!(matches!(call.await.unwrap(), Err(StoreError::Unavailable(_))));
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(store.events(run_id(1), 1, 100).await.unwrap().len(), 2);
    assert_eq!(store.commit(vec![next]).await, Ok(vec![CommitOutcome::Committed]));
}

#[tokio::test]
async fn what_the_server_says_decides_whether_a_commit_is_repeated() {
    let database = Database::fresh();
    let store = engine(&database).await;
    store.create(new_run(1)).await.unwrap();
    database.sql("CREATE TABLE trouble (code TEXT); INSERT INTO trouble VALUES ('40001')");
    database.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE c TEXT; BEGIN
         SELECT code INTO c FROM trouble; IF c <> '' THEN RAISE 'no' USING ERRCODE = c; END IF; RETURN NEW; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    let next = commit(run_id(1), 1, 2, 1);
    let refused = async |code: &str| {
        database.sql(&format!("UPDATE trouble SET code = '{code}'"));
        store.commit(vec![next.clone()]).await.unwrap_err()
    };
    for code in ["40001", "40P01", "08006", "25006", "53100", "53300", "55P03", "57014", "57P01", "58030", "XX000"] {
        let error = refused(code).await;
        assert!(matches!(&error, StoreError::Unavailable(why) if why.contains(code)), "{code}: {error}");
    }
    for code in ["22003", "23514", "P0001"] {
        let error = refused(code).await;
        assert!(matches!(error, StoreError::Permanent(_)), "{code}: {error}");
    }
    assert!(matches!(refused("XX001").await, StoreError::Corrupt(_)));
    database.sql("UPDATE trouble SET code = ''");
    assert_eq!(store.commit(vec![next]).await, Ok(vec![CommitOutcome::Committed]), "none left anything");
}

#[tokio::test]
async fn a_deadlock_with_somebody_else_is_worth_a_repetition() {
    let database = Database::fresh();
    let store = Arc::new(engine(&database).await);
    for n in 1..=2 {
        store.create(new_run(n)).await.unwrap();
    }
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    let lock = |n| sqlx::query("SELECT FROM run WHERE run_id = $1 FOR UPDATE").bind(run_id(n).as_uuid());
    // The other one waits long before it looks for a deadlock, so that the commit is what is given up.
    sqlx::raw_sql("SET deadlock_timeout = '1min'; BEGIN").execute(&mut other).await.unwrap();
    lock(2).execute(&mut other).await.unwrap();
    let commits = vec![commit(run_id(1), 1, 2, 1), commit(run_id(2), 1, 2, 1)];
    let call = tokio::spawn({
        let (store, commits) = (store.clone(), commits.clone());
        async move { store.commit(commits).await }
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    until("the commit waits", async || database.sql(waits) == "1").await;
    lock(1).execute(&mut other).await.unwrap();
    let given_up = call.await.unwrap();
    assert!(matches!(&given_up, Err(StoreError::Unavailable(why)) if why.contains("40P01")), "{given_up:?}");
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(store.commit(commits).await, Ok(vec![CommitOutcome::Committed; 2]));
}

#[tokio::test]
async fn a_server_that_begins_to_only_read_loses_nothing() {
    let database = Database::fresh();
    let store = engine(&database).await;
    store.create(new_run(1)).await.unwrap();
    let name = database.sql("SELECT current_database()");
    let next = commit(run_id(1), 1, 2, 1);
    database.sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    // Sessions that exist keep what they had; new ones only read.
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()
               AND pid <> pg_backend_pid()";
    database.sql(end);
    assert!(matches!(store.commit(vec![next.clone()]).await, Err(StoreError::Unavailable(_))));
    let refused = store.commit(vec![next.clone()]).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable(why)) if why.contains("25006")), "{refused:?}");
    assert_eq!(store.events(run_id(1), 1, 10).await.unwrap().len(), 2, "it can be read");
    database.sql(&format!("SET transaction_read_only = off; ALTER DATABASE {name} RESET ALL"));
    assert_eq!(store.commit(vec![next]).await, Ok(vec![CommitOutcome::Committed]), "without a restart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_given_up_leave_nothing_half_done() {
    let database = Database::fresh();
    let store = Arc::new(engine(&database).await);
    for n in 0..2 * RUNS {
        store.create(new_run(n)).await.unwrap();
    }
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..RUNS {
        let store = store.clone();
        callers.spawn(async move {
            let (mut last, mut answered) = (2, 0);
            for call in 0..500 {
                // As many microseconds as a call may take, and more.
                let moment = Duration::from_micros((caller * 7_919 + call * 104_729) % 4_000);
                let run = run_id(RUNS + caller);
                let done = match call % 10 {
                    0 => timeout(moment, store.create(new_run(100 + caller * 500 + call))).await.is_ok(),
                    1 => timeout(moment, store.claim(run, READS)).await.is_ok(),
                    2 => timeout(moment, store.events(run_id(caller), 1, 10)).await.is_ok(),
                    3 => timeout(moment, store.save_snapshot(run_id(caller), snapshot())).await.is_ok(),
                    _ => {
                        let next = commit(run_id(caller), 1, last, 2);
                        let outcome = timeout(moment, store.commit(vec![next])).await;
                        if outcome == Ok(Ok(vec![CommitOutcome::Committed])) {
                            last += 2;
                        } else {
                            // What was given up may have been done, or is done later.
                            last += store.events(run_id(caller), last + 1, 100).await.unwrap().len() as u64;
                        }
                        outcome.is_ok()
                    }
                };
                answered += u64::from(done);
            }
            answered
        });
    }
    let answered: u64 = callers.join_all().await.into_iter().sum();
    assert!((1..RUNS * 500).contains(&answered), "{answered} of {} calls were answered", RUNS * 500);
    let in_transaction =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    assert_eq!(database.sql(in_transaction), "0");
    for n in 0..RUNS {
        let claim = store.claim(run_id(n), READS).await.unwrap().claimed().unwrap();
        assert_eq!(store.events(run_id(n), 1, 10_000).await.unwrap().len() as u64, claim.last_seq);
        assert_eq!(claim.last_seq % 2, 0, "half a commit");
        let next = commit(run_id(n), claim.epoch, claim.last_seq, 1);
        assert_eq!(store.commit(vec![next]).await, Ok(vec![CommitOutcome::Committed]));
    }
}

fn snapshot() -> Snapshot {
    Snapshot { seq: 2, schema: 1, blob: Bytes::from_static(b"\0\0\0{}") }
}

#[tokio::test]
async fn whatever_the_database_says_sessions_see_each_others_commits() {
    let database = Database::fresh();
    let name = database.sql("SELECT current_database()");
    database.sql(&format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"));
    let store = Arc::new(engine(&database).await);
    store.create(new_run(1)).await.unwrap();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        callers.spawn(async move { store.claim(run_id(1), READS).await.unwrap().claimed().unwrap().epoch });
    }
    let mut epochs = callers.join_all().await;
    epochs.sort_unstable();
    assert_eq!(epochs, (2..10).collect::<Vec<_>>());
}
