//! Filters of runs as statements. What callers wrote is bound, never part of the text.

use rusqlite::types::Value;
use tutti_core::ids::{Namespace, RunId, WorkflowId};
use tutti_core::ports::filter::{Condition, RunFilter};
use tutti_core::run::RunStatus;
use tutti_core::time::Timestamp;

use crate::rows;

/// Which rows of `run_view` are wanted.
#[derive(Debug)]
pub struct Chosen {
    /// What must hold, states aside.
    conditions: String,
    /// Only these states.
    states: Option<Vec<RunStatus>>,
    /// True if an index finds the rows of a condition that is not about states.
    found_otherwise: bool,
    /// What is bound, by the numbers that stand in the text.
    values: Vec<Value>,
}

impl Chosen {
    /// Runs of a namespace that a filter takes.
    pub fn of(namespace: &Namespace, filter: &RunFilter) -> Self {
        let mut chosen = Self { conditions: String::new(), states: None, found_otherwise: false, values: Vec::new() };
        chosen.conditions = format!("namespace = {}", chosen.bind(namespace.as_str().to_owned()));
        for term in &filter.terms {
            let condition = match &term.is {
                Condition::State(any) => {
                    let states = chosen.states.get_or_insert_with(|| RunStatus::ALL.to_vec());
                    states.retain(|state| any.contains(state) != term.not);
                    continue;
                }
                Condition::Workflow(any) => chosen.one_of("workflow", any.iter().map(WorkflowId::as_str)),
                Condition::Version(version) => format!("version = {}", chosen.bind(version.clone())),
                Condition::Session(session) => format!("session = {}", chosen.bind(session.as_str().to_owned())),
                Condition::Key(key) => format!("key = {}", chosen.bind(key.as_str().to_owned())),
                Condition::Label(name, value) => {
                    let (name, value) = (chosen.bind(name.as_str().to_owned()), chosen.bind(value.clone()));
                    format!("EXISTS (SELECT 1 FROM json_each(labels) l WHERE l.key = {name} AND l.value = {value})")
                }
                Condition::Since(moment) => format!("created_at >= {}", chosen.bind(moment.as_micros())),
                Condition::Until(moment) => format!("created_at < {}", chosen.bind(moment.as_micros())),
            };
            chosen.found_otherwise |= !term.not && has_index(&term.is);
            // A condition on a column that is null is null, and its opposite must take the run.
            chosen.and(&if term.not { format!("({condition}) IS NOT TRUE") } else { condition });
        }
        chosen
    }

    /// Only runs before one.
    pub fn before(&mut self, run: RunId) {
        let run = self.bind(run.as_uuid().as_bytes().to_vec());
        self.and(&format!("run_id < {run}"));
    }

    /// Only runs that ended before a moment, and whose ids were made before it.
    pub fn ended_before(&mut self, moment: Timestamp) {
        let at = self.bind(moment.as_micros());
        self.and(&format!("ended_at < {at}"));
        self.before(RunId::first_at(moment));
    }

    /// The statement that reads columns of them, newest first, and what is bound to it.
    pub fn list(mut self, columns: &str, limit: usize) -> (String, Vec<Value>) {
        let branches = match self.states.take() {
            // A branch for each state reads its part of the index backwards, and SQLite merges the branches: so neither
            // rare states nor frequent ones are looked for in all runs.
            Some(states) if states.len() > 1 && !self.found_otherwise => {
                states.iter().map(|state| self.one_of("status", [state.as_str()].into_iter())).collect()
            }
            Some(states) => vec![self.one_of("status", states.iter().map(|state| state.as_str()))],
            None => vec!["TRUE".to_owned()],
        };
        let branch = |states| format!("SELECT {columns} FROM run_view WHERE {} AND {states}", self.conditions);
        let branches: Vec<String> = branches.into_iter().map(branch).collect();
        let limit = self.bind(rows::limit(limit));
        (format!("{} ORDER BY run_id DESC LIMIT {limit}", branches.join(" UNION ALL ")), self.values)
    }

