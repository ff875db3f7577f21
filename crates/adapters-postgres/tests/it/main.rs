//! The store on PostgreSQL: the contract of stores, and what only a database has.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash;
mod differential;
mod disk;
mod durable;
mod engines;
mod failover;
mod faults;
mod fleet;
mod history;
mod inbox;
mod refusals;
mod retention;
mod silence;
mod sweep;

use std::time::{Duration, Instant};

use tutti_adapters_postgres::{Address, OpenMode, Postgres, migrate};
use tutti_testkit::conformance::store::Subject;
use tutti_testkit::postgres::Database;

tutti_testkit::store_conformance!(|| async {
    let database = Database::fresh();
    Subject::new(engine(&database).await).keeping(database)
});

/// An engine's store on a database, whose tables are made if they are missing.
async fn engine(database: &Database) -> Postgres {
    let address = address(database);
    migrate(&address).await.unwrap();
    Postgres::open(&address, OpenMode::Engine).await.unwrap()
}

fn address(database: &Database) -> Address {
    database.url().parse().unwrap()
}

/// Asks until it is so.
async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !so().await {
        assert!(Instant::now() < deadline, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
