//! Skills that are functions: JSON in, JSON out, the same for the same input.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tutti_a2a::card::AgentSkill;

use crate::kit::{Chunk, Outcome, Skill, SkillError, TaskContext};

/// A function's output, and a file beside it.
type Made = (Value, Option<Chunk>);

/// A skill that is a function of its input.
struct Function {
    card: AgentSkill,
    work: Box<dyn Fn(Value) -> Result<Made, String> + Send + Sync>,
}

/// A skill by its id, what it does in words, and the function that does it. A message of the function's error tells the
/// caller what is wrong with the input.
pub(super) fn function<I, O, F>(id: &str, description: &str, work: F) -> Arc<dyn Skill>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Fn(&I) -> Result<O, String> + Send + Sync + 'static,
{
    made(id, description, move |input| Ok((work(input)?, None)))
}

/// As [`function`], with a file that becomes an artifact.
pub(super) fn with_file<I, O, F>(id: &str, description: &str, work: F) -> Arc<dyn Skill>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Fn(&I) -> Result<(O, Chunk), String> + Send + Sync + 'static,
{
    made(id, description, move |input| work(input).map(|(output, file)| (output, Some(file))))
}

fn made<I, O, F>(id: &str, description: &str, work: F) -> Arc<dyn Skill>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Fn(&I) -> Result<(O, Option<Chunk>), String> + Send + Sync + 'static,
{
    let work = move |input: Value| {
        let input: I = serde_json::from_value(input).map_err(|e| format!("the input cannot be used: {e}"))?;
        let (output, file) = work(&input)?;
        let output = serde_json::to_value(output).map_err(|e| format!("the result is not JSON: {e}"))?;
        Ok((output, file))
    };
    let card = AgentSkill {
        id: id.into(),
        name: id.replace(['.', '_'], " "),
        description: description.into(),
        tags: vec!["example".into()],
        ..Default::default()
    };
    Arc::new(Function { card, work: Box::new(work) })
}

#[async_trait]
impl Skill for Function {
    fn card(&self) -> AgentSkill {
        self.card.clone()
    }

    async fn run(&self, input: Value, context: &TaskContext) -> Result<Outcome, SkillError> {
        // A second try would end no other way, so the task is rejected rather than failed.
        let (output, file) = (self.work)(input).map_err(SkillError::Rejected)?;
        if let Some(file) = file {
            context.artifact(file.last());
        }
        Ok(Outcome::Done(output))
    }
}
