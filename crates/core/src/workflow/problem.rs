//! What is wrong with a workflow, said so that its author finds the place.

use std::fmt;

use serde::Serialize;

/// A finding about a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether it stops the workflow from running.
    pub severity: Severity,
    /// Where in the file, if it came from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The step at fault, by id, or by its number in the list (`#3`, from 1) when it has no usable id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The field at fault, as a path inside the step or the workflow, such as `retry.backoff`.
    pub field: String,
    /// What is wrong and what would be right.
    pub reason: String,
    /// Index of the step in the list, to find its place.
    #[serde(skip)]
    pub(super) step_index: Option<usize>,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The workflow is refused.
    Error,
    /// The workflow runs, perhaps not as meant.
    Warning,
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Problem {
    /// An error about the workflow as a whole.
    pub(crate) fn error(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            position: None,
            step: None,
            field: field.into(),
            reason: reason.into(),
            step_index: None,
        }
    }

    /// An error about one step.
    pub fn in_step(index: usize, id: impl fmt::Display, field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { step: Some(id.to_string()), step_index: Some(index), ..Self::error(field, reason) }
    }

    /// A finding that was made elsewhere, such as by a server.
    #[must_use]
    pub fn found(
        severity: Severity,
        position: Option<Position>,
        step: Option<String>,
        field: String,
        reason: String,
    ) -> Self {
        Self { severity, position, step, field, reason, step_index: None }
    }

    /// The same finding as a warning.
    #[must_use]
    pub fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// True if the workflow is refused for it.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}: ")?;
        }
        f.write_str(match self.severity {
            Severity::Error => "error: ",
            Severity::Warning => "warning: ",
        })?;
        if let Some(step) = &self.step {
            write!(f, "step {step}: ")?;
        }
        if self.field.is_empty() { f.write_str(&self.reason) } else { write!(f, "{}: {}", self.field, self.reason) }
    }
}

/// serde_json's message without its "at line 1 column 5", which would speak of the field's text, not the file's.
pub(super) fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
