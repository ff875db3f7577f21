//! The contract of [`RunStore`], [`RunQuery`], [`PayloadStore`] and [`RecordStore`].
//!
//! In an adapter's tests, this makes a `#[test]` of each case:
//!
//! ```text
//! tutti_testkit::store_conformance!(|| async { Subject::new(MyStore::connect().await) });
//! ```

#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

mod calls;
mod claim;
mod commit;
mod concurrency;
mod create;
mod due;
mod events;
mod filter;
mod key;
mod list;
mod model;
mod payload;
mod records;
mod snapshot;

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tutti_core::ports::payload::PayloadStore;
use tutti_core::ports::query::RunQuery;
use tutti_core::ports::records::RecordStore;
use tutti_core::ports::store::RunStore;

/// Longest that a case may take: an adapter that hangs fails instead of stopping everything.
const DEADLINE: Duration = Duration::from_secs(120);

/// A fresh store, empty, that no other case uses.
pub struct Subject {
    runs: Arc<dyn RunStore>,
    query: Arc<dyn RunQuery>,
    payloads: Arc<dyn PayloadStore>,
    records: Arc<dyn RecordStore>,
    // Dropped last.
    _guard: Box<dyn Any + Send + Sync>,
}

impl Subject {
    /// One value that is all of the ports.
    pub fn new<S: RunStore + RunQuery + PayloadStore + RecordStore + 'static>(store: S) -> Self {
        let store = Arc::new(store);
        let (runs, query, payloads) = (store.clone(), store.clone(), store.clone());
        Self { runs, query, payloads, records: store, _guard: Box::new(()) }
    }

    /// Keeps something, such as a temporary folder, until the case is over.
    #[must_use]
    pub fn keeping(self, guard: impl Any + Send + Sync) -> Self {
        Self { _guard: Box::new(guard), ..self }
    }
}

/// One rule of the contract, and the code that checks it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What holds.
    pub name: &'static str,
    /// Panics if it does not hold.
    pub run: fn(Subject) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Every case, for those who do not want [`store_conformance!`](crate::store_conformance).
#[must_use]
pub fn all() -> Vec<Case> {
    crate::__store_cases!(list())
}

/// Runs a case on a fresh store, on a runtime of its own.
///
/// # Panics
/// If the rule does not hold, if it takes two minutes, or if there is no case of this name.
pub fn check<F: Future<Output = Subject>>(name: &str, fresh: impl FnOnce() -> F) {
    let case = all().into_iter().find(|case| case.name == name).expect("a case of this name");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let done = tokio::time::timeout(DEADLINE, (case.run)(fresh().await)).await;
        done.unwrap_or_else(|_| panic!("\"{name}\" takes longer than {DEADLINE:?}"));
    });
}

/// Makes a `#[test]` of each case of the contract of stores. The argument is called for each: a function or closure
/// that returns a future of a fresh [`Subject`](crate::conformance::store::Subject).
#[macro_export]
macro_rules! store_conformance {
    ($fresh:expr) => {
        $crate::__store_cases!(tests($fresh));
    };
}

