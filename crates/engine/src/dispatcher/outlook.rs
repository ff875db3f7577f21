//! Whom a step could be asked of, and what keeps each of them from being asked: for people who want to know.

use tutti_core::ids::RunId;
use tutti_core::ports::agent::CallLimits;
use tutti_core::report::{AgentOutlook, Hindrance, Outlook};
use tutti_core::time::Timestamp;

use super::agent::Agent;
use super::gate::{Gate, Opening};
use super::line::Want;
use super::rank;
use super::registry::{Agents, Registry};

impl Registry {
    /// Whom a step could be asked of, and how many runs wait for the same before this one.
    pub(crate) fn outlook_of(&self, want: &Want, run: RunId, now: Timestamp) -> Outlook {
        let agents = self.lock();
        let gate = agents.gates.get(&want.capability);
        Outlook {
            agents: agents.able(want, now).into_iter().map(|agent| told(agent, want, now)).collect(),
            capability: gate.and_then(|(limits, gate)| bound(gate, limits, now)),
            ahead: agents.line.ahead(want, run),
        }
    }
}

impl Agents {
    /// The agents that could do what is wanted, whether they can be asked or not, in the order in which they are asked.
    fn able(&self, want: &Want, now: Timestamp) -> Vec<&Agent> {
        let ids = match &want.pinned {
            Some(pinned) => std::slice::from_ref(pinned),
            None => self.by_capability.get(&want.capability).map_or(&[][..], Vec::as_slice),
        };
        let serves = |agent: &&Agent| agent.serves(&want.namespace);
        let mut able: Vec<&Agent> = ids.iter().filter_map(|id| self.by_id.get(id)).filter(serves).collect();
        able.sort_by(|a, b| rank::compare(a, b, now));
        able
    }
}

fn told(agent: &Agent, want: &Want, now: Timestamp) -> AgentOutlook {
    let id = agent.record.id.clone();
    let hindrance = if want.asked.contains(&id) { Some(Hindrance::Asked) } else { agent.hindrance(now) };
    AgentOutlook { agent: id, hindrance }
}

/// What of some limits keeps the next attempt from being begun.
pub(super) fn bound(gate: &Gate, limits: &CallLimits, now: Timestamp) -> Option<Hindrance> {
    match gate.opening(limits, now) {
        Opening::Now => None,
        Opening::At(until) => limits.rate.map(|rate| Hindrance::Rate(rate, until)),
        Opening::OnEnd => Some(Hindrance::InFlight(gate.in_flight())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use tutti_core::ids::{AgentId, Capability, Namespace};
    use tutti_core::ports::agent::AgentErrorKind::Unavailable;
    use tutti_core::ports::agent::{AgentAccess, AgentError};

    use super::super::agent::{AgentRecord, Ending};
    use super::super::breaker::BreakerPolicy;
    use super::super::registry::{Choice, DispatchPolicy};
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn run(n: u8) -> RunId {
        RunId::new(u64::from(n), [n; 10])
    }

    fn want(asked: &[&str]) -> Want {
        let asked: Vec<AgentId> = asked.iter().map(|id| id.parse().unwrap()).collect();
        Want { namespace: Namespace::default(), capability: "c".parse().unwrap(), pinned: None, asked }
    }

    fn registry(agents: &[(&str, &str)], capability: &str) -> Registry {
        let limits = |text: &str| serde_json::from_str::<CallLimits>(text).unwrap();
        let capabilities: BTreeMap<Capability, CallLimits> = [("c".parse().unwrap(), limits(capability))].into();
        let breaker = BreakerPolicy { failures: 1, rest: Duration::from_secs(30) };
        let registry = Registry::new(DispatchPolicy { breaker, capabilities });
        for (id, own) in agents {
            let capabilities = vec!["c".parse().unwrap()];
            let (id, url, access) = (id.parse().unwrap(), "http://x".to_owned(), AgentAccess::default());
            registry.register(AgentRecord { id, url, access, capabilities, limits: limits(own) });
        }
        registry
    }

    #[test]
    fn each_agent_says_what_keeps_it_and_runs_know_their_place_in_line() {
        let registry = registry(&[("a", r#"{"max_in_flight":1}"#), ("b", "{}"), ("d", r#"{"rate":"1/m"}"#)], "{}");
        let hindrances = |want: &Want, now| {
            let outlook = registry.outlook_of(want, run(9), now);
            outlook
                .agents
                .into_iter()
                .map(|agent| (agent.agent.to_string(), agent.hindrance))
                .collect::<BTreeMap<_, _>>()
        };
        let told = |asked: &[&str]| hindrances(&want(asked), at(0));
        assert!(told(&[]).values().all(Option::is_none));
        let lane = registry.join();
        let mut grants = BTreeMap::new();
        for n in 0..3 {
            // So that each of them gets one.
            let asked: Vec<&str> = ["a", "b", "d"].into_iter().take(n).collect();
            let Choice::Agent(grant) = registry.choose(want(&asked), lane, run(1), at(0)) else {
                panic!("one is free")
            };
            grants.insert(grant.agent.to_string(), grant);
        }
        let failed = AgentError::new(Unavailable, "gone");
        registry.end(grants.remove("b").unwrap(), Ending::Badly(&failed), at(0));
        let now = told(&["d"]);
        assert_eq!(now["a"], Some(Hindrance::InFlight(1)));
        assert_eq!(now["b"], Some(Hindrance::BreakerOpen(at(30))));
        assert_eq!(now["d"], Some(Hindrance::Asked));
        assert!(matches!(told(&[])["d"], Some(Hindrance::Rate(_, until)) if until == at(60)));
        assert_eq!(hindrances(&want(&[]), at(31))["b"], None, "it may be tried");

        for (n, ahead) in [(5, 0), (6, 1)] {
            assert!(matches!(registry.choose(want(&[]), lane, run(n), at(0)), Choice::Later(_)));
            assert_eq!(registry.outlook_of(&want(&[]), run(n), at(0)).ahead, Some(ahead));
        }
        assert_eq!(registry.outlook_of(&want(&[]), run(7), at(0)).ahead, None);
        assert!(
            registry
                .outlook_of(&Want { capability: "x".parse().unwrap(), ..want(&[]) }, run(7), at(0))
                .agents
                .is_empty()
        );
    }

    #[test]
    fn what_all_agents_together_are_kept_by_is_told_apart() {
        let registry = registry(&[("a", "{}")], r#"{"max_in_flight":1}"#);
        let lane = registry.join();
        assert!(matches!(registry.choose(want(&[]), lane, run(1), at(0)), Choice::Agent(_)));
        let outlook = registry.outlook_of(&want(&[]), run(2), at(0));
        assert_eq!((outlook.capability, outlook.agents[0].hindrance), (Some(Hindrance::InFlight(1)), None));
    }
}
