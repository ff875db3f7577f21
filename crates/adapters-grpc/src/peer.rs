//! The agent as one attempt reaches it: where it is, and the requests of A2A with their deadlines.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tonic::Streaming;
use tonic::transport::Channel;
use tutti_a2a::MAX_MESSAGE_BYTES;
use tutti_a2a::v1::{self, a2a_service_client::A2aServiceClient};
use tutti_core::ports::agent::{AgentCall, AgentErrorKind};

use crate::access::{self, Secret};
use crate::connect::Route;
use crate::discovery::{Discovery, Target};
use crate::fault::{Class, Fault};
use crate::pool::Pool;
use crate::{GrpcConfig, request};

/// Tasks asked for per page: the most that A2A allows.
const PAGE: i32 = 100;

/// Messages of a task's history asked for. Ours is the oldest one, so all are wanted.
const HISTORY: i32 = 1_000;

/// What all attempts share.
#[derive(Debug)]
pub struct Shared {
    pub config: GrpcConfig,
    pub pool: Pool,
    pub discovery: Discovery,
}

/// The agent of one attempt.
pub struct Peer<'a> {
    shared: &'a Shared,
    call: &'a AgentCall,
    deadline: Instant,
    /// Where the agent is, once known.
    target: Option<Target>,
    /// The secret that was sent last.
    secret: Option<Secret>,
}

/// What sending a message opened.
pub enum Opened {
    /// The events of its task.
    Stream(Streaming<v1::StreamResponse>),
    /// The first answer of an agent that does not stream.
    Response(v1::SendMessageResponse),
}

impl<'a> Peer<'a> {
    /// The agent of this call, with `timeout` for everything that is asked of it.
    pub fn new(shared: &'a Shared, call: &'a AgentCall, timeout: Duration) -> Self {
        Self { shared, call, deadline: Instant::now() + timeout, target: None, secret: None }
    }

    /// When time is up.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Sets when time is up.
    pub fn extend(&mut self, timeout: Duration) {
        self.deadline = Instant::now() + timeout;
    }

    /// Sends the message, by a stream if the agent has streams. When the agent is not where it was, its card is read
    /// again: it may have moved.
    pub async fn send(&mut self) -> Result<Opened, Fault> {
        let message = request::send(self.call, SystemTime::now());
        self.send_message(message).await
    }

    /// As [`send`](Self::send), for any message.
    pub async fn send_message(&mut self, message: v1::SendMessageRequest) -> Result<Opened, Fault> {
        match self.try_send(message.clone()).await {
            Err(fault) if fault.class == Class::NotSent && self.target.is_some() => {
                if self.locate().await? {
                    self.try_send(message).await
                } else {
                    Err(fault)
                }
            }
            outcome => outcome,
        }
    }

    async fn try_send(&mut self, mut message: v1::SendMessageRequest) -> Result<Opened, Fault> {
        let (mut client, target) = self.client().await?;
        message.tenant.clone_from(&target.tenant);
        if target.streaming {
            let request = self.wrap(message.clone(), self.remaining()).await?;
            match client.send_streaming_message(request).await.map_err(|status| self.fault(status)) {
                Ok(stream) => return Ok(Opened::Stream(stream.into_inner())),
                Err(fault) if fault.class == Class::Unsupported => {}
                Err(fault) => return Err(fault),
            }
        }
        message.configuration = Some(v1::SendMessageConfiguration { return_immediately: true, ..Default::default() });
        let request = self.wrap(message, self.remaining()).await?;
        let response = client.send_message(request).await.map_err(|status| self.fault(status))?;
        Ok(Opened::Response(response.into_inner()))
    }

    /// Asks for a task.
    pub async fn get_task(&mut self, id: &str) -> Result<v1::Task, Fault> {
        self.task(id, 0).await
    }

    /// Asks for a task with its last messages.
    pub async fn get_task_with_history(&mut self, id: &str) -> Result<v1::Task, Fault> {
        self.task(id, HISTORY).await
    }

