//! Whether a table is fit for machine learning, and what speaks against it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::table::{Column, Table, Values};
use super::{DataError, MAX_LEVELS};

/// The least score of a table that is ready.
const READY: f64 = 0.8;

/// With fewer rows the score falls in proportion.
const GOOD_ROWS: usize = 100;

/// The least rows of a class that a classifier can learn.
const MIN_CLASS: usize = 10;

/// The share of missing values of a column from which it is worth a warning.
const MANY_MISSING: f64 = 0.2;

/// How heavy an issue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; training goes on.
    Warning,
    /// The table is not ready.
    Blocking,
}

/// Something that speaks against the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Issue {
    /// How heavy.
    pub severity: Severity,
    /// The column at fault; none when it is the table.
    pub column: Option<String>,
    /// What, in words.
    pub message: String,
}

/// The verdict on a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// 0 to 1: the share of present values × the share of columns that vary × the share of rows that are not copies
    /// × (rows / 100, at most 1).
    pub score: f64,
    /// Everything found, blocking ones first.
    pub issues: Vec<Issue>,
    /// Score at least 0.8, and nothing blocking.
    pub ready: bool,
}

/// Checks a table for training with the given class label and numeric target.
///
/// # Errors
/// [`DataError::NoNumericColumn`], or [`DataError::MissingColumn`] when label or target is not a column.
pub fn check(table: &Table, label: &str, target: &str) -> Result<Quality, DataError> {
    if !table.columns.iter().any(|c| matches!(c.values, Values::Number(_))) {
        return Err(DataError::NoNumericColumn(table.names()));
    }
    let mut issues = Vec::new();
    check_label(table.column("label", label)?, &mut issues);
    check_target(table.column("target", target)?, &mut issues);
    let constant = check_features(table, label, target, &mut issues);
    let rows = table.rows();
    let copies = rows - distinct_rows(table);
    if copies > 0 {
        issues.push(Issue::warning(None, format!("{copies} rows are copies of another row")));
    }
    if rows < GOOD_ROWS {
        issues.push(Issue::warning(None, format!("{rows} rows are few; {GOOD_ROWS} or more are better")));
    }
    let cells = rows * table.columns.len();
    let missing: usize = table.columns.iter().map(|c| c.values.missing()).sum();
    let score = (1.0 - share(missing, cells))
        * (1.0 - share(constant, table.columns.len()))
        * (1.0 - share(copies, rows))
        * share(rows, GOOD_ROWS).min(1.0);
    issues.sort_by_key(|issue| issue.severity == Severity::Warning);
    let ready = score >= READY && issues.iter().all(|issue| issue.severity == Severity::Warning);
    Ok(Quality { score, issues, ready })
}

impl Issue {
    fn warning(column: Option<&str>, message: String) -> Self {
        Self { severity: Severity::Warning, column: column.map(Into::into), message }
    }

    fn blocking(column: &str, message: String) -> Self {
        Self { severity: Severity::Blocking, column: Some(column.into()), message }
    }
}

fn check_label(label: &Column, issues: &mut Vec<Issue>) {
    let mut classes: BTreeMap<String, usize> = BTreeMap::new();
    for class in (0..label.values.len()).filter_map(|row| label.values.text(row)) {
        *classes.entry(class).or_default() += 1;
    }
    let name = &label.name;
    if !(2..=MAX_LEVELS).contains(&classes.len()) {
        let found = classes.len();
        issues.push(Issue::blocking(name, format!("a class label has 2 to {MAX_LEVELS} values, this one {found}")));
        return;
    }
    for (class, count) in classes.into_iter().filter(|(_, count)| *count < MIN_CLASS) {
        let message = format!("class `{class}` has {count} rows, {MIN_CLASS} are needed to learn it");
        issues.push(Issue::blocking(name, message));
    }
}

fn check_target(target: &Column, issues: &mut Vec<Issue>) {
    if matches!(target.values, Values::Text(_)) {
        issues.push(Issue::blocking(&target.name, "the target of a regression must be numeric".into()));
    } else if target.values.distinct() < 2 {
        issues.push(Issue::blocking(&target.name, "the target has the same value everywhere".into()));
    }
}

