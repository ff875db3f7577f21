//! The slots whose runs are this engine's.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tutti_core::ids::RunId;
use tutti_core::limits::SLOTS;

/// The slots that the engine has.
#[derive(Debug)]
pub(super) struct Slots(RwLock<BTreeSet<u16>>);

impl Slots {
    /// An engine that shares its store with nobody has all of them.
    pub(super) fn all() -> Self {
        Self(RwLock::new((0..SLOTS).collect()))
    }

    /// True if a run is this engine's.
    pub(super) fn has(&self, run: RunId) -> bool {
        self.has_slot(run.slot())
    }

    pub(super) fn has_slot(&self, slot: u16) -> bool {
        self.read().contains(&slot)
    }

    pub(super) fn are_all(&self) -> bool {
        self.read().len() == usize::from(SLOTS)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    /// They are these from now on; those that were not before.
    pub(super) fn set(&self, slots: BTreeSet<u16>) -> BTreeSet<u16> {
        let mut had = self.write();
        let new = slots.difference(&had).copied().collect();
        *had = slots;
        new
    }

    pub(super) fn get(&self) -> BTreeSet<u16> {
        self.read().clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeSet<u16>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeSet<u16>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_told() {
        let slots = Slots::all();
        assert!(slots.set(BTreeSet::from([1, 2])).is_empty());
        assert_eq!(slots.set(BTreeSet::from([2, 3])), BTreeSet::from([3]));
    }
}
