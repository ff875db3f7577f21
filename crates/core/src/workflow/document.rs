//! YAML and JSON files of other kinds, read as workflow files are.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::decode::locate;
use super::problem::{Problem, without_position};
use super::source::{Node, read};

/// A YAML or JSON text that knows where everything stood.
#[derive(Debug)]
pub struct Document {
    root: Arc<Node>,
}

impl Document {
    /// Reads a text with the rules of workflow files: YAML 1.2 or JSON, one document, no key twice, bounded.
    ///
    /// # Errors
    /// What is wrong with the text, with its place.
    pub fn read(text: &str) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        match read(text, &mut problems) {
            Some(root) if problems.is_empty() => Ok(Self { root }),
            _ => Err(problems),
        }
    }

    /// The value as JSON, numbers as they were written.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        self.root.write_json(&mut text);
        text
    }

    /// Reads the value.
    ///
    /// # Errors
    /// The first thing that does not fit, with its place.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let json = self.to_json();
        let mut reader = serde_json::Deserializer::from_str(&json);
        serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let field = error.path().to_string();
            self.problem(if field == "." { "" } else { &field }, without_position(error.inner()))
        })
    }

    /// An error about a field, such as `agents[2].url`, at the place of the field or of the nearest thing around it.
    #[must_use]
    pub fn problem(&self, field: impl Into<String>, reason: impl Into<String>) -> Problem {
        let problem = Problem::error(field, reason);
        Problem { position: Some(locate(&self.root, &problem)), ..problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_stands_at_its_field() {
        let document = Document::read("agents:\n  - name: a\n  - name: b\n    url: 7\n").unwrap();
        assert_eq!(document.to_json(), r#"{"agents":[{"name":"a"},{"name":"b","url":7}]}"#);
        let told = |field: &str| document.problem(field, "is odd").to_string();
        assert_eq!(told("agents[1].url"), "4:5: error: agents[1].url: is odd");
        assert_eq!(told("agents[1].command"), "3:5: error: agents[1].command: is odd");
        assert_eq!(told(""), "1:1: error: is odd");
    }

    #[test]
    fn what_does_not_fit_stands_at_its_field() {
        let document = Document::read("agents:\n  - {port: 1}\n  - {port: x}\n").unwrap();
        type Agents = std::collections::BTreeMap<String, Vec<std::collections::BTreeMap<String, u16>>>;
        let told = document.decode::<Agents>().unwrap_err().to_string();
        assert_eq!(told, "3:6: error: agents[1].port: invalid type: string \"x\", expected u16");
        assert!(document.decode::<String>().unwrap_err().to_string().starts_with("1:1: error: invalid type: map"));
    }

    #[test]
    fn what_is_no_document_is_refused() {
        assert!(Document::read("a: 1\na: 2").unwrap_err()[0].reason.contains("a second time"));
        assert!(Document::read("").is_err());
    }
}
