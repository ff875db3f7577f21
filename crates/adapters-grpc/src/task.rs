//! One task as its events tell it: a state machine from events to the answer of the attempt. No I/O.

use tutti_a2a::v1::{
    self, Task, TaskArtifactUpdateEvent, TaskState, TaskStatus, TaskStatusUpdateEvent, stream_response::Payload,
};
use tutti_core::ids::RunId;
use tutti_core::limits::{MAX_ARTIFACTS, MAX_TASK_EVENTS, MAX_VALUE_BYTES};
use tutti_core::ports::agent::{AgentError, AgentErrorKind, AgentReport, AgentUpdate, Answer, Need, UpdateSink};

use crate::fault::{broken, clip};
use crate::output::{self, Group};
use crate::pieces::{Pieces, named};
use crate::report;

/// Most bytes that one task may hold in all its artifacts together.
const MAX_TASK_BYTES: usize = 4 * MAX_VALUE_BYTES;

/// The metadata entry of a status update that tells how much is done, from 0 to 1.
const PROGRESS: &str = "progress";

/// How the agent ended (or suspended) the task.
pub type Ending = Result<Answer, AgentError>;

/// What is known of the task of one attempt.
#[derive(Debug, Default)]
pub struct TaskView {
    /// The context that the agent was given.
    operation: String,
    id: Option<String>,
    artifacts: Vec<Group>,
    report: Option<Box<AgentReport>>,
    events: u32,
}

impl TaskView {
    /// The task of an operation, with its id if that is known from before.
    pub fn new(operation: String, id: Option<String>) -> Self {
        Self { operation, id, ..Self::default() }
    }

    /// The id, once the agent told it.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Takes one event of a stream and passes on what is news. `Some` when it ends the attempt.
    ///
    /// # Errors
    /// `InvalidAnswer` when the event breaks the protocol or a limit; the task itself may still be running.
    pub fn event(&mut self, event: v1::StreamResponse, updates: &dyn UpdateSink) -> Result<Option<Ending>, AgentError> {
        self.events += 1;
        if self.events > MAX_TASK_EVENTS {
            return Err(broken(format!("more than {MAX_TASK_EVENTS} events")));
        }
        match event.payload {
            Some(Payload::Task(task)) => self.snapshot(task, updates),
            Some(Payload::Message(message)) => self.message(message, updates),
            Some(Payload::StatusUpdate(update)) => self.status_update(update, updates),
            Some(Payload::ArtifactUpdate(update)) => self.artifact_update(update, updates).map(|()| None),
            // A kind of event that is newer than this version.
            None => Ok(None),
        }
    }

