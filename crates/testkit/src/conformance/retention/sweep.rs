//! Removing what belongs to no run.

use std::sync::Arc;

use bytes::Bytes;
use tutti_core::ids::RunId;
use tutti_core::ports::retention::{SweepPayloads, SweptPayloads};
use tutti_core::ports::store::{Creation, NewRun};
use tutti_core::value::Digest;

use super::{Subject, moment};
use crate::given::{new_run, run_id};

const fn swept(removed: u64, next: Option<RunId>) -> SweptPayloads {
    SweptPayloads { removed, next }
}

fn old(before: i64, after: Option<RunId>, limit: usize) -> SweepPayloads {
    SweepPayloads { before: moment(before), after, limit }
}

pub async fn payloads_of_no_run_go(store: Subject) {
    store.create(new_run(2)).await;
    let mut kept = Vec::new();
    for n in 1..=3 {
        for text in ["one", "two"] {
            kept.push((run_id(n), store.payloads.put(run_id(n), Bytes::from(text)).await.unwrap()));
        }
    }
    assert_eq!(store.retention.sweep_payloads(old(100, None, 10)).await, Ok(swept(4, None)));
    for (run, at) in kept {
        let found = store.payloads.get(run, at).await.unwrap();
        assert_eq!(found.is_some(), run == run_id(2), "{run}");
    }
    assert_eq!(store.retention.sweep_payloads(old(100, None, 10)).await, Ok(swept(0, None)));
}

pub async fn payloads_that_a_run_may_come_for_stay(store: Subject) {
    let at = store.payloads.put(run_id(50), Bytes::from_static(b"early")).await.unwrap();
    assert_eq!(store.retention.sweep_payloads(old(50, None, 10)).await, Ok(swept(0, None)));
    assert!(store.payloads.get(run_id(50), at).await.unwrap().is_some());
    assert_eq!(store.retention.sweep_payloads(old(51, None, 10)).await, Ok(swept(1, None)));
}

pub async fn payloads_are_swept_in_pages(store: Subject) {
    store.create(new_run(2)).await;
    for n in 1..=5 {
        store.payloads.put(run_id(n), Bytes::from_static(b"x")).await.unwrap();
    }
    let mut next = None;
    for (removed, last) in [(1, Some(2)), (2, Some(4)), (1, None)] {
        let page = store.retention.sweep_payloads(old(100, next, 2)).await.unwrap();
        assert_eq!(page, swept(removed, last.map(run_id)));
        next = page.next;
    }
}

pub async fn definitions_go_that_no_run_uses(store: Subject) {
    let ended = [store.end(with(1, b"one"), 10).await, store.end(with(2, b"two"), 10).await];
    store.create(with(3, b"two")).await;
    assert_eq!(store.purge(&ended).await, [true, true]);
    assert_eq!(store.retention.sweep_definitions(moment(100), moment(50)).await, Ok(0), "only noted");
    assert_eq!(store.retention.sweep_definitions(moment(110), moment(100)).await, Ok(0), "noted just then");
    assert!(kept(&store, b"one").await);
    assert_eq!(store.retention.sweep_definitions(moment(300), moment(200)).await, Ok(1));
    assert!(!kept(&store, b"one").await && kept(&store, b"two").await);
    assert_eq!(store.retention.sweep_definitions(moment(500), moment(400)).await, Ok(0));
}

pub async fn a_definition_that_is_used_stays(store: Subject) {
    let ended = store.end(with(1, b"one"), 10).await;
    assert_eq!(store.purge(&[ended]).await, [true]);
    assert_eq!(store.retention.sweep_definitions(moment(100), moment(50)).await, Ok(0));
    let again = store.end(with(2, b"one"), 20).await;
    for later in [200, 300, 400] {
        assert_eq!(store.retention.sweep_definitions(moment(later), moment(later - 50)).await, Ok(0));
        assert!(kept(&store, b"one").await);
    }
    // Noted anew from here on.
    assert_eq!(store.purge(&[again]).await, [true]);
    assert_eq!(store.retention.sweep_definitions(moment(500), moment(450)).await, Ok(0));
    assert_eq!(store.retention.sweep_definitions(moment(600), moment(550)).await, Ok(1));
}

/// Whatever the store remembers of definitions that it has seen.
pub async fn a_run_is_created_with_a_definition_that_went(store: Subject) {
    for n in 1..=3 {
        let ended = store.end(with(n, b"one"), 10).await;
        assert_eq!(store.purge(&[ended]).await, [true]);
        assert_eq!(store.retention.sweep_definitions(moment(100), moment(50)).await, Ok(0));
        if n > 1 {
            assert_eq!(store.retention.sweep_definitions(moment(300), moment(200)).await, Ok(1));
            assert!(!kept(&store, b"one").await);
        }
    }
    store.create(with(4, b"one")).await;
    assert!(kept(&store, b"one").await);
}

/// Runs are created and purged while definitions are noted and found used again.
pub async fn definitions_that_are_noted_keep_no_run_from_being_created(store: Subject) {
    let store = Arc::new(store);
    let creating = store.clone();
    let creating = tokio::spawn(async move {
        for n in 1..=40 {
            let body: &[u8] = if n % 2 == 0 { b"one" } else { b"two" };
            let ended = creating.end(with(n, body), 10).await;
            assert!(kept(&creating, body).await, "the definition of run {n}");
            assert_eq!(creating.purge(&[ended]).await, [true]);
        }
    });
    while !creating.is_finished() {
        store.retention.sweep_definitions(moment(100), moment(50)).await.unwrap();
        tokio::task::yield_now().await;
    }
    creating.await.unwrap();
    assert_eq!(store.runs.create(with(99, b"one")).await, Ok(Creation::Created));
}

fn with(n: u64, body: &'static [u8]) -> NewRun {
    let hash = Digest::of(body);
    let mut new = NewRun { definition: (hash, Bytes::from_static(body)), ..new_run(n) };
    new.summary.definition = hash;
    new
}

async fn kept(store: &Subject, body: &[u8]) -> bool {
    store.query.definition(Digest::of(body)).await.unwrap().is_some()
}
