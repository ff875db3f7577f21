//! The report: what was found, as Markdown for people and as a summary for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::data::quality::{Quality, Severity};
use crate::data::statistics::{Correlation, Summary};
use crate::models::classifier::TrainedClassifier;
use crate::models::ensemble::{TrainedEnsemble, Weights};
use crate::models::metrics::{ClassMetrics, NumberMetrics};
use crate::models::regressor::TrainedRegressor;

/// How many of the strongest correlations and features are shown.
const SHOWN: usize = 5;

/// The outputs of the other agents.
#[derive(Debug, Deserialize)]
pub(crate) struct Findings {
    #[serde(default = "default_title")]
    title: String,
    quality: Quality,
    statistics: BTreeMap<String, Summary>,
    #[serde(default)]
    correlations: Vec<Correlation>,
    classifier: TrainedClassifier,
    regressor: TrainedRegressor,
    ensemble: TrainedEnsemble,
}

/// The report in numbers.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Summarised {
    verdict: Verdict,
    reasons: Vec<String>,
    quality_score: f64,
    label: String,
    accuracy: f64,
    baseline_accuracy: f64,
    f1: f64,
    target: String,
    r2: Option<f64>,
    rmse: f64,
    mae: f64,
    ensemble: EnsembleSummary,
}

#[derive(Debug, PartialEq, Serialize)]
struct EnsembleSummary {
    accuracy: f64,
    f1: f64,
    r2: Option<f64>,
    rmse: f64,
    label_weights: Weights,
    target_weights: Weights,
}

/// Whether the predictor is fit for use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ready,
    NotReady,
}

/// The report in numbers.
pub(crate) fn summary(findings: &Findings) -> Summarised {
    let Findings { quality, classifier, regressor, ensemble, .. } = findings;
    let (verdict, reasons) = judge(findings);
    Summarised {
        verdict,
        reasons,
        quality_score: quality.score,
        label: classifier.model.label.clone(),
        accuracy: classifier.metrics.accuracy,
        baseline_accuracy: classifier.metrics.baseline_accuracy,
        f1: classifier.metrics.f1,
        target: regressor.model.target.clone(),
        r2: regressor.metrics.r2,
        rmse: regressor.metrics.rmse,
        mae: regressor.metrics.mae,
        ensemble: EnsembleSummary {
            accuracy: ensemble.label.ensemble.accuracy,
            f1: ensemble.label.ensemble.f1,
            r2: ensemble.target.ensemble.r2,
            rmse: ensemble.target.ensemble.rmse,
            label_weights: ensemble.model.label_weights,
            target_weights: ensemble.model.target_weights,
        },
    }
}

/// The sections of the Markdown report, each with its title; together they are the document.
pub(crate) fn sections(findings: &Findings) -> Vec<(&'static str, String)> {
    vec![
        ("verdict", head(findings)),
        ("data", data(findings)),
        ("classifier", classifier(&findings.classifier)),
        ("regressor", regressor(&findings.regressor)),
        ("ensemble", ensemble(findings)),
    ]
}

fn default_title() -> String {
    "Data science report".into()
}

fn judge(findings: &Findings) -> (Verdict, Vec<String>) {
    let Findings { quality, ensemble, .. } = findings;
    let (label, target) = (&ensemble.label.ensemble, &ensemble.target.ensemble);
    let r2 = target.r2.unwrap_or(f64::NEG_INFINITY);
    let checks = [
        (quality.ready, format!("data quality {:.3}, ready: {}", quality.score, yes(quality.ready))),
        (
            label.accuracy > label.baseline_accuracy,
            format!("accuracy {:.3}, always the most frequent class: {:.3}", label.accuracy, label.baseline_accuracy),
        ),
        (r2 > 0.0, format!("r² {}, always the mean: 0", optional(target.r2))),
    ];
    let verdict = if checks.iter().all(|(passed, _)| *passed) { Verdict::Ready } else { Verdict::NotReady };
    let mark = |passed| if passed { "passed" } else { "failed" };
    (verdict, checks.into_iter().map(|(passed, text)| format!("{}: {text}", mark(passed))).collect())
}

fn head(findings: &Findings) -> String {
    let (verdict, reasons) = judge(findings);
    let verdict = match verdict {
        Verdict::Ready => "The predictor is ready.",
        Verdict::NotReady => "The predictor is not ready.",
    };
    let mut text = format!("# {}\n\n**{verdict}**\n\n", plain(&findings.title));
    for reason in reasons {
        line(&mut text, &format!("- {reason}"));
    }
    text
}

