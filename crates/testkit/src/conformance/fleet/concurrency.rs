//! Many servers at once.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;
use tutti_core::limits::SLOTS;
use tutti_core::ports::fleet::{Member, Standing};

use super::{READS, Subject};

const SERVERS: u64 = 8;

pub async fn members_that_take_at_once_share_the_slots(fleet: Subject) {
    let members = members(&fleet).await;
    let mut takers = JoinSet::new();
    for member in members.clone() {
        let fleet = fleet.fleet.clone();
        takers.spawn(async move {
            let mut slots = BTreeSet::new();
            // Some of them in between find nothing, if others are just taking what they would take.
            while slots.len() < 128 {
                let most = 37.min(128 - slots.len());
                let taken = fleet.take(&member, most).await.unwrap();
                assert!(taken.len() <= most && taken.is_disjoint(&slots));
                slots.extend(taken);
            }
            slots
        });
    }
    let all: Vec<u16> = takers.join_all().await.into_iter().flatten().collect();
    assert_eq!(all.len(), usize::from(SLOTS));
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), (0..SLOTS).collect(), "a slot has two holders");
    for member in &members {
        let (slots, servers) = fleet.renew(member).await;
        assert_eq!((slots.len(), servers), (128, 8));
    }
}

pub async fn slots_go_from_hand_to_hand_at_once(fleet: Subject) {
    let held: Arc<Mutex<HashSet<u16>>> = Arc::default();
    let mut takers = JoinSet::new();
    for member in members(&fleet).await {
        let (fleet, held) = (fleet.fleet.clone(), held.clone());
        takers.spawn(async move {
            for round in 0..10 {
                let mine = fleet.take(&member, 300 + round).await.unwrap();
                for slot in &mine {
                    assert!(held.lock().unwrap().insert(*slot), "slot {slot} has two holders");
                }
                tokio::task::yield_now().await;
                assert!(matches!(&fleet.renew(&member).await, Ok(Standing::Holds { slots, .. }) if *slots == mine));
                held.lock().unwrap().retain(|slot| !mine.contains(slot));
                fleet.give_up(&member, &mine).await.unwrap();
            }
        });
    }
    takers.join_all().await;
    let last = fleet.join("last").await;
    assert_eq!(fleet.take(&last, usize::MAX).await.len(), usize::from(SLOTS), "all were given up");
}

pub async fn one_of_many_that_join_under_an_id_holds_its_slots(fleet: Subject) {
    let first = fleet.join("a").await;
    let slots = fleet.take(&first, 10).await;
    for _ in 0..10 {
        let mut joining = JoinSet::new();
        for _ in 0..SERVERS {
            let (fleet, lease) = (fleet.fleet.clone(), fleet.lease);
            joining.spawn(async move { fleet.join(&"a".parse().unwrap(), lease, READS).await.unwrap() });
        }
        let mut members = joining.join_all().await;
        members.sort_by_key(|member| member.incarnation);
        assert!(members.is_sorted_by(|one, next| one.incarnation < next.incarnation), "{members:?}");
        let last = members.pop().unwrap();
        for member in members {
            assert_eq!(fleet.fleet.renew(&member).await, Ok(Standing::Replaced));
        }
        assert_eq!(fleet.renew(&last).await, (slots.clone(), 1));
    }
}

async fn members(fleet: &Subject) -> Vec<Member> {
    let mut members = Vec::new();
    for n in 0..SERVERS {
        members.push(fleet.join(&format!("server-{n}")).await);
    }
    members
}