    /// Takes the whole task: its artifacts replace what was known of them.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    pub fn snapshot(&mut self, task: Task, updates: &dyn UpdateSink) -> Result<Option<Ending>, AgentError> {
        self.belongs(&task.id, &task.context_id, updates)?;
        self.artifacts.clear();
        for artifact in task.artifacts {
            self.put(artifact, false, updates)?;
        }
        self.hear(task.metadata.as_ref())?;
        self.status(task.status.unwrap_or_default(), updates)
    }

    /// Takes a message. As the first thing it is the finished result (and the task id in it names no task); in a task's
    /// stream it is talk.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    pub fn message(&mut self, message: v1::Message, updates: &dyn UpdateSink) -> Result<Option<Ending>, AgentError> {
        self.is_ours(&message.context_id)?;
        self.hear(message.metadata.as_ref())?;
        let group = group_of(message)?;
        if self.id.is_none() {
            return Ok(Some(output::answer(Vec::new(), Some(group), self.report.take())));
        }
        say(&group.pieces, updates);
        Ok(None)
    }

    fn status_update(
        &mut self,
        update: TaskStatusUpdateEvent,
        updates: &dyn UpdateSink,
    ) -> Result<Option<Ending>, AgentError> {
        self.belongs(&update.task_id, &update.context_id, updates)?;
        let status = update.status.unwrap_or_default();
        let said = status.message.as_ref().and_then(|message| message.metadata.as_ref());
        if let Some(progress) = [update.metadata.as_ref(), said].into_iter().flatten().find_map(progress) {
            updates.update(AgentUpdate::Progress(progress));
        }
        self.hear(update.metadata.as_ref())?;
        self.status(status, updates)
    }

    fn artifact_update(&mut self, update: TaskArtifactUpdateEvent, updates: &dyn UpdateSink) -> Result<(), AgentError> {
        self.belongs(&update.task_id, &update.context_id, updates)?;
        self.hear(update.metadata.as_ref())?;
        update.artifact.map_or(Ok(()), |artifact| self.put(artifact, update.append, updates))
    }

    /// Takes what metadata tells beside the answer.
    fn hear(&mut self, metadata: Option<&prost_types::Struct>) -> Result<(), AgentError> {
        report::read(&mut self.report, metadata)
    }

    /// Learns the task's id, or checks that the event is of this task.
    fn belongs(&mut self, id: &str, context: &str, updates: &dyn UpdateSink) -> Result<(), AgentError> {
        self.is_ours(context)?;
        match &self.id {
            Some(known) if known == id => Ok(()),
            Some(known) => Err(broken(format!("an event of task \"{id}\" in the stream of task \"{known}\""))),
            None if id.is_empty() => Err(broken("a task without an id")),
            None => {
                named(id)?;
                self.id = Some(id.to_owned());
                updates.update(AgentUpdate::Task(id.to_owned()));
                Ok(())
            }
        }
    }

    /// Checks that something is not of another operation. An agent may well have contexts of its own, but one of ours that
    /// is not this one's is a result in the wrong place.
    fn is_ours(&self, context: &str) -> Result<(), AgentError> {
        let is_operation = || context.split_once('/').is_some_and(|(run, _)| run.parse::<RunId>().is_ok());
        if context == self.operation || !is_operation() {
            return Ok(());
        }
        Err(broken(format!("an answer to \"{context}\" in the place of one to \"{}\"", self.operation)))
    }

    fn put(&mut self, artifact: v1::Artifact, append: bool, updates: &dyn UpdateSink) -> Result<(), AgentError> {
        named(&artifact.artifact_id)?;
        named(&artifact.name)?;
        self.hear(artifact.metadata.as_ref())?;
        let at = self.artifacts.iter().position(|group| group.id == artifact.artifact_id);
        let group = match at {
            Some(at) => &mut self.artifacts[at],
            None if self.artifacts.len() == MAX_ARTIFACTS => {
                return Err(broken(format!("more than {MAX_ARTIFACTS} artifacts")));
            }
            None => {
                let group = Group { id: artifact.artifact_id, name: String::new(), pieces: Pieces::default() };
                self.artifacts.push(group);
                self.artifacts.last_mut().expect("one was just added")
            }
        };
        if !append {
            group.pieces = Pieces::default();
        }
        if !artifact.name.is_empty() {
            group.name = artifact.name;
        }
        group.pieces.extend(artifact.parts)?;
        let name = if group.name.is_empty() { &group.id } else { &group.name };
        updates.update(AgentUpdate::Artifact { name: name.clone(), bytes: group.pieces.bytes() as u64 });
        if self.artifacts.iter().map(|group| group.pieces.bytes()).sum::<usize>() > MAX_TASK_BYTES {
            return Err(broken(format!("more than {MAX_TASK_BYTES} bytes in all artifacts together")));
        }
        if self.artifacts.iter().map(|group| group.pieces.overhead()).sum::<usize>() > MAX_VALUE_BYTES {
            return Err(broken("too many parts in all artifacts together"));
        }
        Ok(())
    }

    fn status(&mut self, status: TaskStatus, updates: &dyn UpdateSink) -> Result<Option<Ending>, AgentError> {
        self.hear(status.message.as_ref().and_then(|message| message.metadata.as_ref()))?;
        // A state that is newer than this version is some way of being under way.
        let state = TaskState::try_from(status.state).unwrap_or(TaskState::Working);
        let message = status.message.map(group_of).transpose();
        let report = &mut self.report;
        let mut ending = |kind, otherwise: &str| {
            let said = message.as_ref().ok().and_then(Option::as_ref).map(|group| words(&group.pieces));
            let text = said.filter(|text| !text.is_empty()).unwrap_or_else(|| otherwise.to_owned());
            let usage = report.take().map(|report| Box::new(report.usage)).filter(|usage| !usage.is_empty());
            Some(Err(AgentError { usage, ..AgentError::new(kind, text) }))
        };
        Ok(match state {
            TaskState::Unspecified | TaskState::Submitted | TaskState::Working => {
                if let Ok(Some(group)) = message {
                    say(&group.pieces, updates);
                }
                None
            }
            TaskState::Completed => {
                let artifacts = std::mem::take(&mut self.artifacts);
                Some(message.and_then(|message| output::answer(artifacts, message, self.report.take())))
            }
            TaskState::Failed => ending(AgentErrorKind::Failed, "the task failed; the agent gave no reason"),
            TaskState::Canceled => ending(AgentErrorKind::Cancelled, "the task was cancelled"),
            TaskState::Rejected => ending(AgentErrorKind::Rejected, "the agent rejected the task"),
            TaskState::InputRequired => Some(message.map(|message| suspended(Need::Input, message.as_ref()))),
            TaskState::AuthRequired => Some(message.map(|message| suspended(Need::Auth, message.as_ref()))),
        })
    }
}

fn suspended(need: Need, message: Option<&Group>) -> Answer {
    Answer::Suspended { need, message: message.map(|group| words(&group.pieces)).unwrap_or_default() }
}

fn group_of(message: v1::Message) -> Result<Group, AgentError> {
    Ok(Group { id: message.message_id, name: String::new(), pieces: Pieces::of(message.parts)? })
}

fn say(pieces: &Pieces, updates: &dyn UpdateSink) {
    let text = words(pieces);
    if !text.is_empty() {
        updates.update(AgentUpdate::Status(text));
    }
}

fn words(pieces: &Pieces) -> String {
    clip(pieces.text())
}

fn progress(metadata: &prost_types::Struct) -> Option<f64> {
    match metadata.fields.get(PROGRESS)?.kind {
        Some(prost_types::value::Kind::NumberValue(share)) if share.is_finite() => Some(share.clamp(0.0, 1.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
