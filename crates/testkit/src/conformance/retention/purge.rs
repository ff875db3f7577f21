//! Removing runs.

use std::sync::Arc;

use bytes::Bytes;
use tutti_core::ids::RequestId;
use tutti_core::ports::inbox::{Consumed, InboxItem};
use tutti_core::ports::query::ListRuns;
use tutti_core::ports::retention::Tombstone;
use tutti_core::ports::store::{Commit, CommitOutcome, Creation, KeyClaim, NewRun, Snapshot, StoreError, Wake};
use tutti_core::run::RunStatus;

use super::{Subject, ending, moment, of, tombstone};
use crate::given::{commit, new_run, run_id};

pub async fn nothing_of_a_purged_run_is_left(store: Subject) {
    let ended = store.end(new_run(1), 10).await;
    let (run, namespace) = (ended.run, ended.namespace.clone());
    let at = store.payloads.put(run, Bytes::from_static(b"large")).await.unwrap();
    store.runs.save_snapshot(run, Snapshot { seq: 3, schema: 1, blob: Bytes::from_static(b"s") }).await.unwrap();
    store.inbox.post(item(run, 1)).await.unwrap();
    let consuming = Commit { consumed: vec![consumed(1)], wake: Wake::Never, ..commit(run, 1, 3, 0) };
    assert_eq!(store.runs.commit(vec![consuming]).await, Ok(vec![CommitOutcome::Committed]));
    assert_eq!(store.purge(&[ended]).await, [true]);
    assert_eq!(store.query.find(&namespace, run).await, Ok(None));
    assert_eq!(store.query.list(ListRuns::default()).await.unwrap().runs, []);
    assert!(store.query.count(&namespace, &Default::default()).await.unwrap().is_empty());
    assert!(store.query.find_by_prefix(&namespace, &run.to_string()[..8], 10).await.unwrap().is_empty());
    assert!(store.history(run).await.is_empty());
    assert_eq!(store.runs.snapshot(run).await, Ok(None));
    assert_eq!(store.payloads.get(run, at).await, Ok(None));
    assert_eq!(store.inbox.outcome(run, request(1)).await, Ok(None));
}

pub async fn its_key_and_its_request_are_free(store: Subject) {
    let key = |from| Some(KeyClaim { key: "order-7".parse().unwrap(), from });
    let ended = store.end(NewRun { key: key(None), ..new_run(1) }, 10).await;
    let next = NewRun { key: key(None), request: new_run(1).request, ..new_run(2) };
    assert_eq!(store.runs.create(next.clone()).await, Ok(Creation::Exists(ended.run)));
    assert_eq!(store.purge(std::slice::from_ref(&ended)).await, [true]);
    assert_eq!(store.runs.create(next).await, Ok(Creation::Created));
    // Who read the key before the purge names a run that is gone.
    let red = store.end(NewRun { key: key(None), ..of("red", 3) }, 10).await;
    assert_eq!(store.purge(std::slice::from_ref(&red)).await, [true]);
    store.create(NewRun { key: key(Some(red.run)), ..of("red", 4) }).await;
}

pub async fn a_tombstone_stays_and_says_what_was(store: Subject) {
    let ended = [store.end(new_run(1), 10).await, store.end(of("red", 2), 20).await];
    let [first, second] = &ended;
    assert_eq!(store.retention.tombstone(&first.namespace, first.run).await, Ok(None), "it is there");
    assert_eq!(store.purge(&ended).await, [true, true]);
    for ended in &ended {
        assert_eq!(store.retention.tombstone(&ended.namespace, ended.run).await, Ok(Some(ended.clone())));
    }
    assert_eq!(store.retention.tombstone(&first.namespace, second.run).await, Ok(None), "of another namespace");
    assert_eq!(store.retention.tombstone(&first.namespace, run_id(9)).await, Ok(None), "it never was");
}

