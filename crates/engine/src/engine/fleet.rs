//! This engine as one of several that share a store: it renews its lease, takes its share of the slots and gives up what is
//! more, and fences itself when it cannot renew.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};
use tutti_core::ids::ServerId;
use tutti_core::limits::SLOTS;
use tutti_core::ports::fleet::{Fleet, Member, Standing};
use tutti_core::ports::inbound::health::{FleetHealth, Lease};
use tutti_core::ports::store::StoreError;
use tutti_core::run::FORMAT;

use super::{Engine, EngineError};
use crate::driver::Message;

/// How often is looked whether there are slots.
const LOOK: Duration = Duration::from_millis(20);

/// How an engine takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetOptions {
    /// The id of this server; another start under the same id replaces it at once.
    pub server: ServerId,
    /// How long it is trusted after each renewal; it renews three times as often. Default: 10 s.
    pub lease: Duration,
}

/// An engine that takes part in a fleet.
pub struct FleetMembership {
    engine: Engine,
    fleet: Arc<dyn Fleet>,
    member: Member,
    /// When the last renewal that was answered was asked for.
    renewed: Instant,
    /// The line of history that the store was on then.
    timeline: Option<u64>,
    fenced: bool,
    /// When all runs of the slots were looked for.
    looked: Instant,
    /// Slots whose runs are not let go of yet: they are neither given up nor taken again before.
    leaving: BTreeSet<u16>,
    /// Slots whose runs are to be taken over.
    unloaded: BTreeSet<u16>,
    /// Runs of slots that came are being taken over; the slots whose runs could not all be.
    loading: JoinSet<BTreeSet<u16>>,
}

impl Engine {
    /// Joins a fleet. From now on the engine has only the slots that the fleet gives it; [`FleetMembership::run`] gets
    /// them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn join(&self, fleet: Arc<dyn Fleet>, options: FleetOptions) -> Result<FleetMembership, StoreError> {
        self.0.slots.set(BTreeSet::new());
        let renewed = Instant::now();
        let member = fleet.join(&options.server, options.lease, FORMAT).await?;
        self.stands(&member, 1, Lease::Held);
        Ok(FleetMembership {
            engine: self.clone(),
            fleet,
            member,
            renewed,
            timeline: None,
            fenced: false,
            looked: renewed,
            leaving: BTreeSet::new(),
            unloaded: BTreeSet::new(),
            loading: JoinSet::new(),
        })
    }

    /// Waits until the engine has a part of the store: from then on runs can be started here. An engine that shares with
    /// nobody has all of it from the beginning.
    pub async fn admitted(&self) {
        while self.0.slots.is_empty() {
            sleep(LOOK).await;
        }
    }

    /// How this engine shares its store with others; `None` if it has it alone.
    #[must_use]
    pub fn fleet(&self) -> Option<FleetHealth> {
        let standing = self.0.standing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (server, servers, lease) = standing?;
        Some(FleetHealth { server, slots: self.0.slots.get().len() as u32, servers, lease })
    }

    fn stands(&self, member: &Member, servers: usize, lease: Lease) {
        let servers = u32::try_from(servers).unwrap_or(u32::MAX);
        let standing = Some((member.server.clone(), servers, lease));
        *self.0.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    async fn let_go(&self, slots: &BTreeSet<u16>) {
        for lane in &self.0.lanes {
            let (reply, answer) = oneshot::channel();
            let done = Box::new(move || {
                let _ = reply.send(());
            });
            if lane.send(Message::LetGo(slots.clone(), done)).is_ok() {
                let _ = answer.await;
            }
        }
    }

    fn hold(&self, hold: bool) {
        for lane in &self.0.lanes {
            let _ = lane.send(Message::Hold(hold));
        }
    }
}

