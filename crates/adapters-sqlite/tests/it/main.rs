//! The store on SQLite: the contract of stores, and what only a file has.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod beside;
mod crash;
mod differential;
mod disk;
mod durable;
mod engines;
mod history;
mod refusals;
mod retention;
mod sweep;
mod upgrade;

use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_testkit::conformance::{inbox, store};

tutti_testkit::store_conformance!(|| async {
    let (folder, store) = fresh();
    store::Subject::new(store).keeping(folder)
});

tutti_testkit::inbox_conformance!(|| async {
    let (folder, store) = fresh();
    inbox::Subject::new(store).keeping(folder)
});

/// An engine's store on a new file.
fn fresh() -> (tempfile::TempDir, Sqlite) {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path().join("tutti.db"), OpenMode::Engine).unwrap();
    (folder, store)
}
