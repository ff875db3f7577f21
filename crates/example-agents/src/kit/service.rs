//! The operations of A2A 1.0, over gRPC.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use serde_json::{Map, Value};
use tonic::{Request, Response, Status};
use tutti_a2a::error::Reason;
use tutti_a2a::task::{is_interrupted, is_terminal, state_of, with_history};
use tutti_a2a::v1::a2a_service_server::A2aService;
use tutti_a2a::v1::stream_response::Payload;
use tutti_a2a::v1::{self, send_message_response};
use tutti_a2a::{VERSION, json, metadata, request};

use super::context::TaskContext;
use super::run::run;
use super::server::Activity;
use super::skill::{Agent, Incoming, Skill, input};
use super::store::{Entry, Query, Store};
use super::task::{Follower, Task};

type Answer<T> = Result<Response<T>, Status>;

/// A live view of a task; boxed because the trait wants a name.
type Events = Pin<Box<dyn Stream<Item = Result<v1::StreamResponse, Status>> + Send>>;

/// The A2A service of one agent.
pub(super) struct Service {
    agent: Agent,
    store: Store,
    activity: Activity,
}

/// A message that was taken: its task as it was before any work, and what follows.
struct Accepted {
    task: Arc<Task>,
    snapshot: v1::Task,
    follower: Follower,
    /// Whether there is nothing to follow: the message was seen before and its work is over.
    settled: bool,
}

impl Service {
    pub(super) fn new(agent: Agent, activity: Activity) -> Self {
        Self { agent, store: Store::new(), activity }
    }

    /// Takes a message: a new task, the next turn of a waiting one, or, for a message id seen before, its task.
    async fn accept(&self, request: v1::SendMessageRequest) -> Result<Accepted, Status> {
        if request.configuration.as_ref().is_some_and(|c| c.task_push_notification_config.is_some()) {
            return Err(no_push());
        }
        let message = request.message.ok_or_else(|| invalid("message is missing"))?;
        if message.message_id.is_empty() {
            return Err(invalid("message.message_id is empty"));
        }
        if let Some(task) = self.store.by_message(&message.message_id) {
            return Ok(Accepted::seen(task));
        }
        let input = input(&message.parts).map_err(|e| invalid(format!("message.parts: {e}")))?;
        let metadata = match &request.metadata {
            Some(metadata) => json::from_struct(metadata).map_err(|e| invalid(format!("metadata: {e}")))?,
            None => Map::new(),
        };
        let asked = metadata.get(request::CAPABILITY).and_then(Value::as_str);
        let skill = self.agent.skill(asked).map_err(|e| invalid(format!("metadata.capability: {e}")))?;
        skill.admit(&Incoming { message: &message, metadata: &metadata, input: &input }).await?;
        let task = if message.task_id.is_empty() {
            match self.store.enter(message.clone()) {
                Entry::New(task) => task,
                Entry::Seen(task) => return Ok(Accepted::seen(task)),
                Entry::Full => return Err(Status::resource_exhausted("too many tasks are under way")),
            }
        } else {
            self.next_turn(&message)?
        };
        // The follower comes before the work, so that it misses nothing.
        let (snapshot, follower) = task.follow();
        self.start(&task, message, metadata, skill, input);
        Ok(Accepted { task, snapshot, follower, settled: false })
    }

    fn next_turn(&self, message: &v1::Message) -> Result<Arc<Task>, Status> {
        let task = self.find(&message.task_id)?;
        if !message.context_id.is_empty() && message.context_id != task.context_id {
            return Err(invalid("message.context_id is not the one of the task"));
        }
        if !task.resume(message.clone()) {
            return Err(Reason::UnsupportedOperation.status("the task does not wait for a message"));
        }
        self.store.remember(message.message_id.clone(), &task);
        Ok(task)
    }

    fn start(
        &self,
        task: &Arc<Task>,
        message: v1::Message,
        metadata: Map<String, Value>,
        skill: Arc<dyn Skill>,
        input: Value,
    ) {
        let context = TaskContext { task: task.clone(), message, metadata, cancel: task.cancel_token() };
        let work = run(self.agent.clone(), skill, input, context);
        let busy = self.activity.begin();
        tokio::spawn(async move {
            work.await;
            drop(busy);
        });
    }

    fn find(&self, id: &str) -> Result<Arc<Task>, Status> {
        if id.is_empty() {
            return Err(invalid("the task id is empty"));
        }
        self.store.get(id).ok_or_else(|| Reason::TaskNotFound.status(format!("no task {id} is known")))
    }
}

impl Accepted {
    fn seen(task: Arc<Task>) -> Self {
        let (snapshot, follower) = task.follow();
        let settled = is_terminal(state_of(&snapshot)) || is_interrupted(state_of(&snapshot));
        Self { task, snapshot, follower, settled }
    }

    fn events(self) -> Events {
        let first = futures::stream::iter([snapshot_event(self.snapshot)]);
        if self.settled { Box::pin(first) } else { Box::pin(first.chain(self.follower.events().map(Ok))) }
    }
}