fn data(findings: &Findings) -> String {
    let Findings { quality, statistics, correlations, .. } = findings;
    let mut text = format!("\n## Data\n\nQuality score {:.3}.\n\n", quality.score);
    for issue in &quality.issues {
        let column = issue.column.as_ref().map(|c| format!("`{}`: ", plain(c))).unwrap_or_default();
        let weight = if issue.severity == Severity::Blocking { "blocking" } else { "warning" };
        line(&mut text, &format!("- {weight}: {column}{}", plain(&issue.message)));
    }
    text.push_str(
        "\n| Column | Count | Missing | Mean | Std | Min | Median | Max |\n|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for (name, summary) in statistics {
        if let Summary::Number { count, missing, mean, std, min, median, max, .. } = summary {
            let figures = [mean, std, min, median, max].map(|v| optional(*v)).join(" | ");
            line(&mut text, &format!("| {} | {count} | {missing} | {figures} |", plain(name)));
        }
    }
    text.push_str("\n| Column | Count | Missing | Distinct | Most frequent |\n|---|--:|--:|--:|---|\n");
    for (name, summary) in statistics {
        if let Summary::Text { count, missing, distinct, top } = summary {
            let top: Vec<_> = top.iter().take(3).map(|l| format!("{} ({})", plain(&l.value), l.count)).collect();
            line(&mut text, &format!("| {} | {count} | {missing} | {distinct} | {} |", plain(name), top.join(", ")));
        }
    }
    if !correlations.is_empty() {
        text.push_str("\nStrongest correlations:\n\n");
    }
    for Correlation { a, b, r } in correlations.iter().take(SHOWN) {
        line(&mut text, &format!("- {} and {}: {r:.3}", plain(a), plain(b)));
    }
    text
}

fn classifier(trained: &TrainedClassifier) -> String {
    let TrainedClassifier { model, rows, metrics, train_accuracy, method } = trained;
    let mut text = format!(
        "\n## Classifier of `{}`\n\nA {method} of {} features, trained on {} rows, measured on {} others.\n\n",
        plain(&model.label),
        model.encoder.features.len(),
        rows.train,
        rows.test
    );
    line(&mut text, "| Accuracy | Baseline | Precision | Recall | F1 | Log loss | Training accuracy |");
    line(&mut text, "|--:|--:|--:|--:|--:|--:|--:|");
    let ClassMetrics { accuracy, baseline_accuracy, precision, recall, f1, log_loss, .. } = metrics;
    let row = [accuracy, baseline_accuracy, precision, recall, f1, log_loss, train_accuracy];
    line(&mut text, &format!("| {} |", row.map(|v| format!("{v:.3}")).join(" | ")));
    text.push_str("\nPrecision, recall and F1 are means over the classes. Rows by true class (down) and predicted class (across):\n\n");
    let names: Vec<_> = metrics.classes.iter().map(|c| plain(&c.class)).collect();
    line(&mut text, &format!("| | {} |", names.join(" | ")));
    line(&mut text, &format!("|---|{}", "--:|".repeat(names.len())));
    for (name, row) in names.iter().zip(&metrics.confusion) {
        let row: Vec<_> = row.iter().map(ToString::to_string).collect();
        line(&mut text, &format!("| {name} | {} |", row.join(" | ")));
    }
    // Against the mean of the classes: softmax scores mean something only in comparison.
    if let Some(class) = model.scores.len().checked_sub(1) {
        let features = model.encoder.features.iter().enumerate();
        let mean = |j: usize| model.scores.iter().map(|s| s.coefficients[j]).sum::<f64>() / model.scores.len() as f64;
        let weights = features.map(|(j, f)| (f.title(), model.scores[class].coefficients[j] - mean(j)));
        text.push_str(&strongest(&format!("towards `{}`", plain(&model.classes[class])), weights.collect()));
    }
    text
}

fn regressor(trained: &TrainedRegressor) -> String {
    let TrainedRegressor { model, rows, metrics, train_r2, method } = trained;
    let NumberMetrics { r2, rmse, mae, .. } = metrics;
    let mut text = format!(
        "\n## Regressor of `{}`\n\nA {method} of {} features, trained on {} rows, measured on {} others.\n\n",
        plain(&model.target),
        model.encoder.features.len(),
        rows.train,
        rows.test
    );
    line(&mut text, "| r² | RMSE | MAE | Training r² |\n|--:|--:|--:|--:|");
    line(&mut text, &format!("| {} | {rmse:.3} | {mae:.3} | {} |", optional(*r2), optional(*train_r2)));
    let features = model.encoder.features.iter().map(super::data::encode::Feature::title);
    let weights = features.zip(model.value.coefficients.iter().copied()).collect();
    text.push_str(&strongest("on the target, per standard deviation", weights));
    text
}

