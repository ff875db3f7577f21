//! Errors of A2A as gRPC carries them: a status code and, in its details, a `google.rpc.ErrorInfo`.
//!
//! A client branches on the reason first and on the code second, because the codes of three reasons changed between
//! the releases 1.0.0 and 1.0.1 of the specification.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use prost::{Message, Name};
use tonic::{Code, Status};

use crate::rpc;

/// The domain of every A2A reason.
pub const DOMAIN: &str = "a2a-protocol.org";

/// Why an agent refused or failed a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No such task, or not the caller's.
    TaskNotFound,
    /// The task is in a state from which it cannot be cancelled.
    TaskNotCancelable,
    /// The agent does not push updates.
    PushNotificationNotSupported,
    /// The agent does not offer this operation, or not in the task's state.
    UnsupportedOperation,
    /// A media type that the agent does not take.
    ContentTypeNotSupported,
    /// The agent produced something that breaks the protocol.
    InvalidAgentResponse,
    /// The agent has no extended card.
    ExtendedAgentCardNotConfigured,
    /// The agent insists on an extension that the caller did not name.
    ExtensionSupportRequired,
    /// The agent does not speak this version of the protocol.
    VersionNotSupported,
    /// A parameter is missing or wrong (not in the list of the specification, but what the public SDKs send).
    InvalidParams,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::TaskNotFound,
        Self::TaskNotCancelable,
        Self::PushNotificationNotSupported,
        Self::UnsupportedOperation,
        Self::ContentTypeNotSupported,
        Self::InvalidAgentResponse,
        Self::ExtendedAgentCardNotConfigured,
        Self::ExtensionSupportRequired,
        Self::VersionNotSupported,
        Self::InvalidParams,
    ];

    /// The reason as `ErrorInfo.reason` spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TaskNotFound => "TASK_NOT_FOUND",
            Self::TaskNotCancelable => "TASK_NOT_CANCELABLE",
            Self::PushNotificationNotSupported => "PUSH_NOTIFICATION_NOT_SUPPORTED",
            Self::UnsupportedOperation => "UNSUPPORTED_OPERATION",
            Self::ContentTypeNotSupported => "CONTENT_TYPE_NOT_SUPPORTED",
            Self::InvalidAgentResponse => "INVALID_AGENT_RESPONSE",
            Self::ExtendedAgentCardNotConfigured => "EXTENDED_AGENT_CARD_NOT_CONFIGURED",
            Self::ExtensionSupportRequired => "EXTENSION_SUPPORT_REQUIRED",
            Self::VersionNotSupported => "VERSION_NOT_SUPPORTED",
            Self::InvalidParams => "INVALID_PARAMS",
        }
    }

    /// The status code a server of version 1.0.1 answers with.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::TaskNotFound => Code::NotFound,
            Self::ContentTypeNotSupported | Self::InvalidParams => Code::InvalidArgument,
            Self::InvalidAgentResponse => Code::Internal,
            Self::TaskNotCancelable
            | Self::PushNotificationNotSupported
            | Self::UnsupportedOperation
            | Self::ExtendedAgentCardNotConfigured
            | Self::ExtensionSupportRequired
            | Self::VersionNotSupported => Code::FailedPrecondition,
        }
    }

    /// The status of this reason, for a server to answer with.
    #[must_use]
    pub fn status(self, message: impl Into<String>) -> Status {
        let info =
            rpc::ErrorInfo { reason: self.as_str().to_owned(), domain: DOMAIN.to_owned(), metadata: HashMap::new() };
        with_details(self.code(), message, &[any(&info)])
    }

    /// The reason a server gave; `None` when it gave none, or one that is not known here.
    #[must_use]
    pub fn of(status: &Status) -> Option<Self> {
        let info: rpc::ErrorInfo = detail(status)?;
        if info.domain != DOMAIN {
            return None;
        }
        Self::ALL.into_iter().find(|reason| reason.as_str() == info.reason)
    }
}

/// A status that asks the caller to come back after `delay`.
#[must_use]
pub fn retry_after(code: Code, message: impl Into<String>, delay: Duration) -> Status {
    let info = rpc::RetryInfo { retry_delay: prost_types::Duration::try_from(delay).ok() };
    with_details(code, message, &[any(&info)])
}

/// How long the server asks to wait before the next try, if it says so.
#[must_use]
pub fn retry_delay(status: &Status) -> Option<Duration> {
    let info: rpc::RetryInfo = detail(status)?;
    info.retry_delay?.try_into().ok()
}

