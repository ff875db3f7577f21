//! Posting, and what waits.

use bytes::Bytes;
use tutti_core::limits::SLOTS;
use tutti_core::ports::inbox::InboxItem;
use tutti_core::ports::store::{CommitOutcome, StoreError, Wake};
use tutti_core::time::Timestamp;

use super::{Subject, every_slot, item, request};
use crate::given::{commit, run_id};

pub async fn a_posted_item_waits(store: Subject) {
    let run = store.create(1).await[0];
    assert!(store.pending().await.is_empty());
    store.post(&item(run, 1)).await;
    for _ in 0..2 {
        assert_eq!(store.pending().await, [item(run, 1)], "looking takes nothing away");
    }
}

pub async fn every_byte_and_moment_of_an_item_is_kept(store: Subject) {
    let run = store.create(1).await[0];
    let blobs = [Bytes::new(), (0..=255).cycle().take(70_000).collect(), Bytes::from_static(b"\0"), Bytes::new()];
    let moments = [-1_000_000, 0, 1, 4_000_000_000_000_000];
    let mut items = Vec::new();
    for (n, (blob, micros)) in (1..).zip(blobs.into_iter().zip(moments)) {
        items.push(InboxItem { at: Timestamp::from_micros(micros), blob, ..item(run, n) });
        store.post(&items[items.len() - 1]).await;
    }
    assert_eq!(store.pending().await, items);
}

pub async fn a_request_is_one_item_however_often_it_is_posted(store: Subject) {
    let run = store.create(1).await[0];
    let first = item(run, 5);
    store.post(&first).await;
    store.post(&first).await;
    store.post(&InboxItem { request: first.request, ..item(run, 3) }).await;
    assert_eq!(store.pending().await, [first], "the first one stays as it is");
}

pub async fn the_same_request_of_another_run_is_another_item(store: Subject) {
    let runs = store.create(2).await;
    let items = [item(runs[0], 1), InboxItem { request: request(1), ..item(runs[1], 2) }];
    for item in &items {
        store.post(item).await;
    }
    assert_eq!(store.pending().await, items);
}

pub async fn a_post_to_no_run_is_refused(store: Subject) {
    store.create(1).await;
    let refused = store.inbox.post(item(run_id(9), 1)).await;
    assert!(matches!(refused, Err(StoreError::Permanent(_))), "{refused:?}");
    assert!(store.pending().await.is_empty());
    assert_eq!(store.outcome(&item(run_id(9), 1)).await, None);
}

pub async fn a_run_that_has_ended_takes_items(store: Subject) {
    let run = store.create(1).await[0];
    let mut end = commit(run, 1, 2, 1);
    end.wake = Wake::Never;
    assert_eq!(store.commit(end).await, CommitOutcome::Committed);
    store.post(&item(run, 1)).await;
    assert_eq!(store.pending().await, [item(run, 1)], "what becomes of it is not the store's to say");
}

pub async fn items_come_oldest_first(store: Subject) {
    let runs = store.create(3).await;
    let items: Vec<InboxItem> = (1..=30).map(|n| item(runs[n as usize % 3], n)).collect();
    for n in 0..30 {
        store.post(&items[n * 7 % 30]).await;
    }
    assert_eq!(store.pending().await, items);
}

pub async fn no_more_come_than_asked_for(store: Subject) {
    let run = store.create(1).await[0];
    let items: Vec<InboxItem> = (1..=7).map(|n| item(run, n)).collect();
    for item in items.iter().rev() {
        store.post(item).await;
    }
    for limit in [0, 1, 3, 7, 8, usize::MAX] {
        let found = store.inbox.pending(&every_slot(), limit).await.unwrap();
        assert_eq!(found, items[..limit.min(7)], "at most {limit}");
    }
}

pub async fn items_come_for_the_slots_asked_for(store: Subject) {
    let runs = store.create(40).await;
    let items: Vec<InboxItem> = (1..).zip(&runs).map(|(n, run)| item(*run, n)).collect();
    for item in &items {
        store.post(item).await;
    }
    let mut slots: Vec<u16> = runs.iter().map(|run| run.slot()).collect();
    slots.sort_unstable();
    slots.dedup();
    let odd: Vec<u16> = slots.iter().copied().skip(1).step_by(2).collect();
    let others: Vec<u16> = (0..SLOTS).filter(|slot| !slots.contains(slot)).collect();
    for asked in [&slots[..], &slots[..1], &slots[3..20], &odd, &others, &[]] {
        let found = store.inbox.pending(asked, usize::MAX).await.unwrap();
        let wanted: Vec<&InboxItem> = items.iter().filter(|item| asked.contains(&item.run.slot())).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "in {asked:?}");
    }
}