    /// The statement that counts them by state, and what is bound to it.
    pub fn count(mut self) -> (String, Vec<Value>) {
        if let Some(states) = self.states.take() {
            let states = self.one_of("status", states.iter().map(|state| state.as_str()));
            self.and(&states);
        }
        // The sign keeps SQLite from reading all runs in the order of their states.
        let group = if self.found_otherwise { "+status" } else { "status" };
        let sql = format!("SELECT status, count(*) FROM run_view WHERE {} GROUP BY {group}", self.conditions);
        (sql, self.values)
    }

    fn and(&mut self, condition: &str) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
    }

    fn one_of<'t>(&mut self, column: &str, any: impl Iterator<Item = &'t str>) -> String {
        let places: Vec<String> = any.map(|text| self.bind(text.to_owned())).collect();
        format!("{column} IN ({})", places.join(", "))
    }

    /// The place of a value.
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("?{}", self.values.len())
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
    use rusqlite::{Connection, params_from_iter};

    use super::*;
    use crate::schema;

    fn chosen(filter: &str) -> Chosen {
        Chosen::of(&Namespace::default(), &RunFilter::parse(filter, Timestamp::default()).unwrap())
    }

    fn plan((sql, values): (String, Vec<Value>)) -> String {
        let mut db = Connection::open_in_memory().unwrap();
        schema::migrate(&mut db).unwrap();
        let mut rows = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let rows = rows.query_map(params_from_iter(values), |row| row.get::<_, String>(3)).unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn lists_read_an_index_backwards_and_sort_nothing() {
        for (filter, index) in [
            ("", "run_view_namespace (namespace=?)"),
            ("state:failed", "run_view_status (namespace=? AND status=?)"),
            ("state:failed,stuck", "run_view_status (namespace=? AND status=?)"),
            ("-state:completed", "run_view_status (namespace=? AND status=?)"),
            ("workflow:w", "run_view_workflow (namespace=? AND workflow=?)"),
            ("workflow:w -state:completed", "run_view_workflow (namespace=? AND workflow=?)"),
            ("session:s", "run_view_session (namespace=? AND session=?)"),
            ("session:s state:running,failed", "run_view_session (namespace=? AND session=?)"),
            ("key:k -label.team=x", "run_view_key (namespace=? AND key=?)"),
            ("-session:s label.team=x since:2026-01-01T00:00:00Z", "run_view_namespace (namespace=?)"),
        ] {
            let first = plan(chosen(filter).list(rows::SUMMARY, 50));
            assert!(first.contains(&format!("SEARCH run_view USING INDEX {index}")), "{filter}: {first}");
            assert!(!first.contains("TEMP B-TREE") && !first.contains("SCAN run_view"), "{filter}: {first}");
            let mut next = chosen(filter);
            next.before(RunId::new(1, [0; 10]));
            let next = plan(next.list(rows::SUMMARY, 50));
            let bounded = format!("{} AND run_id<?)", index.trim_end_matches(')'));
            assert!(next.contains(&bounded) && !next.contains("TEMP B-TREE"), "{filter}, a page later: {next}");
        }
    }

    #[test]
    fn counts_read_an_index_and_rows_only_if_they_must() {
        for (filter, index) in [
            ("", "COVERING INDEX run_view_status (namespace=?)"),
            ("state:failed,stuck", "COVERING INDEX run_view_status (namespace=? AND status=?)"),
            ("-state:completed", "COVERING INDEX run_view_status (namespace=? AND status=?)"),
            ("workflow:w", "INDEX run_view_workflow (namespace=? AND workflow=?)"),
            ("session:s", "INDEX run_view_session (namespace=? AND session=?)"),
            ("key:k state:running", "INDEX run_view_key (namespace=? AND key=?)"),
        ] {
            let plan = plan(chosen(filter).count());
            assert!(plan.contains(&format!("SEARCH run_view USING {index}")), "{filter}: {plan}");
        }
    }

    #[test]
    fn no_text_of_a_caller_stands_in_a_statement() {
        let filter = "workflow:zzz version:zzz session:zzz key:zzz label.zzz=zzz -key:zzz -label.zzz=zzz";
        let (sql, values) = chosen(filter).list("run_id", 50);
        assert!(!sql.contains("zzz"), "{sql}");
        assert_eq!(values.iter().filter(|value| **value == Value::from("zzz".to_owned())).count(), 9);
    }
}