/// A status that names the fields of the request that are wrong, each with the reason.
#[must_use]
pub fn bad_request(message: impl Into<String>, violations: impl IntoIterator<Item = (String, String)>) -> Status {
    let violation = |(field, description)| rpc::bad_request::FieldViolation { field, description };
    let request = rpc::BadRequest { field_violations: violations.into_iter().map(violation).collect() };
    with_details(Code::InvalidArgument, message, &[any(&request)])
}

/// The status of [`Reason::InvalidParams`] that names the fields that are wrong, each with the reason: what the public
/// SDKs answer with.
#[must_use]
pub fn invalid_params(violations: impl IntoIterator<Item = (String, String)>) -> Status {
    let violation = |(field, description)| rpc::bad_request::FieldViolation { field, description };
    let request = rpc::BadRequest { field_violations: violations.into_iter().map(violation).collect() };
    let lines: Vec<String> =
        request.field_violations.iter().map(|wrong| format!("{}: {}", wrong.field, wrong.description)).collect();
    let reason = Reason::InvalidParams;
    let info =
        rpc::ErrorInfo { reason: reason.as_str().to_owned(), domain: DOMAIN.to_owned(), metadata: HashMap::new() };
    with_details(reason.code(), lines.join("\n"), &[any(&info), any(&request)])
}

/// The fields that a server finds wrong, each with the reason; empty if it names none.
#[must_use]
pub fn violations(status: &Status) -> Vec<(String, String)> {
    let request: rpc::BadRequest = detail(status).unwrap_or_default();
    request.field_violations.into_iter().map(|violation| (violation.field, violation.description)).collect()
}

/// A status with a reason for programs.
#[must_use]
pub fn with_info(code: Code, message: impl Into<String>, info: &rpc::ErrorInfo) -> Status {
    with_details(code, message, &[any(info)])
}

/// The reason that a server gave, of whatever domain.
#[must_use]
pub fn info(status: &Status) -> Option<rpc::ErrorInfo> {
    detail(status)
}

/// The first detail of type `T` in the status.
fn detail<T: Message + Name + Default>(status: &Status) -> Option<T> {
    let details = rpc::Status::decode(status.details()).ok()?.details;
    details.iter().find_map(|any| any.to_msg().ok())
}

fn any<T: Message + Name>(message: &T) -> prost_types::Any {
    prost_types::Any { type_url: T::type_url(), value: message.encode_to_vec() }
}

fn with_details(code: Code, message: impl Into<String>, details: &[prost_types::Any]) -> Status {
    let message = message.into();
    let status = rpc::Status { code: code.into(), message: message.clone(), details: details.to_vec() };
    Status::with_details(code, message, Bytes::from(status.encode_to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_fields_survive_the_wire() {
        let status = bad_request("no", [("workflow.id".to_owned(), "is missing".to_owned())]);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(violations(&status), [("workflow.id".to_owned(), "is missing".to_owned())]);
        assert!(violations(&Status::internal("x")).is_empty());
        let status = invalid_params([("id".to_owned(), "is empty".to_owned())]);
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "id: is empty"));
        assert_eq!(Reason::of(&status), Some(Reason::InvalidParams));
        assert_eq!(violations(&status), [("id".to_owned(), "is empty".to_owned())]);
    }

    #[test]
    fn a_reason_survives_the_wire() {
        for reason in Reason::ALL {
            let status = reason.status("no");
            assert_eq!(status.code(), reason.code());
            assert_eq!(Reason::of(&status), Some(reason));
        }
    }

    #[test]
    fn a_reason_of_another_domain_is_not_ours() {
        let info = rpc::ErrorInfo {
            reason: "TASK_NOT_FOUND".to_owned(),
            domain: "example.org".to_owned(),
            metadata: HashMap::new(),
        };
        assert_eq!(Reason::of(&with_details(Code::NotFound, "no", &[any(&info)])), None);
    }

    #[test]
    fn details_that_are_missing_or_broken_are_no_reason() {
        assert_eq!(Reason::of(&Status::not_found("no")), None);
        let broken = Status::with_details(Code::NotFound, "no", Bytes::from_static(b"\xff\xff\xff"));
        assert_eq!(Reason::of(&broken), None);
    }

    #[test]
    fn the_retry_delay_survives_the_wire() {
        let status = retry_after(Code::ResourceExhausted, "busy", Duration::from_millis(1500));
        assert_eq!(retry_delay(&status), Some(Duration::from_millis(1500)));
        assert_eq!(retry_delay(&Status::resource_exhausted("busy")), None);
    }
}