pub async fn what_has_not_ended_stays(store: Subject) {
    for (n, wake) in [(1, Wake::Active), (2, Wake::OnInput), (3, Wake::At(moment(1)))] {
        let run = store.create(new_run(n)).await;
        let waits = Commit { wake, ..commit(run, 1, 2, 1) };
        assert_eq!(store.runs.commit(vec![waits]).await, Ok(vec![CommitOutcome::Committed]));
        let stone = tombstone(new_run(n).namespace, run, 10);
        assert_eq!(store.purge(std::slice::from_ref(&stone)).await, [false], "{wake:?}");
        assert_eq!(store.history(run).await.len(), 3);
        assert_eq!(store.retention.tombstone(&stone.namespace, run).await, Ok(None));
    }
}

pub async fn what_is_not_as_the_tombstone_says_stays(store: Subject) {
    let ended = store.end(new_run(1), 10).await;
    let odd = [
        Tombstone { last_seq: 2, ..ended.clone() },
        Tombstone { last_seq: 4, ..ended.clone() },
        Tombstone { last_seq: u64::MAX, ..ended.clone() },
        Tombstone { namespace: "red".parse().unwrap(), ..ended.clone() },
        Tombstone { run: run_id(9), ..ended.clone() },
    ];
    assert_eq!(store.purge(&odd).await, [false; 5]);
    // It was reopened, and ended again.
    let run = ended.run;
    let reopened = [commit(run, 1, 3, 1), Commit { wake: Wake::Never, ..commit(run, 1, 4, 1) }];
    for next in reopened {
        assert_eq!(store.runs.commit(vec![next]).await, Ok(vec![CommitOutcome::Committed]));
        assert_eq!(store.purge(std::slice::from_ref(&ended)).await, [false]);
    }
    assert_eq!(store.history(run).await.len(), 5);
    assert_eq!(store.purge(&[Tombstone { last_seq: 5, ..ended }]).await, [true]);
}

pub async fn a_command_that_waits_keeps_a_run(store: Subject) {
    let ended = store.end(new_run(1), 10).await;
    store.inbox.post(item(ended.run, 1)).await.unwrap();
    assert_eq!(store.purge(std::slice::from_ref(&ended)).await, [false]);
    assert_eq!(store.history(ended.run).await.len(), 3);
    let consuming = Commit { consumed: vec![consumed(1)], wake: Wake::Never, ..commit(ended.run, 1, 3, 0) };
    assert_eq!(store.runs.commit(vec![consuming]).await, Ok(vec![CommitOutcome::Committed]));
    assert_eq!(store.purge(&[ended]).await, [true]);
}

pub async fn neighbours_stay_as_they_are(store: Subject) {
    let key = |from| Some(KeyClaim { key: "order-7".parse().unwrap(), from });
    let shared = Bytes::from_static(b"the same bytes");
    let ended = store.end(NewRun { key: key(None), ..new_run(2) }, 10).await;
    let mut others = Vec::new();
    for (n, from) in [(1, None), (3, Some(ended.run))] {
        let run = store.create(NewRun { key: from.and_then(|from| key(Some(from))), ..new_run(n) }).await;
        store.runs.save_snapshot(run, Snapshot { seq: 2, schema: 1, blob: Bytes::from_static(b"s") }).await.unwrap();
        store.inbox.post(item(run, 1)).await.unwrap();
        others.push((run, store.payloads.put(run, shared.clone()).await.unwrap()));
    }
    store.payloads.put(ended.run, shared.clone()).await.unwrap();
    assert_eq!(store.purge(std::slice::from_ref(&ended)).await, [true]);
    for (run, at) in others {
        assert!(store.query.find(&ended.namespace, run).await.unwrap().is_some());
        assert_eq!(store.history(run).await.len(), 2);
        assert!(store.runs.snapshot(run).await.unwrap().is_some());
        assert_eq!(store.payloads.get(run, at).await, Ok(Some(shared.clone())));
        assert_eq!(store.inbox.pending(&[run.slot()], 10).await.unwrap().len(), 1);
        assert_eq!(store.runs.commit(vec![commit(run, 1, 2, 1)]).await, Ok(vec![CommitOutcome::Committed]));
    }
    let taken = store.runs.create(NewRun { key: key(None), ..new_run(4) }).await;
    assert_eq!(taken, Ok(Creation::KeyHeld(run_id(3))), "the key was passed on before");
    let again = NewRun { request: new_run(1).request, ..new_run(5) };
    assert_eq!(store.runs.create(again).await, Ok(Creation::Exists(run_id(1))));
    let body = store.query.definition(new_run(1).definition.0).await;
    assert_eq!(body, Ok(Some(b"a workflow".to_vec())));
}

