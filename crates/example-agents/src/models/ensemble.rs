//! The ensemble: one predictor of label and target from both models.
//!
//! Each model gives an opinion on both questions. On the label, the classifier gives probabilities, and the regressor's
//! prediction is turned to probabilities by a logistic regression of the label on that one number. On the target, the
//! regressor gives a number, and the classifier the mean target of the classes, weighted by their probabilities.
//! The opinions are averaged with the weights that do best on the validation rows, which neither model has learned
//! from; the metrics come from the test rows, which the weights have not seen either.

use serde::{Deserialize, Serialize};

use super::classifier::{Classifier, labels};
use super::linear::{Linear, fit_classes, softmax};
use super::metrics::{ClassMetrics, NumberMetrics};
use super::regressor::{Regressor, targets};
use super::{KnownSplit, RowCounts, at};
use crate::data::DataError;
use crate::data::sample::split;
use crate::data::statistics::{mean, std};
use crate::data::table::Table;

/// The weights that are tried for the label: hundredths.
const STEPS: u32 = 100;

/// How much each model counts; the two sum to one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// The classifier's weight, 0 to 1.
    pub classifier: f64,
    /// The regressor's weight, 0 to 1.
    pub regressor: f64,
}

/// One predictor made of two models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ensemble {
    /// The weights for the label.
    pub label_weights: Weights,
    /// The weights for the target.
    pub target_weights: Weights,
    /// The regressor's opinion on the label: class scores from its standardised prediction.
    pub link: Link,
    /// The classifier's opinion on the target: the mean target of each class among the training rows.
    pub class_means: Vec<f64>,
}

/// Class scores as a function of one number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Mean of the number among the training rows.
    pub mean: f64,
    /// Its standard deviation.
    pub std: f64,
    /// The score of each class, in the classifier's order.
    pub scores: Vec<Linear>,
}

/// Metrics of the ensemble and of each opinion alone, on the same test rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison<M> {
    /// Both models together.
    pub ensemble: M,
    /// The classifier's opinion alone.
    pub classifier: M,
    /// The regressor's opinion alone.
    pub regressor: M,
}

/// An ensemble, and how it does on rows that neither model nor weights have seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainedEnsemble {
    /// The method, for people.
    pub method: String,
    /// The predictor; it needs both models beside it.
    pub model: Ensemble,
    /// The rows used: those with both a label and a target.
    pub rows: RowCounts,
    /// On the label.
    pub label: Comparison<ClassMetrics>,
    /// On the target.
    pub target: Comparison<NumberMetrics>,
}

/// What both models say about every row.
struct Opinions {
    classifier_label: Vec<Vec<f64>>,
    regressor_label: Vec<Vec<f64>>,
    classifier_target: Vec<f64>,
    regressor_target: Vec<f64>,
}

/// Combines a classifier and a regressor that were trained on the same rows with the same seed.
///
/// # Errors
/// [`DataError::Mismatch`] when the models come from different splits, other [`DataError`]s when the table lacks what
/// they need or has too few rows with both a label and a target.
pub fn combine(table: &Table, classifier: &Classifier, regressor: &Regressor) -> Result<TrainedEnsemble, DataError> {
    if classifier.seed != regressor.seed {
        let (a, b) = (classifier.seed, regressor.seed);
        return Err(DataError::Mismatch(format!("the models were trained on different splits (seeds {a} and {b})")));
    }
    let classes = labels(table.column("label", &classifier.label)?)?;
    let numbers = targets(table.column("target", &regressor.target)?)?;
    let both = |row: usize| classes[row].is_some() && numbers[row].is_some();
    let known = KnownSplit::new(&split(table.rows(), classifier.seed)?, both, "with label and target to test on")?;
    let rows = &known.0;
    let class = |row: &usize| classes[*row].clone().expect("rows of a known split have a label");
    let number = |row: &usize| numbers[*row].expect("rows of a known split have a target");
    let truth_of = |rows: &[usize]| -> (Vec<String>, Vec<f64>) {
        (rows.iter().map(class).collect(), rows.iter().map(number).collect())
    };

    let predicted = regressor.predict(table)?;
    let (train_classes, train_numbers) = truth_of(&rows.train);
    let link = Link::fit(&classifier.classes, &at(&predicted, &rows.train), &train_classes)?;
    let class_means = class_means(&classifier.classes, &train_classes, &train_numbers);
    let opinions = Opinions::of(classifier.probabilities(table)?, predicted, &link, &class_means);

    let (check_classes, check_numbers) = truth_of(&rows.validation);
    let label_weights = opinions.label_weights(&rows.validation, &classifier.classes, &check_classes);
    let target_weights = opinions.target_weights(&rows.validation, &check_numbers);
    let model = Ensemble { label_weights, target_weights, link, class_means };

    let (test_classes, test_numbers) = truth_of(&rows.test);
    Ok(TrainedEnsemble {
        method: "weighted average of both models' opinions".into(),
        label: opinions.measure_label(label_weights, &rows.test, &classifier.classes, &test_classes),
        target: opinions.measure_target(target_weights, &rows.test, &test_numbers),
        rows: known.counts(),
        model,
    })
}

