//! The models: two small linear ones, their ensemble, and the metrics of all. Pure functions; the fits are smartcore's.

pub mod classifier;
pub mod ensemble;
pub mod linear;
pub mod metrics;
pub mod regressor;

use serde::{Deserialize, Serialize};

use crate::data::DataError;
use crate::data::sample::Split;

/// The fewest rows of known outcome that a validation or a test may rest on.
pub const MIN_HELD_OUT: usize = 5;

/// How many rows of known outcome were used for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows the model learned from.
    pub train: usize,
    /// Rows kept for the weights of an ensemble.
    pub validation: usize,
    /// Rows the metrics come from.
    pub test: usize,
}

/// A split whose rows all have a known outcome.
#[derive(Debug)]
struct KnownSplit(Split);

impl KnownSplit {
    fn new(split: &Split, known: impl Fn(usize) -> bool, what: &'static str) -> Result<Self, DataError> {
        let keep = |rows: &[usize]| rows.iter().copied().filter(|&row| known(row)).collect::<Vec<_>>();
        let kept = Split { train: keep(&split.train), validation: keep(&split.validation), test: keep(&split.test) };
        let rows = kept.validation.len().min(kept.test.len());
        if rows < MIN_HELD_OUT {
            return Err(DataError::TooFewRows { rows, needed: MIN_HELD_OUT, what });
        }
        Ok(Self(kept))
    }

    fn counts(&self) -> RowCounts {
        let Self(split) = self;
        RowCounts { train: split.train.len(), validation: split.validation.len(), test: split.test.len() }
    }
}

/// The values at the given positions.
fn at<T: Clone>(values: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().map(|&row| values[row].clone()).collect()
}

#[cfg(test)]
pub(crate) mod test_data {
    use crate::data::table::Table;

    /// Rows with `label` = yes where x + noise > 0, and `target` = 10 + 5x + 3·[group = b] + noise; the noise is a
    /// fixed pattern without relation to x.
    pub(crate) fn table(rows: usize) -> Table {
        let line = |i: usize| {
            let x = ((i * 37) % 100) as f64 / 25.0 - 2.0;
            let noise = ((i * 53) % 17) as f64 / 17.0 - 0.5;
            let b = i.is_multiple_of(3);
            let label = if x + 0.4 * noise > 0.0 { "yes" } else { "no" };
            let target = 10.0 + 5.0 * x + if b { 3.0 } else { 0.0 } + noise;
            format!("{x},{},{label},{target}", if b { "b" } else { "a" })
        };
        let body: Vec<_> = (0..rows).map(line).collect();
        Table::parse(&format!("x,group,label,target\n{}\n", body.join("\n"))).unwrap()
    }
}
