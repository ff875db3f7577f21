//! Filters of runs as statements. What callers wrote is bound, never part of the text.

use tutti_core::ids::{Namespace, RunId, WorkflowId};
use tutti_core::ports::filter::{Condition, RunFilter};
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;
use uuid::Uuid;

use crate::columns::Statement;
use crate::{rows, text};

/// Which rows of `run_view v` are wanted.
#[derive(Debug)]
pub struct Chosen {
    /// What must hold, states aside.
    conditions: String,
    /// Only these states.
    states: Option<Vec<RunStatus>>,
    /// True if an index finds the rows of a condition that is not about states.
    found_otherwise: bool,
    values: Values,
}

/// What is bound, by the numbers that stand in the text.
#[derive(Debug, Default)]
pub struct Values(Vec<Value>);

#[derive(Debug)]
enum Value {
    Text(String),
    Texts(Vec<String>),
    Number(i64),
    Id(Uuid),
}

impl Chosen {
    /// Runs of a namespace that a filter takes.
    pub fn of(namespace: &Namespace, filter: &RunFilter) -> Self {
        let mut values = Values::default();
        let conditions = format!("v.namespace = {}", values.text(namespace.as_str()));
        let mut chosen = Self { conditions, states: None, found_otherwise: false, values };
        for term in &filter.terms {
            let condition = match &term.is {
                Condition::State(any) => {
                    let states = chosen.states.get_or_insert_with(|| RunStatus::ALL.to_vec());
                    states.retain(|state| any.contains(state) != term.not);
                    continue;
                }
                // Equality is what an index goes by.
                Condition::Workflow(any) if any.len() == 1 => {
                    format!("v.workflow = {}", chosen.values.text(any[0].as_str()))
                }
                Condition::Workflow(any) => {
                    format!("v.workflow = ANY ({})", chosen.values.texts(any.iter().map(WorkflowId::as_str)))
                }
                Condition::Version(version) => format!("v.version = {}", chosen.values.text(&text::escape(version))),
                Condition::Session(session) => format!("v.session = {}", chosen.values.text(session.as_str())),
                Condition::Key(key) => format!("v.key = {}", chosen.values.text(key.as_str())),
                Condition::Label(name, value) => {
                    format!("{} = ANY (v.labels)", chosen.values.text(&text::label(name, value)))
                }
                Condition::Since(moment) => format!("v.created_at >= {}", chosen.values.number(moment.as_micros())),
                Condition::Until(moment) => format!("v.created_at < {}", chosen.values.number(moment.as_micros())),
            };
            chosen.found_otherwise |= !term.not && has_index(&term.is);
            // A condition on a column that is null is null, and its opposite must take the run.
            chosen.and(&if term.not { format!("({condition}) IS NOT TRUE") } else { condition });
        }
        chosen
    }

    /// Only runs before one.
    pub fn before(&mut self, run: RunId) {
        let run = self.values.push(Value::Id(run.as_uuid()), "uuid");
        self.and(&format!("v.run_id < {run}"));
    }

    /// Only runs that ended before a moment, and whose ids were made before it.
    pub fn ended_before(&mut self, moment: Timestamp) {
        let at = self.values.number(moment.as_micros());
        self.and(&format!("v.ended_at < {at}"));
        self.before(RunId::first_at(moment));
    }

    /// The statement that reads columns of them, newest first, and what is bound to it.
    pub fn list(mut self, columns: &str, limit: usize) -> (String, Values) {
        let branches = match self.states.take() {
            // A branch for each state reads its part of the index backwards, and the branches are merged: so neither rare
            // states nor frequent ones are looked for in all runs.
            Some(states) if states.len() > 1 && !self.found_otherwise => {
                states.iter().map(|state| format!("v.status = {}", self.values.text(state.as_str()))).collect()
            }
            Some(states) => vec![self.in_states(&states)],
            None => vec!["TRUE".to_owned()],
        };
        let limit = self.values.number(rows::at_most(limit));
        let branch = |states| {
            let conditions = &self.conditions;
            format!(
                "SELECT {columns} FROM run_view v WHERE {conditions} AND {states} ORDER BY v.run_id DESC LIMIT {limit}"
            )
        };
        let mut branches: Vec<String> = branches.into_iter().map(branch).collect();
        let sql = match branches.len() {
            1 => branches.remove(0),
            _ => format!("({}) ORDER BY run_id DESC LIMIT {limit}", branches.join(") UNION ALL (")),
        };
        (sql, self.values)
    }

    /// The statement that counts them by state, and what is bound to it.
    pub fn count(mut self) -> (String, Values) {
        if let Some(states) = self.states.take() {
            let states = self.in_states(&states);
            self.and(&states);
        }
        let sql = format!("SELECT v.status, count(*) FROM run_view v WHERE {} GROUP BY v.status", self.conditions);
        (sql, self.values)
    }

    fn and(&mut self, condition: &str) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
    }

    fn in_states(&mut self, states: &[RunStatus]) -> String {
        format!("v.status = ANY ({})", self.values.texts(states.iter().map(|state| state.as_str())))
    }
}

impl Values {
    /// Binds them to their statement.
    pub fn bind(self, statement: Statement) -> Statement {
        self.0.into_iter().fold(statement, |statement, value| match value {
            Value::Text(text) => statement.bind(text),
            Value::Texts(texts) => statement.bind(texts),
            Value::Number(number) => statement.bind(number),
            Value::Id(id) => statement.bind(id),
        })
    }

    fn text(&mut self, text: &str) -> String {
        self.push(Value::Text(text.to_owned()), "text")
    }

    fn texts<'t>(&mut self, texts: impl Iterator<Item = &'t str>) -> String {
        self.push(Value::Texts(texts.map(str::to_owned).collect()), "text[]")
    }

    fn number(&mut self, number: i64) -> String {
        self.push(Value::Number(number), "int8")
    }

    /// The place of a value.
    fn push(&mut self, value: Value, kind: &str) -> String {
        self.0.push(value);
        format!("${}::{kind}", self.0.len())
    }
}

/// True if few rows fit and an index finds them.
fn has_index(condition: &Condition) -> bool {
    match condition {
        Condition::Session(_) | Condition::Key(_) => true,
        Condition::Workflow(any) => any.len() == 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(filter: &str) -> Chosen {
        Chosen::of(&Namespace::default(), &RunFilter::parse(filter, Timestamp::default()).unwrap())
    }

    #[test]
    fn no_text_of_a_caller_stands_in_a_statement() {
        let filter = "workflow:zzz version:zzz session:zzz key:zzz label.zzz=zzz -key:zzz -label.zzz=zzz";
        let (sql, Values(values)) = chosen(filter).list("run_id", 50);
        assert!(!sql.contains("zzz"), "{sql}");
        let bound = |value: &&Value| matches!(value, Value::Text(text) if text.contains("zzz"));
        assert_eq!(values.iter().filter(bound).count(), 7);
    }

    #[test]
    fn each_of_several_states_is_a_branch() {
        let branches = |filter: &str| chosen(filter).list("run_id", 50).0.matches("SELECT").count();
        assert_eq!(branches("state:failed,stuck"), 2);
        assert_eq!(branches("state:failed"), 1);
        assert_eq!(branches("session:s state:failed,stuck"), 1, "few runs are of a session");
    }
}
