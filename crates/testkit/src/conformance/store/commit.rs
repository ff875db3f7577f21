//! Committing events.

use tutti_core::limits::MAX_COMMIT_RUNS;
use tutti_core::ports::store::CommitOutcome::{Committed, Refused};
use tutti_core::ports::store::{Commit, StoreError, Wake};
use tutti_core::run::RunStatus;

use super::Subject;
use crate::given::{active, commit, events, new_run, run_id, summary};

pub async fn events_follow_what_was_expected(store: Subject) {
    let run = store.create(new_run(1)).await;
    assert_eq!(store.commit(commit(run, 1, 2, 3)).await, Committed);
    assert_eq!(store.commit(commit(run, 1, 5, 1)).await, Committed);
    let history: Vec<_> = store.history(run).await.into_iter().map(|stored| stored.event).collect();
    assert_eq!(history, events(1, 6));
}

pub async fn another_sequence_is_refused(store: Subject) {
    let run = store.create(new_run(1)).await;
    for expected in [0, 1, 3, 1_000] {
        assert_eq!(store.commit(commit(run, 1, expected, 1)).await, Refused, "after {expected}");
    }
    assert_eq!(store.last_seq(run).await, 2);
    assert_eq!(store.commit(commit(run, 1, 2, 1)).await, Committed);
}

pub async fn another_epoch_is_refused(store: Subject) {
    let run = store.create(new_run(1)).await;
    for epoch in [0, 2, 1_000] {
        assert_eq!(store.commit(commit(run, epoch, 2, 1)).await, Refused, "in epoch {epoch}");
    }
    assert_eq!(store.last_seq(run).await, 2);
    assert_eq!(store.commit(commit(run, 1, 2, 1)).await, Committed);
}

pub async fn a_refused_commit_changes_nothing(store: Subject) {
    let run = store.create(new_run(1)).await;
    let mut refused = commit(run, 1, 1, 5);
    refused.wake = Wake::Never;
    refused.min_reader = 9;
    refused.summary = Some(ended(refused.run));
    assert_eq!(store.commit(refused).await, Refused);
    assert_eq!(store.last_seq(run).await, 2);
    assert_eq!(store.summary(run).await, summary(run));
    assert_eq!(store.due(active()).await, [run]);
    let claim = store.claim(run).await;
    assert_eq!((claim.last_seq, claim.min_reader, claim.summary), (2, 1, summary(run)));
}

pub async fn a_repeated_commit_is_applied_once(store: Subject) {
    let run = store.create(new_run(1)).await;
    let first = commit(run, 1, 2, 3);
    for _ in 0..3 {
        assert_eq!(store.commit(first.clone()).await, Committed);
        assert_eq!(store.last_seq(run).await, 5);
    }
    assert_eq!(store.commit(commit(run, 1, 5, 1)).await, Committed);
}

pub async fn a_repeated_commit_is_known_after_a_claim(store: Subject) {
    let run = store.create(new_run(1)).await;
    let first = commit(run, 1, 2, 3);
    assert_eq!(store.commit(first.clone()).await, Committed);
    store.claim(run).await;
    assert_eq!(store.commit(first).await, Committed, "it was applied, whoever owns the run now");
    assert_eq!(store.commit(commit(run, 1, 5, 1)).await, Refused);
    assert_eq!(store.last_seq(run).await, 5);
}

pub async fn an_older_commit_is_not_known_any_more(store: Subject) {
    let run = store.create(new_run(1)).await;
    let first = commit(run, 1, 2, 1);
    assert_eq!(store.commit(first.clone()).await, Committed);
    assert_eq!(store.commit(commit(run, 1, 3, 1)).await, Committed);
    assert_eq!(store.commit(first).await, Refused);
    assert_eq!(store.last_seq(run).await, 4);
}

pub async fn neighbours_of_a_refused_commit_are_applied(store: Subject) {
    let runs = store.create_many(5).await;
    let mut commits: Vec<Commit> = runs.iter().map(|run| commit(*run, 1, 2, 2)).collect();
    commits[1].epoch = 7;
    commits[3].expected = 0;
    commits[3].events = events(1, 2);
    commits.reverse();
    assert_eq!(store.commit_all(commits).await, [Committed, Refused, Committed, Refused, Committed]);
    for (run, last) in runs.into_iter().zip([4, 2, 4, 2, 4]) {
        assert_eq!(store.last_seq(run).await, last);
    }
}

