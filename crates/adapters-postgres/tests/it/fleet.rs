//! The contract of fleets, and what only a database has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::{Connection as _, PgConnection};
use tutti_adapters_postgres::{OpenMode, Postgres};
use tutti_core::limits::SLOTS;
use tutti_core::ports::fleet::{Fleet as _, Member, Standing};
use tutti_core::ports::store::{CommitOutcome, RunStore as _, StoreError};
use tutti_core::run::FORMAT;
use tutti_testkit::conformance::fleet::{Subject, Time};
use tutti_testkit::given::{READS, commit, new_run, run_id};
use tutti_testkit::postgres::Database;
use tutti_testkit::proxy::{Mode, Proxy};

use crate::inbox::servers;
use crate::{address, engine, until};

tutti_testkit::fleet_conformance!(|| async {
    let database = Arc::new(Database::fresh());
    Subject::new(engine(&database).await, Earlier(database.clone())).keeping(database)
});

/// Makes leases end earlier.
struct Earlier(Arc<Database>);

#[async_trait]
impl Time for Earlier {
    async fn pass(&self, span: Duration) {
        let micros = span.as_micros();
        self.0.sql(&format!("UPDATE server SET lease_until = lease_until - {micros} * INTERVAL '1 microsecond'"));
    }
}

const LEASE: Duration = Duration::from_secs(600);
const WAITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";

#[tokio::test]
async fn a_server_that_takes_over_refuses_the_late_one() {
    let database = Database::fresh();
    let [old, new] = servers(&database).await;
    let one = join(&old, "a", Duration::from_millis(1)).await;
    let other = join(&new, "b", LEASE).await;
    database.sql("UPDATE slot SET server = 'a'");
    old.create(new_run(1)).await.unwrap();
    until("the lease is over", async || new.take(&other, SLOTS.into()).await.unwrap().contains(&run_id(1).slot()))
        .await;

    // What the late owner sends before the run is claimed is an ordinary commit.
    assert_eq!(old.commit(vec![commit(run_id(1), 1, 2, 1)]).await, Ok(vec![CommitOutcome::Committed]));
    assert_eq!(new.claim(run_id(1), READS).await.unwrap().claimed().unwrap().epoch, 2);
    assert_eq!(old.commit(vec![commit(run_id(1), 1, 3, 1)]).await, Ok(vec![CommitOutcome::Refused]));
    assert_eq!(slots(old.renew(&one).await), BTreeSet::new());
    assert_eq!(new.commit(vec![commit(run_id(1), 2, 3, 1)]).await, Ok(vec![CommitOutcome::Committed]));
}

/// Whoever renews while his slots are being taken is told what is left.
#[tokio::test]
async fn a_renewal_waits_for_who_takes_its_slots() {
    let database = Database::fresh();
    let [one, other] = servers(&database).await;
    let (late, taker) = (join(&one, "a", LEASE).await, join(&other, "b", LEASE).await);
    assert_eq!(one.take(&late, 10).await.unwrap().len(), 10);
    database.sql("UPDATE server SET lease_until = now() WHERE id = 'a'");
    // What stops the other one after it has locked all that it needs.
    database.sql(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END $$;
         CREATE TRIGGER wait BEFORE UPDATE ON slot FOR EACH ROW EXECUTE FUNCTION wait()",
    );
    let mut gate = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("SELECT pg_advisory_lock(7)").execute(&mut gate).await.unwrap();
    let taking = tokio::spawn(async move { other.take(&taker, SLOTS.into()).await.unwrap() });
    until("it takes", async || database.sql(WAITING) == "1").await;
    let renewing = tokio::spawn(async move { slots(one.renew(&late).await) });
    until("it renews", async || database.sql(WAITING) == "2").await;
    sqlx::raw_sql("SELECT pg_advisory_unlock(7)").execute(&mut gate).await.unwrap();
    let taken = taking.await.unwrap();
    assert_eq!(taken.len(), usize::from(SLOTS));
    assert_eq!(renewing.await.unwrap(), BTreeSet::new(), "none of what the other one has");
}

