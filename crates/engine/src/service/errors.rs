//! What goes wrong inside, as callers are told.

use tutti_core::ports::inbound::{RequestError, Violation};
use tutti_core::ports::store::StoreError;
use tutti_core::run::{Fault, Refusal};
use tutti_core::workflow::Problem;

use crate::engine::EngineError;

/// What is wrong with a workflow, by field.
pub(super) fn of_workflow(problems: &[Problem]) -> RequestError {
    let violation = |problem: &Problem| {
        let mut field = "workflow".to_owned();
        for part in problem.step.iter().map(|step| format!("steps[{step}]")).chain([problem.field.clone()]) {
            if !part.is_empty() {
                field = format!("{field}.{part}");
            }
        }
        let place = problem.position.map(|at| format!("line {}, column {}: ", at.line, at.column)).unwrap_or_default();
        Violation { field, reason: format!("{place}{}", problem.reason) }
    };
    RequestError::Invalid(problems.iter().filter(|problem| problem.is_error()).map(violation).collect())
}

#[expect(clippy::needless_pass_by_value, reason = "stands in map_err")]
pub(super) fn of_store(error: StoreError) -> RequestError {
    match error {
        StoreError::BadCursor => RequestError::invalid("page_token", "was not given out by this server"),
        StoreError::Unavailable(_) | StoreError::InUse(_) => RequestError::Unavailable(error.to_string()),
        StoreError::Permanent(_) | StoreError::Corrupt(_) => RequestError::Damaged(error.to_string()),
    }
}

pub(super) fn of_engine(error: EngineError) -> RequestError {
    match error {
        EngineError::Store(error) => of_store(error),
        EngineError::NotFound(run) => RequestError::NotFound(format!("run {run}")),
        EngineError::Rejected(rejection) => of_refusal((&rejection).into()),
        EngineError::Refused(refusal) => of_refusal(refusal),
        EngineError::Quarantined(_) | EngineError::TooNew { .. } | EngineError::OlderServers { .. } => {
            RequestError::NotAllowed(error.to_string())
        }
        EngineError::QueueFull { retry_after, .. } => {
            RequestError::Exhausted { reason: error.to_string(), retry_after: Some(retry_after) }
        }
        EngineError::NotLive(_) | EngineError::NoSlots | EngineError::ShuttingDown | EngineError::KeyHeld(_) => {
            RequestError::Unavailable(error.to_string())
        }
        EngineError::Damaged { .. } | EngineError::Definition { .. } => RequestError::Damaged(error.to_string()),
    }
}

/// The same answer, whichever server has the run.
fn of_refusal(Refusal { fault, reason }: Refusal) -> RequestError {
    match fault {
        Fault::State => RequestError::NotAllowed(reason),
        Fault::Field(field) => RequestError::invalid(field, reason),
        Fault::Caller => RequestError::Denied(reason),
    }
}
