//! The agents that are known, whose they are, and which of them a step gets.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tutti_core::ids::{AgentId, Capability, Namespace, RunId};
use tutti_core::limits::MAX_PASSED_AGENTS;
use tutti_core::ports::agent::{AgentEndpoint, CallLimits};
use tutti_core::run::{AgentChoice, ChoiceReason, PassedOver};
use tutti_core::time::Timestamp;

use super::agent::{Agent, AgentRecord, AgentState, AgentStats, Ending};
use super::breaker::BreakerPolicy;
use super::gate::{Gate, Opening};
use super::learned::Learned;
use super::line::{Called, LaneNumber, Line, Ticket, Waker, Want};
use super::rank;

/// How agents are asked, whoever they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DispatchPolicy {
    /// When breakers open.
    pub breaker: BreakerPolicy,
    /// How much is asked of all agents together for a capability.
    pub capabilities: BTreeMap<Capability, CallLimits>,
}

/// The agents that are known. Cloning shares the registry.
///
/// An agent belongs to a namespace, or to everybody; its name is given once, since histories name agents by it alone. The
/// registry has no clock: who asks says what time it is. Drivers that share it wait in one line for places at agents.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<Mutex<Agents>>);

/// A place at an agent, held for one attempt until it is given back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The agent.
    pub(crate) agent: AgentId,
    /// Why it was chosen, if there are several.
    pub(crate) choice: Option<AgentChoice>,
    capability: Capability,
    /// It tries an agent whose breaker had opened.
    is_probe: bool,
    /// When the agent was asked; unknown for one that another owner asked.
    asked_at: Option<Timestamp>,
}

/// Whom a step can be asked of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// This one: a place is held.
    Agent(Grant),
    /// Nobody now. The run has this place in the line, and is called.
    Later(Ticket),
    /// Nobody at all.
    Nobody,
}

/// An agent to be asked.
struct Found {
    agent: AgentId,
    choice: Option<AgentChoice>,
}

#[derive(Debug, Default)]
pub(super) struct Agents {
    pub(super) by_id: HashMap<AgentId, Agent>,
    pub(super) by_capability: HashMap<Capability, Vec<AgentId>>,
    /// What is under way for capabilities with limits.
    pub(super) gates: BTreeMap<Capability, (CallLimits, Gate)>,
    breaker: BreakerPolicy,
    pub(super) line: Line,
}

impl Grant {
    /// The agent is asked now.
    pub(crate) const fn asked(&mut self, now: Timestamp) {
        self.asked_at = Some(now);
    }

    /// How long ago the agent was asked.
    pub(crate) fn took(&self, now: Timestamp) -> Option<Duration> {
        self.asked_at.map(|asked| now.since(asked))
    }
}

impl Registry {
    /// A registry without agents.
    #[must_use]
    pub fn new(policy: DispatchPolicy) -> Self {
        let gates = policy.capabilities.into_iter().filter(|(_, limits)| !limits.is_none());
        let gates = gates.map(|(capability, limits)| (capability, (limits, Gate::default()))).collect();
        Self(Arc::new(Mutex::new(Agents { gates, breaker: policy.breaker, ..Agents::default() })))
    }

    /// Adds an agent that is everybody's, or replaces what was known of it under its name; its statistics stay.
    pub fn register(&self, record: AgentRecord) {
        self.lock().put(record, None, None);
    }

    /// Adds an agent of a namespace, or replaces what was known of it there; its statistics stay. One with a heartbeat
    /// is trusted for so long from now on, and after each sign of life. False if the name is not the namespace's.
    pub fn register_in(
        &self,
        namespace: &Namespace,
        record: AgentRecord,
        heartbeat: Option<Duration>,
        now: Timestamp,
    ) -> bool {
        let agents = &mut *self.lock();
        if agents.by_id.get(&record.id).is_some_and(|agent| agent.namespace.as_ref() != Some(namespace)) {
            return false;
        }
        agents.put(record, Some(namespace.clone()), heartbeat.map(|period| (period, now)));
        true
    }

