//! What went wrong with a request, and whether the agent may have received it.
//!
//! The reason in the error's details decides first, the status code second: the codes of several reasons changed between
//! releases of A2A.

use std::error::Error;
use std::time::Duration;

use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tutti_a2a::error::{Reason, retry_delay};
use tutti_core::limits::MAX_MESSAGE_BYTES;
use tutti_core::ports::agent::{AgentError, AgentErrorKind};

use crate::connect::Failure;

/// A failed request.
#[derive(Debug)]
pub struct Fault {
    /// What the failure means for the attempt.
    pub error: AgentError,
    /// What it means for what to do next.
    pub class: Class,
}

/// What a failed request means for what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The agent was not reached: it never saw the request.
    NotSent,
    /// No answer came: the agent may have seen the request or not.
    Lost,
    /// What came cannot be read: the agent has seen the request, and nobody knows what it does.
    Garbled,
    /// The agent asks to be left alone for a while; it did nothing.
    Busy,
    /// The agent does not know the task.
    UnknownTask,
    /// The agent does not offer the operation, or not in the task's state.
    Unsupported,
    /// The agent answered with any other error.
    Refused,
}

impl Fault {
    /// A failure to reach the agent.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self { error: AgentError::new(AgentErrorKind::Unavailable, message), class: Class::NotSent }
    }

    /// An agent that asks to be left alone, perhaps for so long.
    pub fn busy(message: impl Into<String>, retry_after: Option<Duration>) -> Self {
        let error = AgentError { retry_after, ..AgentError::new(AgentErrorKind::RateLimited, message) };
        Self { error, class: Class::Busy }
    }

    /// An answer that cannot be used, or a request that cannot be made.
    pub fn refused(kind: AgentErrorKind, message: impl Into<String>) -> Self {
        Self { error: AgentError::new(kind, message), class: Class::Refused }
    }

    /// True when the same request may succeed in a moment.
    pub const fn is_transient(&self) -> bool {
        matches!(self.class, Class::NotSent | Class::Lost | Class::Busy)
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            AgentErrorKind::Unavailable => Self::unreachable(failure.message),
            kind => Self::refused(kind, failure.message),
        }
    }
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        if let Some(failure) = connection_failure(&status) {
            return failure.clone().into();
        }
        let (kind, class) = if status.source().is_some() { transport(&status) } else { answered(&status) };
        let reason = Reason::of(&status).map_or("", Reason::as_str);
        let separator = if reason.is_empty() { "" } else { " " };
        let message = match (kind, status.source()) {
            (AgentErrorKind::Timeout, Some(_)) => "no answer to a request in time".to_owned(),
            (_, Some(cause)) => format!("the answer was lost: {}", causes(cause)),
            (_, None) => format!("{:?}{separator}{reason}: {}", status.code(), status.message()),
        };
        let mut error = AgentError::new(kind, clip(message));
        error.retry_after = retry_delay(&status);
        Self { error, class }
    }
}

impl From<AgentError> for Fault {
    fn from(error: AgentError) -> Self {
        Self { error, class: Class::Refused }
    }
}

/// An answer that breaks the protocol or a limit.
pub fn broken(message: impl Into<String>) -> AgentError {
    AgentError::new(AgentErrorKind::InvalidAnswer, clip(message.into()))
}

/// Cuts text of an agent to the length that is kept.
pub fn clip(mut text: String) -> String {
    if text.len() > MAX_MESSAGE_BYTES {
        text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES));
    }
    text
}

/// An error with its causes: HTTP libraries say little in the first.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Why our own connector gave no connection, if that is what happened.
fn connection_failure(status: &Status) -> Option<&Failure> {
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(ConnectError(inner)) = error.downcast_ref() {
            return inner.downcast_ref();
        }
        cause = error.source();
    }
    None
}

/// A failure that tonic reports on the agent's behalf: its status has a source.
fn transport(status: &Status) -> (AgentErrorKind, Class) {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return (AgentErrorKind::Unavailable, Class::NotSent);
        }
        if error.is::<TimeoutExpired>() {
            return (AgentErrorKind::Timeout, Class::Lost);
        }
        cause = error.source();
    }
    (AgentErrorKind::Unavailable, Class::Lost)
}

fn answered(status: &Status) -> (AgentErrorKind, Class) {
    match Reason::of(status) {
        Some(Reason::TaskNotFound) => (AgentErrorKind::Failed, Class::UnknownTask),
        Some(Reason::InvalidParams) => (AgentErrorKind::InvalidInput, Class::Refused),
        Some(Reason::InvalidAgentResponse) => (AgentErrorKind::InvalidAnswer, Class::Refused),
        Some(Reason::UnsupportedOperation) => (AgentErrorKind::Unsupported, Class::Unsupported),
        Some(
            Reason::ContentTypeNotSupported
            | Reason::VersionNotSupported
            | Reason::ExtensionSupportRequired
            | Reason::PushNotificationNotSupported
            | Reason::ExtendedAgentCardNotConfigured,
        ) => (AgentErrorKind::Unsupported, Class::Refused),
        Some(Reason::TaskNotCancelable) => (AgentErrorKind::Rejected, Class::Refused),
        None if is_cut(status) => (AgentErrorKind::Unavailable, Class::Lost),
        None if is_garbled(status) => (AgentErrorKind::InvalidAnswer, Class::Garbled),
        None => by_code(status.code()),
    }
}

