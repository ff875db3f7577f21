//! The two fits, as plain coefficients: softmax (logistic) regression and ridge regression.

use serde::{Deserialize, Serialize};
use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters};
use smartcore::linear::ridge_regression::{RidgeRegression, RidgeRegressionParameters};

use crate::data::DataError;
use crate::data::statistics::mean;

/// A linear function of the features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    /// The value where every feature is zero.
    pub intercept: f64,
    /// One per feature.
    pub coefficients: Vec<f64>,
}

impl Linear {
    /// The value at one row of features.
    pub fn value(&self, row: &[f64]) -> f64 {
        self.intercept + self.coefficients.iter().zip(row).map(|(c, x)| c * x).sum::<f64>()
    }
}

/// Fits class scores, whose softmax are the probabilities of the classes 0 to `classes` − 1: logistic regression with
/// an L2 penalty of `alpha`/2 · |coefficients|². Of two classes the first has the score zero.
///
/// # Errors
/// [`DataError::Mismatch`] when fewer than two classes occur, or the fit does not end in numbers.
pub fn fit_classes(x: &[Vec<f64>], y: &[usize], classes: usize, alpha: f64) -> Result<Vec<Linear>, DataError> {
    let labels: Vec<u32> = y.iter().map(|&class| class as u32).collect();
    let parameters = LogisticRegressionParameters::default().with_alpha(alpha);
    let model = LogisticRegression::fit(&matrix(x)?, &labels, parameters).map_err(|e| failed(&e))?;
    if model.classes().len() != classes {
        return Err(DataError::Mismatch("a class is missing among the training rows".into()));
    }
    let (coefficients, intercepts) = (model.coefficients(), model.intercept());
    let (rows, features) = coefficients.shape();
    let linear = |row: usize, intercept: f64| Linear {
        intercept,
        coefficients: (0..features).map(|feature| *coefficients.get((row, feature))).collect(),
    };
    let fitted = if classes == 2 {
        vec![Linear { intercept: 0.0, coefficients: vec![0.0; features] }, linear(0, *intercepts.get((0, 0)))]
    } else {
        (0..rows).map(|row| linear(row, *intercepts.get((row, 0)))).collect()
    };
    finite(fitted)
}

/// Fits a number: least squares with an L2 penalty of `alpha` · |coefficients|², the intercept not penalised.
///
/// # Errors
/// [`DataError::Mismatch`] when there are not more rows than features, or the fit does not end in numbers.
pub fn fit_number(x: &[Vec<f64>], y: &[f64], alpha: f64) -> Result<Linear, DataError> {
    let features = x.first().map_or(0, Vec::len);
    if x.len() <= features {
        let rows = x.len();
        return Err(DataError::Mismatch(format!("{rows} training rows are too few for {features} features")));
    }
    // Around the means the intercept drops out, so that the penalty does not touch it.
    let centre = mean(y).unwrap_or_default();
    let means: Vec<f64> = (0..features).map(|j| x.iter().map(|row| row[j]).sum::<f64>() / x.len() as f64).collect();
    let centred: Vec<Vec<f64>> = x.iter().map(|row| row.iter().zip(&means).map(|(v, m)| v - m).collect()).collect();
    let target: Vec<f64> = y.iter().map(|v| v - centre).collect();
    let parameters = RidgeRegressionParameters::default().with_alpha(alpha).with_normalize(false);
    let model = RidgeRegression::fit(&matrix(&centred)?, &target, parameters).map_err(|e| failed(&e))?;
    let coefficients: Vec<f64> = (0..features).map(|j| *model.coefficients().get((j, 0))).collect();
    let shift: f64 = coefficients.iter().zip(&means).map(|(c, m)| c * m).sum();
    let mut fitted = finite(vec![Linear { intercept: centre - shift, coefficients }])?;
    Ok(fitted.remove(0))
}