    /// Removes an agent of a namespace; false if it has none of this name. Attempts under way go on.
    pub fn deregister(&self, namespace: &Namespace, id: &AgentId) -> bool {
        let agents = &mut *self.lock();
        if agents.by_id.get(id).is_none_or(|agent| agent.namespace.as_ref() != Some(namespace)) {
            return false;
        }
        agents.forget_capabilities(id);
        agents.by_id.remove(id);
        agents.line.changed();
        true
    }

    /// Hears a sign of life; the next one may be so `late`, more than after its period. False if there is no such agent.
    pub fn heard(&self, id: &AgentId, load: Option<f64>, at: Timestamp, late: Duration) -> bool {
        let agents = &mut *self.lock();
        let Some(agent) = agents.by_id.get_mut(id) else { return false };
        agent.heard(load, at, late);
        agents.line.changed();
        true
    }

    /// Trusts those who are not silent from now on anew, as long as no sign of life can be heard.
    pub fn excuse(&self, now: Timestamp) {
        for agent in self.lock().by_id.values_mut().filter(|agent| !agent.is_silent(now)) {
            if let Some((_, since)) = &mut agent.heartbeat {
                *since = now.max(*since);
            }
        }
    }

    /// Every agent, by name.
    #[must_use]
    pub fn list(&self) -> Vec<(AgentRecord, AgentStats)> {
        let mut list: Vec<_> = self.lock().by_id.values().map(|agent| (agent.record.clone(), agent.stats())).collect();
        list.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        list
    }

    /// Every agent as it stands, in no order.
    #[must_use]
    pub fn states(&self, now: Timestamp) -> Vec<AgentState> {
        self.lock().by_id.values().map(|agent| agent.state(now)).collect()
    }

    /// The agents that a namespace's steps can be asked of, by name.
    #[must_use]
    pub fn list_for(&self, namespace: &Namespace, now: Timestamp) -> Vec<AgentState> {
        let agents = self.lock();
        let own = agents.by_id.values().filter(|agent| agent.serves(namespace));
        let mut list: Vec<_> = own.map(|agent| agent.state(now)).collect();
        list.sort_by(|a, b| a.record.id.cmp(&b.record.id));
        list
    }

    /// An agent, whosever it is.
    #[must_use]
    pub fn state(&self, id: &AgentId, now: Timestamp) -> Option<AgentState> {
        self.lock().by_id.get(id).map(|agent| agent.state(now))
    }

    /// The agents of a namespace that have all of some capabilities, in the order in which they are asked.
    #[must_use]
    pub fn discover(&self, namespace: &Namespace, capabilities: &[Capability], now: Timestamp) -> Vec<AgentState> {
        let agents = self.lock();
        let able = |agent: &&Agent| {
            agent.serves(namespace) && capabilities.iter().all(|wanted| agent.record.capabilities.contains(wanted))
        };
        let mut found: Vec<&Agent> = agents.by_id.values().filter(able).collect();
        found.sort_by(|a, b| rank::compare(a, b, now));
        found.into_iter().map(|agent| agent.state(now)).collect()
    }

    /// How many agents offer each capability to a namespace.
    #[must_use]
    pub fn offers(&self, namespace: &Namespace) -> BTreeMap<Capability, u32> {
        let agents = self.lock();
        let mut offers = BTreeMap::new();
        for agent in agents.by_id.values().filter(|agent| agent.serves(namespace)) {
            for capability in &agent.record.capabilities {
                *offers.entry(capability.clone()).or_default() += 1;
            }
        }
        offers
    }

    /// Where an agent is.
    #[must_use]
    pub fn endpoint(&self, id: &AgentId) -> Option<AgentEndpoint> {
        self.lock().by_id.get(id).map(Agent::endpoint)
    }

    /// What this process has learned about agents from its own calls.
    #[must_use]
    pub fn learned(&self) -> BTreeMap<AgentId, Learned> {
        let agents = self.lock();
        let known = agents.by_id.iter().filter(|(_, agent)| agent.own != Learned::default());
        known.map(|(id, agent)| (id.clone(), agent.own)).collect()
    }

    /// Takes what other processes have learned, instead of what they had before.
    pub fn learn(&self, others: &BTreeMap<AgentId, Learned>) {
        for (id, agent) in &mut self.lock().by_id {
            agent.others = others.get(id).copied().unwrap_or_default();
        }
    }

