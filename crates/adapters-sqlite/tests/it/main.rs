//! The store on SQLite: the contract of stores, and what only a file has.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash;
mod differential;
mod durable;
mod engines;
mod history;
mod refusals;
mod sweep;
mod upgrade;

use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_testkit::conformance::store::Subject;

tutti_testkit::store_conformance!(|| async {
    let folder = tempfile::tempdir().unwrap();
    Subject::new(Sqlite::open(folder.path().join("tutti.db"), OpenMode::Engine).unwrap()).keeping(folder)
});
