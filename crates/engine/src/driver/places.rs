//! Places at agents: steps get them, wait for them where there is none now, and give them back.

use tutti_core::ids::AgentId;
use tutti_core::plan::StepIndex;
use tutti_core::ports::agent::Retry;
use tutti_core::run::RunState;
use tutti_core::schedule::admit;
use tutti_core::time::Timestamp;

use super::Driver;
use super::live::Live;
use crate::dispatcher::{Choice, Ending, Grant, Opening, Registry, Want};

impl Driver {
    /// The place for a step that was admitted: the one that is held for it, or that of the best agent now; else it waits.
    pub(super) fn choose(&mut self, live: &mut Live, step: StepIndex, now: Timestamp) -> Choice {
        let Some(plain) = want(&live.state, step) else { return Choice::Nobody };
        let other = other(&live.state, step, &plain);
        let is_it = |want: &Want| *want == plain || other.as_ref() == Some(want);
        if let Some((_, ticket)) = live.waits.iter().find(|(waits, _)| is_it(waits)) {
            return Choice::Later(*ticket);
        }
        if let Some(held) = live.held.iter().position(|(held, _)| is_it(held)) {
            return Choice::Agent(live.held.swap_remove(held).1);
        }
        let can_be_asked =
            |want: &Want| matches!(self.registry.outlook(want, now), Some(Opening::Now | Opening::OnEnd));
        let want = other.filter(can_be_asked).unwrap_or(plain);
        match self.registry.choose(want.clone(), self.lane, live.state.run(), now) {
            Choice::Later(ticket) => {
                live.waits.push((want, ticket));
                self.waits += 1;
                Choice::Later(ticket)
            }
            // The attempt that was answered is with this agent, whatever became of it.
            Choice::Nobody => match live.state.open_attempt(step) {
                Some(open) => Choice::Agent(self.registry.go_on(open.agent.clone(), want.capability)),
                // Whoever is to be asked again is not there any more.
                None => self.anybody(live, step, now),
            },
            chosen @ Choice::Agent(_) => chosen,
        }
    }

    /// A place for a step at any agent now, if it wanted one that has already answered it.
    fn anybody(&self, live: &Live, step: StepIndex, now: Timestamp) -> Choice {
        let wants = live.state.asked_again(step).and_then(|_| fresh(&live.state, step));
        match wants.map(|want| self.registry.choose(want, self.lane, live.state.run(), now)) {
            Some(Choice::Later(ticket)) => {
                self.registry.leave(ticket);
                Choice::Nobody
            }
            Some(chosen) => chosen,
            None => Choice::Nobody,
        }
    }

    /// An attempt does not need its place any more.
    pub(super) fn free_place(&mut self, place: Grant, ending: Ending<'_>, now: Timestamp) {
        self.registry.end(place, ending, now);
        self.free += 1;
        self.gave_back = true;
    }

    /// Takes what the registry calls runs for; true if there may be more to do.
    pub(super) fn take_calls(&mut self, now: Timestamp) -> bool {
        if !std::mem::take(&mut self.gave_back) && self.waits == 0 {
            return false;
        }
        for called in self.registry.called(self.lane, now) {
            let waited = self.runs.get_mut(&called.run).and_then(|live| {
                let place = live.waits.iter().position(|(_, ticket)| *ticket == called.ticket)?;
                Some((live.waits.swap_remove(place).0, live))
            });
            match (waited, called.grant) {
                (Some((want, live)), grant) => {
                    self.waits -= 1;
                    live.held.extend(grant.map(|grant| (want, grant)));
                    self.dirty.push(called.run);
                }
                // It has left meanwhile.
                (None, Some(grant)) => {
                    self.registry.give_back(grant, now);
                    self.gave_back = true;
                }
                (None, None) => {}
            }
        }
        self.gave_back || !self.dirty.is_empty()
    }

    /// Gives back the places that were held for a run and are not used.
    pub(super) fn return_held(&mut self, live: &mut Live, now: Timestamp) {
        for (_, grant) in live.held.drain(..) {
            self.registry.give_back(grant, now);
            self.gave_back = true;
        }
    }

    /// A run leaves this driver, and waits for nothing.
    pub(super) fn leave_line(&mut self, live: &mut Live, now: Timestamp) {
        for (_, ticket) in live.waits.drain(..) {
            self.registry.leave(ticket);
            self.waits -= 1;
        }
        self.return_held(live, now);
    }

    /// Whether a run has nothing to start now: what is its turn waits for agents.
    pub(super) fn is_idle(live: &Live, now: Timestamp) -> bool {
        admit(&live.state, now).into_iter().all(|step| live.waits_for(step))
    }
}

impl Live {
    /// Whether a step waits for an agent.
    pub(super) fn waits_for(&self, step: StepIndex) -> bool {
        !self.waits.is_empty()
            && want(&self.state, step).is_some_and(|want| {
                let other = other(&self.state, step, &want);
                self.waits.iter().any(|(waits, _)| *waits == want || other.as_ref() == Some(waits))
            })
    }
}

/// Whether another agent is to be asked after an attempt failed, rather than all of them after a pause: one that can be asked,
/// or is busy; where the same one will not do it, also one that can be asked some time later.
pub(super) fn has_another(
    registry: &Registry,
    state: &RunState,
    step: StepIndex,
    retry: Retry,
    now: Timestamp,
) -> bool {
    let Some(fresh) = fresh(state, step) else { return false };
    match registry.outlook(&fresh, now) {
        Some(Opening::Now | Opening::OnEnd) => true,
        Some(Opening::At(_)) => retry == Retry::Elsewhere,
        None => false,
    }
}

/// What a step wants of an agent now; none if it asks nobody.
pub(crate) fn want(state: &RunState, step: StepIndex) -> Option<Want> {
    let fresh = fresh(state, step)?;
    Some(match state.open_attempt(step) {
        Some(open) => Want { pinned: Some(open.agent.clone()), asked: Vec::new(), ..fresh },
        None => match state.asked_again(step) {
            Some(agent) => Want { pinned: Some(agent.clone()), ..fresh },
            None => fresh,
        },
    })
}

/// What a step wants that is asked of several agents: one that the others have not asked; nothing if it is not such a step.
fn other(state: &RunState, step: StepIndex, plain: &Want) -> Option<Want> {
    let (growth, _) = state.plan().time_of(step)?;
    state.plan().step(growth.container).ask.as_ref().filter(|_| state.open_attempt(step).is_none())?;
    let others = growth.indexes().filter(|other| *other != step).flat_map(|other| &state.step(other).tried);
    let asked: Vec<AgentId> = plain.asked.iter().chain(others).cloned().collect();
    Some(Want { asked, ..plain.clone() }).filter(|want| want.asked.len() > plain.asked.len())
}

/// What the next attempt of a step wants of an agent; none if it asks nobody.
fn fresh(state: &RunState, step: StepIndex) -> Option<Want> {
    let (namespace, definition) = (state.created().namespace.clone(), state.plan().step(step));
    let (capability, pinned) = (state.asks_for(step)?.clone(), definition.agent.clone());
    Some(Want { namespace, capability, pinned, asked: state.step(step).tried.clone() })
}
