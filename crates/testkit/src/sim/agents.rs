//! Agents that outlive the servers that call them.

use std::collections::HashMap;

use tutti_core::ports::agent::{AgentError, AgentErrorKind};
use tutti_core::time::Timestamp;
use tutti_core::value::Json;

/// The tasks that agents hold, by message id.
#[derive(Debug, Default)]
pub(super) struct Agents {
    tasks: HashMap<String, Task>,
}

/// A task as its agent knows it.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) ends_at: Timestamp,
    pub(super) outcome: Outcome,
}

/// How a task ends.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Completed(Json),
    Failed(AgentError),
    Asks,
}

impl Agents {
    /// The task of a message, if the agent got it.
    pub(super) fn find(&self, message: &str) -> Option<&Task> {
        self.tasks.get(message)
    }

    /// Takes a message; `false` if it came before.
    pub(super) fn take(&mut self, message: String, task: Task) -> bool {
        self.tasks.insert(message, task).is_none()
    }

    /// How many tasks there are.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }
}

/// A failure that another attempt may mend.
pub(super) fn passing_failure(chance: u64) -> AgentError {
    use AgentErrorKind::{EmptyAnswer, Failed, RateLimited, Timeout, Unavailable};
    let kind = [Unavailable, Timeout, Failed, EmptyAnswer, RateLimited][(chance % 5) as usize];
    let retry_after = (kind == RateLimited).then(|| std::time::Duration::from_millis(700));
    AgentError { kind, message: "simulated".into(), retry_after }
}
