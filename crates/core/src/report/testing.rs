//! Drives real runs for the tests of this module.

use std::sync::Arc;

use super::RunView;
use crate::ids::{AttemptKey, Namespace, RunId};
use crate::plan::{Plan, StepIndex};
use crate::ports::agent::{AgentError, AgentErrorKind};
use crate::run::{Applied, ArtifactRecorded, Input, Recorded, RunCreated, RunState, apply, create};
use crate::schedule::{Growth, Policy, StrategyDecision, StrategyReason, Width, admit};
use crate::time::Timestamp;
use crate::value::{Json, Payload, PayloadRef};
use crate::workflow::{Executor, OnError, parse};

pub struct Drive {
    pub plan: Arc<Plan>,
    pub state: RunState,
    pub history: Vec<Recorded>,
    pub now: Timestamp,
}

impl Drive {
    /// A run of steps written as YAML, created at second 100.
    pub fn new(steps: &str, width: Width, on_error: OnError) -> Self {
        let text = format!("id: demo\nname: A demo\nversion: '1'\nsteps:\n{steps}");
        let plan = Plan::new(parse(&text).unwrap().workflow).unwrap();
        let created = RunCreated {
            run: RunId::new(1, [1; 10]),
            namespace: Namespace::default(),
            request: uuid::Uuid::nil(),
            workflow: plan.workflow().id.clone(),
            version: plan.workflow().version.clone(),
            definition: plan.definition(),
            data: Payload::Inline(Json::empty_object()),
            policy: Policy { width, growth: Growth::Fixed, on_error },
            strategy: StrategyDecision {
                executor: if width == Width::One { Executor::Basic } else { Executor::Parallel },
                reason: StrategyReason::Requested,
                potential_improvement: None,
                system_load: None,
                available_workers: None,
            },
            origin: crate::run::Origin::default(),
            turn: None,
        };
        let now = Timestamp::from_micros(100_000_000);
        let (state, first) = create(plan.clone(), created, now);
        Self { plan, state, history: vec![first], now }
    }

    pub fn parallel(steps: &str) -> Self {
        Self::new(steps, Width::Bounded(4), OnError::Continue)
    }

    /// Sets the clock to seconds after the creation.
    pub fn at(&mut self, seconds: f64) -> &mut Self {
        self.now = Timestamp::from_micros(100_000_000 + (seconds * 1e6).round() as i64);
        self
    }

    pub fn input(&mut self, input: &Input) -> bool {
        let mut applied = Applied::default();
        let taken = apply(&mut self.state, input, self.now, &mut applied).is_ok();
        self.history.extend(applied.events);
        taken
    }

    pub fn index(&self, step: &str) -> StepIndex {
        (0..self.plan.len() as u32).find(|i| self.plan.step(*i).id.as_str() == step).unwrap()
    }

    pub fn key(&self, step: &str) -> AttemptKey {
        self.state.attempt_key(self.index(step))
    }

    pub fn start(&mut self, step: &str, agent: &str) -> &mut Self {
        let step = self.key(step).path;
        assert!(self.input(&Input::StartAttempt { step, agent: agent.parse().unwrap(), choice: None }));
        self
    }

    pub fn complete(&mut self, step: &str) -> &mut Self {
        assert!(self.input(&completed(self.key(step), r#"{"ok":true}"#, vec![], vec![])));
        self
    }

    pub fn fail(&mut self, step: &str, kind: AgentErrorKind, message: &str, other_agent: bool) -> &mut Self {
        let error = AgentError::new(kind, message);
        assert!(self.input(&Input::FailAttempt { key: self.key(step), error, other_agent, chance: 0.0 }));
        self
    }

    pub fn artifact(&mut self, step: &str, name: &str, bytes: &[u8]) -> &mut Self {
        let key = self.key(step);
        let artifact = ArtifactRecorded {
            step: key.path.clone(),
            attempt: key.attempt,
            artifact: "1".into(),
            name: name.into(),
            media_type: Some("text/plain".into()),
            content: PayloadRef::to(bytes),
        };
        assert!(self.input(&completed(key, "1", vec![artifact], vec!["hint".into()])));
        self
    }

    /// Starts what admission admits, by an agent named after the step.
    pub fn start_admitted(&mut self) {
        for index in admit(&self.state, self.now) {
            let id = self.plan.step(index).id.to_string();
            self.start(&id, &format!("agent-{id}"));
        }
    }

    pub fn view(&self) -> RunView {
        RunView::of(self.plan.clone(), &self.history)
    }
}

pub fn completed(key: AttemptKey, output: &str, artifacts: Vec<ArtifactRecorded>, missing: Vec<String>) -> Input {
    let output = Payload::Inline(Json::parse(output.to_owned()).unwrap());
    Input::CompleteAttempt {
        key,
        output,
        artifacts,
        missing_inputs: missing,
        report: None,
        grows: None,
        findings: None,
    }
}
