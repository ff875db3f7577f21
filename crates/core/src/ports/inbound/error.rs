//! Why something that was asked was not done.

use std::time::Duration;

use crate::value::Digest;

/// Why something that was asked was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Something given is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Violation>),
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// Something else stands under the name or the request id that was given.
    #[error("{what} exists already: its content has the hash {existing}, what was given has {given}")]
    AlreadyExists {
        /// What exists.
        what: String,
        /// The hash of what stands there.
        existing: Digest,
        /// The hash of what was given.
        given: Digest,
    },
    /// The state of what is asked for does not allow it.
    #[error("{0}")]
    NotAllowed(String),
    /// The caller may not do that.
    #[error("{0}")]
    Denied(String),
    /// There is too much of something; after the time that is named it may be possible.
    #[error("{reason}")]
    Exhausted {
        /// Of what.
        reason: String,
        /// When to ask again.
        retry_after: Option<Duration>,
    },
    /// It may be possible later; asking again is safe.
    #[error("{0}")]
    Unavailable(String),
    /// What is kept cannot be used.
    #[error("{0}")]
    Damaged(String),
}

/// A field of a request and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Violation {
    /// The field as a path, such as `workflow.steps[2].retry`.
    pub field: String,
    /// What is wrong and what would be right (may hold untrusted text).
    pub reason: String,
}

impl RequestError {
    /// One field is wrong.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation { field: field.into(), reason: reason.into() }])
    }
}
