//! What is checked of a decision before it goes to the run: its form, which the heart does not know.

use tutti_core::limits::INLINE_BYTES;
use tutti_core::ports::inbound::{RequestError, Violation};
use tutti_core::report::RunView;
use tutti_core::value::Json;

/// Checks the data that are given with a decision. Who may decide, and whether anything is asked, the run says itself.
///
/// # Errors
/// [`RequestError::Invalid`] for data that are too large, or that do not fulfil the form of the step that is approved.
pub fn check_decision(view: &RunView, step: &str, approved: bool, data: Option<&Json>) -> Result<(), RequestError> {
    if let Some(bytes) = data.map(|data| data.as_str().len()).filter(|bytes| *bytes > INLINE_BYTES) {
        return Err(RequestError::invalid("data_json", format!("has {bytes} bytes; {INLINE_BYTES} are allowed")));
    }
    let problems = if approved { view.form_problems(step, data) } else { Vec::new() };
    if problems.is_empty() {
        return Ok(());
    }
    let violation =
        |(place, reason): (String, String)| Violation { field: place.replacen("data", "data_json", 1), reason };
    Err(RequestError::Invalid(problems.into_iter().map(violation).collect()))
}
