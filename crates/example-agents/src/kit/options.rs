//! What tests ask of an agent through its environment.

use std::path::PathBuf;
use std::time::Duration;

/// The environment variable of [`Instruments::delay`], in milliseconds.
const DELAY: &str = "TUTTI_EXAMPLE_DELAY_MS";

/// The environment variable of [`Instruments::call_log`].
const CALL_LOG: &str = "TUTTI_EXAMPLE_CALL_LOG";

/// Makes an agent slow, so that a test can act in the middle of a task, and its calls countable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instruments {
    /// Time that passes before the work on each message, with progress told.
    pub delay: Duration,
    /// A file that gets one line of JSON per message whose work starts: `{time, agent, skill, message_id, context_id,
    /// task_id}`, the time in microseconds since 1970.
    pub call_log: Option<PathBuf>,
}

impl Instruments {
    /// Reads `TUTTI_EXAMPLE_DELAY_MS` and `TUTTI_EXAMPLE_CALL_LOG`.
    ///
    /// # Errors
    /// A delay that is not a whole number of milliseconds.
    pub fn from_env() -> Result<Self, String> {
        let delay = match std::env::var(DELAY) {
            Ok(text) => text.parse().map_err(|_| format!("{DELAY} is not a number of milliseconds: {text:?}"))?,
            Err(_) => 0,
        };
        let call_log = std::env::var_os(CALL_LOG).filter(|path| !path.is_empty()).map(Into::into);
        Ok(Self { delay: Duration::from_millis(delay), call_log })
    }
}
