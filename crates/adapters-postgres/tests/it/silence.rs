//! Calls that are not answered: the way is gone without a word, statements take long, and all connections are busy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tutti_adapters_postgres::{OpenMode, Postgres, migrate};
use tutti_core::ids::Namespace;
use tutti_core::ports::fleet::{Fleet as _, Standing};
use tutti_core::ports::query::RunQuery as _;
use tutti_core::ports::store::{Commit, CommitOutcome, RunStore as _, StoreError};
use tutti_testkit::given::{READS, commit, new_run, run_id};
use tutti_testkit::postgres::{Database, Server};
use tutti_testkit::proxy::{Mode, Proxy};

use crate::{address, until};

/// How soon a way that is gone must be noticed.
const NOTICED: Duration = Duration::from_secs(10);

const WAITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_is_gone_is_noticed_and_what_was_on_it_changes_nothing_when_it_lands_late() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.folder().join(".s.PGSQL.5432")).await;
    let behind = proxy.url("postgres").parse().unwrap();
    migrate(&behind).await.unwrap();
    let old = Arc::new(Postgres::open(&behind, OpenMode::Server).await.unwrap());
    let new = Postgres::open(&server.url().parse().unwrap(), OpenMode::Server).await.unwrap();
    let mut lock = PgConnection::connect(&server.url()).await.unwrap();
    let begin = |next: &Commit| {
        let (old, next) = (old.clone(), next.clone());
        tokio::spawn(async move { old.commit(vec![next]).await })
    };
    for n in 1..=2 {
        old.create(new_run(n)).await.unwrap();
    }
    // Two connections, both of which know the statement: what is on its way afterwards is that, not its preparation.
    sqlx::raw_sql("BEGIN; SELECT FROM run FOR UPDATE").execute(&mut lock).await.unwrap();
    let commits = [1, 2].map(|n| begin(&commit(run_id(n), 1, 2, 1)));
    until("both are under way", async || server.sql(WAITING).unwrap() == "2").await;
    sqlx::raw_sql("COMMIT").execute(&mut lock).await.unwrap();
    for commit in commits {
        assert_eq!(commit.await.unwrap(), Ok(vec![CommitOutcome::Committed]));
    }
    old.events(run_id(1), 1, 10).await.unwrap();

    proxy.set(Mode::Hold);
    let began = Instant::now();
    let [first, second] = [1, 2].map(|n| commit(run_id(n), 1, 3, 1));
    let commits = [&first, &second].map(begin);
    let read = old.events(run_id(1), 1, 10).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    for commit in commits {
        let lost = commit.await.unwrap();
        assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    }
    assert!(began.elapsed() < NOTICED, "after {:?}", began.elapsed());

    // Another server takes one of the runs over. Both commits wait for a lock when they land, so that it is seen.
    let epoch = new.claim(run_id(2), READS).await.unwrap().claimed().unwrap().epoch;
    let theirs = commit(run_id(2), epoch, 3, 1);
    assert_eq!(new.commit(vec![theirs]).await, Ok(vec![CommitOutcome::Committed]));
    sqlx::raw_sql("BEGIN; SELECT FROM run FOR UPDATE").execute(&mut lock).await.unwrap();
    proxy.set(Mode::Open);
    until("both land", async || server.sql(WAITING).unwrap() == "2").await;
    sqlx::raw_sql("COMMIT").execute(&mut lock).await.unwrap();
    until("both are done", async || new.events(run_id(1), 4, 1).await.unwrap().len() == 1).await;
    assert_eq!(old.commit(vec![first]).await, Ok(vec![CommitOutcome::Committed]), "it is known as applied");
    assert_eq!(old.commit(vec![second]).await, Ok(vec![CommitOutcome::Refused]), "another server has the run");
    for (n, epochs) in [(1, [1, 1, 1, 1]), (2, [1, 1, 1, 2])] {
        let history = new.events(run_id(n), 1, 10).await.unwrap();
        assert_eq!(history.iter().map(|stored| stored.epoch).collect::<Vec<_>>(), epochs);
    }
}

/// Each statement takes so long that not all calls get their turn in time.
const SLOW: &str = "CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep(3); RETURN NULL; END $$;
    CREATE TRIGGER take_long AFTER INSERT ON event FOR EACH STATEMENT EXECUTE FUNCTION take_long()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_connections_are_busy_calls_are_refused_and_leases_renewed() {
    let database = Database::fresh();
    migrate(&address(&database)).await.unwrap();
    let store = Arc::new(Postgres::open(&address(&database), OpenMode::Server).await.unwrap());
    let member = store.join(&"a".parse().unwrap(), Duration::from_secs(10), READS.reads).await.unwrap();
    for n in 0..40 {
        store.create(new_run(n)).await.unwrap();
    }
    database.sql(SLOW);
    let began = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..40 {
        let store = store.clone();
        calls.spawn(async move { (n, store.commit(vec![commit(run_id(n), 1, 2, 1)]).await) });
    }
    let mut refused = 0;
    while !calls.is_empty() {
        let asked = Instant::now();
        assert!(matches!(store.renew(&member).await, Ok(Standing::Holds { .. })));
        assert_eq!(store.find(&Namespace::default(), run_id(1)).await.unwrap().unwrap().run, run_id(1));
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
        while let Some(call) = calls.try_join_next() {
            let (n, answer) = call.unwrap();
            let history = store.events(run_id(n), 1, 10).await.unwrap();
            match answer {
                Ok(outcomes) => assert_eq!((outcomes[0], history.len()), (CommitOutcome::Committed, 3)),
                Err(StoreError::Unavailable(why)) => {
                    assert!(why.contains("busy") && history.len() == 2, "{why}");
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!((1..40).contains(&refused), "{refused} were refused");
    assert!(began.elapsed() < Duration::from_secs(12), "all were answered: {:?}", began.elapsed());
}
