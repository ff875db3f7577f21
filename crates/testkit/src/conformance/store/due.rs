//! Runs that must be looked after.

use tutti_core::ids::{Namespace, RunId};
use tutti_core::limits::SLOTS;
use tutti_core::ports::store::{Commit, Due, DueRuns, NewRun, Wake};
use tutti_core::time::Timestamp;

use super::Subject;
use crate::given::{active, commit, new_run, run_id, waiting_until};

fn at(micros: i64) -> Wake {
    Wake::At(Timestamp::from_micros(micros))
}

pub async fn each_wake_is_due_at_its_time(store: Subject) {
    let wakes = [Wake::Active, at(1_000), Wake::OnInput, at(2_000), Wake::Never, at(1), at(i64::MAX)];
    for (n, wake) in (1..).zip(wakes) {
        store.create(NewRun { wake, ..new_run(n) }).await;
    }
    for (now, due) in [
        (0, vec![]),
        (999, vec![6]),
        (1_000, vec![6, 2]),
        (1_999, vec![6, 2]),
        (2_000, vec![6, 2, 4]),
        (i64::MAX, vec![6, 2, 4, 7]),
    ] {
        assert_eq!(store.due(waiting_until(now)).await, due.into_iter().map(run_id).collect::<Vec<_>>(), "at {now}");
    }
    assert_eq!(store.due(active()).await, [run_id(1)]);
}

pub async fn a_commit_moves_the_wake(store: Subject) {
    let run = store.create(new_run(1)).await;
    let wakes = [Wake::Active, at(1_000), Wake::OnInput, Wake::Never, Wake::Active, Wake::Active];
    let mut expected = 2;
    // Every step from one to another, both ways round.
    for from in wakes {
        for to in wakes {
            for wake in [from, to] {
                store.commit(Commit { wake, ..commit(run, 1, expected, 1) }).await;
                expected += 1;
            }
            let mut is_due = Vec::new();
            for query in [active(), waiting_until(999), waiting_until(1_000)] {
                is_due.push(!store.due(query).await.is_empty());
            }
            let due = match to {
                Wake::Active => [true, false, false],
                Wake::At(_) => [false, false, true],
                Wake::OnInput | Wake::Never => [false, false, false],
            };
            assert_eq!(is_due, due, "from {from:?} to {to:?}");
        }
    }
}

pub async fn active_runs_come_in_pages_in_order(store: Subject) {
    for n in [4, 2, 7, 1, 6, 3, 5] {
        let wake = if n == 5 { Wake::OnInput } else { Wake::Active };
        store.create(NewRun { wake, ..new_run(n) }).await;
    }
    let page = |after: Option<u64>, limit| DueRuns { due: Due::Active(after.map(run_id)), limit, ..active() };
    assert_eq!(store.due(page(None, 3)).await, [1, 2, 3].map(run_id));
    assert_eq!(store.due(page(Some(3), 3)).await, [4, 6, 7].map(run_id));
    assert_eq!(store.due(page(Some(5), 1)).await, [run_id(6)], "after a run that is not due");
    assert!(store.due(page(Some(7), 3)).await.is_empty());
    assert!(store.due(page(None, 0)).await.is_empty());
}

pub async fn waiting_runs_come_in_turn_between_namespaces(store: Subject) {
    let moments = [("a", 10), ("a", 11), ("a", 12), ("a", 13), ("b", 30), ("b", 31), ("c", 5), ("c", 90)];
    for (n, (namespace, moment)) in (1..).zip(moments) {
        let namespace: Namespace = namespace.parse().unwrap();
        store.create(NewRun { wake: at(moment), namespace, ..new_run(n) }).await;
    }
    let due = |until, limit| DueRuns { limit, ..waiting_until(until) };
    // The first of c, a and b, in the order of their moments; then the second of each, and so on.
    let all = [7, 1, 5, 2, 6, 8, 3, 4].map(run_id);
    assert_eq!(store.due(due(100, usize::MAX)).await, all);
    for limit in 0..8 {
        assert_eq!(store.due(due(100, limit)).await, all[..limit], "the first {limit}");
    }
    assert_eq!(store.due(due(30, usize::MAX)).await, [7, 1, 5, 2, 3, 4].map(run_id), "as far as they are due");
}

pub async fn only_the_slots_asked_for_are_due(store: Subject) {
    let mut runs: Vec<RunId> = Vec::new();
    for n in 1..=50 {
        let wake = if n % 2 == 0 { Wake::Active } else { at(n as i64) };
        runs.push(store.create(NewRun { wake, ..new_run(n) }).await);
    }
    let odd: Vec<u16> = (0..SLOTS).filter(|slot| slot % 2 == 1).collect();
    for slots in [(0..SLOTS).collect(), (0..SLOTS / 2).collect(), odd, vec![7], vec![], vec![SLOTS, u16::MAX]] {
        for (first, query) in [(1, active()), (0, waiting_until(i64::MAX))] {
            let of = runs.iter().skip(first).step_by(2).filter(|run| slots.contains(&run.slot()));
            let expected: Vec<_> = of.copied().collect();
            assert_eq!(store.due(DueRuns { slots: slots.clone(), ..query }).await, expected, "{slots:?}");
        }
    }
}

pub async fn runs_that_need_a_newer_reader_are_not_due(store: Subject) {
    for (n, min_reader) in [(1, 1), (2, 4), (3, 5), (4, 4)] {
        let wake = if n < 3 { Wake::Active } else { at(1) };
        store.create(NewRun { wake, min_reader, ..new_run(n) }).await;
    }
    for (reads, running, waiting) in [(0, 0, 0), (3, 1, 0), (4, 2, 1), (5, 2, 2)] {
        let of = async |query| store.due(DueRuns { reads, ..query }).await.len();
        assert_eq!([of(active()).await, of(waiting_until(1)).await], [running, waiting], "for a reader of {reads}");
    }
}

pub async fn a_claim_leaves_the_wake(store: Subject) {
    let running = store.create(new_run(1)).await;
    let waiting = store.create(NewRun { wake: Wake::OnInput, ..new_run(2) }).await;
    store.claim(running).await;
    store.claim(waiting).await;
    assert_eq!(store.due(active()).await, [running]);
    assert!(store.due(waiting_until(i64::MAX)).await.is_empty());
}
