//! Labels that the product puts into the line for lists, so that runs are found without reading every history: which ask
//! somebody something, and which are forks.

use std::collections::BTreeMap;

use super::state::RunState;
use crate::ids::{LabelName, RunId};
use crate::plan::StepIndex;
use crate::ports::agent::Need;
use crate::ports::filter::Condition;

/// What the names of labels begin with that the product puts into lists itself; nobody may give a run such a label.
pub const OWN_LABELS: &str = "tutti.";

/// The label that a run has in lists while one of its steps asks somebody something, and its value.
const ASKS: (&str, &str) = ("tutti.asks", "yes");

/// The label by which the forks of a run are found; its value is the run's id.
const FORKED_FROM: &str = "tutti.forked-from";

/// The condition that a run asks somebody something, whatever else goes on in it.
#[must_use]
pub fn asking() -> Condition {
    let (name, value) = label();
    Condition::Label(name, value)
}

/// The condition that a run is a fork of another one.
#[must_use]
pub fn forked_from(run: RunId) -> Condition {
    Condition::Label(name(FORKED_FROM), run.to_string())
}

impl RunState {
    /// Steps that ask somebody something and got no answer yet: a person, or whoever sends the signal that they wait for.
    pub fn asks(&self) -> impl Iterator<Item = StepIndex> + '_ {
        let is_for_somebody = |index: &StepIndex| {
            let need = self.open_attempt(*index).and_then(|open| open.suspended);
            need.is_some_and(Need::is_of_somebody)
        };
        // Hardly ever does a run wait at all: then its open attempts need not be looked through.
        let waits = self.status().takes_results() && self.suspended() > 0;
        waits.then(|| self.waiting().filter(is_for_somebody)).into_iter().flatten()
    }

    /// The labels that the run has in lists: its own, which run it is a fork of, and whether it asks.
    pub(super) fn labels(&self) -> BTreeMap<LabelName, String> {
        let mut labels = self.created().origin.labels.clone();
        labels.extend(self.forked().map(|(run, _)| (name(FORKED_FROM), run.to_string())));
        if self.asks().next().is_some() {
            labels.extend([label()]);
        }
        labels
    }
}

/// The labels of a line for lists without that which says that the run asks.
pub(crate) fn without_asking(labels: &BTreeMap<LabelName, String>) -> BTreeMap<&LabelName, &String> {
    labels.iter().filter(|(name, _)| name.as_str() != ASKS.0).collect()
}

fn label() -> (LabelName, String) {
    (name(ASKS.0), ASKS.1.to_owned())
}

fn name(text: &str) -> LabelName {
    text.parse().expect("a valid name")
}
