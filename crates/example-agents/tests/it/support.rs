//! A served agent, a client for it, and short forms of what tests send and look at.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tutti_a2a::v1::a2a_service_client::A2aServiceClient;
use tutti_a2a::v1::stream_response::Payload;
use tutti_a2a::v1::{self, TaskState, part::Content, send_message_response};
use tutti_a2a::{JSON_MEDIA_TYPE, MAX_MESSAGE_BYTES, json};
use tutti_example_agents::kit::{Agent, Server, ServerError};

/// An agent that serves until dropped.
pub struct Served {
    pub client: A2aServiceClient<Channel>,
    pub address: SocketAddr,
    pub server: JoinHandle<Result<(), ServerError>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub async fn serve(agent: Agent, idle_exit: Option<Duration>) -> Served {
    let server = Server::bind(agent, "127.0.0.1", 0).await.unwrap();
    let address = server.address();
    let server = tokio::spawn(server.run(idle_exit, std::future::pending()));
    let client = A2aServiceClient::connect(format!("http://{address}")).await.unwrap();
    let client = client.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES);
    Served { client, address, server }
}

impl Served {
    pub async fn stream(&self, message: v1::Message) -> Streaming<v1::StreamResponse> {
        let mut client = self.client.clone();
        client.send_streaming_message(send(message)).await.unwrap().into_inner()
    }

    pub async fn send(&self, message: v1::Message) -> v1::Task {
        self.try_send(send(message)).await.unwrap()
    }

    pub async fn try_send(&self, request: v1::SendMessageRequest) -> Result<v1::Task, Status> {
        match self.client.clone().send_message(request).await?.into_inner().payload {
            Some(send_message_response::Payload::Task(task)) => Ok(task),
            other => panic!("a task was expected: {other:?}"),
        }
    }

    pub async fn task(&self, id: &str) -> v1::Task {
        let request = v1::GetTaskRequest { id: id.into(), ..Default::default() };
        self.client.clone().get_task(request).await.unwrap().into_inner()
    }

    pub async fn list(&self, request: v1::ListTasksRequest) -> Result<v1::ListTasksResponse, Status> {
        Ok(self.client.clone().list_tasks(request).await?.into_inner())
    }

    pub async fn subscribe(&self, id: &str) -> Result<Streaming<v1::StreamResponse>, Status> {
        let request = v1::SubscribeToTaskRequest { id: id.into(), ..Default::default() };
        Ok(self.client.clone().subscribe_to_task(request).await?.into_inner())
    }

    pub async fn cancel(&self, id: &str) -> Result<v1::Task, Status> {
        let request = v1::CancelTaskRequest { id: id.into(), ..Default::default() };
        Ok(self.client.clone().cancel_task(request).await?.into_inner())
    }

    /// Sends a request that names a version of the protocol.
    pub async fn with_version(&self, version: &str) -> Result<(), Status> {
        let mut request = Request::new(v1::ListTasksRequest::default());
        request.metadata_mut().insert(tutti_a2a::metadata::VERSION, version.parse().unwrap());
        self.client.clone().list_tasks(request).await.map(drop)
    }

    /// A plain HTTP/1.1 request; the answer with its head.
    pub async fn http_get(&self, path: &str) -> String {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

pub fn message(id: &str, input: &Value) -> v1::Message {
    let part = v1::Part {
        media_type: JSON_MEDIA_TYPE.into(),
        content: Some(Content::Data(json::to_proto(input).unwrap())),
        ..Default::default()
    };
    v1::Message {
        message_id: id.into(),
        context_id: "context".into(),
        role: v1::Role::User.into(),
        parts: vec![part],
        ..Default::default()
    }
}

pub fn send(message: v1::Message) -> v1::SendMessageRequest {
    v1::SendMessageRequest { message: Some(message), ..Default::default() }
}

/// The next event of a stream, which must come.
pub async fn next(stream: &mut Streaming<v1::StreamResponse>) -> Payload {
    soon(stream.message()).await.unwrap().expect("the stream goes on").payload.unwrap()
}

/// The events of a stream to its end.
pub async fn rest(mut stream: Streaming<v1::StreamResponse>) -> Vec<Payload> {
    let mut events = Vec::new();
    while let Some(event) = soon(stream.message()).await.unwrap() {
        events.push(event.payload.unwrap());
    }
    events
}

/// What must happen, but not necessarily at once.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

pub fn state(task: &v1::Task) -> TaskState {
    task.status.as_ref().unwrap().state()
}

/// The text of the status of a task.
pub fn words(task: &v1::Task) -> String {
    text(&task.status.as_ref().unwrap().message.as_ref().unwrap().parts)
}

/// The data of the artifact `result`.
pub fn result(task: &v1::Task) -> Value {
    let artifact = task.artifacts.iter().find(|a| a.name == "result").expect("a result");
    match &artifact.parts[0].content {
        Some(Content::Data(data)) => json::from_proto(data).unwrap(),
        other => panic!("data was expected: {other:?}"),
    }
}

/// The text parts, joined.
pub fn text(parts: &[v1::Part]) -> String {
    let text = |part: &v1::Part| match &part.content {
        Some(Content::Text(text)) => text.clone(),
        other => panic!("text was expected: {other:?}"),
    };
    parts.iter().map(text).collect()
}

/// A short name of an event.
pub fn kind(event: &Payload) -> String {
    match event {
        Payload::Task(task) => format!("task {}", state(task).as_str_name()),
        Payload::StatusUpdate(update) => format!("status {}", update.status.as_ref().unwrap().state().as_str_name()),
        Payload::ArtifactUpdate(u) => {
            format!("artifact {} append={} last={}", u.artifact.as_ref().unwrap().name, u.append, u.last_chunk)
        }
        Payload::Message(_) => "message".into(),
    }
}