/// Servers whose leases end all the time take from each other, and nobody is told to hold what another was told to hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_slot_has_two_holders_while_leases_end() {
    const SERVERS: usize = 4;
    let database = Database::fresh();
    let [a, b] = servers(&database).await;
    let stores = [Arc::new(a), Arc::new(b)];
    // Each says from when to when it certainly holds what: from the end of a renewal to the end of the lease as begun before.
    let mut all = tokio::task::JoinSet::new();
    for n in 0..SERVERS {
        let store = stores[n % 2].clone();
        all.spawn(async move {
            let lease = Duration::from_millis(30);
            let member = join(&store, &format!("s{n}"), lease).await;
            let mut held = Vec::new();
            for round in 0..60 {
                let begun = Instant::now();
                let slots = slots(store.renew(&member).await);
                let ended = Instant::now();
                if begun + lease > ended {
                    held.push((ended, begun + lease, slots));
                }
                let _ = store.take(&member, 400).await;
                // Every other one is late now and then.
                let late = if round % 7 == n { lease * 2 } else { lease / 6 };
                let _ = tokio::time::timeout(late, std::future::pending::<()>()).await;
            }
            held
        });
    }
    let held = all.join_all().await;
    let mut pairs = 0;
    for (n, one) in held.iter().enumerate() {
        for (from, to, slots) in one {
            for (from2, to2, slots2) in held.iter().skip(n + 1).flatten().filter(|(a, b, _)| a < to && from < b) {
                pairs += 1;
                let both: Vec<_> = slots.intersection(slots2).collect();
                assert!(both.is_empty(), "{both:?} at once in {from:?}..{to:?} and {from2:?}..{to2:?}");
            }
        }
    }
    let moved = held.iter().flatten().map(|(_, _, slots)| slots.len()).collect::<BTreeSet<_>>();
    assert!(pairs > 50 && moved.len() > 3, "{pairs} pairs, {moved:?}: nothing was tried");
}

#[tokio::test]
async fn a_renewal_whose_session_is_ended_is_made_again() {
    let database = Database::fresh();
    let store = Arc::new(engine(&database).await);
    let member = join(&store, "a", LEASE).await;
    let taken = store.take(&member, 10).await.unwrap();
    store.renew(&member).await.unwrap();
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT * FROM server FOR SHARE").execute(&mut other).await.unwrap();
    let renewing = tokio::spawn({
        let (store, member) = (store.clone(), member.clone());
        async move { store.renew(&member).await }
    });
    let end = WAITING.replace("count(*)", "count(pg_terminate_backend(pid))");
    until("it waits", async || database.sql(&end) == "1").await;
    until("it is tried again", async || database.sql(WAITING) == "1").await;
    database.sql("UPDATE slot SET server = NULL WHERE slot = (SELECT min(slot) FROM slot WHERE server = 'a')");
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    let left: BTreeSet<u16> = taken.into_iter().skip(1).collect();
    let held = renewing.await.unwrap();
    assert!(
        matches!(&held, Ok(Standing::Holds { slots, servers: 1, reads: FORMAT, .. }) if *slots == left),
        "{held:?}"
    );
}

/// All connections wait for a run, and a renewal waits for nothing.
#[tokio::test]
async fn a_store_that_is_busy_renews_its_lease() {
    const CALLS: usize = 40;
    let database = Database::fresh();
    let store = Arc::new(engine(&database).await);
    store.create(new_run(1)).await.unwrap();
    let member = join(&store, "a", LEASE).await;
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT * FROM run FOR UPDATE; LOCK TABLE event").execute(&mut other).await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..CALLS {
        let store = store.clone();
        calls.spawn(async move { store.claim(run_id(1), READS).await });
    }
    until("all wait", async || database.sql(WAITING) == "12").await;
    assert_eq!(store.take(&member, 10).await.unwrap().len(), 10);
    assert_eq!(slots(store.renew(&member).await).len(), 10);
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert!(calls.join_all().await.iter().all(Result::is_ok));
}

/// Somebody who waits to take does not hold up who renews.
#[tokio::test]
async fn a_renewal_does_not_wait_for_other_calls_of_its_server() {
    let database = Database::fresh();
    let store = Arc::new(engine(&database).await);
    let member = join(&store, "a", LEASE).await;
    let mine = store.take(&member, 10).await.unwrap();
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT * FROM slot FOR UPDATE").execute(&mut other).await.unwrap();
    assert_eq!(store.take(&member, 10).await, Ok(BTreeSet::new()), "what is locked is passed over");
    let giving = tokio::spawn({
        let (store, member, mine) = (store.clone(), member.clone(), mine.clone());
        async move { store.give_up(&member, &mine).await }
    });
    until("it waits", async || database.sql(WAITING) == "1").await;
    // It holds the server's row only in the way that others may read it.
    let renewing = store.renew(&member);
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    renewing.await.unwrap();
    assert_eq!(giving.await.unwrap(), Ok(()));
    assert_eq!(slots(store.renew(&member).await), BTreeSet::new());
}

