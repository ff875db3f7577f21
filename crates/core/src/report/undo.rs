//! What a run has undone, is undoing, or would undo if it went back.

use super::attempt::{Checkpoint, Outcome};
use super::view::{RunView, StepView};
use crate::ids::StepId;
use crate::plan::StepIndex;
use crate::run::{Event, Phase, Recorded, RunState, StepStatus, Undone};

/// Most steps named of those that a way back concerns; the others are counted.
const NAMED: usize = 20;

/// What becomes known about the undoing of a run beside its steps.
#[derive(Debug, Clone, Default)]
pub(super) struct Undoing {
    /// Steps that were done when it began, and that nothing undoes.
    kept: Vec<StepIndex>,
    /// How the run was undone before it failed.
    undone: Option<Undone>,
}

/// A named point to which a run can be rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayBack {
    /// The point.
    pub checkpoint: Checkpoint,
    /// Steps that would be undone, in the order in which that would be done.
    pub undone: Concerned,
    /// Steps that were done since and that nothing undoes: only their results would be dropped. The newest first.
    pub dropped: Concerned,
}

/// Steps that something concerns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Concerned {
    /// The first 20 of them.
    pub steps: Vec<StepId>,
    /// How many there are in all.
    pub count: u32,
}

impl Undoing {
    /// Takes an event in. `state` is that after it.
    pub(super) fn note(&mut self, recorded: &Recorded, state: &RunState) {
        match &recorded.event {
            Event::UndoStarted(undo) => {
                let is_kept = |index: &StepIndex| !undo.compensate || state.plan().undo_of(*index).is_none();
                self.kept = done_since(state, undo.to).into_iter().filter(is_kept).collect();
                self.undone = None;
            }
            Event::RunFailed(failed) => self.undone = failed.undone,
            Event::RunReopened(_) => *self = Self::default(),
            _ => {}
        }
    }
}

impl RunView {
    /// What undoes steps, as far as it was or is to be done; in the order of the workflow.
    pub fn undos(&self) -> impl Iterator<Item = StepView<'_>> {
        self.plan()
            .indexes()
            .filter(|index| self.plan().undone_by(*index).is_some())
            .filter_map(|index| self.undo(index))
    }

    /// Steps that were done when the run was undone last, and that nothing undoes; the newest first.
    pub fn kept(&self) -> impl Iterator<Item = &StepId> {
        self.undoing.kept.iter().filter(|index| self.plan().has(**index)).map(|index| &self.plan().step(*index).id)
    }

    /// How the run was undone, if it failed and was.
    #[must_use]
    pub const fn undone(&self) -> Option<Undone> {
        self.undoing.undone
    }

    /// The named points to which the run can be rolled back, newest first.
    #[must_use]
    pub fn ways_back(&self) -> Vec<WayBack> {
        let Some(state) = self.state() else { return Vec::new() };
        let done = done_since(state, 0);
        let mut points = state.checkpoints().iter().rev().peekable();
        let mut ways = Vec::with_capacity(points.len());
        // Both are sorted by number: no point is looked for twice.
        for checkpoint in self.checkpoints().iter().rev() {
            if points.next_if(|(_, seq)| *seq == checkpoint.seq).is_none() {
                continue;
            }
            let (undone, dropped) = concerned(state, &done, checkpoint.seq);
            ways.push(WayBack { checkpoint: checkpoint.clone(), undone, dropped });
        }
        ways
    }

    /// The steps that would be undone if the run went back to where it stood after an event, and those whose results would be
    /// dropped.
    #[must_use]
    pub fn concerned_since(&self, seq: u64) -> (Concerned, Concerned) {
        self.state().map(|state| concerned(state, &done_since(state, seq), seq)).unwrap_or_default()
    }

    /// What undoes a step, if that was or is to be done.
    fn undo(&self, index: StepIndex) -> Option<StepView<'_>> {
        let state = self.state()?;
        let view = self.step(index);
        let is_next = || state.undoing().and_then(|undo| undo.pending.as_ref()).is_some_and(|all| all.contains(&index));
        let status = match (&state.step(index).phase, view.attempts.last()) {
            (Phase::Idle, _) if is_next() => StepStatus::Pending,
            (Phase::Idle, None) => return None,
            // The run was rewound since: what became of it then.
            (Phase::Idle, Some(last)) if last.outcome == Outcome::Completed => StepStatus::Completed,
            (Phase::Idle, Some(_)) => StepStatus::Skipped,
            _ => view.status,
        };
        Some(StepView { status, ..view })
    }
}

/// Of the steps that were done, newest first, those after an event: what would be undone, and what would be dropped.
fn concerned(state: &RunState, done: &[StepIndex], seq: u64) -> (Concerned, Concerned) {
    let since = done.iter().take_while(|index| state.step(**index).completed_seq > seq);
    let (undone, dropped): (Vec<_>, Vec<_>) = since.partition(|index| is_to_undo(state, **index));
    let concerned = |steps: Vec<&StepIndex>| Concerned {
        steps: steps.iter().take(NAMED).map(|index| state.plan().step(**index).id.clone()).collect(),
        count: steps.len() as u32,
    };
    (concerned(undone), concerned(dropped))
}

