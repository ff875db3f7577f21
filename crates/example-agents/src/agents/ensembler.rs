//! `model.ensemble`: combines both models and validates the result.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use tutti_a2a::card::AgentSkill;

use super::{card, compute};
use crate::data::DataError;
use crate::data::table::Table;
use crate::kit::{Outcome, Skill, SkillError, TaskContext};
use crate::models::classifier::Classifier;
use crate::models::ensemble::{TrainedEnsemble, combine};
use crate::models::regressor::Regressor;

/// Input `{dataset, classifier: model, regressor: model}`; output weights and metrics.
pub(super) struct Ensembler;

#[derive(Deserialize)]
struct Input {
    dataset: Table,
    classifier: Classifier,
    regressor: Regressor,
}

#[async_trait]
impl Skill for Ensembler {
    fn card(&self) -> AgentSkill {
        card(
            "model.ensemble",
            "Combine models",
            "Weighs a classifier and a regressor against each other on rows they have not seen, and measures the \
             weighted average on others. Input: dataset (table), classifier and regressor (models).",
            &["ensemble", "validation"],
        )
    }

    async fn run(&self, input: Value, context: &TaskContext) -> Result<Outcome, SkillError> {
        context.status("weighing the models");
        compute(input, ensemble).await.map(Outcome::Done)
    }
}

fn ensemble(input: Input) -> Result<TrainedEnsemble, DataError> {
    let Input { dataset, classifier, regressor } = input;
    combine(&dataset, &classifier, &regressor)
}
