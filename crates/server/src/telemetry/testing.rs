//! Runs for the tests of this room.

use std::sync::Arc;

use tutti_core::ids::{Namespace, RunId, StepPath};
use tutti_core::plan::Plan;
use tutti_core::ports::agent::AgentErrorKind;
use tutti_core::run::{AttemptFailed, AttemptStarted, Event, Failure, Origin, Recorded, RunCreated, StepCompleted};
use tutti_core::schedule::{Growth, Policy, StrategyDecision, StrategyReason, Width};
use tutti_core::time::Timestamp;
use tutti_core::value::{Json, Payload};
use tutti_core::workflow::{Executor, OnError, parse};

/// The context of a caller.
pub const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A workflow of two steps.
pub fn plan() -> Arc<Plan> {
    let text = "id: demo\nsteps: [{id: a, capability: do.a}, {id: b, capability: do.b}]";
    Plan::new(parse(text).unwrap().workflow).unwrap()
}

/// The creation of a run of it whose caller was in this trace context.
pub fn created(run: RunId, trace_parent: Option<&str>) -> RunCreated {
    RunCreated {
        run,
        namespace: Namespace::default(),
        request: uuid::Uuid::nil(),
        workflow: "demo".parse().unwrap(),
        version: "1".to_owned(),
        definition: plan().definition(),
        data: Payload::Inline(Json::empty_object()),
        policy: Policy { width: Width::Bounded(4), growth: Growth::Fixed, on_error: OnError::Continue },
        strategy: StrategyDecision {
            executor: Executor::Parallel,
            reason: StrategyReason::Requested,
            potential_improvement: None,
            system_load: None,
            available_workers: None,
        },
        origin: Origin { trace_parent: trace_parent.map(str::to_owned), ..Origin::default() },
        turn: None,
    }
}

/// The run of all histories.
pub fn run() -> RunId {
    RunId::new(1, [1; 10])
}

/// A step.
pub fn path(step: &str) -> StepPath {
    StepPath::from(&step.parse().unwrap())
}

/// What failed steps say.
pub fn failure() -> Failure {
    Failure { kind: AgentErrorKind::Unavailable, message: "gone".to_owned() }
}

/// A history: each event a second after the one before, the first at second 1.
#[derive(Clone)]
pub struct History(pub Vec<Recorded>);

impl History {
    pub fn new(trace_parent: Option<&str>) -> Self {
        Self(Vec::new()).and(Event::RunCreated(Box::new(created(run(), trace_parent))))
    }

    pub fn and(mut self, event: Event) -> Self {
        let seq = self.0.len() as u64 + 1;
        self.0.push(Recorded { seq, at: Timestamp::from_micros(seq as i64 * 1_000_000), event });
        self
    }

    pub fn start(self, step: &str, attempt: u32) -> Self {
        let (step, agent) = (path(step), "bob".parse().unwrap());
        self.and(Event::AttemptStarted(AttemptStarted { step, attempt, agent, choice: None, reserved: None }))
    }

    pub fn complete(self, step: &str, attempt: u32) -> Self {
        let output = Payload::Inline(Json::empty_object());
        self.and(Event::StepCompleted(StepCompleted {
            step: path(step),
            attempt,
            output,
            missing_inputs: Vec::new(),
            report: None,
        }))
    }

    pub fn fail(self, step: &str, attempt: u32) -> Self {
        let (step, error) = (path(step), failure());
        self.and(Event::AttemptFailed(AttemptFailed {
            step,
            attempt,
            error,
            retry_at: None,
            new_round: false,
            uncounted: false,
            usage: None,
        }))
    }
}
