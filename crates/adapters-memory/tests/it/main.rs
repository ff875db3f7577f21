//! The ports in memory keep their contracts.

mod fleet;

use tutti_adapters_memory::MemoryStore;
use tutti_testkit::conformance::{inbox, retention, store};

tutti_testkit::store_conformance!(|| async { store::Subject::new(MemoryStore::new()) });

tutti_testkit::inbox_conformance!(|| async { inbox::Subject::new(MemoryStore::new()) });

tutti_testkit::retention_conformance!(|| async { retention::Subject::new(MemoryStore::new()) });
