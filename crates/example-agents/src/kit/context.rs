//! What a skill sees of the task it works on.

use std::sync::Arc;

use prost_types::Struct;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tutti_a2a::v1::{self, TaskState};
use tutti_a2a::{json, request};

use super::skill::Chunk;
use super::task::Task;

/// The task behind one call of a skill: who asks, and a way to tell how it goes.
pub struct TaskContext {
    pub(super) task: Arc<Task>,
    pub(super) message: v1::Message,
    pub(super) metadata: Map<String, Value>,
    pub(super) cancel: CancellationToken,
}

impl TaskContext {
    /// The id of the task.
    pub fn task_id(&self) -> &str {
        &self.task.id
    }

    /// The id of the context, chosen by the caller or by this server.
    pub fn context_id(&self) -> &str {
        &self.task.context_id
    }

    /// The id of the message that is worked on.
    pub fn message_id(&self) -> &str {
        &self.message.message_id
    }

    /// The message that is worked on.
    pub fn message(&self) -> &v1::Message {
        &self.message
    }

    /// The parts of the message, for what the input leaves out (bytes, URLs).
    pub fn parts(&self) -> &[v1::Part] {
        &self.message.parts
    }

    /// The metadata of the request.
    pub fn metadata(&self) -> &Map<String, Value> {
        &self.metadata
    }

    /// What the caller asks for, if the skill can do several things.
    pub fn action(&self) -> Option<&str> {
        self.metadata.get(request::ACTION)?.as_str()
    }

    /// The messages of the task so far, this one last.
    pub fn history(&self) -> Vec<v1::Message> {
        self.task.snapshot().history
    }

    /// Tells what is being done.
    pub fn status(&self, text: &str) {
        self.task.set(TaskState::Working, Some(text), None);
    }

    /// Tells what is being done and how much is done, from 0 to 1 (`progress` in the metadata of the update).
    pub fn progress(&self, fraction: f64, text: &str) {
        let fraction = Value::from(fraction.clamp(0.0, 1.0));
        let metadata = json::to_struct(&Map::from_iter([("progress".to_owned(), fraction)])).ok();
        self.task.set(TaskState::Working, Some(text), metadata);
    }

    /// Gives the task metadata, which its end tells too.
    pub fn report(&self, metadata: Struct) {
        self.task.report(metadata);
    }

    /// Sends a piece of an artifact.
    pub fn artifact(&self, chunk: Chunk) {
        self.task.artifact(chunk);
    }

    /// Fires when the task is cancelled.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancel
    }
}
