//! Rollback, compensation and fork against a model that knows nothing of the rules: a list of what is done, in its order.

use proptest::prelude::*;

use super::testing::Given;
use crate::ids::StepPath;
use crate::plan::StepIndex;
use crate::ports::agent::AgentErrorKind::InvalidInput;
use crate::run::{Command, ForkedStep, Input, Point, RunForked, RunStatus};
use crate::schedule::{Width, admit};
use crate::value::{Json, Payload};
use crate::workflow::OnError;

/// A step: which of those before it it waits for, as bits, and whether it can be undone.
type Shape = Vec<(u8, bool)>;

/// What is done, oldest first.
type Done = Vec<(StepIndex, Payload)>;

#[derive(Debug, Clone)]
enum Act {
    /// One of the steps that may start does.
    Start(usize),
    /// One of those under way ends well.
    Complete(usize),
    /// One of those under way fails for good.
    Fail(usize),
    /// A named point.
    Checkpoint,
    /// Back to where the run stood after one of the acts before.
    Rollback(usize, bool),
    /// Back to the newest checkpoint.
    ToCheckpoint,
    Retry,
    /// A new run from where this one stood after one of the acts before.
    Fork(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let at = 0..64_usize;
    prop_oneof![
        4 => at.clone().prop_map(Act::Start),
        4 => at.clone().prop_map(Act::Complete),
        1 => at.clone().prop_map(Act::Fail),
        1 => Just(Act::Checkpoint),
        2 => (at.clone(), any::<bool>()).prop_map(|(at, compensate)| Act::Rollback(at, compensate)),
        1 => Just(Act::ToCheckpoint),
        2 => Just(Act::Retry),
        1 => at.prop_map(Act::Fork),
    ]
}

struct Model {
    shape: Shape,
    on_error: OnError,
    run: Given,
    done: Done,
    open: Vec<StepIndex>,
    /// How far what is done was done by another run, or was undone when this one failed.
    origin: Done,
    is_undone: bool,
    /// Where the run stood, by the number of an event, and whether it can be brought back there.
    stood: Vec<(u64, Done, bool)>,
    checkpoints: Vec<(u64, Done)>,
    values: u32,
}

impl Model {
    fn new(shape: Shape, on_error: OnError, origin: Done) -> Self {
        let steps = shape.iter().enumerate().map(|(index, (on, can_be_undone))| {
            let on: Vec<String> = (0..index).filter(|i| on >> i & 1 == 1).map(|i| format!("s{i}")).collect();
            let undo = if *can_be_undone { ", compensate: {capability: u}" } else { "" };
            format!("- {{id: s{index}, capability: c, depends_on: [{}]{undo}}}", on.join(", "))
        });
        let mut run = Given::with(&steps.collect::<Vec<_>>().join("\n"), Width::Bounded(64), on_error);
        if !origin.is_empty() {
            let path = |index| StepPath::from(&run.state.plan().step(index).id);
            let completed =
                origin.iter().map(|(index, output)| ForkedStep { step: path(*index), output: output.clone() });
            let (from, completed) = (run.state.run(), completed.collect());
            let forked = RunForked { from, seq: 1, completed, changed: vec![] };
            run.when(&Input::ForkRun(Box::new(forked))).unwrap();
        }
        let (seq, done) = (run.state.seq(), origin.clone());
        let stood = vec![(seq, done.clone(), true)];
        let (open, checkpoints) = (vec![], vec![]);
        Self { shape, on_error, run, done, open, origin, is_undone: false, stood, checkpoints, values: 0 }
    }

    fn act(&mut self, act: &Act) {
        let runs = self.run.state.status() == RunStatus::Running;
        match act {
            Act::Start(at) if runs => {
                let may: Vec<StepIndex> = self.startable();
                if let Some(step) = may.get(at % may.len().max(1)) {
                    self.run.start(&format!("s{step}"), "x").unwrap();
                    self.open.push(*step);
                }
            }
            Act::Complete(at) if runs && !self.open.is_empty() => {
                let step = self.open.remove(at % self.open.len());
                self.complete(step);
            }
            Act::Fail(at) if runs && !self.open.is_empty() => {
                let step = self.open.remove(at % self.open.len());
                self.run.fail(&format!("s{step}"), InvalidInput, false).unwrap();
                self.failed();
            }
            Act::Checkpoint if runs => {
                self.run.command(Command::Checkpoint { name: "here".into() }).unwrap();
                self.checkpoints.push((self.run.state.seq(), self.done.clone()));
            }
            Act::Rollback(at, compensate) => {
                let (seq, done, can) = self.stood[at % self.stood.len()].clone();
                self.rollback(Point::Seq(seq), seq, done, can, *compensate);
            }
            Act::ToCheckpoint => {
                let (seq, done) = self.checkpoints.last().cloned().unwrap_or((0, vec![]));
                self.rollback(Point::Checkpoint("here".into()), seq, done, !self.checkpoints.is_empty(), true);
            }
            Act::Retry if self.run.state.status() == RunStatus::Failed => {
                self.run.command(Command::Retry).unwrap();
                if std::mem::take(&mut self.is_undone) {
                    self.done = self.origin.clone();
                    self.forget_after(self.stood[0].0);
                }
            }
            Act::Fork(at) => {
                let (_, done, _) = self.stood[at % self.stood.len()].clone();
                *self = Self::new(self.shape.clone(), self.on_error, done);
            }
            _ => return,
        }
        self.agrees();
        self.stood.push((self.run.state.seq(), self.done.clone(), !self.is_undone));
    }

