//! One task: its state, and those who follow it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::Stream;
use prost_types::Struct;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tutti_a2a::task::{is_interrupted, is_terminal, state_of};
use tutti_a2a::v1::stream_response::Payload;
use tutti_a2a::v1::{self, TaskState, part::Content};

use super::skill::Chunk;

/// A task, shared by the work on it, the calls that follow it and the store.
pub(super) struct Task {
    /// The task's id.
    pub(super) id: String,
    /// The context it belongs to.
    pub(super) context_id: String,
    state: Mutex<State>,
    /// Told after every change.
    changed: watch::Sender<()>,
}

struct State {
    task: v1::Task,
    /// Stops the work on the current message.
    cancel: CancellationToken,
    /// Events since the first follower came; empty while there is none.
    events: Vec<v1::StreamResponse>,
    followers: usize,
}

/// Reads a task's events from the moment it was made, to the next end or pause of the task.
pub(super) struct Follower {
    task: std::sync::Arc<Task>,
    next: usize,
    over: bool,
}

impl Task {
    /// A new task in the state SUBMITTED, with the message that started it.
    pub(super) fn new(id: String, context_id: String, message: v1::Message) -> Self {
        let message = owned(message, &id, &context_id);
        let task = v1::Task {
            id: id.clone(),
            context_id: context_id.clone(),
            status: Some(status(TaskState::Submitted, None)),
            history: vec![message],
            ..Default::default()
        };
        let state = State { task, cancel: CancellationToken::new(), events: Vec::new(), followers: 0 };
        Self { id, context_id, state: Mutex::new(state), changed: watch::Sender::new(()) }
    }

    /// The task as it is now.
    pub(super) fn snapshot(&self) -> v1::Task {
        self.lock().task.clone()
    }

    /// Its state now.
    pub(super) fn state(&self) -> TaskState {
        self.lock().state()
    }

    /// What stops the work on the current message.
    pub(super) fn cancel_token(&self) -> CancellationToken {
        self.lock().cancel.clone()
    }

    /// The task as it is now, and a follower of everything after.
    pub(super) fn follow(self: &std::sync::Arc<Self>) -> (v1::Task, Follower) {
        let mut state = self.lock();
        state.followers += 1;
        let over = is_terminal(state.state());
        let follower = Follower { task: self.clone(), next: state.events.len(), over };
        (state.task.clone(), follower)
    }

    /// Changes the status, if the task is not over; returns whether it did.
    pub(super) fn set(&self, state: TaskState, text: Option<&str>, metadata: Option<Struct>) -> bool {
        let message = text.map(|text| self.say(text));
        self.change(|s| {
            let status = status(state, message);
            s.task.status = Some(status.clone());
            let metadata = if is_terminal(state) { s.task.metadata.clone() } else { metadata };
            Payload::StatusUpdate(v1::TaskStatusUpdateEvent {
                task_id: self.id.clone(),
                context_id: self.context_id.clone(),
                status: Some(status),
                metadata,
            })
        })
    }

    /// Gives the task metadata, which the update that ends it tells too; not if it is over.
    pub(super) fn report(&self, metadata: Struct) {
        let mut state = self.lock();
        if !is_terminal(state.state()) {
            state.task.metadata = Some(metadata);
        }
    }

    /// Adds a piece to an artifact, if the task is not over.
    pub(super) fn artifact(&self, chunk: Chunk) -> bool {
        let Chunk { artifact_id, part, append, last } = chunk;
        let artifact = v1::Artifact {
            artifact_id: artifact_id.clone(),
            name: artifact_id,
            parts: vec![part],
            ..Default::default()
        };
        self.change(|s| {
            let known = s.task.artifacts.iter_mut().find(|a| a.artifact_id == artifact.artifact_id);
            match known {
                Some(known) if append => known.parts.extend(artifact.parts.iter().cloned()),
                Some(known) => known.clone_from(&artifact),
                None => s.task.artifacts.push(artifact.clone()),
            }
            Payload::ArtifactUpdate(v1::TaskArtifactUpdateEvent {
                task_id: self.id.clone(),
                context_id: self.context_id.clone(),
                artifact: Some(artifact),
                append,
                last_chunk: last,
                metadata: None,
            })
        })
    }

    /// Takes another message for a task that waits for one; returns false if it does not.
    pub(super) fn resume(&self, message: v1::Message) -> bool {
        let mut state = self.lock();
        if !is_interrupted(state.state()) {
            return false;
        }
        let question = state.task.status.replace(status(TaskState::Submitted, None)).and_then(|s| s.message);
        state.task.history.extend(question);
        state.task.history.push(owned(message, &self.id, &self.context_id));
        state.cancel = CancellationToken::new();
        true
    }

    /// Cancels the task and stops the work on it; returns false if it was over.
    pub(super) fn cancel(&self) -> bool {
        let done = self.set(TaskState::Canceled, None, None);
        if done {
            self.cancel_token().cancel();
        }
        done
    }

    /// Waits until the task is over or waits for a message.
    pub(super) async fn settled(&self) {
        let mut changed = self.changed.subscribe();
        let settled = |state| is_terminal(state) || is_interrupted(state);
        while !settled(self.state()) && changed.changed().await.is_ok() {}
    }

