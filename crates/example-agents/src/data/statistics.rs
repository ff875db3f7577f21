//! Descriptive statistics of the columns of a table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::table::{Column, Table, Values};

/// The most pairs of columns whose correlation is reported.
const MAX_PAIRS: usize = 50;

/// The most frequent values of a text column that are reported.
const MAX_TOP: usize = 10;

/// What one column holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Summary {
    /// A numeric column; the figures are `None` when every value is missing.
    Number {
        /// Present values.
        count: usize,
        /// Missing values.
        missing: usize,
        /// Arithmetic mean.
        mean: Option<f64>,
        /// Sample standard deviation (n − 1); `None` below two values.
        std: Option<f64>,
        /// Least value.
        min: Option<f64>,
        /// First quartile, linear between the neighbours (the default of R and NumPy).
        q1: Option<f64>,
        /// Median.
        median: Option<f64>,
        /// Third quartile.
        q3: Option<f64>,
        /// Greatest value.
        max: Option<f64>,
    },
    /// A text column.
    Text {
        /// Present values.
        count: usize,
        /// Missing values.
        missing: usize,
        /// Different values.
        distinct: usize,
        /// The most frequent values, ties in alphabetical order.
        top: Vec<Level>,
    },
}

/// A value of a text column and how often it occurs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// The value.
    pub value: String,
    /// Rows that hold it.
    pub count: usize,
}

/// Pearson's correlation of two numeric columns, over the rows where both are present.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Correlation {
    /// One column.
    pub a: String,
    /// The other.
    pub b: String,
    /// The coefficient, −1 to 1.
    pub r: f64,
}

/// Describes each column, by name.
pub fn describe(table: &Table) -> BTreeMap<String, Summary> {
    table.columns.iter().map(|column| (column.name.clone(), summary(&column.values))).collect()
}

/// The correlations of all pairs of numeric columns that vary, the strongest 50, strongest first.
pub fn correlations(table: &Table) -> Vec<Correlation> {
    let numeric: Vec<_> = table.columns.iter().filter_map(|c| numbers(c).map(|v| (&c.name, v))).collect();
    let mut pairs = Vec::new();
    for (i, (a, xs)) in numeric.iter().enumerate() {
        for (b, ys) in &numeric[i + 1..] {
            if let Some(r) = pearson(xs, ys) {
                pairs.push(Correlation { a: (*a).clone(), b: (*b).clone(), r });
            }
        }
    }
    // A stable sort: pairs of equal strength keep the order of the columns.
    pairs.sort_by(|p, q| q.r.abs().total_cmp(&p.r.abs()));
    pairs.truncate(MAX_PAIRS);
    pairs
}

/// Mean of some values, `None` of none.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Sample standard deviation (n − 1), `None` below two values.
pub fn std(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

/// The quantile `q` (0 to 1) of ascending values, linear between the neighbours; `None` of none.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = q.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64))
}

fn summary(values: &Values) -> Summary {
    let missing = values.missing();
    let count = values.len() - missing;
    match values {
        Values::Number(values) => {
            let mut sorted: Vec<f64> = values.iter().copied().flatten().collect();
            sorted.sort_by(f64::total_cmp);
            Summary::Number {
                count,
                missing,
                mean: mean(&sorted),
                std: std(&sorted),
                min: sorted.first().copied(),
                q1: quantile(&sorted, 0.25),
                median: quantile(&sorted, 0.5),
                q3: quantile(&sorted, 0.75),
                max: sorted.last().copied(),
            }
        }
        Values::Text(values) => {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for value in values.iter().flatten() {
                *counts.entry(value).or_default() += 1;
            }
            let distinct = counts.len();
            let mut top: Vec<_> = counts.into_iter().map(|(v, count)| Level { value: v.into(), count }).collect();
            top.sort_by_key(|level| std::cmp::Reverse(level.count));
            top.truncate(MAX_TOP);
            Summary::Text { count, missing, distinct, top }
        }
    }
}

fn numbers(column: &Column) -> Option<&[Option<f64>]> {
    match &column.values {
        Values::Number(values) => Some(values),
        Values::Text(_) => None,
    }
}

fn pearson(xs: &[Option<f64>], ys: &[Option<f64>]) -> Option<f64> {
    let both: Vec<(f64, f64)> = xs.iter().zip(ys).filter_map(|(x, y)| x.zip(*y)).collect();
    let (xs, ys): (Vec<f64>, Vec<f64>) = both.iter().copied().unzip();
    let (mx, my) = (mean(&xs)?, mean(&ys)?);
    let (mut sxy, mut sxx, mut syy) = (0.0, 0.0, 0.0);
    for (x, y) in both {
        sxy += (x - mx) * (y - my);
        sxx += (x - mx).powi(2);
        syy += (y - my).powi(2);
    }
    let scale = (sxx * syy).sqrt();
    (scale > 0.0).then(|| (sxy / scale).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, values: &[f64]) -> Column {
        Column { name: name.into(), values: Values::Number(values.iter().copied().map(Some).collect()) }
    }

    /// 1, 2, 3, 4, 10: mean 4, squares of the deviations 9 + 4 + 1 + 0 + 36 = 50, so std = √(50/4).
    #[test]
    fn figures_of_a_numeric_column_are_those_computed_by_hand() {
        let mut values = column("x", &[3.0, 1.0, 10.0, 2.0, 4.0]).values;
        if let Values::Number(values) = &mut values {
            values.push(None);
        }
        let expected = Summary::Number {
            count: 5,
            missing: 1,
            mean: Some(4.0),
            std: Some(12.5_f64.sqrt()),
            min: Some(1.0),
            q1: Some(2.0),
            median: Some(3.0),
            q3: Some(4.0),
            max: Some(10.0),
        };
        assert_eq!(summary(&values), expected);
    }

    /// Of 1, 2, 3, 4 the first quartile lies at position 0.75: 1.75.
    #[test]
    fn quantiles_lie_between_their_neighbours() {
        let sorted = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(quantile(&sorted, 0.25), Some(1.75));
        assert_eq!(quantile(&sorted, 0.5), Some(2.5));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn levels_of_a_text_column_are_counted() {
        let values = ["b", "a", "b", "c", "a"].map(|v| Some(v.to_owned()));
        let Summary::Text { distinct, top, .. } = summary(&Values::Text(values.to_vec())) else { panic!() };
        let top: Vec<_> = top.iter().map(|level| (level.value.as_str(), level.count)).collect();
        assert_eq!((distinct, top), (3, vec![("a", 2), ("b", 2), ("c", 1)]));
    }

    /// x = 1, 2, 3 and y = 1, 3, 2: deviations −1, 0, 1 and −1, 1, 0, so r = 1 / √(2·2) = 0.5.
    #[test]
    fn correlation_is_pearsons_and_constant_columns_have_none() {
        let columns = vec![
            column("x", &[1.0, 2.0, 3.0]),
            column("y", &[1.0, 3.0, 2.0]),
            column("z", &[-2.0, -4.0, -6.0]),
            column("constant", &[5.0, 5.0, 5.0]),
        ];
        let pairs = correlations(&Table { columns, row_ids: vec![0, 1, 2] });
        let found: Vec<_> = pairs.iter().map(|p| (p.a.as_str(), p.b.as_str(), p.r)).collect();
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].0, "x");
        assert_eq!(found[0].1, "z");
        assert!((found[0].2 + 1.0).abs() < 1e-12);
        assert!((found[1].2 - 0.5).abs() < 1e-12 && (found[2].2 + 0.5).abs() < 1e-12);
    }
}
