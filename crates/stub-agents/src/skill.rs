//! A skill that does what its script says.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::time::sleep;
use tonic::{Code, Status};
use tutti_a2a::card::AgentSkill;
use tutti_a2a::error::{Reason, retry_after};
use tutti_a2a::{JSON_MEDIA_TYPE, request, v1};
use tutti_core::ids::{AgentId, Capability};
use tutti_example_agents::kit::{self, Chunk, Incoming, Skill, SkillError, TaskContext};

use crate::call::{Attempt, Called, Listener, Origin, Outcome, UnderWay};
use crate::file::{Failing, Fault, Rule, Script, StubArtifact};
use crate::report;
use crate::script::{Call, Chosen, Play};
use crate::template::{Scope, fill, fill_text};

/// A scripted skill of an agent.
pub(crate) struct StubSkill {
    origin: Origin,
    play: Play,
}

/// How the work on a message ends.
struct End {
    outcome: Outcome,
    /// What the log tells.
    answer: Option<Value>,
    result: Result<kit::Outcome, SkillError>,
}

impl StubSkill {
    /// The skill of an agent, whose calls under way `busy` counts.
    pub(crate) fn new(
        agent: &AgentId,
        capability: &Capability,
        script: Script,
        busy: Arc<AtomicUsize>,
        listener: Listener,
    ) -> Self {
        let origin = Origin { agent: agent.to_string(), skill: capability.to_string(), busy, listener };
        Self { origin, play: Play::new(script) }
    }
}

#[async_trait]
impl Skill for StubSkill {
    fn card(&self) -> AgentSkill {
        let skill = &self.origin.skill;
        AgentSkill {
            id: skill.clone(),
            name: skill.replace(['.', '_'], " "),
            description: format!("A stub: it answers {skill} as its file says."),
            tags: vec!["stub".into()],
            ..Default::default()
        }
    }

    async fn admit(&self, incoming: &Incoming<'_>) -> Result<(), Status> {
        let Incoming { message, metadata, input } = *incoming;
        if !message.task_id.is_empty() {
            return Ok(());
        }
        let (operation, action) = (operation(message, metadata), action(metadata));
        let call = Call { operation, message_id: &message.message_id, action, input };
        let chosen = self.play.choose(call);
        let Some((rule, failing)) = self.play.rule(&chosen).and_then(|rule| Some((rule, rule.fail.as_ref()?))) else {
            return Ok(());
        };
        if !failing.kind.refuses() {
            return Ok(());
        }
        self.play.forget(&message.message_id);
        let under_way = UnderWay::begin(&self.origin, called(message, metadata, chosen.call), input.clone());
        sleep(pause(rule)).await;
        let words = words(failing, Scope { input, reply: &Value::Null, call: chosen.call });
        under_way.end(Outcome::Failed(failing.kind), Some(words.as_str().into()));
        Err(refusal(failing, words))
    }

    async fn run(&self, input: Value, context: &TaskContext) -> Result<kit::Outcome, SkillError> {
        let history = context.history();
        let first = history.first().map_or("", |message| message.message_id.as_str());
        let reply = (first != context.message_id()).then(|| input.clone());
        let chosen = self.play.take(first);
        let number = chosen.as_ref().map_or(1, |chosen| chosen.call);
        let called = called(context.message(), context.metadata(), number);
        let under_way = UnderWay::begin(&self.origin, called, input);
        let end = match chosen.as_ref().and_then(|chosen| Some((chosen, self.play.rule(chosen)?))) {
            Some((chosen, rule)) => play(rule, chosen, reply.as_ref(), context).await,
            None => End::failed(Fault::Rejected, "no rule of this stub is for the call".into()),
        };
        under_way.end(end.outcome, end.answer);
        end.result
    }
}

/// Works on a message by a rule.
async fn play(rule: &Rule, chosen: &Chosen, reply: Option<&Value>, context: &TaskContext) -> End {
    let scope = Scope { input: &chosen.input, reply: reply.unwrap_or(&Value::Null), call: chosen.call };
    pass(pause(rule), &rule.progress, context).await;
    let result = match rule.question() {
        Some(question) if reply.is_none() => fill_text(question, scope).map(|question| End::asked(rule, question)),
        _ => end(rule, scope, context).await,
    };
    result.unwrap_or_else(|why| End::failed(Fault::Failed, why))
}