    fn complete(&mut self, step: StepIndex) {
        self.values += 1;
        let output = Payload::Inline(Json::parse(format!("{{\"n\":{}}}", self.values)).unwrap());
        let key = self.run.state.attempt_key(step);
        let input = Input::CompleteAttempt {
            key,
            output: output.clone(),
            artifacts: vec![],
            missing_inputs: vec![],
            report: None,
            grows: None,
            findings: None,
        };
        self.run.when(&input).unwrap();
        self.done.push((step, output));
    }

    /// What the policy wants after a failure.
    fn failed(&mut self) {
        let (to, done) = match self.on_error {
            OnError::Compensate => (None, self.origin.clone()),
            OnError::Rollback => match self.checkpoints.last().cloned() {
                Some((seq, done)) => (Some(seq), done),
                None => (Some(self.stood[0].0), self.origin.clone()),
            },
            _ => {
                self.open.clear();
                assert_eq!(self.run.state.status(), RunStatus::Failed);
                return;
            }
        };
        self.undo(&done, true);
        assert_eq!(self.run.state.status(), RunStatus::Failed);
        match to {
            Some(to) => {
                self.done = done;
                self.forget_after(to);
            }
            None => self.is_undone = true,
        }
    }

    fn rollback(&mut self, to: Point, seq: u64, done: Done, can: bool, compensate: bool) {
        let status = self.run.state.status();
        let may = matches!(status, RunStatus::Running | RunStatus::Failed);
        let was_undone = self.is_undone && seq > self.stood[0].0;
        let answer = self.run.command(Command::Rollback { to, compensate });
        assert_eq!(answer.is_ok(), can && may && !was_undone, "{answer:?} for event {seq} of a {status} run");
        if answer.is_err() || answer.is_ok_and(|events| events.is_empty()) {
            return;
        }
        if std::mem::take(&mut self.is_undone) {
            self.done = self.origin.clone();
        }
        self.undo(&done, compensate);
        assert_eq!(self.run.state.status(), RunStatus::Running);
        self.done = done;
        self.forget_after(seq);
    }

    /// What is under way and can be undone comes to its end; then what is not to stay is undone, newest first, once.
    fn undo(&mut self, stays: &Done, compensate: bool) {
        for step in std::mem::take(&mut self.open) {
            if compensate && self.shape[step as usize].1 {
                assert!(admit(&self.run.state, self.run.now).is_empty(), "nothing is undone before it is known what");
                self.complete(step);
            }
        }
        let goes = self.done.iter().rev().filter(|done| !stays.contains(done)).map(|(step, _)| *step);
        for step in goes.filter(|step| compensate && self.shape[*step as usize].1) {
            let undo = self.run.state.plan().undo_of(step).unwrap();
            assert_eq!(admit(&self.run.state, self.run.now), [undo], "newest first, one at a time");
            self.run.start(&format!("s{step}~undo"), "x").unwrap();
            self.run.complete(&format!("s{step}~undo")).unwrap();
        }
        assert!(self.run.state.undoing().is_none(), "and nothing else");
    }

    fn forget_after(&mut self, seq: u64) {
        self.stood.iter_mut().filter(|(at, ..)| *at > seq).for_each(|(.., can)| *can = false);
        self.checkpoints.retain(|(at, _)| *at <= seq);
    }

    fn startable(&self) -> Vec<StepIndex> {
        let is_done = |step: StepIndex| self.done.iter().any(|(done, _)| *done == step);
        let waits = |step: StepIndex| (0..step).any(|i| self.shape[step as usize].0 >> i & 1 == 1 && !is_done(i));
        let all = 0..self.shape.len() as StepIndex;
        all.filter(|step| !is_done(*step) && !self.open.contains(step) && !waits(*step)).collect()
    }

    fn agrees(&self) {
        let state = &self.run.state;
        for step in 0..self.shape.len() as StepIndex {
            let done = self.done.iter().find(|(done, _)| *done == step).map(|(_, output)| output);
            assert_eq!(state.output(step), done, "step {step}");
        }
        if state.status() == RunStatus::Running {
            let mut startable = admit(state, self.run.now);
            startable.sort_unstable();
            assert_eq!(startable, self.startable());
        }
        assert_eq!(state.status() == RunStatus::Completed, self.done.len() == self.shape.len() && !self.is_failed());
    }

    fn is_failed(&self) -> bool {
        self.run.state.status() == RunStatus::Failed
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_state_machine_does_what_a_list_would(
        shape in prop::collection::vec((any::<u8>(), any::<bool>()), 2..7),
        policy in prop::sample::select(vec![OnError::Fail, OnError::Rollback, OnError::Compensate]),
        acts in prop::collection::vec(act(), 1..40),
    ) {
        let mut model = Model::new(shape, policy, vec![]);
        acts.iter().for_each(|act| model.act(act));
    }
}