fn ensemble(findings: &Findings) -> String {
    let TrainedEnsemble { model, rows, label, target, method } = &findings.ensemble;
    let mut text = format!(
        "\n## Ensemble\n\nA {method}; the weights come from {} rows no model was trained on, the metrics from {} others.\n\n",
        rows.validation, rows.test
    );
    line(&mut text, "| Question | Measure | Classifier | Regressor | Ensemble | Weights |\n|---|---|--:|--:|--:|--:|");
    let weights = |w: Weights| format!("{:.2} / {:.2}", w.classifier, w.regressor);
    let mut row = |question: &str, measure: &str, values: [String; 3], weights: String| {
        line(&mut text, &format!("| {} | {measure} | {} | {weights} |", plain(question), values.join(" | ")));
    };
    let (name, w) = (&findings.classifier.model.label, weights(model.label_weights));
    let all = [&label.classifier, &label.regressor, &label.ensemble];
    row(name, "accuracy", all.map(|m| format!("{:.3}", m.accuracy)), w.clone());
    row(name, "log loss", all.map(|m| format!("{:.3}", m.log_loss)), w);
    let (name, w) = (&findings.regressor.model.target, weights(model.target_weights));
    let all = [&target.classifier, &target.regressor, &target.ensemble];
    row(name, "r²", all.map(|m| optional(m.r2)), w.clone());
    row(name, "RMSE", all.map(|m| format!("{:.3}", m.rmse)), w);
    text
}

fn strongest(effect: &str, mut weights: Vec<(String, f64)>) -> String {
    weights.sort_by(|(_, a), (_, b)| b.abs().total_cmp(&a.abs()));
    let mut text = format!("\nStrongest features, {effect}:\n\n");
    for (feature, weight) in weights.iter().take(SHOWN) {
        line(&mut text, &format!("- {}: {weight:+.3}", plain(feature)));
    }
    text
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |v| format!("{v:.3}"))
}

fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// Names come from the CSV: they must not break out of their table cell or line.
fn plain(text: &str) -> String {
    text.replace(['\n', '\r', '`'], " ").replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::quality::check;
    use crate::data::statistics::{correlations, describe};
    use crate::models::{classifier, ensemble, regressor, test_data};

    fn findings() -> Findings {
        let table = test_data::table(300);
        let classifier = classifier::train(&table, "label", &["target"], 42).unwrap();
        let regressor = regressor::train(&table, "target", &["label"], 42).unwrap();
        Findings {
            title: "A | title\nof two lines".into(),
            quality: check(&table, "label", "target").unwrap(),
            statistics: describe(&table),
            correlations: correlations(&table),
            ensemble: ensemble::combine(&table, &classifier.model, &regressor.model).unwrap(),
            classifier,
            regressor,
        }
    }

    #[test]
    fn the_report_states_the_figures_of_the_findings() {
        let findings = findings();
        let text: String = sections(&findings).into_iter().map(|(_, text)| text).collect();
        assert!(text.starts_with("# A \\| title of two lines\n"), "{text}");
        let accuracy = format!("| {:.3} |", findings.classifier.metrics.accuracy);
        let rmse = format!("| {:.3} |", findings.regressor.metrics.rmse);
        assert!(text.contains(&accuracy) && text.contains(&rmse), "{text}");
        assert!(text.contains("- x: +") && text.contains("- group = b: +"), "the features that matter:\n{text}");
        assert!(text.contains("is ready"), "{text}");
    }

    #[test]
    fn a_predictor_that_beats_nothing_is_not_ready() {
        let mut findings = findings();
        assert_eq!(summary(&findings).verdict, Verdict::Ready);
        findings.ensemble.label.ensemble.accuracy = findings.ensemble.label.ensemble.baseline_accuracy;
        let summary = summary(&findings);
        assert_eq!(summary.verdict, Verdict::NotReady);
        assert!(summary.reasons[1].starts_with("failed: accuracy"), "{:?}", summary.reasons);
        assert!(summary.reasons[0].starts_with("passed"));
    }
}