pub async fn a_purged_run_takes_nothing_any_more(store: Subject) {
    let ended = store.end(new_run(1), 10).await;
    let run = ended.run;
    assert_eq!(store.purge(&[ended]).await, [true]);
    assert_eq!(store.runs.commit(vec![commit(run, 1, 3, 1)]).await, Ok(vec![CommitOutcome::Refused]));
    let snapshot = Snapshot { seq: 3, schema: 1, blob: Bytes::from_static(b"s") };
    assert!(matches!(store.runs.save_snapshot(run, snapshot).await, Err(StoreError::Permanent(_))));
    assert!(matches!(store.inbox.post(item(run, 1)).await, Err(StoreError::Permanent(_))));
    assert!(store.history(run).await.is_empty());
}

pub async fn a_purge_that_is_repeated_changes_nothing(store: Subject) {
    let ended = store.end(new_run(1), 10).await;
    assert_eq!(store.purge(&[]).await, [false; 0]);
    assert_eq!(store.purge(std::slice::from_ref(&ended)).await, [true]);
    let later = Tombstone { purged_at: moment(99), ..ended.clone() };
    assert_eq!(store.purge(&[later]).await, [false]);
    assert_eq!(store.retention.tombstone(&ended.namespace, ended.run).await, Ok(Some(ended)));
}

/// Whichever comes first, the other one sees it.
pub async fn a_purge_and_a_reopening_never_both_happen(store: Subject) {
    const RUNS: u64 = 60;
    let store = Arc::new(store);
    let (mut purged, mut reopened) = (0, 0);
    for n in 1..=RUNS {
        let new = new_run(n);
        let run = store.create(new.clone()).await;
        assert_eq!(store.runs.commit(vec![ending(&new, 10)]).await, Ok(vec![CommitOutcome::Committed]));
        let stone = tombstone(new.namespace.clone(), run, 10);
        let mut open = new.summary.clone();
        open.status = RunStatus::Running;
        let reopening = Commit { summary: Some(open), ..commit(run, 1, 3, 1) };
        let (purging, opening) = (store.clone(), store.clone());
        let purging = tokio::spawn(async move { purging.purge(&[stone]).await[0] });
        let opening = tokio::spawn(async move { opening.runs.commit(vec![reopening]).await.unwrap()[0] });
        let (gone, outcome) = (purging.await.unwrap(), opening.await.unwrap());
        assert_ne!(gone, outcome == CommitOutcome::Committed, "run {n}: purged {gone}, reopened {outcome:?}");
        let history = store.history(run).await;
        assert_eq!(history.len(), if gone { 0 } else { 4 });
        assert!(history.iter().zip(1..).all(|(stored, seq)| stored.event.seq == seq));
        assert_eq!(store.query.find(&new.namespace, run).await.unwrap().is_none(), gone);
        if gone { purged += 1 } else { reopened += 1 }
    }
    assert_eq!(purged + reopened, RUNS);
}

fn item(run: tutti_core::ids::RunId, n: u128) -> InboxItem {
    InboxItem { run, request: request(n), at: moment(5), blob: Bytes::from_static(b"{}") }
}

fn consumed(n: u128) -> Consumed {
    Consumed { request: request(n), at: moment(6), outcome: Bytes::from_static(b"done") }
}

fn request(n: u128) -> RequestId {
    RequestId::from_u128(0xfeed << 64 | n)
}