    /// Runs that wait for an agent that can be asked, by what they need.
    #[must_use]
    pub fn waiting(&self) -> BTreeMap<Capability, u64> {
        self.lock().line.lengths()
    }
}

/// For drivers.
impl Registry {
    /// A lane of its own for a driver.
    pub(crate) fn join(&self) -> LaneNumber {
        self.lock().line.join()
    }

    /// How a lane is told from elsewhere that some of its runs were called.
    pub(crate) fn set_waker(&self, lane: LaneNumber, waker: Waker) {
        self.lock().line.set_waker(lane, waker);
    }

    /// The agent for a step: the best of those that can be asked now, as [`rank`] says; a pinned step takes its own or
    /// none. If there is none now, the run goes to the end of the line.
    pub(crate) fn choose(&self, want: Want, lane: LaneNumber, run: RunId, now: Timestamp) -> Choice {
        let agents = &mut *self.lock();
        agents.look(Some(lane), now);
        // Who came before goes first.
        if !agents.line.has(&want) {
            match agents.find(&want, now) {
                Some(Ok(found)) => return Choice::Agent(agents.begin(found, want.capability, now)),
                None => return Choice::Nobody,
                Some(Err(opening)) => agents.line.expect(opening),
            }
        }
        Choice::Later(agents.line.enter(lane, run, want))
    }

    /// When a step could be asked of somebody; `None`: never, as it looks now.
    pub(crate) fn outlook(&self, want: &Want, now: Timestamp) -> Option<Opening> {
        self.lock().find(want, now).map(|found| found.map_or_else(|opening| opening, |_| Opening::Now))
    }

    /// Holds a place for an attempt that goes on, whatever the limits say.
    pub(crate) fn go_on(&self, agent: AgentId, capability: Capability) -> Grant {
        let agents = &mut *self.lock();
        if let Some(agent) = agents.by_id.get_mut(&agent) {
            agent.go_on();
        }
        if let Some((_, gate)) = agents.gates.get_mut(&capability) {
            gate.go_on();
        }
        Grant { agent, choice: None, capability, is_probe: false, asked_at: None }
    }

    /// An attempt has ended: its place is free. Who waits for it is called when a lane looks next.
    pub(crate) fn end(&self, grant: Grant, ending: Ending<'_>, now: Timestamp) {
        let (agents, Grant { agent, capability, is_probe, .. }) = (&mut *self.lock(), grant);
        if let Some(agent) = agents.by_id.get_mut(&agent) {
            agent.end(is_probe, ending, agents.breaker, now);
        }
        if let Some((_, gate)) = agents.gates.get_mut(&capability) {
            gate.leave();
        }
        agents.line.is_stale = !agents.line.is_empty();
    }

    /// A place that was held is not used.
    pub(crate) fn give_back(&self, grant: Grant, now: Timestamp) {
        let (agents, Grant { agent, capability, is_probe, .. }) = (&mut *self.lock(), grant);
        if let Some(agent) = agents.by_id.get_mut(&agent) {
            agent.undo(is_probe, agents.breaker, now);
        }
        if let Some((limits, gate)) = agents.gates.get_mut(&capability) {
            gate.undo(limits);
        }
        agents.line.is_stale = !agents.line.is_empty();
    }

    /// A run does not wait any more.
    pub(crate) fn leave(&self, ticket: Ticket) {
        self.lock().line.leave(ticket);
    }

    /// Those of a lane who were called, since some place has become free or the moment for it has come.
    pub(crate) fn called(&self, lane: LaneNumber, now: Timestamp) -> Vec<Called> {
        let agents = &mut *self.lock();
        agents.look(Some(lane), now);
        agents.line.called(lane)
    }

