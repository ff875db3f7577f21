//! Filters of runs as conditions of SQL. What callers wrote is bound, never part of the text.

use rusqlite::types::Value;
use tutti_core::ids::Namespace;
use tutti_core::ports::filter::{Condition, RunFilter};

/// Which rows of `run_view` are wanted.
#[derive(Debug)]
pub struct Chosen {
    /// What stands after `WHERE`.
    pub conditions: String,
    /// What is bound, in the order of the question marks.
    pub values: Vec<Value>,
}

impl Chosen {
    /// Runs of a namespace that a filter takes.
    pub fn of(namespace: &Namespace, filter: &RunFilter) -> Self {
        let mut chosen = Self { conditions: "namespace = ?".to_owned(), values: vec![text(namespace.as_str())] };
        for term in &filter.terms {
            let (condition, values) = sql(&term.is);
            if term.not {
                // A condition on a column that is null is null, and the opposite of that must take the run.
                chosen.only(&format!("({condition}) IS NOT TRUE"), values);
            } else {
                chosen.only(&condition, values);
            }
        }
        chosen
    }

    /// Asks for something more.
    pub fn only(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
        self.values.extend(values);
    }
}

fn sql(condition: &Condition) -> (String, Vec<Value>) {
    match condition {
        Condition::State(any) => one_of("status", any.iter().map(|status| status.as_str())),
        Condition::Workflow(any) => one_of("workflow", any.iter().map(|workflow| workflow.as_str())),
        Condition::Version(version) => is("version = ?", [text(version)]),
        Condition::Session(session) => is("session = ?", [text(session.as_str())]),
        Condition::Key(key) => is("key = ?", [text(key.as_str())]),
        Condition::Label(name, value) => is(
            "EXISTS (SELECT 1 FROM json_each(labels) label WHERE label.key = ? AND label.value = ?)",
            [text(name.as_str()), text(value)],
        ),
        Condition::Since(moment) => is("created_at >= ?", [moment.as_micros().into()]),
        Condition::Until(moment) => is("created_at < ?", [moment.as_micros().into()]),
    }
}

fn one_of<'t>(column: &str, any: impl Iterator<Item = &'t str>) -> (String, Vec<Value>) {
    let values: Vec<Value> = any.map(text).collect();
    let places = vec!["?"; values.len()].join(", ");
    (format!("{column} IN ({places})"), values)
}

fn is<const N: usize>(condition: &str, values: [Value; N]) -> (String, Vec<Value>) {
    (condition.to_owned(), values.into())
}

fn text(text: &str) -> Value {
    text.to_owned().into()
}
