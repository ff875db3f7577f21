use tutti_core::ports::agent::AgentErrorKind::{RateLimited, Unavailable};
use tutti_core::ports::agent::{AgentAccess, AgentError, AgentErrorKind};
use tutti_core::ports::inbound::agents::BreakerState;

use super::*;

fn record(id: &str) -> AgentRecord {
    AgentRecord {
        id: id.parse().unwrap(),
        url: format!("http://{id}"),
        access: AgentAccess::default(),
        capabilities: vec!["x".parse().unwrap()],
        limits: CallLimits::default(),
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

fn want(namespace: &str, pinned: Option<&str>, asked: &[&str]) -> Want {
    Want {
        namespace: namespace.parse().unwrap(),
        capability: "x".parse().unwrap(),
        pinned: pinned.map(id),
        asked: asked.iter().map(|name| id(name)).collect(),
    }
}

/// Who would be asked; nobody is.
fn choose(registry: &Registry, namespace: &str, pinned: Option<&str>, asked: &[&str]) -> Option<String> {
    chosen(registry, want(namespace, pinned, asked), at(0)).map(|id| id.to_string())
}

fn chosen(registry: &Registry, want: Want, now: Timestamp) -> Option<AgentId> {
    match registry.choose(want, registry.join(), run(0), now) {
        Choice::Agent(grant) => {
            let agent = grant.agent.clone();
            registry.give_back(grant, now);
            Some(agent)
        }
        Choice::Later(ticket) => panic!("it waits as number {ticket}"),
        Choice::Nobody => None,
    }
}

fn run(number: u64) -> RunId {
    RunId::new(number, [0; 10])
}

fn begin(registry: &Registry, agent: &str) -> Grant {
    registry.go_on(id(agent), "x".parse().unwrap())
}

fn fail(registry: &Registry, grant: Grant, kind: AgentErrorKind, now: Timestamp) {
    registry.end(grant, Ending::Badly(&AgentError::new(kind, "no")), now);
}

fn first(registry: &Registry, asked: &[&str]) -> Option<String> {
    choose(registry, "default", None, asked)
}

#[test]
fn the_best_agent_not_asked_yet_is_chosen() {
    let registry = registry();
    assert_eq!(first(&registry, &[]).unwrap(), "a");
    assert_eq!(first(&registry, &["a"]).unwrap(), "b");
    begin(&registry, "a");
    assert_eq!(first(&registry, &[]).unwrap(), "b", "less loaded");
    let failed = begin(&registry, "b");
    fail(&registry, failed, AgentErrorKind::Failed, at(0));
    assert_eq!(first(&registry, &[]).unwrap(), "c", "healthy");
    let other = Want { capability: "y".parse().unwrap(), ..want("default", None, &[]) };
    assert_eq!(chosen(&registry, other, at(0)), None);
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
    let chosen = |now| chosen(&registry, want("default", None, &[]), now);
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
    let failed = begin(&registry, "c");
    begin(&registry, "b");
    begin(&registry, "b");
    assert_eq!(found(&["x"]), ["c", "b", "a"], "who is full comes last");
    fail(&registry, failed, AgentErrorKind::Failed, at(0));
    assert_eq!(found(&["x"]), ["b", "a", "c"]);
    assert!(found(&["x", "y"]).is_empty(), "all of them");
}

/// A registry whose agent `a` has limits.
fn limited(limits: &str) -> Registry {
    let registry = Registry::default();
    registry.register(AgentRecord { limits: serde_json::from_str(limits).unwrap(), ..record("a") });
    registry
}

fn ask(registry: &Registry, lane: LaneNumber, number: u64, now: Timestamp) -> Choice {
    registry.choose(want("default", None, &[]), lane, run(number), now)
}

fn granted(choice: Choice) -> Grant {
    let Choice::Agent(grant) = choice else { panic!("{choice:?}") };
    grant
}

/// Those of a lane who were called, and whether a place is held for each.
fn called(registry: &Registry, lane: LaneNumber, now: Timestamp) -> Vec<(RunId, Option<Grant>)> {
    registry.called(lane, now).into_iter().map(|called| (called.run, called.grant)).collect()
}

#[test]
fn who_comes_first_gets_the_place_that_becomes_free_whatever_its_lane() {
    let registry = limited(r#"{"max_in_flight":1}"#);
    let lanes = [registry.join(), registry.join()];
    let woken = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let (counted, relaxed) = (woken.clone(), std::sync::atomic::Ordering::Relaxed);
    registry.set_waker(lanes[1], Arc::new(move || _ = counted.fetch_add(1, relaxed)));
    let first = granted(ask(&registry, lanes[0], 1, at(0)));
    assert_eq!(registry.outlook(&want("default", None, &[]), at(0)), Some(Opening::OnEnd));
    for (lane, number) in [(lanes[1], 2), (lanes[0], 3), (lanes[1], 4)] {
        assert!(matches!(ask(&registry, lane, number, at(0)), Choice::Later(_)));
    }
    assert_eq!(registry.waiting().into_values().collect::<Vec<_>>(), [3]);
    registry.end(first, Ending::Well(None), at(1));
    assert!(matches!(ask(&registry, lanes[0], 5, at(1)), Choice::Later(_)), "who comes later does not go first");
    assert!(called(&registry, lanes[0], at(1)).is_empty());
    assert_eq!(woken.load(relaxed), 1);
    let (number, grant) = called(&registry, lanes[1], at(1)).remove(0);
    assert_eq!(number, run(2));
    // What is not used goes on to the next.
    registry.give_back(grant.unwrap(), at(1));
    let (number, grant) = called(&registry, lanes[0], at(1)).remove(0);
    assert_eq!((number, registry.state(&id("a"), at(1)).unwrap().stats.in_flight), (run(3), 1));
    registry.end(grant.unwrap(), Ending::Well(None), at(2));
    assert_eq!(called(&registry, lanes[1], at(2)).remove(0).0, run(4));
}

#[test]
fn who_leaves_the_line_is_not_called() {
    let registry = limited(r#"{"max_in_flight":1}"#);
    let lane = registry.join();
    let first = granted(ask(&registry, lane, 1, at(0)));
    let Choice::Later(ticket) = ask(&registry, lane, 2, at(0)) else { panic!("it is full") };
    ask(&registry, lane, 3, at(0));
    registry.leave(ticket);
    registry.end(first, Ending::Well(None), at(0));
    let called = called(&registry, lane, at(0));
    assert_eq!((called.len(), called[0].0), (1, run(3)));
    assert!(registry.waiting().is_empty());
}

#[test]
fn who_could_be_served_does_not_wait_behind_who_could_not() {
    let registry = limited(r#"{"max_in_flight":1}"#);
    registry.register(AgentRecord { limits: serde_json::from_str(r#"{"max_in_flight":1}"#).unwrap(), ..record("b") });
    let lane = registry.join();
    let (first, second) = (granted(ask(&registry, lane, 1, at(0))), granted(ask(&registry, lane, 2, at(0))));
    assert_eq!((&first.agent, &second.agent), (&id("a"), &id("b")));
    registry.choose(want("default", Some("b"), &[]), lane, run(3), at(0));
    registry.choose(want("default", None, &["b"]), lane, run(4), at(0));
    registry.end(first, Ending::Well(None), at(0));
    let called = called(&registry, lane, at(0));
    assert_eq!((called.len(), called[0].0, &called[0].1.as_ref().unwrap().agent), (1, run(4), &id("a")));
}

#[test]
fn a_rate_lets_them_through_one_after_the_other_at_their_moments() {
    let registry = limited(r#"{"rate":"1/10s"}"#);
    let lane = registry.join();
    granted(ask(&registry, lane, 1, at(100)));
    for number in 2..5 {
        assert!(matches!(ask(&registry, lane, number, at(101)), Choice::Later(_)));
    }
    for number in 2..5_u64 {
        let moment = at(90 + 10 * number as i64);
        assert_eq!(registry.next_moment(), Some(moment));
        assert!(called(&registry, lane, Timestamp::from_micros(moment.as_micros() - 1)).is_empty());
        let called = called(&registry, lane, moment);
        assert_eq!((called.len(), called[0].0), (1, run(number)));
    }
    assert_eq!(registry.next_moment(), None, "nobody waits");
}

#[test]
fn a_capability_has_limits_over_all_its_agents() {
    let limits = |json: &str| serde_json::from_str::<CallLimits>(json).unwrap();
    let capabilities = [("x", limits(r#"{"max_in_flight":2}"#)), ("y", limits("{}"))];
    let capabilities = capabilities.map(|(name, limits)| (name.parse().unwrap(), limits)).into();
    let registry = Registry::new(DispatchPolicy { capabilities, ..DispatchPolicy::default() });
    ["a", "b", "c"].into_iter().for_each(|id| registry.register(record(id)));
    let lane = registry.join();
    let first = granted(ask(&registry, lane, 1, at(0)));
    let second = granted(ask(&registry, lane, 2, at(0)));
    assert_ne!(first.agent, second.agent);
    assert!(matches!(ask(&registry, lane, 3, at(0)), Choice::Later(_)));
    registry.end(second, Ending::Abandoned, at(0));
    assert_eq!(called(&registry, lane, at(0)).len(), 1);
}

#[test]
fn an_agent_that_fails_is_left_alone_and_tried_by_one() {
    let registry = limited("{}");
    let lane = registry.join();
    let grants: Vec<Grant> = (0..6).map(|number| granted(ask(&registry, lane, number, at(0)))).collect();
    for (number, grant) in grants.into_iter().enumerate() {
        let kind = if number == 0 { AgentErrorKind::Failed } else { AgentErrorKind::Timeout };
        fail(&registry, grant, kind, at(0));
    }
    let state = |now| registry.state(&id("a"), now).unwrap().breaker;
    assert_eq!(state(at(0)), BreakerState::Open { until: at(30) });
    let waits = |number| matches!(ask(&registry, lane, number, at(1)), Choice::Later(_));
    assert!(waits(7) && waits(8));
    assert_eq!((registry.next_moment(), state(at(30))), (Some(at(30)), BreakerState::HalfOpen));
    let mut tries = called(&registry, lane, at(30));
    assert_eq!((tries.len(), tries[0].0, registry.next_moment()), (1, run(7), None), "one tries");
    registry.end(tries.remove(0).1.unwrap(), Ending::Well(None), at(31));
    assert_eq!((called(&registry, lane, at(31)).len(), state(at(31))), (1, BreakerState::Closed));
}

#[test]
fn what_decided_and_who_was_passed_over_is_told_where_there_was_a_choice() {
    let why = |registry: &Registry, asked: &[&str]| {
        let choice = registry.choose(want("default", None, asked), registry.join(), run(0), at(0));
        granted(choice).choice.map(|choice| choice.to_string())
    };
    assert_eq!(why(&limited("{}"), &[]), None, "there is one");
    let registry = registry();
    assert_eq!(why(&registry, &[]).unwrap(), "name of=3");
    assert_eq!(why(&registry, &[]).unwrap(), "name of=3", "b before c, a is busy");
    assert_eq!(why(&registry, &["a"]).unwrap(), "least_busy of=3 passed=a:asked");
    let busy = AgentError { retry_after: Some(Duration::from_secs(9)), ..AgentError::new(RateLimited, "") };
    let grant = begin(&registry, "a");
    registry.end(grant, Ending::Badly(&busy), at(0));
    registry.register(AgentRecord { limits: serde_json::from_str(r#"{"max_in_flight":1}"#).unwrap(), ..record("b") });
    for _ in 0..5 {
        let grant = begin(&registry, "c");
        fail(&registry, grant, Unavailable, at(0));
    }
    registry.register(record("d"));
    let told = "only_one of=4 passed=a:resting,b:full,c:breaker_open";
    assert_eq!(why(&registry, &[]).unwrap(), told);
}

#[test]
fn who_waits_for_an_agent_that_is_taken_out_is_told() {
    let registry = Registry::default();
    let red: Namespace = "red".parse().unwrap();
    let limits = serde_json::from_str(r#"{"max_in_flight":1}"#).unwrap();
    assert!(registry.register_in(&red, AgentRecord { limits, ..record("r") }, None, at(0)));
    let lane = registry.join();
    let ask = |number| registry.choose(want("red", None, &[]), lane, run(number), at(0));
    let first = granted(ask(1));
    assert!(matches!(ask(2), Choice::Later(_)));
    assert!(registry.deregister(&red, &id("r")));
    assert_eq!(called(&registry, lane, at(0)), [(run(2), None)]);
    registry.end(first, Ending::Well(None), at(0));
    assert_eq!(ask(3), Choice::Nobody);
}

#[test]
fn of_equals_the_one_that_does_better_and_then_the_faster_one_is_asked() {
    let registry = registry();
    let ended = |id: &str, millis: u64| {
        let mut grant = begin(&registry, id);
        grant.asked(at(0));
        let took = grant.took(at(0).plus(Duration::from_millis(millis)));
        registry.end(grant, Ending::Well(took), at(0));
    };
    ended("a", 300);
    ended("b", 100);
    ended("c", 200);
    assert_eq!(first(&registry, &[]).unwrap(), "b");
    assert_eq!(registry.state(&id("c"), at(0)).unwrap().learned.latency(), Some(Duration::from_millis(200)));
    let mut failed = Learned::default();
    failed.badly();
    registry.learn(&[(id("b"), failed)].into());
    assert_eq!(first(&registry, &[]).unwrap(), "c", "b failed elsewhere");
    registry.learn(&[(id("c"), failed)].into());
    assert_eq!(first(&registry, &[]).unwrap(), "b", "what is told now counts");
}
