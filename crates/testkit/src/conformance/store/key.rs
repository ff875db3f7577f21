//! Keys: the callers' names for what runs are to achieve.

use bytes::Bytes;
use tutti_core::ids::RunId;
use tutti_core::ports::store::{ClaimOutcome, Creation, KeyClaim, NewRun, StoreError};
use tutti_core::value::Digest;

use super::Subject;
use crate::given::{READS, new_run, run_id};

pub async fn a_key_that_is_held_creates_nothing(store: Subject) {
    let first = store.create(claiming(1, None)).await;
    let body = Bytes::from_static(b"a workflow of its own");
    let hash = Digest::of(&body);
    for from in [None, Some(run_id(2)), Some(run_id(7))] {
        let mut second = claiming(2, from);
        second.definition = (hash, body.clone());
        second.summary.definition = hash;
        assert_eq!(store.runs.create(second.clone()).await, Ok(Creation::KeyHeld(first)), "taken from {from:?}");
        assert_eq!(store.query.find(&second.namespace, second.run).await, Ok(None));
        assert!(store.history(second.run).await.is_empty());
        assert_eq!(store.query.definition(hash).await, Ok(None));
        assert_eq!(store.runs.claim(second.run, READS).await, Ok(ClaimOutcome::NotFound));
    }
    // Neither the id nor the request was used.
    store.create(NewRun { key: None, ..claiming(2, None) }).await;
}

pub async fn a_key_is_taken_from_the_run_that_has_it(store: Subject) {
    let first = store.create(claiming(1, None)).await;
    let second = store.create(claiming(2, Some(first))).await;
    for from in [None, Some(first)] {
        assert_eq!(store.runs.create(claiming(3, from)).await, Ok(Creation::KeyHeld(second)));
    }
    let third = store.create(claiming(3, Some(second))).await;
    assert_eq!(store.runs.create(claiming(4, Some(second))).await, Ok(Creation::KeyHeld(third)));
    assert_eq!(store.history(first).await.len(), 2, "runs that had it stay as they are");
}

pub async fn a_key_that_nobody_has_is_free_for_all(store: Subject) {
    let first = store.create(claiming(1, Some(run_id(9)))).await;
    assert_eq!(store.runs.create(claiming(2, None)).await, Ok(Creation::KeyHeld(first)));
}

pub async fn a_repeated_request_comes_before_its_key(store: Subject) {
    let first = store.create(claiming(1, None)).await;
    assert_eq!(store.runs.create(claiming(1, None)).await, Ok(Creation::Exists(first)));
    let again = NewRun { request: new_run(1).request, ..claiming(2, None) };
    assert_eq!(store.runs.create(again.clone()).await, Ok(Creation::Exists(first)));
    store.create(claiming(3, Some(first))).await;
    assert_eq!(store.runs.create(again).await, Ok(Creation::Exists(first)), "though the key names another");
}

pub async fn a_refused_run_takes_no_key(store: Subject) {
    store.create(new_run(1)).await;
    let twice = NewRun { request: new_run(5).request, ..claiming(1, None) };
    let refused = store.runs.create(twice).await;
    assert!(matches!(refused, Err(StoreError::Permanent(_))), "{refused:?}");
    let repeated = store.runs.create(NewRun { request: new_run(1).request, ..claiming(2, None) }).await;
    assert_eq!(repeated, Ok(Creation::Exists(run_id(1))));
    store.create(claiming(3, None)).await;
}

pub async fn keys_are_apart(store: Subject) {
    for (n, key) in (1..).zip(["k", "K", "k/1", "%", "_", "'--"]) {
        store.create(NewRun { key: Some(KeyClaim { key: key.parse().unwrap(), from: None }), ..new_run(n) }).await;
    }
    let elsewhere = NewRun { namespace: "other".parse().unwrap(), ..claiming(20, None) };
    store.create(elsewhere).await;
    store.create(new_run(21)).await;
    store.create(new_run(22)).await;
    assert_eq!(store.runs.create(claiming(23, None)).await, Ok(Creation::KeyHeld(run_id(1))));
}

/// A run that takes the key `k`.
pub(super) fn claiming(n: u64, from: Option<RunId>) -> NewRun {
    NewRun { key: Some(KeyClaim { key: "k".parse().unwrap(), from }), ..new_run(n) }
}
