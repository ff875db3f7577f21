//! Leases, and what happens when they are over.

use std::collections::BTreeSet;

use super::{READS, Subject};

pub async fn a_lease_that_lasts_keeps_the_slots(fleet: Subject) {
    let one = fleet.join("a").await;
    let all = fleet.take(&one, usize::MAX).await;
    fleet.pass(50).await;
    let other = fleet.join("b").await;
    assert!(fleet.take(&other, usize::MAX).await.is_empty());
    assert_eq!(fleet.renew(&one).await, (all, 2));
}

pub async fn renewing_keeps_the_slots(fleet: Subject) {
    let (one, other) = (fleet.join("a").await, fleet.join("b").await);
    let all = fleet.take(&one, usize::MAX).await;
    for _ in 0..4 {
        fleet.pass(60).await;
        assert_eq!(fleet.renew(&one).await, (all.clone(), 2));
        assert_eq!(fleet.renew(&other).await, (BTreeSet::new(), 2));
        assert!(fleet.take(&other, usize::MAX).await.is_empty());
    }
}

pub async fn slots_of_a_lease_that_is_over_can_be_taken(fleet: Subject) {
    let one = fleet.join("a").await;
    let all = fleet.take(&one, usize::MAX).await;
    fleet.pass(110).await;
    let other = fleet.join("b").await;
    let some = fleet.take(&other, 100).await;
    assert_eq!(some.len(), 100);
    let rest = fleet.take(&other, usize::MAX).await;
    assert_eq!(some.union(&rest).copied().collect::<BTreeSet<_>>(), all);
    assert_eq!(fleet.renew(&other).await, (all, 1));
}

pub async fn a_late_holder_sees_what_is_gone(fleet: Subject) {
    let one = fleet.join("a").await;
    let all = fleet.take(&one, usize::MAX).await;
    fleet.pass(110).await;
    let other = fleet.join("b").await;
    let gone = fleet.take(&other, 100).await;
    let left: BTreeSet<u16> = all.difference(&gone).copied().collect();
    assert_eq!(fleet.renew(&one).await, (left.clone(), 2));
    assert!(fleet.take(&other, usize::MAX).await.is_empty(), "the rest has a holder again");
    fleet.give_up(&one, &gone).await;
    assert_eq!(fleet.slots(&other).await, gone, "what is gone is not the late holder's to give up");
    assert_eq!(fleet.slots(&one).await, left);
}

pub async fn a_late_holder_keeps_what_nobody_took(fleet: Subject) {
    let (one, other) = (fleet.join("a").await, fleet.join("b").await);
    let slots = fleet.take(&one, 10).await;
    fleet.pass(300).await;
    assert_eq!(fleet.renew(&one).await, (slots.clone(), 1));
    fleet.renew(&other).await;
    assert!(fleet.take(&other, usize::MAX).await.is_disjoint(&slots));
}

pub async fn a_member_whose_lease_is_over_takes_nothing(fleet: Subject) {
    let one = fleet.join("a").await;
    let slots = fleet.take(&one, 10).await;
    fleet.pass(110).await;
    assert!(fleet.take(&one, 10).await.is_empty());
    assert_eq!(fleet.slots(&one).await, slots);
    assert_eq!(fleet.take(&one, 10).await.len(), 10, "its lease lasts again");
}

pub async fn servers_are_counted_by_their_leases(fleet: Subject) {
    let one = fleet.join("a").await;
    fleet.pass(60).await;
    let two = fleet.join("b").await;
    assert_eq!(fleet.renew(&two).await.1, 2);
    fleet.pass(60).await;
    assert_eq!(fleet.renew(&two).await.1, 1, "the first one's is over");
    let three = fleet.join("c").await;
    assert_eq!(fleet.renew(&three).await.1, 2);
    assert_eq!(fleet.renew(&one).await.1, 3, "who renews is counted");
    fleet.pass(110).await;
    assert_eq!(fleet.renew(&two).await.1, 1);
}

pub async fn each_member_has_the_lease_that_it_joined_with(fleet: Subject) {
    let one = fleet.join("a").await;
    let long = fleet.fleet.join(&"b".parse().unwrap(), fleet.lease * 4, READS).await.unwrap();
    let (short, kept) = (fleet.take(&one, 10).await, fleet.take(&long, 10).await);
    for _ in 0..2 {
        fleet.pass(300).await;
        let third = fleet.join("c").await;
        let taken = fleet.take(&third, usize::MAX).await;
        assert!(taken.is_superset(&short) && taken.is_disjoint(&kept));
        assert_eq!(fleet.renew(&long).await, (kept.clone(), 2));
        fleet.leave(&third).await;
    }
}

pub async fn taking_and_giving_up_renew_nothing(fleet: Subject) {
    let one = fleet.join("a").await;
    fleet.pass(60).await;
    let slots = fleet.take(&one, 10).await;
    assert_eq!(slots.len(), 10);
    let given = slots.iter().copied().take(5).collect();
    fleet.give_up(&one, &given).await;
    fleet.pass(60).await;
    let other = fleet.join("b").await;
    assert_eq!(fleet.renew(&other).await.1, 1);
    assert!(fleet.take(&other, usize::MAX).await.is_superset(&slots));
}

pub async fn what_every_server_reads_goes_by_those_whose_leases_last(fleet: Subject) {
    let one = fleet.join_reading("a", 4).await;
    assert_eq!(fleet.reads(&one).await, 4);
    let newer = fleet.join_reading("b", 5).await;
    assert_eq!([fleet.reads(&one).await, fleet.reads(&newer).await], [4, 4]);
    fleet.pass(60).await;
    assert_eq!(fleet.reads(&newer).await, 4);
    fleet.pass(60).await;
    assert_eq!(fleet.reads(&newer).await, 5, "the lease of the older one is over");
    assert_eq!(fleet.reads(&one).await, 4, "it is back");
    assert_eq!(fleet.reads(&newer).await, 4);
    fleet.leave(&one).await;
    assert_eq!(fleet.reads(&newer).await, 5, "it left");
}
