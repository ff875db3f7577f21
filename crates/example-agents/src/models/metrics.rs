//! How good predictions are.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Metrics of predicted classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// Rows measured.
    pub rows: usize,
    /// Share of right predictions.
    pub accuracy: f64,
    /// The accuracy of always naming the most frequent class of these rows: the least a model must beat.
    pub baseline_accuracy: f64,
    /// Mean of the classes' precision.
    pub precision: f64,
    /// Mean of the classes' recall.
    pub recall: f64,
    /// Mean of the classes' F1.
    pub f1: f64,
    /// Mean of −ln of the probability given to the right class; lower is better.
    pub log_loss: f64,
    /// The metrics of each class.
    pub classes: Vec<ClassScore>,
    /// Rows by true class (outer) and predicted class (inner), in the order of `classes`.
    pub confusion: Vec<Vec<usize>>,
}

/// Metrics of one class. A ratio without a case counts as 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// The class.
    pub class: String,
    /// Rows truly of the class.
    pub support: usize,
    /// Of the rows predicted as the class, the share that is.
    pub precision: f64,
    /// Of the rows of the class, the share that was found.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
}

/// Metrics of predicted numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumberMetrics {
    /// Rows measured.
    pub rows: usize,
    /// Share of the variance explained: 1 is perfect, 0 is no better than the mean. `None` if the values do not vary.
    pub r2: Option<f64>,
    /// Root of the mean squared error, in the unit of the target.
    pub rmse: f64,
    /// Mean absolute error, in the unit of the target.
    pub mae: f64,
}

impl ClassMetrics {
    /// Measures probabilities (per row, in the order of `classes`) against the true classes, which may be others too.
    /// The prediction is the most probable class, the first one of a tie.
    pub fn measure(classes: &[String], probabilities: &[Vec<f64>], truth: &[String]) -> Self {
        let names: Vec<&String> = classes.iter().chain(truth).collect::<BTreeSet<_>>().into_iter().collect();
        let place = |class: &String| names.binary_search(&class).expect("every class is among the names");
        let mut confusion = vec![vec![0; names.len()]; names.len()];
        let mut loss = 0.0;
        for (row, class) in probabilities.iter().zip(truth) {
            confusion[place(class)][place(&classes[most_probable(row)])] += 1;
            let given = classes.iter().position(|c| c == class).map_or(0.0, |i| row[i]);
            loss -= given.max(1e-15).ln();
        }
        let rows = truth.len();
        let scores: Vec<_> = (0..names.len()).map(|i| ClassScore::of(names[i], i, &confusion)).collect();
        let right: usize = (0..names.len()).map(|i| confusion[i][i]).sum();
        let most = scores.iter().map(|s| s.support).max().unwrap_or_default();
        let average = |metric: fn(&ClassScore) -> f64| scores.iter().map(metric).sum::<f64>() / names.len() as f64;
        Self {
            rows,
            accuracy: ratio(right, rows),
            baseline_accuracy: ratio(most, rows),
            precision: average(|s| s.precision),
            recall: average(|s| s.recall),
            f1: average(|s| s.f1),
            log_loss: loss / rows.max(1) as f64,
            classes: scores,
            confusion,
        }
    }
}

impl ClassScore {
    fn of(class: &str, i: usize, confusion: &[Vec<usize>]) -> Self {
        let support: usize = confusion[i].iter().sum();
        let predicted: usize = confusion.iter().map(|row| row[i]).sum();
        let right = confusion[i][i];
        Self {
            class: class.into(),
            support,
            precision: ratio(right, predicted),
            recall: ratio(right, support),
            f1: ratio(2 * right, support + predicted),
        }
    }
}

impl NumberMetrics {
    /// Measures predictions against true values of the same rows.
    pub fn measure(predicted: &[f64], truth: &[f64]) -> Self {
        use smartcore::metrics::{mean_absolute_error, mean_squared_error, r2};
        let (predicted, truth) = (predicted.to_vec(), truth.to_vec());
        Self {
            rows: truth.len(),
            r2: Some(r2(&truth, &predicted)).filter(|r2| r2.is_finite()),
            rmse: mean_squared_error(&truth, &predicted).sqrt(),
            mae: mean_absolute_error(&truth, &predicted),
        }
    }
}

/// The position of the greatest probability, the first one of a tie.
pub fn most_probable(probabilities: &[f64]) -> usize {
    let mut best = 0;
    for (i, p) in probabilities.iter().enumerate() {
        if *p > probabilities[best] {
            best = i;
        }
    }
    best
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(|v| (*v).to_owned()).collect()
    }

    /// Truth a a a b b, predicted a a b b a. For a: 2 right of 3 predicted, 2 of 3 found; for b: 1 of 2 and 1 of 2.
    #[test]
    fn class_metrics_are_those_counted_by_hand() {
        let say = |a: bool| if a { vec![0.8, 0.2] } else { vec![0.2, 0.8] };
        let probabilities = [true, true, false, false, true].map(say).to_vec();
        let m = ClassMetrics::measure(&strings(&["a", "b"]), &probabilities, &strings(&["a", "a", "a", "b", "b"]));
        assert_eq!(m.confusion, [[2, 1], [1, 1]]);
        assert_eq!((m.accuracy, m.baseline_accuracy), (0.6, 0.6));
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        close(m.precision, (2.0 / 3.0 + 0.5) / 2.0);
        close(m.recall, (2.0 / 3.0 + 0.5) / 2.0);
        close(m.f1, (2.0 / 3.0 + 0.5) / 2.0);
        close(m.log_loss, -(3.0 * 0.8_f64.ln() + 2.0 * 0.2_f64.ln()) / 5.0);
    }

    #[test]
    fn a_class_the_model_does_not_know_counts_as_wrong() {
        let m = ClassMetrics::measure(&strings(&["a", "b"]), &[vec![0.9, 0.1], vec![0.9, 0.1]], &strings(&["a", "z"]));
        assert_eq!(m.accuracy, 0.5);
        let z = &m.classes[2];
        assert_eq!((z.class.as_str(), z.support, z.recall), ("z", 1, 0.0));
        assert!(m.log_loss.is_finite());
    }

    /// Truth 1, 2, 3 and predictions 1, 2, 5: errors 0, 0, 2; squares 4 of 2 around the mean, so r² = 1 − 4/2.
    #[test]
    fn number_metrics_are_those_computed_by_hand() {
        let m = NumberMetrics::measure(&[1.0, 2.0, 5.0], &[1.0, 2.0, 3.0]);
        assert!((m.r2.unwrap() + 1.0).abs() < 1e-12);
        assert!((m.rmse - (4.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!((m.mae - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(NumberMetrics::measure(&[1.0, 2.0], &[3.0, 3.0]).r2, None);
    }
}
