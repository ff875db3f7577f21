//! What every server and client of A2A knows of tasks: which states end one, how much of its history is told, how long a
//! page of a list may be.

use tonic::Status;

use crate::error::invalid_params;
use crate::v1::{Task, TaskState, TaskStatus};

/// The most tasks of one page of a list (specification, "List Tasks").
pub const MAX_PAGE: usize = 100;

/// The tasks of a page whose size is not told.
pub const DEFAULT_PAGE: usize = 50;

/// The state of a task; unspecified if it has none.
#[must_use]
pub fn state_of(task: &Task) -> TaskState {
    task.status.as_ref().map_or(TaskState::Unspecified, TaskStatus::state)
}

/// Whether a task in this state never changes again.
#[must_use]
pub const fn is_terminal(state: TaskState) -> bool {
    matches!(state, TaskState::Completed | TaskState::Failed | TaskState::Canceled | TaskState::Rejected)
}

/// Whether a task in this state waits for a message.
#[must_use]
pub const fn is_interrupted(state: TaskState) -> bool {
    matches!(state, TaskState::InputRequired | TaskState::AuthRequired)
}

/// Leaves the newest `length` messages in the history; all when it is not told.
///
/// # Errors
/// INVALID_PARAMS for a negative length.
pub fn with_history(mut task: Task, length: Option<i32>) -> Result<Task, Status> {
    if let Some(length) = length {
        let surplus = task.history.len().saturating_sub(history_length(length)?);
        task.history.drain(..surplus);
    }
    Ok(task)
}

/// The field `history_length` of a request.
///
/// # Errors
/// INVALID_PARAMS if it is negative.
pub fn history_length(length: i32) -> Result<usize, Status> {
    usize::try_from(length).map_err(|_| invalid_params([("history_length".to_owned(), "is negative".to_owned())]))
}

/// The field `page_size` of a list: 1 to [`MAX_PAGE`], [`DEFAULT_PAGE`] if it is not told.
///
/// # Errors
/// INVALID_PARAMS for any other number.
pub fn page_size(size: Option<i32>) -> Result<usize, Status> {
    let Some(size) = size else { return Ok(DEFAULT_PAGE) };
    usize::try_from(size).ok().filter(|size| (1..=MAX_PAGE).contains(size)).ok_or_else(|| {
        invalid_params([("page_size".to_owned(), format!("is {size}, it must be from 1 to {MAX_PAGE}"))])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::Message;

    #[test]
    fn the_newest_messages_are_left() {
        let message = |id: &str| Message { message_id: id.to_owned(), ..Default::default() };
        let task = Task { history: vec![message("a"), message("b")], ..Default::default() };
        let left = |length| -> Vec<String> {
            let task = with_history(task.clone(), length).unwrap();
            task.history.into_iter().map(|message| message.message_id).collect()
        };
        assert_eq!((left(None).len(), left(Some(0)).len(), left(Some(9)).len()), (2, 0, 2));
        assert_eq!(left(Some(1)), ["b"]);
        assert!(with_history(task, Some(-1)).is_err());
    }

    #[test]
    fn pages_hold_one_to_a_hundred() {
        assert_eq!(page_size(None).unwrap(), DEFAULT_PAGE);
        assert_eq!(page_size(Some(100)).unwrap(), 100);
        for wrong in [0, 101, -1] {
            assert!(page_size(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_state_ends_a_task_or_waits_or_neither() {
        for state in [TaskState::Unspecified, TaskState::Submitted, TaskState::Working] {
            assert!(!is_terminal(state) && !is_interrupted(state));
        }
        assert!(is_terminal(TaskState::Rejected) && is_interrupted(TaskState::AuthRequired));
    }
}
