//! The agents of the data-science example: what each takes, does and gives.

mod analyzer;
mod ensembler;
mod generator;
mod reporter;
mod trainer;

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tutti_a2a::card::AgentSkill;

use crate::data::DataError;
use crate::data::table::Table;
use crate::kit::{Skill, SkillError};

/// The names of the agents.
pub(crate) const NAMES: [&str; 8] =
    ["generator-a", "generator-b", "generator-c", "analyzer", "trainer-alpha", "trainer-beta", "ensembler", "reporter"];

/// The seed when the input names none.
fn default_seed() -> u64 {
    42
}

/// What the agent of that name does.
pub(crate) fn skill(name: &str) -> Option<Arc<dyn Skill>> {
    let skill: Arc<dyn Skill> = match name {
        "generator-a" | "generator-b" | "generator-c" => Arc::new(generator::Generator),
        "analyzer" => Arc::new(analyzer::Analyzer),
        "trainer-alpha" => Arc::new(trainer::Alpha),
        "trainer-beta" => Arc::new(trainer::Beta),
        "ensembler" => Arc::new(ensembler::Ensembler),
        "reporter" => Arc::new(reporter::Reporter),
        _ => return None,
    };
    Some(skill)
}

/// Reads the input, works on it on a thread of its own, and gives the answer as JSON.
async fn compute<I, O, F>(input: Value, work: F) -> Result<Value, SkillError>
where
    I: DeserializeOwned,
    O: Serialize,
    F: FnOnce(I) -> Result<O, DataError> + Send + 'static,
{
    let job = move || {
        let input = read(input)?;
        let output = work(input).map_err(|e| SkillError::Failed(e.to_string()))?;
        serde_json::to_value(output).map_err(|e| SkillError::Failed(format!("the result is not JSON: {e}")))
    };
    tokio::task::spawn_blocking(job).await.map_err(|e| SkillError::Failed(format!("the computation broke off: {e}")))?
}

/// Reads the input of an agent.
fn read<I: DeserializeOwned>(input: Value) -> Result<I, SkillError> {
    serde_json::from_value(input).map_err(|e| SkillError::Failed(format!("the input cannot be used: {e}")))
}

/// The columns that are no features: those the input excludes, which must exist, and those with another role.
fn no_features<'a>(table: &Table, excluded: &'a [String], others: &[&'a str]) -> Result<Vec<&'a str>, DataError> {
    for name in excluded {
        table.column("excluded", name)?;
    }
    Ok(excluded.iter().map(String::as_str).chain(others.iter().copied()).collect())
}

fn card(id: &str, name: &str, description: &str, tags: &[&str]) -> AgentSkill {
    AgentSkill {
        id: id.into(),
        name: name.into(),
        description: description.into(),
        tags: tags.iter().map(|&tag| tag.into()).collect(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_skill_and_no_other_does() {
        assert!(NAMES.iter().all(|name| skill(name).is_some()));
        assert!(skill("nobody").is_none());
    }
}
