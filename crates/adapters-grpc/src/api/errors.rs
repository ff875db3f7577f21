//! Refusals of the core as status codes with `google.rpc` details, and the checks that many requests have in common.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use tonic::{Code, Status};
use tutti_a2a::rpc::ErrorInfo;
use tutti_core::ids::{RequestId, RunId};
use tutti_core::ports::inbound::{RequestError, Violation};

/// When a caller that was refused for want of something may ask again, if nothing better is known.
const RETRY: Duration = Duration::from_secs(1);

/// Longest message of a status, in bytes. It travels in a header, once in the clear and once in the details, and common
/// clients refuse more than 8 KiB of headers.
const MAX_MESSAGE: usize = 1_536;

/// Most bytes of fields and reasons in the details of a status; for the same reason.
const MAX_DETAILS: usize = 2_048;

/// What the API answers to a refusal.
pub(crate) fn status(error: &RequestError) -> Status {
    let message = bounded(error.to_string(), MAX_MESSAGE);
    match error {
        RequestError::Invalid(violations) => tutti_a2a::error::bad_request(message, named(violations)),
        RequestError::NotFound(_) => Status::new(Code::NotFound, message),
        RequestError::AlreadyExists { existing, given, .. } => {
            let metadata = [(tutti_api::EXISTING_HASH, existing), (tutti_api::GIVEN_HASH, given)];
            let metadata = metadata.map(|(name, hash)| (name.to_owned(), hash.to_string())).into();
            tutti_a2a::error::with_info(Code::AlreadyExists, message, &info(tutti_api::ALREADY_EXISTS, metadata))
        }
        RequestError::NotAllowed(_) => Status::new(Code::FailedPrecondition, message),
        RequestError::Denied(_) => Status::new(Code::PermissionDenied, message),
        RequestError::Exhausted { retry_after, .. } => {
            tutti_a2a::error::retry_after(Code::ResourceExhausted, message, retry_after.unwrap_or(RETRY))
        }
        RequestError::Unavailable(_) => Status::new(Code::Unavailable, message),
        RequestError::Damaged(_) => Status::new(Code::DataLoss, message),
    }
}

/// The first violations, as far as there is room; at least one.
fn named(violations: &[Violation]) -> Vec<(String, String)> {
    let mut room = MAX_DETAILS;
    let mut named = Vec::new();
    for Violation { field, reason } in violations {
        let (field, reason) = (bounded(field.clone(), MAX_DETAILS / 4), bounded(reason.clone(), MAX_DETAILS / 2));
        let size = field.len() + reason.len();
        if size > room && !named.is_empty() {
            break;
        }
        room = room.saturating_sub(size);
        named.push((field, reason));
    }
    named
}

/// A text of at most so many bytes.
fn bounded(mut text: String, max: usize) -> String {
    const CUT: &str = "…";
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max - CUT.len()));
        text.push_str(CUT);
    }
    text
}

/// A reason for programs, in the domain of this API.
pub(super) fn info(reason: &str, metadata: HashMap<String, String>) -> ErrorInfo {
    ErrorInfo { reason: reason.to_owned(), domain: tutti_api::ERROR_DOMAIN.to_owned(), metadata }
}

/// One field of a request is wrong.
pub(super) fn wrong(field: &str, reason: impl Into<String>) -> Status {
    status(&RequestError::invalid(field, reason))
}

/// A field that is read from text.
pub(super) fn parsed<T: FromStr>(field: &str, text: &str, must: &str) -> Result<T, Status> {
    text.parse().map_err(|_| wrong(field, must))
}

/// A field that is read from text and says itself what is wrong with it.
pub(super) fn read<T: FromStr<Err: std::fmt::Display>>(field: &str, text: &str) -> Result<T, Status> {
    text.parse().map_err(|error: T::Err| wrong(field, error.to_string()))
}

/// As [`read`]; `None` for an empty text.
pub(super) fn read_some<T: FromStr<Err: std::fmt::Display>>(field: &str, text: &str) -> Result<Option<T>, Status> {
    if text.is_empty() { Ok(None) } else { read(field, text).map(Some) }
}

/// The field `run_id` of a request.
pub(super) fn run_id(text: &str) -> Result<RunId, Status> {
    parsed("run_id", text, "must be a run id, a UUID")
}

