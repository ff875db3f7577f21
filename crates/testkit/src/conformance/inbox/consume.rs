//! What commits consume.

use bytes::Bytes;
use tutti_core::ports::inbox::{Consumed, InboxItem};
use tutti_core::ports::store::CommitOutcome::{Committed, Refused};
use tutti_core::ports::store::{Commit, StoreError, Wake};

use super::{Subject, consumed, consuming, item, request, verdict};
use crate::given::{READS, active, events, run_id};

pub async fn a_commit_puts_an_outcome_in_the_place_of_an_item(store: Subject) {
    let run = store.create(1).await[0];
    let (one, other) = (item(run, 1), item(run, 2));
    store.post(&one).await;
    store.post(&other).await;
    assert_eq!(store.commit(consuming(run, 2, 1, std::slice::from_ref(&one))).await, Committed);
    assert_eq!(store.outcome(&one).await, Some(verdict(&one)));
    assert_eq!(store.pending().await, [other]);
}

pub async fn a_commit_may_only_consume(store: Subject) {
    let run = store.create(1).await[0];
    let one = item(run, 1);
    store.post(&one).await;
    let mut quiet = consuming(run, 2, 0, std::slice::from_ref(&one));
    quiet.wake = Wake::Never;
    assert_eq!(store.commit(quiet).await, Committed);
    assert_eq!(store.outcome(&one).await, Some(verdict(&one)));
    assert!(store.pending().await.is_empty());
    assert!(store.runs.due(active()).await.unwrap().is_empty(), "the rest of the commit counts as well");
    assert_eq!(store.commit(consuming(run, 2, 1, &[])).await, Committed, "nothing was appended");
}

pub async fn every_byte_of_an_outcome_is_kept(store: Subject) {
    let run = store.create(1).await[0];
    let outcomes = [Bytes::new(), (0..=255).cycle().take(70_000).collect(), Bytes::from_static(b"\0")];
    let mut all = consuming(run, 2, 1, &[]);
    for (n, outcome) in (1..).zip(&outcomes) {
        store.post(&item(run, n)).await;
        all.consumed.push(Consumed { outcome: outcome.clone(), ..consumed(&item(run, n)) });
    }
    assert_eq!(store.commit(all).await, Committed);
    for (n, outcome) in (1..).zip(outcomes) {
        assert_eq!(store.outcome(&item(run, n)).await, Some(outcome));
    }
}

pub async fn a_refused_commit_consumes_nothing(store: Subject) {
    let run = store.create(1).await[0];
    let one = item(run, 1);
    store.post(&one).await;
    let of_epoch = |epoch| Commit { epoch, ..consuming(run, 2, 1, std::slice::from_ref(&one)) };
    let refused = [
        consuming(run, 1, 1, std::slice::from_ref(&one)),
        consuming(run, 3, 0, std::slice::from_ref(&one)),
        of_epoch(0),
        of_epoch(2),
        consuming(run_id(9), 2, 0, std::slice::from_ref(&one)),
    ];
    for commit in refused {
        assert_eq!(store.commit(commit).await, Refused);
        assert_eq!(store.pending().await, std::slice::from_ref(&one));
        assert_eq!(store.outcome(&one).await, None);
    }
    assert_eq!(store.commit(consuming(run, 2, 1, std::slice::from_ref(&one))).await, Committed);
}

pub async fn a_call_that_is_an_error_consumes_nothing(store: Subject) {
    let runs = store.create(2).await;
    let one = item(runs[0], 1);
    store.post(&one).await;
    let mut gap = consuming(runs[1], 2, 1, &[]);
    gap.events = events(4, 1);
    let refused = store.runs.commit(vec![consuming(runs[0], 2, 1, std::slice::from_ref(&one)), gap]).await;
    assert!(matches!(refused, Err(StoreError::Permanent(_))), "{refused:?}");
    assert_eq!(store.pending().await, [one]);
}

pub async fn a_fenced_owner_consumes_nothing(store: Subject) {
    let run = store.create(1).await[0];
    let one = item(run, 1);
    store.post(&one).await;
    let next = consuming(run, 2, 0, std::slice::from_ref(&one));
    let epoch = store.runs.claim(run, READS).await.unwrap().claimed().unwrap().epoch;
    assert_eq!(store.commit(next.clone()).await, Refused);
    assert_eq!(store.pending().await, std::slice::from_ref(&one));
    assert_eq!(store.commit(Commit { epoch, ..next }).await, Committed);
    assert_eq!(store.outcome(&one).await, Some(verdict(&one)));
}

pub async fn each_commit_of_a_call_consumes_its_own(store: Subject) {
    let runs = store.create(6).await;
    let mut commits = Vec::new();
    for (n, run) in (0..).zip(&runs) {
        let items = [item(*run, n * 10), item(*run, n * 10 + 1)];
        for item in &items {
            store.post(item).await;
        }
        let stale = if n % 3 == 1 { 1 } else { 2 };
        commits.push(consuming(*run, stale, u64::from(n % 2), &items));
    }
    let outcomes = store.runs.commit(commits).await.unwrap();
    assert_eq!(outcomes, [Committed, Refused, Committed, Committed, Refused, Committed]);
    let left: Vec<u32> = vec![10, 11, 40, 41];
    let waiting: Vec<InboxItem> = left.iter().map(|n| item(runs[*n as usize / 10], *n)).collect();
    assert_eq!(store.pending().await, waiting);
    for (n, run) in (0..).zip(&runs) {
        for one in [item(*run, n * 10), item(*run, n * 10 + 1)] {
            assert_eq!(store.outcome(&one).await.is_none(), waiting.contains(&one), "of run {n}");
        }
    }
}

