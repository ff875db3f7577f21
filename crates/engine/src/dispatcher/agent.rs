//! One agent: who it is, how it does, and when it may be asked.

use std::time::Duration;

use tutti_core::ids::{AgentId, Capability, Namespace};
use tutti_core::ports::agent::{AgentAccess, AgentEndpoint, AgentError, CallLimits};
use tutti_core::ports::inbound::agents::BreakerState;
use tutti_core::time::Timestamp;

use super::breaker::{Breaker, BreakerPolicy, speaks};
use super::gate::{Gate, Opening};

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

/// How an agent does, since this process knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AgentStats {
    /// Attempts under way.
    pub in_flight: u32,
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that failed.
    pub failed: u64,
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
    /// How it does.
    pub stats: AgentStats,
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
    /// It answered.
    Well,
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
    counts: Counts,
    gate: Gate,
    breaker: Breaker,
    /// It asked to be left alone until then.
    resting_until: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    succeeded: u64,
    failed: u64,
    failures_in_row: u32,
}

impl AgentStats {
    /// The share of attempts that ended well; `None` before the first.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        let ended = self.succeeded + self.failed;
        (ended > 0).then(|| self.succeeded as f64 / ended as f64)
    }
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
            counts: Counts::default(),
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
        let AgentRecord { id, url, access, .. } = self.record.clone();
        AgentEndpoint { id, url, access }
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
            Ending::Well => Some(true),
            Ending::Badly(error) => speaks(error.kind),
            Ending::Abandoned => None,
        };
        self.breaker.end(is_probe, says, policy, now);
        match ending {
            Ending::Well => {
                self.counts.succeeded += 1;
                self.counts.failures_in_row = 0;
            }
            Ending::Badly(error) => {
                if let Some(rest) = error.rest() {
                    self.resting_until = self.resting_until.max(Some(now.plus(rest)));
                    return;
                }
                self.counts.failed += 1;
                self.counts.failures_in_row += 1;
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
        let Counts { succeeded, failed, failures_in_row } = self.counts;
        let (in_flight, breaker_opened) = (self.gate.in_flight(), self.breaker.opened());
        AgentStats { in_flight, succeeded, failed, failures_in_row, breaker_opened }
    }

    pub(super) fn state(&self, now: Timestamp) -> AgentState {
        AgentState {
            record: self.record.clone(),
            stats: self.stats(),
            namespace: self.namespace.clone(),
            healthy: !self.is_silent(now),
            breaker: self.breaker(now),
            resting_until: self.resting_until.filter(|until| *until > now),
            load: self.load,
            last_seen: self.last_seen,
        }
    }
}
