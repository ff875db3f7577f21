//! Reading histories.

use bytes::Bytes;
use tutti_core::ports::store::{CommitOutcome, EncodedEvent};
use tutti_core::time::Timestamp;

use super::Subject;
use crate::given::{commit, event, new_run, run_id};

pub async fn pages_cover_the_history(store: Subject) {
    let runs = store.create_many(2).await;
    store.commit_all(vec![commit(runs[0], 1, 2, 23), commit(runs[1], 1, 2, 3)]).await;
    let mut seen = Vec::new();
    loop {
        let page = store.query.events(runs[0], seen.len() as u64 + 1, 10).await.unwrap();
        assert!(page.len() <= 10);
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen, store.history(runs[0]).await);
    assert_eq!(seen.len(), 25);
    assert_eq!(store.last_seq(runs[1]).await, 5, "histories are apart");
}

pub async fn nothing_stands_beyond_the_end(store: Subject) {
    let run = store.create(new_run(1)).await;
    let read = |run, from, limit| {
        let query = store.query.clone();
        async move { query.events(run, from, limit).await.unwrap().len() }
    };
    assert_eq!(read(run, 3, 10).await, 0);
    assert_eq!(read(run, u64::MAX, 10).await, 0);
    assert_eq!(read(run_id(2), 1, 10).await, 0, "no such run");
    assert_eq!(read(run, 1, 0).await, 0, "none asked for");
    assert_eq!(read(run, 0, 10).await, 2, "before the first");
    assert_eq!(read(run, 2, usize::MAX).await, 1);
}

pub async fn every_byte_is_kept(store: Subject) {
    let blobs = [
        Bytes::new(),
        Bytes::from_static(b"\0"),
        Bytes::from_static(b"\0\0\0{\"text\":\"\\u0000\xff\xfe\0'\"}\0"),
        (0..=255_u8).collect(),
        (0..=255_u8).cycle().take(1024 * 1024).collect(),
    ];
    let mut new = new_run(1);
    new.events = (1..).zip(&blobs).map(|(seq, blob)| EncodedEvent { blob: blob.clone(), ..event(seq) }).collect();
    let run = store.create(new).await;
    let last = blobs.len() as u64;
    let mut next = commit(run, 1, last, last);
    next.events.iter_mut().zip(&blobs).for_each(|(event, blob)| event.blob = blob.clone());
    assert_eq!(store.commit(next).await, CommitOutcome::Committed);
    let kept: Vec<Bytes> = store.history(run).await.into_iter().map(|stored| stored.event.blob).collect();
    assert!(kept == [&blobs[..], &blobs[..]].concat());
}

pub async fn every_number_is_kept(store: Subject) {
    let run = store.create(new_run(1)).await;
    let mut odd = commit(run, 1, 2, 4);
    let times = [i64::MIN, -1, 0, i64::MAX];
    for ((event, at), n) in odd.events.iter_mut().zip(times).zip([0, 1, 0x7fff, u16::MAX]) {
        (event.at, event.kind, event.version) = (Timestamp::from_micros(at), n, u16::MAX - n);
    }
    assert_eq!(store.commit(odd.clone()).await, CommitOutcome::Committed);
    let kept: Vec<_> = store.history(run).await.into_iter().skip(2).map(|stored| stored.event).collect();
    assert_eq!(kept, odd.events);
}

pub async fn events_carry_the_epoch_of_their_writer(store: Subject) {
    let run = store.create(new_run(1)).await;
    store.commit(commit(run, 1, 2, 1)).await;
    store.claim(run).await;
    let epoch = store.claim(run).await.epoch;
    store.commit(commit(run, epoch, 3, 2)).await;
    let epochs: Vec<u64> = store.history(run).await.iter().map(|stored| stored.epoch).collect();
    assert_eq!(epochs, [1, 1, 1, 3, 3]);
}
