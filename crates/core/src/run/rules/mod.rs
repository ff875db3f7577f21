//! One rule per kind of input, each beside its tests.

mod attempt;
mod budget;
mod command;
#[cfg(test)]
mod gathered;
#[cfg(test)]
mod grown;
mod growth;
mod hold;
#[cfg(test)]
mod model;
mod quality;
mod retry;
mod run;
mod settle;
mod undo;
mod wait;

use super::event::Event;
use super::input::{Input, Rejection};
use super::state::RunState;
use crate::time::Timestamp;

pub use growth::preview;
pub(super) use settle::settle;

/// The events that an input leads to.
pub(super) fn decide(state: &RunState, input: &Input, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    match input {
        Input::StartAttempt { step, agent, choice } => attempt::start(state, step, agent, choice.as_ref(), now),
        Input::RefuseAttempt { step, error, chance } => attempt::refuse(state, step, error, *chance, now),
        Input::NoteTask { key, task } => attempt::note_task(state, key, task),
        Input::SuspendAttempt { key, need, message, until, shown } => {
            attempt::suspend(state, key, (*need, message), *until, shown.as_ref(), now)
        }
        Input::ExpireWait { step } => wait::expire(state, step, now),
        Input::ExpandStep { key, first, count } => growth::expand(state, key, *first, *count, now),
        Input::CheckStep { key, omitted } => growth::check(state, key, omitted.as_deref()),
        Input::CompleteAttempt { key, output, artifacts, missing_inputs, report, grows, findings } => {
            let (report, grows, findings) = (report.as_deref(), grows.as_deref(), findings.as_deref());
            let told = attempt::Told { output, artifacts, missing_inputs, report, grows, findings };
            attempt::complete(state, key, told, now)
        }
        Input::FailAttempt { key, error, other_agent, chance } => {
            attempt::fail(state, key, error, *other_agent, *chance, now)
        }
        Input::ContinueAttempt { step } => attempt::resume(state, step),
        Input::ForkRun(forked) => run::fork(state, forked),
        Input::AdmitRun => run::admit(state),
        Input::ExpireRun => run::expire(state, now),
        Input::Command { command, order } => command::decide(state, command, order),
        Input::QuarantineRun { reason } => run::quarantine(state, reason),
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! Given a workflow and inputs, when another comes, then these events.

    use super::super::{
        Applied, Command, Event, Input, Order, Recorded, Rejection, RunCreated, RunState, apply, create,
    };
    use crate::ids::{AgentId, AttemptKey, Namespace, RunId};
    use crate::plan::Plan;
    use crate::ports::agent::{AgentError, AgentErrorKind};
    use crate::schedule::{Growth, Policy, StrategyDecision, StrategyReason, Width};
    use crate::time::Timestamp;
    use crate::value::{Json, Payload};
    use crate::workflow::{Executor, OnError, parse};

    pub struct Given {
        pub state: RunState,
        pub history: Vec<Recorded>,
        pub now: Timestamp,
    }

    impl Given {
        /// A new run of steps written as YAML, width 4, going on after failures.
        pub fn steps(steps: &str) -> Self {
            Self::with(steps, Width::Bounded(4), OnError::Continue)
        }

        /// As [`steps`](Self::steps), with data at the start.
        pub fn with_data(steps: &str, data: &str) -> Self {
            Self::of(&format!("id: w\ndata: {data}\nsteps:\n{steps}"), Width::Bounded(4), OnError::Continue)
        }

        /// The same run from its beginning, under another policy for failures.
        pub fn on_error(self, on_error: OnError) -> Self {
            let Event::RunCreated(mut created) = self.history[0].event.clone() else { unreachable!() };
            created.policy.on_error = on_error;
            let (state, first) = create(self.state.plan().clone(), *created, self.now);
            Self { state, history: vec![first], now: self.now }
        }

        pub fn with(steps: &str, width: Width, on_error: OnError) -> Self {
            // Lists of which a test says nothing are there.
            Self::of(&format!("id: w\ndata: {{l: []}}\nsteps:\n{steps}"), width, on_error)
        }

        fn of(text: &str, width: Width, on_error: OnError) -> Self {
            let workflow = parse(text).unwrap().workflow;
            let plan = Plan::new(workflow).unwrap();
            let created = RunCreated {
                run: RunId::new(1, [1; 10]),
                namespace: Namespace::default(),
                request: uuid::Uuid::nil(),
                workflow: plan.workflow().id.clone(),
                version: String::new(),
                definition: plan.definition(),
                data: Payload::Inline(Json::empty_object()),
                policy: Policy { width, growth: Growth::Fixed, on_error },
                strategy: StrategyDecision {
                    executor: Executor::Parallel,
                    reason: StrategyReason::Requested,
                    potential_improvement: None,
                    system_load: None,
                    available_workers: None,
                },
                origin: crate::run::Origin::default(),
                turn: None,
            };
            let now = Timestamp::from_micros(1_000_000);
            let (state, first) = create(plan, created, now);
            Self { state, history: vec![first], now }
        }

        /// The same run, to try something on.
        pub fn clone_for_try(&self) -> Self {
            Self { state: self.state.clone(), history: self.history.clone(), now: self.now }
        }

        pub fn when(&mut self, input: &Input) -> Result<Vec<Event>, Rejection> {
            let before = self.state.clone();
            let mut applied = Applied::default();
            let outcome = apply(&mut self.state, input, self.now, &mut applied);
            if outcome.is_err() {
                assert_eq!(self.state, before, "a refused input changes nothing");
            }
            self.history.extend(applied.events.iter().cloned());
            let folded = crate::invariants::check_history(self.state.plan(), &self.history).unwrap();
            assert_eq!(folded, self.state, "the fold is the state");
            outcome.map(|()| applied.events.into_iter().map(|e| e.event).collect())
        }

        pub fn command(&mut self, command: Command) -> Result<Vec<Event>, Rejection> {
            self.when(&Input::Command { command, order: Order::new("ana", "because") })
        }

        pub fn index(&self, step: &str) -> u32 {
            self.state.plan().find(&step.parse().unwrap()).unwrap_or_else(|| panic!("no step {step}"))
        }

        pub fn key(&self, step: &str) -> AttemptKey {
            self.state.attempt_key(self.index(step))
        }

        pub fn start(&mut self, step: &str, agent: &str) -> Result<Vec<Event>, Rejection> {
            let path = self.key(step).path;
            self.when(&Input::StartAttempt { step: path, agent: agent.parse::<AgentId>().unwrap(), choice: None })
        }

        pub fn complete(&mut self, step: &str) -> Result<Vec<Event>, Rejection> {
            let key = self.key(step);
            self.when(&Input::CompleteAttempt {
                key,
                output: Payload::Inline(Json::parse(r#"{"ok":true}"#).unwrap()),
                artifacts: vec![],
                missing_inputs: vec![],
                report: None,
                grows: None,
                findings: None,
            })
        }

        pub fn fail(&mut self, step: &str, kind: AgentErrorKind, other_agent: bool) -> Result<Vec<Event>, Rejection> {
            let key = self.key(step);
            self.when(&Input::FailAttempt { key, error: AgentError::new(kind, "no"), other_agent, chance: 0.5 })
        }
    }
}
