//! Documents that are kept by name.

use bytes::Bytes;
use tutti_core::ids::Namespace;
use tutti_core::limits::{MAX_RECORD_BYTES, MAX_RECORD_NAME};
use tutti_core::ports::records::{ListRecords, Put, Record, RecordKey, RecordKind};
use tutti_core::ports::store::StoreError;

use super::Subject;

/// In no order; their bytes sort unlike their letters, their characters in UTF-16, and patterns of SQL.
const NAMES: [&str; 16] = [
    "b",
    "B",
    "a",
    "a/1",
    "a/10",
    "a/2",
    "a\0",
    "a b",
    "%",
    "_",
    "'; --",
    "é",
    "e\u{301}",
    "\u{ffff}",
    "\u{1f3bc}",
    "",
];

pub async fn a_document_is_given_back(store: Subject) {
    assert_eq!(store.records.get(&key("a")).await, Ok(None));
    for (name, blob) in [
        ("empty", Bytes::new()),
        ("plain", Bytes::from_static(b"{}")),
        ("every byte", (0..=255).cycle().take(70_000).collect()),
    ] {
        let new = record(name, 0, blob);
        assert_eq!(store.records.put(new.clone()).await, Ok(Put::Stored(1)));
        assert_eq!(store.records.get(&new.key).await, Ok(Some(Record { revision: 1, ..new })));
    }
}

pub async fn a_document_is_replaced_by_its_revision_only(store: Subject) {
    assert_eq!(put(&store, 1, "never").await, Put::Conflict(None), "there is none to replace");
    assert_eq!(put(&store, 0, "one").await, Put::Stored(1));
    assert_eq!(put(&store, 1, "two").await, Put::Stored(2));
    let current = record("a", 2, Bytes::from_static(b"two"));
    for stale in [0, 1, 3, u64::MAX] {
        assert_eq!(put(&store, stale, "never").await, Put::Conflict(Some(current.clone())), "in place of {stale}");
        assert_eq!(store.records.get(&key("a")).await, Ok(Some(current.clone())));
    }
    assert_eq!(put(&store, 2, "three").await, Put::Stored(3));
}

pub async fn a_document_is_deleted_by_its_revision_only(store: Subject) {
    assert_eq!(store.records.delete(&key("a"), 0).await, Ok(false), "there is none");
    put(&store, 0, "one").await;
    put(&store, 1, "two").await;
    for wrong in [0, 1, 3, u64::MAX] {
        assert_eq!(store.records.delete(&key("a"), wrong).await, Ok(false), "of revision {wrong}");
    }
    assert!(store.records.get(&key("a")).await.unwrap().is_some());
    assert_eq!(store.records.delete(&key("a"), 2).await, Ok(true));
    assert_eq!(store.records.get(&key("a")).await, Ok(None));
    assert_eq!(store.records.delete(&key("a"), 2).await, Ok(false), "it has gone");
    assert_eq!(put(&store, 2, "never").await, Put::Conflict(None));
    assert_eq!(put(&store, 0, "again").await, Put::Stored(1));
}

pub async fn kinds_and_namespaces_of_documents_are_apart(store: Subject) {
    let keys = || {
        RecordKind::ALL.iter().flat_map(|kind| {
            ["one", "two"].map(|namespace| RecordKey {
                kind: *kind,
                namespace: namespace.parse().unwrap(),
                name: "same".to_owned(),
            })
        })
    };
    for key in keys() {
        let blob = Bytes::from(format!("{key:?}"));
        assert_eq!(store.records.put(Record { key, revision: 0, blob }).await, Ok(Put::Stored(1)));
    }
    for key in keys() {
        let kept = Record { blob: Bytes::from(format!("{key:?}")), key: key.clone(), revision: 1 };
        assert_eq!(store.records.get(&key).await, Ok(Some(kept.clone())));
        let all = ListRecords { kind: key.kind, namespace: key.namespace.clone(), ..listing() };
        assert_eq!(store.records.list(all).await, Ok(vec![kept]));
    }
    let gone = keys().next().unwrap();
    assert_eq!(store.records.delete(&gone, 1).await, Ok(true));
    for key in keys().skip(1) {
        assert!(store.records.get(&key).await.unwrap().is_some(), "{key:?}");
    }
}

