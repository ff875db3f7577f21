//! Creating runs.

use bytes::Bytes;
use tutti_core::ports::store::{CommitOutcome, Creation, StoreError};
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;
use tutti_core::value::Digest;

use super::Subject;
use crate::given::{commit, events, new_run, run_id};

pub async fn a_created_run_is_found_with_its_first_events(store: Subject) {
    let new = new_run(1);
    assert_eq!(store.runs.create(new.clone()).await, Ok(Creation::Created));
    assert_eq!(store.query.find(&new.namespace, new.run).await, Ok(Some(new.summary)));
    let history: Vec<_> = store.history(new.run).await.into_iter().map(|stored| stored.event).collect();
    assert_eq!(history, new.events);
}

pub async fn a_repeated_request_creates_nothing_and_names_the_run(store: Subject) {
    let first = store.create(new_run(1)).await;
    let mut again = new_run(2);
    again.request = new_run(1).request;
    assert_eq!(store.runs.create(again.clone()).await, Ok(Creation::Exists(first)));
    assert_eq!(store.query.find(&again.namespace, again.run).await, Ok(None));
    assert!(store.history(again.run).await.is_empty());
    assert_eq!(store.runs.create(new_run(1)).await, Ok(Creation::Exists(first)), "the same call again");
    assert_eq!(store.last_seq(first).await, 2);
}

pub async fn a_request_id_is_free_in_another_namespace(store: Subject) {
    let first = store.create(new_run(1)).await;
    let mut other = new_run(2);
    other.namespace = "other".parse().unwrap();
    other.request = new_run(1).request;
    store.create(other.clone()).await;
    assert_eq!(store.runs.create(other.clone()).await, Ok(Creation::Exists(other.run)));
    assert_eq!(store.runs.create(new_run(1)).await, Ok(Creation::Exists(first)));
}

pub async fn a_run_id_is_created_once(store: Subject) {
    let first = store.create(new_run(1)).await;
    for namespace in ["default", "other"] {
        let mut again = new_run(1);
        again.namespace = namespace.parse().unwrap();
        again.request = new_run(2).request;
        again.events = events(1, 7);
        let refused = store.runs.create(again).await;
        assert!(matches!(refused, Err(StoreError::Permanent(_))), "{refused:?}");
    }
    assert_eq!(store.last_seq(first).await, 2, "the first is as it was");
    assert_eq!(store.query.find(&"other".parse().unwrap(), first).await, Ok(None));
    // The request that was refused left nothing behind.
    store.create(new_run(2)).await;
}

pub async fn first_events_are_numbered_from_one(store: Subject) {
    for wrong in
        [events(0, 2), events(2, 2), [events(1, 1), events(3, 1)].concat(), [events(1, 2), events(1, 2)].concat()]
    {
        let mut new = new_run(1);
        new.events = wrong;
        let refused = store.runs.create(new).await;
        assert!(matches!(refused, Err(StoreError::Permanent(_))), "{refused:?}");
        assert!(store.history(run_id(1)).await.is_empty());
    }
    store.create(new_run(1)).await;
}

pub async fn a_definition_is_kept_once_and_given_back(store: Subject) {
    let body: Bytes = (0..=255_u8).cycle().take(100_000).collect();
    let hash = Digest::of(&body);
    assert_eq!(store.query.definition(hash).await, Ok(None));
    for n in 1..=3 {
        let mut new = new_run(n);
        new.definition = (hash, body.clone());
        new.summary.definition = hash;
        store.create(new).await;
    }
    assert_eq!(store.query.definition(hash).await, Ok(Some(body.to_vec())));
    assert_eq!(store.query.definition(Digest::of(b"another")).await, Ok(None));
}

pub async fn a_definition_has_its_hash(store: Subject) {
    let mut new = new_run(1);
    new.definition.1 = Bytes::from_static(b"another workflow");
    let refused = store.runs.create(new.clone()).await;
    assert!(matches!(refused, Err(StoreError::Permanent(_))), "{refused:?}");
    assert_eq!(store.query.definition(new.definition.0).await, Ok(None));
}

pub async fn the_creator_owns_the_run_at_epoch_one(store: Subject) {
    let run = store.create(new_run(1)).await;
    assert_eq!(store.commit(commit(run, 1, 2, 1)).await, CommitOutcome::Committed);
    let epochs: Vec<u64> = store.history(run).await.iter().map(|stored| stored.epoch).collect();
    assert_eq!(epochs, [1, 1, 1]);
}

pub async fn every_field_of_a_summary_is_kept(store: Subject) {
    for (n, status) in (1..).zip(RunStatus::ALL) {
        let mut new = new_run(n);
        new.summary.workflow = "x".repeat(200).parse().unwrap();
        new.summary.version = "2.0-β'; DROP TABLE run; --".to_string();
        new.summary.status = *status;
        new.summary.steps = u32::MAX;
        new.summary.completed = u32::MAX - 1;
        new.summary.failed = 3;
        new.summary.created_at = Timestamp::from_micros(i64::MIN);
        new.summary.updated_at = Timestamp::from_micros(-1);
        new.summary.ended_at = Some(Timestamp::MAX);
        new.summary.error = Some("line\n\"quoted\" \u{1f3bc}".to_string());
        new.summary.key = Some("~!\"'%/$".parse().unwrap());
        new.summary.session = Some("s".repeat(200).parse().unwrap());
        let odd = ["", "\0\n\u{7f}", "\"'\\ \u{1f3bc}", "null", "1e400"];
        new.summary.labels = odd
            .iter()
            .zip(1..)
            .map(|(value, n): (_, u32)| (format!("l.{n}").parse().unwrap(), value.to_string()))
            .collect();
        store.create(new.clone()).await;
        assert_eq!(store.summary(new.run).await, new.summary);
        assert_eq!(store.claim(new.run).await.summary, new.summary);
    }
    let mut empty = new_run(99);
    empty.summary.error = Some(String::new());
    empty.summary.version = String::new();
    store.create(empty.clone()).await;
    assert_eq!(store.summary(empty.run).await, empty.summary, "an empty text is not none");
}
