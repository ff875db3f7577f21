//! Runs that are decided by the rules of the core, and what is told of them.

use tutti_core::ids::{AttemptKey, Namespace, RequestId, RunId};
use tutti_core::ports::agent::{AgentError, AgentErrorKind, Need};
use tutti_core::run::{Applied, Command, Input, Order, Origin, RunCreated, apply, create};
use tutti_core::schedule::{Growth, Policy, StrategyReason, Width};
use tutti_core::time::Timestamp;
use tutti_core::value::{Json, Payload};
use tutti_core::workflow::{Executor, OnError, parse};

use super::*;

/// a, then b and c, then d.
const DIAMOND: &str = "
- {id: a, capability: x}
- {id: b, capability: x, depends_on: [a], retry: {max_attempts: 2, jitter: 0}}
- {id: c, capability: x, depends_on: [a]}
- {id: d, capability: x, depends_on: [b, c]}";

/// A run, driven by hand.
struct Drive {
    plan: Arc<Plan>,
    state: RunState,
    history: Vec<Recorded>,
    now: Timestamp,
}

impl Drive {
    fn new(on_error: OnError) -> Self {
        let plan = Plan::new(parse(&format!("id: w\nsteps:{DIAMOND}")).unwrap().workflow).unwrap();
        let strategy = StrategyDecision {
            executor: Executor::Parallel,
            reason: StrategyReason::Requested,
            potential_improvement: None,
            system_load: None,
            available_workers: None,
        };
        let created = RunCreated {
            run: RunId::new(1, [1; 10]),
            namespace: Namespace::default(),
            request: RequestId::from_u128(1),
            workflow: plan.workflow().id.clone(),
            version: String::new(),
            definition: plan.definition(),
            data: Payload::Inline(Json::empty_object()),
            policy: Policy { width: Width::Bounded(4), growth: Growth::Fixed, on_error },
            strategy,
            origin: Origin::default(),
            turn: None,
        };
        let now = Timestamp::from_micros(1_000_000);
        let (state, first) = create(plan.clone(), created, now);
        Self { plan, state, history: vec![first], now }
    }

    fn input(&mut self, input: &Input) -> &mut Self {
        self.now = self.now.plus(Duration::from_secs(1));
        let mut applied = Applied::default();
        apply(&mut self.state, input, self.now, &mut applied).unwrap();
        self.history.extend(applied.events);
        self
    }

    fn key(&self, step: &str) -> AttemptKey {
        let index = (0..self.plan.len() as u32).find(|index| self.plan.step(*index).id.as_str() == step).unwrap();
        self.state.attempt_key(index)
    }

    fn start(&mut self, step: &str) -> &mut Self {
        let step = self.key(step).path;
        self.input(&Input::StartAttempt { step, agent: "agent".parse().unwrap(), choice: None })
    }

    fn complete(&mut self, step: &str) -> &mut Self {
        let (key, output) = (self.start(step).key(step), Payload::Inline(Json::empty_object()));
        self.input(&Input::CompleteAttempt {
            key,
            output,
            artifacts: vec![],
            missing_inputs: vec![],
            report: None,
            grows: None,
            findings: None,
        })
    }

    fn fail(&mut self, step: &str, kind: AgentErrorKind) -> &mut Self {
        let error = AgentError::new(kind, "no");
        let key = self.start(step).key(step);
        self.input(&Input::FailAttempt { key, error, chance: 0.0, other_agent: false })
    }

    fn command(&mut self, command: Command) -> &mut Self {
        let order = Order::new("eve".to_owned(), "the audit");
        self.input(&Input::Command { command, order })
    }

    /// Everything that is told, in words, event by event.
    fn told(&self) -> Vec<Vec<String>> {
        let mut events = StreamEvents::new(self.plan.clone());
        self.history.iter().map(|recorded| events.tell(recorded).iter().map(words).collect()).collect()
    }

    /// What is told of the last event.
    fn last(&self) -> Vec<String> {
        self.told().pop().unwrap()
    }
}

fn words(event: &StreamEvent) -> String {
    match event {
        StreamEvent::Phase { phase, .. } => format!("phase {}", phase.as_str()),
        StreamEvent::Planning { levels, .. } => format!("planning {levels}"),
        StreamEvent::TaskStart { step, attempt, agent, capability } => {
            format!("start {step}#{attempt} {agent} {capability}")
        }
        StreamEvent::Progress { step, kind, message } => {
            let step = step.as_ref().map(|step| format!("{step} ")).unwrap_or_default();
            format!("{kind:?} {step}{message}")
        }
        StreamEvent::Artifact(artifact) => format!("artifact {}", artifact.name),
        StreamEvent::TaskComplete { step, attempt, duration, .. } => {
            format!("complete {step}#{attempt} {}s", duration.as_secs())
        }
        StreamEvent::TaskFailed { step, error, attempts } => format!("failed {step} {error} {attempts}"),
        StreamEvent::NodeComplete { step, released } => {
            let released: Vec<&str> = released.iter().map(StepId::as_str).collect();
            format!("node {step} -> {}", released.join(","))
        }
        StreamEvent::LevelComplete { level, levels, completed, failed, skipped } => {
            format!("level {level}/{levels} {completed} {failed} {skipped}")
        }
        StreamEvent::Result => "result".to_owned(),
        StreamEvent::Failed { status, step, error } => {
            format!("{status} {} {error}", step.as_ref().map(ToString::to_string).unwrap_or_default())
        }
    }
}

