//! How a command ends: its exit code, and what it says when it cannot do what it was asked.

use std::fmt;
use std::process::ExitCode;

use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::store::StoreError;
use tutti_core::run::RunStatus;

/// The exit code of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: the run failed.
    RunFailed,
    /// 1: something that was looked at is not as it should be.
    Unsound,
    /// 2: the command, a file or a value that it was given is wrong.
    Usage,
    /// 4: the run was cancelled or terminated.
    Cancelled,
    /// 5: the run waits for a person.
    Waiting,
    /// 6: an undo failed, an outcome is unknown or the run was set aside; an operator must decide.
    Undecided,
    /// 69: the store, a server or an agent that is needed cannot be used.
    Unavailable,
    /// 74: the answer could not be written.
    Output,
    /// 77: the caller may not do that.
    Denied,
    /// 128 + the number of the signal that stopped the command.
    Signal(u8),
}

impl Exit {
    /// What a run in this state means for the command that drove it.
    pub const fn of_run(status: RunStatus) -> Self {
        match status {
            RunStatus::Completed => Self::Done,
            RunStatus::Cancelled | RunStatus::Terminated => Self::Cancelled,
            RunStatus::Waiting | RunStatus::Paused => Self::Waiting,
            RunStatus::Stuck | RunStatus::Quarantined => Self::Undecided,
            RunStatus::Pending | RunStatus::Running | RunStatus::Failed => Self::RunFailed,
        }
    }

    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::RunFailed | Self::Unsound => 1,
            Self::Usage => 2,
            Self::Cancelled => 4,
            Self::Waiting => 5,
            Self::Undecided => 6,
            Self::Unavailable => 69,
            Self::Output => 74,
            Self::Denied => 77,
            Self::Signal(number) => 128 + number,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command could not do what it was asked, and what to type next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    message: String,
    next: Option<String>,
}

/// What a command comes to.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// Something given is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into(), next: None }
    }

    /// With this exit code.
    pub fn of(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), next: None }
    }

    /// The store or an agent cannot be used.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { exit: Exit::Unavailable, message: message.into(), next: None }
    }

    /// The answer cannot be written.
    pub fn output(message: impl Into<String>) -> Self {
        Self { exit: Exit::Output, message: message.into(), next: None }
    }

    /// There is nothing to say.
    pub const fn quiet(exit: Exit) -> Self {
        Self { exit, message: String::new(), next: None }
    }

    /// What went wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do next.
    pub fn advice(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// True if there is nothing to say.
    pub const fn is_quiet(&self) -> bool {
        self.message.is_empty()
    }

    /// Somebody must decide what becomes of the run.
    pub fn undecided(message: impl Into<String>) -> Self {
        Self { exit: Exit::Undecided, message: message.into(), next: None }
    }

    /// Adds what to do next.
    pub fn next(self, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        self.next.as_ref().map_or(Ok(()), |next| write!(f, "\nnext:  {next}"))
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Unavailable(_) | RequestError::Exhausted { .. } | RequestError::Damaged(_) => {
                Self::unavailable(error.to_string())
            }
            RequestError::Invalid(_)
            | RequestError::NotFound(_)
            | RequestError::AlreadyExists { .. }
            | RequestError::NotAllowed(_) => Self::usage(error.to_string()),
            RequestError::Denied(_) => Self::of(Exit::Denied, error.to_string()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::BadCursor => {
                Self::usage("the cursor is not one that this store gave out").next("leave --cursor out")
            }
            StoreError::InUse(_) => Self::unavailable(error.to_string()).next(
                "if it is a server, ask it by --server URL; else wait until it ends, or name another store by --store",
            ),
            StoreError::Corrupt(_) => Self::unavailable(error.to_string()).next("restore the store from a copy"),
            StoreError::Unavailable(_) | StoreError::Permanent(_) => Self::unavailable(error.to_string())
                .next("look whether it is there and lets you in, or name another store by --store"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_and_what_next() {
        let failure = Failure::usage("there is no file \"x\"").next("tutti lint y");
        assert_eq!(failure.to_string(), "error: there is no file \"x\"\nnext:  tutti lint y");
        assert_eq!(failure.exit.code(), 2);
        assert_eq!(Exit::Signal(2).code(), 130);
    }
}
