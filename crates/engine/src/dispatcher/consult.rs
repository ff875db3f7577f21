//! The engine asks an agent on its own behalf, in the course of an attempt: a judge, say.
//!
//! Whoever is asked is found like an agent for a step: by what it can do, within limits, breakers and the line. What is asked has the
//! attempt's key with a word added to its path, so that it is found again at the agent after a crash.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tutti_core::ids::{AgentId, AttemptKey, Capability, Namespace, StepPath};
use tutti_core::ports::agent::{
    AgentCall, AgentError, AgentErrorKind, AgentReport, AgentTransport, AgentUpdate, Answer, Retry, UpdateSink,
};
use tutti_core::ports::clock::Clock;
use tutti_core::time::{Span, Timestamp};
use tutti_core::value::Json;
use tutti_core::workflow::Priority;

use super::agent::Ending;
use super::attempt::CallMode;
use super::line::{LaneNumber, Ticket, Want};
use super::registry::{Choice, Grant, Registry};

/// Time beyond a question's own in which a transport must have returned.
const GRACE: Duration = Duration::from_secs(2);

/// What the engine asks in the course of an attempt.
pub(crate) struct Question {
    /// In the course of which.
    pub(crate) attempt: AttemptKey,
    /// Tells the questions of an attempt apart: a word such as `judge`, the same after a crash.
    pub(crate) word: &'static str,
    /// Whose run it is.
    pub(crate) namespace: Namespace,
    /// What the agent must be able to do.
    pub(crate) capability: Capability,
    /// The only agent that will do.
    pub(crate) agent: Option<AgentId>,
    /// Agents that will not do.
    pub(crate) but: Vec<AgentId>,
    /// What it is to do, if the skill can do several things.
    pub(crate) action: Option<String>,
    /// How urgent it is.
    pub(crate) priority: Priority,
    /// What is asked: an object.
    pub(crate) input: Json,
    /// How long it may take, the wait for a place included.
    pub(crate) timeout: Duration,
    /// Unless it is [`CallMode::Fresh`], it may have been asked before.
    pub(crate) mode: CallMode,
    /// The trace to which it belongs.
    pub(crate) trace_parent: Option<String>,
}

/// What an agent answered to the engine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Consulted {
    /// Who.
    pub(crate) agent: AgentId,
    /// What.
    pub(crate) output: Json,
    /// What it told beside it, [checked](AgentReport::check).
    pub(crate) report: Option<Box<AgentReport>>,
}

/// Asks agents on the engine's behalf. Its questions wait for places in a lane of their own.
pub(crate) struct Consultants {
    registry: Registry,
    clock: Arc<dyn Clock>,
    lane: LaneNumber,
    /// Questions that were called, with the places that are held for them.
    called: Mutex<HashMap<Ticket, Option<Grant>>>,
    news: Arc<Notify>,
}

impl Consultants {
    /// Questions to the agents of a registry.
    pub(crate) fn new(registry: Registry, clock: Arc<dyn Clock>) -> Self {
        let (lane, news) = (registry.join(), Arc::new(Notify::new()));
        let wake = news.clone();
        registry.set_waker(lane, Arc::new(move || wake.notify_waiters()));
        Self { registry, clock, lane, called: Mutex::default(), news }
    }

