//! What became of requests, and for how long that is known.

use bytes::Bytes;
use tutti_core::ports::inbox::InboxItem;
use tutti_core::ports::store::CommitOutcome::Committed;
use tutti_core::time::Timestamp;

use super::{Subject, consuming, item, verdict};

pub async fn there_is_none_while_an_item_waits(store: Subject) {
    let run = store.create(1).await[0];
    assert_eq!(store.outcome(&item(run, 1)).await, None, "nobody posted it");
    store.post(&item(run, 1)).await;
    assert_eq!(store.outcome(&item(run, 1)).await, None);
}

pub async fn a_request_with_an_outcome_is_not_posted_again(store: Subject) {
    let run = store.create(1).await[0];
    let one = item(run, 1);
    store.post(&one).await;
    assert_eq!(store.commit(consuming(run, 2, 1, std::slice::from_ref(&one))).await, Committed);
    store.post(&one).await;
    store.post(&InboxItem { at: Timestamp::default(), blob: Bytes::from_static(b"other"), ..one.clone() }).await;
    assert!(store.pending().await.is_empty());
    assert_eq!(store.outcome(&one).await, Some(verdict(&one)));
}

pub async fn older_outcomes_are_forgotten(store: Subject) {
    let items = consume(&store, 10).await;
    assert_eq!(store.inbox.forget_outcomes(items[0].at).await, Ok(0), "none is older than the oldest");
    assert_eq!(store.inbox.forget_outcomes(items[4].at).await, Ok(4));
    for (n, item) in items.iter().enumerate() {
        let kept = (n >= 4).then(|| verdict(item));
        assert_eq!(store.outcome(item).await, kept, "number {n}");
    }
    assert_eq!(store.inbox.forget_outcomes(items[4].at).await, Ok(0));
    assert_eq!(store.inbox.forget_outcomes(items[9].at.plus(std::time::Duration::from_secs(1))).await, Ok(6));
}

pub async fn a_forgotten_request_can_be_posted_again(store: Subject) {
    let items = consume(&store, 3).await;
    assert_eq!(store.inbox.forget_outcomes(items[2].at).await, Ok(2));
    for item in &items {
        store.post(item).await;
    }
    assert_eq!(store.pending().await, items[..2]);
    assert_eq!(store.commit(consuming(items[0].run, 3, 1, &items)).await, Committed);
    for item in &items {
        assert_eq!(store.outcome(item).await, Some(verdict(item)));
    }
}

pub async fn items_that_wait_are_not_forgotten(store: Subject) {
    let run = store.create(1).await[0];
    store.post(&item(run, 1)).await;
    assert_eq!(store.inbox.forget_outcomes(Timestamp::from_micros(4_000_000_000_000_000)).await, Ok(0));
    assert_eq!(store.pending().await, [item(run, 1)]);
}

/// Items of a new run, all consumed by one commit, each at its own moment.
async fn consume(store: &Subject, count: u32) -> Vec<InboxItem> {
    let run = store.create(1).await[0];
    let items: Vec<InboxItem> = (1..=count).map(|n| item(run, n)).collect();
    for item in &items {
        store.post(item).await;
    }
    assert_eq!(store.commit(consuming(run, 2, 1, &items)).await, Committed);
    items
}
