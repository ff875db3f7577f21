//! Reading workflow files.

use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};

use tutti_core::limits::MAX_WORKFLOW_BYTES;
use tutti_core::report::printable;
use tutti_core::workflow::{Document, Problem, Workflow, parse};

use crate::config::Explicit;
use crate::exit::{Failure, Result};
use crate::output::say;

/// A workflow file without errors.
pub struct WorkflowFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub workflow: Workflow,
    /// What its author should know.
    pub warnings: Vec<Problem>,
    /// Where it says what.
    pub document: Document,
    /// Which settings it makes.
    pub explicit: Explicit,
}

impl WorkflowFile {
    /// Reads a workflow to run or plan it; says its warnings.
    ///
    /// # Errors
    /// A file that cannot be read, or every problem in it.
    pub fn read(path: &Path) -> Result<Self> {
        let text = text(path)?;
        let file = Self::parse(path, &text).map_err(|problems| {
            let told = lines(path, &problems);
            Failure::usage(format!("the workflow cannot be used\n{}", told.trim_end()))
                .next(format!("put it right, then: tutti lint {}", path.display()))
        })?;
        if !file.warnings.is_empty() {
            say(lines(path, &file.warnings).trim_end());
        }
        Ok(file)
    }

    /// Reads the text of a workflow file.
    ///
    /// # Errors
    /// Every problem in it.
    pub fn parse(path: &Path, text: &str) -> std::result::Result<Self, Vec<Problem>> {
        let parsed = parse(text)?;
        let document = Document::read(text)?;
        let explicit = Explicit::of(&document.to_json());
        Ok(Self { path: path.to_owned(), workflow: parsed.workflow, warnings: parsed.warnings, document, explicit })
    }

    /// The folder of the file.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// The text of a workflow file.
///
/// # Errors
/// A file that cannot be read, is not text or is too large.
pub fn text(path: &Path) -> Result<String> {
    text_of("workflow file", path)
}

/// The text of a file of another kind, with the bounds of workflow files.
///
/// # Errors
/// As [`text`].
pub fn text_of(kind: &str, path: &Path) -> Result<String> {
    let shown = path.display();
    let refused = |why: String| Failure::usage(format!("the {kind} {shown} {why}"));
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_WORKFLOW_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| refused(format!("cannot be read: {error}")))?;
    if bytes.len() > MAX_WORKFLOW_BYTES {
        return Err(refused(format!("has more than {MAX_WORKFLOW_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| refused("is not text in UTF-8".to_owned()))
}

/// A line per problem, beginning with file, line and column.
pub fn lines(path: &Path, problems: &[Problem]) -> String {
    problems.iter().fold(String::new(), |mut lines, problem| {
        let separator = if problem.position.is_some() { ":" } else { ": " };
        let told = problem.to_string();
        let _ = writeln!(lines, "{}{separator}{}", path.display(), printable(&told));
        lines
    })
}