#[tokio::test]
async fn a_way_that_is_gone_is_noticed_within_a_lease() {
    let database = Database::fresh();
    drop(engine(&database).await);
    let socket = database.sql("SELECT current_setting('unix_socket_directories')");
    if socket.is_empty() || std::env::var(tutti_testkit::postgres::URL_VARIABLE).is_ok_and(|url| !url.is_empty()) {
        return;
    }
    let proxy = Proxy::start(std::path::Path::new(&socket).join(".s.PGSQL.5432")).await;
    let url = proxy.url(&database.sql("SELECT current_database()"));
    let store = Postgres::open(&url.parse().unwrap(), OpenMode::Server).await.unwrap();
    let member = join(&store, "a", Duration::from_secs(10)).await;
    let begun = Instant::now();
    proxy.set(Mode::Lose);
    assert!(matches!(store.renew(&member).await, Err(StoreError::Unavailable(_))));
    assert!(begun.elapsed() < member.lease * 2 / 3, "after {:?}", begun.elapsed());
    proxy.set(Mode::Open);
    until("it is renewed again", async || store.renew(&member).await.is_ok()).await;
}

#[tokio::test]
async fn servers_that_did_not_come_back_are_forgotten() {
    let database = Database::fresh();
    let store = engine(&database).await;
    let mut members = Vec::new();
    for name in ["gone", "left", "holds", "new"] {
        members.push(join(&store, name, LEASE).await);
    }
    store.take(&members[2], 10).await.unwrap();
    store.leave(&members[1]).await.unwrap();
    database.sql("UPDATE server SET lease_until = lease_until - INTERVAL '8 days' WHERE id <> 'new'");
    join(&store, "a", LEASE).await;
    assert_eq!(database.sql("SELECT string_agg(id, ' ' ORDER BY id) FROM server"), "a holds new");
    assert_eq!(store.renew(&members[0]).await, Ok(Standing::Unknown), "it may join again");
    assert_eq!(slots(store.renew(&members[2]).await).len(), 10, "who still has slots may come back");
}

#[tokio::test]
async fn a_reader_takes_no_part() {
    let database = Database::fresh();
    drop(engine(&database).await);
    let reader = Postgres::open(&address(&database), OpenMode::ReadOnly).await.unwrap();
    assert!(matches!(reader.join(&"a".parse().unwrap(), LEASE, FORMAT).await, Err(StoreError::Permanent(_))));
}

#[tokio::test]
async fn servers_share_a_database_that_no_engine_has_for_itself() {
    let database = Database::fresh();
    let [one, other] = servers(&database).await;
    let open = async |mode| Postgres::open(&address(&database), mode).await;
    assert!(matches!(open(OpenMode::Engine).await, Err(StoreError::InUse(_))));
    drop(one);
    assert!(matches!(open(OpenMode::Engine).await, Err(StoreError::InUse(_))));
    drop(other);
    let engine = open(OpenMode::Engine).await.unwrap();
    assert!(matches!(open(OpenMode::Server).await, Err(StoreError::InUse(_))));
    drop(engine);
    open(OpenMode::Server).await.unwrap();
}

/// Every way to change who has what.
pub async fn use_fleet(store: &Postgres) {
    let member = join(store, "a", LEASE).await;
    let taken = store.take(&member, 10).await.unwrap();
    assert_eq!(slots(store.renew(&member).await), taken);
    store.give_up(&member, &taken.into_iter().take(5).collect()).await.unwrap();
    assert_eq!(slots(store.renew(&member).await).len(), 5);
    store.leave(&member).await.unwrap();
    assert_eq!(store.renew(&member).await, Ok(Standing::Replaced));
}

async fn join(store: &Postgres, server: &str, lease: Duration) -> Member {
    store.join(&server.parse().unwrap(), lease, FORMAT).await.unwrap()
}

fn slots(standing: Result<Standing, StoreError>) -> BTreeSet<u16> {
    match standing.unwrap() {
        Standing::Holds { slots, .. } => slots,
        standing => panic!("{standing:?}"),
    }
}
