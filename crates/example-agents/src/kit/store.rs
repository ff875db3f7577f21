//! The tasks of a server, in memory and bounded.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tonic::Status;
use tutti_a2a::error::invalid_params;
use tutti_a2a::task::{self, is_terminal, state_of};
use tutti_a2a::v1::{self, TaskState};

use super::task::{Task, now};

/// The most tasks kept. The oldest that is over makes room for a new one.
const MAX_TASKS: usize = 1000;

/// Every task known, and which message started or continued it.
pub(super) struct Store {
    inner: Mutex<Inner>,
    /// Distinguishes the ids of this process from those of the ones before it.
    origin: String,
    made: AtomicU64,
}

#[derive(Default)]
struct Inner {
    /// In the order of creation.
    tasks: Vec<Arc<Task>>,
    by_message: HashMap<String, Arc<Task>>,
}

/// Whether a message is new.
pub(super) enum Entry {
    /// It is: the task has been made, and work on it must be started.
    New(Arc<Task>),
    /// It was seen before, and belongs to this task.
    Seen(Arc<Task>),
    /// It is new, but there is no room for another task.
    Full,
}

/// What a list asks for.
pub(super) struct Query {
    pub(super) context_id: String,
    pub(super) state: Option<TaskState>,
    /// Only tasks whose status is newer than this, in nanoseconds since 1970.
    pub(super) after: Option<i128>,
    pub(super) page_size: usize,
    /// Where the last page ended.
    pub(super) cursor: Option<Cursor>,
}

/// The place of a task in the list: newest status first, then id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cursor {
    time: i128,
    id: String,
}

/// One page of a list.
pub(super) struct Page {
    pub(super) tasks: Vec<v1::Task>,
    pub(super) next: Option<Cursor>,
    pub(super) total: usize,
}

impl Store {
    pub(super) fn new() -> Self {
        let origin = format!("{:x}-{:x}", now().as_micros(), std::process::id());
        Self { inner: Mutex::default(), origin, made: AtomicU64::new(0) }
    }

    /// The task of a message, made if the message id was not seen before.
    pub(super) fn enter(&self, message: v1::Message) -> Entry {
        let mut inner = self.lock();
        if let Some(task) = inner.by_message.get(&message.message_id) {
            return Entry::Seen(task.clone());
        }
        if inner.tasks.len() >= MAX_TASKS && !inner.evict() {
            return Entry::Full;
        }
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let id = format!("task-{}-{number}", self.origin);
        let context_id = match message.context_id.as_str() {
            "" => format!("context-{}-{number}", self.origin),
            chosen => chosen.to_owned(),
        };
        let message_id = message.message_id.clone();
        let task = Arc::new(Task::new(id, context_id, message));
        inner.tasks.push(task.clone());
        inner.by_message.insert(message_id, task.clone());
        Entry::New(task)
    }

    /// The task that a message started or continued.
    pub(super) fn by_message(&self, message_id: &str) -> Option<Arc<Task>> {
        self.lock().by_message.get(message_id).cloned()
    }

    /// Remembers that a message continued a task.
    pub(super) fn remember(&self, message_id: String, task: &Arc<Task>) {
        self.lock().by_message.insert(message_id, task.clone());
    }

    /// The task of that id.
    pub(super) fn get(&self, id: &str) -> Option<Arc<Task>> {
        self.lock().tasks.iter().find(|task| task.id == id).cloned()
    }

    /// A page of the tasks that match, the one with the newest status first.
    pub(super) fn list(&self, query: &Query) -> Page {
        let tasks: Vec<Arc<Task>> = self.lock().tasks.clone();
        let of_context = |task: &&Arc<Task>| query.context_id.is_empty() || task.context_id == query.context_id;
        let mut found: Vec<(Cursor, v1::Task)> = tasks
            .iter()
            .filter(of_context)
            .map(|task| task.snapshot())
            .filter(|task| query.state.is_none_or(|state| state_of(task) == state))
            .map(|task| (Cursor { time: time_of(&task), id: task.id.clone() }, task))
            .filter(|(cursor, _)| query.after.is_none_or(|after| cursor.time > after))
            .collect();
        let total = found.len();
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        if let Some(last) = &query.cursor {
            found.retain(|(cursor, _)| cursor < last);
        }
        let more = found.len() > query.page_size;
        found.truncate(query.page_size);
        let next = found.last().filter(|_| more).map(|(cursor, _)| cursor.clone());
        Page { tasks: found.into_iter().map(|(_, task)| task).collect(), next, total }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn evict(&mut self) -> bool {
        let Some(oldest) = self.tasks.iter().position(|task| is_terminal(task.state())) else { return false };
        let gone = self.tasks.remove(oldest);
        self.by_message.retain(|_, task| !Arc::ptr_eq(task, &gone));
        true
    }
}

impl Query {
    /// Reads a request.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(request: &v1::ListTasksRequest) -> Result<Self, Status> {
        let page_size = task::page_size(request.page_size)?;
        let cursor = match request.page_token.as_str() {
            "" => None,
            token => Some(Cursor::read(token).ok_or_else(|| {
                invalid_params([("page_token".to_owned(), "is not one that this agent gave".to_owned())])
            })?),
        };
        let state = match request.status() {
            TaskState::Unspecified => None,
            state => Some(state),
        };
        let after = request.status_timestamp_after.as_ref().map(nanos);
        Ok(Self { context_id: request.context_id.clone(), state, after, page_size, cursor })
    }
}

