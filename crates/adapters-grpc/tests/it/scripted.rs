//! Agents that do what a good SDK does not: break the protocol, leave parts of it out, lose streams.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::routing::{get, post};
use futures::stream::{self, BoxStream, StreamExt as _};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tonic::{Code, Request, Response, Status};
use tutti_a2a::error::{Reason, retry_after};
use tutti_a2a::v1::{self, Task, TaskState, part::Content, stream_response::Payload};
use tutti_a2a::v1::{a2a_service_server, send_message_response};
use tutti_a2a::{CARD_PATH, MAX_MESSAGE_BYTES};
use tutti_core::ports::agent::{AgentCall, AgentErrorKind, AgentTransport as _};

use crate::support::{News, call, completed, kind, serve, serve_on, transport};

type Events = BoxStream<'static, Result<v1::StreamResponse, Status>>;
type Handler<Q, A> = Box<dyn Fn(Q) -> Result<A, Status> + Send + Sync>;

/// An agent of handlers; one that is left out is not implemented.
struct Agent {
    streams: bool,
    tenant: &'static str,
    stream: Handler<v1::SendMessageRequest, Events>,
    send: Handler<v1::SendMessageRequest, v1::SendMessageResponse>,
    get: Handler<v1::GetTaskRequest, Task>,
    list: Handler<v1::ListTasksRequest, v1::ListTasksResponse>,
    cancel: Handler<v1::CancelTaskRequest, Task>,
    subscribe: Handler<v1::SubscribeToTaskRequest, Events>,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            streams: true,
            tenant: "",
            stream: missing(),
            send: missing(),
            get: missing(),
            list: missing(),
            cancel: missing(),
            subscribe: missing(),
        }
    }
}

impl Agent {
    /// Serves card and service; gives a call to it.
    async fn start(self) -> AgentCall {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let interface =
            json!({"url": address, "protocolBinding": "GRPC", "protocolVersion": "1.0", "tenant": self.tenant});
        let card = json!({"supportedInterfaces": [interface], "capabilities": {"streaming": self.streams}}).to_string();
        let service = a2a_service_server::A2aServiceServer::new(self).max_encoding_message_size(MAX_MESSAGE_BYTES);
        let router = tonic::service::Routes::new(service).into_axum_router();
        let url = serve_on(listener, router.route(CARD_PATH, get(async move || card)));
        call(&url, &json!({}))
    }
}

fn missing<Q, A>() -> Handler<Q, A> {
    Box::new(|_| Err(Status::unimplemented("not offered")))
}

/// A handler from a function.
fn on<Q, A>(handler: impl Fn(Q) -> Result<A, Status> + Send + Sync + 'static) -> Handler<Q, A> {
    Box::new(handler)
}

/// A stream that brings these events and closes.
fn events(payloads: Vec<Payload>) -> Events {
    let events: Vec<_> =
        payloads.into_iter().map(|payload| Ok(v1::StreamResponse { payload: Some(payload) })).collect();
    stream::iter(events).boxed()
}

fn task(state: TaskState, text: &str) -> Task {
    let part = v1::Part { content: Some(Content::Text(text.to_owned())), ..Default::default() };
    let artifact = v1::Artifact { artifact_id: "a".to_owned(), parts: vec![part], ..Default::default() };
    Task {
        id: "t".to_owned(),
        status: Some(v1::TaskStatus { state: state.into(), ..Default::default() }),
        artifacts: if text.is_empty() { vec![] } else { vec![artifact] },
        ..Default::default()
    }
}

fn state(id: &str, state: TaskState) -> Payload {
    Payload::StatusUpdate(v1::TaskStatusUpdateEvent {
        task_id: id.to_owned(),
        status: Some(v1::TaskStatus { state: state.into(), ..Default::default() }),
        ..Default::default()
    })
}

fn working() -> Payload {
    Payload::Task(task(TaskState::Working, ""))
}

/// A task of the conversation that this message started.
fn asked_by(message_id: &str, id: &str) -> Task {
    let message = v1::Message { message_id: message_id.to_owned(), ..Default::default() };
    Task { id: id.to_owned(), history: vec![message], ..Default::default() }
}

