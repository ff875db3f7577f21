//! Many callers at once.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;
use tutti_core::ids::{Namespace, RequestId, RunId};
use tutti_core::ports::records::Put;
use tutti_core::ports::store::CommitOutcome::{Committed, Refused};
use tutti_core::ports::store::{Creation, NewRun};

use super::Subject;
use super::key::claiming;
use super::records::{key, record};
use crate::given::{READS, commit, new_run, run_id, summary};

const CALLERS: u64 = 16;
const ROUNDS: u64 = 20;

pub async fn one_of_many_commits_wins(store: Subject) {
    let run = store.create(new_run(1)).await;
    for round in 0..ROUNDS {
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let runs = store.runs.clone();
            callers.spawn(async move { runs.commit(vec![commit(run, 1, 2 + 3 * round, 3)]).await.unwrap()[0] });
        }
        let outcomes = callers.join_all().await;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Committed).count(), 1, "in round {round}");
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Refused).count() as u64, CALLERS - 1);
        assert_eq!(store.last_seq(run).await, 5 + 3 * round);
    }
}

pub async fn one_of_many_requests_creates(store: Subject) {
    for round in 0..ROUNDS {
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let request = RequestId::from_u128(u128::from(round));
            let new = NewRun { request, ..new_run(round * CALLERS + caller) };
            let runs = store.runs.clone();
            callers.spawn(async move { (new.run, runs.create(new).await.unwrap()) });
        }
        let outcomes = callers.join_all().await;
        let made: Vec<RunId> = outcomes.iter().filter(|(_, made)| *made == Creation::Created).map(|o| o.0).collect();
        assert_eq!(made.len(), 1, "in round {round}");
        let others = outcomes.iter().filter(|(run, _)| *run != made[0]);
        assert!(others.into_iter().all(|(_, outcome)| *outcome == Creation::Exists(made[0])));
    }
    let page = store.query.list(Default::default()).await.unwrap();
    assert_eq!(page.runs.len() as u64, ROUNDS);
}

pub async fn neighbours_of_a_refused_creation_are_created(store: Subject) {
    let (first, held) = (store.create(new_run(1_000)).await, store.create(claiming(1_001, None)).await);
    let mut expected = Vec::new();
    for n in 0..ROUNDS {
        let new = new_run(4 * n);
        let repeated = NewRun { request: new_run(1_000).request, ..new_run(4 * n + 1) };
        let twice = NewRun { request: RequestId::from_u128(u128::from(10_000 + n)), ..new_run(1_000) };
        expected.extend([
            (new, Some(Creation::Created)),
            (repeated, Some(Creation::Exists(first))),
            (claiming(4 * n + 2, Some(first)), Some(Creation::KeyHeld(held))),
            (twice, None),
        ]);
    }
    let mut callers = JoinSet::new();
    for (new, expected) in expected {
        let runs = store.runs.clone();
        callers.spawn(async move { (new.clone(), runs.create(new).await.ok(), expected) });
    }
    for (new, answer, expected) in callers.join_all().await {
        assert_eq!(answer, expected);
        if answer == Some(Creation::Created) {
            assert_eq!(store.query.find(&new.namespace, new.run).await, Ok(Some(new.summary)));
            let history: Vec<_> = store.history(new.run).await.into_iter().map(|stored| stored.event).collect();
            assert_eq!(history, new.events);
        }
    }
    let page = store.query.list(Default::default()).await.unwrap();
    assert_eq!(page.runs.len() as u64, ROUNDS + 2, "and no others");
}

pub async fn one_of_many_takes_a_key(store: Subject) {
    let mut holder = None;
    for round in 0..ROUNDS {
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let new = claiming(1 + round * CALLERS + caller, holder);
            let runs = store.runs.clone();
            callers.spawn(async move { (new.run, runs.create(new).await.unwrap()) });
        }
        let outcomes = callers.join_all().await;
        let made: Vec<RunId> = outcomes.iter().filter(|(_, made)| *made == Creation::Created).map(|o| o.0).collect();
        assert_eq!(made.len(), 1, "in round {round}");
        let others = outcomes.iter().filter(|(run, _)| *run != made[0]);
        assert!(others.into_iter().all(|(_, outcome)| *outcome == Creation::KeyHeld(made[0])));
        holder = Some(made[0]);
    }
}

