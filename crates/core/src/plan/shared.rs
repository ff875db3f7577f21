//! What grows at its end, of which older versions stay in use: a plan is handed to attempts while its run goes on.

use std::collections::HashMap;
use std::sync::Arc;

use super::StepIndex;

/// Things of a list that one version of it has of its own, at most: what adding one copies.
const PIECE: usize = 64;

/// A list. A copy costs nothing, and adding to it copies a small part.
#[derive(Debug, Clone)]
pub(super) struct List<T> {
    full: Arc<Vec<Arc<Vec<T>>>>,
    last: Arc<Vec<T>>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { full: Arc::default(), last: Arc::default() }
    }
}

impl<T: Clone> List<T> {
    pub(super) fn len(&self) -> usize {
        self.full.len() * PIECE + self.last.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<&T> {
        let piece = if at / PIECE == self.full.len() { &self.last } else { self.full.get(at / PIECE)? };
        piece.get(at % PIECE)
    }

    pub(super) fn push(&mut self, value: T) {
        Arc::make_mut(&mut self.last).push(value);
        if self.last.len() == PIECE {
            Arc::make_mut(&mut self.full).push(std::mem::take(&mut self.last));
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        if len < self.full.len() * PIECE {
            self.last = self.full[len / PIECE].clone();
            Arc::make_mut(&mut self.full).truncate(len / PIECE);
        }
        Arc::make_mut(&mut self.last).truncate(len % PIECE);
    }

    /// The number of things before the first of which this is false; of those after it, it is false too.
    pub(super) fn partition_point(&self, is_before: impl Fn(&T) -> bool) -> usize {
        let full = self.full.partition_point(|piece| piece.last().is_some_and(&is_before));
        full * PIECE + self.full.get(full).unwrap_or(&self.last).partition_point(is_before)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.full.iter().chain(std::iter::once(&self.last)).flat_map(|piece| piece.iter())
    }
}

/// A number for some steps. As with [`List`], setting one copies a small part.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbers(Arc<Vec<Arc<HashMap<StepIndex, u32>>>>);

impl Numbers {
    pub(super) fn get(&self, step: StepIndex) -> Option<u32> {
        self.0.get(step as usize % PIECE)?.get(&step).copied()
    }

    pub(super) fn set(&mut self, step: StepIndex, number: u32) {
        let parts = Arc::make_mut(&mut self.0);
        parts.resize_with(PIECE, Arc::default);
        Arc::make_mut(&mut parts[step as usize % PIECE]).insert(step, number);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_is_one_and_its_older_versions_stay_as_they_were(acts in prop::collection::vec(0..400_usize, 1..30)) {
            let (mut list, mut model) = (List::default(), Vec::new());
            let mut before = Vec::new();
            for act in acts {
                before.push((list.clone(), model.clone()));
                if act < 100 {
                    list.truncate(act);
                    model.truncate(act);
                } else {
                    // In ascending order, so that it can be searched.
                    let from = model.last().map_or(0, |last| last + 1);
                    (from..from + act - 100).for_each(|value| {
                        list.push(value);
                        model.push(value);
                    });
                }
            }
            before.push((list, model));
            for (list, model) in before {
                prop_assert_eq!(list.iter().copied().collect::<Vec<_>>(), model.clone());
                prop_assert_eq!(list.len(), model.len());
                for at in [0, 1, 63, 64, 65, 127, 128, 200] {
                    prop_assert_eq!(list.get(at), model.get(at));
                    prop_assert_eq!(list.partition_point(|v| *v < at), model.partition_point(|v| *v < at));
                }
            }
        }
    }
}