    async fn task(&mut self, id: &str, history: i32) -> Result<v1::Task, Fault> {
        let (mut client, Target { tenant, .. }) = self.client().await?;
        let request = v1::GetTaskRequest { tenant, id: id.to_owned(), history_length: Some(history) };
        let request = self.wrap(request, self.short()).await?;
        Ok(client.get_task(request).await.map_err(|status| self.fault(status))?.into_inner())
    }

    /// Asks for a page of the tasks in this call's context, with their histories.
    pub async fn list_tasks(&mut self, page_token: &str) -> Result<v1::ListTasksResponse, Fault> {
        let (mut client, Target { tenant, .. }) = self.client().await?;
        let request = v1::ListTasksRequest {
            tenant,
            context_id: self.call.key.operation_id(),
            page_size: Some(PAGE),
            page_token: page_token.to_owned(),
            history_length: Some(HISTORY),
            ..Default::default()
        };
        let request = self.wrap(request, self.short()).await?;
        Ok(client.list_tasks(request).await.map_err(|status| self.fault(status))?.into_inner())
    }

    /// Opens a new stream of a task's events.
    pub async fn subscribe(&mut self, id: &str) -> Result<Streaming<v1::StreamResponse>, Fault> {
        let (mut client, Target { tenant, .. }) = self.client().await?;
        let request = v1::SubscribeToTaskRequest { tenant, id: id.to_owned() };
        let request = self.wrap(request, self.remaining()).await?;
        Ok(client.subscribe_to_task(request).await.map_err(|status| self.fault(status))?.into_inner())
    }

    /// Asks to stop a task.
    pub async fn cancel_task(&mut self, id: &str) -> Result<v1::Task, Fault> {
        let (mut client, Target { tenant, .. }) = self.client().await?;
        let request = v1::CancelTaskRequest { tenant, id: id.to_owned(), metadata: None };
        let request = self.wrap(request, self.short()).await?;
        Ok(client.cancel_task(request).await.map_err(|status| self.fault(status))?.into_inner())
    }

    /// Reads the agent's card again; true when that gave another address.
    pub async fn locate(&mut self) -> Result<bool, Fault> {
        let target = self.shared.discovery.refresh(&self.call.agent).await?;
        let moved = self.target.as_ref() != Some(&target);
        self.target = Some(target);
        Ok(moved)
    }

    /// Lets go of the connection: calls under way keep it, others get a new one.
    pub fn disconnect(&self) {
        if let Some(target) = &self.target {
            self.shared.pool.forget(&self.route(target));
        }
    }

    async fn client(&mut self) -> Result<(A2aServiceClient<Channel>, Target), Fault> {
        let target = match &self.target {
            Some(target) => target.clone(),
            None => self.shared.discovery.target(&self.call.agent).await?,
        };
        self.target = Some(target.clone());
        let client = A2aServiceClient::new(self.shared.pool.channel(&self.route(&target))?)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Ok((client, target))
    }

    fn route(&self, target: &Target) -> Route {
        let access = &self.call.agent.access;
        Route::new(target.address.clone(), access, access.credentials.is_some())
    }

    /// The request with what every request carries, credentials included.
    async fn wrap<T>(&mut self, message: T, timeout: Duration) -> Result<tonic::Request<T>, Fault> {
        let mut request = request::wrap(message, timeout, self.call.trace_parent.as_deref());
        let access = &self.call.agent.access;
        let named = self.target.as_ref().and_then(|target| target.key_header.as_deref());
        match access::header(self.shared.discovery.policy(), access, named).await? {
            Some(header) => {
                request::authorize(&mut request, &header);
                self.secret = Some(header.secret);
            }
            None if access.credentials.is_some() => {
                let message = "no header for the API key: the agent's card names none, so `header` has to";
                return Err(Fault::refused(AgentErrorKind::Unauthorized, message));
            }
            None => {}
        }
        Ok(request)
    }

    /// What the failure of a request means. An agent that repeats the secret is not quoted.
    pub fn fault(&self, status: tonic::Status) -> Fault {
        let mut fault = Fault::from(status);
        if let Some(secret) = &self.secret {
            fault.error.message = secret.mask(&fault.error.message);
        }
        fault
    }

    /// Time left.
    fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Time that a request which the agent answers at once may take.
    fn short(&self) -> Duration {
        self.remaining().min(self.shared.config.request_timeout)
    }
}