/// The time passes, with what is said meanwhile.
async fn pass(delay: Duration, progress: &[String], context: &TaskContext) {
    let parts = u32::try_from(progress.len()).unwrap_or(u32::MAX).saturating_add(1);
    for (done, text) in (1..).zip(progress) {
        sleep(delay / parts).await;
        context.progress(f64::from(done) / f64::from(parts), text);
    }
    sleep(delay / parts).await;
}

async fn end(rule: &Rule, scope: Scope<'_>, context: &TaskContext) -> Result<End, String> {
    for artifact in &rule.artifacts {
        context.artifact(chunk(artifact, scope)?.last());
    }
    if rule.hang {
        return std::future::pending().await;
    }
    if let Some(told) = report::of(rule, scope)? {
        context.report(told);
    }
    if let Some(failing) = &rule.fail {
        return Ok(End::failed(failing.kind, words(failing, scope)));
    }
    let answer = match &rule.answer {
        Some(answer) => fill(answer, scope)?,
        None => scope.reply.clone(),
    };
    Ok(End { outcome: Outcome::Completed, answer: Some(answer.clone()), result: Ok(kit::Outcome::Done(answer)) })
}

fn chunk(artifact: &StubArtifact, scope: Scope<'_>) -> Result<Chunk, String> {
    let StubArtifact { name, text, json, media_type } = artifact;
    if let Some(json) = json {
        return Ok(Chunk::text(name, JSON_MEDIA_TYPE, fill(json, scope)?.to_string()));
    }
    let text = fill_text(text.as_deref().unwrap_or_default(), scope)?;
    Ok(Chunk::text(name, media_type.as_deref().unwrap_or("text/plain"), text))
}

impl End {
    fn asked(rule: &Rule, question: String) -> Self {
        let told = Some(question.as_str().into());
        let (outcome, asked) = if rule.input_required.is_some() {
            (Outcome::InputRequired, kit::Outcome::InputRequired(question))
        } else {
            (Outcome::AuthRequired, kit::Outcome::AuthRequired(question))
        };
        Self { outcome, answer: told, result: Ok(asked) }
    }

    fn failed(kind: Fault, why: String) -> Self {
        let told = Some(why.as_str().into());
        let result = match kind {
            Fault::EmptyAnswer => Ok(kit::Outcome::Empty),
            Fault::Rejected => Err(SkillError::Rejected(why)),
            Fault::Cancelled => Err(SkillError::Cancelled(why)),
            // What refuses a call does so before there is a task.
            _ => Err(SkillError::Failed(why)),
        };
        Self { outcome: Outcome::Failed(kind), answer: told, result }
    }
}

fn pause(rule: &Rule) -> Duration {
    rule.delay.map_or(Duration::ZERO, |delay| delay.0)
}

/// What is said about a failure.
fn words(failing: &Failing, scope: Scope<'_>) -> String {
    let message = failing.message.as_deref().unwrap_or("as the file of the stub says");
    fill_text(message, scope).unwrap_or_else(|why| why)
}

fn refusal(failing: &Failing, words: String) -> Status {
    let with_hint = |code| match failing.retry_after {
        Some(span) => retry_after(code, words.clone(), span.0),
        None => Status::new(code, words.clone()),
    };
    match failing.kind {
        Fault::RateLimited => with_hint(Code::ResourceExhausted),
        Fault::Unauthorized => Status::unauthenticated(words),
        Fault::Unsupported => Reason::ContentTypeNotSupported.status(words),
        Fault::InvalidInput => Reason::InvalidParams.status(words),
        Fault::InvalidAnswer => Reason::InvalidAgentResponse.status(words),
        _ => with_hint(Code::Unavailable),
    }
}

fn called(message: &v1::Message, metadata: &Map<String, Value>, call: u32) -> Called {
    Called {
        message_id: message.message_id.clone(),
        operation_id: operation(message, metadata).to_owned(),
        attempt: Attempt::of(&message.message_id),
        action: action(metadata).map(str::to_owned),
        call,
    }
}

fn operation<'a>(message: &'a v1::Message, metadata: &'a Map<String, Value>) -> &'a str {
    let told = metadata.get(request::OPERATION_ID).and_then(Value::as_str);
    told.into_iter().chain([message.context_id.as_str()]).find(|id| !id.is_empty()).unwrap_or(&message.message_id)
}

fn action(metadata: &Map<String, Value>) -> Option<&str> {
    metadata.get(request::ACTION).and_then(Value::as_str)
}