    fn change(&self, apply: impl FnOnce(&mut State) -> Payload) -> bool {
        let mut state = self.lock();
        if is_terminal(state.state()) {
            return false;
        }
        let payload = apply(&mut state);
        if state.followers > 0 {
            state.events.push(v1::StreamResponse { payload: Some(payload) });
        }
        drop(state);
        self.changed.send_replace(());
        true
    }

    fn say(&self, text: &str) -> v1::Message {
        let part = v1::Part { content: Some(Content::Text(text.into())), ..Default::default() };
        v1::Message {
            message_id: format!("{}-{}", self.id, now().as_micros()),
            context_id: self.context_id.clone(),
            task_id: self.id.clone(),
            role: v1::Role::Agent.into(),
            parts: vec![part],
            ..Default::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change that matters.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn state(&self) -> TaskState {
        state_of(&self.task)
    }
}

impl Follower {
    /// The events to come, in order; it ends with the one that ends or pauses the task.
    pub(super) fn events(self) -> impl Stream<Item = v1::StreamResponse> + Send {
        let changed = self.task.changed.subscribe();
        futures::stream::unfold((self, changed), |(mut follower, mut changed)| async move {
            loop {
                if follower.over {
                    return None;
                }
                if let Some(event) = follower.take() {
                    return Some((event, (follower, changed)));
                }
                changed.changed().await.ok()?;
            }
        })
    }

    fn take(&mut self) -> Option<v1::StreamResponse> {
        let event = self.task.lock().events.get(self.next).cloned()?;
        self.next += 1;
        if let Some(Payload::StatusUpdate(update)) = &event.payload
            && let Some(status) = &update.status
        {
            self.over = is_terminal(status.state()) || is_interrupted(status.state());
        }
        Some(event)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut state = self.task.lock();
        state.followers -= 1;
        if state.followers == 0 {
            state.events = Vec::new();
        }
    }
}

/// The time since 1970.
pub(super) fn now() -> std::time::Duration {
    // A clock before 1970 reads as 1970.
    std::time::UNIX_EPOCH.elapsed().unwrap_or_default()
}

fn status(state: TaskState, message: Option<v1::Message>) -> v1::TaskStatus {
    let now = now();
    let timestamp = prost_types::Timestamp {
        seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(now.subsec_nanos()).unwrap_or_default(),
    };
    v1::TaskStatus { state: state.into(), message, timestamp: Some(timestamp) }
}

fn owned(message: v1::Message, task_id: &str, context_id: &str) -> v1::Message {
    v1::Message { task_id: task_id.into(), context_id: context_id.into(), ..message }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::StreamExt;

    use super::*;

    fn task() -> Arc<Task> {
        let message = v1::Message { message_id: "m".into(), ..Default::default() };
        Arc::new(Task::new("t".into(), "c".into(), message))
    }

    fn text(task: &v1::Task) -> String {
        let parts = task.artifacts[0].parts.iter();
        parts.map(|p| if let Some(Content::Text(t)) = &p.content { t.as_str() } else { "?" }).collect()
    }

    #[test]
    fn appended_pieces_extend_an_artifact_and_others_replace_it() {
        let task = task();
        let piece = |text: &str| Chunk::text("a.txt", "text/plain", text);
        task.artifact(piece("old"));
        task.artifact(piece("new "));
        task.artifact(piece("text").append().last());
        assert_eq!(text(&task.snapshot()), "new text");
    }

    #[test]
    fn a_task_that_is_over_never_changes() {
        let task = task();
        assert!(task.cancel());
        assert!(task.cancel_token().is_cancelled());
        assert!(!task.set(TaskState::Completed, None, None));
        assert!(!task.artifact(Chunk::text("a", "", "")));
        assert!(!task.cancel());
        assert_eq!(task.state(), TaskState::Canceled);
    }

    #[tokio::test]
    async fn followers_see_all_that_happens_after_their_snapshot_and_nothing_else() {
        let task = task();
        task.set(TaskState::Working, Some("before"), None);
        let (snapshot, follower) = task.follow();
        assert_eq!(snapshot.status.unwrap().state(), TaskState::Working);
        task.artifact(Chunk::text("a", "", "x"));
        task.set(TaskState::Completed, None, None);
        let events: Vec<_> = follower.events().collect().await;
        assert_eq!(events.len(), 2);
        assert!(matches!(events[0].payload, Some(Payload::ArtifactUpdate(_))));
        assert!(task.lock().events.is_empty(), "events are kept for followers only");
        let (_, late) = task.follow();
        assert_eq!(late.events().count().await, 0);
    }

    #[tokio::test]
    async fn a_question_pauses_the_stream_and_goes_to_the_history_when_answered() {
        let task = task();
        let (_, follower) = task.follow();
        task.set(TaskState::InputRequired, Some("which?"), None);
        task.settled().await;
        assert_eq!(follower.events().count().await, 1);
        let answer = || v1::Message { message_id: "m2".into(), ..Default::default() };
        assert!(task.resume(answer()));
        assert!(!task.resume(answer()), "it waits no more");
        let snapshot = task.snapshot();
        let roles: Vec<_> = snapshot.history.iter().map(|m| (m.role(), m.task_id.as_str())).collect();
        assert_eq!(roles.len(), 3);
        assert_eq!(roles[1], (v1::Role::Agent, "t"));
        assert_eq!(snapshot.history[2].message_id, "m2");
    }
}