pub async fn documents_are_listed_by_the_bytes_of_their_names(store: Subject) {
    fill(&store).await;
    let all = store.records.list(listing()).await.unwrap();
    let mut sorted = NAMES;
    sorted.sort_by_key(|name| name.as_bytes());
    assert_eq!(names(&all), sorted);
    for found in all {
        assert_eq!(store.records.get(&found.key).await, Ok(Some(found)));
    }
}

pub async fn documents_are_listed_from_a_name_on(store: Subject) {
    fill(&store).await;
    let mut sorted = NAMES;
    sorted.sort_by_key(|name| name.as_bytes());
    for prefix in ["", "a", "a/", "a/1", "A", "%", "_", "z", "\u{1f3bc}", "\u{d7ff}", "\u{10ffff}"] {
        for after in [None, Some(""), Some("a"), Some("a/1"), Some("a/11"), Some("\u{1f3bc}"), Some("\u{10ffff}")] {
            for limit in [0, 1, 3, usize::MAX] {
                let (begin, after_name) = (prefix.to_owned(), after.map(str::to_owned));
                let query = ListRecords { prefix: begin, after: after_name, limit, ..listing() };
                let found = store.records.list(query).await.unwrap();
                let wanted = sorted.iter().filter(|name| name.starts_with(prefix) && after.is_none_or(|a| **name > a));
                let expected: Vec<&str> = wanted.take(limit).copied().collect();
                assert_eq!(names(&found), expected, "{prefix:?} after {after:?}, at most {limit}");
            }
        }
    }
}

pub async fn a_document_has_its_greatest_size(store: Subject) {
    for (name, size) in [("n".repeat(MAX_RECORD_NAME + 1), 1), ("é".repeat(MAX_RECORD_NAME / 2) + "n", 1)] {
        let refused = store.records.put(record(&name, 0, Bytes::from(vec![0; size]))).await;
        assert!(matches!(refused, Err(StoreError::Permanent(_))), "{refused:?}");
    }
    let refused = store.records.put(record("large", 0, Bytes::from(vec![0; MAX_RECORD_BYTES + 1]))).await;
    assert!(matches!(refused, Err(StoreError::Permanent(_))), "{refused:?}");
    assert_eq!(store.records.list(listing()).await, Ok(Vec::new()));
    let greatest = record(&"é".repeat(MAX_RECORD_NAME / 2), 0, Bytes::from(vec![7; MAX_RECORD_BYTES]));
    assert_eq!(store.records.put(greatest.clone()).await, Ok(Put::Stored(1)));
    assert_eq!(store.records.get(&greatest.key).await, Ok(Some(Record { revision: 1, ..greatest })));
}

/// A document of a name in the default namespace.
pub(super) fn record(name: &str, revision: u64, blob: Bytes) -> Record {
    Record { key: key(name), revision, blob }
}

/// The key of a document in the default namespace.
pub(super) fn key(name: &str) -> RecordKey {
    RecordKey { kind: RecordKind::Workflow, namespace: Namespace::default(), name: name.to_owned() }
}

fn listing() -> ListRecords {
    ListRecords {
        kind: RecordKind::Workflow,
        namespace: Namespace::default(),
        prefix: String::new(),
        after: None,
        limit: usize::MAX,
    }
}

async fn put(store: &Subject, revision: u64, text: &'static str) -> Put {
    store.records.put(record("a", revision, Bytes::from_static(text.as_bytes()))).await.unwrap()
}

async fn fill(store: &Subject) {
    for name in NAMES {
        let put = store.records.put(record(name, 0, Bytes::from(name.as_bytes().to_vec()))).await;
        assert_eq!(put, Ok(Put::Stored(1)), "{name:?}");
    }
}

fn names(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.key.name.as_str()).collect()
}