    /// Asks the best agent that can be asked, and another one if that fails.
    ///
    /// # Errors
    /// That of the last agent; [`AgentErrorKind::NoAgent`] if there is none, [`AgentErrorKind::Timeout`] if the time is up.
    pub(crate) async fn ask(
        &self,
        transport: &dyn AgentTransport,
        question: Question,
    ) -> Result<Consulted, AgentError> {
        let deadline = tokio::time::Instant::now() + question.timeout;
        let mut asked = question.but.clone();
        let mut failure = None;
        loop {
            let want = Want {
                namespace: question.namespace.clone(),
                capability: question.capability.clone(),
                pinned: question.agent.clone(),
                asked: asked.clone(),
            };
            let Some(mut place) = self.place(want, &question, deadline).await? else {
                let nobody = || format!("no agent with the capability \"{}\" can be asked", question.capability);
                return Err(failure.unwrap_or_else(|| AgentError::new(AgentErrorKind::NoAgent, nobody())));
            };
            match place.ask(transport, &question, deadline).await {
                Ok(consulted) => return Ok(consulted),
                Err(error) => {
                    asked.push(place.agent.clone());
                    let never = error.kind.retry() == Retry::Never;
                    if never || question.agent.is_some() || tokio::time::Instant::now() >= deadline {
                        return Err(error);
                    }
                    failure = Some(error);
                }
            }
        }
    }

    /// A place at the best agent, as soon as there is one; `None` if nobody can be asked.
    async fn place(
        &self,
        want: Want,
        question: &Question,
        deadline: tokio::time::Instant,
    ) -> Result<Option<Place<'_>>, AgentError> {
        let run = question.attempt.run;
        let ticket = match self.registry.choose(want, self.lane, run, self.clock.now()) {
            Choice::Agent(grant) => return Ok(Some(Place::new(self, grant))),
            Choice::Nobody => return Ok(None),
            Choice::Later(ticket) => InLine { of: self, ticket },
        };
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            // What happens from here on is not missed.
            news.as_mut().enable();
            self.look();
            let called = self.lock().remove(&ticket.ticket);
            if let Some(called) = called {
                return Ok(called.map(|grant| Place::new(self, grant)));
            }
            let moment = self.registry.next_moment().map_or(Duration::MAX, |at| at.since(self.clock.now()));
            // A moment that has come may need another look of the clock.
            let wait = moment.max(Duration::from_millis(1));
            tokio::select! {
                () = news => {}
                () = tokio::time::sleep(wait.min(Duration::from_secs(3600))) => {}
                () = tokio::time::sleep_until(deadline) => {
                    let why = format!("no agent with the capability \"{}\" had a place in time", question.capability);
                    return Err(AgentError::new(AgentErrorKind::Timeout, why));
                }
            }
        }
    }

    /// Serves the line as far as it can be served, and keeps what its own questions got of it.
    fn look(&self) {
        let called = self.registry.called(self.lane, self.clock.now());
        if called.is_empty() {
            return;
        }
        self.lock().extend(called.into_iter().map(|called| (called.ticket, called.grant)));
        self.news.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Ticket, Option<Grant>>> {
        // Every change leaves the map whole.
        self.called.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the line, left when it is dropped.
struct InLine<'c> {
    of: &'c Consultants,
    ticket: Ticket,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.of.registry.leave(self.ticket);
        self.of.look();
        let called = self.of.lock().remove(&self.ticket);
        if let Some(Some(grant)) = called {
            self.of.registry.give_back(grant, self.of.clock.now());
            self.of.look();
        }
    }
}

/// A place at an agent, given back when it is dropped.
struct Place<'c> {
    of: &'c Consultants,
    agent: AgentId,
    grant: Option<Grant>,
}

impl<'c> Place<'c> {
    fn new(of: &'c Consultants, grant: Grant) -> Self {
        Self { of, agent: grant.agent.clone(), grant: Some(grant) }
    }

