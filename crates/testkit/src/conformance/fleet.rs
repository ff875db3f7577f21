//! The contract of [`Fleet`].
//!
//! In an adapter's tests, this makes a `#[test]` of each case; how time passes for the store's clock is said by whoever wrote
//! the adapter:
//!
//! ```text
//! tutti_testkit::fleet_conformance!(|| async { Subject::new(MyFleet::connect().await, MyTime) });
//! ```

#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

mod concurrency;
mod lease;
mod member;
mod replaced;
mod walk;

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tutti_core::ids::ServerId;
use tutti_core::ports::fleet::{Fleet, Member, Standing};

use super::Case;

/// The lease of the cases, unless [`Subject::leasing`] says otherwise: much longer than a case takes.
const LEASE: Duration = Duration::from_secs(600);

/// The format that members read unless a case says otherwise.
const READS: u16 = 7;

/// How time passes for leases.
#[async_trait]
pub trait Time: Send + Sync {
    /// Lets a span pass by the clock that leases are measured by, which may go on by itself as well: by waiting, by setting
    /// that clock, or by making all leases end so much earlier.
    async fn pass(&self, span: Duration);
}

/// A fresh fleet without members, that no other case uses.
pub struct Subject {
    fleet: Arc<dyn Fleet>,
    time: Box<dyn Time>,
    lease: Duration,
    // Dropped last.
    _guard: Box<dyn Any + Send + Sync>,
}

impl Subject {
    /// A fleet, and how time passes for it.
    pub fn new(fleet: impl Fleet + 'static, time: impl Time + 'static) -> Self {
        Self { fleet: Arc::new(fleet), time: Box::new(time), lease: LEASE, _guard: Box::new(()) }
    }

    /// Another lease, for those who must really wait. Half of it is much longer than a few calls take.
    #[must_use]
    pub fn leasing(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// Keeps something, such as a temporary folder, until the case is over.
    #[must_use]
    pub fn keeping(self, guard: impl Any + Send + Sync) -> Self {
        Self { _guard: Box::new(guard), ..self }
    }

    /// Joins as a server that reads what all others do.
    async fn join(&self, server: &str) -> Member {
        self.join_reading(server, READS).await
    }

    /// Joins as a server that reads histories up to a format.
    async fn join_reading(&self, server: &str, reads: u16) -> Member {
        let id: ServerId = server.parse().unwrap();
        let member = self.fleet.join(&id, self.lease, reads).await.unwrap();
        assert_eq!((&member.server, member.lease), (&id, self.lease));
        member
    }

    /// Renews the lease of a member that is not replaced: its slots, and how many servers there are.
    async fn renew(&self, member: &Member) -> (BTreeSet<u16>, usize) {
        match self.fleet.renew(member).await.unwrap() {
            Standing::Holds { slots, servers, .. } => (slots, servers),
            standing => panic!("{member:?}: {standing:?}"),
        }
    }

    /// The newest format that every server reads; renews the lease of a member.
    async fn reads(&self, member: &Member) -> u16 {
        match self.fleet.renew(member).await.unwrap() {
            Standing::Holds { reads, .. } => reads,
            standing => panic!("{member:?}: {standing:?}"),
        }
    }

    /// The slots of a member; renews its lease.
    async fn slots(&self, member: &Member) -> BTreeSet<u16> {
        self.renew(member).await.0
    }

    async fn take(&self, member: &Member, most: usize) -> BTreeSet<u16> {
        let taken = self.fleet.take(member, most).await.unwrap();
        assert!(taken.len() <= most, "{} slots, at most {most} were asked for", taken.len());
        taken
    }

    async fn give_up(&self, member: &Member, slots: &BTreeSet<u16>) {
        self.fleet.give_up(member, slots).await.unwrap();
    }

    async fn leave(&self, member: &Member) {
        self.fleet.leave(member).await.unwrap();
    }

    /// Lets so many hundredths of a lease pass.
    async fn pass(&self, percent: u32) {
        self.time.pass(self.lease * percent / 100).await;
    }
}

/// Every case, for those who do not want [`fleet_conformance!`](crate::fleet_conformance).
#[must_use]
pub fn all() -> Vec<Case<Subject>> {
    crate::__fleet_cases!(list())
}

/// The case of a name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn case(name: &str) -> Case<Subject> {
    all().into_iter().find(|case| case.name == name).expect("a case of this name")
}

/// Makes a `#[test]` of each case of the contract of fleets. The argument is called for each: a function or closure that
/// returns a future of a fresh [`Subject`](crate::conformance::fleet::Subject).
#[macro_export]
macro_rules! fleet_conformance {
    ($fresh:expr) => {
        $crate::__fleet_cases!(tests($fresh));
    };
}

/// The one list of cases; hands them to [`__each_case!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __fleet_cases {
    ($form:ident($($argument:expr)?)) => {
        $crate::__each_case! { fleet $form($($argument)?)
            member::a_server_joins_without_slots,
            member::a_member_takes_at_most_what_it_asks_for,
            member::a_slot_has_one_holder,
            member::every_slot_can_be_taken,
            member::what_is_given_up_can_be_taken,
            member::a_member_gives_up_its_own_slots_only,
            member::who_leaves_has_no_slots_and_is_not_counted,
            member::who_left_takes_nothing,
            member::who_left_may_join_again_as_another_member,
            lease::a_lease_that_lasts_keeps_the_slots,
            lease::renewing_keeps_the_slots,
            lease::slots_of_a_lease_that_is_over_can_be_taken,
            lease::a_late_holder_sees_what_is_gone,
            lease::a_late_holder_keeps_what_nobody_took,
            lease::a_member_whose_lease_is_over_takes_nothing,
            lease::servers_are_counted_by_their_leases,
            lease::each_member_has_the_lease_that_it_joined_with,
            lease::taking_and_giving_up_renew_nothing,
            lease::what_every_server_reads_goes_by_those_whose_leases_last,
            replaced::a_server_that_joins_again_keeps_its_slots_at_once,
            replaced::who_is_replaced_is_told_so,
            replaced::who_is_replaced_takes_nothing,
            replaced::who_is_replaced_gives_up_nothing,
            replaced::who_is_replaced_does_not_leave_for_its_successor,
            replaced::who_is_replaced_renews_nothing,
            replaced::a_server_that_joins_again_late_keeps_what_nobody_took,
            replaced::a_server_that_joins_again_may_read_something_else,
            replaced::every_incarnation_has_a_number_of_its_own,
            concurrency::members_that_take_at_once_share_the_slots,
            concurrency::slots_go_from_hand_to_hand_at_once,
            concurrency::one_of_many_that_join_under_an_id_holds_its_slots,
            walk::random_walks_match_the_model,
        }
    };
}