impl Weights {
    fn classifier(weight: f64) -> Self {
        Self { classifier: weight, regressor: 1.0 - weight }
    }

    fn average(self, classifier: f64, regressor: f64) -> f64 {
        self.classifier * classifier + self.regressor * regressor
    }

    fn average_rows(self, classifier: &[Vec<f64>], regressor: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let row = |(c, r): (&Vec<f64>, &Vec<f64>)| c.iter().zip(r).map(|(c, r)| self.average(*c, *r)).collect();
        classifier.iter().zip(regressor).map(row).collect()
    }
}

impl Link {
    fn fit(classes: &[String], numbers: &[f64], truth: &[String]) -> Result<Self, DataError> {
        let mean = mean(numbers).unwrap_or_default();
        let std = std(numbers).filter(|std| *std > 0.0).unwrap_or(1.0);
        let x: Vec<Vec<f64>> = numbers.iter().map(|n| vec![(n - mean) / std]).collect();
        let y: Vec<usize> = truth.iter().map(|class| classes.partition_point(|c| c < class)).collect();
        Ok(Self { mean, std, scores: fit_classes(&x, &y, classes.len(), 1.0)? })
    }

    fn probabilities(&self, number: f64) -> Vec<f64> {
        let x = [(number - self.mean) / self.std];
        softmax(&self.scores.iter().map(|score| score.value(&x)).collect::<Vec<_>>())
    }
}

impl Opinions {
    fn of(classifier_label: Vec<Vec<f64>>, predicted: Vec<f64>, link: &Link, class_means: &[f64]) -> Self {
        let expected = |row: &Vec<f64>| row.iter().zip(class_means).map(|(p, mean)| p * mean).sum();
        Self {
            classifier_target: classifier_label.iter().map(expected).collect(),
            regressor_label: predicted.iter().map(|number| link.probabilities(*number)).collect(),
            classifier_label,
            regressor_target: predicted,
        }
    }

    /// The weights of the least log loss, among hundredths; the classifier, whose question it is, wins a tie.
    fn label_weights(&self, rows: &[usize], classes: &[String], truth: &[String]) -> Weights {
        let (c, r) = (at(&self.classifier_label, rows), at(&self.regressor_label, rows));
        let loss = |step: u32| {
            let weights = Weights::classifier(f64::from(step) / f64::from(STEPS));
            ClassMetrics::measure(classes, &weights.average_rows(&c, &r), truth).log_loss
        };
        let best = (0..=STEPS).rev().min_by(|a, b| loss(*a).total_cmp(&loss(*b))).unwrap_or(STEPS);
        Weights::classifier(f64::from(best) / f64::from(STEPS))
    }

    /// The weights of the least squared error, which have a closed form: with d = classifier − regressor,
    /// the classifier's is Σ d · (truth − regressor) / Σ d², within 0 and 1.
    fn target_weights(&self, rows: &[usize], truth: &[f64]) -> Weights {
        let (mut across, mut along) = (0.0, 0.0);
        for (&row, truth) in rows.iter().zip(truth) {
            let d = self.classifier_target[row] - self.regressor_target[row];
            across += d * (truth - self.regressor_target[row]);
            along += d * d;
        }
        Weights::classifier(if along > 0.0 { (across / along).clamp(0.0, 1.0) } else { 0.0 })
    }

