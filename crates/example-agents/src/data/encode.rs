//! Rows as numbers: what a linear model learns from and is asked with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::statistics::{mean, quantile};
use super::table::{Table, Values};
use super::{DataError, MAX_LEVELS};

/// The most numbers (rows × features) that are encoded, 40 MB.
const MAX_CELLS: usize = 5_000_000;

/// Turns a table to standardised features. It is learned from training rows and travels with the model, so that
/// other rows are encoded the same way.
///
/// A numeric column gives one feature, with the median for missing values. A text column of 2 to 20 values gives
/// one feature (0 or 1) for each value but the first. Columns that do not vary, and texts with more values, are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encoder {
    /// The features, in the order of a model's coefficients.
    pub features: Vec<Feature>,
}

/// One input of a model: `(raw − mean) / std`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// The column it comes from.
    pub column: String,
    /// For a text column, the value that counts as 1.
    pub level: Option<String>,
    /// Stands for a missing value, before standardising.
    pub fill: f64,
    /// Mean of the training rows.
    pub mean: f64,
    /// Standard deviation of the training rows (n), above zero.
    pub std: f64,
}

impl Encoder {
    /// Learns the features from the given rows, from all columns but the excluded ones.
    ///
    /// # Errors
    /// [`DataError::Mismatch`] when no column is left to learn from.
    pub fn fit(table: &Table, rows: &[usize], excluded: &[&str]) -> Result<Self, DataError> {
        let mut features = Vec::new();
        for column in table.columns.iter().filter(|c| !excluded.contains(&c.name.as_str())) {
            let name = &column.name;
            match &column.values {
                Values::Number(values) => {
                    let mut present: Vec<f64> = rows.iter().filter_map(|&row| values[row]).collect();
                    present.sort_by(f64::total_cmp);
                    let Some(median) = quantile(&present, 0.5) else { continue };
                    let raw: Vec<f64> = rows.iter().map(|&row| values[row].unwrap_or(median)).collect();
                    features.extend(Feature::of(name, None, median, &raw));
                }
                Values::Text(values) => {
                    let mut levels: BTreeMap<&str, usize> = BTreeMap::new();
                    for value in rows.iter().filter_map(|&row| values[row].as_deref()) {
                        *levels.entry(value).or_default() += 1;
                    }
                    if levels.len() > MAX_LEVELS {
                        continue;
                    }
                    for level in levels.keys().skip(1) {
                        let raw: Vec<f64> = rows.iter().map(|&row| one_hot(values[row].as_deref(), level)).collect();
                        features.extend(Feature::of(name, Some(level), 0.0, &raw));
                    }
                }
            }
        }
        if features.is_empty() {
            return Err(DataError::Mismatch("no column is left to learn from".into()));
        }
        Ok(Self { features })
    }

    /// Encodes every row of a table.
    ///
    /// # Errors
    /// [`DataError::MissingColumn`] when the table lacks a column of the features, [`DataError::Mismatch`] when a
    /// column has another kind or the result would be too large.
    pub fn encode(&self, table: &Table) -> Result<Vec<Vec<f64>>, DataError> {
        if table.rows().saturating_mul(self.features.len()) > MAX_CELLS {
            let (rows, features) = (table.rows(), self.features.len());
            return Err(DataError::Mismatch(format!(
                "{rows} rows of {features} features are too many; at most {MAX_CELLS} values can be learned from"
            )));
        }
        let mut encoded = vec![Vec::with_capacity(self.features.len()); table.rows()];
        for feature in &self.features {
            let column = table.column("feature", &feature.column)?;
            for (row, encoded) in encoded.iter_mut().enumerate() {
                let raw = match (&column.values, &feature.level) {
                    (Values::Number(values), None) => values[row].unwrap_or(feature.fill),
                    (Values::Text(values), Some(level)) => one_hot(values[row].as_deref(), level),
                    _ => return Err(DataError::Mismatch(format!("column `{}` is of another kind", column.name))),
                };
                encoded.push((raw - feature.mean) / feature.std);
            }
        }
        Ok(encoded)
    }
}

impl Feature {
    /// What the feature is called in a report: `column` or `column = level`.
    pub fn title(&self) -> String {
        match &self.level {
            Some(level) => format!("{} = {level}", self.column),
            None => self.column.clone(),
        }
    }

    /// The feature of these raw training values; none if they do not vary.
    fn of(column: &str, level: Option<&str>, fill: f64, raw: &[f64]) -> Option<Self> {
        let mean = mean(raw)?;
        let variance = raw.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / raw.len() as f64;
        let std = variance.sqrt();
        (std > f64::EPSILON * mean.abs().max(1.0)).then(|| Self {
            column: column.into(),
            level: level.map(Into::into),
            fill,
            mean,
            std,
        })
    }
}

fn one_hot(value: Option<&str>, level: &str) -> f64 {
    f64::from(u8::from(value == Some(level)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::table::Column;

    fn table() -> Table {
        let text = |values: [&str; 4]| Values::Text(values.map(|v| (!v.is_empty()).then(|| v.into())).to_vec());
        let column = |name: &str, values| Column { name: name.into(), values };
        let columns = vec![
            column("size", Values::Number(vec![Some(1.0), Some(3.0), None, Some(8.0)])),
            column("flat", Values::Number(vec![Some(2.0); 4])),
            column("colour", text(["red", "blue", "", "red"])),
            column("label", text(["yes", "no", "yes", "no"])),
        ];
        Table { columns, row_ids: vec![0, 1, 2, 3] }
    }

    /// From rows 0 and 1: size 1 and 3 (mean 2, std 1, median 2); colour blue and red (the first level, blue, is the
    /// absence of the others; mean 0.5, std 0.5).
    #[test]
    fn features_are_standardised_by_the_training_rows() {
        let encoder = Encoder::fit(&table(), &[0, 1], &["label"]).unwrap();
        let titles: Vec<_> = encoder.features.iter().map(Feature::title).collect();
        assert_eq!(titles, ["size", "colour = red"]);
        let rows = encoder.encode(&table()).unwrap();
        assert_eq!(rows, [[-1.0, 1.0], [1.0, -1.0], [0.0, -1.0], [6.0, 1.0]]);
    }

    #[test]
    fn nothing_to_learn_from_is_an_error() {
        let error = Encoder::fit(&table(), &[0, 1], &["label", "size", "colour"]).unwrap_err();
        assert!(error.to_string().contains("no column is left"));
    }

    #[test]
    fn a_table_without_a_feature_cannot_be_encoded() {
        let encoder = Encoder::fit(&table(), &[0, 1, 2, 3], &[]).unwrap();
        let mut other = table();
        other.columns.remove(0);
        assert!(matches!(encoder.encode(&other), Err(DataError::MissingColumn { role: "feature", .. })));
    }
}
