//! The store on SQLite answers as the one in memory does.

use std::collections::BTreeMap;
use std::sync::Arc;

use tutti_adapters_memory::MemoryStore;
use tutti_adapters_sqlite::{OpenMode, Sqlite};
use tutti_testkit::conformance::differential;
use tutti_testkit::stores::Stores;

#[test]
fn it_answers_as_the_store_in_memory() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..50 {
        let folder = tempfile::tempdir().unwrap();
        let file = Sqlite::open(folder.path().join("tutti.db"), OpenMode::Engine).unwrap();
        let (one, other) = (Stores::of(Arc::new(MemoryStore::new())), Stores::of(Arc::new(file)));
        for (answer, count) in runtime.block_on(differential(&one, &other, seed, 200)) {
            *seen.entry(answer).or_default() += count;
        }
    }
    let all = [
        "Create ok",
        "Create exists",
        "Create key held",
        "Create permanent",
        "Commit ok",
        "Commit refused",
        "Commit permanent",
        "Commit nothing",
        "Claim ok",
        "Claim nothing",
        "Due ok",
        "Due nothing",
        "SaveSnapshot ok",
        "SaveSnapshot permanent",
        "Snapshot ok",
        "Snapshot nothing",
        "Put ok",
        "Get ok",
        "Get nothing",
        "List ok",
        "List nothing",
        "List bad cursor",
        "Find ok",
        "Find nothing",
        "FindByPrefix ok",
        "FindByPrefix nothing",
        "Events ok",
        "Events nothing",
        "Definition ok",
        "Definition nothing",
        "Count ok",
        "Count nothing",
        "PutRecord ok",
        "PutRecord conflict",
        "GetRecord ok",
        "GetRecord nothing",
        "ListRecords ok",
        "ListRecords nothing",
        "DeleteRecord ok",
        "DeleteRecord nothing",
        "Post ok",
        "Post permanent",
        "Pending ok",
        "Pending nothing",
        "Outcome ok",
        "Outcome nothing",
        "ForgetOutcomes ok",
        "ForgetOutcomes nothing",
    ];
    for answer in all {
        assert!(seen.contains_key(answer), "no operation was answered \"{answer}\": {seen:?}");
    }
}
