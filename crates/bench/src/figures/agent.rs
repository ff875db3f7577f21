//! An agent that takes as long as it is told, and writes down when it was at what.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tutti_core::ports::agent::{
    AgentCall, AgentDescription, AgentEndpoint, AgentError, AgentErrorKind, AgentReply, AgentTransport, Answer,
    UpdateSink,
};
use tutti_core::value::Json;

/// Works on a step for its time. The step `failing` fails at its first attempt, at once.
pub struct Worker {
    times: HashMap<&'static str, Duration>,
    failing: Option<&'static str>,
    output: Json,
    log: Mutex<Vec<Work>>,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Work {
    /// The step.
    pub step: String,
    /// When the call came in.
    pub began: Instant,
    /// When it was answered.
    pub ended: Instant,
    /// False if it was answered by an error.
    pub succeeded: bool,
}

impl Worker {
    pub fn new(times: HashMap<&'static str, Duration>, failing: Option<&'static str>) -> Result<Self, String> {
        let output = Json::parse(r#"{"v":1}"#).map_err(|e| e.to_string())?;
        Ok(Self { times, failing, output, log: Mutex::default() })
    }

    /// What was done since the last time of asking.
    pub fn take_log(&self) -> Vec<Work> {
        std::mem::take(&mut *self.log())
    }

    fn log(&self) -> MutexGuard<'_, Vec<Work>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl AgentTransport for Worker {
    async fn describe(&self, _: &AgentEndpoint) -> Result<AgentDescription, AgentError> {
        Err(AgentError::new(AgentErrorKind::Unsupported, "an agent in the same process"))
    }

    async fn call(&self, call: &AgentCall, _: &dyn UpdateSink) -> Result<Answer, AgentError> {
        let began = Instant::now();
        let step = call.key.path.as_str();
        let succeeded = self.failing != Some(step) || call.key.attempt > 1;
        let answer = if succeeded {
            tokio::time::sleep(self.times.get(step).copied().unwrap_or_default()).await;
            Ok(Answer::Completed { output: self.output.clone(), artifacts: vec![], report: None })
        } else {
            Err(AgentError::new(AgentErrorKind::Failed, "as it was told"))
        };
        self.log().push(Work { step: step.to_owned(), began, ended: Instant::now(), succeeded });
        answer
    }

    async fn reattach(&self, _: &AgentCall, _: &dyn UpdateSink) -> Result<Option<Answer>, AgentError> {
        Ok(None)
    }

    async fn answer(&self, call: &AgentCall, _: &AgentReply, updates: &dyn UpdateSink) -> Result<Answer, AgentError> {
        self.call(call, updates).await
    }
    async fn cancel(&self, _: &AgentCall) -> Result<(), AgentError> {
        Ok(())
    }
}
