//! Joining, taking, giving up, leaving.

use std::collections::BTreeSet;

use tutti_core::limits::SLOTS;

use super::Subject;

pub async fn a_server_joins_without_slots(fleet: Subject) {
    let member = fleet.join("a").await;
    assert_eq!(member.incarnation, 1);
    assert_eq!(fleet.renew(&member).await, (BTreeSet::new(), 1));
}

pub async fn a_member_takes_at_most_what_it_asks_for(fleet: Subject) {
    let member = fleet.join("a").await;
    let mut slots = BTreeSet::new();
    for most in [0, 1, 10, 0, 100] {
        let taken = fleet.take(&member, most).await;
        assert_eq!(taken.len(), most, "there are enough");
        assert!(taken.is_disjoint(&slots), "it has them already");
        slots.extend(taken);
        assert_eq!(fleet.slots(&member).await, slots);
    }
}

pub async fn a_slot_has_one_holder(fleet: Subject) {
    let members = [fleet.join("a").await, fleet.join("b").await, fleet.join("c").await];
    let mut slots = [(); 3].map(|()| BTreeSet::new());
    for most in [300, 40, 1] {
        for (member, slots) in members.iter().zip(&mut slots) {
            slots.extend(fleet.take(member, most).await);
        }
    }
    for (member, slots) in members.iter().zip(&slots) {
        assert_eq!(slots.len(), 341);
        assert_eq!(fleet.renew(member).await, (slots.clone(), 3));
    }
    let all: BTreeSet<u16> = slots.iter().flatten().copied().collect();
    assert_eq!(all.len(), 3 * 341);
}

pub async fn every_slot_can_be_taken(fleet: Subject) {
    let (one, other) = (fleet.join("a").await, fleet.join("b").await);
    let (first, rest) = (fleet.take(&one, 1_000).await, fleet.take(&other, usize::MAX).await);
    assert_eq!((first.len(), rest.len()), (1_000, 24));
    let all: BTreeSet<u16> = first.union(&rest).copied().collect();
    assert_eq!(all, (0..SLOTS).collect());
    assert!(fleet.take(&one, usize::MAX).await.is_empty());
    assert!(fleet.take(&other, 1).await.is_empty());
}

pub async fn what_is_given_up_can_be_taken(fleet: Subject) {
    let (one, other) = (fleet.join("a").await, fleet.join("b").await);
    let all = fleet.take(&one, usize::MAX).await;
    let (given, kept): (BTreeSet<u16>, BTreeSet<u16>) = all.into_iter().partition(|slot| slot % 3 == 0);
    fleet.give_up(&one, &given).await;
    assert_eq!(fleet.slots(&one).await, kept);
    assert_eq!(fleet.take(&other, usize::MAX).await, given);
    fleet.give_up(&other, &given).await;
    assert_eq!(fleet.take(&one, usize::MAX).await, given, "and back");
}

pub async fn a_member_gives_up_its_own_slots_only(fleet: Subject) {
    let (one, other) = (fleet.join("a").await, fleet.join("b").await);
    let (mine, theirs) = (fleet.take(&one, 10).await, fleet.take(&other, 10).await);
    fleet.give_up(&one, &theirs).await;
    fleet.give_up(&one, &BTreeSet::new()).await;
    assert_eq!(fleet.slots(&one).await, mine);
    assert_eq!(fleet.slots(&other).await, theirs);
    fleet.give_up(&one, &(0..SLOTS).collect()).await;
    assert!(fleet.slots(&one).await.is_empty());
    assert_eq!(fleet.slots(&other).await, theirs);
}

pub async fn who_leaves_has_no_slots_and_is_not_counted(fleet: Subject) {
    let (one, other) = (fleet.join("a").await, fleet.join("b").await);
    let all = fleet.take(&one, usize::MAX).await;
    assert_eq!(fleet.renew(&other).await.1, 2);
    fleet.leave(&one).await;
    assert_eq!(fleet.renew(&other).await.1, 1);
    assert_eq!(fleet.take(&other, usize::MAX).await, all);
}

pub async fn who_left_takes_nothing(fleet: Subject) {
    let (one, other) = (fleet.join("a").await, fleet.join("b").await);
    fleet.leave(&one).await;
    fleet.leave(&one).await;
    assert!(fleet.take(&one, 10).await.is_empty());
    // What it is told is of no matter: a renewal that was under way brings nobody back.
    fleet.fleet.renew(&one).await.unwrap();
    assert_eq!(fleet.renew(&other).await.1, 1);
    assert!(fleet.take(&one, 10).await.is_empty());
}

pub async fn who_left_may_join_again_as_another_member(fleet: Subject) {
    let first = fleet.join("a").await;
    fleet.take(&first, 10).await;
    fleet.leave(&first).await;
    let second = fleet.join("a").await;
    assert!(second.incarnation > first.incarnation, "{second:?} after {first:?}");
    assert_eq!(fleet.renew(&second).await, (BTreeSet::new(), 1), "its slots were nobody's");
    let slots = fleet.take(&second, 10).await;
    fleet.leave(&first).await;
    fleet.give_up(&first, &slots).await;
    assert_eq!(fleet.renew(&second).await, (slots, 1));
}