#[tokio::test]
async fn an_agent_that_breaks_the_protocol_is_left_and_its_task_stopped() {
    let stopped = Arc::new(Mutex::new(Vec::new()));
    let large = || {
        let part = v1::Part { content: Some(Content::Raw(vec![0; 9 * 1024 * 1024].into())), ..Default::default() };
        Payload::ArtifactUpdate(v1::TaskArtifactUpdateEvent {
            task_id: "t".to_owned(),
            artifact: Some(v1::Artifact { artifact_id: "a".to_owned(), parts: vec![part], ..Default::default() }),
            append: true,
            ..Default::default()
        })
    };
    let breaches: [fn() -> Vec<Payload>; 1] = [|| vec![working(), state("other", TaskState::Completed)]];
    for breach in breaches.map(|breach| breach()).into_iter().chain([vec![working(), large(), large()]]) {
        let seen = Arc::clone(&stopped);
        let agent = Agent {
            stream: on(move |_| Ok(events(breach.clone()).chain(stream::pending()).boxed())),
            cancel: on(move |request: v1::CancelTaskRequest| {
                seen.lock().unwrap().push(request.id);
                Ok(task(TaskState::Canceled, ""))
            }),
            ..Agent::default()
        };
        let call = agent.start().await;
        assert_eq!(kind(transport().call(&call, &News::default()).await), AgentErrorKind::InvalidAnswer);
    }
    assert_eq!(*stopped.lock().unwrap(), ["t", "t"]);
}

#[tokio::test]
async fn a_stream_that_ends_early_is_taken_up_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let agent = Agent {
        stream: on(|_| Ok(events(vec![working()]))),
        // Working when the stream is lost, complete when the subscription tells so.
        get: on(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(task(TaskState::Working, "one ")),
            _ => Ok(task(TaskState::Completed, "one two")),
        }),
        subscribe: on(|_| Ok(events(vec![working(), state("t", TaskState::Completed)]))),
        ..Agent::default()
    };
    let call = agent.start().await;
    assert_eq!(completed(transport().call(&call, &News::default()).await).0, "one two");
}

#[tokio::test]
async fn an_agent_that_cannot_be_subscribed_to_is_polled() {
    let asked = Arc::new(AtomicUsize::new(0));
    let agent = Agent {
        stream: on(|_| Ok(events(vec![working()]))),
        get: on(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(task(TaskState::Working, "")),
            // Out of reach for a moment.
            1 => Err(Status::unavailable("restarting")),
            2 => Ok(task(TaskState::Working, "")),
            _ => Ok(task(TaskState::Completed, "done")),
        }),
        ..Agent::default()
    };
    let call = agent.start().await;
    assert_eq!(completed(transport().call(&call, &News::default()).await).0, "done");
}

#[tokio::test]
async fn an_agent_that_does_not_stream_is_asked_without() {
    for streams in [false, true] {
        let agent = Agent {
            streams,
            stream: on(move |_| {
                assert!(streams, "the card said that it does not");
                Err(Reason::UnsupportedOperation.status("no streams"))
            }),
            send: on(|request: v1::SendMessageRequest| {
                assert!(request.configuration.unwrap().return_immediately);
                let payload = Some(send_message_response::Payload::Task(task(TaskState::Submitted, "")));
                Ok(v1::SendMessageResponse { payload })
            }),
            get: on(|_| Ok(task(TaskState::Completed, "done"))),
            ..Agent::default()
        };
        let call = agent.start().await;
        assert_eq!(completed(transport().call(&call, &News::default()).await).0, "done");
    }
}

#[tokio::test]
async fn a_silent_task_is_waited_for_while_its_agent_answers_for_it() {
    let asked_twice = Arc::new(Notify::new());
    let (wake, asked) = (Arc::clone(&asked_twice), AtomicUsize::new(0));
    let agent = Agent {
        stream: on(move |_| {
            let asked_twice = Arc::clone(&asked_twice);
            let end = stream::once(async move {
                asked_twice.notified().await;
                let payload = Payload::Message(v1::Message::default());
                Ok(v1::StreamResponse { payload: Some(payload) })
            });
            Ok(events(vec![working()])
                .chain(end)
                .chain(events(vec![Payload::Task(task(TaskState::Completed, "at last"))]))
                .boxed())
        }),
        get: on(move |_| {
            if asked.fetch_add(1, Ordering::Relaxed) == 1 {
                wake.notify_one();
            }
            Ok(task(TaskState::Working, ""))
        }),
        ..Agent::default()
    };
    // What the call says comes before what the transport is set to.
    let call = AgentCall { idle_timeout: Some(Duration::from_millis(50)), ..agent.start().await };
    let answer = transport().call(&call, &News::default()).await;
    assert_eq!(completed(answer).0, "at last");
}