/// The field `request_id` of a request that changes something.
pub(super) fn request_id(text: &str) -> Result<RequestId, Status> {
    parsed("request_id", text, "must be a UUID that the caller made for this request")
}

/// The field `page_size` of a request.
pub(super) fn page_size(size: u32) -> Result<usize, Status> {
    /// Most things on a page.
    const MAX: u32 = 1_000;
    if size > MAX {
        return Err(wrong("page_size", format!("must be at most {MAX}")));
    }
    Ok(size as usize)
}

/// `None` for an empty text.
pub(super) fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// A text that is recorded.
pub(super) fn short(field: &str, text: &str) -> Result<(), Status> {
    /// Longest, in bytes.
    const MAX: usize = tutti_core::limits::MAX_MESSAGE_BYTES;
    if text.len() > MAX {
        return Err(wrong(field, format!("must be at most {MAX} bytes")));
    }
    Ok(())
}

/// The field `reason` of a request by which something is wanted.
pub(super) fn required_reason(reason: &str) -> Result<(), Status> {
    short("reason", reason)?;
    if reason.trim().is_empty() {
        return Err(wrong("reason", "is required: it is recorded"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_core::value::Digest;

    #[test]
    fn errors_have_the_codes_and_details_that_the_api_names() {
        let refused = wrong("workflow.id", "is missing");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(tutti_a2a::error::violations(&refused), [("workflow.id".to_owned(), "is missing".to_owned())]);
        assert_eq!(status(&RequestError::NotFound("x".into())).code(), Code::NotFound);
        assert_eq!(status(&RequestError::NotAllowed("x".into())).code(), Code::FailedPrecondition);
        assert_eq!(status(&RequestError::Denied("x".into())).code(), Code::PermissionDenied);
        assert_eq!(status(&RequestError::Unavailable("x".into())).code(), Code::Unavailable);
        assert_eq!(status(&RequestError::Damaged("x".into())).code(), Code::DataLoss);

        let (existing, given) = (Digest::of(b"a"), Digest::of(b"b"));
        let exists = status(&RequestError::AlreadyExists { what: "version 1".into(), existing, given });
        let told = tutti_a2a::error::info(&exists).unwrap();
        assert_eq!((exists.code(), told.reason.as_str()), (Code::AlreadyExists, "ALREADY_EXISTS"));
        assert_eq!(told.metadata["existing_hash"], existing.to_string());
        assert_eq!(told.metadata["given_hash"], given.to_string());

        for (retry_after, expected) in [(None, RETRY), (Some(Duration::from_secs(7)), Duration::from_secs(7))] {
            let exhausted = status(&RequestError::Exhausted { reason: "runs".into(), retry_after });
            assert_eq!(exhausted.code(), Code::ResourceExhausted);
            assert_eq!(tutti_a2a::error::retry_delay(&exhausted), Some(expected));
        }
    }

    #[test]
    fn a_refusal_fits_into_the_headers_that_clients_take() {
        let many = |n: usize, reason: &str| {
            let violation = |n| Violation { field: format!("workflow.steps[{n}].retry"), reason: reason.to_owned() };
            status(&RequestError::Invalid((0..n).map(violation).collect()))
        };
        for refused in [many(100, "must be a number from 1 to 100"), many(1, &"é".repeat(5_000))] {
            let headers = refused.clone().into_http::<()>().into_parts().0.headers;
            let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
            assert!(size < 16 * 1024, "{size}");
            assert!(!tutti_a2a::error::violations(&refused).is_empty() && refused.message().ends_with('…'));
        }
        let headers = many(100, "must be a number from 1 to 100").into_http::<()>().into_parts().0.headers;
        assert!(headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum::<usize>() < 8 * 1024);
        assert!(!many(3, "is missing").message().contains('…'));
    }

    #[test]
    fn what_cannot_be_read_names_its_field() {
        let field = |status: Status| tutti_a2a::error::violations(&status).remove(0).0;
        assert_eq!(field(run_id("x").unwrap_err()), "run_id");
        assert_eq!(field(request_id("").unwrap_err()), "request_id");
        assert_eq!(field(page_size(1_001).unwrap_err()), "page_size");
        assert_eq!(field(short("reason", &"x".repeat(5_000)).unwrap_err()), "reason");
        assert_eq!(read_some::<RunId>("run_id", "").unwrap(), None);
    }
}
