//! The shapes of workflows that a sweep goes through.

use std::fmt::Write as _;

use tutti_core::plan::Plan;
use tutti_core::workflow::{Executor, parse};

use super::Script;
use crate::sim::Case;

/// The executors that a sweep goes through.
pub const EXECUTORS: [Executor; 2] = [Executor::Basic, Executor::Parallel];

/// The shapes: a chain, a diamond, a fan-out of 20 and a join, two wide levels, agents that fail, steps that run alone,
/// critical steps with checkpoints, and all of it together.
#[must_use]
pub fn shapes() -> Vec<Script> {
    vec![
        Draft::new("chain").chain(6).script(),
        Draft::new("diamond").step(&[]).step(&[0]).step(&[0]).step(&[1, 2]).script(),
        fan_out(),
        two_levels(),
        Draft::new("retries").fail(1).step(&[]).fail(2).step(&[0]).step(&[0]).fail(1).step(&[1, 2]).script(),
        Draft::new("exclusive").step(&[]).alone().step(&[0]).step(&[0]).alone().step(&[0]).step(&[1, 2, 3]).script(),
        Draft::new("critical").critical().step(&[]).step(&[0]).critical().step(&[0]).critical().step(&[1, 2]).script(),
        mixed(),
    ]
}

fn fan_out() -> Script {
    let all: Vec<usize> = (1..=20).collect();
    (0..20).fold(Draft::new("fan-out").step(&[]), |draft, _| draft.step(&[0])).step(&all).script()
}

fn two_levels() -> Script {
    let first = (0..6).fold(Draft::new("two levels"), |draft, _| draft.step(&[]));
    (0..6).fold(first, |draft, i| draft.step(&[i, (i + 1) % 6])).script()
}

/// The sixth step can be done by nobody, and what depends on it is skipped.
fn mixed() -> Script {
    let draft = Draft::new("mixed").critical().step(&[]).fail(1).step(&[0]).alone().step(&[0]).step(&[0]);
    let draft = draft.critical().fail(2).step(&[1, 3]).impossible().step(&[2]).step(&[5]);
    draft.alone().fail(1).step(&[2, 4]).step(&[4, 7]).script()
}

/// A script while it is written. What is said of a step is said before it.
struct Draft {
    name: &'static str,
    text: String,
    fields: String,
    fails: Vec<u32>,
    impossible: Vec<bool>,
}

impl Draft {
    fn new(name: &'static str) -> Self {
        let text = "id: shape\non_error: continue\nmax_concurrent_tasks: 8\ndata: {start: {n: 7}}\nsteps:\n".to_owned();
        Self { name, text, fields: String::new(), fails: vec![0], impossible: vec![false] }
    }

    fn alone(mut self) -> Self {
        self.fields.push_str(", parallel_safe: false");
        self
    }

    fn critical(mut self) -> Self {
        self.fields.push_str(", critical: true");
        self
    }

    fn fail(mut self, attempts: u32) -> Self {
        *self.fails.last_mut().expect("never empty") = attempts;
        self
    }

    fn impossible(mut self) -> Self {
        *self.impossible.last_mut().expect("never empty") = true;
        self
    }

    fn step(mut self, on: &[usize]) -> Self {
        let index = self.fails.len() - 1;
        let names = on.iter().map(|i| format!("s{i}")).collect::<Vec<_>>().join(", ");
        let inputs: String = on.iter().map(|i| format!(", from{i}: results.s{i}")).collect();
        let _ = writeln!(
            self.text,
            "- {{id: s{index}, capability: c, depends_on: [{names}], input: {{n: start.n{inputs}}}, \
             output: {{v: results.s{index}}}, retry: {{max_attempts: 3, backoff: 1s}}{}}}",
            std::mem::take(&mut self.fields),
        );
        self.fails.push(0);
        self.impossible.push(false);
        self
    }

    fn chain(self, length: usize) -> Self {
        (1..length).fold(self.step(&[]), |draft, i| draft.step(&[i - 1]))
    }

    fn script(mut self) -> Script {
        self.fails.pop();
        self.impossible.pop();
        let plan = Plan::new(parse(&self.text).expect("a valid workflow").workflow).expect("a valid plan");
        let asks = vec![false; plan.len()];
        let case = Case { plan, impossible: self.impossible, asks, recovers: false };
        Script::new(self.name, case, self.fails)
    }
}