/// The one list of cases; hands them to [`__each_store_case!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __store_cases {
    ($form:ident($($argument:expr)?)) => {
        $crate::__each_store_case! { $form($($argument)?)
            create::a_created_run_is_found_with_its_first_events,
            create::a_repeated_request_creates_nothing_and_names_the_run,
            create::a_request_id_is_free_in_another_namespace,
            create::a_run_id_is_created_once,
            create::first_events_are_numbered_from_one,
            create::a_definition_is_kept_once_and_given_back,
            create::a_definition_has_its_hash,
            create::the_creator_owns_the_run_at_epoch_one,
            create::every_field_of_a_summary_is_kept,
            key::a_key_that_is_held_creates_nothing,
            key::a_key_is_taken_from_the_run_that_has_it,
            key::a_key_that_nobody_has_is_free_for_all,
            key::a_repeated_request_comes_before_its_key,
            key::a_refused_run_takes_no_key,
            key::keys_are_apart,
            commit::events_follow_what_was_expected,
            commit::another_sequence_is_refused,
            commit::another_epoch_is_refused,
            commit::a_refused_commit_changes_nothing,
            commit::a_repeated_commit_is_applied_once,
            commit::a_repeated_commit_is_known_after_a_claim,
            commit::an_older_commit_is_not_known_any_more,
            commit::neighbours_of_a_refused_commit_are_applied,
            commit::a_commit_to_no_run_is_refused,
            commit::a_run_stands_once_in_a_call,
            commit::a_gap_in_the_events_is_an_error_for_the_whole_call,
            commit::the_summary_changes_only_when_given,
            commit::a_commit_may_have_no_events,
            commit::a_call_may_have_no_commits,
            commit::a_thousand_runs_commit_in_one_call,
            commit::thousands_of_events_commit_at_once,
            commit::min_reader_never_falls,
            claim::a_claim_raises_the_epoch_and_tells_where_the_run_is,
            claim::a_claim_fences_the_owner_before,
            claim::claims_are_counted_until_a_commit,
            claim::a_claim_that_is_made_again_is_counted_once,
            claim::a_refused_or_repeated_commit_does_not_reset_the_count,
            claim::a_claim_of_no_run_finds_none,
            claim::a_claim_changes_only_its_run,
            claim::a_run_that_needs_a_newer_reader_stays_its_owners,
            events::pages_cover_the_history,
            events::nothing_stands_beyond_the_end,
            events::every_byte_is_kept,
            events::every_number_is_kept,
            events::events_carry_the_epoch_of_their_writer,
            list::runs_come_newest_first,
            list::pages_cover_every_run_once,
            list::new_runs_do_not_disturb_the_pages,
            list::the_last_page_has_no_cursor,
            list::filters_choose_by_state_and_workflow,
            list::a_filter_follows_the_state,
            list::namespaces_are_apart,
            list::limits_are_kept,
            list::a_forged_cursor_is_refused,
            list::a_run_is_found_by_the_beginning_of_its_id,
            list::odd_prefixes_find_nothing,
            filter::each_filter_takes_what_it_asks_for,
            filter::what_no_run_has_takes_none,
            filter::a_filter_may_have_many_terms,
            filter::filters_follow_the_summary,
            filter::runs_are_counted_by_state,
            due::each_wake_is_due_at_its_time,
            due::a_commit_moves_the_wake,
            due::active_runs_come_in_pages_in_order,
            due::waiting_runs_come_in_turn_between_namespaces,
            due::only_the_slots_asked_for_are_due,
            due::runs_that_need_a_newer_reader_are_not_due,
            due::a_claim_leaves_the_wake,
            snapshot::a_snapshot_is_given_back,
            snapshot::the_newest_snapshot_stays,
            snapshot::a_snapshot_needs_its_history,
            payload::every_byte_is_kept_in_payloads,
            payload::a_large_payload_is_kept,
            payload::the_same_bytes_are_one_payload,
            payload::a_payload_belongs_to_its_run,
            payload::a_payload_may_come_before_its_run,
            records::a_document_is_given_back,
            records::a_document_is_replaced_by_its_revision_only,
            records::a_document_is_deleted_by_its_revision_only,
            records::kinds_and_namespaces_of_documents_are_apart,
            records::documents_are_listed_by_the_bytes_of_their_names,
            records::documents_are_listed_from_a_name_on,
            records::a_document_has_its_greatest_size,
            concurrency::one_of_many_commits_wins,
            concurrency::one_of_many_requests_creates,
            concurrency::neighbours_of_a_refused_creation_are_created,
            concurrency::one_of_many_takes_a_key,
            concurrency::one_of_many_writes_a_document,
            concurrency::one_of_many_deletes_a_document,
            concurrency::concurrent_claims_have_epochs_of_their_own,
            concurrency::concurrent_payloads_are_all_kept,
            concurrency::a_reader_sees_whole_commits,
            concurrency::what_was_acknowledged_is_seen,
            model::random_walks_match_the_model,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __each_store_case {
    (list() $($module:ident::$name:ident),+ $(,)?) => {
        vec![$($crate::conformance::store::Case {
            name: stringify!($name),
            run: |subject| Box::pin($module::$name(subject)),
        }),+]
    };
    (tests($fresh:expr) $($module:ident::$name:ident),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                $crate::conformance::store::check(stringify!($name), $fresh);
            }
        )+
    };
}
