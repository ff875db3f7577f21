//! Claiming runs.

use tutti_core::ports::store::CommitOutcome::{Committed, Refused};
use tutti_core::ports::store::{Claim, ClaimOutcome, Claimer};

use super::Subject;
use crate::given::{READS, commit, new_run, run_id, summary};

pub async fn a_claim_raises_the_epoch_and_tells_where_the_run_is(store: Subject) {
    let run = store.create(new_run(1)).await;
    store.commit(commit(run, 1, 2, 3)).await;
    let expected = Claim { epoch: 2, claims: 1, last_seq: 5, min_reader: 1, summary: summary(run) };
    assert_eq!(store.claim(run).await, expected);
    assert_eq!(store.claim(run).await, Claim { epoch: 3, claims: 2, ..expected });
}

pub async fn a_claim_fences_the_owner_before(store: Subject) {
    let run = store.create(new_run(1)).await;
    let epoch = store.claim(run).await.epoch;
    assert_eq!(store.commit(commit(run, epoch - 1, 2, 1)).await, Refused);
    assert_eq!(store.last_seq(run).await, 2);
    assert_eq!(store.commit(commit(run, epoch, 2, 1)).await, Committed);
    assert_eq!(store.commit(commit(run, epoch - 1, 3, 1)).await, Refused);
}

pub async fn claims_are_counted_until_a_commit(store: Subject) {
    let run = store.create(new_run(1)).await;
    for claims in 1..=4 {
        assert_eq!(store.claim(run).await.claims, claims);
    }
    assert_eq!(store.commit(commit(run, 5, 2, 1)).await, Committed);
    assert_eq!(store.claim(run).await.claims, 1);
}

pub async fn a_claim_that_is_made_again_is_counted_once(store: Subject) {
    let run = store.create(new_run(1)).await;
    let again = Claimer { again: true, ..READS };
    let claims = async |claimer| {
        let claim = store.runs.claim(run, claimer).await.unwrap().claimed().unwrap();
        (claim.claims, claim.epoch)
    };
    assert_eq!(claims(again).await, (1, 2), "the one before may not have arrived");
    assert_eq!(claims(again).await, (1, 3));
    assert_eq!(claims(READS).await, (2, 4));
    assert_eq!(claims(again).await, (2, 5));
    assert_eq!(store.commit(commit(run, 4, 2, 1)).await, Refused, "it has an epoch of its own nevertheless");
    assert_eq!(store.commit(commit(run, 5, 2, 1)).await, Committed);
}

pub async fn a_refused_or_repeated_commit_does_not_reset_the_count(store: Subject) {
    let run = store.create(new_run(1)).await;
    let first = commit(run, 1, 2, 1);
    assert_eq!(store.commit(first.clone()).await, Committed);
    assert_eq!(store.claim(run).await.claims, 1);
    assert_eq!(store.commit(commit(run, 1, 3, 1)).await, Refused);
    assert_eq!(store.claim(run).await.claims, 2);
    assert_eq!(store.commit(first).await, Committed);
    assert_eq!(store.claim(run).await.claims, 3, "nothing was applied");
}

pub async fn a_claim_of_no_run_finds_none(store: Subject) {
    assert_eq!(store.runs.claim(run_id(1), READS).await, Ok(ClaimOutcome::NotFound));
    store.create(new_run(1)).await;
    assert_eq!(store.runs.claim(run_id(2), READS).await, Ok(ClaimOutcome::NotFound));
}

pub async fn a_claim_changes_only_its_run(store: Subject) {
    let runs = store.create_many(2).await;
    store.claim(runs[0]).await;
    assert_eq!(store.commit(commit(runs[1], 1, 2, 1)).await, Committed);
    assert_eq!(store.claim(runs[1]).await.claims, 1);
    assert_eq!(store.last_seq(runs[0]).await, 2, "a claim is no event");
    assert_eq!(store.summary(runs[0]).await, summary(runs[0]));
}

pub async fn a_run_that_needs_a_newer_reader_stays_its_owners(store: Subject) {
    let run = store.create(new_run(1)).await;
    let mut newer = commit(run, 1, 2, 1);
    newer.min_reader = 7;
    assert_eq!(store.commit(newer).await, Committed);
    for reads in [0, 6] {
        assert_eq!(
            store.runs.claim(run, Claimer::reading(reads)).await,
            Ok(ClaimOutcome::TooNew(7)),
            "by a reader of {reads}"
        );
    }
    assert_eq!(store.commit(commit(run, 1, 3, 1)).await, Committed, "its owner goes on");
    let claimed = store.runs.claim(run, Claimer::reading(7)).await.unwrap().claimed().unwrap();
    assert_eq!((claimed.epoch, claimed.claims, claimed.min_reader), (2, 1, 7), "refused claims do not count");
}