#[tokio::test]
async fn a_message_whose_fate_is_unknown_is_looked_for() {
    let agent = Agent {
        // Accepted, then the stream closes before it said anything.
        stream: on(|_| Ok(events(vec![]))),
        list: on(|request: v1::ListTasksRequest| {
            let message_id = format!("{}/1", request.context_id);
            Ok(v1::ListTasksResponse { tasks: vec![asked_by(&message_id, "t")], ..Default::default() })
        }),
        get: on(|_| Ok(task(TaskState::Completed, "found"))),
        ..Agent::default()
    };
    let call = agent.start().await;
    assert_eq!(completed(transport().call(&call, &News::default()).await).0, "found");

    let agent = Agent { stream: on(|_| Ok(events(vec![]))), ..Agent::default() };
    let call = agent.start().await;
    assert_eq!(kind(transport().call(&call, &News::default()).await), AgentErrorKind::InvalidAnswer);
}

#[tokio::test]
async fn tasks_are_found_on_any_page_of_their_own_context() {
    let agent = Agent {
        tenant: "acme",
        list: on(|request: v1::ListTasksRequest| {
            assert_eq!(request.tenant, "acme");
            let ours = format!("{}/1", request.context_id);
            let (task, next) = match request.page_token.as_str() {
                "" => (asked_by("other", "x"), "2"),
                "2" => (asked_by("another", "y"), "3"),
                _ => (asked_by(&ours, "t"), ""),
            };
            Ok(v1::ListTasksResponse { tasks: vec![task], next_page_token: next.to_owned(), ..Default::default() })
        }),
        get: on(|request: v1::GetTaskRequest| {
            assert_eq!((request.tenant.as_str(), request.id.as_str()), ("acme", "t"));
            Ok(task(TaskState::Completed, "found"))
        }),
        ..Agent::default()
    };
    let mut call = agent.start().await;
    let answer = transport().reattach(&call, &News::default()).await;
    assert_eq!(completed(answer.map(Option::unwrap)).0, "found");
    call.key.attempt = 2;
    assert_eq!(transport().reattach(&call, &News::default()).await, Ok(None));
}

#[tokio::test]
async fn an_agent_that_lists_nothing_is_sent_to_again_and_one_that_is_down_is_not() {
    let call = Agent::default().start().await;
    assert_eq!(transport().reattach(&call, &News::default()).await, Ok(None));

    let agent = Agent { list: on(|_| Err(Status::internal("bug"))), ..Agent::default() };
    let call = agent.start().await;
    let answer = transport().reattach(&call, &News::default()).await;
    assert_eq!(answer.unwrap_err().kind, AgentErrorKind::Failed);
}

#[tokio::test]
async fn a_refusal_is_passed_on_as_it_is() {
    for (status, kind, wait) in [
        (retry_after(Code::ResourceExhausted, "busy", Duration::from_secs(3)), AgentErrorKind::RateLimited, Some(3)),
        (Reason::VersionNotSupported.status("0.3 only"), AgentErrorKind::Unsupported, None),
        (Reason::ContentTypeNotSupported.status("no JSON"), AgentErrorKind::Unsupported, None),
        (Status::invalid_argument("no"), AgentErrorKind::InvalidInput, None),
        (Status::unauthenticated("who?"), AgentErrorKind::Unauthorized, None),
        (Status::unknown("raised"), AgentErrorKind::Failed, None),
    ] {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        let agent = Agent {
            stream: on(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
                Err(status.clone())
            }),
            ..Agent::default()
        };
        let call = agent.start().await;
        let error = transport().call(&call, &News::default()).await.unwrap_err();
        assert_eq!((error.kind, error.retry_after), (kind, wait.map(Duration::from_secs)), "{error}");
        assert_eq!(seen.load(Ordering::Relaxed), 1, "sent once");
    }
}

#[tokio::test]
async fn a_task_that_its_agent_forgot_has_failed() {
    let agent = Agent {
        stream: on(|_| Ok(events(vec![working()]))),
        get: on(|_| Err(Reason::TaskNotFound.status("gone"))),
        ..Agent::default()
    };
    let call = agent.start().await;
    assert_eq!(kind(transport().call(&call, &News::default()).await), AgentErrorKind::Failed);
}

