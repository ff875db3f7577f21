//! The contract of [`Inbox`], and of what commits consume of it.
//!
//! In an adapter's tests, this makes a `#[test]` of each case:
//!
//! ```text
//! tutti_testkit::inbox_conformance!(|| async { Subject::new(MyStore::connect().await) });
//! ```

#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

mod concurrency;
mod consume;
mod outcome;
mod post;

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use tutti_core::ids::{RequestId, RunId};
use tutti_core::limits::SLOTS;
use tutti_core::ports::inbox::{Consumed, Inbox, InboxItem};
use tutti_core::ports::store::{Commit, CommitOutcome, Creation, RunStore};
use tutti_core::time::Timestamp;

use super::Case;
use crate::given::{commit, new_run};

/// A fresh store, empty, that no other case uses.
pub struct Subject {
    runs: Arc<dyn RunStore>,
    inbox: Arc<dyn Inbox>,
    // Dropped last.
    _guard: Box<dyn Any + Send + Sync>,
}

impl Subject {
    /// One value that is both of the ports.
    pub fn new<S: RunStore + Inbox + 'static>(store: S) -> Self {
        let store = Arc::new(store);
        Self { runs: store.clone(), inbox: store, _guard: Box::new(()) }
    }

    /// Keeps something, such as a temporary folder, until the case is over.
    #[must_use]
    pub fn keeping(self, guard: impl Any + Send + Sync) -> Self {
        Self { _guard: Box::new(guard), ..self }
    }

    /// Creates runs 1 to `count`.
    async fn create(&self, count: u64) -> Vec<RunId> {
        let mut runs = Vec::new();
        for n in 1..=count {
            let new = new_run(n);
            runs.push(new.run);
            assert_eq!(self.runs.create(new).await, Ok(Creation::Created));
        }
        runs
    }

    async fn post(&self, item: &InboxItem) {
        assert_eq!(self.inbox.post(item.clone()).await, Ok(()), "{item:?}");
    }

    /// Everything that waits.
    async fn pending(&self) -> Vec<InboxItem> {
        self.inbox.pending(&every_slot(), usize::MAX).await.unwrap()
    }

    async fn commit(&self, commit: Commit) -> CommitOutcome {
        self.runs.commit(vec![commit]).await.unwrap()[0]
    }

    async fn outcome(&self, item: &InboxItem) -> Option<Bytes> {
        self.inbox.outcome(item.run, item.request).await.unwrap()
    }
}

/// Every case, for those who do not want [`inbox_conformance!`](crate::inbox_conformance).
#[must_use]
pub fn all() -> Vec<Case<Subject>> {
    crate::__inbox_cases!(list())
}

/// The case of a name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn case(name: &str) -> Case<Subject> {
    all().into_iter().find(|case| case.name == name).expect("a case of this name")
}

/// An item of a request; the numbers of requests are moments as well.
fn item(run: RunId, n: u32) -> InboxItem {
    InboxItem {
        run,
        request: request(n),
        at: Timestamp::from_micros(1_700_000_000_000_000 + i64::from(n)),
        blob: Bytes::from(format!("{{\"command\":{n}}}")),
    }
}

fn request(n: u32) -> RequestId {
    RequestId::from_u128(0xfeed << 64 | u128::from(n))
}

/// What becomes of an item.
fn consumed(item: &InboxItem) -> Consumed {
    Consumed { request: item.request, at: item.at, outcome: verdict(item) }
}

/// The outcome of [`consumed`].
fn verdict(item: &InboxItem) -> Bytes {
    Bytes::from([b"done with ", &item.blob[..]].concat())
}

/// A commit that consumes.
fn consuming(run: RunId, expected: u64, events: u64, items: &[InboxItem]) -> Commit {
    Commit { consumed: items.iter().map(consumed).collect(), ..commit(run, 1, expected, events) }
}

fn every_slot() -> Vec<u16> {
    (0..SLOTS).collect()
}

/// Makes a `#[test]` of each case of the contract of inboxes. The argument is called for each: a function or closure that
/// returns a future of a fresh [`Subject`](crate::conformance::inbox::Subject).
#[macro_export]
macro_rules! inbox_conformance {
    ($fresh:expr) => {
        $crate::__inbox_cases!(tests($fresh));
    };
}

/// The one list of cases; hands them to [`__each_case!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __inbox_cases {
    ($form:ident($($argument:expr)?)) => {
        $crate::__each_case! { inbox $form($($argument)?)
            post::a_posted_item_waits,
            post::every_byte_and_moment_of_an_item_is_kept,
            post::a_request_is_one_item_however_often_it_is_posted,
            post::the_same_request_of_another_run_is_another_item,
            post::a_post_to_no_run_is_refused,
            post::a_run_that_has_ended_takes_items,
            post::items_come_oldest_first,
            post::no_more_come_than_asked_for,
            post::items_come_for_the_slots_asked_for,
            consume::a_commit_puts_an_outcome_in_the_place_of_an_item,
            consume::a_commit_may_only_consume,
            consume::every_byte_of_an_outcome_is_kept,
            consume::a_refused_commit_consumes_nothing,
            consume::a_call_that_is_an_error_consumes_nothing,
            consume::a_fenced_owner_consumes_nothing,
            consume::each_commit_of_a_call_consumes_its_own,
            consume::what_does_not_wait_is_passed_over,
            consume::the_first_outcome_stays,
            consume::items_of_other_runs_stay,
            consume::a_repeated_commit_leaves_things_as_they_are,
            consume::many_items_are_consumed_at_once,
            consume::an_item_is_refused_without_a_commit,
            consume::the_first_answer_to_an_item_stays,
            outcome::there_is_none_while_an_item_waits,
            outcome::a_request_with_an_outcome_is_not_posted_again,
            outcome::older_outcomes_are_forgotten,
            outcome::a_forgotten_request_can_be_posted_again,
            outcome::items_that_wait_are_not_forgotten,
            concurrency::one_of_many_posts_is_the_item,
            concurrency::an_item_is_consumed_once,
            concurrency::nothing_posted_beside_commits_is_lost,
            concurrency::a_request_that_is_posted_while_it_is_consumed_does_not_come_back,
        }
    };
}