#[test]
fn a_completed_step_ends_its_node_and_perhaps_its_level() {
    let mut run = Drive::new(OnError::Fail);
    assert_eq!(run.last(), ["planning 3"]);
    run.start("a");
    assert_eq!(run.last(), ["start a#1 agent x"]);
    let (key, output) = (run.key("a"), Payload::Inline(Json::empty_object()));
    run.input(&Input::CompleteAttempt {
        key,
        output,
        artifacts: vec![],
        missing_inputs: vec![],
        report: None,
        grows: None,
        findings: None,
    });
    assert_eq!(run.last(), ["complete a#1 1s", "node a -> b,c", "level 0/3 1 0 0", "Advanced a completed"]);
    run.complete("c");
    assert_eq!(run.last(), ["complete c#1 1s", "node c -> ", "Advanced c completed"]);
    run.complete("b");
    assert_eq!(run.last(), ["complete b#1 1s", "node b -> d", "level 1/3 2 0 0", "Advanced b completed"]);
    run.complete("d");
    assert_eq!(run.last(), ["result"]);
}

#[test]
fn a_failure_ends_the_levels_of_what_it_keeps_from_running() {
    let mut run = Drive::new(OnError::Continue);
    run.complete("a").fail("b", AgentErrorKind::Failed);
    assert_eq!(run.last(), ["Retrying b FAILED: no"]);
    run.now = run.now.plus(Duration::from_secs(3_600));
    run.fail("b", AgentErrorKind::Failed);
    let told = run.told();
    assert_eq!(told[told.len() - 2], ["AttemptFailed b FAILED: no"]);
    // Its own level waits for c; d will not run.
    assert_eq!(told[told.len() - 1], ["failed b FAILED: no 2", "level 2/3 0 0 1", "Advanced b failed"]);
    run.complete("c");
    let told = run.told();
    assert!(told[told.len() - 2].contains(&"level 1/3 1 1 0".to_owned()), "{told:?}");
    assert_eq!(told[told.len() - 1], ["failed b FAILED: no"]);

    run.command(Command::Retry);
    assert_eq!(run.last(), ["Reopened the audit"]);
    run.complete("b");
    assert!(run.last().contains(&"level 1/3 2 0 0".to_owned()), "told anew: {:?}", run.last());
}

#[test]
fn orders_questions_and_ends_are_told() {
    let mut run = Drive::new(OnError::Fail);
    run.start("a");
    let key = run.key("a");
    run.input(&Input::NoteTask { key: key.clone(), task: "t-1".to_owned() });
    assert_eq!(run.last(), ["Working a task t-1"]);
    run.input(&Input::SuspendAttempt {
        key,
        need: Need::Input,
        message: "which?".to_owned(),
        until: None,
        shown: None,
    });
    assert_eq!(run.last(), ["Waiting a which?"]);
    let answer = Payload::Inline(Json::null());
    run.command(Command::Signal { step: "a".to_owned(), answer });
    assert_eq!(run.last(), ["Answered a the audit"]);
    run.command(Command::Pause);
    assert_eq!(run.last(), ["Paused the audit"]);
    run.command(Command::Resume);
    assert_eq!(run.last(), ["Working the audit"]);
    run.command(Command::Cancel);
    assert_eq!(run.last(), ["cancelled  cancelled by eve: the audit"]);
    assert!(run.told().iter().all(|told| !told.is_empty()), "something is told of every event");
}

#[test]
fn an_event_that_was_told_is_not_told_again() {
    let mut run = Drive::new(OnError::Fail);
    run.complete("a");
    let mut events = StreamEvents::new(run.plan.clone());
    for recorded in &run.history {
        assert!(!events.tell(recorded).is_empty());
        assert_eq!(events.tell(recorded), []);
    }
    assert_eq!(events.counts(), (1, 4));
}

#[test]
fn phases_are_told_once_after_what_they_are_reached_by_and_what_is_off_is_not() {
    use tutti_core::orchestration::Orchestration;
    let mut drive = Drive::new(OnError::Continue);
    drive.complete("a").fail("b", AgentErrorKind::Unavailable).complete("b").complete("c").complete("d");
    let told = |phases: Vec<Phase>| {
        let mut history = drive.history.clone();
        if let Event::RunCreated(created) = &mut history[0].event {
            created.origin.orchestration = Some(Box::new(Orchestration { phases, ..Orchestration::default() }));
        }
        let mut events = StreamEvents::new(drive.plan.clone());
        let mut told = Vec::new();
        for recorded in &history {
            let all = events.tell(recorded);
            told.extend(all.into_iter().filter(|event| events.is_wanted(event)));
        }
        told
    };
    let phases = |told: &[StreamEvent]| -> Vec<Phase> {
        told.iter()
            .filter_map(|event| if let StreamEvent::Phase { phase, .. } = event { Some(*phase) } else { None })
            .collect()
    };
    let full = told(Phase::ALL.to_vec());
    let early = [Phase::Analysis, Phase::Streaming, Phase::Sessions];
    assert_eq!(phases(&full[1..4]), early, "with the planning");
    assert_eq!(phases(&full), [&early[..], &[Phase::ErrorHandling, Phase::Artifacts]].concat());
    assert_eq!(full.last(), Some(&StreamEvent::Result), "what ends a stream is the last of it");
    let quiet = told(vec![Phase::Sessions]);
    assert!(
        matches!(quiet[..], [StreamEvent::Planning { .. }, StreamEvent::Phase { .. }, StreamEvent::Result]),
        "{quiet:?}"
    );
}
