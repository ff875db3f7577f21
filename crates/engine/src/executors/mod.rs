//! The three executors: what each asks of the one driver, as a policy.

mod basic;
mod dynamic;
mod parallel;

use tutti_core::schedule::Policy;
use tutti_core::workflow::{Executor, Workflow};

/// The policy of a run of a workflow under an executor. `auto` stands for `parallel` here: whoever starts a run chooses
/// before.
#[must_use]
pub fn policy(workflow: &Workflow, executor: Executor) -> Policy {
    let preset = match executor {
        Executor::Basic => basic::policy(),
        Executor::Parallel | Executor::Auto => parallel::policy(workflow.max_concurrent_tasks),
        Executor::Dynamic => dynamic::policy(workflow.max_concurrent_tasks),
    };
    Policy { on_error: workflow.on_error.unwrap_or(preset.on_error), ..preset }
}
