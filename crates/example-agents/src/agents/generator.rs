//! `data.generate`: draws one of three disjoint samples of a CSV.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tutti_a2a::card::AgentSkill;

use super::{card, compute, default_seed};
use crate::data::DataError;
use crate::data::sample::{Part, part};
use crate::data::statistics::{Summary, describe};
use crate::data::table::Table;
use crate::kit::{Outcome, Skill, SkillError, TaskContext};

/// Input `{csv, part: "a"|"b"|"c", seed?}`; output the sample as a table, and its profile.
pub(super) struct Generator;

#[derive(Deserialize)]
struct Input {
    csv: String,
    part: Part,
    #[serde(default = "default_seed")]
    seed: u64,
}

#[derive(Serialize)]
struct Output {
    part: Part,
    seed: u64,
    source_rows: usize,
    #[serde(flatten)]
    sample: Table,
    profile: BTreeMap<String, Summary>,
}

#[async_trait]
impl Skill for Generator {
    fn card(&self) -> AgentSkill {
        card(
            "data.generate",
            "Generate a dataset",
            "Draws a third of the rows of a CSV. The three parts of one seed are disjoint and complete. \
             Input: csv (text), part (a, b or c), seed (optional).",
            &["data", "csv", "sampling"],
        )
    }

    async fn run(&self, input: Value, context: &TaskContext) -> Result<Outcome, SkillError> {
        context.status("reading the CSV");
        compute(input, generate).await.map(Outcome::Done)
    }
}

fn generate(input: Input) -> Result<Output, DataError> {
    let Input { csv, part: which, seed } = input;
    let table = Table::parse(&csv)?;
    let sample = table.pick(&part(table.rows(), which, seed));
    Ok(Output { part: which, seed, source_rows: table.rows(), profile: describe(&sample), sample })
}
