//! `data.analyze`: joins the datasets, describes them and checks whether they are fit for training.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tutti_a2a::card::AgentSkill;

use super::{card, compute};
use crate::data::DataError;
use crate::data::quality::{Quality, check};
use crate::data::statistics::{Correlation, Summary, correlations, describe};
use crate::data::table::Table;
use crate::kit::{Outcome, Skill, SkillError, TaskContext};

/// Input `{datasets: {name: table}, label, target}`; output the joined table and what is known about it.
pub(super) struct Analyzer;

#[derive(Deserialize)]
struct Input {
    datasets: BTreeMap<String, Table>,
    label: String,
    target: String,
}

#[derive(Serialize)]
struct Output {
    rows: usize,
    columns: Vec<String>,
    statistics: BTreeMap<String, Summary>,
    correlations: Vec<Correlation>,
    quality: Quality,
    dataset: Table,
}

#[async_trait]
impl Skill for Analyzer {
    fn card(&self) -> AgentSkill {
        card(
            "data.analyze",
            "Analyze datasets",
            "Joins datasets, describes their columns and checks whether they are fit for machine learning. \
             Input: datasets (object of tables), label and target (column names).",
            &["data", "statistics", "quality"],
        )
    }

    async fn run(&self, input: Value, context: &TaskContext) -> Result<Outcome, SkillError> {
        context.status("joining the datasets");
        compute(input, analyze).await.map(Outcome::Done)
    }
}

fn analyze(input: Input) -> Result<Output, DataError> {
    let Input { datasets, label, target } = input;
    let dataset = Table::join(&datasets.into_values().collect::<Vec<_>>())?;
    Ok(Output {
        rows: dataset.rows(),
        columns: dataset.columns.iter().map(|c| c.name.clone()).collect(),
        statistics: describe(&dataset),
        correlations: correlations(&dataset),
        quality: check(&dataset, &label, &target)?,
        dataset,
    })
}