#[tonic::async_trait]
impl A2aService for Service {
    type SendStreamingMessageStream = Events;
    type SubscribeToTaskStream = Events;

    async fn send_message(&self, request: Request<v1::SendMessageRequest>) -> Answer<v1::SendMessageResponse> {
        let request = request.into_inner();
        let (at_once, history) =
            request.configuration.as_ref().map_or((false, None), |c| (c.return_immediately, c.history_length));
        let accepted = self.accept(request).await?;
        let task = if at_once {
            accepted.snapshot
        } else {
            if !accepted.settled {
                accepted.task.settled().await;
            }
            accepted.task.snapshot()
        };
        let task = with_history(task, history)?;
        Ok(Response::new(v1::SendMessageResponse { payload: Some(send_message_response::Payload::Task(task)) }))
    }

    async fn send_streaming_message(&self, request: Request<v1::SendMessageRequest>) -> Answer<Events> {
        Ok(Response::new(self.accept(request.into_inner()).await?.events()))
    }

    async fn get_task(&self, request: Request<v1::GetTaskRequest>) -> Answer<v1::Task> {
        let request = request.into_inner();
        let task = self.find(&request.id)?.snapshot();
        Ok(Response::new(with_history(task, request.history_length)?))
    }

    async fn list_tasks(&self, request: Request<v1::ListTasksRequest>) -> Answer<v1::ListTasksResponse> {
        let request = request.into_inner();
        let query = Query::read(&request)?;
        let page = self.store.list(&query);
        let shown = |mut task: v1::Task| {
            if !request.include_artifacts.unwrap_or(false) {
                task.artifacts.clear();
            }
            with_history(task, request.history_length)
        };
        Ok(Response::new(v1::ListTasksResponse {
            tasks: page.tasks.into_iter().map(shown).collect::<Result<_, _>>()?,
            next_page_token: page.next.map(|cursor| cursor.write()).unwrap_or_default(),
            page_size: i32::try_from(query.page_size).unwrap_or(i32::MAX),
            total_size: i32::try_from(page.total).unwrap_or(i32::MAX),
        }))
    }

    async fn cancel_task(&self, request: Request<v1::CancelTaskRequest>) -> Answer<v1::Task> {
        let task = self.find(&request.into_inner().id)?;
        if task.cancel() {
            return Ok(Response::new(task.snapshot()));
        }
        let state = task.state().as_str_name();
        Err(Reason::TaskNotCancelable.status(format!("the task is in the state {state}")))
    }

    async fn subscribe_to_task(&self, request: Request<v1::SubscribeToTaskRequest>) -> Answer<Events> {
        let (snapshot, follower) = self.find(&request.into_inner().id)?.follow();
        let state = state_of(&snapshot);
        if is_terminal(state) {
            let state = state.as_str_name();
            return Err(Reason::UnsupportedOperation.status(format!("the task is in the state {state}")));
        }
        let first = futures::stream::iter([snapshot_event(snapshot)]);
        Ok(Response::new(Box::pin(first.chain(follower.events().map(Ok)))))
    }

    async fn create_task_push_notification_config(
        &self,
        _: Request<v1::TaskPushNotificationConfig>,
    ) -> Answer<v1::TaskPushNotificationConfig> {
        Err(no_push())
    }

    async fn get_task_push_notification_config(
        &self,
        _: Request<v1::GetTaskPushNotificationConfigRequest>,
    ) -> Answer<v1::TaskPushNotificationConfig> {
        Err(no_push())
    }

    async fn list_task_push_notification_configs(
        &self,
        _: Request<v1::ListTaskPushNotificationConfigsRequest>,
    ) -> Answer<v1::ListTaskPushNotificationConfigsResponse> {
        Err(no_push())
    }

    async fn delete_task_push_notification_config(
        &self,
        _: Request<v1::DeleteTaskPushNotificationConfigRequest>,
    ) -> Answer<()> {
        Err(no_push())
    }

    async fn get_extended_agent_card(&self, _: Request<v1::GetExtendedAgentCardRequest>) -> Answer<v1::AgentCard> {
        Err(Reason::UnsupportedOperation.status("there is no extended card"))
    }
}

/// Refuses calls in another version of the protocol than 1.x. One that names none is let in, as the public SDKs do.
pub(super) fn check_version(request: Request<()>) -> Result<Request<()>, Status> {
    let major = |version: &str| version.trim().split('.').next().map(str::to_owned);
    let ours = match request.metadata().get(metadata::VERSION) {
        None => true,
        Some(version) => version.to_str().is_ok_and(|v| v.trim().is_empty() || major(v) == major(VERSION)),
    };
    if ours {
        return Ok(request);
    }
    Err(Reason::VersionNotSupported.status(format!("this agent speaks A2A {VERSION}")))
}

fn snapshot_event(task: v1::Task) -> Result<v1::StreamResponse, Status> {
    Ok(v1::StreamResponse { payload: Some(Payload::Task(task)) })
}

fn invalid(message: impl Into<String>) -> Status {
    Reason::InvalidParams.status(message)
}

fn no_push() -> Status {
    Reason::PushNotificationNotSupported.status("this agent does not push; subscribe to the task instead")
}
