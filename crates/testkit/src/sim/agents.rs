//! Agents that outlive the servers that call them.

use std::collections::HashMap;

use tutti_core::ports::agent::{AgentError, AgentErrorKind};
use tutti_core::time::Timestamp;
use tutti_core::value::Json;

/// The tasks that agents hold, by message id.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    tasks: HashMap<String, Task>,
}

/// A task as its agent knows it.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) ends_at: Timestamp,
    pub(crate) outcome: Outcome,
}

/// How a task ends.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Completed(Json),
    Failed(AgentError),
    Asks,
}

impl Agents {
    /// The task of a message, if the agent got it.
    pub(crate) fn find(&self, message: &str) -> Option<&Task> {
        self.tasks.get(message)
    }

    /// Takes a message; `false` if it came before.
    pub(crate) fn take(&mut self, message: String, task: Task) -> bool {
        self.tasks.insert(message, task).is_none()
    }

    /// A task goes on another way.
    pub(crate) fn replace(&mut self, message: String, task: Task) {
        self.tasks.insert(message, task);
    }

    /// How many tasks there are.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }
}

/// A failure that another attempt may mend.
pub(crate) fn passing_failure(chance: u64) -> AgentError {
    use AgentErrorKind::{EmptyAnswer, Failed, RateLimited, Timeout, Unavailable};
    let kind = [Unavailable, Timeout, Failed, EmptyAnswer, RateLimited][(chance % 5) as usize];
    let retry_after = (kind == RateLimited).then(|| std::time::Duration::from_millis(700));
    AgentError { kind, message: "simulated".into(), retry_after, unsent: false, usage: None }
}
