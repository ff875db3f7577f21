//! Runs that are due.

use tutti_core::limits::SLOTS;
use tutti_core::ports::store::{DueRuns, NewRun, Wake};
use tutti_core::time::Timestamp;

use super::Subject;
use crate::given::{commit, due_at, new_run, run_id};

pub async fn each_wake_is_due_at_its_time(store: Subject) {
    let at = |micros| Wake::At(Timestamp::from_micros(micros));
    let wakes = [Wake::Active, at(1_000), Wake::OnInput, at(2_000), Wake::Never, at(0), at(i64::MAX)];
    for (n, wake) in (1..).zip(wakes) {
        store.create(NewRun { wake, ..new_run(n) }).await;
    }
    for (now, due) in [
        (0, vec![1, 6]),
        (999, vec![1, 6]),
        (1_000, vec![1, 2, 6]),
        (1_999, vec![1, 2, 6]),
        (2_000, vec![1, 2, 4, 6]),
        (i64::MAX, vec![1, 2, 4, 6, 7]),
    ] {
        assert_eq!(store.due(due_at(now)).await, due.into_iter().map(run_id).collect::<Vec<_>>(), "at {now}");
    }
    assert!(store.due(due_at(i64::MIN)).await.contains(&run_id(1)), "an active run is due at any time");
}

pub async fn a_commit_moves_the_wake(store: Subject) {
    let run = store.create(new_run(1)).await;
    let wakes =
        [Wake::Active, Wake::At(Timestamp::from_micros(1_000)), Wake::OnInput, Wake::Never, Wake::Active, Wake::Active];
    let mut expected = 2;
    // Every step from one to another, both ways round.
    for from in wakes {
        for to in wakes {
            for wake in [from, to] {
                store.commit(tutti_core::ports::store::Commit { wake, ..commit(run, 1, expected, 1) }).await;
                expected += 1;
            }
            let is_due = [!store.due(due_at(999)).await.is_empty(), !store.due(due_at(1_000)).await.is_empty()];
            let due = match to {
                Wake::Active => [true, true],
                Wake::At(_) => [false, true],
                Wake::OnInput | Wake::Never => [false, false],
            };
            assert_eq!(is_due, due, "from {from:?} to {to:?}");
        }
    }
}

pub async fn due_runs_come_in_pages_in_order(store: Subject) {
    for n in [4, 2, 7, 1, 6, 3, 5] {
        let wake = if n == 5 { Wake::OnInput } else { Wake::Active };
        store.create(NewRun { wake, ..new_run(n) }).await;
    }
    let page = |after: Option<u64>, limit| DueRuns { after: after.map(run_id), limit, ..due_at(0) };
    assert_eq!(store.due(page(None, 3)).await, [1, 2, 3].map(run_id));
    assert_eq!(store.due(page(Some(3), 3)).await, [4, 6, 7].map(run_id));
    assert_eq!(store.due(page(Some(5), 1)).await, [run_id(6)], "after a run that is not due");
    assert!(store.due(page(Some(7), 3)).await.is_empty());
    assert!(store.due(page(None, 0)).await.is_empty());
}

pub async fn only_the_slots_asked_for_are_due(store: Subject) {
    let runs = store.create_many(50).await;
    for slots in [0..SLOTS, 0..SLOTS / 2, SLOTS / 2..SLOTS, 7..7, SLOTS..u16::MAX] {
        let expected: Vec<_> = runs.iter().filter(|run| slots.contains(&run.slot())).copied().collect();
        assert_eq!(store.due(DueRuns { slots: slots.clone(), ..due_at(0) }).await, expected, "{slots:?}");
    }
    for run in runs {
        let slot = run.slot();
        assert!(store.due(DueRuns { slots: slot..slot + 1, ..due_at(0) }).await.contains(&run));
        assert!(!store.due(DueRuns { slots: 0..slot, ..due_at(0) }).await.contains(&run), "the end is not in it");
    }
}

pub async fn a_claim_leaves_the_wake(store: Subject) {
    let active = store.create(new_run(1)).await;
    let waiting = store.create(NewRun { wake: Wake::OnInput, ..new_run(2) }).await;
    store.claim(active).await;
    store.claim(waiting).await;
    assert_eq!(store.due(due_at(i64::MAX)).await, [active]);
}
