//! Runs are let go of, and starting is held: because the driver ends, or because other servers are to have its slots.

use std::collections::BTreeSet;

use tutti_core::ids::RunId;
use tutti_core::run::Applied;
use tutti_core::time::Timestamp;

use super::live::{Live, line};
use super::{Driver, Effect};

/// What is being let go of.
pub(super) struct Leaving {
    /// Runs of these slots; `None` for all, after which the driver ends.
    pub(super) slots: Option<BTreeSet<u16>>,
    pub(super) done: Box<dyn FnOnce() + Send>,
}

impl Leaving {
    fn takes(&self, run: RunId) -> bool {
        self.slots.as_ref().is_none_or(|slots| slots.contains(&run.slot()))
    }
}

impl Driver {
    /// Lets go of runs in good order. Done when all of them are settled.
    pub(super) fn let_go(&mut self, now: Timestamp, random: &mut dyn FnMut() -> u128) {
        for leaving in std::mem::take(&mut self.leaving) {
            let mut runs: Vec<RunId> = self.runs.keys().copied().filter(|run| leaving.takes(*run)).collect();
            runs.sort_unstable();
            for run in &runs {
                let Some(mut live) = self.runs.remove(run) else { continue };
                if live.busy.is_none() && !live.let_go {
                    live.let_go = true;
                    self.commit_nothing(&mut live, now, random);
                }
                self.runs.insert(*run, live);
            }
            if runs.iter().any(|run| self.runs.get(run).is_some_and(|live| live.busy.is_some())) {
                self.leaving.push(leaving);
                continue;
            }
            runs.into_iter().for_each(|run| self.drop_run(run, false, now));
            self.effects.push(if leaving.slots.is_some() {
                Effect::LetGo(leaving.done)
            } else {
                Effect::Drained(leaving.done)
            });
        }
    }

    /// An empty commit ends the count of claims without progress, so that only owners that die are counted.
    pub(super) fn commit_nothing(&mut self, live: &mut Live, now: Timestamp, random: &mut dyn FnMut() -> u128) {
        let before = (live.state.seq(), line(&live.state));
        let decided = live.decided(Applied::default(), before, vec![], vec![], random());
        live.busy = Some(now);
        self.effects.push(Effect::Commit(Box::new(decided)));
    }

    /// Starts nothing, or goes on starting.
    pub(super) fn hold(&mut self, hold: bool) {
        self.is_held = hold;
        if !hold {
            self.dirty.extend(self.runs.keys().copied());
            // In one order, whatever the map's.
            self.dirty.sort_unstable();
        }
    }
}