#[tokio::test]
async fn cancelling_succeeds_when_the_task_is_over_however_the_agent_puts_it() {
    for (state, refusal, fine) in [
        (TaskState::Canceled, Reason::TaskNotCancelable, true),
        (TaskState::Completed, Reason::UnsupportedOperation, true),
        (TaskState::Working, Reason::TaskNotCancelable, false),
    ] {
        let agent = Agent {
            cancel: on(move |_| Err(refusal.status("no"))),
            get: on(move |_| Ok(task(state, ""))),
            ..Agent::default()
        };
        let mut call = agent.start().await;
        call.task = Some("t".to_owned());
        assert_eq!(transport().cancel(&call).await.is_ok(), fine, "{state:?}");
    }
}

#[tokio::test]
async fn an_error_that_makes_the_grpc_library_panic_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let interface = json!({"url": listener.local_addr().unwrap().to_string(), "protocolBinding": "GRPC"});
    let card = json!({"supportedInterfaces": [interface]}).to_string();
    let headers =
        [(header::CONTENT_TYPE.as_str(), "application/grpc"), ("grpc-status", "3"), ("grpc-status-details-bin", "!!!")];
    let router = Router::new()
        .route(CARD_PATH, get(async move || card))
        .route("/lf.a2a.v1.A2AService/{rpc}", post(async move || headers));
    let url = serve_on(listener, router);
    assert_eq!(kind(transport().call(&call(&url, &json!({})), &News::default()).await), AgentErrorKind::InvalidAnswer);
}

#[tokio::test]
async fn what_is_no_grpc_service_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let interface = json!({"url": listener.local_addr().unwrap().to_string(), "protocolBinding": "GRPC"});
    let card = json!({"supportedInterfaces": [interface]}).to_string();
    drop(listener);
    let url = serve(Router::new().route(CARD_PATH, get(async move || card))).await;
    let error = transport().call(&call(&url, &json!({})), &News::default()).await.unwrap_err();
    assert_eq!(error.kind, AgentErrorKind::Unavailable);
    assert!(error.message.contains("Connection refused"), "{error}");
}

#[tonic::async_trait]
impl a2a_service_server::A2aService for Agent {
    type SendStreamingMessageStream = Events;
    type SubscribeToTaskStream = Events;

    async fn send_streaming_message(
        &self,
        request: Request<v1::SendMessageRequest>,
    ) -> Result<Response<Events>, Status> {
        (self.stream)(request.into_inner()).map(Response::new)
    }

    async fn send_message(
        &self,
        request: Request<v1::SendMessageRequest>,
    ) -> Result<Response<v1::SendMessageResponse>, Status> {
        (self.send)(request.into_inner()).map(Response::new)
    }

    async fn get_task(&self, request: Request<v1::GetTaskRequest>) -> Result<Response<Task>, Status> {
        (self.get)(request.into_inner()).map(Response::new)
    }

    async fn list_tasks(
        &self,
        request: Request<v1::ListTasksRequest>,
    ) -> Result<Response<v1::ListTasksResponse>, Status> {
        (self.list)(request.into_inner()).map(Response::new)
    }

    async fn cancel_task(&self, request: Request<v1::CancelTaskRequest>) -> Result<Response<Task>, Status> {
        (self.cancel)(request.into_inner()).map(Response::new)
    }

    async fn subscribe_to_task(
        &self,
        request: Request<v1::SubscribeToTaskRequest>,
    ) -> Result<Response<Events>, Status> {
        (self.subscribe)(request.into_inner()).map(Response::new)
    }

    async fn create_task_push_notification_config(
        &self,
        _: Request<v1::TaskPushNotificationConfig>,
    ) -> Result<Response<v1::TaskPushNotificationConfig>, Status> {
        Err(Status::unimplemented("not offered"))
    }

    async fn get_task_push_notification_config(
        &self,
        _: Request<v1::GetTaskPushNotificationConfigRequest>,
    ) -> Result<Response<v1::TaskPushNotificationConfig>, Status> {
        Err(Status::unimplemented("not offered"))
    }

    async fn list_task_push_notification_configs(
        &self,
        _: Request<v1::ListTaskPushNotificationConfigsRequest>,
    ) -> Result<Response<v1::ListTaskPushNotificationConfigsResponse>, Status> {
        Err(Status::unimplemented("not offered"))
    }

    async fn get_extended_agent_card(
        &self,
        _: Request<v1::GetExtendedAgentCardRequest>,
    ) -> Result<Response<v1::AgentCard>, Status> {
        Err(Status::unimplemented("not offered"))
    }

    async fn delete_task_push_notification_config(
        &self,
        _: Request<v1::DeleteTaskPushNotificationConfigRequest>,
    ) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("not offered"))
    }
}
