//! The operations of A2A 1.0, over gRPC.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tutti_a2a::error::Reason;
use tutti_a2a::json;
use tutti_a2a::task::{history_length, is_terminal};
use tutti_a2a::v1::a2a_service_server::A2aService;
use tutti_a2a::v1::{self, TaskState, send_message_response};
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::runs::CommandRequest;
use tutti_core::run::{Command, Order};

use super::OrchestratorAgent;
use super::follow::{Following, Until};
use super::refusal::{no_push, of_task};
use super::send::Accepted;
use super::task::{Room, Telling, state_of};
use crate::api::caller::{caller, namespace, recorded};
use crate::api::outbox::{self, Closing};
use crate::serve::allowed;

type Answer<T> = Result<Response<T>, Status>;

/// A live view of a task.
type Events = outbox::Answer<v1::StreamResponse>;

/// Everything there is to tell.
const ALL: Telling = Telling { history: usize::MAX, artifacts: true };

#[tonic::async_trait]
impl A2aService for OrchestratorAgent {
    type SendStreamingMessageStream = Events;
    type SubscribeToTaskStream = Events;

    async fn send_message(&self, request: Request<v1::SendMessageRequest>) -> Answer<v1::SendMessageResponse> {
        let deadline = Instant::now() + self.wait_for(&request);
        let wish = request.get_ref().configuration.as_ref();
        let (at_once, length) = wish.map_or((false, None), |wish| (wish.return_immediately, wish.history_length));
        let telling = telling(length)?;
        let Accepted { namespace, mut view } = self.accept(request).await?;
        if !at_once {
            self.settle(&namespace, &mut view, deadline).await?;
        }
        let task = self.task(&namespace, &view, telling, &mut Room::new()).await?;
        Ok(Response::new(v1::SendMessageResponse { payload: Some(send_message_response::Payload::Task(task)) }))
    }

    async fn send_streaming_message(&self, request: Request<v1::SendMessageRequest>) -> Answer<Events> {
        let closing = closing(&request);
        let telling = telling(request.get_ref().configuration.as_ref().and_then(|wish| wish.history_length))?;
        let accepted = self.accept(request).await?;
        self.follow(accepted, Until::Turn, telling, closing).await
    }

    async fn get_task(&self, request: Request<v1::GetTaskRequest>) -> Answer<v1::Task> {
        let namespace = namespace(&request, &request.get_ref().tenant)?;
        let asked = request.into_inner();
        let telling = telling(asked.history_length)?;
        let view = self.find(&namespace, &asked.id).await?;
        Ok(Response::new(self.task(&namespace, &view, telling, &mut Room::new()).await?))
    }

    async fn list_tasks(&self, request: Request<v1::ListTasksRequest>) -> Answer<v1::ListTasksResponse> {
        let namespace = namespace(&request, &request.get_ref().tenant)?;
        Ok(Response::new(self.list(&namespace, request.into_inner()).await?))
    }

    async fn cancel_task(&self, request: Request<v1::CancelTaskRequest>) -> Answer<v1::Task> {
        let namespace = namespace(&request, &request.get_ref().tenant)?;
        let by = recorded(&caller(&request), "a2a");
        let asked = request.into_inner();
        let mut view = self.find(&namespace, &asked.id).await?;
        let state = state_of(&view);
        // Cancelling is idempotent (specification, "Idempotency").
        if state != TaskState::Canceled {
            let over = |state: TaskState| {
                Reason::TaskNotCancelable.status(format!("the task is in the state {}", state.as_str_name()))
            };
            if is_terminal(state) {
                return Err(over(state));
            }
            let run = view.run().ok_or_else(|| Status::data_loss("the run has no history"))?;
            let said = asked.metadata.as_ref().and_then(|metadata| metadata.fields.get("reason"));
            let said = said.and_then(|reason| json::from_proto(reason).ok()?.as_str().map(str::to_owned));
            let order = Order::new(by, said.unwrap_or_else(|| "cancelled over A2A".to_owned()));
            let request = CommandRequest { namespace: namespace.clone(), run, command: Command::Cancel, order };
            let cancelled = self.runs.command(request).await;
            view = self.find(&namespace, &asked.id).await?;
            match cancelled {
                Err(RequestError::NotAllowed(_)) if state_of(&view) != TaskState::Canceled => {
                    return Err(over(state_of(&view)));
                }
                Err(RequestError::NotAllowed(_)) | Ok(_) => {}
                Err(error) => return Err(of_task(&error)),
            }
        }
        Ok(Response::new(self.task(&namespace, &view, ALL, &mut Room::new()).await?))
    }

    async fn subscribe_to_task(&self, request: Request<v1::SubscribeToTaskRequest>) -> Answer<Events> {
        let closing = closing(&request);
        let namespace = namespace(&request, &request.get_ref().tenant)?;
        let view = self.find(&namespace, &request.into_inner().id).await?;
        let state = state_of(&view);
        if is_terminal(state) {
            let message = format!("the task is in the state {}", state.as_str_name());
            return Err(Reason::UnsupportedOperation.status(message));
        }
        self.follow(Accepted { namespace, view }, Until::End, ALL, closing).await
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

impl OrchestratorAgent {
    async fn follow(&self, accepted: Accepted, until: Until, telling: Telling, closing: Closing) -> Answer<Events> {
        let Accepted { namespace, view } = accepted;
        let first = self.task(&namespace, &view, telling, &mut Room::new()).await?;
        let following = Following { agent: self.clone(), namespace, view, until };
        Ok(Response::new(Box::pin(following.stream(first, closing))))
    }

    /// How long a message may wait for the end of its run: so that the answer comes before its caller's deadline.
    fn wait_for<T>(&self, request: &Request<T>) -> Duration {
        let longest = self.options.longest_wait;
        let asked = allowed(&request.metadata().clone().into_headers());
        asked.map_or(longest, |asked| longest.min(asked.mul_f64(0.9)))
    }
}

/// The whole task with so much of its history; all of it when that is not told.
fn telling(length: Option<i32>) -> Result<Telling, Status> {
    Ok(Telling { history: length.map(history_length).transpose()?.unwrap_or(usize::MAX), artifacts: true })
}

/// What ends a stream early: its connection, which ends with the server.
fn closing<T>(request: &Request<T>) -> Closing {
    Closing::of(&CancellationToken::new(), request)
}
