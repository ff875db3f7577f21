//! Doing the work of a message: the skill is run, and its end becomes the task's.

use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use serde_json::{Value, json};
use tutti_a2a::v1::TaskState;

use super::context::TaskContext;
use super::skill::{Agent, Chunk, Outcome, Skill, SkillError};
use super::task::now;

/// In how many steps the delay of a test is told as progress.
const DELAY_STEPS: u32 = 20;

/// Works on the message of `context` until it ends, pauses or is cancelled.
pub(super) async fn run(agent: Agent, skill: Arc<dyn Skill>, input: Value, context: TaskContext) {
    let task = context.task.clone();
    let work = AssertUnwindSafe(work(&agent, &*skill, input, &context)).catch_unwind();
    let ended = tokio::select! {
        biased;
        () = context.cancel.cancelled() => return,
        ended = work => ended,
    };
    match ended {
        Ok(Ok(Outcome::Done(value))) => {
            task.artifact(Chunk::result(&value));
            task.set(TaskState::Completed, None, None)
        }
        Ok(Ok(Outcome::Empty)) => task.set(TaskState::Completed, None, None),
        Ok(Ok(Outcome::InputRequired(question))) => task.set(TaskState::InputRequired, Some(&question), None),
        Ok(Ok(Outcome::AuthRequired(what))) => task.set(TaskState::AuthRequired, Some(&what), None),
        Ok(Err(SkillError::Failed(why))) => task.set(TaskState::Failed, Some(&why), None),
        Ok(Err(SkillError::Rejected(why))) => task.set(TaskState::Rejected, Some(&why), None),
        Ok(Err(SkillError::Cancelled(why))) => task.set(TaskState::Canceled, Some(&why), None),
        // The panic itself was reported by the panic hook; the caller learns no internals.
        Err(_) => task.set(TaskState::Failed, Some("the agent has a fault and stopped working on this task"), None),
    };
}

async fn work(agent: &Agent, skill: &dyn Skill, input: Value, context: &TaskContext) -> Result<Outcome, SkillError> {
    let id = skill.card().id;
    if let Some(path) = &agent.instruments.call_log {
        let line = json!({
            "time": u64::try_from(now().as_micros()).unwrap_or(u64::MAX),
            "agent": agent.name,
            "skill": id,
            "message_id": context.message_id(),
            "context_id": context.context_id(),
            "task_id": context.task_id(),
        });
        append(path, &line).map_err(|e| SkillError::Failed(format!("cannot write the call log: {e}")))?;
    }
    context.status(&format!("{id} started"));
    delay(agent.instruments.delay, context).await;
    skill.run(input, context).await
}

/// One write per line: appends of several processes to one file do not mix.
fn append(path: &Path, line: &Value) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())
}

async fn delay(delay: Duration, context: &TaskContext) {
    if delay.is_zero() {
        return;
    }
    for step in 1..=DELAY_STEPS {
        tokio::time::sleep(delay / DELAY_STEPS).await;
        context.progress(f64::from(step) / f64::from(DELAY_STEPS + 1), "waiting, as a test asked for");
    }
}
