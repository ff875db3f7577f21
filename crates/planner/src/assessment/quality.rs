//! How the results of a plan are to be checked.

use std::collections::BTreeMap;

use serde::Serialize;
use tutti_core::ids::StepId;
use tutti_core::plan::Plan;
use tutti_core::workflow::{Step, StepKind};

use crate::words::words;

/// What results must reach: step 0.9, completeness 0.9, accuracy 0.95.
const THRESHOLDS: [(&str, f64); 3] = [("accuracy", 0.95), ("completeness", 0.9), ("quality", 0.9)];

/// Domains by beginnings of words that tell of them; the first one counts.
const DOMAINS: [(&str, &[&str]); 4] = [
    ("CODING", &["code", "coding", "compil", "deploy", "program", "refactor", "software"]),
    ("ANALYTICAL", &["analy", "data", "statistic", "model", "metric", "forecast", "train", "research", "report"]),
    ("CREATIVE", &["creat", "design", "draft", "story", "write", "writing", "paint"]),
    ("COMMUNICATION", &["notif", "mail", "message", "announce", "translat", "summar", "sms"]),
];

/// How the results of a plan are to be checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QualityPlan {
    /// What results must reach.
    pub thresholds: BTreeMap<String, f64>,
    /// Every step that an agent does, in the order of the workflow.
    pub tasks: Vec<StepQuality>,
    /// Share of the steps that have a check.
    pub coverage: f64,
}

/// How the result of a step is to be checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepQuality {
    /// The step.
    pub task: StepId,
    /// The domain of its result, told by its words.
    pub domain: &'static str,
    /// What is checked: fields that the step's mapping names, and that there is an output.
    pub checks: Vec<String>,
    /// True if a result that is not good enough goes on to other steps.
    pub feeds_others: bool,
}

impl QualityPlan {
    pub(super) fn new(plan: &Plan) -> Self {
        let asked = (0..).zip(&plan.workflow().steps).filter(|(_, step)| matches!(step.kind(), StepKind::Call(_)));
        let task = |(index, step): (u32, &Step)| StepQuality {
            task: step.id.clone(),
            domain: domain(step),
            checks: checks(step),
            feeds_others: !plan.topology().successors(index).is_empty(),
        };
        let tasks: Vec<StepQuality> = asked.map(task).collect();
        let checked = tasks.iter().filter(|task| !task.checks.is_empty()).count();
        Self {
            thresholds: THRESHOLDS.iter().map(|(name, least)| ((*name).to_owned(), *least)).collect(),
            coverage: if tasks.is_empty() { 1.0 } else { checked as f64 / tasks.len() as f64 },
            tasks,
        }
    }
}

/// The domain that the words of a step tell of.
fn domain(step: &Step) -> &'static str {
    let said: Vec<String> = [Some(step.does()), step.task_type.as_deref(), step.action.as_deref()]
        .into_iter()
        .flatten()
        .flat_map(words)
        .collect();
    let tells = |beginnings: &[&str]| beginnings.iter().any(|begin| said.iter().any(|word| word.starts_with(begin)));
    DOMAINS.iter().find(|(_, beginnings)| tells(beginnings)).map_or("GENERIC", |(domain, _)| domain)
}

fn checks(step: &Step) -> Vec<String> {
    let mut checks = vec!["output is not empty".to_owned()];
    let needed = step.output.iter().filter(|(_, to)| !to.optional);
    checks.extend(needed.filter_map(|(field, _)| match field {
        tutti_core::workflow::OutputField::Member(name) => Some(format!("output has {name}")),
        tutti_core::workflow::OutputField::Whole => None,
    }));
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;

    #[test]
    fn domains_follow_from_the_words() {
        let plan = plan(
            "- {id: a, capability: data.clean, output: {rows: rows}}\n- {id: b, capability: mail.send, depends_on: [a]}\n\
             - {id: c, capability: page.write}\n- {id: d, capability: site.deploy}\n- {id: e, capability: hotel}\n\
             - {id: f, sleep: 1s}\n",
        );
        let found = QualityPlan::new(&plan);
        let domains: Vec<_> = found.tasks.iter().map(|task| task.domain).collect();
        assert_eq!(domains, ["ANALYTICAL", "COMMUNICATION", "CREATIVE", "CODING", "GENERIC"]);
        assert_eq!(found.tasks[0].checks, ["output is not empty", "output has rows"]);
        assert_eq!((found.tasks[0].feeds_others, found.tasks[1].feeds_others, found.coverage), (true, false, 1.0));
    }
}
