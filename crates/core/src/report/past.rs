//! What past runs of a workflow took, step by step: what the plans of the next ones go by.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::RunView;
use crate::ids::StepId;
use crate::limits::{LEARNED_RUNS, MAX_LEARNED_STEPS};
use crate::run::RunStatus;

/// The times of the last completed runs of a workflow, whatever its version. Its size is bounded by
/// [`LEARNED_RUNS`] × [`MAX_LEARNED_STEPS`] numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PastRuns {
    /// How many runs it learned from, those that are forgotten included.
    runs: u64,
    /// Milliseconds by step, newest last.
    steps: BTreeMap<StepId, Vec<u32>>,
}

/// What one run teaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lesson(Vec<(StepId, u32)>);

/// What a step took in past runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastEstimate {
    /// Half of the runs took no longer.
    pub p50: Duration,
    /// Nine of ten took no longer.
    pub p90: Duration,
    /// Runs that this goes by.
    pub runs: u32,
}

impl Lesson {
    /// What a run teaches: how long each completed step took, from its first attempt to its end. `None` for a run that was
    /// not completed, whose steps may have been cut off, and for one with too many steps.
    #[must_use]
    pub fn of(view: &RunView) -> Option<Self> {
        if view.status() != RunStatus::Completed || view.steps().len() > MAX_LEARNED_STEPS {
            return None;
        }
        let millis = |span: Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        let steps = view.steps().filter_map(|step| Some((step.step.id.clone(), millis(step.duration()?))));
        Some(Self(steps.collect()))
    }
}

impl PastRuns {
    /// Takes a lesson. What is oldest is forgotten.
    pub fn learn(&mut self, lesson: &Lesson) {
        self.runs += 1;
        for (step, took) in &lesson.0 {
            if !self.steps.contains_key(step) && self.steps.len() >= MAX_LEARNED_STEPS {
                continue;
            }
            let times = self.steps.entry(step.clone()).or_default();
            times.push(*took);
            times.drain(..times.len().saturating_sub(LEARNED_RUNS));
        }
    }

    /// Runs that it learned from.
    #[must_use]
    pub const fn runs(&self) -> u64 {
        self.runs
    }

    /// What a step took; `None` if no run that is remembered completed it.
    #[must_use]
    pub fn estimate(&self, step: &StepId) -> Option<PastEstimate> {
        let mut times = self.steps.get(step).filter(|times| !times.is_empty())?.clone();
        times.sort_unstable();
        // The nearest rank: the smallest time that so many percent do not exceed.
        let rank = |percent: usize| (times.len() * percent).div_ceil(100).max(1) - 1;
        let at = |percent| Duration::from_millis(u64::from(times[rank(percent)]));
        Some(PastEstimate { p50: at(50), p90: at(90), runs: u32::try_from(times.len()).unwrap_or(u32::MAX) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lesson(times: &[(&str, u32)]) -> Lesson {
        Lesson(times.iter().map(|(step, took)| (step.parse().unwrap(), *took)).collect())
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let mut past = PastRuns::default();
        (1..=10).rev().for_each(|took| past.learn(&lesson(&[("a", took * 100)])));
        let step: StepId = "a".parse().unwrap();
        let found = past.estimate(&step).unwrap();
        assert_eq!((found.p50.as_millis(), found.p90.as_millis(), found.runs), (500, 900, 10));
        assert_eq!(past.estimate(&"b".parse().unwrap()), None);
        past.learn(&lesson(&[("b", 7)]));
        let one = past.estimate(&"b".parse().unwrap()).unwrap();
        assert_eq!((one.p50, one.p90, one.runs, past.runs()), (one.p90, Duration::from_millis(7), 1, 11));
    }

    #[test]
    fn what_is_old_and_what_is_too_much_is_forgotten() {
        let mut past = PastRuns::default();
        for run in 0..100 {
            past.learn(&lesson(&[("a", run)]));
        }
        let found = past.estimate(&"a".parse().unwrap()).unwrap();
        assert_eq!((found.runs as usize, found.p50.as_millis()), (LEARNED_RUNS, 83));
        let many: Vec<String> = (0..2 * MAX_LEARNED_STEPS).map(|n| format!("s{n}")).collect();
        past.learn(&lesson(&many.iter().map(|step| (step.as_str(), 1)).collect::<Vec<_>>()));
        assert_eq!(past.steps.len(), MAX_LEARNED_STEPS);
        let stored = serde_json::to_vec(&past).unwrap();
        assert_eq!(serde_json::from_slice::<PastRuns>(&stored).unwrap(), past);
    }
}
