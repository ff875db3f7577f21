//! Which strategy `auto` is.

use super::Member;
use crate::workflow::{Aggregate, Aggregation, TaskKind};

/// A strategy, and why it is this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Never [`Aggregation::Auto`].
    pub strategy: Aggregation,
    /// Why, for a person.
    pub reason: String,
}

/// Parts of words that tell what kind of task a step's type is, the more particular ones first.
const WORDS: &[(TaskKind, &[&str])] = &[
    (TaskKind::FactVerification, &["fact", "verif", "valid", "check", "vote"]),
    (TaskKind::Content, &["content", "generat", "writ", "draft", "creat", "propos", "translat"]),
    (TaskKind::DataGathering, &["gather", "collect", "fetch", "search", "data", "crawl", "lookup", "quote"]),
    (TaskKind::Analysis, &["analy", "research", "synthe", "assess", "review", "summar", "report"]),
];

/// The strategy for a task: what the workflow says, or what suits the kind of task. Without an agent that could write one
/// result of all, nothing is lost instead: content is chosen from and an analysis is merged.
#[must_use]
pub fn choose(policy: &Aggregate, task: &str, members: &[Member]) -> Choice {
    if policy.strategy != Aggregation::Auto {
        let reason = "the workflow says so".to_owned();
        return Choice { strategy: policy.strategy, reason };
    }
    let kind = policy.task.or_else(|| kind_of(task));
    let scored = members.iter().any(|member| member.output.is_some() && member.quality.is_some());
    let writer = policy.synthesis.is_some();
    let (strategy, reason) = match kind {
        Some(TaskKind::DataGathering) => (Aggregation::MergeAll, "data is gathered: each brings something of its own"),
        Some(TaskKind::Content) if scored => (Aggregation::Best, "content is made: the best is taken by its score"),
        Some(TaskKind::Content) if writer => {
            (Aggregation::Synthesis, "content is made and nothing has a score: one is written of all")
        }
        Some(TaskKind::Content) => (Aggregation::Best, "content is made and nothing has a score: the first is taken"),
        Some(TaskKind::FactVerification) => (Aggregation::Consensus, "facts are verified: the majority counts"),
        Some(TaskKind::Analysis) if writer => (Aggregation::Synthesis, "an analysis: one is written of all"),
        Some(TaskKind::Analysis) => {
            (Aggregation::MergeAll, "an analysis, and no agent that would write one of all: merged")
        }
        None => (Aggregation::MergeAll, "the kind of task is not known: all are kept"),
    };
    Choice { strategy, reason: reason.to_owned() }
}

/// The kind of task that the words of a type tell of.
fn kind_of(task: &str) -> Option<TaskKind> {
    let task = task.to_lowercase();
    let words: Vec<&str> = task.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let tells = |starts: &[&str]| words.iter().any(|word| starts.iter().any(|start| word.starts_with(start)));
    WORDS.iter().find(|(_, starts)| tells(starts)).map(|(kind, _)| *kind)
}