    /// When somebody who waits can be served, as it looks now.
    pub(crate) fn next_moment(&self) -> Option<Timestamp> {
        self.lock().line.next
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Agents> {
        // Every change leaves the maps whole, so a panic elsewhere does not spoil them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Agents {
    fn put(&mut self, record: AgentRecord, namespace: Option<Namespace>, heartbeat: Option<(Duration, Timestamp)>) {
        self.forget_capabilities(&record.id);
        for capability in &record.capabilities {
            self.by_capability.entry(capability.clone()).or_default().push(record.id.clone());
        }
        let agent = self.by_id.entry(record.id.clone()).or_insert_with(|| Agent::new(record.clone()));
        (agent.record, agent.namespace, agent.heartbeat) = (record, namespace, heartbeat);
        self.line.changed();
    }

    fn forget_capabilities(&mut self, id: &AgentId) {
        for list in self.by_capability.values_mut() {
            list.retain(|other| other != id);
        }
    }

    /// The agent to be asked, and why; or when there is one, if not now; `None`: there is nobody. One that is silent is not
    /// asked.
    fn find(&self, want: &Want, now: Timestamp) -> Option<Result<Found, Opening>> {
        let able = match &want.pinned {
            Some(pinned) => std::slice::from_ref(pinned),
            None => self.by_capability.get(&want.capability)?,
        };
        let gate = self.gates.get(&want.capability);
        let common = gate.map_or(Opening::Now, |(limits, gate)| gate.opening(limits, now));
        let (mut best, mut next): (Option<&Agent>, Option<&Agent>) = (None, None);
        let (mut soonest, mut of, mut passed): (Option<Opening>, u32, Vec<(&Agent, PassedOver)>) =
            (None, 0, Vec::new());
        let before =
            |agent: &Agent, other: Option<&Agent>| other.is_none_or(|other| rank::compare(agent, other, now).is_lt());
        for agent in able.iter().filter_map(|id| self.by_id.get(id)).filter(|agent| agent.serves(&want.namespace)) {
            of += 1;
            if want.asked.contains(&agent.record.id) {
                passed.push((agent, PassedOver::Asked));
                continue;
            }
            if agent.is_silent(now) {
                passed.push((agent, PassedOver::Silent));
                continue;
            }
            match agent.opening(now) {
                Opening::Now if common == Opening::Now && before(agent, best) => next = best.replace(agent),
                Opening::Now if common == Opening::Now && before(agent, next) => next = Some(agent),
                Opening::Now if common == Opening::Now => {}
                opening => {
                    let later = opening.max(common);
                    soonest = Some(soonest.map_or(later, |soonest| soonest.min(later)));
                    passed.push((agent, agent.obstacle(now)));
                }
            }
        }
        let Some(best) = best else { return soonest.map(Err) };
        let choice = (of > 1).then(|| AgentChoice {
            reason: next.map_or(ChoiceReason::OnlyOne, |next| rank::decide(best, next, now).1),
            of,
            passed: passed.iter().take(MAX_PASSED_AGENTS).map(|(agent, why)| (agent.record.id.clone(), *why)).collect(),
        });
        Some(Ok(Found { agent: best.record.id.clone(), choice }))
    }

    fn begin(&mut self, found: Found, capability: Capability, now: Timestamp) -> Grant {
        let Found { agent, choice } = found;
        let is_probe = self.by_id.get_mut(&agent).is_some_and(|agent| agent.begin(now));
        if let Some((limits, gate)) = self.gates.get_mut(&capability) {
            gate.enter(limits, now);
        }
        Grant { agent, choice, capability, is_probe, asked_at: None }
    }

    /// Looks through the line if something has changed: who can be served is called with a place, in the order in which
    /// they came; where nobody is left who could do it, all who wait for that are called without.
    fn look(&mut self, lane: Option<LaneNumber>, now: Timestamp) {
        let is_due = self.line.next.is_some_and(|at| at <= now);
        if !std::mem::take(&mut self.line.is_stale) && !is_due {
            return;
        }
        self.line.next = None;
        let mut heads = self.line.heads();
        while let Some((ticket, want)) = heads.pop_first() {
            let grant = match self.find(&want, now) {
                Some(Err(opening)) => {
                    self.line.expect(opening);
                    continue;
                }
                Some(Ok(found)) => Some(self.begin(found, want.capability.clone(), now)),
                None => None,
            };
            if let Some(next) = self.line.call(ticket, grant) {
                heads.insert((next, want));
            }
        }
        self.line.wake(lane);
    }
}

#[cfg(test)]
mod tests;
