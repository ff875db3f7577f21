//! The classifier: logistic regression on standardised features.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::linear::{Linear, fit_classes, softmax};
use super::metrics::ClassMetrics;
use super::{KnownSplit, RowCounts, at};
use crate::data::encode::Encoder;
use crate::data::sample::split;
use crate::data::table::{Column, Table};
use crate::data::{DataError, MAX_LEVELS};

/// The L2 penalty: light, it keeps the fit finite where a feature separates the classes.
const ALPHA: f64 = 1.0;

/// A fitted classifier; its JSON form is all that is needed to use it elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Classifier {
    /// The column it predicts.
    pub label: String,
    /// The seed of the split it was trained on.
    pub seed: u64,
    /// How rows become features.
    pub encoder: Encoder,
    /// The classes, in alphabetical order.
    pub classes: Vec<String>,
    /// The score of each class; their softmax are the probabilities.
    pub scores: Vec<Linear>,
}

/// A classifier, and how it does on rows it has not seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainedClassifier {
    /// The method, for people.
    pub method: String,
    /// The model.
    pub model: Classifier,
    /// The rows used.
    pub rows: RowCounts,
    /// On the test rows.
    pub metrics: ClassMetrics,
    /// On the training rows: much better than `metrics` means that the model learned them by heart.
    pub train_accuracy: f64,
}

/// Trains on 60 % of the rows and measures on the 20 % for tests. Rows without a label are left out; `excluded`
/// columns, and the label itself, are not features.
///
/// # Errors
/// [`DataError`] when the label is missing, has not 2 to 20 classes, or the rows are too few.
pub fn train(table: &Table, label: &str, excluded: &[&str], seed: u64) -> Result<TrainedClassifier, DataError> {
    let truth = labels(table.column("label", label)?)?;
    let known = KnownSplit::new(&split(table.rows(), seed)?, |row| truth[row].is_some(), "to test a label on")?;
    let name = |row: &usize| truth[*row].clone().expect("rows of a known split have a label");
    let classes: Vec<String> = known.0.train.iter().map(name).collect::<BTreeSet<_>>().into_iter().collect();
    let excluded = [excluded, &[label]].concat();
    let encoder = Encoder::fit(table, &known.0.train, &excluded)?;
    let x = at(&encoder.encode(table)?, &known.0.train);
    let y: Vec<usize> = known.0.train.iter().map(|row| classes.partition_point(|c| *c < name(row))).collect();
    let scores = fit_classes(&x, &y, classes.len(), ALPHA)?;
    let model = Classifier { label: label.into(), seed, encoder, classes, scores };
    let probabilities = model.probabilities(table)?;
    let measure = |rows: &[usize]| {
        let truth: Vec<String> = rows.iter().map(name).collect();
        ClassMetrics::measure(&model.classes, &at(&probabilities, rows), &truth)
    };
    let (metrics, train_accuracy) = (measure(&known.0.test), measure(&known.0.train).accuracy);
    Ok(TrainedClassifier { method: "logistic regression".into(), rows: known.counts(), metrics, train_accuracy, model })
}

/// The class of each row.
///
/// # Errors
/// [`DataError::BadColumn`] when there are not 2 to 20 classes.
pub fn labels(column: &Column) -> Result<Vec<Option<String>>, DataError> {
    let classes: Vec<Option<String>> = (0..column.values.len()).map(|row| column.values.text(row)).collect();
    let distinct = classes.iter().flatten().collect::<BTreeSet<_>>().len();
    if !(2..=MAX_LEVELS).contains(&distinct) {
        let reason = format!("it has {distinct} different values, a class label has 2 to {MAX_LEVELS}");
        return Err(DataError::BadColumn { role: "label", name: column.name.clone(), reason });
    }
    Ok(classes)
}

impl Classifier {
    /// The probabilities of the classes, for each row.
    ///
    /// # Errors
    /// [`DataError`] when the table lacks a column the model needs.
    pub fn probabilities(&self, table: &Table) -> Result<Vec<Vec<f64>>, DataError> {
        let rows = self.encoder.encode(table)?;
        let scores = |row: &Vec<f64>| self.scores.iter().map(|linear| linear.value(row)).collect::<Vec<_>>();
        Ok(rows.iter().map(|row| softmax(&scores(row))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::test_data;

    #[test]
    fn a_clear_rule_is_learned_and_measured_on_unseen_rows() {
        let table = test_data::table(300);
        let trained = train(&table, "label", &["target"], 42).unwrap();
        assert_eq!(trained.rows, RowCounts { train: 180, validation: 60, test: 60 });
        assert!(trained.metrics.accuracy > 0.9, "{:?}", trained.metrics);
        assert!(trained.metrics.accuracy > trained.metrics.baseline_accuracy);
        assert_eq!(trained, train(&table, "label", &["target"], 42).unwrap(), "the same input gives the same model");
    }

    #[test]
    fn excluded_columns_are_no_features() {
        let trained = train(&test_data::table(300), "label", &["target"], 42).unwrap();
        let columns: BTreeSet<_> = trained.model.encoder.features.iter().map(|f| f.column.as_str()).collect();
        assert_eq!(columns, BTreeSet::from(["group", "x"]));
    }

    #[test]
    fn the_json_form_predicts_the_same() {
        let table = test_data::table(90);
        let model = train(&table, "label", &[], 1).unwrap().model;
        let text = serde_json::to_string(&model).unwrap();
        let again: Classifier = serde_json::from_str(&text).unwrap();
        let (a, b) = (model.probabilities(&table).unwrap(), again.probabilities(&table).unwrap());
        assert!(a.iter().flatten().zip(b.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    #[test]
    fn a_column_of_many_values_is_no_label() {
        let error = train(&test_data::table(90), "x", &[], 42).unwrap_err().to_string();
        assert!(error.starts_with("the label column `x` cannot be used: it has "), "{error}");
    }
}
