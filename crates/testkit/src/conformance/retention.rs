//! The contract of [`Retention`].
//!
//! In an adapter's tests, this makes a `#[test]` of each case:
//!
//! ```text
//! tutti_testkit::retention_conformance!(|| async { Subject::new(MyStore::connect().await) });
//! ```

#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

mod ended;
pub mod killed;
mod purge;
mod sweep;

use std::any::Any;
use std::sync::Arc;

use tutti_core::ids::{Namespace, RunId};
use tutti_core::ports::inbox::Inbox;
use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::RunQuery;
use tutti_core::ports::retention::{EndedRuns, Retention, Tombstone};
use tutti_core::ports::store::{Commit, CommitOutcome, Creation, NewRun, RunStore, StoredEvent, Wake};
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;
use tutti_core::value::Digest;

use super::Case;
use crate::given::{commit, new_run};

/// A fresh store, empty, that no other case uses.
pub struct Subject {
    runs: Arc<dyn RunStore>,
    query: Arc<dyn RunQuery>,
    payloads: Arc<dyn PayloadStore>,
    inbox: Arc<dyn Inbox>,
    retention: Arc<dyn Retention>,
    // Dropped last.
    _guard: Box<dyn Any + Send + Sync>,
}

impl Subject {
    /// One value that is all of the ports.
    pub fn new<S: RunStore + RunQuery + PayloadStore + Inbox + Retention + 'static>(store: S) -> Self {
        let store = Arc::new(store);
        Self {
            runs: store.clone(),
            query: store.clone(),
            payloads: store.clone(),
            inbox: store.clone(),
            retention: store,
            _guard: Box::new(()),
        }
    }

    /// Keeps something, such as a temporary folder, until the case is over.
    #[must_use]
    pub fn keeping(self, guard: impl Any + Send + Sync) -> Self {
        Self { _guard: Box::new(guard), ..self }
    }

    async fn create(&self, new: NewRun) -> RunId {
        let run = new.run;
        assert_eq!(self.runs.create(new).await, Ok(Creation::Created));
        run
    }

    /// Creates a run and ends it with its third event, so many milliseconds after runs begin.
    async fn end(&self, new: NewRun, after: i64) -> Tombstone {
        let namespace = new.namespace.clone();
        let ending = ending(&new, after);
        let run = self.create(new).await;
        assert_eq!(self.runs.commit(vec![ending]).await, Ok(vec![CommitOutcome::Committed]));
        tombstone(namespace, run, after)
    }

    async fn purge(&self, tombstones: &[Tombstone]) -> Vec<bool> {
        self.retention.purge(tombstones.to_vec()).await.unwrap()
    }

    async fn history(&self, run: RunId) -> Vec<StoredEvent> {
        self.query.events(run, 1, usize::MAX).await.unwrap()
    }

    /// Runs of the default namespace that ended before so many milliseconds.
    async fn ended(&self, before: i64) -> Vec<RunId> {
        let found = self.retention.ended(EndedRuns { ended_before: moment(before), limit: 1_000, ..all() }).await;
        found.unwrap().into_iter().map(|run| run.summary.run).collect()
    }
}

/// Every case, for those who do not want [`retention_conformance!`](crate::retention_conformance).
#[must_use]
pub fn all_cases() -> Vec<Case<Subject>> {
    crate::__retention_cases!(list())
}

/// The case of a name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn case(name: &str) -> Case<Subject> {
    all_cases().into_iter().find(|case| case.name == name).expect("a case of this name")
}

/// So many milliseconds after runs begin.
fn moment(after: i64) -> Timestamp {
    Timestamp::from_micros((1_700_000_000_000 + after) * 1_000)
}

/// Every run of the default namespace that has ended.
fn all() -> EndedRuns {
    EndedRuns { ended_before: moment(i64::from(u32::MAX)), limit: usize::MAX, ..EndedRuns::default() }
}

/// A commit that ends a run with its third event.
fn ending(new: &NewRun, after: i64) -> Commit {
    let mut summary = new.summary.clone();
    (summary.status, summary.ended_at) = (RunStatus::Failed, Some(moment(after)));
    Commit { summary: Some(summary), wake: Wake::Never, ..commit(new.run, 1, 2, 1) }
}

/// What [`Subject::end`] leaves to be said.
fn tombstone(namespace: Namespace, run: RunId, after: i64) -> Tombstone {
    Tombstone {
        run,
        namespace,
        workflow: "sales".parse().unwrap(),
        status: RunStatus::Failed,
        ended_at: moment(after),
        purged_at: moment(after + 1),
        last_seq: 3,
        history: Digest::of(b"a history"),
    }
}

/// A run of a namespace.
fn of(namespace: &str, n: u64) -> NewRun {
    NewRun { namespace: namespace.parse().unwrap(), ..new_run(n) }
}

/// Makes a `#[test]` of each case of the contract of [`Retention`]. The argument is called for each: a function or closure
/// that returns a future of a fresh [`Subject`](crate::conformance::retention::Subject).
#[macro_export]
macro_rules! retention_conformance {
    ($fresh:expr) => {
        $crate::__retention_cases!(tests($fresh));
    };
}

/// The one list of cases; hands them to [`__each_case!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __retention_cases {
    ($form:ident($($argument:expr)?)) => {
        $crate::__each_case! { retention $form($($argument)?)
            ended::what_ended_before_a_moment_is_found,
            ended::ended_runs_come_in_pages_newest_first,
            ended::a_filter_and_a_namespace_hold,
            ended::the_namespaces_of_runs_are_told,
            purge::nothing_of_a_purged_run_is_left,
            purge::its_key_and_its_request_are_free,
            purge::a_tombstone_stays_and_says_what_was,
            purge::what_has_not_ended_stays,
            purge::what_is_not_as_the_tombstone_says_stays,
            purge::a_command_that_waits_keeps_a_run,
            purge::neighbours_stay_as_they_are,
            purge::a_purged_run_takes_nothing_any_more,
            purge::a_purge_that_is_repeated_changes_nothing,
            purge::a_purge_and_a_reopening_never_both_happen,
            sweep::payloads_of_no_run_go,
            sweep::payloads_that_a_run_may_come_for_stay,
            sweep::payloads_are_swept_in_pages,
            sweep::definitions_go_that_no_run_uses,
            sweep::a_definition_that_is_used_stays,
            sweep::a_run_is_created_with_a_definition_that_went,
            sweep::definitions_that_are_noted_keep_no_run_from_being_created,
        }
    };
}
