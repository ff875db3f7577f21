//! `report.write`: the report, as Markdown in chunks and as a summary.

use async_trait::async_trait;
use serde_json::Value;
use tutti_a2a::card::AgentSkill;

use super::{card, read};
use crate::kit::{Chunk, Outcome, Skill, SkillError, TaskContext};
use crate::report::{Findings, sections, summary};

/// Input [`Findings`]; output the summary, and the artifact `report.md`, one chunk per section.
pub(super) struct Reporter;

#[async_trait]
impl Skill for Reporter {
    fn card(&self) -> AgentSkill {
        let mut card = card(
            "report.write",
            "Write a report",
            "Writes a Markdown report of the data, both models and their ensemble, with a verdict. \
             Input: title, quality, statistics, correlations, classifier, regressor, ensemble.",
            &["report", "markdown"],
        );
        card.output_modes = vec![tutti_a2a::JSON_MEDIA_TYPE.into(), "text/markdown".into()];
        card
    }

    async fn run(&self, input: Value, context: &TaskContext) -> Result<Outcome, SkillError> {
        let findings: Findings = read(input)?;
        let sections = sections(&findings);
        let count = sections.len();
        for (i, (title, text)) in sections.into_iter().enumerate() {
            context.progress(i as f64 / count as f64, &format!("writing: {title}"));
            let mut chunk = Chunk::text("report.md", "text/markdown", text);
            if i > 0 {
                chunk = chunk.append();
            }
            if i + 1 == count {
                chunk = chunk.last();
            }
            context.artifact(chunk);
        }
        let summary = serde_json::to_value(summary(&findings));
        summary.map(Outcome::Done).map_err(|e| SkillError::Failed(format!("the summary is not JSON: {e}")))
    }
}