    async fn ask(
        &mut self,
        transport: &dyn AgentTransport,
        question: &Question,
        deadline: tokio::time::Instant,
    ) -> Result<Consulted, AgentError> {
        let began = self.of.clock.now();
        let endpoint = self
            .of
            .registry
            .endpoint(&self.agent)
            .ok_or_else(|| AgentError::new(AgentErrorKind::Unavailable, "the agent is not known any more"))?;
        self.grant.iter_mut().for_each(|grant| grant.asked(began));
        let id = endpoint.id.clone();
        let timeout = deadline.saturating_duration_since(tokio::time::Instant::now());
        let call = AgentCall {
            agent: endpoint,
            key: AttemptKey {
                path: StepPath::aside(&question.attempt.path, question.word),
                ..question.attempt.clone()
            },
            capability: question.capability.clone(),
            action: question.action.clone(),
            priority: question.priority,
            input: question.input.clone(),
            timeout,
            idle_timeout: None,
            task: None,
            trace_parent: question.trace_parent.clone(),
            feedback: None,
        };
        let answer = tokio::time::timeout(timeout + GRACE, call_agent(transport, &call, question.mode)).await;
        let late = || AgentError::new(AgentErrorKind::Timeout, format!("no answer within {}", Span(timeout)));
        let outcome = answer.unwrap_or_else(|_| Err(late())).and_then(|answer| consulted(id, answer));
        self.end(outcome.as_ref().err(), began);
        outcome
    }

    fn end(&mut self, error: Option<&AgentError>, began: Timestamp) {
        let Some(grant) = self.grant.take() else { return };
        let now = self.of.clock.now();
        let ending = error.map_or_else(|| Ending::Well(Some(now.since(began))), Ending::Badly);
        self.of.registry.end(grant, ending, now);
        self.of.look();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.take() {
            self.of.registry.end(grant, Ending::Abandoned, self.of.clock.now());
            self.of.look();
        }
    }
}

async fn call_agent(transport: &dyn AgentTransport, call: &AgentCall, mode: CallMode) -> Result<Answer, AgentError> {
    if mode != CallMode::Fresh
        && let Some(answer) = transport.reattach(call, &Silent).await?
    {
        return Ok(answer);
    }
    transport.call(call, &Silent).await
}

fn consulted(agent: AgentId, answer: Answer) -> Result<Consulted, AgentError> {
    match answer {
        Answer::Completed { output, mut report, .. } if !output.is_empty() => {
            report.as_mut().map_or(Ok(()), |report| report.check())?;
            Ok(Consulted { agent, output, report })
        }
        Answer::Completed { .. } => Err(AgentError::new(AgentErrorKind::EmptyAnswer, "the agent says nothing")),
        Answer::Suspended { message, .. } => {
            let why = format!("the agent asks instead of answering: {message}");
            Err(AgentError::new(AgentErrorKind::InvalidAnswer, why))
        }
    }
}

/// Nobody is told of the progress of what the engine asks.
struct Silent;

impl UpdateSink for Silent {
    fn update(&self, _: AgentUpdate) {}
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use tutti_core::ids::RunId;
    use tutti_core::ports::agent::{AgentDescription, AgentEndpoint, AgentReply, CallLimits};

    use super::super::agent::AgentRecord;
    use super::*;

    /// Agents named `bad` fail, `slow` ones take a minute, all others say who they are.
    struct Named;

    #[async_trait]
    impl AgentTransport for Named {
        async fn describe(&self, _: &AgentEndpoint) -> Result<AgentDescription, AgentError> {
            unreachable!("nobody asks")
        }
        async fn call(&self, call: &AgentCall, _: &dyn UpdateSink) -> Result<Answer, AgentError> {
            assert_eq!(call.key.path.as_str(), "s~judge");
            match call.agent.id.as_str() {
                "bad" => return Err(AgentError::new(AgentErrorKind::Failed, "no")),
                "slow" => drop(tokio::time::timeout(Duration::from_secs(60), std::future::pending::<()>()).await),
                _ => {}
            }
            let output = Json::of(call.agent.id.as_str()).unwrap();
            Ok(Answer::Completed { output, artifacts: vec![], report: None })
        }
        async fn reattach(&self, _: &AgentCall, _: &dyn UpdateSink) -> Result<Option<Answer>, AgentError> {
            let output = Json::parse("\"found again\"").unwrap();
            Ok(Some(Answer::Completed { output, artifacts: vec![], report: None }))
        }
        async fn answer(&self, _: &AgentCall, _: &AgentReply, _: &dyn UpdateSink) -> Result<Answer, AgentError> {
            unreachable!("nobody answers")
        }
        async fn cancel(&self, _: &AgentCall) -> Result<(), AgentError> {
            Ok(())
        }
    }

