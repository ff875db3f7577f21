//! The ports in memory keep their contracts.

mod fleet;

use tutti_adapters_memory::MemoryStore;
use tutti_testkit::conformance::{inbox, store};

tutti_testkit::store_conformance!(|| async { store::Subject::new(MemoryStore::new()) });

tutti_testkit::inbox_conformance!(|| async { inbox::Subject::new(MemoryStore::new()) });