impl FleetMembership {
    /// Takes part until the server is replaced. Dropped, it renews no more: [`leave`](Self::leave) does so in good order.
    pub async fn run(&mut self) {
        let mut ticks = interval(self.member.lease / 3);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            while let Some(missed) = self.loading.try_join_next() {
                self.unloaded.extend(missed.unwrap_or_default());
            }
            let asked = Instant::now();
            // A store that does not answer must not keep the fence from falling.
            match timeout(self.member.lease / 3, self.fleet.renew(&self.member)).await {
                Ok(Ok(Standing::Holds { slots, servers, reads, timeline })) => {
                    if self.timeline.replace(timeline).is_some_and(|before| before != timeline) {
                        tracing::warn!("a copy has taken the place of the store: all runs are loaded anew");
                        self.fence();
                    }
                    self.renewed = asked;
                    self.engine.stands(&self.member, servers, Lease::Held);
                    self.engine.0.common.set(reads);
                    // What takes longer goes on beside the next renewals: neither they nor the fence wait for it.
                    if timeout(self.member.lease / 3, self.stand(slots, servers)).await.is_err() {
                        tracing::warn!("runs that are others' are not let go of yet");
                    }
                }
                Ok(Ok(Standing::Replaced)) => {
                    tracing::error!(server = %self.member.server, "another server was started under this server's id");
                    self.fence();
                    self.engine.stands(&self.member, 0, Lease::Replaced);
                    return;
                }
                Ok(Ok(Standing::Unknown)) => self.join_again(&mut ticks).await,
                Ok(Err(error)) => tracing::warn!(%error, "the lease was not renewed"),
                Err(_) => tracing::warn!("the lease was not renewed: the store does not answer"),
            }
            if !self.fenced {
                self.load();
            }
            // A run that was created in a slot just as the slot was given up is nobody's after a crash, unless it is looked
            // for.
            if !self.fenced && self.looked.elapsed() >= self.member.lease * 10 && self.loading.is_empty() {
                self.looked = Instant::now();
                self.unloaded = self.engine.0.slots.get();
                self.load();
            }
            // By the own clock, which the store's may be ahead of: nothing is started in the last third.
            if !self.fenced && self.renewed.elapsed() >= self.member.lease * 2 / 3 {
                tracing::error!(server = %self.member.server, "the lease runs out: nothing is started any more");
                self.fence();
            }
        }
    }

    /// Gives up all slots and leaves. To be called when the engine has let go of its runs.
    ///
    /// # Errors
    /// [`StoreError`]; the others take the slots when the lease is over.
    pub async fn leave(mut self) -> Result<(), StoreError> {
        self.loading.shutdown().await;
        self.engine.0.slots.set(BTreeSet::new());
        self.fleet.leave(&self.member).await
    }

    /// The store has forgotten this server, or is a copy of before it joined.
    async fn join_again(&mut self, ticks: &mut Interval) {
        tracing::warn!(server = %self.member.server, "the store does not know this server: it joins again");
        self.fence();
        match timeout(self.member.lease / 3, self.fleet.join(&self.member.server, self.member.lease, FORMAT)).await {
            Ok(Ok(member)) => {
                self.member = member;
                ticks.reset_immediately();
            }
            Ok(Err(error)) => tracing::warn!(%error, "it has not joined again"),
            Err(_) => tracing::warn!("it has not joined again: the store does not answer"),
        }
    }

    /// Nothing is started, and commands go to whoever has the slots.
    fn fence(&mut self) {
        self.fenced = true;
        self.engine.hold(true);
        self.engine.0.slots.set(BTreeSet::new());
        self.engine.stands(&self.member, 0, Lease::Lost);
    }

    /// Acts on how things stand: lets go of what was lost, takes what is missing, gives up what is more than a fair share.
    async fn stand(&mut self, held: BTreeSet<u16>, servers: usize) {
        let all = usize::from(SLOTS);
        let share = all.div_ceil(servers.max(1));
        let surplus: BTreeSet<u16> = held.iter().copied().skip(share).collect();
        let kept: BTreeSet<u16> = held.difference(&surplus).copied().collect();
        let had = self.engine.0.slots.get();
        let lost: BTreeSet<u16> = (0..SLOTS).filter(|slot| !kept.contains(slot)).collect();
        let new = self.engine.0.slots.set(kept.clone());
        // Before anything is waited for, so that none is forgotten.
        self.unloaded.extend(new);
        if self.fenced {
            // What was driven before may have been driven by others since: it is loaded anew.
            self.engine.let_go(&(0..SLOTS).collect()).await;
            self.leaving.clear();
            self.fenced = false;
            self.engine.hold(false);
            self.unloaded.clone_from(&kept);
        } else {
            self.leaving.extend(had.intersection(&lost));
            if !self.leaving.is_empty() {
                self.engine.let_go(&self.leaving).await;
                // Those that came back meanwhile.
                self.unloaded.extend(std::mem::take(&mut self.leaving).intersection(&kept));
            }
        }
        if !surplus.is_empty()
            && let Err(error) = self.fleet.give_up(&self.member, &surplus).await
        {
            tracing::warn!(%error, "slots were not given up");
        }
        if kept.len() < share {
            match self.fleet.take(&self.member, share - kept.len()).await {
                Ok(taken) => {
                    let new = self.engine.0.slots.set(kept.union(&taken).copied().collect());
                    self.unloaded.extend(new);
                }
                Err(error) => tracing::warn!(%error, "no slots were taken"),
            }
        }
    }

    /// Takes over the open runs of slots that came, beside what goes on. What cannot be taken over because the store is away
    /// is tried again.
    fn load(&mut self) {
        let mut slots = std::mem::take(&mut self.unloaded);
        slots.retain(|slot| self.engine.0.slots.has_slot(*slot));
        if slots.is_empty() {
            return;
        }
        let engine = self.engine.clone();
        self.loading.spawn(async move {
            match engine.take_over_slots(&slots).await {
                Ok((runs, missed)) => {
                    if runs > 0 {
                        tracing::debug!(runs, slots = slots.len(), "the runs of these slots are driven here");
                    }
                    missed
                }
                Err(EngineError::ShuttingDown) => BTreeSet::new(),
                Err(error) => {
                    tracing::warn!(%error, "the runs of new slots are not taken over yet");
                    slots
                }
            }
        });
    }
}
