//! Plans of definitions. Runs of one definition share one plan, which may be much larger than what each of them has of its
//! own; and a run that is loaded needs no definition from the store that another one follows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tutti_core::plan::Plan;
use tutti_core::value::Digest;

/// The plans that runs follow, kept as long as any does.
#[derive(Debug, Default)]
pub struct Plans(Mutex<HashMap<Digest, Weak<Plan>>>);

impl Plans {
    /// The plan of a definition, if a run follows it.
    #[must_use]
    pub fn of(&self, definition: Digest) -> Option<Arc<Plan>> {
        self.known().get(&definition)?.upgrade()
    }

    /// The plan that runs of this definition share: this one, unless there is one already.
    #[must_use]
    pub fn shared(&self, plan: Arc<Plan>) -> Arc<Plan> {
        let mut known = self.known();
        if let Some(first) = known.get(&plan.definition()).and_then(Weak::upgrade) {
            return first;
        }
        // Those that nobody follows any more go before the table would have to grow for them.
        if known.len() == known.capacity() {
            known.retain(|_, plan| plan.strong_count() > 0);
        }
        known.insert(plan.definition(), Arc::downgrade(&plan));
        plan
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Digest, Weak<Plan>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tutti_core::workflow::parse;

    use super::*;

    fn plan(id: &str) -> Arc<Plan> {
        let text = format!("id: {id}\nsteps: [{{id: a, capability: c}}]");
        Plan::new(parse(&text).unwrap().workflow).unwrap()
    }

    #[test]
    fn runs_of_one_definition_share_a_plan_as_long_as_any_follows_it() {
        let plans = Plans::default();
        let first = plans.shared(plan("w"));
        assert!(Arc::ptr_eq(&first, &plans.shared(plan("w"))));
        assert!(Arc::ptr_eq(&first, &plans.of(first.definition()).unwrap()));
        let other = plans.shared(plan("v"));
        assert!(!Arc::ptr_eq(&first, &other));
        let definition = first.definition();
        drop(first);
        assert!(plans.of(definition).is_none());
    }

    #[test]
    fn plans_that_nobody_follows_take_no_room() {
        let plans = Plans::default();
        for n in 0..1_000 {
            let _ = plans.shared(plan(&format!("w{n}")));
        }
        assert!(plans.known().len() < 10);
    }
}
