//! One agent: who it is, how it does, and when it may be asked.

use std::time::Duration;

use tutti_core::ids::{AgentId, Capability, Namespace};
use tutti_core::ports::agent::{AgentAccess, AgentEndpoint, AgentError, CallLimits};
use tutti_core::ports::inbound::agents::BreakerState;
use tutti_core::report::Hindrance;
use tutti_core::run::PassedOver;
use tutti_core::time::Timestamp;

use super::breaker::{Breaker, BreakerPolicy, speaks};
use super::gate::{Gate, Opening};
use super::learned::Learned;
use super::outlook::bound;

/// An agent that can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRecord {
    /// Its name here.
    pub id: AgentId,
    /// Base URL of its card.
    pub url: String,
    /// How it is reached.
    pub access: AgentAccess,
    /// What it can do.
    pub capabilities: Vec<Capability>,
    /// How much it is asked by this process.
    pub limits: CallLimits,
}

/// How an agent does for this process, since it knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AgentStats {
    /// Attempts under way.
    pub in_flight: u32,
    /// Failures since the last success.
    pub failures_in_row: u32,
    /// How often its breaker opened.
    pub breaker_opened: u64,
}

/// An agent as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentState {
    /// Who it is.
    pub record: AgentRecord,
    /// How it does here.
    pub stats: AgentStats,
    /// What was learned about it, here and by the servers that tell what they learned.
    pub learned: Learned,
    /// Whose it is; `None`: everybody's.
    pub namespace: Option<Namespace>,
    /// False if it has been silent for longer than it may be.
    pub healthy: bool,
    /// Its circuit breaker.
    pub breaker: BreakerState,
    /// Until when it wants to be left alone.
    pub resting_until: Option<Timestamp>,
    /// The load that it told.
    pub load: Option<f64>,
    /// Its last sign of life.
    pub last_seen: Option<Timestamp>,
}

/// How an attempt ended, as far as its agent is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending<'e> {
    /// It answered, after so long if that is known.
    Well(Option<Duration>),
    /// It failed.
    Badly(&'e AgentError),
    /// It was abandoned, which says nothing about the agent.
    Abandoned,
}

#[derive(Debug)]
pub(super) struct Agent {
    pub(super) record: AgentRecord,
    pub(super) namespace: Option<Namespace>,
    /// How long it is trusted after a sign of life, and since when.
    pub(super) heartbeat: Option<(Duration, Timestamp)>,
    pub(super) load: Option<f64>,
    last_seen: Option<Timestamp>,
    failures_in_row: u32,
    /// What was learned about it here.
    pub(super) own: Learned,
    /// What other servers learned about it.
    pub(super) others: Learned,
    gate: Gate,
    breaker: Breaker,
    /// It asked to be left alone until then.
    resting_until: Option<Timestamp>,
}

impl Agent {
    /// An agent of which nothing is known.
    pub(super) fn new(record: AgentRecord) -> Self {
        Self {
            record,
            namespace: None,
            heartbeat: None,
            load: None,
            last_seen: None,
            failures_in_row: 0,
            own: Learned::default(),
            others: Learned::default(),
            gate: Gate::default(),
            breaker: Breaker::default(),
            resting_until: None,
        }
    }

    pub(super) fn serves(&self, namespace: &Namespace) -> bool {
        self.namespace.as_ref().is_none_or(|own| own == namespace)
    }

    pub(super) fn is_silent(&self, now: Timestamp) -> bool {
        self.heartbeat.is_some_and(|(period, since)| now.since(since) > period)
    }

    pub(super) fn endpoint(&self) -> AgentEndpoint {
        let AgentRecord { id, url, access, .. } = &self.record;
        AgentEndpoint { id: id.clone(), url: url.clone(), access: access.clone() }
    }

    /// A sign of life; the next one may be so `late`, more than after its period.
    pub(super) fn heard(&mut self, load: Option<f64>, at: Timestamp, late: Duration) {
        (self.load, self.last_seen) = (load, Some(at));
        if let Some((_, since)) = &mut self.heartbeat {
            *since = at.plus(late);
        }
    }