/// Probabilities that sum to one, from scores.
pub fn softmax(scores: &[f64]) -> Vec<f64> {
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| (score - top).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

fn matrix(x: &[Vec<f64>]) -> Result<DenseMatrix<f64>, DataError> {
    let features = x.first().map_or(0, Vec::len);
    DenseMatrix::new(x.len(), features, x.concat(), false).map_err(|e| failed(&e))
}

fn failed(error: &smartcore::error::Failed) -> DataError {
    DataError::Mismatch(format!("the model cannot be fitted: {error}"))
}

fn finite(fitted: Vec<Linear>) -> Result<Vec<Linear>, DataError> {
    let numbers = fitted.iter().all(|l| l.intercept.is_finite() && l.coefficients.iter().all(|c| c.is_finite()));
    if numbers {
        return Ok(fitted);
    }
    Err(DataError::Mismatch("the model cannot be fitted: its coefficients are not finite".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() < tolerance, "{a} is not {b}");
    }

    /// With one 0/1 feature the maximum likelihood is known: the logit of the share of ones in each group.
    /// Of 10 rows at x = 0 two are ones, of 10 at x = 1 seven are.
    #[test]
    fn logistic_regression_finds_the_logits_of_two_groups() {
        let x: Vec<Vec<f64>> = (0..20).map(|i| vec![f64::from(u8::from(i >= 10))]).collect();
        let y: Vec<usize> = (0..20).map(|i| usize::from(if i < 10 { i < 2 } else { i < 17 })).collect();
        let fitted = fit_classes(&x, &y, 2, 0.0).unwrap();
        let logit = |p: f64| (p / (1.0 - p)).ln();
        close(fitted[1].intercept, logit(0.2), 1e-4);
        close(fitted[1].coefficients[0], logit(0.7) - logit(0.2), 1e-4);
        assert_eq!(fitted[0], Linear { intercept: 0.0, coefficients: vec![0.0] });
    }

    /// Without a varying feature the probabilities are the shares of the classes: 10, 20 and 30 of 60.
    #[test]
    fn softmax_regression_finds_the_shares_of_three_classes() {
        let x = vec![vec![0.0]; 60];
        let y: Vec<usize> = (0..60)
            .map(|i| {
                if i < 10 {
                    0
                } else if i < 30 {
                    1
                } else {
                    2
                }
            })
            .collect();
        let fitted = fit_classes(&x, &y, 3, 0.0).unwrap();
        let scores: Vec<f64> = fitted.iter().map(|linear| linear.value(&[0.0])).collect();
        for (p, share) in softmax(&scores).into_iter().zip([10.0, 20.0, 30.0]) {
            close(p, share / 60.0, 1e-4);
        }
    }

    /// y = 3 + 2a − b exactly, so without a penalty the plane comes back.
    #[test]
    fn least_squares_finds_an_exact_plane() {
        let x: Vec<Vec<f64>> = (0..9).map(|i| vec![f64::from(i % 3), f64::from(i / 3)]).collect();
        let y: Vec<f64> = x.iter().map(|row| 3.0 + 2.0 * row[0] - row[1]).collect();
        let fitted = fit_number(&x, &y, 0.0).unwrap();
        close(fitted.intercept, 3.0, 1e-9);
        close(fitted.coefficients[0], 2.0, 1e-9);
        close(fitted.coefficients[1], -1.0, 1e-9);
    }

    /// One feature, x = −1, 0, 1 and y = 5, 7, 9: Σxy = 4, Σx² = 2, so the slope is 4 / (2 + alpha); the mean stays 7.
    #[test]
    fn the_penalty_shrinks_the_slope_and_not_the_intercept() {
        let x = vec![vec![-1.0], vec![0.0], vec![1.0]];
        let fitted = fit_number(&x, &[5.0, 7.0, 9.0], 2.0).unwrap();
        close(fitted.coefficients[0], 1.0, 1e-12);
        close(fitted.intercept, 7.0, 1e-12);
    }

    #[test]
    fn what_cannot_be_fitted_is_told() {
        let few = fit_number(&[vec![1.0, 2.0]], &[1.0], 1.0).unwrap_err().to_string();
        assert_eq!(few, "1 training rows are too few for 2 features");
        let one = fit_classes(&[vec![1.0], vec![2.0]], &[0, 0], 2, 1.0).unwrap_err().to_string();
        assert!(one.contains("number of classes: 1"), "{one}");
    }

    #[test]
    fn softmax_is_safe_for_large_scores() {
        assert_eq!(softmax(&[1000.0, 1000.0]), [0.5, 0.5]);
    }
}
