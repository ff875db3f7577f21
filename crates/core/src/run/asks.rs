//! Which runs ask somebody something, so that they are found without reading every history.

use std::collections::BTreeMap;

use super::state::RunState;
use crate::ids::LabelName;
use crate::plan::StepIndex;
use crate::ports::agent::Need;
use crate::ports::filter::Condition;

/// What the names of labels begin with that the product puts into lists itself; nobody may give a run such a label.
pub const OWN_LABELS: &str = "tutti.";

/// The label that a run has in lists while one of its steps asks somebody something, and its value.
const ASKS: (&str, &str) = ("tutti.asks", "yes");

/// The condition that a run asks somebody something, whatever else goes on in it.
#[must_use]
pub fn asking() -> Condition {
    let (name, value) = label();
    Condition::Label(name, value)
}

impl RunState {
    /// Steps that ask somebody something and got no answer yet: a person, or whoever sends the signal that they wait for.
    pub fn asks(&self) -> impl Iterator<Item = StepIndex> + '_ {
        let is_for_somebody = |index: &StepIndex| {
            let need = self.open_attempt(*index).and_then(|open| open.suspended);
            need.is_some_and(|need| need != Need::Time)
        };
        // Hardly ever does a run wait at all: then its open attempts need not be looked through.
        let waits = self.status().takes_results() && self.suspended() > 0;
        waits.then(|| self.waiting().filter(is_for_somebody)).into_iter().flatten()
    }

    /// The labels that the run has in lists: its own, and whether it asks.
    pub(super) fn labels(&self) -> BTreeMap<LabelName, String> {
        let mut labels = self.created().origin.labels.clone();
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
    (ASKS.0.parse().expect("a valid name"), ASKS.1.to_owned())
}
