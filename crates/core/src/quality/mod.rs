//! How good answers are: metrics with weights and thresholds, checks of our own, and the verdict. Pure.

mod check;
mod rule;
mod settings;
mod verdict;

pub use check::{Findings, Judgement, check, judge_input, judgement};
pub use rule::{Bar, Rule, said};
pub use settings::{BUILT_IN, Domain, Settings};
pub use verdict::{Assessment, Missed, Source, assess};

#[cfg(test)]
mod tests;
