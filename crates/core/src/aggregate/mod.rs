//! One result of several: what agents returned side by side is merged, chosen from, voted on, or given to an agent that writes
//! one result of all.
//!
//! Pure: who is asked and when is the engine's. A result that failed has no say, but it is always named.

mod choose;
mod consensus;
mod judge;

use serde::Serialize;

use crate::limits::MAX_CONSENSUS_MEMBERS;
use crate::value::{DataPath, DataTree, Json, JsonError};
use crate::workflow::{Aggregate, Aggregation};

pub use choose::{Choice, choose};
pub use judge::{Next, next};

/// What one of several came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Member {
    /// The agent, or the step.
    pub name: String,
    /// What it returned; without it, it failed.
    pub output: Option<Json>,
    /// How good the output is, 0 to 1, if somebody said so.
    pub quality: Option<f64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// One result of several.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Aggregated {
    /// The result; `null` if there is no consensus on anything.
    pub aggregated_result: Json,
    /// Those whose results it is made of, in their order.
    pub sources: Vec<String>,
    /// How good it is, 0 to 1: of the best its own score, of a synthesis that of who wrote it, else the mean of the scores that
    /// are known of `sources`.
    pub quality_score: Option<f64>,
    /// True if somebody failed: the result is made of less than was asked for.
    pub partial: bool,
    /// Those that failed, in their order.
    pub failed_agents: Vec<String>,
    /// How it was made.
    pub strategy: Aggregation,
    /// Why it was made so.
    pub reason: String,
    /// True if a person should look at it: there is no consensus.
    pub flagged_for_review: bool,
    /// Of a consensus: how the votes fell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Vote>,
}

/// How several voted on one place in their results.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Vote {
    /// The place; nothing for the whole result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<DataPath>,
    /// Share of those that succeeded who agree with the value that most agree with, 0 to 1.
    pub agreement: f64,
    /// True if those are more than half, and more than one (unless only one was asked).
    pub agreed: bool,
    /// Those who do not agree with them, in their order.
    pub dissenting: Vec<String>,
}

/// What comes of several results.
#[derive(Debug, Clone, PartialEq)]
pub enum Combined {
    /// One result.
    Done(Box<Aggregated>),
    /// An agent must be asked with this; [`Unwritten::written`] makes a result of its answer.
    Ask(Box<Unwritten>),
}

/// A synthesis before it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Unwritten {
    /// What the agent is given: `task`, `instructions`, `results` (`agent`, `output`, `quality`) and `failed_agents`.
    pub request: Json,
    rest: Aggregated,
}

impl Unwritten {
    /// The result, as the agent wrote it; `quality` is the score of what it wrote, if somebody said so.
    #[must_use]
    pub fn written(self, output: Json, quality: Option<f64>) -> Aggregated {
        let quality_score = quality.or(self.rest.quality_score);
        Aggregated { aggregated_result: output, quality_score, ..self.rest }
    }
}

/// Makes one result of what several came to. `task` is what they were to do: the step's type.
///
/// # Errors
/// [`JsonError`] if the result is larger than a value may be.
pub fn combine(policy: &Aggregate, task: &str, members: &[Member]) -> Result<Combined, JsonError> {
    let Choice { strategy, reason } = choose(policy, task, members);
    let good: Vec<&Member> = members.iter().filter(|member| member.output.is_some()).collect();
    let failed_agents: Vec<String> =
        members.iter().filter(|member| member.output.is_none()).map(|member| member.name.clone()).collect();
    let mut made = Aggregated {
        aggregated_result: Json::null(),
        sources: good.iter().map(|member| member.name.clone()).collect(),
        quality_score: mean(good.iter().filter_map(|member| member.quality)),
        partial: !failed_agents.is_empty(),
        failed_agents,
        strategy,
        reason,
        flagged_for_review: false,
        votes: Vec::new(),
    };
    match strategy {
        Aggregation::Synthesis => {
            let request = request(policy, task, &good, &made.failed_agents)?;
            return Ok(Combined::Ask(Box::new(Unwritten { request, rest: made })));
        }
        Aggregation::Best => {
            if let Some(best) = best(&good) {
                made.aggregated_result = best.output.clone().unwrap_or_else(Json::null);
                made.sources = vec![best.name.clone()];
                made.quality_score = best.quality;
            }
        }
        Aggregation::Consensus if good.len() > MAX_CONSENSUS_MEMBERS => {
            made.flagged_for_review = true;
            made.reason = format!("more than {MAX_CONSENSUS_MEMBERS} results are not voted on");
        }
        Aggregation::Consensus => consensus::vote(policy, members.len(), &good, &mut made)?,
        Aggregation::Auto | Aggregation::MergeAll => made.aggregated_result = merged(&good)?,
    }
    Ok(Combined::Done(Box::new(made)))
}

/// The policy's default in the place of a result; `why` tells why there is none.
#[must_use]
pub fn defaulted(policy: &Aggregate, members: &[Member], why: String) -> Aggregated {
    let failed = members.iter().filter(|member| member.output.is_none());
    Aggregated {
        aggregated_result: policy.default.clone().unwrap_or_else(Json::null),
        sources: Vec::new(),
        quality_score: None,
        partial: true,
        failed_agents: failed.map(|member| member.name.clone()).collect(),
        strategy: policy.strategy,
        reason: why,
        flagged_for_review: false,
        votes: Vec::new(),
    }
}

/// All results, each under its name with `_result`. A name that is there already gets a number.
fn merged(good: &[&Member]) -> Result<Json, JsonError> {
    let mut all = std::collections::BTreeMap::new();
    for member in good {
        let mut key = format!("{}_result", member.name);
        let mut number = 2_u32;
        while all.contains_key(&key) {
            key = format!("{}_{number}_result", member.name);
            number += 1;
        }
        all.insert(key, &member.output);
    }
    Json::of(&all)
}

/// The result with the highest score. One without a score comes after all that have one; of equals the first is taken.
fn best<'m>(good: &[&'m Member]) -> Option<&'m Member> {
    let score = |member: &Member| member.quality.filter(|score| !score.is_nan());
    let better = |a: &Member, b: &Member| match (score(a), score(b)) {
        (Some(a), Some(b)) => a > b,
        (a, b) => a.is_some() && b.is_none(),
    };
    good.iter().copied().reduce(|best, member| if better(member, best) { member } else { best })
}

/// What the agent that writes one result of all is given.
fn request(policy: &Aggregate, task: &str, good: &[&Member], failed: &[String]) -> Result<Json, JsonError> {
    #[derive(Serialize)]
    struct Request<'a> {
        task: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        instructions: &'a str,
        results: Vec<Part<'a>>,
        failed_agents: &'a [String],
    }
    #[derive(Serialize)]
    struct Part<'a> {
        agent: &'a str,
        output: &'a Option<Json>,
        #[serde(skip_serializing_if = "Option::is_none")]
        quality: Option<f64>,
    }
    let results =
        good.iter().map(|member| Part { agent: &member.name, output: &member.output, quality: member.quality });
    Json::of(&Request {
        task,
        instructions: policy.synthesis.as_ref().map_or("", |synthesis| &synthesis.instructions),
        results: results.collect(),
        failed_agents: failed,
    })
}

fn mean(scores: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = scores.fold((0.0, 0_u32), |(sum, count), score| (sum + score, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// What stands at a place in a result.
fn at(output: &Json, field: &DataPath) -> Option<Json> {
    DataTree::new(output.clone()).get(field)
}

#[cfg(test)]
mod tests;
