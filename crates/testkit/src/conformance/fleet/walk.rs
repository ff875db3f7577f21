//! Random calls, compared with the plainest model of leases.

use std::collections::{BTreeMap, BTreeSet};

use tutti_core::limits::SLOTS;
use tutti_core::ports::fleet::{Member, Standing};

use super::{READS, Subject};
use crate::sim::Rng;

/// Few servers, so that they meet.
const SERVERS: usize = 4;
const WALKS: u64 = 4;
const CALLS: usize = 150;

#[derive(Debug, Default)]
struct Model {
    /// In hundredths of a lease. Time passes in steps whose sums are never about a lease.
    now: u64,
    /// The current member of each server, and when its lease is over; `None` after it left.
    servers: BTreeMap<String, (Member, Option<u64>)>,
    holders: BTreeMap<u16, String>,
    /// Every member that ever was.
    members: Vec<Member>,
}

pub async fn random_walks_match_the_model(fleet: Subject) {
    for walk in 0..WALKS {
        let (mut rng, mut model) = (Rng::new(walk), Model::default());
        for call in 0..CALLS {
            let server = format!("{walk}-{}", rng.below(SERVERS as u64));
            // Mostly the current member, sometimes one of old.
            let old = rng.below(model.members.len() as u64 + 1) as usize;
            let current = model.servers.get(&server).map(|(member, _)| member);
            let member = if rng.percent(15) { model.members.get(old).or(current) } else { current }.cloned();
            let about = format!("walk {walk}, call {call}");
            match (rng.below(16), member) {
                (0 | 1, _) | (_, None) => model.join(&fleet, server, &about).await,
                (2..=4, Some(member)) => model.renew(&fleet, &member, &about).await,
                (5..=9, Some(member)) => {
                    let most = [0, 1, 100, 400, usize::MAX][rng.below(5) as usize];
                    model.take(&fleet, &member, most, &about).await;
                }
                (10 | 11, Some(member)) => {
                    let begin = rng.below(u64::from(SLOTS)) as u16;
                    model.give_up(&fleet, &member, (begin..SLOTS.min(begin + 300)).collect()).await;
                }
                (12, Some(member)) => model.leave(&fleet, &member).await,
                _ => {
                    fleet.pass(30).await;
                    model.now += 30;
                }
            }
        }
        // The next walk begins with no server and no slot.
        for member in model.members.iter().rev() {
            fleet.leave(member).await;
        }
    }
}

impl Model {
    async fn join(&mut self, fleet: &Subject, server: String, about: &str) {
        let member = fleet.join(&server).await;
        let before = self.servers.get(&server).map_or(0, |(member, _)| member.incarnation);
        assert_eq!(member.incarnation, before + 1, "{about}");
        self.members.push(member.clone());
        self.servers.insert(server, (member, Some(self.now + 100)));
    }

    async fn renew(&mut self, fleet: &Subject, member: &Member, about: &str) {
        let standing = fleet.fleet.renew(member).await.unwrap();
        if !self.is_current(member) {
            // What a member that left is told is of no matter, as long as it is not brought back.
            let left = self.servers[member.server.as_str()].0 == *member;
            assert!(left || standing == Standing::Replaced, "{about}: {standing:?}");
            return;
        }
        self.servers.entry(member.server.to_string()).and_modify(|(_, until)| *until = Some(self.now + 100));
        let slots = self.slots_of(member.server.as_str());
        let servers = self.servers.keys().filter(|server| self.lives(server)).count();
        let Standing::Holds { slots: held, servers: counted, reads, .. } = standing else {
            panic!("{about}: {standing:?}");
        };
        assert_eq!((held, counted, reads), (slots, servers, READS), "{about}");
    }

    async fn take(&mut self, fleet: &Subject, member: &Member, most: usize, about: &str) {
        let taken = fleet.take(member, most).await;
        let server = member.server.as_str();
        let may = self.is_current(member) && self.lives(server);
        let free: BTreeSet<u16> =
            (0..SLOTS).filter(|slot| self.holders.get(slot).is_none_or(|holder| !self.lives(holder))).collect();
        let expected = if may { most.min(free.len()) } else { 0 };
        assert_eq!(taken.len(), expected, "{about}");
        assert!(taken.is_subset(&free), "{about}: some have a holder");
        self.holders.extend(taken.into_iter().map(|slot| (slot, server.to_owned())));
    }

    async fn give_up(&mut self, fleet: &Subject, member: &Member, slots: BTreeSet<u16>) {
        fleet.give_up(member, &slots).await;
        if self.is_current(member) {
            self.holders.retain(|slot, holder| holder != member.server.as_str() || !slots.contains(slot));
        }
    }

    async fn leave(&mut self, fleet: &Subject, member: &Member) {
        fleet.leave(member).await;
        if self.is_current(member) {
            self.holders.retain(|_, holder| holder != member.server.as_str());
            self.servers.entry(member.server.to_string()).and_modify(|(_, until)| *until = None);
        }
    }

    /// True for a member that was not replaced and did not leave.
    fn is_current(&self, member: &Member) -> bool {
        let server = self.servers.get(member.server.as_str());
        server.is_some_and(|(current, until)| current == member && until.is_some())
    }

    fn lives(&self, server: &str) -> bool {
        self.servers.get(server).and_then(|(_, until)| *until).is_some_and(|until| self.now < until)
    }

    fn slots_of(&self, server: &str) -> BTreeSet<u16> {
        self.holders.iter().filter(|(_, holder)| *holder == server).map(|(slot, _)| *slot).collect()
    }
}