pub async fn what_does_not_wait_is_passed_over(store: Subject) {
    let run = store.create(1).await[0];
    let (never, one) = (item(run, 1), item(run, 2));
    store.post(&one).await;
    assert_eq!(store.commit(consuming(run, 2, 1, &[never.clone(), one.clone(), never.clone()])).await, Committed);
    assert_eq!(store.outcome(&never).await, None, "nobody posted it");
    assert_eq!(store.outcome(&one).await, Some(verdict(&one)));
    store.post(&never).await;
    assert_eq!(store.pending().await, [never]);
}

pub async fn the_first_outcome_stays(store: Subject) {
    let run = store.create(1).await[0];
    let one = item(run, 1);
    store.post(&one).await;
    let other = || Consumed { outcome: Bytes::from_static(b"another"), ..consumed(&one) };
    let mut twice = consuming(run, 2, 1, std::slice::from_ref(&one));
    twice.consumed.push(other());
    assert_eq!(store.commit(twice).await, Committed, "one commit may name a request twice");
    assert_eq!(store.outcome(&one).await, Some(verdict(&one)));
    let again = Commit { consumed: vec![other()], ..consuming(run, 3, 1, &[]) };
    assert_eq!(store.commit(again).await, Committed);
    assert_eq!(store.outcome(&one).await, Some(verdict(&one)));
}

pub async fn items_of_other_runs_stay(store: Subject) {
    let runs = store.create(2).await;
    let (one, other) = (item(runs[0], 1), InboxItem { request: request(1), ..item(runs[1], 2) });
    store.post(&one).await;
    store.post(&other).await;
    assert_eq!(store.commit(consuming(runs[0], 2, 1, std::slice::from_ref(&one))).await, Committed);
    assert_eq!(store.pending().await, std::slice::from_ref(&other));
    assert_eq!(store.outcome(&other).await, None);
}

pub async fn a_repeated_commit_leaves_things_as_they_are(store: Subject) {
    let run = store.create(1).await[0];
    let one = item(run, 1);
    for (expected, count) in [(2, 3), (5, 0)] {
        store.post(&one).await;
        let commit = consuming(run, expected, count, std::slice::from_ref(&one));
        for _ in 0..3 {
            assert_eq!(store.commit(commit.clone()).await, Committed);
            assert_eq!(store.outcome(&one).await, Some(verdict(&one)));
        }
        assert_eq!(store.inbox.forget_outcomes(super::item(run, 2).at).await, Ok(1));
        store.post(&one).await;
        assert_eq!(store.commit(commit).await, Committed, "it was applied before");
        assert_eq!(store.pending().await, std::slice::from_ref(&one), "with {count} events");
    }
}

pub async fn many_items_are_consumed_at_once(store: Subject) {
    let runs = store.create(3).await;
    let items: Vec<InboxItem> = (0..600).map(|n| item(runs[n as usize % 3], n)).collect();
    for item in &items {
        store.post(item).await;
    }
    let of = |run| items.iter().filter(|item| item.run == run).cloned().collect::<Vec<_>>();
    let commits = runs.iter().map(|run| consuming(*run, 2, 2, &of(*run))).collect();
    assert_eq!(store.runs.commit(commits).await.unwrap(), [Committed; 3]);
    assert!(store.pending().await.is_empty());
    for item in &items {
        assert_eq!(store.outcome(item).await, Some(verdict(item)));
    }
}

pub async fn an_item_is_refused_without_a_commit(store: Subject) {
    let run = store.create(1).await[0];
    let (one, other) = (item(run, 1), item(run, 2));
    store.post(&one).await;
    store.post(&other).await;
    store.inbox.refuse(run, consumed(&one)).await.unwrap();
    assert_eq!(store.outcome(&one).await, Some(verdict(&one)));
    assert_eq!(store.pending().await, std::slice::from_ref(&other));
    store.post(&one).await;
    assert_eq!(store.pending().await, [other], "it has its answer");
    assert_eq!(store.commit(consuming(run, 2, 1, &[])).await, Committed, "the run has not changed");
}

pub async fn the_first_answer_to_an_item_stays(store: Subject) {
    let run = store.create(1).await[0];
    let (one, other) = (item(run, 1), item(run, 2));
    store.inbox.refuse(run, consumed(&one)).await.unwrap();
    assert_eq!(store.outcome(&one).await, None, "it does not wait");
    for (n, item) in (2..).zip([&one, &other]) {
        store.post(item).await;
        let refused = Consumed { outcome: Bytes::from_static(b"refused"), ..consumed(item) };
        if n == 2 {
            store.inbox.refuse(run, refused.clone()).await.unwrap();
        }
        assert_eq!(store.commit(consuming(run, n, 1, std::slice::from_ref(item))).await, Committed);
        store.inbox.refuse(run, refused).await.unwrap();
    }
    assert_eq!(store.outcome(&one).await, Some(Bytes::from_static(b"refused")));
    assert_eq!(store.outcome(&other).await, Some(verdict(&other)));
}
