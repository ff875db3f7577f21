//! Posting and consuming at once.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;
use tutti_core::ids::RunId;
use tutti_core::ports::inbox::InboxItem;
use tutti_core::ports::store::CommitOutcome::{Committed, Refused};

use super::{Subject, consuming, item, verdict};

const CALLERS: u32 = 8;
const ROUNDS: u32 = 20;

pub async fn one_of_many_posts_is_the_item(store: Subject) {
    let run = store.create(1).await[0];
    for round in 0..ROUNDS {
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let inbox = store.inbox.clone();
            let item = InboxItem { blob: Bytes::from(format!("of {caller}")), ..item(run, round) };
            callers.spawn(async move {
                inbox.post(item.clone()).await.unwrap();
                item
            });
        }
        let posted = callers.join_all().await;
        let waiting = store.pending().await;
        assert_eq!(waiting.len() as u32, round + 1);
        assert!(posted.contains(&waiting[round as usize]), "in round {round}");
    }
}

pub async fn an_item_is_consumed_once(store: Subject) {
    let run = store.create(1).await[0];
    for round in 0..ROUNDS {
        let one = item(run, round);
        store.post(&one).await;
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let runs = store.runs.clone();
            let outcome = Bytes::from(format!("by {caller}"));
            let mut commit = consuming(run, 2 + u64::from(round), 1, std::slice::from_ref(&one));
            commit.consumed[0].outcome = outcome.clone();
            callers.spawn(async move { (outcome, runs.commit(vec![commit]).await.unwrap()[0]) });
        }
        let outcomes = callers.join_all().await;
        let won: Vec<&Bytes> = outcomes.iter().filter(|(_, answer)| *answer == Committed).map(|(by, _)| by).collect();
        assert_eq!(won.len(), 1, "in round {round}");
        assert!(outcomes.iter().all(|(_, answer)| matches!(answer, Committed | Refused)));
        assert_eq!(store.outcome(&one).await.as_ref(), Some(won[0]), "that of the commit that was applied");
    }
}

pub async fn nothing_posted_beside_commits_is_lost(store: Subject) {
    let runs = store.create(3).await;
    let posters = post_beside(&store, &runs);
    let mut last = vec![2; runs.len()];
    let mut done = HashSet::new();
    while done.len() < (CALLERS * ROUNDS) as usize {
        let waiting = store.pending().await;
        let commits = runs.iter().zip(&mut last).map(|(run, last)| {
            let items: Vec<InboxItem> = waiting.iter().filter(|item| item.run == *run).cloned().collect();
            *last += 1;
            consuming(*run, *last - 1, 1, &items)
        });
        assert_eq!(store.runs.commit(commits.collect()).await.unwrap(), [Committed; 3]);
        for item in waiting {
            assert!(done.insert((item.run, item.request)), "{item:?} comes again");
        }
    }
    for item in posters.join_all().await.into_iter().flatten() {
        assert_eq!(store.outcome(&item).await, Some(verdict(&item)));
    }
    assert!(store.pending().await.is_empty());
}

pub async fn a_request_that_is_posted_while_it_is_consumed_does_not_come_back(store: Subject) {
    let run = store.create(1).await[0];
    let store = Arc::new(store);
    for round in 0..ROUNDS {
        let one = item(run, round);
        store.post(&one).await;
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (inbox, one) = (store.inbox.clone(), one.clone());
            callers.spawn(async move { inbox.post(one).await.unwrap() });
        }
        let commit = consuming(run, 2 + u64::from(round), 1, std::slice::from_ref(&one));
        assert_eq!(store.commit(commit).await, Committed);
        callers.join_all().await;
        assert!(store.pending().await.is_empty(), "in round {round}");
        assert_eq!(store.outcome(&one).await, Some(verdict(&one)));
    }
}

/// Callers that post, each its own requests to all of the runs in turn; they give what they posted.
fn post_beside(store: &Subject, runs: &[RunId]) -> JoinSet<Vec<InboxItem>> {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (inbox, runs) = (store.inbox.clone(), runs.to_vec());
        callers.spawn(async move {
            let mut posted = Vec::new();
            for round in 0..ROUNDS {
                let n = caller * ROUNDS + round;
                posted.push(item(runs[n as usize % runs.len()], n));
                inbox.post(posted[round as usize].clone()).await.unwrap();
            }
            posted
        });
    }
    callers
}
