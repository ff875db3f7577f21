//! Why something was not done, in the words of A2A.

use tonic::Status;
use tutti_a2a::error::{Reason, invalid_params};
use tutti_core::ports::inbound::RequestError;

use crate::api::errors::status;

/// A parameter is wrong.
pub(super) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Status {
    invalid_params([(field.into(), reason.into())])
}

/// What a port said of a task.
pub(super) fn of_task(error: &RequestError) -> Status {
    match error {
        RequestError::NotFound(_) => Reason::TaskNotFound.status("there is no such task"),
        RequestError::NotAllowed(why) => Reason::UnsupportedOperation.status(why),
        error => other(error),
    }
}

/// What a port said of a message that was to start a run. Its parts hold the inputs, whatever the port calls them.
pub(super) fn of_start(error: &RequestError) -> Status {
    match error {
        RequestError::NotFound(what) => invalid("metadata.skill_id", format!("there is no {what}")),
        RequestError::NotAllowed(why) => Reason::UnsupportedOperation.status(why),
        RequestError::AlreadyExists { .. } => {
            invalid("message.message_id", "was used before, for a message with another content")
        }
        RequestError::Invalid(violations) => invalid_params(violations.iter().map(|wrong| {
            let field = wrong
                .field
                .strip_prefix("inputs_json")
                .map_or_else(|| wrong.field.clone(), |rest| format!("inputs{rest}"));
            (field, wrong.reason.clone())
        })),
        error => other(error),
    }
}

fn other(error: &RequestError) -> Status {
    match error {
        RequestError::Invalid(violations) => {
            invalid_params(violations.iter().map(|wrong| (wrong.field.clone(), wrong.reason.clone())))
        }
        error => status(error),
    }
}

pub(super) fn no_push() -> Status {
    Reason::PushNotificationNotSupported.status("this agent does not push; subscribe to the task instead")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;
    use tutti_core::value::Digest;

    #[test]
    fn errors_have_the_reasons_of_the_protocol() {
        let not_found = RequestError::NotFound("run x".to_owned());
        assert_eq!(Reason::of(&of_task(&not_found)), Some(Reason::TaskNotFound));
        assert_eq!(Reason::of(&of_start(&not_found)), Some(Reason::InvalidParams));
        let not_allowed = RequestError::NotAllowed("it ended".to_owned());
        assert_eq!(Reason::of(&of_task(&not_allowed)), Some(Reason::UnsupportedOperation));
        let digest = Digest::of(b"");
        let twice = RequestError::AlreadyExists { what: "request".to_owned(), existing: digest, given: digest };
        assert_eq!(tutti_a2a::error::violations(&of_start(&twice))[0].0, "message.message_id");
        let wrong = of_start(&RequestError::invalid("inputs_json.a", "is required"));
        assert_eq!(tutti_a2a::error::violations(&wrong)[0].0, "inputs.a");
        assert_eq!(of_task(&RequestError::Unavailable("later".to_owned())).code(), Code::Unavailable);
    }
}
