//! The regressor: ridge regression on standardised features.

use serde::{Deserialize, Serialize};

use super::linear::{Linear, fit_number};
use super::metrics::NumberMetrics;
use super::{KnownSplit, RowCounts, at};
use crate::data::DataError;
use crate::data::encode::Encoder;
use crate::data::sample::split;
use crate::data::table::{Column, Table, Values};

/// The L2 penalty: light, it keeps the fit stable where features say the same.
const ALPHA: f64 = 1.0;

/// A fitted regressor; its JSON form is all that is needed to use it elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Regressor {
    /// The column it predicts.
    pub target: String,
    /// The seed of the split it was trained on.
    pub seed: u64,
    /// How rows become features.
    pub encoder: Encoder,
    /// The prediction, in the unit of the target.
    pub value: Linear,
}

/// A regressor, and how it does on rows it has not seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainedRegressor {
    /// The method, for people.
    pub method: String,
    /// The model.
    pub model: Regressor,
    /// The rows used.
    pub rows: RowCounts,
    /// On the test rows.
    pub metrics: NumberMetrics,
    /// On the training rows.
    pub train_r2: Option<f64>,
}

/// Trains on 60 % of the rows and measures on the 20 % for tests. Rows without a target are left out; `excluded`
/// columns, and the target itself, are not features.
///
/// # Errors
/// [`DataError`] when the target is missing or not numeric, or the rows are too few.
pub fn train(table: &Table, target: &str, excluded: &[&str], seed: u64) -> Result<TrainedRegressor, DataError> {
    let truth = targets(table.column("target", target)?)?;
    let known = KnownSplit::new(&split(table.rows(), seed)?, |row| truth[row].is_some(), "to test a target on")?;
    let value = |row: &usize| truth[*row].expect("rows of a known split have a target");
    let excluded = [excluded, &[target]].concat();
    let encoder = Encoder::fit(table, &known.0.train, &excluded)?;
    let x = at(&encoder.encode(table)?, &known.0.train);
    let y: Vec<f64> = known.0.train.iter().map(value).collect();
    let model = Regressor { target: target.into(), seed, encoder, value: fit_number(&x, &y, ALPHA)? };
    let predicted = model.predict(table)?;
    let measure = |rows: &[usize]| {
        let truth: Vec<f64> = rows.iter().map(value).collect();
        NumberMetrics::measure(&at(&predicted, rows), &truth)
    };
    let (metrics, train_r2) = (measure(&known.0.test), measure(&known.0.train).r2);
    Ok(TrainedRegressor { method: "ridge regression".into(), rows: known.counts(), metrics, train_r2, model })
}

/// The number of each row.
///
/// # Errors
/// [`DataError::BadColumn`] when the column is text or does not vary.
pub fn targets(column: &Column) -> Result<&[Option<f64>], DataError> {
    let bad =
        |reason: &str| Err(DataError::BadColumn { role: "target", name: column.name.clone(), reason: reason.into() });
    match &column.values {
        Values::Number(_) if column.values.distinct() < 2 => bad("it has the same value everywhere"),
        Values::Number(values) => Ok(values),
        Values::Text(_) => bad("it is not numeric"),
    }
}

impl Regressor {
    /// The predicted number of each row.
    ///
    /// # Errors
    /// [`DataError`] when the table lacks a column the model needs.
    pub fn predict(&self, table: &Table) -> Result<Vec<f64>, DataError> {
        Ok(self.encoder.encode(table)?.iter().map(|row| self.value.value(row)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::test_data;

    #[test]
    fn a_clear_relation_is_learned_and_measured_on_unseen_rows() {
        let table = test_data::table(300);
        let trained = train(&table, "target", &["label"], 42).unwrap();
        assert!(trained.metrics.r2.unwrap() > 0.95, "{:?}", trained.metrics);
        assert!(trained.metrics.mae <= trained.metrics.rmse);
        assert_eq!(trained, train(&table, "target", &["label"], 42).unwrap());
        assert_ne!(trained.model.value, train(&table, "target", &["label"], 43).unwrap().model.value);
    }

    #[test]
    fn text_and_constant_columns_are_no_targets() {
        let error = train(&test_data::table(90), "group", &[], 42).unwrap_err().to_string();
        assert_eq!(error, "the target column `group` cannot be used: it is not numeric");
    }
}