/// True if a completed step would be undone if the run went back.
fn is_to_undo(state: &RunState, index: StepIndex) -> bool {
    state.plan().undo_of(index).is_some_and(|undo| matches!(state.step(undo).phase, Phase::Idle))
}

/// The steps that were completed after an event, newest first.
fn done_since(state: &RunState, seq: u64) -> Vec<StepIndex> {
    let is_done = |index: &StepIndex| state.output(*index).is_some() && state.step(*index).completed_seq > seq;
    let mut done: Vec<StepIndex> = state.plan().forward().filter(is_done).collect();
    done.sort_unstable_by_key(|index| std::cmp::Reverse(state.step(*index).completed_seq));
    done
}

#[cfg(test)]
mod tests {
    use super::super::testing::Drive;
    use super::*;
    use crate::ports::agent::AgentErrorKind::{InvalidInput, Unavailable};
    use crate::run::{Command, Input, Order, Point, RunStatus, Verdict};
    use crate::schedule::Width;
    use crate::workflow::OnError;

    const TRIP: &str = concat!(
        "- {id: quote, capability: c}\n",
        "- {id: flight, capability: c, depends_on: [quote], checkpoint: booked, compensate: {capability: undo}}\n",
        "- {id: hotel, capability: c, depends_on: [flight], compensate: {capability: undo, retry: {max_attempts: 1}}}\n",
        "- {id: car, capability: c, depends_on: [hotel], retry: {max_attempts: 1}}",
    );

    fn names(steps: &Concerned) -> Vec<&str> {
        steps.steps.iter().map(StepId::as_str).collect()
    }

    fn trip(on_error: OnError) -> Drive {
        let mut run = Drive::new(TRIP, Width::One, on_error);
        for step in ["quote", "flight", "hotel"] {
            run.at(1.0).start(step, "x").complete(step);
        }
        run.start("car", "x");
        run
    }

    fn states(run: &Drive) -> Vec<(String, StepStatus)> {
        run.view().undos().map(|undo| (undo.id().to_string(), undo.status)).collect()
    }

    fn command(run: &mut Drive, command: Command) {
        assert!(run.input(&Input::Command { command, order: Order::new("ana", "why") }));
    }

    fn path(run: &Drive, step: &str) -> crate::ids::AttemptKey {
        run.state.attempt_key(run.plan.undo_of(run.index(step)).unwrap())
    }

    fn undo(run: &mut Drive, step: &str) {
        begin(run, step);
        assert!(run.input(&super::super::testing::completed(path(run, step), "null", vec![], vec![])));
    }

    fn begin(run: &mut Drive, step: &str) {
        let step = path(run, step).path;
        assert!(run.input(&Input::StartAttempt { step, agent: "x".parse().unwrap(), choice: None }));
    }

    #[test]
    fn a_way_back_names_what_it_concerns() {
        let run = trip(OnError::Fail);
        let ways = run.view().ways_back();
        assert_eq!(ways.len(), 1);
        assert_eq!((ways[0].checkpoint.name.as_str(), names(&ways[0].undone)), ("booked", vec!["hotel"]));
        assert_eq!(ways[0].dropped, Concerned::default());
    }

    #[test]
    fn a_stuck_run_tells_what_was_undone_what_was_not_and_what_nothing_undoes() {
        let mut run = trip(OnError::Compensate);
        run.fail("car", InvalidInput, "none left", false);
        let (flight, hotel) = ("flight".to_owned(), "hotel".to_owned());
        assert_eq!(states(&run), [(flight, StepStatus::Pending), (hotel, StepStatus::Pending)]);
        begin(&mut run, "hotel");
        let error = crate::ports::agent::AgentError::new(Unavailable, "closed");
        let key = path(&run, "hotel");
        assert!(run.input(&Input::FailAttempt { key, error, other_agent: false, chance: 0.0 }));
        let view = run.view();
        assert_eq!(view.status(), RunStatus::Stuck);
        let kept: Vec<_> = view.kept().map(StepId::as_str).collect();
        assert_eq!(kept, ["quote"]);
        assert_eq!(states(&run), [("flight".into(), StepStatus::Pending), ("hotel".into(), StepStatus::Waiting)]);
        command(&mut run, Command::Decide { step: "hotel".into(), verdict: Verdict::Skip, output: None });
        undo(&mut run, "flight");
        assert_eq!(states(&run), [("flight".into(), StepStatus::Completed), ("hotel".into(), StepStatus::Skipped)]);
        assert_eq!((run.view().status(), run.view().undone()), (RunStatus::Failed, Some(Undone::Compensated)));
    }

    #[test]
    fn what_a_rollback_undid_is_told_after_it() {
        let mut run = trip(OnError::Fail);
        command(&mut run, Command::Rollback { to: Point::Checkpoint("booked".into()), compensate: true });
        undo(&mut run, "hotel");
        assert_eq!(states(&run), [("hotel".into(), StepStatus::Completed)]);
        assert_eq!(run.view().status(), RunStatus::Running);
        assert!(run.view().undos().all(|undo| undo.ended_at.is_some()));
    }
}
