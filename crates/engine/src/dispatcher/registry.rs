//! The agents that are known, whose they are, and how they do.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tutti_core::ids::{AgentId, Capability, Namespace};
use tutti_core::ports::agent::{AgentAccess, AgentEndpoint};
use tutti_core::time::Timestamp;

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
    /// False while it is silent though it is to give signs of life; it is not asked then.
    pub healthy: bool,
    /// The load that it told, 0 to 1.
    pub load: Option<f64>,
    /// Its last sign of life.
    pub last_seen: Option<Timestamp>,
}

/// The agents by name and capability. Cloning shares them.
///
/// A name is one agent's, whosever it is: histories name agents by it alone. The registry has no clock: who asks says what
/// time it is.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<Mutex<Agents>>);

#[derive(Debug, Default)]
struct Agents {
    by_id: HashMap<AgentId, Agent>,
    by_capability: HashMap<Capability, Vec<AgentId>>,
}

#[derive(Debug)]
struct Agent {
    record: AgentRecord,
    stats: AgentStats,
    namespace: Option<Namespace>,
    /// How long it is trusted after a sign of life, and since when.
    heartbeat: Option<(Duration, Timestamp)>,
    load: Option<f64>,
    last_seen: Option<Timestamp>,
}

impl Registry {
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
        agents.by_id.remove(id).is_some()
    }

    /// Hears a sign of life; the next one may be so `late`, more than after its period. False if there is no such agent.
    pub fn heard(&self, id: &AgentId, load: Option<f64>, at: Timestamp, late: Duration) -> bool {
        let agents = &mut *self.lock();
        let Some(agent) = agents.by_id.get_mut(id) else { return false };
        (agent.load, agent.last_seen) = (load, Some(at));
        if let Some((_, since)) = &mut agent.heartbeat {
            *since = at.plus(late);
        }
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
        let mut list: Vec<_> = self.lock().by_id.values().map(|agent| (agent.record.clone(), agent.stats)).collect();
        list.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        list
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
        found.sort_by(|a, b| a.rank(b, now));
        found.into_iter().map(|agent| agent.state(now)).collect()
    }

    /// Where an agent is.
    #[must_use]
    pub fn endpoint(&self, id: &AgentId) -> Option<AgentEndpoint> {
        let agents = self.lock();
        agents.by_id.get(id).map(|Agent { record, .. }| AgentEndpoint {
            id: id.clone(),
            url: record.url.clone(),
            access: record.access.clone(),
        })
    }

    /// The best agent of a namespace with a capability that is not among those already asked: without failures in a row
    /// first, then the least loaded, then the higher success rate, then by name. A pinned step takes its own agent or
    /// none. One that is silent is not asked.
    #[must_use]
    pub fn choose(
        &self,
        namespace: &Namespace,
        capability: &Capability,
        pinned: Option<&AgentId>,
        asked: &[AgentId],
        now: Timestamp,
    ) -> Option<AgentId> {
        let agents = self.lock();
        let fit = |id: &AgentId| {
            let agent = agents.by_id.get(id)?;
            (agent.serves(namespace) && !agent.is_silent(now) && !asked.contains(id)).then_some(agent)
        };
        let chosen = match pinned {
            Some(pinned) => fit(pinned),
            None => agents.by_capability.get(capability)?.iter().filter_map(fit).min_by(|a, b| a.rank(b, now)),
        };
        chosen.map(|agent| agent.record.id.clone())
    }

    pub(crate) fn attempt_started(&self, id: &AgentId) {
        self.with_stats(id, |stats| stats.in_flight += 1);
    }

    /// Counts the end of an attempt; `None`: it was abandoned, which says nothing about the agent.
    pub(crate) fn attempt_ended(&self, id: &AgentId, success: Option<bool>) {
        self.with_stats(id, |stats| {
            stats.in_flight = stats.in_flight.saturating_sub(1);
            match success {
                Some(true) => {
                    stats.succeeded += 1;
                    stats.failures_in_row = 0;
                }
                Some(false) => {
                    stats.failed += 1;
                    stats.failures_in_row += 1;
                }
                None => {}
            }
        });
    }

    fn with_stats(&self, id: &AgentId, change: impl FnOnce(&mut AgentStats)) {
        if let Some(agent) = self.lock().by_id.get_mut(id) {
            change(&mut agent.stats);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Agents> {
        // Every change leaves the maps whole, so a panic elsewhere does not spoil them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AgentStats {
    /// The share of attempts that ended well; `None` before the first.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        let ended = self.succeeded + self.failed;
        (ended > 0).then(|| self.succeeded as f64 / ended as f64)
    }
}

impl Agents {
    fn put(&mut self, record: AgentRecord, namespace: Option<Namespace>, heartbeat: Option<(Duration, Timestamp)>) {
        self.forget_capabilities(&record.id);
        for capability in &record.capabilities {
            self.by_capability.entry(capability.clone()).or_default().push(record.id.clone());
        }
        let agent = self.by_id.remove(&record.id);
        let (stats, load, last_seen) =
            agent.map_or_else(Default::default, |before| (before.stats, before.load, before.last_seen));
        let agent = Agent { record, stats, namespace, heartbeat, load, last_seen };
        self.by_id.insert(agent.record.id.clone(), agent);
    }

    fn forget_capabilities(&mut self, id: &AgentId) {
        for list in self.by_capability.values_mut() {
            list.retain(|other| other != id);
        }
    }
}

impl Agent {
    fn serves(&self, namespace: &Namespace) -> bool {
        self.namespace.as_ref().is_none_or(|own| own == namespace)
    }

    fn is_silent(&self, now: Timestamp) -> bool {
        self.heartbeat.is_some_and(|(period, since)| now.since(since) > period)
    }

    /// Whether it says that it can take no more.
    fn is_full(&self) -> bool {
        self.load.is_some_and(|load| load >= 1.0)
    }

    /// Who of two is asked first.
    fn rank(&self, other: &Self, now: Timestamp) -> Ordering {
        let coarse = |agent: &Self| {
            let stats = agent.stats;
            (agent.is_silent(now), stats.failures_in_row > 0, agent.is_full(), stats.in_flight)
        };
        let failure_rate = |agent: &Self| {
            let AgentStats { succeeded, failed, .. } = agent.stats;
            failed * 1_000 / (failed + succeeded).max(1)
        };
        coarse(self)
            .cmp(&coarse(other))
            .then_with(|| self.load.unwrap_or_default().total_cmp(&other.load.unwrap_or_default()))
            .then_with(|| failure_rate(self).cmp(&failure_rate(other)))
            .then_with(|| self.record.id.cmp(&other.record.id))
    }

    fn state(&self, now: Timestamp) -> AgentState {
        AgentState {
            record: self.record.clone(),
            stats: self.stats,
            namespace: self.namespace.clone(),
            healthy: !self.is_silent(now),
            load: self.load,
            last_seen: self.last_seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> AgentRecord {
        AgentRecord {
            id: id.parse().unwrap(),
            url: format!("http://{id}"),
            access: AgentAccess::default(),
            capabilities: vec!["x".parse().unwrap()],
        }
    }

    fn registry() -> Registry {
        let registry = Registry::default();
        for id in ["a", "b", "c"] {
            registry.register(record(id));
        }
        registry
    }

    fn id(name: &str) -> AgentId {
        name.parse().unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn choose(registry: &Registry, namespace: &str, pinned: Option<&str>, asked: &[&str]) -> Option<String> {
        let (namespace, capability) = (namespace.parse().unwrap(), "x".parse().unwrap());
        let asked: Vec<AgentId> = asked.iter().map(|name| id(name)).collect();
        let chosen = registry.choose(&namespace, &capability, pinned.map(id).as_ref(), &asked, at(0));
        chosen.map(|id| id.to_string())
    }

    fn first(registry: &Registry, asked: &[&str]) -> Option<String> {
        choose(registry, "default", None, asked)
    }

    #[test]
    fn the_best_agent_not_asked_yet_is_chosen() {
        let registry = registry();
        assert_eq!(first(&registry, &[]).unwrap(), "a");
        assert_eq!(first(&registry, &["a"]).unwrap(), "b");
        registry.attempt_started(&id("a"));
        assert_eq!(first(&registry, &[]).unwrap(), "b", "less loaded");
        registry.attempt_started(&id("b"));
        registry.attempt_ended(&id("b"), Some(false));
        assert_eq!(first(&registry, &[]).unwrap(), "c", "healthy");
        assert_eq!(registry.choose(&Namespace::default(), &"y".parse().unwrap(), None, &[], at(0)), None);
    }

    #[test]
    fn a_pinned_step_takes_its_agent_or_none() {
        let registry = registry();
        assert_eq!(choose(&registry, "default", Some("c"), &[]).unwrap(), "c");
        assert_eq!(choose(&registry, "default", Some("c"), &["c"]), None);
        let red: Namespace = "red".parse().unwrap();
        assert!(registry.register_in(&red, record("d"), None, at(0)));
        assert_eq!(choose(&registry, "red", Some("d"), &[]).unwrap(), "d");
        assert!(registry.deregister(&red, &id("d")));
        assert_eq!(choose(&registry, "red", Some("d"), &[]), None);
        assert!(!registry.deregister(&red, &id("c")), "it is everybody's");
    }

    #[test]
    fn an_agent_of_a_namespace_is_nobody_elses() {
        let registry = Registry::default();
        let red = "red".parse().unwrap();
        assert!(registry.register_in(&red, record("r"), None, at(0)));
        assert_eq!(choose(&registry, "red", None, &[]).unwrap(), "r");
        for pinned in [None, Some("r")] {
            assert_eq!(choose(&registry, "blue", pinned, &[]), None);
        }
        let blue = "blue".parse().unwrap();
        assert!(registry.list_for(&blue, at(0)).is_empty() && registry.discover(&blue, &[], at(0)).is_empty());
        assert!(!registry.register_in(&blue, record("r"), None, at(0)), "the name is another's");
        registry.register(record("all"));
        assert!(!registry.register_in(&blue, record("all"), None, at(0)), "the name is everybody's");
        assert_eq!(choose(&registry, "blue", None, &[]).unwrap(), "all");
    }

    #[test]
    fn who_is_silent_is_not_asked_until_it_is_heard() {
        let registry = Registry::default();
        let (default, period) = (Namespace::default(), Duration::from_secs(10));
        let chosen = |now| registry.choose(&default, &"x".parse().unwrap(), None, &[], now);
        assert!(registry.register_in(&default, record("a"), Some(period), at(5)));
        for now in [at(0), at(5), at(15)] {
            assert_eq!(chosen(now), Some(id("a")), "it has its time to say something, whatever a clock does");
        }
        assert_eq!(chosen(at(16)), None);
        assert!(!registry.list_for(&default, at(16))[0].healthy);
        assert!(registry.heard(&id("a"), Some(0.5), at(17), Duration::ZERO));
        assert_eq!(chosen(at(27)), Some(id("a")));
        assert_eq!(chosen(at(28)), None);
        assert_eq!(registry.state(&id("a"), at(28)).unwrap().last_seen, Some(at(17)));
        assert!(!registry.heard(&id("nobody"), None, at(28), Duration::ZERO));
    }

    #[test]
    fn agents_are_discovered_best_first() {
        let registry = registry();
        registry.heard(&id("a"), Some(1.0), at(0), Duration::ZERO);
        registry.heard(&id("b"), Some(0.4), at(0), Duration::ZERO);
        registry.heard(&id("c"), Some(0.2), at(0), Duration::ZERO);
        let found = |wanted: &[&str]| {
            let wanted: Vec<Capability> = wanted.iter().map(|name| name.parse().unwrap()).collect();
            let found = registry.discover(&Namespace::default(), &wanted, at(0));
            found.iter().map(|state| state.record.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found(&["x"]), ["c", "b", "a"]);
        registry.attempt_started(&id("c"));
        registry.attempt_started(&id("b"));
        registry.attempt_started(&id("b"));
        assert_eq!(found(&["x"]), ["c", "b", "a"], "who is full comes last");
        registry.attempt_ended(&id("c"), Some(false));
        assert_eq!(found(&["x"]), ["b", "a", "c"]);
        assert!(found(&["x", "y"]).is_empty(), "all of them");
    }
}
