//! What happens to calls, for whoever keeps a log of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::Value;

use crate::file::Fault;

/// Is told of every event, at once and in the thread that serves: must not block for long.
pub type Listener = Arc<dyn Fn(&Event) + Send + Sync>;

/// Something that happened to a call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// When, in microseconds since 1970.
    pub time: u64,
    /// The agent that was called.
    pub agent: String,
    /// The skill that was asked for.
    pub skill: String,
    /// Who called for what.
    #[serde(flatten)]
    pub called: Called,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What a message says of the call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Called {
    /// The id of the message.
    pub message_id: String,
    /// The same for every attempt of a step: the operation id in the metadata, else the context id, else the message id.
    pub operation_id: String,
    /// The run, step and attempt, if the message id has the form of Tutti's.
    #[serde(flatten)]
    pub attempt: Option<Attempt>,
    /// The action that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The number of the call in its operation, from 1.
    pub call: u32,
}

/// The parts of a message id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// The run.
    pub run: String,
    /// Its generation.
    pub generation: u32,
    /// The path of the step.
    pub step: String,
    /// The number of the attempt.
    pub attempt: u32,
    /// The number of the reply to a question, if the message is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<u32>,
}

/// What happened to a call.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// It came.
    Called {
        /// Its input, or what is replied.
        input: Value,
        /// Calls under way at this agent, this one included.
        in_flight: usize,
    },
    /// It was answered, or stopped.
    Ended {
        /// How.
        outcome: Outcome,
        /// The answer, or what is said about the end.
        #[serde(skip_serializing_if = "Option::is_none")]
        answer: Option<Value>,
    },
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With an answer.
    Completed,
    /// With a question.
    InputRequired,
    /// With a question for an authorization.
    AuthRequired,
    /// The caller cancelled it, or went away before it was refused.
    Stopped,
    /// By a failure.
    #[serde(untagged)]
    Failed(Fault),
}

/// A call under way. It is told as stopped if it is dropped before its end.
pub(crate) struct UnderWay {
    origin: Origin,
    called: Called,
    ended: bool,
}

/// Whose calls are told to whom.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) agent: String,
    pub(crate) skill: String,
    pub(crate) busy: Arc<AtomicUsize>,
    pub(crate) listener: Listener,
}

impl Attempt {
    /// Reads a message id: run / generation / path of the step / attempt, and `/answer-N` for a reply.
    #[must_use]
    pub fn of(message_id: &str) -> Option<Self> {
        let (message_id, reply) = match message_id.rsplit_once("/answer-") {
            Some((attempt, number)) => (attempt, Some(number.parse().ok()?)),
            None => (message_id, None),
        };
        let (operation, attempt) = message_id.rsplit_once('/')?;
        let mut parts = operation.splitn(3, '/');
        let (run, generation, step) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            run: run.to_owned(),
            generation: generation.parse().ok()?,
            step: step.to_owned(),
            attempt: attempt.parse().ok()?,
            reply,
        })
    }
}

impl Outcome {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> String {
        match serde_json::to_value(self) {
            Ok(Value::String(word)) => word,
            _ => format!("{self:?}"),
        }
    }
}

impl UnderWay {
    /// A call that came.
    pub(crate) fn begin(origin: &Origin, called: Called, input: Value) -> Self {
        let in_flight = origin.busy.fetch_add(1, Ordering::SeqCst) + 1;
        let call = Self { origin: origin.clone(), called, ended: false };
        call.tell(What::Called { input, in_flight });
        call
    }

    /// It is answered.
    pub(crate) fn end(mut self, outcome: Outcome, answer: Option<Value>) {
        self.ended = true;
        self.tell(What::Ended { outcome, answer });
    }

    fn tell(&self, what: What) {
        let Origin { agent, skill, listener, .. } = &self.origin;
        listener(&Event { time: now(), agent: agent.clone(), skill: skill.clone(), called: self.called.clone(), what });
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.ended {
            self.tell(What::Ended { outcome: Outcome::Stopped, answer: None });
        }
        self.origin.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_names_run_step_and_attempt() {
        let read = |id: &str| Attempt::of(id).map(|a| (a.run, a.generation, a.step, a.attempt, a.reply));
        assert_eq!(read("0190-r/2/a.b/3"), Some(("0190-r".into(), 2, "a.b".into(), 3, None)));
        assert_eq!(read("r/0/loop/4/inner/1/answer-2"), Some(("r".into(), 0, "loop/4/inner".into(), 1, Some(2))));
        for other in ["", "m", "a/b", "r/0/s/x", "r/x/s/1", "r/0/s/1/answer-"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn an_event_is_one_flat_object() {
        let called = Called {
            message_id: "r/0/s/1".into(),
            operation_id: "r/0/s".into(),
            attempt: Attempt::of("r/0/s/1"),
            action: None,
            call: 1,
        };
        let what = What::Ended { outcome: Outcome::Failed(Fault::RateLimited), answer: None };
        let event = Event { time: 5, agent: "a".into(), skill: "x".into(), called, what };
        assert_eq!(
            serde_json::to_value(&event).unwrap(),
            serde_json::json!({
                "time": 5, "agent": "a", "skill": "x", "message_id": "r/0/s/1", "operation_id": "r/0/s", "run": "r",
                "generation": 0, "step": "s", "attempt": 1, "call": 1, "event": "ended", "outcome": "rate_limited",
            })
        );
    }
}
