//! `model.train.classification` and `model.train.regression`: each trains one model and measures it on unseen rows.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use tutti_a2a::card::AgentSkill;

use super::{card, compute, default_seed, no_features};
use crate::data::DataError;
use crate::data::table::Table;
use crate::kit::{Outcome, Skill, SkillError, TaskContext};
use crate::models::classifier::{self, TrainedClassifier};
use crate::models::regressor::{self, TrainedRegressor};

/// Trains the classifier. Input `{dataset, label, target, exclude?: [column], seed?}`.
pub(super) struct Alpha;

/// Trains the regressor, with the same input.
pub(super) struct Beta;

/// Label and target are features of neither model: each is what the other question is about.
#[derive(Deserialize)]
struct Input {
    dataset: Table,
    label: String,
    target: String,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default = "default_seed")]
    seed: u64,
}

#[async_trait]
impl Skill for Alpha {
    fn card(&self) -> AgentSkill {
        card(
            "model.train.classification",
            "Train a classifier",
            "Trains a logistic regression on 60 % of the rows and measures it on 20 % it has not seen. \
             Input: dataset (table), label and target (column names), exclude and seed (optional).",
            &["training", "classification"],
        )
    }

    async fn run(&self, input: Value, context: &TaskContext) -> Result<Outcome, SkillError> {
        context.status("training a logistic regression");
        compute(input, classify).await.map(Outcome::Done)
    }
}

#[async_trait]
impl Skill for Beta {
    fn card(&self) -> AgentSkill {
        card(
            "model.train.regression",
            "Train a regressor",
            "Trains a ridge regression on 60 % of the rows and measures it on 20 % it has not seen. \
             Input: dataset (table), label and target (column names), exclude and seed (optional).",
            &["training", "regression"],
        )
    }

    async fn run(&self, input: Value, context: &TaskContext) -> Result<Outcome, SkillError> {
        context.status("training a ridge regression");
        compute(input, regress).await.map(Outcome::Done)
    }
}

fn classify(input: Input) -> Result<TrainedClassifier, DataError> {
    let Input { dataset, label, target, exclude, seed } = input;
    classifier::train(&dataset, &label, &no_features(&dataset, &exclude, &[&target])?, seed)
}

fn regress(input: Input) -> Result<TrainedRegressor, DataError> {
    let Input { dataset, label, target, exclude, seed } = input;
    regressor::train(&dataset, &target, &no_features(&dataset, &exclude, &[&label])?, seed)
}
