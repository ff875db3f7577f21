//! The store on PostgreSQL answers as the one in memory does.

use std::sync::Arc;

use tutti_adapters_memory::MemoryStore;
use tutti_testkit::conformance::differential;
use tutti_testkit::postgres::Database;
use tutti_testkit::stores::Stores;

use crate::engine;

#[test]
fn it_answers_as_the_store_in_memory() {
    differential(async || {
        let database = Database::fresh();
        let tables = engine(&database).await;
        (database, [Stores::of(Arc::new(MemoryStore::new())), Stores::of(Arc::new(tables))])
    });
}