/// Whether tonic could not read what came. It says so by a status like that of an agent; that an agent could say the same
/// does no harm.
fn is_garbled(status: &Status) -> bool {
    let begins = ["failed to decode Protobuf message", "protocol error:", "Unexpected EOF decoding stream"];
    status.code() == Code::Internal && begins.iter().any(|words| status.message().starts_with(words))
}

/// Whether the stream ended without the agent's status, because something between cut it or the agent reset it.
fn is_cut(status: &Status) -> bool {
    status.code() == Code::Unknown && status.message().starts_with("protocol error: missing grpc-status")
}

const fn by_code(code: Code) -> (AgentErrorKind, Class) {
    match code {
        Code::Unavailable => (AgentErrorKind::Unavailable, Class::Lost),
        Code::DeadlineExceeded => (AgentErrorKind::Timeout, Class::Lost),
        Code::ResourceExhausted => (AgentErrorKind::RateLimited, Class::Busy),
        Code::NotFound => (AgentErrorKind::Failed, Class::UnknownTask),
        Code::Unimplemented => (AgentErrorKind::Unsupported, Class::Unsupported),
        Code::FailedPrecondition => (AgentErrorKind::Rejected, Class::Refused),
        Code::InvalidArgument => (AgentErrorKind::InvalidInput, Class::Refused),
        Code::PermissionDenied | Code::Unauthenticated => (AgentErrorKind::Unauthorized, Class::Refused),
        // What tonic answers itself when a message is larger than the limit.
        Code::OutOfRange => (AgentErrorKind::InvalidAnswer, Class::Garbled),
        // An executor that raises comes as UNKNOWN; nothing says that it would do so again.
        Code::Unknown
        | Code::Internal
        | Code::Aborted
        | Code::Cancelled
        | Code::AlreadyExists
        | Code::DataLoss
        | Code::Ok => (AgentErrorKind::Failed, Class::Refused),
    }
}

#[cfg(test)]
mod tests {
    use tutti_a2a::error::retry_after;

    use super::*;

    #[test]
    fn the_reason_counts_before_the_code() {
        // Releases 1.0.0 and 1.0.1 of A2A give this reason different codes.
        let new = Fault::from(Reason::UnsupportedOperation.status("no"));
        assert_eq!((new.error.kind, new.class), (AgentErrorKind::Unsupported, Class::Unsupported));
        let plain = Fault::from(Status::failed_precondition("no"));
        assert_eq!((plain.error.kind, plain.class), (AgentErrorKind::Rejected, Class::Refused));
        let old = Fault::from(Status::unimplemented("no"));
        assert_eq!((old.error.kind, old.class), (AgentErrorKind::Unsupported, Class::Unsupported));
    }

    #[test]
    fn the_message_names_code_and_reason() {
        assert_eq!(Fault::from(Reason::TaskNotFound.status("gone")).error.message, "NotFound TASK_NOT_FOUND: gone");
        assert_eq!(Fault::from(Status::internal("bug")).error.message, "Internal: bug");
    }

    #[test]
    fn a_busy_agent_says_when_to_come_back() {
        let fault = Fault::from(retry_after(Code::ResourceExhausted, "busy", Duration::from_secs(2)));
        assert_eq!(fault.error.kind, AgentErrorKind::RateLimited);
        assert_eq!(fault.error.retry_after, Some(Duration::from_secs(2)));
        assert!(fault.is_transient());
    }

    #[test]
    fn what_tonic_makes_of_a_broken_connection_is_lost_not_an_answer() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let fault = Fault::from(Status::from_error(Box::new(reset)));
        assert_eq!((fault.error.kind, fault.class), (AgentErrorKind::Unavailable, Class::Lost));
        let refused = ConnectError(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)));
        let fault = Fault::from(Status::from_error(Box::new(refused)));
        assert_eq!((fault.error.kind, fault.class), (AgentErrorKind::Unavailable, Class::NotSent));
    }

    #[test]
    fn a_request_that_took_too_long_says_so() {
        let fault = Fault::from(Status::from_error(Box::new(TimeoutExpired(()))));
        assert_eq!((fault.error.kind, fault.class), (AgentErrorKind::Timeout, Class::Lost));
    }

    #[test]
    fn what_cannot_be_read_is_an_invalid_answer_and_what_was_cut_a_lost_one() {
        for text in ["failed to decode Protobuf message: invalid varint", "protocol error: received message with"] {
            let fault = Fault::from(Status::internal(text));
            assert_eq!((fault.error.kind, fault.class), (AgentErrorKind::InvalidAnswer, Class::Garbled), "{text}");
        }
        let cut = Fault::from(Status::unknown("protocol error: missing grpc-status trailer, stream was terminated"));
        assert_eq!((cut.error.kind, cut.class), (AgentErrorKind::Unavailable, Class::Lost));
        let said = Fault::from(Status::internal("protocol errors are my own"));
        assert_eq!((said.error.kind, said.class), (AgentErrorKind::Failed, Class::Refused));
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let text = clip("é".repeat(MAX_MESSAGE_BYTES));
        assert_eq!(text.len(), MAX_MESSAGE_BYTES);
        assert_eq!(clip(format!("a{}", "é".repeat(MAX_MESSAGE_BYTES))).len(), MAX_MESSAGE_BYTES - 1);
    }
}