pub async fn one_of_many_writes_a_document(store: Subject) {
    for revision in 0..ROUNDS {
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let records = store.records.clone();
            let blob = Bytes::from(format!("of {caller}"));
            callers.spawn(async move { (blob.clone(), records.put(record("a", revision, blob)).await.unwrap()) });
        }
        let outcomes = callers.join_all().await;
        let stored = Put::Stored(revision + 1);
        let won: Vec<&Bytes> = outcomes.iter().filter(|(_, put)| *put == stored).map(|(blob, _)| blob).collect();
        assert_eq!(won.len(), 1, "in place of {revision}");
        let current = record("a", revision + 1, won[0].clone());
        assert_eq!(store.records.get(&current.key).await, Ok(Some(current.clone())));
        let lost = Put::Conflict(Some(current));
        assert_eq!(outcomes.iter().filter(|(_, put)| *put == lost).count() as u64, CALLERS - 1);
    }
}

pub async fn one_of_many_deletes_a_document(store: Subject) {
    for round in 0..ROUNDS {
        assert_eq!(store.records.put(record("a", 0, Bytes::new())).await, Ok(Put::Stored(1)), "in round {round}");
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let records = store.records.clone();
            callers.spawn(async move { records.delete(&key("a"), 1).await.unwrap() });
        }
        let outcomes = callers.join_all().await;
        assert_eq!(outcomes.iter().filter(|deleted| **deleted).count(), 1, "in round {round}");
    }
}

pub async fn concurrent_claims_have_epochs_of_their_own(store: Subject) {
    let run = store.create(new_run(1)).await;
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let runs = store.runs.clone();
        callers.spawn(async move { runs.claim(run, READS).await.unwrap().claimed().unwrap().epoch });
    }
    let mut epochs = callers.join_all().await;
    epochs.sort_unstable();
    assert_eq!(epochs, (2..CALLERS + 2).collect::<Vec<_>>());
    for epoch in 1..=CALLERS {
        assert_eq!(store.commit(commit(run, epoch, 2, 1)).await, Refused);
    }
    assert_eq!(store.commit(commit(run, CALLERS + 1, 2, 1)).await, Committed);
}

pub async fn concurrent_payloads_are_all_kept(store: Subject) {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let payloads = store.payloads.clone();
        callers.spawn(async move {
            for n in 0..ROUNDS {
                // Half of them are put by everybody.
                let bytes = Bytes::from(format!("{n} {}", if n % 2 == 0 { caller } else { 0 }));
                let at = payloads.put(run_id(1), bytes.clone()).await.unwrap();
                assert_eq!(payloads.get(run_id(1), at).await, Ok(Some(bytes)));
            }
        });
    }
    callers.join_all().await;
}

pub async fn a_reader_sees_whole_commits(store: Subject) {
    let run = store.create(NewRun { events: Vec::new(), ..new_run(1) }).await;
    let query = store.query.clone();
    let writer = async {
        for n in 0..100 {
            assert_eq!(store.commit(commit(run, 1, 3 * n, 3)).await, Committed);
        }
    };
    let reader = tokio::spawn(async move {
        let mut last = 0;
        while last < 300 {
            let seen = query.events(run, 1, usize::MAX).await.unwrap();
            assert!(seen.iter().zip(1..).all(|(stored, seq)| stored.event.seq == seq), "a gap");
            assert_eq!(seen.len() % 3, 0, "half a commit");
            assert!(seen.len() >= last, "history went back");
            last = seen.len();
        }
    });
    writer.await;
    reader.await.unwrap();
}

pub async fn what_was_acknowledged_is_seen(store: Subject) {
    let store = Arc::new(store);
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let store = store.clone();
        callers.spawn(async move {
            let run = store.create(new_run(caller + 1)).await;
            for n in 0..ROUNDS {
                let mut next = commit(run, 1, 2 + 2 * n, 2);
                let mut line = summary(run);
                line.completed = n as u32;
                next.summary = Some(line.clone());
                assert_eq!(store.commit(next).await, Committed);
                assert_eq!(store.last_seq(run).await, 4 + 2 * n);
                assert_eq!(store.query.find(&Namespace::default(), run).await, Ok(Some(line)));
            }
        });
    }
    callers.join_all().await;
}
