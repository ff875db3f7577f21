//! The store on SQLite keeps the contract of stores.

use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_testkit::conformance::store::Subject;

tutti_testkit::store_conformance!(|| async {
    let folder = tempfile::tempdir().unwrap();
    Subject::new(Sqlite::open(folder.path().join("tutti.db"), OpenMode::Engine).unwrap()).keeping(folder)
});
