//! Sharing the slots of one store among servers.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;

use super::store::StoreError;
use crate::ids::ServerId;

/// Which server has which slots. A slot has one holder at a time; which server drives a run follows from the run's slot.
///
/// Contract: leases are measured by the store's clock alone. Holding a slot is a hint who is to claim its runs, not a guard:
/// what keeps two servers from writing a run is the epoch in the run's own row. A member whose server id joined again is
/// replaced, and every later call of it is answered as [`Standing::Replaced`]. A store that may go back, because a copy of it takes
/// its place, gives no number of a member twice nevertheless.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// Takes part under a server id, as one that reads histories up to the format `reads`. One that is known already is
    /// replaced by this member at once, and the slots that it held are this member's.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn join(&self, server: &ServerId, lease: Duration, reads: u16) -> Result<Member, StoreError>;

    /// Renews the lease, and says how things stand.
    ///
    /// # Errors
    /// [`StoreError`]; whether the lease was renewed is not known then.
    async fn renew(&self, member: &Member) -> Result<Standing, StoreError>;

    /// Takes slots that nobody holds, or whose holder's lease is over; at most so many. The slots that were taken.
    ///
    /// # Errors
    /// [`StoreError`]; none is taken by a member whose own lease is over.
    async fn take(&self, member: &Member, most: usize) -> Result<BTreeSet<u16>, StoreError>;

    /// Gives up slots that the member holds.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn give_up(&self, member: &Member, slots: &BTreeSet<u16>) -> Result<(), StoreError>;

    /// Leaves: the slots are nobody's, and the server is not counted any more.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn leave(&self, member: &Member) -> Result<(), StoreError>;
}

/// A server that takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub server: ServerId,
    /// Rises each time that a server joins under this id.
    pub incarnation: u64,
    /// How long its lease lasts from each renewal.
    pub lease: Duration,
}

/// How things stand for a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Its lease is renewed.
    Holds {
        /// Its slots.
        slots: BTreeSet<u16>,
        /// Servers whose leases last, itself included.
        servers: usize,
        /// The newest format of histories that all of them read. Nothing newer is to be written: each may come to have any
        /// run.
        reads: u16,
        /// The line of history that the store is on. If it is another one than at the last renewal, a copy has taken the place
        /// of the store, and what was acknowledged last may be missing.
        timeline: u64,
    },
    /// Another server joined under its id.
    Replaced,
    /// The store does not know of the member any more, or not yet again: it is a copy that lacks when it joined, or the
    /// member was away for days. It has nothing, and may join again.
    Unknown,
}
