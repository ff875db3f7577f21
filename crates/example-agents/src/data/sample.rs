//! Samples that depend on a seed alone: the three parts of a CSV, and the split into training, validation and test rows.

use super::DataError;
use serde::{Deserialize, Serialize};

/// One third of a CSV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The first third of the shuffled rows.
    A,
    /// The second third.
    B,
    /// The rest.
    C,
}

/// Positions of the rows that a model learns from, that choose an ensemble's weights, and that measure both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// 60 % of the rows.
    pub train: Vec<usize>,
    /// 20 % of the rows.
    pub validation: Vec<usize>,
    /// 20 % of the rows, seen by no fit: metrics come from these.
    pub test: Vec<usize>,
}

/// The positions of the rows of one part. The parts of one seed are disjoint and together hold every row.
pub fn part(rows: usize, part: Part, seed: u64) -> Vec<usize> {
    let mut order = shuffled(rows, seed);
    let (first, second) = (rows / 3, 2 * rows / 3);
    match part {
        Part::A => order.truncate(first),
        Part::B => order = order[first..second].to_vec(),
        Part::C => order = order[second..].to_vec(),
    }
    order.sort_unstable();
    order
}

/// Splits rows 60/20/20. Agents that are given the same rows and seed make the same split, so that what one of them
/// held out no other has learned from.
///
/// # Errors
/// [`DataError::TooFewRows`] below [`super::MIN_ROWS`].
pub fn split(rows: usize, seed: u64) -> Result<Split, DataError> {
    if rows < super::MIN_ROWS {
        return Err(DataError::TooFewRows { rows, needed: super::MIN_ROWS, what: "to split" });
    }
    // Another stream than the parts': otherwise part A would be training rows throughout.
    let order = shuffled(rows, seed.wrapping_add(1));
    let (train, rest) = order.split_at(rows * 3 / 5);
    let (validation, test) = rest.split_at(rest.len() / 2);
    let sorted = |rows: &[usize]| {
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        rows
    };
    Ok(Split { train: sorted(train), validation: sorted(validation), test: sorted(test) })
}

/// Fisher–Yates with SplitMix64 (Steele, Lea, Flood 2014): written out so that a seed gives the same rows for ever,
/// which generators of a library do not promise.
fn shuffled(rows: usize, seed: u64) -> Vec<usize> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let mut order: Vec<usize> = (0..rows).collect();
    for i in (1..rows).rev() {
        // The high half of a 64 × 64 product: an index below i + 1 without the bias of a remainder.
        let j = (u128::from(next()) * (i as u128 + 1)) >> 64;
        order.swap(i, j as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_disjoint_complete_and_even() {
        for rows in [30, 31, 32, 600] {
            let mut all = Vec::new();
            for p in [Part::A, Part::B, Part::C] {
                let rows_of_part = part(rows, p, 42);
                assert!(rows_of_part.len().abs_diff(rows / 3) <= 1, "{p:?} of {rows}: {}", rows_of_part.len());
                all.extend(rows_of_part);
            }
            all.sort_unstable();
            assert_eq!(all, (0..rows).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_seed_decides_the_sample() {
        assert_eq!(part(300, Part::B, 7), part(300, Part::B, 7));
        assert_ne!(part(300, Part::B, 7), part(300, Part::B, 8));
    }

    /// The first outputs of SplitMix64 for seed 1234567 are published test values of the generator
    /// (6457827717110365317, 3203168211198807973); for three rows they give j = 1 (0.350·3), then j = 0 (0.173·2).
    #[test]
    fn the_shuffle_follows_the_published_generator() {
        assert_eq!(shuffled(3, 1_234_567), [2, 0, 1]);
    }

    #[test]
    fn split_is_a_partition_of_60_20_20() {
        let s = split(600, 42).unwrap();
        assert_eq!((s.train.len(), s.validation.len(), s.test.len()), (360, 120, 120));
        let mut all = [s.train, s.validation, s.test].concat();
        all.sort_unstable();
        assert_eq!(all, (0..600).collect::<Vec<_>>());
        assert!(split(29, 42).is_err());
    }
}