impl Cursor {
    /// The page token of this place.
    pub(super) fn write(&self) -> String {
        format!("{}.{}", self.time, self.id)
    }

    fn read(token: &str) -> Option<Self> {
        let (time, id) = token.split_once('.')?;
        Some(Self { time: time.parse().ok()?, id: id.to_owned() })
    }
}

fn time_of(task: &v1::Task) -> i128 {
    task.status.as_ref().and_then(|status| status.timestamp.as_ref()).map_or(0, nanos)
}

fn nanos(time: &prost_types::Timestamp) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, context: &str) -> v1::Message {
        v1::Message { message_id: id.into(), context_id: context.into(), ..Default::default() }
    }

    fn enter(store: &Store, id: &str, context: &str) -> Arc<Task> {
        match store.enter(message(id, context)) {
            Entry::New(task) => task,
            _ => panic!("{id} should be new"),
        }
    }

    fn query(page_size: usize, cursor: Option<Cursor>) -> Query {
        Query { context_id: "c".into(), state: None, after: None, page_size, cursor }
    }

    #[test]
    fn a_message_id_leads_to_one_task() {
        let store = Store::new();
        let task = enter(&store, "m1", "c");
        assert!(matches!(store.enter(message("m1", "other")), Entry::Seen(seen) if seen.id == task.id));
        assert_ne!(enter(&store, "m2", "c").id, task.id);
    }

    #[test]
    fn pages_go_from_new_to_old_without_gap_or_repeat() {
        let store = Store::new();
        for i in 0..7 {
            enter(&store, &format!("m{i}"), "c");
        }
        enter(&store, "elsewhere", "other");
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.list(&query(3, cursor));
            assert_eq!(page.total, 7);
            seen.extend(page.tasks);
            let Some(next) = page.next else { break };
            cursor = Cursor::read(&next.write());
        }
        assert_eq!(seen.len(), 7);
        assert!(seen.windows(2).all(|pair| time_of(&pair[0]) >= time_of(&pair[1])));
        assert_eq!(seen[0].history[0].message_id, "m6");
    }

    #[test]
    fn the_state_filters() {
        let store = Store::new();
        enter(&store, "m1", "c").cancel();
        enter(&store, "m2", "c");
        let page = store.list(&Query { state: Some(TaskState::Canceled), ..query(10, None) });
        assert_eq!(page.tasks.len(), 1);
        assert_eq!(page.tasks[0].history[0].message_id, "m1");
    }

    #[test]
    fn the_oldest_finished_task_makes_room_and_running_ones_stay() {
        let store = Store::new();
        for i in 0..MAX_TASKS {
            enter(&store, &format!("m{i}"), "c");
        }
        assert!(matches!(store.enter(message("new", "c")), Entry::Full));
        store.by_message("m5").unwrap().cancel();
        let made = enter(&store, "new", "c");
        assert!(store.by_message("m5").is_none() && store.by_message("m4").is_some());
        assert!(store.get(&made.id).is_some());
    }

    #[test]
    fn page_sizes_and_tokens_are_checked() {
        let request =
            |page_size, token: &str| v1::ListTasksRequest { page_size, page_token: token.into(), ..Default::default() };
        assert!(Query::read(&request(Some(0), "")).is_err());
        assert!(Query::read(&request(Some(101), "")).is_err());
        assert_eq!(Query::read(&request(None, "")).ok().map(|q| q.page_size), Some(50));
        assert!(Query::read(&request(None, "garbage")).is_err());
    }
}
