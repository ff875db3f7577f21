//! Servers that are started again under their id.

use std::collections::BTreeSet;

use tutti_core::ports::fleet::{Member, Standing};

use super::Subject;

pub async fn a_server_that_joins_again_keeps_its_slots_at_once(fleet: Subject) {
    let (old, other) = (fleet.join("a").await, fleet.join("b").await);
    let slots = fleet.take(&old, 10).await;
    let new = fleet.join("a").await;
    assert_eq!(new.incarnation, old.incarnation + 1);
    assert!(fleet.take(&other, usize::MAX).await.is_disjoint(&slots));
    assert_eq!(fleet.renew(&new).await, (slots, 2), "it is one server");
}

pub async fn who_is_replaced_is_told_so(fleet: Subject) {
    let (old, new) = replaced(&fleet).await;
    for _ in 0..2 {
        assert_eq!(fleet.fleet.renew(&old).await, Ok(Standing::Replaced));
        fleet.pass(110).await;
    }
    assert_eq!(fleet.fleet.renew(&old).await, Ok(Standing::Replaced), "also after the lease of the other is over");
    fleet.leave(&new).await;
    assert_eq!(fleet.fleet.renew(&old).await, Ok(Standing::Replaced), "and after it left");
}

pub async fn who_is_replaced_takes_nothing(fleet: Subject) {
    let (old, new) = replaced(&fleet).await;
    assert!(fleet.take(&old, 10).await.is_empty());
    assert_eq!(fleet.slots(&new).await.len(), 10);
}

pub async fn who_is_replaced_gives_up_nothing(fleet: Subject) {
    let (old, new) = replaced(&fleet).await;
    let slots = fleet.slots(&new).await;
    fleet.give_up(&old, &slots).await;
    assert_eq!(fleet.slots(&new).await, slots);
}

pub async fn who_is_replaced_does_not_leave_for_its_successor(fleet: Subject) {
    let (old, new) = replaced(&fleet).await;
    fleet.leave(&old).await;
    let (slots, servers) = fleet.renew(&new).await;
    assert_eq!((slots.len(), servers), (10, 1));
}

pub async fn who_is_replaced_renews_nothing(fleet: Subject) {
    let (old, _) = replaced(&fleet).await;
    fleet.pass(60).await;
    assert_eq!(fleet.fleet.renew(&old).await, Ok(Standing::Replaced));
    fleet.pass(60).await;
    let other = fleet.join("b").await;
    assert_eq!(fleet.renew(&other).await.1, 1);
    assert_eq!(fleet.take(&other, usize::MAX).await.len(), 1_024);
}

pub async fn a_server_that_joins_again_late_keeps_what_nobody_took(fleet: Subject) {
    let old = fleet.join("a").await;
    let all = fleet.take(&old, usize::MAX).await;
    fleet.pass(110).await;
    let other = fleet.join("b").await;
    let gone = fleet.take(&other, 24).await;
    let new = fleet.join("a").await;
    assert!(fleet.take(&other, usize::MAX).await.is_empty(), "the rest has a holder again");
    let left: BTreeSet<u16> = all.difference(&gone).copied().collect();
    assert_eq!(fleet.renew(&new).await, (left, 2));
    assert_eq!(fleet.slots(&other).await, gone);
}

pub async fn every_incarnation_has_a_number_of_its_own(fleet: Subject) {
    let mut last = 0;
    for n in 0..12 {
        let member = fleet.join("a").await;
        assert!(member.incarnation > last, "{member:?} after {last}");
        last = member.incarnation;
        match n % 3 {
            0 => fleet.leave(&member).await,
            1 => fleet.pass(110).await,
            _ => {}
        }
    }
    assert_eq!(fleet.join("b").await.incarnation, 1, "another server is counted apart");
}

/// A member with ten slots that was replaced, and its successor.
async fn replaced(fleet: &Subject) -> (Member, Member) {
    let old = fleet.join("a").await;
    assert_eq!(fleet.take(&old, 10).await.len(), 10);
    (old, fleet.join("a").await)
}

pub async fn a_server_that_joins_again_may_read_something_else(fleet: Subject) {
    let other = fleet.join_reading("b", 9).await;
    for reads in [4, 6, 5] {
        let member = fleet.join_reading("a", reads).await;
        assert_eq!([fleet.reads(&member).await, fleet.reads(&other).await], [reads, reads]);
    }
}
