//! Sharing slots among the servers of one process, as tests have them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tutti_core::ids::ServerId;
use tutti_core::limits::SLOTS;
use tutti_core::ports::clock::Clock;
use tutti_core::ports::fleet::{Fleet, Member, Standing};
use tutti_core::ports::store::StoreError;
use tutti_core::time::Timestamp;

/// Shares slots among servers of one process. No call waits, and none needs a runtime.
pub struct MemoryFleet {
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
}

impl MemoryFleet {
    /// A fleet without members, whose leases are measured by a clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, table: Mutex::default() }
    }

    /// The table, and what time it is.
    fn table(&self) -> (MutexGuard<'_, Table>, Timestamp) {
        let table = self.table.lock().expect("nothing panics while it holds the lock");
        (table, self.clock.now())
    }
}

impl fmt::Debug for MemoryFleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryFleet").field("table", &self.table).finish_non_exhaustive()
    }
}

#[async_trait]
impl Fleet for MemoryFleet {
    async fn join(&self, server: &ServerId, lease: Duration, reads: u16) -> Result<Member, StoreError> {
        let (mut table, now) = self.table();
        Ok(table.join(server, (lease, reads), now))
    }

    async fn renew(&self, member: &Member) -> Result<Standing, StoreError> {
        let (mut table, now) = self.table();
        Ok(table.renew(member, now))
    }

    async fn take(&self, member: &Member, most: usize) -> Result<BTreeSet<u16>, StoreError> {
        let (mut table, now) = self.table();
        Ok(table.take(member, most, now))
    }

    async fn give_up(&self, member: &Member, slots: &BTreeSet<u16>) -> Result<(), StoreError> {
        self.table().0.give_up(member, slots);
        Ok(())
    }

    async fn leave(&self, member: &Member) -> Result<(), StoreError> {
        self.table().0.leave(member);
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Table {
    /// Every server that ever joined: so an incarnation is never given twice.
    servers: HashMap<ServerId, Server>,
    holders: BTreeMap<u16, ServerId>,
}

#[derive(Debug)]
struct Server {
    incarnation: u64,
    /// When its lease is over; `None` after it left.
    until: Option<Timestamp>,
    /// The newest format that it reads.
    reads: u16,
}

impl Table {
    fn join(&mut self, id: &ServerId, (lease, reads): (Duration, u16), now: Timestamp) -> Member {
        let server = self.servers.entry(id.clone()).or_insert(Server { incarnation: 0, until: None, reads });
        server.incarnation += 1;
        server.until = Some(now.plus(lease));
        server.reads = reads;
        Member { server: id.clone(), incarnation: server.incarnation, lease }
    }

    fn renew(&mut self, member: &Member, now: Timestamp) -> Standing {
        let Some(server) = self.current(member) else { return Standing::Replaced };
        server.until = Some(now.plus(member.lease));
        let slots =
            self.holders.iter().filter(|(_, holder)| **holder == member.server).map(|(slot, _)| *slot).collect();
        let living = self.servers.iter().filter(|(id, _)| self.lives(id, now)).map(|(_, server)| server.reads);
        let (servers, reads) = living.fold((0, u16::MAX), |(count, least), reads| (count + 1, least.min(reads)));
        Standing::Holds { slots, servers, reads, timeline: 1 }
    }

    fn take(&mut self, member: &Member, most: usize, now: Timestamp) -> BTreeSet<u16> {
        if self.current(member).is_none() || !self.lives(&member.server, now) {
            return BTreeSet::new();
        }
        let free = |slot: &u16| self.holders.get(slot).is_none_or(|holder| !self.lives(holder, now));
        let taken: BTreeSet<u16> = (0..SLOTS).filter(free).take(most).collect();
        self.holders.extend(taken.iter().map(|slot| (*slot, member.server.clone())));
        taken
    }

    fn give_up(&mut self, member: &Member, slots: &BTreeSet<u16>) {
        if self.current(member).is_some() {
            self.holders.retain(|slot, holder| *holder != member.server || !slots.contains(slot));
        }
    }

    fn leave(&mut self, member: &Member) {
        if let Some(server) = self.current(member) {
            server.until = None;
            self.holders.retain(|_, holder| *holder != member.server);
        }
    }

    /// The server that a member is, unless it was replaced or has left.
    fn current(&mut self, member: &Member) -> Option<&mut Server> {
        let server = self.servers.get_mut(&member.server)?;
        (server.incarnation == member.incarnation && server.until.is_some()).then_some(server)
    }

    fn lives(&self, server: &ServerId, now: Timestamp) -> bool {
        self.servers.get(server).and_then(|server| server.until).is_some_and(|until| now < until)
    }
}
