//! The client of a server: what its callers may ask, in the words of the core; and reads runs as if the server were a store
//! to look into.

mod query;
mod runs;
mod streams;
mod workflows;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tutti_api::MAX_MESSAGE_BYTES;
use tutti_api::v1::approval_service_client::ApprovalServiceClient;
use tutti_api::v1::monitor_service_client::MonitorServiceClient;
use tutti_api::v1::run_service_client::RunServiceClient;
use tutti_api::v1::workflow_service_client::WorkflowServiceClient;
use tutti_core::ids::{Namespace, RunId};
use tutti_core::value::Digest;

pub(super) use self::runs::Asked;
pub use self::runs::WaitedRun;
pub use self::streams::{ArtifactDownload, ChangeStream, EventStream, ExecuteStream, RunsNews};

use super::connect::{self, Bearer, Link};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// A server, as its callers see it.
#[derive(Debug, Clone)]
pub struct ApiClient {
    channel: Channel,
    /// With the token, if one was given.
    pub(super) link: Link,
    pub(super) service: RunServiceClient<Link>,
    /// Whose runs are meant where a question names none.
    namespace: Namespace,
    /// Which run follows a definition: the server gives definitions by runs.
    definitions: Arc<Mutex<HashMap<Digest, (Namespace, RunId)>>>,
}

/// Why a server did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Something given is wrong; each line names a field.
    #[error("{0}")]
    Refused(String),
    /// The server does not know the caller, or the caller may not do that.
    #[error("{0}")]
    Denied(String),
    /// The server cannot be reached, stops, or answers what cannot be read.
    #[error("{0}")]
    Unavailable(String),
    /// The stream was ended because it was read too slowly; go on after the last event.
    #[error("{0}")]
    Interrupted(String),
}

impl From<Status> for ApiError {
    fn from(status: Status) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange => Self::Refused(message),
            Code::Unauthenticated | Code::PermissionDenied => Self::Denied(message),
            Code::Aborted => Self::Interrupted(message),
            // The transport's own errors say little; what lies beneath says why.
            code => {
                let beneath = std::error::Error::source(&status).map(|error| {
                    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).last()
                });
                let why = beneath.flatten().map(|why| format!(" ({why})")).unwrap_or_default();
                Self::Unavailable(format!("the server says {code:?}: {message}{why}"))
            }
        }
    }
}

impl ApiClient {
    /// A client of the server at a URL such as `http://127.0.0.1:7780`, or `https://` for one whose certificate
    /// this machine's roots know; connects when it is first used.
    ///
    /// # Errors
    /// [`ApiError::Refused`] for what is no URL.
    pub fn new(url: &str) -> Result<Self, ApiError> {
        Ok(Self::over(connect::channel(url, None)?))
    }

    pub(super) fn over(channel: Channel) -> Self {
        Self::by(channel, Bearer::default())
    }

    /// The same, with a token that says who calls.
    ///
    /// # Errors
    /// [`ApiError::Refused`] for a text that cannot be sent.
    pub fn with_token(self, token: &str) -> Result<Self, ApiError> {
        Ok(Self { namespace: self.namespace, ..Self::by(self.channel, Bearer::of(token)?) })
    }

    fn by(channel: Channel, bearer: Bearer) -> Self {
        let link = InterceptedService::new(channel.clone(), bearer);
        let service = RunServiceClient::new(link.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Self { channel, link, service, namespace: Namespace::default(), definitions: Arc::default() }
    }

    /// The same, for the runs of a namespace where it is read like a store: that has events and payloads by runs alone.
    #[must_use]
    pub fn within(self, namespace: Namespace) -> Self {
        Self { namespace, ..self }
    }

    fn workflow_service(&self) -> WorkflowServiceClient<Link> {
        WorkflowServiceClient::new(self.link.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn approval_service(&self) -> ApprovalServiceClient<Link> {
        ApprovalServiceClient::new(self.link.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn monitor_service(&self) -> MonitorServiceClient<Link> {
        MonitorServiceClient::new(self.link.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }
}

/// A namespace as requests name it. Who means no other than `default` means that of its token, if that has one.
pub(super) fn named(namespace: &Namespace) -> String {
    if *namespace == Namespace::default() { String::new() } else { namespace.to_string() }
}

/// What a server answered and nobody can read.
pub(super) fn unread(why: impl std::fmt::Display) -> ApiError {
    ApiError::Unavailable(format!("the server's answer cannot be read: {why}"))
}

/// A text that may be missing.
fn text(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

pub(super) fn timed<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(ANSWER);
    request
}
