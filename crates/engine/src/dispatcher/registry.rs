//! The agents that are known, and how they do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tutti_core::ids::{AgentId, Capability};
use tutti_core::ports::agent::{AgentAccess, AgentEndpoint};

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

/// The agents by name and capability. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<Mutex<Agents>>);

#[derive(Debug, Default)]
struct Agents {
    by_id: HashMap<AgentId, (AgentRecord, AgentStats)>,
    by_capability: HashMap<Capability, Vec<AgentId>>,
}

impl Registry {
    /// Adds an agent, or replaces what was known of it under its name; its statistics stay.
    pub fn register(&self, record: AgentRecord) {
        let agents = &mut *self.lock();
        agents.forget_capabilities(&record.id);
        for capability in &record.capabilities {
            agents.by_capability.entry(capability.clone()).or_default().push(record.id.clone());
        }
        let stats = agents.by_id.get(&record.id).map_or_else(AgentStats::default, |(_, stats)| *stats);
        agents.by_id.insert(record.id.clone(), (record, stats));
    }

    /// Removes an agent. Attempts under way go on.
    pub fn deregister(&self, id: &AgentId) -> bool {
        let agents = &mut *self.lock();
        agents.forget_capabilities(id);
        agents.by_id.remove(id).is_some()
    }

    /// Every agent, by name.
    #[must_use]
    pub fn list(&self) -> Vec<(AgentRecord, AgentStats)> {
        let mut list: Vec<_> = self.lock().by_id.values().cloned().collect();
        list.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        list
    }

    /// Where an agent is.
    #[must_use]
    pub fn endpoint(&self, id: &AgentId) -> Option<AgentEndpoint> {
        let agents = self.lock();
        agents.by_id.get(id).map(|(record, _)| AgentEndpoint {
            id: id.clone(),
            url: record.url.clone(),
            access: record.access.clone(),
        })
    }

    /// The best agent with a capability that is not among those already asked: without failures in a row first, then
    /// the least loaded, then the higher success rate, then by name. A pinned step takes its own agent or none.
    #[must_use]
    pub fn choose(&self, capability: &Capability, pinned: Option<&AgentId>, asked: &[AgentId]) -> Option<AgentId> {
        let agents = self.lock();
        if let Some(pinned) = pinned {
            return (agents.by_id.contains_key(pinned) && !asked.contains(pinned)).then(|| pinned.clone());
        }
        let able = agents.by_capability.get(capability)?;
        let rank = |id: &&AgentId| {
            let stats = agents.by_id.get(*id).map(|(_, stats)| *stats).unwrap_or_default();
            let failure_rate = stats.failed * 1_000 / (stats.failed + stats.succeeded).max(1);
            (stats.failures_in_row > 0, stats.in_flight, failure_rate, (*id).clone())
        };
        able.iter().filter(|id| !asked.contains(id)).min_by_key(rank).cloned()
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
        if let Some((_, stats)) = self.lock().by_id.get_mut(id) {
            change(stats);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Agents> {
        // Every change leaves the maps whole, so a panic elsewhere does not spoil them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Agents {
    fn forget_capabilities(&mut self, id: &AgentId) {
        for list in self.by_capability.values_mut() {
            list.retain(|other| other != id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        let registry = Registry::default();
        for id in ["a", "b", "c"] {
            let capabilities = vec!["x".parse().unwrap()];
            registry.register(AgentRecord {
                id: id.parse().unwrap(),
                url: format!("http://{id}"),
                access: AgentAccess::default(),
                capabilities,
            });
        }
        registry
    }
    fn id(name: &str) -> AgentId {
        name.parse().unwrap()
    }

    #[test]
    fn the_best_agent_not_asked_yet_is_chosen() {
        let registry = registry();
        let x = "x".parse().unwrap();
        assert_eq!(registry.choose(&x, None, &[]), Some(id("a")));
        assert_eq!(registry.choose(&x, None, &[id("a")]), Some(id("b")));
        registry.attempt_started(&id("a"));
        assert_eq!(registry.choose(&x, None, &[]), Some(id("b")), "less loaded");
        registry.attempt_started(&id("b"));
        registry.attempt_ended(&id("b"), Some(false));
        assert_eq!(registry.choose(&x, None, &[]), Some(id("c")), "healthy");
        assert_eq!(registry.choose(&"y".parse().unwrap(), None, &[]), None);
    }

    #[test]
    fn a_pinned_step_takes_its_agent_or_none() {
        let registry = registry();
        let x = "x".parse().unwrap();
        assert_eq!(registry.choose(&x, Some(&id("c")), &[]), Some(id("c")));
        assert_eq!(registry.choose(&x, Some(&id("c")), &[id("c")]), None);
        assert!(registry.deregister(&id("c")));
        assert_eq!(registry.choose(&x, Some(&id("c")), &[]), None);
    }
}