    /// When it may be asked.
    pub(super) fn opening(&self, now: Timestamp) -> Opening {
        let rested = self.resting_until.filter(|until| *until > now).map_or(Opening::Now, Opening::At);
        self.gate.opening(&self.record.limits, now).max(self.breaker.opening(now)).max(rested)
    }

    /// Why it may not be asked now.
    pub(super) fn obstacle(&self, now: Timestamp) -> PassedOver {
        let is_open = self.breaker.opening(now) != Opening::Now;
        match self.gate.opening(&self.record.limits, now) {
            _ if is_open => PassedOver::BreakerOpen,
            _ if self.resting_until.is_some_and(|until| until > now) => PassedOver::Resting,
            Opening::OnEnd => PassedOver::Full,
            Opening::At(_) | Opening::Now => PassedOver::Rate,
        }
    }

    /// What keeps it from being asked.
    pub(super) fn hindrance(&self, now: Timestamp) -> Option<Hindrance> {
        if self.is_silent(now) {
            return Some(Hindrance::Silent(self.last_seen));
        }
        match self.breaker.opening(now) {
            Opening::At(until) => return Some(Hindrance::BreakerOpen(until)),
            Opening::OnEnd => return Some(Hindrance::BreakerTrial),
            Opening::Now => {}
        }
        let rests = self.resting_until.filter(|until| *until > now).map(Hindrance::Rests);
        rests.or_else(|| bound(&self.gate, &self.record.limits, now))
    }

    /// An attempt begins; true if it tries an agent whose breaker had opened.
    pub(super) fn begin(&mut self, now: Timestamp) -> bool {
        self.gate.enter(&self.record.limits, now);
        self.breaker.begin()
    }

    /// An attempt goes on that was begun elsewhere or before: whatever the limits say.
    pub(super) const fn go_on(&mut self) {
        self.gate.go_on();
    }

    /// An attempt ended.
    pub(super) fn end(&mut self, is_probe: bool, ending: Ending<'_>, policy: BreakerPolicy, now: Timestamp) {
        self.gate.leave();
        let says = match ending {
            Ending::Well(_) => Some(true),
            Ending::Badly(error) => speaks(error.kind),
            Ending::Abandoned => None,
        };
        self.breaker.end(is_probe, says, policy, now);
        match ending {
            Ending::Well(took) => {
                self.own.well(took);
                self.failures_in_row = 0;
            }
            Ending::Badly(error) => {
                if let Some(rest) = error.rest() {
                    self.resting_until = self.resting_until.max(Some(now.plus(rest)));
                    return;
                }
                self.own.badly();
                self.failures_in_row += 1;
            }
            Ending::Abandoned => {}
        }
    }

    /// An attempt for which a place was held was not begun.
    pub(super) fn undo(&mut self, is_probe: bool, policy: BreakerPolicy, now: Timestamp) {
        self.gate.undo(&self.record.limits);
        self.breaker.end(is_probe, None, policy, now);
    }

    pub(super) fn breaker(&self, now: Timestamp) -> BreakerState {
        self.breaker.state(now)
    }

    pub(super) const fn stats(&self) -> AgentStats {
        let (in_flight, breaker_opened) = (self.gate.in_flight(), self.breaker.opened());
        AgentStats { in_flight, failures_in_row: self.failures_in_row, breaker_opened }
    }

    /// What was learned about it, here and elsewhere.
    pub(super) fn learned(&self) -> Learned {
        self.own.and(self.others)
    }

    pub(super) fn state(&self, now: Timestamp) -> AgentState {
        AgentState {
            record: self.record.clone(),
            stats: self.stats(),
            learned: self.learned(),
            namespace: self.namespace.clone(),
            healthy: !self.is_silent(now),
            breaker: self.breaker(now),
            resting_until: self.resting_until.filter(|until| *until > now),
            load: self.load,
            last_seen: self.last_seen,
        }
    }
}
