//! An agent that completes what it is asked, and notes in which trace it was asked.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::routing::get;
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tutti_a2a::CARD_PATH;
use tutti_a2a::card::{AgentCapabilities, AgentCard, AgentInterface};
use tutti_a2a::v1::a2a_service_server::{A2aService, A2aServiceServer};
use tutti_a2a::v1::part::Content;
use tutti_a2a::v1::stream_response::Payload;
use tutti_a2a::v1::{self, Task, TaskState};

type Answer<T> = Result<Response<T>, Status>;
type Events = BoxStream<'static, Result<v1::StreamResponse, Status>>;

/// The agent. Serves until the test ends.
#[derive(Clone)]
pub struct Agent {
    pub url: String,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Agent {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let agent = Self { url: format!("http://{authority}"), asked: Arc::default() };
        let card = AgentCard {
            name: "witness".to_owned(),
            supported_interfaces: vec![AgentInterface::grpc(&authority)],
            capabilities: AgentCapabilities { streaming: Some(true), ..AgentCapabilities::default() },
            ..AgentCard::default()
        };
        let routes = Routes::new(A2aServiceServer::new(agent.clone())).into_axum_router();
        let routes = routes.route(CARD_PATH, get(async move || Json(card)));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        agent
    }

    /// By message id, the `traceparent` of each message.
    pub fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl A2aService for Agent {
    type SendStreamingMessageStream = Events;
    type SubscribeToTaskStream = Events;

    async fn send_streaming_message(&self, request: Request<v1::SendMessageRequest>) -> Answer<Events> {
        let trace = request.metadata().get("traceparent").map(|trace| trace.to_str().unwrap().to_owned());
        let message = request.into_inner().message.unwrap();
        self.asked.lock().unwrap().push((message.message_id.clone(), trace.unwrap_or_default()));
        let part = v1::Part { content: Some(Content::Text("done".to_owned())), ..Default::default() };
        let artifact = v1::Artifact { artifact_id: "a".to_owned(), parts: vec![part], ..Default::default() };
        let task = Task {
            id: format!("task of {}", message.message_id),
            context_id: message.context_id.clone(),
            status: Some(v1::TaskStatus { state: TaskState::Completed.into(), ..Default::default() }),
            artifacts: vec![artifact],
            history: vec![message],
            ..Default::default()
        };
        let told = v1::StreamResponse { payload: Some(Payload::Task(task)) };
        Ok(Response::new(stream::iter([Ok(told)]).boxed()))
    }

    async fn list_tasks(&self, _: Request<v1::ListTasksRequest>) -> Answer<v1::ListTasksResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn send_message(&self, _: Request<v1::SendMessageRequest>) -> Answer<v1::SendMessageResponse> {
        not_offered()
    }

    async fn get_task(&self, _: Request<v1::GetTaskRequest>) -> Answer<Task> {
        not_offered()
    }

    async fn cancel_task(&self, _: Request<v1::CancelTaskRequest>) -> Answer<Task> {
        not_offered()
    }

    async fn subscribe_to_task(&self, _: Request<v1::SubscribeToTaskRequest>) -> Answer<Events> {
        not_offered()
    }

    async fn create_task_push_notification_config(
        &self,
        _: Request<v1::TaskPushNotificationConfig>,
    ) -> Answer<v1::TaskPushNotificationConfig> {
        not_offered()
    }

    async fn get_task_push_notification_config(
        &self,
        _: Request<v1::GetTaskPushNotificationConfigRequest>,
    ) -> Answer<v1::TaskPushNotificationConfig> {
        not_offered()
    }

    async fn list_task_push_notification_configs(
        &self,
        _: Request<v1::ListTaskPushNotificationConfigsRequest>,
    ) -> Answer<v1::ListTaskPushNotificationConfigsResponse> {
        not_offered()
    }

    async fn get_extended_agent_card(&self, _: Request<v1::GetExtendedAgentCardRequest>) -> Answer<v1::AgentCard> {
        not_offered()
    }

    async fn delete_task_push_notification_config(
        &self,
        _: Request<v1::DeleteTaskPushNotificationConfigRequest>,
    ) -> Answer<()> {
        not_offered()
    }
}

fn not_offered<T>() -> Answer<T> {
    Err(Status::unimplemented("not offered"))
}