/// Adds the issues of single columns; returns how many columns do not vary.
fn check_features(table: &Table, label: &str, target: &str, issues: &mut Vec<Issue>) -> usize {
    let mut constant = 0;
    for Column { name, values } in &table.columns {
        let missing = share(values.missing(), values.len());
        if missing >= MANY_MISSING {
            issues.push(Issue::warning(Some(name), format!("{:.0} % of the values are missing", missing * 100.0)));
        }
        let distinct = values.distinct();
        if distinct < 2 {
            constant += 1;
        }
        if name == label || name == target {
            continue;
        }
        if distinct < 2 {
            issues.push(Issue::warning(Some(name), "the column does not vary, so it is left out".into()));
        } else if matches!(values, Values::Text(_)) && distinct > MAX_LEVELS {
            let message = format!("{distinct} different texts, more than {MAX_LEVELS}: taken for a name and left out");
            issues.push(Issue::warning(Some(name), message));
        }
    }
    constant
}

fn distinct_rows(table: &Table) -> usize {
    let row = |row: usize| table.columns.iter().map(|c| c.values.text(row)).collect::<Vec<_>>();
    (0..table.rows()).map(row).collect::<BTreeSet<_>>().len()
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: usize, line: impl Fn(usize) -> String) -> Table {
        let body: Vec<_> = (0..rows).map(line).collect();
        Table::parse(&format!("size,colour,label,target\n{}\n", body.join("\n"))).unwrap()
    }

    fn sound(i: usize) -> String {
        format!("{i},c{},{},{}.5", i % 3, i % 2, i)
    }

    #[test]
    fn sound_data_scores_one() {
        let quality = check(&table(100, sound), "label", "target").unwrap();
        assert_eq!(quality, Quality { score: 1.0, issues: vec![], ready: true });
    }

    /// 100 rows × 4 columns: 40 missing of 400 (0.9), 1 constant column of 4 (0.75).
    #[test]
    fn score_is_the_product_of_its_shares() {
        let holes = table(100, |i| format!("{},c,{},{i}.5", if i < 40 { String::new() } else { i.to_string() }, i % 2));
        let quality = check(&holes, "label", "target").unwrap();
        assert!((quality.score - 0.9 * 0.75).abs() < 1e-12, "{}", quality.score);
        assert!(!quality.ready);
        let columns: Vec<_> = quality.issues.iter().map(|issue| issue.column.as_deref()).collect();
        assert_eq!(columns, [Some("size"), Some("colour")]);
    }

    #[test]
    fn few_rows_and_copies_lower_the_score() {
        let quality = check(&table(50, |i| sound(i % 25)), "label", "target").unwrap();
        assert!((quality.score - 0.25).abs() < 1e-12, "{}", quality.score);
    }

    #[test]
    fn label_and_target_that_cannot_be_learned_block() {
        let blocking = |line: fn(usize) -> String| {
            let quality = check(&table(120, line), "label", "target").unwrap();
            assert!(!quality.ready);
            quality.issues[0].message.clone()
        };
        assert!(blocking(|i| format!("{i},c{},same,{i}", i % 3)).contains("this one 1"));
        assert!(blocking(|i| format!("{i},c{},l{i},{i}", i % 3)).contains("this one 120"));
        assert!(blocking(|i| format!("{i},c{},l{},{i}", i % 3, (i + 116) / 119)).contains("class `l0` has 3 rows"));
        assert!(blocking(|i| format!("{i},c{},{},word{i}", i % 3, i % 2)).contains("must be numeric"));
        assert!(blocking(|i| format!("{i},c{},{},7", i % 3, i % 2)).contains("same value everywhere"));
    }

    #[test]
    fn absent_columns_are_errors_that_name_those_there_are() {
        let error = check(&table(100, sound), "churned", "target").unwrap_err().to_string();
        assert_eq!(error, "the label column `churned` is missing; the columns are `size`, `colour`, `label`, `target`");
        let words = table(100, |i| format!("a{i},b{i},c{i},d{i}"));
        assert!(matches!(check(&words, "label", "target"), Err(DataError::NoNumericColumn(_))));
    }
}