    fn measure_label(
        &self,
        weights: Weights,
        rows: &[usize],
        classes: &[String],
        truth: &[String],
    ) -> Comparison<ClassMetrics> {
        let (c, r) = (at(&self.classifier_label, rows), at(&self.regressor_label, rows));
        let measure = |probabilities: &[Vec<f64>]| ClassMetrics::measure(classes, probabilities, truth);
        let ensemble = measure(&weights.average_rows(&c, &r));
        Comparison { ensemble, classifier: measure(&c), regressor: measure(&r) }
    }

    fn measure_target(&self, weights: Weights, rows: &[usize], truth: &[f64]) -> Comparison<NumberMetrics> {
        let (c, r) = (at(&self.classifier_target, rows), at(&self.regressor_target, rows));
        let average: Vec<f64> = c.iter().zip(&r).map(|(c, r)| weights.average(*c, *r)).collect();
        let measure = |predicted: &[f64]| NumberMetrics::measure(predicted, truth);
        Comparison { ensemble: measure(&average), classifier: measure(&c), regressor: measure(&r) }
    }
}

fn class_means(classes: &[String], truth: &[String], numbers: &[f64]) -> Vec<f64> {
    let overall = mean(numbers).unwrap_or_default();
    let of_class = |class: &String| {
        let own: Vec<f64> = truth.iter().zip(numbers).filter(|(c, _)| *c == class).map(|(_, n)| *n).collect();
        mean(&own).unwrap_or(overall)
    };
    classes.iter().map(of_class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{classifier, regressor, test_data};

    fn opinions(classifier_target: &[f64], regressor_target: &[f64]) -> Opinions {
        Opinions {
            classifier_label: vec![vec![0.9, 0.1], vec![0.2, 0.8]],
            regressor_label: vec![vec![0.5, 0.5], vec![0.5, 0.5]],
            classifier_target: classifier_target.to_vec(),
            regressor_target: regressor_target.to_vec(),
        }
    }

    /// The truth lies a quarter of the way from the regressor (0) to the classifier (4): 1.
    #[test]
    fn target_weights_are_the_closed_form() {
        let weights = opinions(&[4.0, 8.0], &[0.0, 4.0]).target_weights(&[0, 1], &[1.0, 5.0]);
        assert!((weights.classifier - 0.25).abs() < 1e-12 && (weights.regressor - 0.75).abs() < 1e-12);
        let outside = opinions(&[4.0, 8.0], &[0.0, 4.0]).target_weights(&[0, 1], &[9.0, 13.0]);
        assert_eq!(outside, Weights { classifier: 1.0, regressor: 0.0 });
    }

    #[test]
    fn the_opinion_that_is_right_gets_the_weight() {
        let (classes, o) = (["a".to_owned(), "b".to_owned()], opinions(&[0.0; 2], &[0.0; 2]));
        let right = o.label_weights(&[0, 1], &classes, &["a".to_owned(), "b".to_owned()]);
        let wrong = o.label_weights(&[0, 1], &classes, &["b".to_owned(), "a".to_owned()]);
        assert_eq!((right.classifier, wrong.classifier), (1.0, 0.0));
    }

    #[test]
    fn combined_models_are_measured_on_the_rows_neither_has_seen() {
        let table = test_data::table(300);
        let alpha = classifier::train(&table, "label", &["target"], 42).unwrap();
        let beta = regressor::train(&table, "target", &["label"], 42).unwrap();
        let combined = combine(&table, &alpha.model, &beta.model).unwrap();
        assert_eq!(combined.label.classifier, alpha.metrics, "the same test rows");
        assert_eq!(combined.target.regressor, beta.metrics);
        for w in [combined.model.label_weights, combined.model.target_weights] {
            assert!((w.classifier + w.regressor - 1.0).abs() < 1e-12 && (0.0..=1.0).contains(&w.classifier));
        }
        assert!(combined.label.ensemble.accuracy > combined.label.ensemble.baseline_accuracy);
    }

    #[test]
    fn models_of_different_splits_are_refused() {
        let table = test_data::table(300);
        let alpha = classifier::train(&table, "label", &["target"], 1).unwrap();
        let beta = regressor::train(&table, "target", &["label"], 2).unwrap();
        let error = combine(&table, &alpha.model, &beta.model).unwrap_err();
        assert!(error.to_string().contains("seeds 1 and 2"), "{error}");
    }
}
