//! Snapshots of states.

use bytes::Bytes;
use tutti_core::ports::store::{Snapshot, StoreError};

use super::Subject;
use crate::given::{commit, new_run, run_id};

pub async fn a_snapshot_is_given_back(store: Subject) {
    let runs = store.create_many(2).await;
    assert_eq!(store.runs.snapshot(runs[0]).await, Ok(None));
    assert_eq!(store.runs.snapshot(run_id(9)).await, Ok(None));
    for blob in [Bytes::new(), (0..=255_u8).cycle().take(1024 * 1024).collect()] {
        let snapshot = Snapshot { seq: 2, schema: u16::MAX, blob };
        store.runs.save_snapshot(runs[0], snapshot.clone()).await.unwrap();
        assert_eq!(store.runs.snapshot(runs[0]).await, Ok(Some(snapshot)));
        assert_eq!(store.runs.snapshot(runs[1]).await, Ok(None));
    }
}

pub async fn the_newest_snapshot_stays(store: Subject) {
    let run = store.create(new_run(1)).await;
    store.commit(commit(run, 1, 2, 8)).await;
    let at = |seq, schema| Snapshot { seq, schema, blob: Bytes::from(format!("{seq} {schema}")) };
    for (saved, kept) in [
        (at(3, 1), at(3, 1)),
        (at(9, 1), at(9, 1)),
        (at(4, 2), at(9, 1)),
        (at(9, 2), at(9, 2)),
        (at(8, 3), at(9, 2)),
        (at(10, 1), at(10, 1)),
    ] {
        store.runs.save_snapshot(run, saved.clone()).await.unwrap();
        assert_eq!(store.runs.snapshot(run).await, Ok(Some(kept)), "after {saved:?}");
    }
}

pub async fn a_snapshot_needs_its_history(store: Subject) {
    let run = store.create(new_run(1)).await;
    for (run, seq) in [(run, 3), (run_id(9), 1)] {
        let refused = store.runs.save_snapshot(run, Snapshot { seq, schema: 1, blob: Bytes::new() }).await;
        assert!(matches!(refused, Err(StoreError::Permanent(_))), "{refused:?}");
        assert_eq!(store.runs.snapshot(run).await, Ok(None));
    }
}
