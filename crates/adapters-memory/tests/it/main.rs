//! The store in memory keeps the contract of stores.

use tutti_adapters_memory::MemoryStore;
use tutti_testkit::conformance::store::Subject;

tutti_testkit::store_conformance!(|| async { Subject::new(MemoryStore::new()) });