    struct Paused(tokio::time::Instant);

    impl Clock for Paused {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(1_000_000).plus(self.0.elapsed())
        }
        fn random(&self) -> u128 {
            7
        }
    }

    /// Agents with room for one call each.
    fn consultants(agents: &[&str]) -> Consultants {
        let registry = Registry::default();
        for agent in agents {
            registry.register(AgentRecord {
                id: agent.parse().unwrap(),
                url: format!("test:{agent}"),
                access: Default::default(),
                capabilities: vec!["judge".parse().unwrap()],
                limits: CallLimits { max_in_flight: std::num::NonZero::new(1), ..CallLimits::default() },
            });
        }
        Consultants::new(registry, Arc::new(Paused(tokio::time::Instant::now())))
    }

    fn question(but: &[&str], seconds: u64) -> Question {
        let path = StepPath::from(&"s".parse::<tutti_core::ids::StepId>().unwrap());
        Question {
            attempt: AttemptKey { run: RunId::new(1, [0; 10]), generation: 0, path, attempt: 1 },
            word: "judge",
            namespace: Namespace::default(),
            capability: "judge".parse().unwrap(),
            agent: None,
            but: but.iter().map(|agent| agent.parse().unwrap()).collect(),
            action: None,
            priority: Priority::Normal,
            input: Json::empty_object(),
            timeout: Duration::from_secs(seconds),
            mode: CallMode::Fresh,
            trace_parent: None,
        }
    }

    fn who(answer: Result<Consulted, AgentError>) -> Result<String, AgentErrorKind> {
        answer.map(|consulted| consulted.output.as_str().to_owned()).map_err(|error| error.kind)
    }

    #[tokio::test(start_paused = true)]
    async fn another_agent_is_asked_when_one_fails_and_none_that_must_not() {
        let of = consultants(&["bad", "good"]);
        for _ in 0..3 {
            assert_eq!(who(of.ask(&Named, question(&[], 5)).await), Ok("\"good\"".to_owned()));
        }
        assert_eq!(who(of.ask(&Named, question(&["good"], 5)).await), Err(AgentErrorKind::Failed));
        assert_eq!(who(of.ask(&Named, question(&["good", "bad"], 5)).await), Err(AgentErrorKind::NoAgent));
    }

    #[tokio::test(start_paused = true)]
    async fn questions_wait_for_places_in_turn_and_give_them_back_however_they_end() {
        let of = consultants(&["slow"]);
        let (first, second, late) = tokio::join!(
            of.ask(&Named, question(&[], 100)),
            of.ask(&Named, question(&[], 130)),
            of.ask(&Named, question(&[], 30)),
        );
        assert_eq!((who(first), who(second)), (Ok("\"slow\"".to_owned()), Ok("\"slow\"".to_owned())));
        assert_eq!(who(late), Err(AgentErrorKind::Timeout), "its turn did not come");
        assert_eq!(of.clock.now().since(Timestamp::from_micros(1_000_000)).as_secs(), 120, "one after the other");
        let given_up = tokio::time::timeout(Duration::from_secs(1), of.ask(&Named, question(&[], 100))).await;
        assert!(given_up.is_err());
        assert!(of.ask(&Named, question(&[], 70)).await.is_ok(), "the place of the one that was given up is free");
        assert!(of.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_before_a_crash_is_found_again() {
        let of = consultants(&["good"]);
        let again = Question { mode: CallMode::Reattach, ..question(&[], 5) };
        assert_eq!(who(of.ask(&Named, again).await), Ok("\"found again\"".to_owned()));
    }
}