pub async fn a_commit_to_no_run_is_refused(store: Subject) {
    let run = store.create(new_run(1)).await;
    let outcomes = store.commit_all(vec![commit(run_id(9), 1, 0, 1), commit(run, 1, 2, 1)]).await;
    assert_eq!(outcomes, [Refused, Committed]);
    assert!(store.history(run_id(9)).await.is_empty());
}

pub async fn a_run_stands_once_in_a_call(store: Subject) {
    let runs = store.create_many(2).await;
    let twice = vec![commit(runs[0], 1, 2, 1), commit(runs[1], 1, 2, 1), commit(runs[0], 1, 3, 1)];
    let refused = store.runs.commit(twice).await;
    assert!(matches!(refused, Err(StoreError::Permanent(_))), "{refused:?}");
    for run in runs {
        assert_eq!(store.last_seq(run).await, 2, "none was applied");
    }
}

pub async fn a_gap_in_the_events_is_an_error_for_the_whole_call(store: Subject) {
    let runs = store.create_many(2).await;
    for wrong in
        [events(2, 2), events(4, 1), [events(3, 1), events(5, 1)].concat(), [events(3, 1), events(3, 1)].concat()]
    {
        let mut gap = commit(runs[1], 1, 2, 1);
        gap.events = wrong;
        let refused = store.runs.commit(vec![commit(runs[0], 1, 2, 1), gap]).await;
        assert!(matches!(refused, Err(StoreError::Permanent(_))), "{refused:?}");
    }
    let mut beyond = commit(runs[1], 1, u64::MAX - 1, 0);
    beyond.expected = u64::MAX;
    beyond.events = events(0, 1);
    let refused = store.runs.commit(vec![beyond]).await;
    assert!(matches!(refused, Err(StoreError::Permanent(_))), "{refused:?}");
    for run in runs {
        assert_eq!(store.last_seq(run).await, 2, "none was applied");
    }
}

pub async fn the_summary_changes_only_when_given(store: Subject) {
    let run = store.create(new_run(1)).await;
    store.commit(commit(run, 1, 2, 1)).await;
    assert_eq!(store.summary(run).await, summary(run));
    let mut end = commit(run, 1, 3, 1);
    end.summary = Some(ended(run));
    assert_eq!(store.commit(end).await, Committed);
    assert_eq!(store.summary(run).await, ended(run));
    assert_eq!(store.commit(commit(run, 1, 4, 1)).await, Committed);
    assert_eq!(store.summary(run).await, ended(run));
}

pub async fn a_commit_may_have_no_events(store: Subject) {
    let run = store.create(new_run(1)).await;
    let mut quiet = commit(run, 1, 2, 0);
    quiet.wake = Wake::Never;
    assert_eq!(store.commit(quiet).await, Committed);
    assert_eq!(store.last_seq(run).await, 2);
    assert!(store.due(active()).await.is_empty());
}

pub async fn a_call_may_have_no_commits(store: Subject) {
    assert!(store.commit_all(Vec::new()).await.is_empty());
}

pub async fn a_thousand_runs_commit_in_one_call(store: Subject) {
    let runs = store.create_many(MAX_COMMIT_RUNS as u64).await;
    let outcomes = store.commit_all(runs.iter().map(|run| commit(*run, 1, 2, 2)).collect()).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Committed));
    for run in runs {
        assert_eq!(store.last_seq(run).await, 4);
    }
}

pub async fn thousands_of_events_commit_at_once(store: Subject) {
    let run = store.create(new_run(1)).await;
    assert_eq!(store.commit(commit(run, 1, 2, 5_000)).await, Committed);
    let history: Vec<_> = store.history(run).await.into_iter().map(|stored| stored.event).collect();
    assert_eq!(history, events(1, 5_002));
}

pub async fn min_reader_never_falls(store: Subject) {
    let mut new = new_run(1);
    new.min_reader = 3;
    let run = store.create(new).await;
    assert_eq!(store.claim(run).await.min_reader, 3);
    for (expected, given, kept) in [(2, 1, 3), (3, u16::MAX, u16::MAX), (4, 3, u16::MAX)] {
        let mut next = commit(run, store.claim(run).await.epoch, expected, 1);
        next.min_reader = given;
        assert_eq!(store.commit(next).await, Committed);
        assert_eq!(store.claim(run).await.min_reader, kept, "after {given}");
    }
}

fn ended(run: tutti_core::ids::RunId) -> tutti_core::ports::query::RunSummary {
    let mut summary = summary(run);
    summary.status = RunStatus::Completed;
    summary.completed = 8;
    summary.updated_at = tutti_core::time::Timestamp::from_micros(1_700_000_009_000_000);
    summary.ended_at = Some(summary.updated_at);
    summary
}
